// SPDX-License-Identifier: GPL-2.0-or-later
/** Received packets of the I/O path: every field is checked here, once, then handed to whom it concerns. @spec io.md 12 */
import { MAX_BIO_BYTES, MAX_DISCARD_BYTES } from '../wire/limits.ts';
import { DpFlag } from '../wire/packets/data.ts';
import { OvResult } from '../wire/packets/ov-result.ts';
import { get32, VNR_NONE } from '../wire/header.ts';
import type { ConnectionIo } from './connection-io.ts';
import { Cmd, getU64 } from './packet-out.ts';
import type { PeerDeviceIo } from './peer-device-io.ts';
import { peersInSync } from './peers-in-sync.ts';

/** P_OV_RESULT, up to version 121: skipped; in sync and out of sync follow. */
const FIRST_RESULT_CODE = 4710;

/** Commands that ConnectionIo.packet takes; the caller checks sizes by their schemas. */
export const IO_COMMANDS: readonly number[] = [
  Cmd.DATA, Cmd.TRIM, Cmd.ZEROES, Cmd.DATA_REPLY, Cmd.RS_DATA_REPLY, Cmd.BARRIER, Cmd.BITMAP, Cmd.COMPRESSED_BITMAP,
  Cmd.UNPLUG_REMOTE, Cmd.DATA_REQUEST, Cmd.RS_DATA_REQUEST, Cmd.RS_DAGTAG_REQ, Cmd.CSUM_RS_REQUEST,
  Cmd.RS_CSUM_DAGTAG_REQ, Cmd.RS_THIN_REQ, Cmd.RS_THIN_DAGTAG_REQ, Cmd.OV_REQUEST, Cmd.OV_DAGTAG_REQ, Cmd.OUT_OF_SYNC,
  Cmd.DAGTAG, Cmd.FLUSH_REQUESTS, Cmd.FLUSH_REQUESTS_ACK,
  Cmd.RECV_ACK, Cmd.WRITE_ACK, Cmd.RS_WRITE_ACK, Cmd.WRITE_ACK_IN_SYNC, Cmd.NEG_ACK, Cmd.RS_NEG_ACK, Cmd.NEG_DREPLY,
  Cmd.NEG_RS_DREPLY, Cmd.RS_IS_IN_SYNC, Cmd.RS_CANCEL, Cmd.RS_CANCEL_AHEAD, Cmd.BARRIER_ACK, Cmd.CONFIRM_STABLE,
  Cmd.PEER_ACK, Cmd.PEERS_IN_SYNC, Cmd.FLUSH_FORWARD, Cmd.OV_REPLY, Cmd.OV_DAGTAG_REPLY, Cmd.OV_RESULT, Cmd.OV_RESULT_ID,
];

const connectionWide = new Set<number>([Cmd.BARRIER, Cmd.UNPLUG_REMOTE, Cmd.DAGTAG, Cmd.FLUSH_REQUESTS,
  Cmd.FLUSH_REQUESTS_ACK, Cmd.BARRIER_ACK, Cmd.CONFIRM_STABLE, Cmd.PEER_ACK, Cmd.FLUSH_FORWARD]);

export function packetIn(c: ConnectionIo, command: number, vnr: number, view: DataView, at: number, bytes: number,
  payload: number, payloadBytes: number): string {
  if (c.link === null) {
    freePayload(c, vnr, payload, payloadBytes);
    return 'not connected';
  }
  if (connectionWide.has(command)) return connectionPacket(c, command, view, at);
  const device = vnr === VNR_NONE ? undefined : c.resource.byVnr.get(vnr);
  if (device === undefined) return `no volume ${vnr}`;
  const peer = c.peers[device.index];
  if (command === Cmd.BITMAP || command === Cmd.COMPRESSED_BITMAP) {
    return peer.bitmapExchange.packet(command, view, at, bytes);
  }
  return blockPacket(c, peer, command, view, at, bytes, payload, payloadBytes);
}

/** Everything that begins with a sector. */
function blockPacket(c: ConnectionIo, peer: PeerDeviceIo, command: number, view: DataView, at: number, bytes: number,
  payload: number, payloadBytes: number): string {
  const sector = getU64(view, at);
  const high = get32(view, at + 8);
  const low = bytes >= 16 ? get32(view, at + 12) : 0;
  switch (command) {
    case Cmd.DATA:
    case Cmd.TRIM:
    case Cmd.ZEROES: return writePacket(c, peer, command, sector, high, low, view, at, payload, payloadBytes);
    case Cmd.DATA_REPLY:
    case Cmd.RS_DATA_REPLY: return replyPacket(c, peer, command, sector, high, low, view, at, payload, payloadBytes);
    case Cmd.OUT_OF_SYNC: {
      const error = checkRange(peer, sector, high, Infinity);
      return error !== '' ? error : c.writes.outOfSync(peer, sector, high);
    }
    case Cmd.PEERS_IN_SYNC: {
      const size = get32(view, at + 16);
      const error = checkRange(peer, sector, size, Infinity);
      if (error === '') peersInSync(peer, sector, size, low);
      return error;
    }
    default: return requestOrAck(c, peer, command, sector, high, low, view, at, bytes);
  }
}

