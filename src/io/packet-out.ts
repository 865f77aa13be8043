// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Packets of the I/O path, written straight into a stream's queue. Each returns false when the queue has no room
 * (nothing was queued then). The schemas of src/wire say the same; a test compares both.
 */
import type { Arena } from '../host/arena.ts';
import type { Crypto } from '../host/crypto.ts';
import type { Stream } from '../host/net.ts';
import { get32, put32, putHeader, volumeOfVnr, VNR_NONE } from '../wire/header.ts';

export const Cmd = {
  DATA: 0x00, DATA_REPLY: 0x01, RS_DATA_REPLY: 0x02, BARRIER: 0x03, BITMAP: 0x04, UNPLUG_REMOTE: 0x07,
  DATA_REQUEST: 0x08, RS_DATA_REQUEST: 0x09, RECV_ACK: 0x15, WRITE_ACK: 0x16, RS_WRITE_ACK: 0x17, NEG_ACK: 0x19,
  NEG_DREPLY: 0x1a, NEG_RS_DREPLY: 0x1b, BARRIER_ACK: 0x1c, OV_REQUEST: 0x1e, OV_REPLY: 0x1f, OV_RESULT: 0x20,
  CSUM_RS_REQUEST: 0x21, RS_IS_IN_SYNC: 0x22, COMPRESSED_BITMAP: 0x24, OUT_OF_SYNC: 0x28, RS_CANCEL: 0x29,
  DAGTAG: 0x30, TRIM: 0x31, RS_THIN_REQ: 0x32, RS_DEALLOCATED: 0x33, ZEROES: 0x36, PEER_ACK: 0x40,
  PEERS_IN_SYNC: 0x41, CONFIRM_STABLE: 0x49, RS_CANCEL_AHEAD: 0x4a, RS_DAGTAG_REQ: 0x4c, RS_CSUM_DAGTAG_REQ: 0x4d,
  RS_THIN_DAGTAG_REQ: 0x4e, OV_DAGTAG_REQ: 0x4f, OV_DAGTAG_REPLY: 0x50, WRITE_ACK_IN_SYNC: 0x51, RS_NEG_ACK: 0x52,
  OV_RESULT_ID: 0x53, RS_DEALLOCATED_ID: 0x54, FLUSH_REQUESTS: 0x55, FLUSH_FORWARD: 0x56, FLUSH_REQUESTS_ACK: 0x57,
} as const;

const HEADER = 16;
const TWO32 = 4294967296;

/** Where a packet that was just queued ends, for Stream.sent(). One engine thread: no packet comes in between. */
export const lastCommit = { position: 0 };

export function putU64(view: DataView, at: number, value: number): void {
  put32(view, at, Math.floor(value / TWO32));
  put32(view, at + 4, value % TWO32);
}

/** Exact below 2^53; NaN above, so that every range check refuses it. */
export function getU64(view: DataView, at: number): number {
  const high = get32(view, at);
  return high < 0x200000 ? high * TWO32 + get32(view, at + 4) : NaN;
}

/** P_DATA, P_DATA_REPLY, P_RS_DATA_REPLY: data from an arena. `digest`: algorithm or ''. `lasting`: see Stream.commit(). */
export function sendBlock(s: Stream, crypto: Crypto, cmd: number, vnr: number, sector: number, idHigh: number,
  idLow: number, seq: number, dpFlags: number, arena: Arena, offset: number, size: number, digest: string, lasting: boolean): boolean {
  const digestBytes = digest === '' ? 0 : crypto.digestBytes(digest);
  const fixed = HEADER + 24 + digestBytes;
  const at = s.reserve(fixed);
  if (at < 0) return false;
  const v = s.output;
  putHeader(v, at, 'h100', cmd, volumeOfVnr(vnr), 24 + digestBytes + size);
  putBlockPart(v, at + HEADER, sector, idHigh, idLow, seq, dpFlags);
  if (digestBytes > 0) {
    const out = new Uint8Array(v.buffer, v.byteOffset + at + HEADER + 24, digestBytes);
    crypto.digest(digest, arena, offset, size, out, 0);
  }
  lastCommit.position = s.commit(at, fixed, arena, offset, size, lasting);
  return true;
}

