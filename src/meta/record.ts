// SPDX-License-Identifier: GPL-2.0-or-later
/** Fixed-layout big-endian records as values: one table gives the type, the decoder and the encoder. */
export interface Field<T> {
  readonly at: number;
  get(view: DataView, base: number): T;
  set(view: DataView, base: number, value: T): void;
}

export type RecordSchema = { readonly [name: string]: Field<unknown> };
export type RecordOf<S extends RecordSchema> = {
  -readonly [K in keyof S]: S[K] extends Field<infer T> ? T : never;
};

export function u64(at: number): Field<bigint> {
  return {
    at,
    get: (view, base) => view.getBigUint64(base + at),
    set: (view, base, value) => view.setBigUint64(base + at, value),
  };
}

/** A 64-bit size as a number; NaN when it is above 2^53 (refused by the checks, never by the decoder). */
export function size64(at: number): Field<number> {
  return {
    at,
    get: (view, base) => {
      const value = view.getBigUint64(base + at);
      return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : NaN;
    },
    set: (view, base, value) => view.setBigUint64(base + at, BigInt(value)),
  };
}

export function u32(at: number): Field<number> {
  return {
    at,
    get: (view, base) => view.getUint32(base + at),
    set: (view, base, value) => view.setUint32(base + at, value),
  };
}

export function i32(at: number): Field<number> {
  return {
    at,
    get: (view, base) => view.getInt32(base + at),
    set: (view, base, value) => view.setInt32(base + at, value),
  };
}

/** `count` records of `stride` bytes each. */
export function list<T>(at: number, count: number, stride: number, element: Field<T>): Field<T[]> {
  return {
    at,
    get: (view, base) => Array.from({ length: count }, (_, i) => element.get(view, base + at + i * stride)),
    set: (view, base, value) => {
      if (value.length !== count) throw new RangeError(`${value.length} elements instead of ${count}`);
      value.forEach((v, i) => element.set(view, base + at + i * stride, v));
    },
  };
}

export function record<S extends RecordSchema>(at: number, schema: S): Field<RecordOf<S>> {
  const entries = Object.entries(schema);
  return {
    at,
    get: (view, base) => {
      const out: Record<string, unknown> = {};
      for (const [name, field] of entries) out[name] = field.get(view, base + at);
      return out as RecordOf<S>;
    },
    set: (view, base, value) => {
      for (const [name, field] of entries) field.set(view, base + at, (value as Record<string, unknown>)[name]);
    },
  };
}
