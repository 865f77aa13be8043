// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * A packet is one value, made by `packet()`: from it come the TypeScript type (`ValueOf`), encode, decode, dump,
 * size limits for the receiver, generated values for tests, and field offsets for code that works on the bytes.
 */
import { assert, AssertionError } from '../assert.ts';
import { type Absent, type Below, type Field, type Pad, WireError } from './fields.ts';
import type { Tail } from './tails.ts';
import type { Agreed } from './versions.ts';

export type Fields = { readonly [name: string]: Field<any> | Pad | Absent<any> };

export type FieldsValue<F extends Fields> = {
  -readonly [K in keyof F as F[K] extends Pad ? never : K]:
  F[K] extends Field<infer T> ? T : F[K] extends Absent<infer T> ? T : never;
};

export type StreamName = 'data' | 'control';
/** What the header's volume names: the whole connection, one volume, or either. */
export type Scope = 'connection' | 'volume' | 'either';

export interface PacketSpec<F extends Fields, T extends object> {
  readonly name: string;
  readonly command: number;
  readonly stream: StreamName;
  readonly scope: Scope;
  /** Agreed versions in which it is sent, both included. Default: all. */
  readonly versions?: readonly [min: number, max: number];
  /** Feature bits of which all must be agreed. */
  readonly feature?: number;
  /** Feature bits with which another packet takes its place. */
  readonly withoutFeature?: number;
  readonly fields: F;
  /** Another order of the same properties, while `when` holds. */
  readonly older?: { when(agreed: Agreed): boolean; readonly fields: Fields };
  readonly tail?: Tail<T>;
  /** Block data behind fixed part and digest goes to an arena, not through the codec. */
  readonly blockData?: boolean;
}

export interface Packet<T> {
  readonly name: string;
  readonly command: number;
  readonly stream: StreamName;
  readonly scope: Scope;
  readonly versions: readonly [min: number, max: number];
  readonly feature: number;
  readonly withoutFeature: number;
  readonly blockData: boolean;
  /** Bytes before the tail. */
  readonly fixedBytes: number;
  /** Where each field lies in the body. */
  readonly offset: { readonly [K in keyof T]: number };
  /** Ranges that carry nothing, as [offset, bytes]. */
  readonly pads: ReadonlyArray<readonly [offset: number, bytes: number]>;
  readonly layout: ReadonlyArray<{ readonly name: string; readonly offset: number; readonly kind: string }>;
  /** Bounds of the body's length. */
  minBytes(agreed: Agreed): number;
  maxBytes(agreed: Agreed): number;
  /** Whether it may travel at all between these two. */
  permitted(agreed: Agreed): boolean;
  bytes(value: T, agreed: Agreed): number;
  /** Writes the body at `at`; returns its bytes. Room must be there. A value out of its limits is an assertion. */
  encode(value: T, view: DataView, at: number, agreed: Agreed): number;
  /** Throws WireError. */
  decode(view: DataView, at: number, bytes: number, agreed: Agreed): T;
  dump(value: T): string;
  sample(below: Below, agreed: Agreed): T;
}

export type ValueOf<P> = P extends Packet<infer T> ? T : never;

const ALL_VERSIONS: readonly [number, number] = [86, 0xffff];