/** P_TRIM, P_ZEROES. */
export function sendTrim(s: Stream, cmd: number, vnr: number, sector: number, idHigh: number, idLow: number,
  seq: number, dpFlags: number, size: number): boolean {
  const at = s.reserve(HEADER + 28);
  if (at < 0) return false;
  putHeader(s.output, at, 'h100', cmd, volumeOfVnr(vnr), 28);
  putBlockPart(s.output, at + HEADER, sector, idHigh, idLow, seq, dpFlags);
  put32(s.output, at + HEADER + 24, size);
  lastCommit.position = s.commit(at, HEADER + 28, null, 0, 0);
  return true;
}

/** The ack layout, and with `seq` 0 (pad) the request layout: both 24 bytes. */
export function sendAck(s: Stream, cmd: number, vnr: number, sector: number, idHigh: number, idLow: number,
  size: number, seq: number): boolean {
  const at = s.reserve(HEADER + 24);
  if (at < 0) return false;
  putHeader(s.output, at, 'h100', cmd, volumeOfVnr(vnr), 24);
  putBlockPart(s.output, at + HEADER, sector, idHigh, idLow, size, seq);
  s.commit(at, HEADER + 24, null, 0, 0);
  return true;
}

/** P_OV_RESULT_ID: the ack layout and a result behind. */
export function sendVerifyResult(s: Stream, vnr: number, sector: number, idHigh: number, idLow: number, size: number,
  seq: number, result: number): boolean {
  const at = s.reserve(HEADER + 32);
  if (at < 0) return false;
  putHeader(s.output, at, 'h100', Cmd.OV_RESULT_ID, volumeOfVnr(vnr), 32);
  putBlockPart(s.output, at + HEADER, sector, idHigh, idLow, size, seq);
  put32(s.output, at + HEADER + 24, result);
  put32(s.output, at + HEADER + 28, 0);
  s.commit(at, HEADER + 32, null, 0, 0);
  return true;
}

/** P_RS_DAGTAG_REQ and its like. */
export function sendDagtagRequest(s: Stream, cmd: number, vnr: number, sector: number, idHigh: number, idLow: number,
  size: number, dagtagNode: number, dagtag: number): boolean {
  const at = s.reserve(HEADER + 32);
  if (at < 0) return false;
  putHeader(s.output, at, 'h100', cmd, volumeOfVnr(vnr), 32);
  putBlockPart(s.output, at + HEADER, sector, idHigh, idLow, size, dagtagNode);
  putU64(s.output, at + HEADER + 24, dagtag);
  s.commit(at, HEADER + 32, null, 0, 0);
  return true;
}

/** The request layouts with a digest behind; `dagtag` below 0: the one without a dagtag. */
export function sendDigestRequest(s: Stream, cmd: number, vnr: number, sector: number, idHigh: number, idLow: number,
  size: number, dagtagNode: number, dagtag: number, digest: Uint8Array, digestBytes: number): boolean {
  const fixed = dagtag < 0 ? 24 : 32;
  const at = s.reserve(HEADER + fixed + digestBytes);
  if (at < 0) return false;
  putHeader(s.output, at, 'h100', cmd, volumeOfVnr(vnr), fixed + digestBytes);
  putBlockPart(s.output, at + HEADER, sector, idHigh, idLow, size, dagtag < 0 ? 0 : dagtagNode);
  if (dagtag >= 0) putU64(s.output, at + HEADER + 24, dagtag);
  for (let i = 0; i < digestBytes; i++) s.output.setUint8(at + HEADER + fixed + i, digest[i]);
  s.commit(at, HEADER + fixed + digestBytes, null, 0, 0);
  return true;
}

/** P_BARRIER (a = number, b = 0) and P_BARRIER_ACK (a = the same bytes, b = set_size): two words. */
export function sendWords(s: Stream, cmd: number, a: number, b: number): boolean {
  const at = s.reserve(HEADER + 8);
  if (at < 0) return false;
  putHeader(s.output, at, 'h100', cmd, volumeOfVnr(VNR_NONE), 8);
  put32(s.output, at + HEADER, a);
  put32(s.output, at + HEADER + 4, b);
  s.commit(at, HEADER + 8, null, 0, 0);
  return true;
}