function writePacket(c: ConnectionIo, peer: PeerDeviceIo, command: number, sector: number, high: number, low: number,
  view: DataView, at: number, payload: number, payloadBytes: number): string {
  const flags = get32(view, at + 20);
  const data = command === Cmd.DATA;
  const size = data ? payloadBytes : get32(view, at + 24);
  let error = checkRange(peer, sector, size, data ? MAX_BIO_BYTES : MAX_DISCARD_BYTES) || checkBlocks(peer, sector, size);
  if ((flags & DpFlag.wsame) !== 0) error = 'write same is not supported';
  if (error === '' && data && payload >= 0) error = checkDigest(c, peer, view, at + 24, payload, size);
  if (error === '' && data && payload < 0 && peer.device.diskUsable) error = 'write without data';
  if (error !== '') {
    if (payload >= 0) peer.device.arena.free(payload, payloadBytes);
    return error;
  }
  return c.writes.write(peer, command, sector, size, high, low, get32(view, at + 16), flags, data ? payload : -1);
}

function replyPacket(c: ConnectionIo, peer: PeerDeviceIo, command: number, sector: number, high: number, low: number,
  view: DataView, at: number, payload: number, payloadBytes: number): string {
  const error = payload < 0 ? '' : checkDigest(c, peer, view, at + 24, payload, payloadBytes);
  if (error !== '') {
    peer.device.arena.free(payload, payloadBytes);
    return error;
  }
  return command === Cmd.DATA_REPLY
    ? c.acks.dataReply(peer, sector, high, low, payload, payloadBytes)
    : peer.target.data(sector, payloadBytes, high, low, payload);
}

/** The 24-byte layouts: size at 16, sequence number or pad at 20. */
function requestOrAck(c: ConnectionIo, peer: PeerDeviceIo, command: number, sector: number, high: number, low: number,
  view: DataView, at: number, bytes: number): string {
  const size = get32(view, at + 16);
  const request = isRequest(command);
  const error = checkRange(peer, sector, size, request ? MAX_BIO_BYTES : MAX_DISCARD_BYTES)
    || (request ? checkBlocks(peer, sector, size) : '');
  if (error !== '') return error;
  if (!request) peer.sawSeq(get32(view, at + 20));
  switch (command) {
    case Cmd.RECV_ACK:
    case Cmd.WRITE_ACK:
    case Cmd.WRITE_ACK_IN_SYNC: return c.acks.blockAck(peer, command, sector, high, low);
    case Cmd.RS_WRITE_ACK: return c.link!.version < 122 && !(high === 0xffffffff && low === 0xffffffff)
      ? c.acks.blockAck(peer, command, sector, high, low)
      : c.source.writeAck(peer, true, sector, size, high, low);
    case Cmd.RS_NEG_ACK: return c.source.writeAck(peer, false, sector, size, high, low);
    case Cmd.NEG_ACK: return high === 0xffffffff && low === 0xffffffff
      ? c.source.writeAck(peer, false, sector, size, high, low)
      : c.acks.negAck(peer, sector, high, low, size);
    case Cmd.NEG_DREPLY: return c.acks.negDataReply(peer, sector, high, low, size);
    case Cmd.NEG_RS_DREPLY:
    case Cmd.RS_IS_IN_SYNC:
    case Cmd.RS_CANCEL:
    case Cmd.RS_CANCEL_AHEAD: return command !== Cmd.RS_IS_IN_SYNC && peer.verifySource.canceled(sector, size, high, low)
      ? '' : peer.target.otherReply(command, sector, size, high, low);
    case Cmd.DATA_REQUEST: return c.source.read(peer, sector, size, high, low);
    case Cmd.RS_DATA_REQUEST:
    case Cmd.RS_THIN_REQ: return c.source.resync(peer, sector, size, high, low, -1, 0, view, -1, 0);
    case Cmd.CSUM_RS_REQUEST: return c.source.resync(peer, sector, size, high, low, -1, 0, view, at + 24, bytes - 24);
    case Cmd.RS_DAGTAG_REQ:
    case Cmd.RS_THIN_DAGTAG_REQ:
    case Cmd.RS_CSUM_DAGTAG_REQ: return dagtagRequest(c, peer, command, sector, size, high, low, view, at, bytes);
    case Cmd.OV_REQUEST: return c.source.verify(peer, sector, size, high, low, -1, 0);
    case Cmd.OV_REPLY: return peer.verifySource.reply(sector, size, high, low, -1, 0, view, at + 24, bytes - 24);
    case Cmd.OV_DAGTAG_REQ:
    case Cmd.OV_DAGTAG_REPLY: return dagtagRequest(c, peer, command, sector, size, high, low, view, at, bytes);
    case Cmd.OV_RESULT: return high === 0 ? verifyResult(c, peer, sector, size, high, low, low - FIRST_RESULT_CODE) : 'verify result';
    case Cmd.OV_RESULT_ID: return verifyResult(c, peer, sector, size, high, low, get32(view, at + 24));
    default: return 'unexpected packet';
  }
}