export function packet<F extends Fields, T extends object = {}>(spec: PacketSpec<F, T>): Packet<FieldsValue<F> & T> {
  type Value = FieldsValue<F> & T;
  const newest = layoutOf(spec.fields);
  const older = spec.older && { when: spec.older.when, layout: layoutOf(spec.older.fields) };
  if (older) assert(older.layout.bytes === newest.bytes, 'both layouts have one size');
  const layoutFor = (agreed: Agreed): Layout => (older?.when(agreed) ? older.layout : newest);
  const { tail, name } = spec;
  return {
    name,
    command: spec.command,
    stream: spec.stream,
    scope: spec.scope,
    versions: spec.versions ?? ALL_VERSIONS,
    feature: spec.feature ?? 0,
    withoutFeature: spec.withoutFeature ?? 0,
    blockData: spec.blockData ?? false,
    fixedBytes: newest.bytes,
    offset: newest.offset as Packet<Value>['offset'],
    pads: newest.pads,
    layout: newest.entries.map(({ name, offset, field }) => ({ name, offset, kind: field.kind })),
    minBytes: (agreed) => newest.bytes + (tail?.minBytes(agreed) ?? 0),
    maxBytes: (agreed) => newest.bytes + (tail?.maxBytes(agreed) ?? 0),
    permitted(agreed) {
      const [min, max] = this.versions;
      return agreed.version >= min && agreed.version <= max
        && (agreed.features & this.feature) === this.feature && (agreed.features & this.withoutFeature) === 0;
    },
    bytes: (value, agreed) => newest.bytes + (tail?.bytes(value, agreed) ?? 0),
    encode(value, view, at, agreed) {
      encodeFields(name, layoutFor(agreed), value, view, at);
      return newest.bytes + (tail?.encode(value, view, at + newest.bytes, agreed) ?? 0);
    },
    decode(view, at, bytes, agreed) {
      if (bytes < this.minBytes(agreed) || bytes > this.maxBytes(agreed)) {
        throw new WireError(`${name}: ${bytes} bytes, not ${this.minBytes(agreed)}..${this.maxBytes(agreed)}`);
      }
      const value = decodeFields(name, layoutFor(agreed), view, at) as Value;
      if (tail) tail.decode(value, view, at + newest.bytes, bytes - newest.bytes, agreed, name);
      return value;
    },
    dump: (value) => [name, ...dumpFields(newest, value), ...(tail?.dump(value) ?? [])].join(' '),
    sample(below, agreed) {
      const value = sampleFields(layoutFor(agreed), below) as Value;
      tail?.sample(value, below, agreed);
      return value;
    },
  };
}

interface Entry {
  readonly name: string;
  readonly offset: number;
  readonly field: Field<any> | Pad | Absent<any>;
}

export interface Layout {
  readonly bytes: number;
  readonly offset: { readonly [name: string]: number };
  readonly entries: readonly Entry[];
  readonly pads: ReadonlyArray<readonly [offset: number, bytes: number]>;
}

export function layoutOf(fields: Fields): Layout {
  const entries: Entry[] = [];
  const offset: { [name: string]: number } = {};
  const pads: Array<readonly [number, number]> = [];
  let at = 0;
  for (const [name, field] of Object.entries(fields)) {
    entries.push({ name, offset: at, field });
    if (field.kind === 'pad') pads.push([at, field.bytes]);
    else offset[name] = at;
    at += field.bytes;
  }
  return { bytes: at, offset, entries, pads };
}

const isPad = (field: Entry['field']): field is Pad => field.kind === 'pad';
const isAbsent = (field: Entry['field']): field is Absent<any> => field.kind === 'absent';

export function encodeFields(where: string, layout: Layout, value: any, view: DataView, at: number): void {
  for (const { name, offset, field } of layout.entries) {
    if (isPad(field)) {
      for (let i = 0; i < field.bytes; i++) view.setUint8(at + offset + i, 0);
    } else if (!isAbsent(field)) {
      const why = field.refuse(value[name]);
      if (why !== null) throw new AssertionError(`${where}.${name}: ${why}`);
      field.put(view, at + offset, value[name]);
    }
  }
}

export function decodeFields(where: string, layout: Layout, view: DataView, at: number): object {
  const value: { [name: string]: unknown } = {};
  for (const { name, offset, field } of layout.entries) {
    if (isPad(field)) continue;
    if (isAbsent(field)) {
      value[name] = field.value;
      continue;
    }
    try {
      value[name] = field.get(view, at + offset);
    } catch (error) {
      throw error instanceof WireError ? new WireError(`${where}.${name}: ${error.message}`) : error;
    }
  }
  return value;
}

export function dumpFields(layout: Layout, value: any): string[] {
  const words: string[] = [];
  for (const { name, field } of layout.entries) {
    if (!isPad(field) && !isAbsent(field)) words.push(`${name}=${field.show(value[name])}`);
  }
  return words;
}

export function sampleFields(layout: Layout, below: Below): object {
  const value: { [name: string]: unknown } = {};
  for (const { name, field } of layout.entries) {
    if (isAbsent(field)) value[name] = field.value;
    else if (!isPad(field)) value[name] = field.sample(below);
  }
  return value;
}