/** A u64 and, unless `extra` is below 0, a u32: P_DAGTAG, the flush packets. */
export function sendNumber(s: Stream, cmd: number, value: number, extra: number): boolean {
  const bytes = extra < 0 ? 8 : 12;
  const at = s.reserve(HEADER + bytes);
  if (at < 0) return false;
  putHeader(s.output, at, 'h100', cmd, volumeOfVnr(VNR_NONE), bytes);
  putU64(s.output, at + HEADER, value);
  if (extra >= 0) put32(s.output, at + HEADER + 8, extra);
  s.commit(at, HEADER + bytes, null, 0, 0);
  return true;
}

/** Mask of node ids, at most 32 of them. */
export function sendPeerAck(s: Stream, mask: number, dagtag: number): boolean {
  const at = s.reserve(HEADER + 16);
  if (at < 0) return false;
  putHeader(s.output, at, 'h100', Cmd.PEER_ACK, volumeOfVnr(VNR_NONE), 16);
  put32(s.output, at + HEADER, 0);
  put32(s.output, at + HEADER + 4, mask >>> 0);
  putU64(s.output, at + HEADER + 8, dagtag);
  s.commit(at, HEADER + 16, null, 0, 0);
  return true;
}

/** P_OUT_OF_SYNC. */
export function sendRange(s: Stream, cmd: number, vnr: number, sector: number, size: number): boolean {
  const at = s.reserve(HEADER + 16);
  if (at < 0) return false;
  putHeader(s.output, at, 'h100', cmd, volumeOfVnr(vnr), 16);
  putU64(s.output, at + HEADER, sector);
  put32(s.output, at + HEADER + 8, size);
  put32(s.output, at + HEADER + 12, 0);
  s.commit(at, HEADER + 16, null, 0, 0);
  return true;
}

export function sendPeersInSync(s: Stream, vnr: number, sector: number, mask: number, size: number): boolean {
  const at = s.reserve(HEADER + 24);
  if (at < 0) return false;
  putHeader(s.output, at, 'h100', Cmd.PEERS_IN_SYNC, volumeOfVnr(vnr), 24);
  putU64(s.output, at + HEADER, sector);
  put32(s.output, at + HEADER + 8, 0);
  put32(s.output, at + HEADER + 12, mask >>> 0);
  put32(s.output, at + HEADER + 16, size);
  put32(s.output, at + HEADER + 20, 0);
  s.commit(at, HEADER + 24, null, 0, 0);
  return true;
}

export function sendConfirmStable(s: Stream, oldHigh: number, oldLow: number, youngHigh: number, youngLow: number,
  setSize: number): boolean {
  const at = s.reserve(HEADER + 24);
  if (at < 0) return false;
  putHeader(s.output, at, 'h100', Cmd.CONFIRM_STABLE, volumeOfVnr(VNR_NONE), 24);
  put32(s.output, at + HEADER, oldHigh);
  put32(s.output, at + HEADER + 4, oldLow);
  put32(s.output, at + HEADER + 8, youngHigh);
  put32(s.output, at + HEADER + 12, youngLow);
  put32(s.output, at + HEADER + 16, setSize);
  put32(s.output, at + HEADER + 20, 0);
  s.commit(at, HEADER + 24, null, 0, 0);
  return true;
}

/** Only a header: P_UNPLUG_REMOTE. */
export function sendEmpty(s: Stream, cmd: number, vnr: number): boolean {
  const at = s.reserve(HEADER);
  if (at < 0) return false;
  putHeader(s.output, at, 'h100', cmd, volumeOfVnr(vnr), 0);
  s.commit(at, HEADER, null, 0, 0);
  return true;
}

function putBlockPart(v: DataView, at: number, sector: number, idHigh: number, idLow: number, c: number,
  d: number): void {
  putU64(v, at, sector);
  put32(v, at + 8, idHigh);
  put32(v, at + 12, idLow);
  put32(v, at + 16, c);
  put32(v, at + 20, d);
}
