// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a field carries on the wire and is in TypeScript:
 * u32, s32: number; flag: u8 that is 0 or 1, boolean; u64: counts and sectors as number (2^53 and above: Infinity);
 * uuid: u64 as bigint; uuids: several of them; string: NUL terminated; binary: bytes.
 */
export type Kind = 'flag' | 'u32' | 's32' | 'u64' | 'uuid' | 'uuids' | 'string' | 'binary';

export interface KindTypes {
  flag: boolean;
  u32: number;
  s32: number;
  u64: number;
  uuid: bigint;
  uuids: readonly bigint[];
  string: string;
  binary: Uint8Array;
}

export interface FieldOptions<K extends Kind> {
  /** Sent by drbd-utils with bit 14 of the type: a receiver that does not know the field must refuse. */
  readonly mandatory?: true;
  /** A request with the nest is refused without it. */
  readonly required?: true;
  /** Given at creation only: refused in a request that changes options. */
  readonly invariant?: true;
  /** Kept from callers without CAP_SYS_ADMIN. */
  readonly sensitive?: true;
  readonly default?: KindTypes[K];
  /** Bounds of a value, both inclusive; for an enumeration `names` bounds it. */
  readonly min?: number;
  readonly max?: number;
  /**
   * What becomes of an option outside its bounds: refused as invalid unless it says otherwise. 'clamp': brought inside;
   * 'operation': left to the operation, which has a code of its own.
   */
  readonly outside?: 'clamp' | 'operation';
  readonly unit?: string;
  /** Number to name, where the field is an enumeration. */
  readonly names?: readonly string[];
  /** DRBD's name where it does not follow from ours. */
  readonly wireName?: string;
}

export interface Field<K extends Kind = Kind> extends FieldOptions<K> {
  readonly nr: number;
  readonly kind: K;
  /** Payload at most; strings with their NUL. Infinity: no limit of its own. */
  readonly maxBytes: number;
}

export type Fields = { readonly [name: string]: Field };

/** A top-level attribute: one structure of DRBD's. */
export interface Nest<F extends Fields = Fields> {
  readonly nr: number;
  /** DRBD_NLA_… without the prefix. */
  readonly name: string;
  readonly struct: string;
  readonly fields: F;
  /** [our name, field] in the order of the structure, which is that of messages and not always that of numbers. */
  readonly list: readonly (readonly [string, Field])[];
  /** Our name by field number. */
  readonly nameByNr: ReadonlyMap<number, string>;
  readonly maxNr: number;
}

export type Infer<N> = N extends Nest<infer F> ? { readonly [K in keyof F]: KindTypes[F[K]['kind']] } : never;
export type InferPartial<N> = Partial<Infer<N>>;

export function nest<const F extends Fields>(nr: number, name: string, struct: string, fields: F): Nest<F> {
  const list = Object.entries<Field>(fields);
  const nameByNr = new Map(list.map(([key, field]) => [field.nr, key]));
  if (nameByNr.size !== list.length) throw new Error(`${name}: a field number twice`);
  return { nr, name, struct, fields, list, nameByNr, maxNr: Math.max(...nameByNr.keys()) };
}

const fixed = <K extends Kind>(kind: K, bytes: number) =>
  (nr: number, options: FieldOptions<K> = {}): Field<K> => ({ nr, kind, maxBytes: bytes, ...options });
const sized = <K extends Kind>(kind: K) =>
  (nr: number, maxBytes: number, options: FieldOptions<K> = {}): Field<K> => ({ nr, kind, maxBytes, ...options });

export const flag = fixed('flag', 1);
export const u32 = fixed('u32', 4);
export const s32 = fixed('s32', 4);
export const u64 = fixed('u64', 8);
export const uuid = fixed('uuid', 8);
export const uuids = sized('uuids');
export const string = sized('string');
export const binary = sized('binary');

/** DRBD's name of a field: afterSb0p is after_sb_0p by its wireName, diskSize is disk_size by rule. */
export const wireName = (name: string, field: Field): string =>
  field.wireName ?? name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
