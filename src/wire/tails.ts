// SPDX-License-Identifier: GPL-2.0-or-later
/** What may stand behind a packet's fixed part. */
import { assert } from '../assert.ts';
import { type Below, isPlainText, putText, sampleText, terminated, textAt, WireError } from './fields.ts';
import {
  decodeFields, dumpFields, encodeFields, type Fields, type FieldsValue, layoutOf, sampleFields,
} from './schema.ts';
import type { Agreed } from './versions.ts';

/** T: the properties that the tail adds to the packet's value. */
export interface Tail<T extends object> {
  minBytes(agreed: Agreed): number;
  maxBytes(agreed: Agreed): number;
  bytes(value: T, agreed: Agreed): number;
  /** Returns the bytes written. */
  encode(value: T, view: DataView, at: number, agreed: Agreed): number;
  /** Adds its properties to `value`, which has the fixed part's. Throws WireError. */
  decode(value: T, view: DataView, at: number, bytes: number, agreed: Agreed, where: string): void;
  dump(value: T): string[];
  sample(value: T, below: Below, agreed: Agreed): void;
}

/** Uninterpreted bytes: a digest, bitmap words, code. `multiple`: their number is a multiple of it. */
export function bytesTail<N extends string>(
  name: N, min: number, max: number, multiple = 1,
): Tail<{ [K in N]: Uint8Array }> {
  type Value = { [K in N]: Uint8Array };
  return {
    minBytes: () => min,
    maxBytes: () => max,
    bytes: (value) => value[name].length,
    encode(value, view, at) {
      const bytes: Uint8Array = value[name];
      assert(bytes.length >= min && bytes.length <= max && bytes.length % multiple === 0, `${name} has a valid size`);
      new Uint8Array(view.buffer, view.byteOffset + at, bytes.length).set(bytes);
      return bytes.length;
    },
    decode(value, view, at, bytes, _agreed, where) {
      if (bytes % multiple !== 0) throw new WireError(`${where}.${name}: ${bytes} bytes, not a multiple of ${multiple}`);
      value[name] = new Uint8Array(view.buffer, view.byteOffset + at, bytes).slice() as Value[N];
    },
    dump: (value) => [`${name}=${hex(value[name])}`],
    sample(value, below) {
      const bytes = new Uint8Array(min + below(Math.floor((Math.min(max, 256) - min) / multiple) + 1) * multiple);
      for (let i = 0; i < bytes.length; i++) bytes[i] = below(256);
      value[name] = bytes as Value[N];
    },
  };
}

const HEX_BYTES_SHOWN = 64;

function hex(bytes: Uint8Array): string {
  let out = '';
  for (let i = 0; i < Math.min(bytes.length, HEX_BYTES_SHOWN); i++) out += bytes[i].toString(16).padStart(2, '0');
  return bytes.length > HEX_BYTES_SHOWN ? `${out}…(${bytes.length} bytes)` : out;
}

/** Text up to the packet's end, with its terminating 0; nothing (and "") while `when` does not hold. */
export function textTail<N extends string>(
  name: N, max: number, when: (agreed: Agreed) => boolean,
): Tail<{ [K in N]: string }> {
  type Value = { [K in N]: string };
  return {
    minBytes: (agreed) => (when(agreed) ? 1 : 0),
    maxBytes: (agreed) => (when(agreed) ? max : 0),
    bytes: (value, agreed) => (when(agreed) ? value[name].length + 1 : 0),
    encode(value, view, at, agreed) {
      if (!when(agreed)) return 0;
      const text: string = value[name];
      assert(text.length < max && isPlainText(text), `${name} is plain text of at most ${max - 1} bytes`);
      putText(view, at, text, text.length + 1);
      return text.length + 1;
    },
    decode(value, view, at, bytes, agreed, where) {
      if (!when(agreed)) {
        value[name] = '' as Value[N];
        return;
      }
      if (terminated(view, at, bytes) !== bytes - 1) throw new WireError(`${where}.${name}: not terminated at its end`);
      value[name] = textAt(view, at, bytes - 1) as Value[N];
    },
    dump: (value) => [`${name}=${JSON.stringify(value[name])}`],
    sample(value, below, agreed) {
      value[name] = (when(agreed) ? sampleText(below, max - 1) : '') as Value[N];
    },
  };
}

/** A group of fields that is there exactly while `when` holds; otherwise the property is null. */
export function groupTail<N extends string, F extends Fields>(
  name: N, fields: F, when: (agreed: Agreed) => boolean,
): Tail<{ [K in N]: FieldsValue<F> | null }> {
  type Value = { [K in N]: FieldsValue<F> | null };
  const layout = layoutOf(fields);
  const bytes = (agreed: Agreed): number => (when(agreed) ? layout.bytes : 0);
  return {
    minBytes: bytes,
    maxBytes: bytes,
    bytes: (_value, agreed) => bytes(agreed),
    encode(value, view, at, agreed) {
      if (!when(agreed)) return 0;
      assert(value[name] !== null, `${name} is given`);
      encodeFields(name, layout, value[name], view, at);
      return layout.bytes;
    },
    decode(value, view, at, _bytes, agreed, where) {
      value[name] = (when(agreed) ? decodeFields(`${where}.${name}`, layout, view, at) : null) as Value[N];
    },
    dump: (value) => (value[name] === null ? [] : dumpFields(layout, value[name])),
    sample(value, below, agreed) {
      value[name] = (when(agreed) ? sampleFields(layout, below) : null) as Value[N];
    },
  };
}
