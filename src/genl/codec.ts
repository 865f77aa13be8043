// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { Field, Infer, InferPartial, Nest } from './schema.ts';
import { wireName } from './schema.ts';
import type { Attr, Writer } from './tlv.ts';
import { AttrError, NLA_F_MANDATORY, NLA_F_NESTED, NLA_TYPE_MASK, readAttrs, tooLong, tooShort } from './tlv.ts';

const ALL_ONES = 0xffff_ffff_ffff_ffffn;
/** Names that are not UTF-8 are refused: two of them could look alike once decoded. */
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

type Loose = Record<string, unknown>;

/**
 * The fields that a nest's payload holds, in the order of the wire; a field that stands twice counts with its last
 * value, unknown ones are skipped. Throws AttrError.
 * @spec genetlink.md 1.2
 */
export function decodeNest<N extends Nest>(nest: N, bytes: Uint8Array, from: number, to: number): InferPartial<N> {
  const attrs = readAttrs(bytes, from, to, nest.name);
  for (const attr of attrs) refuseUnknownMandatory(nest, attr);
  const value: Loose = {};
  for (const attr of attrs) {
    const key = nest.nameByNr.get(attr.type & NLA_TYPE_MASK);
    if (key !== undefined) value[key] = decodeField(nest, key, bytes, attr);
  }
  return value as InferPartial<N>;
}

/** True when the attribute is marked mandatory and its number is above all that the nest has. */
export function unknownMandatory(nest: Nest, type: number): boolean {
  return (type & NLA_F_MANDATORY) !== 0 && (type & NLA_TYPE_MASK) > nest.maxNr;
}

function refuseUnknownMandatory(nest: Nest, attr: Attr) {
  if (!unknownMandatory(nest, attr.type)) return;
  throw new AttrError('unknownMandatory', `${nest.name}.${attr.type & NLA_TYPE_MASK}`, 'not known here');
}

function decodeField(nest: Nest, key: string, bytes: Uint8Array, { start, end }: Attr): unknown {
  const field = nest.fields[key]!;
  const path = `${nest.name}.${wireName(key, field)}`;
  const length = end - start;
  switch (field.kind) {
    case 'string': return decodeString(path, field, bytes, start, end);
    case 'binary':
      if (length > field.maxBytes) throw tooLong(path, length, field.maxBytes);
      return bytes.slice(start, end);
    case 'uuids':
      if (length > field.maxBytes) throw tooLong(path, length, field.maxBytes);
      if (length % 8 !== 0) throw tooShort(path, length, length + 8 - length % 8);
      return Array.from({ length: length / 8 }, (_, i) => u64At(bytes, start + 8 * i));
    default:
      // Longer ones are read from their beginning, as the kernel does.
      if (length < field.maxBytes) throw tooShort(path, length, field.maxBytes);
      return decodeNumber(field, bytes, start);
  }
}

/** The kernel's rule for NUL-terminated strings: a NUL within the field's room, and nothing but one NUL beyond it. */
function decodeString(path: string, field: Field, bytes: Uint8Array, start: number, end: number): string {
  const nul = bytes.subarray(start, Math.min(end, start + field.maxBytes)).indexOf(0);
  if (nul < 0) throw new AttrError('invalid', path, `no NUL within ${Math.min(end - start, field.maxBytes)} bytes`);
  if (end - start > field.maxBytes) throw tooLong(path, end - start, field.maxBytes);
  try {
    return decoder.decode(bytes.subarray(start, start + nul));
  } catch {
    throw new AttrError('invalid', path, 'not UTF-8');
  }
}

function decodeNumber(field: Field, bytes: Uint8Array, at: number): number | boolean | bigint {
  switch (field.kind) {
    case 'flag': return bytes[at] !== 0;
    case 'u32': return u32At(bytes, at);
    case 's32': return u32At(bytes, at) | 0;
    case 'uuid': return u64At(bytes, at);
    default: {
      const value = u64At(bytes, at);
      return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : Infinity;
    }
  }
}

export const u32At = (bytes: Uint8Array, at: number) =>
  (bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24) >>> 0;
const u64At = (bytes: Uint8Array, at: number) => BigInt(u32At(bytes, at)) | BigInt(u32At(bytes, at + 4)) << 32n;

/** How the two sides write a nest: genuine's kernel is not consistent about the flag bits. */
export interface Style {
  /** NLA_F_NESTED on the nest. */
  readonly nested: boolean;
  /** Bit 14 on the fields that have it. */
  readonly mandatoryBits: boolean;
}
/** Structures that the kernel sends. */
export const STRUCT: Style = { nested: true, mandatoryBits: false };
/** CFG_CONTEXT, PATH_PARMS and CFG_REPLY, which the kernel puts together field by field. */
export const BY_HAND: Style = { nested: false, mandatoryBits: true };
/** What drbd-utils send. */
export const UTILS: Style = { nested: true, mandatoryBits: true };

/** A whole structure, fields by number. A field in `without` is left out. */
export function encodeStruct<N extends Nest>(w: Writer, nest: N, value: Infer<N>, without?: ReadonlySet<string>) {
  const at = openNest(w, nest, STRUCT);
  for (const [key, field] of nest.list) {
    if (without?.has(key)) continue;
    encodeField(w, nest, key, field, (value as Loose)[key], STRUCT);
  }
  w.closeAttr(at);
}

/** The fields that `value` has, in its order. */
export function encodePartial<N extends Nest>(w: Writer, nest: N, value: InferPartial<N>, style: Style) {
  const at = openNest(w, nest, style);
  for (const [key, fieldValue] of Object.entries(value)) {
    if (fieldValue !== undefined) encodeField(w, nest, key, nest.fields[key]!, fieldValue, style);
  }
  w.closeAttr(at);
}

export const openNest = (w: Writer, nest: Nest, style: Style) =>
  w.openAttr(nest.nr | (style.nested ? NLA_F_NESTED : 0));

export function encodeField(w: Writer, nest: Nest, key: string, field: Field, value: unknown, style: Style) {
  const at = w.openAttr(field.nr | (style.mandatoryBits && field.mandatory ? NLA_F_MANDATORY : 0));
  switch (field.kind) {
    case 'string': w.string(value as string); break;
    case 'binary': w.raw(value as Uint8Array); break;
    case 'uuids': for (const each of value as readonly bigint[]) w.u64(each); break;
    case 'flag': w.u8(value ? 1 : 0); break;
    case 'u32':
      assert((value as number) >>> 0 === value, 'a u32 field');
      w.u32(value as number);
      break;
    case 's32':
      assert(((value as number) | 0) === value, 'an s32 field');
      w.u32((value as number) >>> 0);
      break;
    case 'uuid': w.u64(value as bigint); break;
    case 'u64':
      assert(value === Infinity || (Number.isSafeInteger(value) && (value as number) >= 0), 'a u64 field');
      w.u64(value === Infinity ? ALL_ONES : BigInt(value as number));
      break;
  }
  const payload = w.length - at - 4;
  assert(payload <= field.maxBytes, 'a field longer than its room');
  w.closeAttr(at);
}
