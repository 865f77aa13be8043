// SPDX-License-Identifier: GPL-2.0-or-later
import { u32At } from './codec.ts';
import { align4, Writer } from './tlv.ts';

/**
 * Headers: nlmsghdr, genlmsghdr, drbd_genlmsghdr.
 * @spec genetlink.md 1.1, 2.2
 */

export const FAMILY_VERSION = 2;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLM_F_REQUEST = 0x1;
export const NLM_F_MULTI = 0x2;
export const NLM_F_ACK = 0x4;
export const NLM_F_ECHO = 0x8;
export const NLM_F_DUMP = 0x300;
const NLM_F_CAPPED = 0x100;
export const NL_HEADER = 16;
const GENL_HEADER = 4;
const DRBD_HEADER = 8;
/** Where the top-level attributes begin. */
export const HEADERS = NL_HEADER + GENL_HEADER + DRBD_HEADER;
/** `minor` where no device is meant. */
export const NO_MINOR = 0xffff_ffff;

export interface Header {
  readonly length: number;
  /** The family's id, which the kernel gave at registration. */
  readonly type: number;
  readonly flags: number;
  readonly seq: number;
  /** Port id of the requester; 0 in notifications. */
  readonly portid: number;
  readonly cmd: number;
  readonly version: number;
  readonly reserved: number;
  readonly minor: number;
  /** Flags of a request, ret_code of anything else; unsigned. */
  readonly flagsOrCode: number;
}

/** Needs at least HEADERS bytes. */
export const readHeader = (bytes: Uint8Array): Header => ({
  length: u32At(bytes, 0),
  type: bytes[4]! | bytes[5]! << 8,
  flags: bytes[6]! | bytes[7]! << 8,
  seq: u32At(bytes, 8),
  portid: u32At(bytes, 12),
  cmd: bytes[16]!,
  version: bytes[17]!,
  reserved: bytes[18]! | bytes[19]! << 8,
  minor: u32At(bytes, 20),
  flagsOrCode: u32At(bytes, 24),
});

/** Who gets a message and how it is numbered. */
export interface Envelope {
  readonly type: number;
  readonly seq: number;
  readonly portid: number;
}

/** One complete DRBD message; `body` writes its attributes. */
export function message(envelope: Envelope, flags: number, cmd: number, minor: number, flagsOrCode: number,
  body?: (w: Writer) => void): Uint8Array {
  const w = new Writer();
  nlHeader(w, envelope.type, flags, envelope);
  w.u8(cmd);
  w.u8(FAMILY_VERSION);
  w.u16(0);
  w.u32(minor);
  w.u32(flagsOrCode);
  body?.(w);
  w.setU32(0, w.length);
  return w.finish();
}

/** A longer request is not repeated in an error, so that the answer fits into one datagram of the relay. */
const MAX_ECHO_BYTES = 32_768;

/** NLMSG_ERROR with -errno and the request. */
export const errorMessage = (request: Uint8Array, portid: number, errno: number) =>
  outcome(request, portid, errno, request.length > MAX_ECHO_BYTES);

/** NLMSG_ERROR 0, which acknowledges, with no more than the request's header. */
export const ackMessage = (request: Uint8Array, portid: number) => outcome(request, portid, 0, true);

function outcome(request: Uint8Array, portid: number, errno: number, capped: boolean): Uint8Array {
  const w = new Writer();
  nlHeader(w, NLMSG_ERROR, capped ? NLM_F_CAPPED : 0, { seq: u32At(request, 8), portid });
  w.u32(-errno >>> 0);
  w.raw(capped ? request.subarray(0, NL_HEADER) : request);
  w.pad4();
  w.setU32(0, w.length);
  return w.finish();
}

/** Ends a dump. */
export function doneMessage(envelope: Envelope): Uint8Array {
  const w = new Writer();
  nlHeader(w, NLMSG_DONE, NLM_F_MULTI, envelope);
  w.u32(0);
  w.setU32(0, w.length);
  return w.finish();
}

function nlHeader(w: Writer, type: number, flags: number, { seq, portid }: Pick<Envelope, 'seq' | 'portid'>) {
  w.u32(0);
  w.u16(type);
  w.u16(flags);
  w.u32(seq);
  w.u32(portid);
}

/** Several messages as one run of bytes, each padded to four. */
export function joined(messages: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(messages.reduce((sum, each) => sum + align4(each.length), 0));
  let at = 0;
  for (const each of messages) {
    out.set(each, at);
    at += align4(each.length);
  }
  return out;
}