function dagtagRequest(c: ConnectionIo, peer: PeerDeviceIo, command: number, sector: number, size: number, high: number,
  low: number, view: DataView, at: number, bytes: number): string {
  const dagtag = getU64(view, at + 24);
  if (!(dagtag >= 0)) return 'dagtag out of range';
  const node = view.getInt32(at + 20);
  if (command === Cmd.OV_DAGTAG_REQ) return c.source.verify(peer, sector, size, high, low, node, dagtag);
  if (command === Cmd.OV_DAGTAG_REPLY) {
    return peer.verifySource.reply(sector, size, high, low, node, dagtag, view, at + 32, bytes - 32);
  }
  const digest = command === Cmd.RS_CSUM_DAGTAG_REQ ? at + 32 : -1;
  return c.source.resync(peer, sector, size, high, low, node, dagtag, view, digest, bytes - 32);
}

const verifyResult = (c: ConnectionIo, peer: PeerDeviceIo, sector: number, size: number, high: number, low: number,
  result: number): string =>
  result >= OvResult.skipped && result <= OvResult.outOfSync ? c.verifyTarget.result(peer, sector, size, high, low, result)
    : `verify result ${result}`;

function connectionPacket(c: ConnectionIo, command: number, view: DataView, at: number): string {
  switch (command) {
    case Cmd.BARRIER: return c.writes.barrier(get32(view, at));
    case Cmd.BARRIER_ACK: return c.acks.barrierAck(get32(view, at), get32(view, at + 4));
    case Cmd.CONFIRM_STABLE: return c.acks.confirmStable(get32(view, at), get32(view, at + 4),
      get32(view, at + 8), get32(view, at + 12), get32(view, at + 16));
    case Cmd.UNPLUG_REMOTE: return '';
    default: return numberPacket(c, command, getU64(view, at), view, at);
  }
}

function numberPacket(c: ConnectionIo, command: number, value: number, view: DataView, at: number): string {
  if (command === Cmd.PEER_ACK) {
    const dagtag = getU64(view, at + 8);
    return dagtag >= 0 ? c.writes.peerAck(view.getInt32(at + 4), dagtag) : 'dagtag out of range';
  }
  if (!(value >= 0)) return 'number out of range';
  switch (command) {
    case Cmd.DAGTAG: return c.writes.dagtag(value);
    case Cmd.FLUSH_REQUESTS: return c.resource.flushRequests.requested(c.nodeId, value);
    case Cmd.FLUSH_FORWARD: return c.resource.flushRequests.forwarded(c.nodeId, value, get32(view, at + 8));
    case Cmd.FLUSH_REQUESTS_ACK: return c.resource.flushRequests.answer(c.nodeId, value, get32(view, at + 8));
    default: return 'unexpected packet';
  }
}

const isRequest = (command: number): boolean =>
  command === Cmd.DATA_REQUEST || command === Cmd.RS_DATA_REQUEST || command === Cmd.RS_THIN_REQ ||
  command === Cmd.CSUM_RS_REQUEST || command >= Cmd.RS_DAGTAG_REQ && command <= Cmd.OV_DAGTAG_REPLY ||
  command === Cmd.OV_REQUEST || command === Cmd.OV_REPLY;

/** A number that is no number (2^53 or more on the wire) fails every comparison, hence the way they are written. */
function checkRange(peer: PeerDeviceIo, sector: number, size: number, max: number): string {
  if (!(size > 0 && size % 512 === 0 && size <= max)) return `request of ${size} bytes`;
  return sector >= 0 && sector + size / 512 <= peer.device.sectors ? ''
    : `request from peer beyond end of local disk: ${sector}s +${size} (capacity ${peer.device.sectors}s)`;
}

/** What is to be done on the disk is in its blocks: it can take nothing else. */
function checkBlocks({ device }: PeerDeviceIo, sector: number, size: number): string {
  if (device.disk === null) return '';
  const { logicalBlockBytes } = device.disk.lower.limits;
  return size % logicalBlockBytes === 0 && sector * 512 % logicalBlockBytes === 0 ? ''
    : `request not in blocks of ${logicalBlockBytes}: ${sector}s +${size}`;
}

const digest = new Uint8Array(64);

function checkDigest(c: ConnectionIo, peer: PeerDeviceIo, view: DataView, at: number, payload: number, size: number): string {
  const algorithm = c.link!.peerIntegrityAlg;
  if (algorithm === '') return '';
  const { crypto } = c.resource.env;
  const bytes = crypto.digestBytes(algorithm);
  crypto.digest(algorithm, peer.device.arena, payload, size, digest, 0);
  for (let i = 0; i < bytes; i++) {
    if (digest[i] !== view.getUint8(at + i)) return 'Digest integrity check FAILED. Broken NICs?';
  }
  return '';
}

function freePayload(c: ConnectionIo, vnr: number, payload: number, bytes: number): void {
  const device = c.resource.byVnr.get(vnr);
  if (payload >= 0 && device !== undefined) device.arena.free(payload, bytes);
}
