// SPDX-License-Identifier: GPL-2.0-or-later
/** Fields of a packet's fixed part: fixed width, big endian. */

/** A packet's bytes are not what its schema says. The message names packet, field and value. */
export class WireError extends Error {
  override readonly name = 'WireError';
}

/** Uniform integer in [0, bound), bound at most 2^32: where generated values come from. */
export type Below = (bound: number) => number;

export interface Field<T> {
  readonly kind: string;
  readonly bytes: number;
  /** Throws WireError when the bytes are out of the field's limits. */
  get(view: DataView, at: number): T;
  put(view: DataView, at: number, value: T): void;
  /** Why `value` may not be encoded; null when it may. */
  refuse(value: T): string | null;
  sample(below: Below): T;
  show(value: T): string;
}

/** Bytes that carry nothing: written as zero, never looked at. */
export interface Pad {
  readonly kind: 'pad';
  readonly bytes: number;
}

/** No bytes: a property that an older layout lacks, with the value it then has. */
export interface Absent<T> {
  readonly kind: 'absent';
  readonly bytes: 0;
  readonly value: T;
}

export const pad = (bytes: number): Pad => ({ kind: 'pad', bytes });
export const absent = <T>(value: T): Absent<T> => ({ kind: 'absent', bytes: 0, value });

/** Limits of a numeric field, both included, and how it prints. */
export interface NumberLimits {
  readonly min?: number;
  readonly max?: number;
  readonly hex?: boolean;
}

interface NumberKind {
  readonly kind: string;
  readonly bytes: number;
  readonly min: number;
  readonly max: number;
  readonly get: (view: DataView, at: number) => number;
  readonly put: (view: DataView, at: number, value: number) => void;
}

function numberField(kind: NumberKind, limits: NumberLimits = {}): Field<number> {
  const min = limits.min ?? kind.min;
  const max = limits.max ?? kind.max;
  const show = (value: number): string => (limits.hex ? `0x${value.toString(16)}` : String(value));
  const refuse = (value: number): string | null => {
    if (Number.isInteger(value) && value >= min && value <= max) return null;
    return `${show(value)} is not within ${show(min)}..${show(max)}`;
  };
  return {
    kind: kind.kind,
    bytes: kind.bytes,
    get(view, at) {
      const value = kind.get(view, at);
      const why = refuse(value);
      if (why !== null) throw new WireError(why);
      return value;
    },
    put: kind.put,
    refuse,
    sample: (below) => sampleInteger(below, min, max),
    show,
  };
}

const TWO_32 = 4294967296;

/** Both ends of the range, and everything between in some orders of magnitude. */
function sampleInteger(below: Below, min: number, max: number): number {
  const span = max - min;
  switch (below(4)) {
    case 0: return min;
    case 1: return max;
    case 2: return min + below(Math.min(span, 255) + 1);
    default: return span < TWO_32 ? min + below(span + 1) : min + below(Math.floor(span / TWO_32)) * TWO_32 + below(TWO_32);
  }
}

export const u8 = (limits?: NumberLimits): Field<number> => numberField({
  kind: 'u8', bytes: 1, min: 0, max: 0xff,
  get: (view, at) => view.getUint8(at), put: (view, at, value) => view.setUint8(at, value),
}, limits);

export const i8 = (limits?: NumberLimits): Field<number> => numberField({
  kind: 'i8', bytes: 1, min: -128, max: 127,
  get: (view, at) => view.getInt8(at), put: (view, at, value) => view.setInt8(at, value),
}, limits);

export const u16 = (limits?: NumberLimits): Field<number> => numberField({
  kind: 'u16', bytes: 2, min: 0, max: 0xffff,
  get: (view, at) => view.getUint16(at), put: (view, at, value) => view.setUint16(at, value),
}, limits);

export const u32 = (limits?: NumberLimits): Field<number> => numberField({
  kind: 'u32', bytes: 4, min: 0, max: 0xffffffff,
  get: (view, at) => view.getUint32(at), put: (view, at, value) => view.setUint32(at, value),
}, limits);

