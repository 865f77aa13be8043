// SPDX-License-Identifier: GPL-2.0-or-later
import type { Stream } from '../host/net.ts';
import { VNR_NONE } from '../wire/header.ts';
import { grown, grownF } from './intervals.ts';
import {
  Cmd, sendAck, sendConfirmStable, sendNumber, sendPeerAck, sendPeersInSync, sendRange, sendVerifyResult, sendWords,
} from './packet-out.ts';
import type { PeerDeviceIo } from './peer-device-io.ts';

const QUEUE_MAX = 65536;
const TWO32 = 4294967296;

/**
 * Small packets of one stream in order: straight into the stream while it has room, else kept here. Columns by command:
 * acks (sector, ids, size), P_BARRIER_ACK (a barrier, b set_size), P_PEER_ACK (a dagtag, b mask), ranges, numbers;
 * P_OV_RESULT_ID: high half of b the result. P_CONFIRM_STABLE: oldest id, a and low half of b the youngest, high half of b the count.
 */
export class OutQueue {
  private cmd = new Int32Array(64);
  private b = new Float64Array(64);
  private a = new Float64Array(64);
  private idHigh = new Int32Array(64);
  private idLow = new Int32Array(64);
  private peers: (PeerDeviceIo | null)[] = new Array<PeerDeviceIo | null>(64).fill(null);
  private head = 0;
  private count = 0;

  get length(): number {
    return this.count;
  }

  clear(): void {
    this.count = 0;
    this.peers.fill(null);
  }

  /** False: the queue is full; the connection must go. `hold`: nothing may go into the stream now. */
  send(stream: Stream, cmd: number, peer: PeerDeviceIo | null, a: number, b: number, idHigh: number,
    idLow: number, hold = false): boolean {
    if (!hold && this.count === 0 && put(stream, cmd, peer, a, b, idHigh, idLow)) return true;
    if (this.count === this.cmd.length && !this.grow()) return false;
    const at = (this.head + this.count++) % this.cmd.length;
    this.cmd[at] = cmd;
    this.peers[at] = peer;
    this.a[at] = a;
    this.b[at] = b;
    this.idHigh[at] = idHigh;
    this.idLow[at] = idLow;
    return true;
  }

  /** True: nothing waits any more. */
  flush(stream: Stream): boolean {
    while (this.count > 0) {
      const at = this.head;
      if (!put(stream, this.cmd[at], this.peers[at], this.a[at], this.b[at], this.idHigh[at], this.idLow[at])) {
        return false;
      }
      this.peers[at] = null;
      this.head = (at + 1) % this.cmd.length;
      this.count--;
    }
    return true;
  }

  private grow(): boolean {
    const size = this.cmd.length;
    if (size >= QUEUE_MAX) return false;
    this.rotate();
    this.cmd = grown(this.cmd);
    this.idHigh = grown(this.idHigh);
    this.idLow = grown(this.idLow);
    this.a = grownF(this.a);
    this.b = grownF(this.b);
    this.peers.length = size * 2;
    this.peers.fill(null, size);
    return true;
  }

  /** Puts the head at index 0, so that the longer arrays go on behind it. */
  private rotate(): void {
    const { head } = this;
    for (const array of [this.cmd, this.idHigh, this.idLow, this.a, this.b]) {
      const copy = array.slice();
      for (let i = 0; i < copy.length; i++) array[i] = copy[(head + i) % copy.length];
    }
    const peers = this.peers.slice();
    this.peers = peers.map((_, i) => peers[(head + i) % peers.length]);
    this.head = 0;
  }
}

function put(s: Stream, cmd: number, peer: PeerDeviceIo | null, a: number, b: number, idHigh: number,
  idLow: number): boolean {
  const vnr = peer === null ? VNR_NONE : peer.device.vnr;
  switch (cmd) {
    case Cmd.BARRIER_ACK: return sendWords(s, cmd, a, b);
    case Cmd.PEER_ACK: return sendPeerAck(s, b, a);
    case Cmd.CONFIRM_STABLE: return sendConfirmStable(s, idHigh, idLow, a, b % 4294967296, Math.floor(b / 4294967296));
    case Cmd.OUT_OF_SYNC: return sendRange(s, cmd, vnr, a, b);
    case Cmd.PEERS_IN_SYNC: return sendPeersInSync(s, vnr, a, idHigh, b);
    case Cmd.FLUSH_REQUESTS: return sendNumber(s, cmd, a, -1);
    case Cmd.FLUSH_FORWARD:
    case Cmd.FLUSH_REQUESTS_ACK: return sendNumber(s, cmd, a, b);
    default: return putAck(s, cmd, peer as PeerDeviceIo, a, b, idHigh, idLow);
  }
}

/** The sequence number is taken when the packet really goes. */
function putAck(s: Stream, cmd: number, peer: PeerDeviceIo, sector: number, size: number, idHigh: number,
  idLow: number): boolean {
  const numbered = cmd !== Cmd.RS_DEALLOCATED_ID;
  const seq = numbered ? peer.nextSeq() : 0;
  const { vnr } = peer.device;
  if (cmd === Cmd.OV_RESULT_ID) {
    const result = Math.floor(size / TWO32);
    if (sendVerifyResult(s, vnr, sector, idHigh, idLow, size - result * TWO32, seq, result)) return true;
  } else if (sendAck(s, cmd, vnr, sector, idHigh, idLow, size, seq)) return true;
  if (numbered) peer.undoSeq();
  return false;
}
