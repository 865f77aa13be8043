// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';

/**
 * Netlink attributes as bytes. The npm package `netlink` is not used here: its module loads node:os, it copies each
 * header into a Buffer of its own, and its errors name no place; what is left of it is no more than this file.
 * Integers are little endian, as on both machines that drbdd is built for.
 * @spec genetlink.md 1.1, 1.2
 */

export const NLA_HEADER = 4;
export const NLA_F_NESTED = 0x8000;
/** In DRBD's nests: unknown to the receiver means refuse. The same bit as NLA_F_NET_BYTEORDER. */
export const NLA_F_MANDATORY = 0x4000;
export const NLA_TYPE_MASK = 0x3fff;
/** Longest attribute, header included: its length is a u16. */
const NLA_MAX = 0xffff;

export const align4 = (bytes: number) => (bytes + 3) & ~3;

/** Why attributes were refused, in the words that genuine DRBD puts into the reply. */
export const ATTR_TEXT = {
  missing: 'required attribute missing',
  unknownMandatory: 'unknown mandatory attribute',
  invariant: 'can not change invariant setting',
  invalid: 'invalid attribute value',
} as const;
export type AttrReason = keyof typeof ATTR_TEXT;

const EINVAL = 22;
const ERANGE = 34;
const EOPNOTSUPP = 95;

/** The only thing that decoding throws. */
export class AttrError extends Error {
  readonly reason: AttrReason;
  /** Where, for example "DISK_CONF.al_extents". */
  readonly path: string;
  /** Positive, for an NLMSG_ERROR. */
  readonly errno: number;
  constructor(reason: AttrReason, path: string, detail: string,
    errno = reason === 'unknownMandatory' ? EOPNOTSUPP : EINVAL) {
    super(`${path}: ${detail}`);
    this.reason = reason;
    this.path = path;
    this.errno = errno;
  }
}

export const tooShort = (path: string, bytes: number, wanted: number) =>
  new AttrError('invalid', path, `${bytes} bytes where ${wanted} are needed`, ERANGE);
export const tooLong = (path: string, bytes: number, most: number) =>
  new AttrError('invalid', path, `${bytes} bytes, at most ${most} allowed`, ERANGE);

/** One attribute: `type` with its two flag bits, payload from `start` to `end` of the message's bytes. */
export interface Attr {
  readonly type: number;
  readonly at: number;
  readonly start: number;
  readonly end: number;
}

/** All attributes between two offsets; padding attributes (type 0) are left out. */
export function readAttrs(bytes: Uint8Array, from: number, to: number, path: string): Attr[] {
  const attrs: Attr[] = [];
  const malformed = (what: string) => new AttrError('invalid', path, `${what} (offset ${at - from})`);
  let at = from;
  while (at < to) {
    if (to - at < NLA_HEADER) throw malformed(`${to - at} bytes at the end`);
    const length = bytes[at]! | bytes[at + 1]! << 8;
    const type = bytes[at + 2]! | bytes[at + 3]! << 8;
    if (length < NLA_HEADER || length > to - at) throw malformed(`length ${length} where ${to - at} bytes are left`);
    if ((type & NLA_TYPE_MASK) !== 0) attrs.push({ type, at, start: at + NLA_HEADER, end: at + length });
    at += align4(length);
  }
  return attrs;
}

const encoder = new TextEncoder();

/** Bytes of messages under construction. Grows; a message or nest is closed by the offset that opening it returned. */
export class Writer {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(roomBytes = 512) {
    this.#bytes = new Uint8Array(roomBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length() { return this.#length; }

  /** Copy of all that was written. */
  finish(): Uint8Array { return this.#bytes.slice(0, this.#length); }

  u8(value: number) {
    const at = this.#room(1);
    this.#bytes[at] = value;
  }
  u16(value: number) {
    const at = this.#room(2);
    this.#view.setUint16(at, value, true);
  }
  u32(value: number) {
    const at = this.#room(4);
    this.#view.setUint32(at, value, true);
  }
  u64(value: bigint) {
    const at = this.#room(8);
    this.#view.setBigUint64(at, value, true);
  }
  raw(bytes: Uint8Array) {
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
  }
  string(text: string) { this.raw(encoder.encode(text)); this.u8(0); }
  pad4() { this.#room(align4(this.#length) - this.#length); }
  setU16(at: number, value: number) { this.#view.setUint16(at, value, true); }
  setU32(at: number, value: number) { this.#view.setUint32(at, value, true); }

  /** Opens an attribute; the result is for closeAttr(). */
  openAttr(type: number): number {
    const at = this.#length;
    this.u16(0);
    this.u16(type);
    return at;
  }

  closeAttr(at: number) {
    const length = this.#length - at;
    assert(length <= NLA_MAX, 'an attribute longer than 65,535 bytes');
    this.setU16(at, length);
    this.pad4();
  }

  /** Zeroed room; its offset. May replace the buffer: take `#bytes` and `#view` after it. */
  #room(bytes: number): number {
    const at = this.#length;
    this.#length += bytes;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
}