export const i32 = (limits?: NumberLimits): Field<number> => numberField({
  kind: 'i32', bytes: 4, min: -0x80000000, max: 0x7fffffff,
  get: (view, at) => view.getInt32(at), put: (view, at, value) => view.setInt32(at, value),
}, limits);

/** u64 that counts something: a plain number, refused from 2^53 on. */
export const count64 = (limits?: NumberLimits): Field<number> => numberField({
  kind: 'u64', bytes: 8, min: 0, max: Number.MAX_SAFE_INTEGER,
  get: (view, at) => view.getUint32(at) * TWO_32 + view.getUint32(at + 4),
  put(view, at, value) {
    view.setUint32(at, Math.floor(value / TWO_32));
    view.setUint32(at + 4, value % TWO_32);
  },
}, limits);

/** Position or length in units of 512 bytes. */
export const sectors = count64;

const U64_MAX = 0xffff_ffff_ffff_ffffn;

/** u64 whose bits matter: UUIDs, node masks, block ids. */
export const u64 = (limits: { readonly max?: bigint } = {}): Field<bigint> => {
  const max = limits.max ?? U64_MAX;
  const show = (value: bigint): string => value.toString(16).padStart(16, '0');
  const refuse = (value: bigint): string | null =>
    (value >= 0n && value <= max ? null : `${show(value)} is above ${show(max)}`);
  return {
    kind: 'u64',
    bytes: 8,
    get(view, at) {
      const value = view.getBigUint64(at);
      const why = refuse(value);
      if (why !== null) throw new WireError(why);
      return value;
    },
    put: (view, at, value) => view.setBigUint64(at, value),
    refuse,
    sample(below) {
      if (below(4) === 0) return below(2) === 0 ? 0n : max;
      const bits = (BigInt(below(TWO_32)) << 32n) | BigInt(below(TWO_32));
      return max === U64_MAX ? bits : bits % (max + 1n);
    },
    show,
  };
};

/** Zero-filled text of fixed width; the last byte is always 0. */
export const text = (bytes: number): Field<string> => {
  const refuse = (value: string): string | null => {
    if (value.length >= bytes) return `"${value}" is longer than ${bytes - 1} bytes`;
    return isPlainText(value) ? null : `${JSON.stringify(value)} is not plain text`;
  };
  return {
    kind: `char[${bytes}]`,
    bytes,
    get(view, at) {
      const length = terminated(view, at, bytes);
      if (length < 0) throw new WireError('text without its terminating 0');
      return textAt(view, at, length);
    },
    put: (view, at, value) => putText(view, at, value, bytes),
    refuse,
    sample: (below) => sampleText(below, bytes - 1),
    show: (value) => JSON.stringify(value),
  };
};

/** Bytes before the first 0 within `bytes`, -1 when there is no 0. */
export function terminated(view: DataView, at: number, bytes: number): number {
  for (let i = 0; i < bytes; i++) if (view.getUint8(at + i) === 0) return i;
  return -1;
}

/** Latin-1, so that each byte is one character and nothing is lost. Control characters are refused. */
export function textAt(view: DataView, at: number, length: number): string {
  let value = '';
  for (let i = 0; i < length; i++) value += String.fromCharCode(view.getUint8(at + i));
  if (!isPlainText(value)) throw new WireError(`${JSON.stringify(value)} is not plain text`);
  return value;
}

export function putText(view: DataView, at: number, value: string, bytes: number): void {
  for (let i = 0; i < bytes; i++) view.setUint8(at + i, i < value.length ? value.charCodeAt(i) : 0);
}

export const isPlainText = (value: string): boolean => /^[\x20-\x7e\xa0-\xff]*$/.test(value);

export function sampleText(below: Below, maxLength: number): string {
  let value = '';
  for (let left = below(maxLength + 1); left > 0; left--) value += String.fromCharCode(0x61 + below(26));
  return value;
}
