// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import { grown, grownF } from './intervals.ts';

/** Bytes of the longest digest. */
export const DIGEST_MAX = 64;
/** Most peer requests of a resource at once; above it a connection is dropped rather than memory taken. */
export const PEER_REQUESTS_MAX = 65536;
const FIRST_SIZE = 128;

/** What a peer request is. */
export const PeerReq = {
  /** A write received. */
  WRITE: 1,
  /** A read that a peer wants (P_DATA_REQUEST). */
  READ: 2,
  /** A resync read that a target wants; kept until its write ack. */
  RS_READ: 3,
  /** A resync request of our own; kept until its data are written. */
  RS_WRITE: 4,
  /** Online verify: a request of our own until its result is sent; one of the peer until its result came. */
  OV_SOURCE: 5,
  OV_TARGET: 6,
} as const;

export const PeerFlag = {
  SEND_WRITE_ACK: 1, MAY_SET_IN_SYNC: 2, SET_OUT_OF_SYNC: 4, IN_ACT_LOG: 8, WAITS_AL: 16, FAILED: 32,
  /** Local part over; ack sent. */
  DONE: 64, ACKED: 128, TRIM: 256, ZEROOUT: 512, FUA: 1024, PREFLUSH: 2048, SYNC: 4096,
  /** A write that came while there was no disk: it only answers a later peer ack. */
  NO_DISK: 8192,
  /** On the disk right now. */
  SUBMITTED: 16384,
  /** Resync read: answer handed over; its connection is lost; waits for another node's writes. */
  ANSWERED: 32768, GONE: 65536, WAITS_DAGTAG: 131072,
  /** P_RECV_ACK was sent: the application may rely on it, with or without the connection. */
  PROMISED: 262144,
  /** The peer's digest lies in `digests`; a target reads its own block for a digest; verify: its result is skip. */
  HAS_DIGEST: 524288, READS_OWN: 1048576, SKIP: 2097152,
  /** Resync read: waits for what Primaries have sent before. */
  WAITS_PRIMARY: 4194304,
  /** A write that a resync, from a node that may not have got it, has written over since. */
  OVERWRITTEN: 8388608,
  /** With WAITS_DAGTAG: for a while already. */
  WAITS_LONG: 16777216,
} as const;

/** Peer requests of a resource as slots of typed arrays. @spec io.md 12.1 */
export class PeerRequestPool {
  capacity = FIRST_SIZE;
  live = 0;
  kind = new Int32Array(FIRST_SIZE);
  node = new Int32Array(FIRST_SIZE);
  device = new Int32Array(FIRST_SIZE);
  flags = new Int32Array(FIRST_SIZE);
  size = new Int32Array(FIRST_SIZE);
  sector = new Float64Array(FIRST_SIZE);
  /** Payload in the device's arena, -1 none. */
  offset = new Float64Array(FIRST_SIZE);
  idHigh = new Int32Array(FIRST_SIZE);
  idLow = new Int32Array(FIRST_SIZE);
  dagtag = new Float64Array(FIRST_SIZE);
  /** When it went to the disk last. */
  submitMs = new Float64Array(FIRST_SIZE);
  dagtagNode = new Int32Array(FIRST_SIZE);
  /** Receive epoch (index into the connection's ring). */
  epoch = new Int32Array(FIRST_SIZE);
  interval = new Int32Array(FIRST_SIZE);
  /** Parts of a discard still on the disk. */
  parts = new Int32Array(FIRST_SIZE);
  generation = new Int32Array(FIRST_SIZE);
  /** Its list (receive order), and the queue that it waits in. */
  next = new Int32Array(FIRST_SIZE);
  prev = new Int32Array(FIRST_SIZE);
  queueNext = new Int32Array(FIRST_SIZE);
  /** Digests that peers sent, made with the first one. */
  private digests = new Uint8Array(0);
  private freeHead = -1;
  private used = 0;

  take(): number {
    let slot = this.freeHead;
    if (slot >= 0) this.freeHead = this.queueNext[slot];
    else {
      if (this.used === this.capacity && !this.grow()) return -1;
      slot = this.used++;
    }
    this.live++;
    this.generation[slot] = (this.generation[slot] + 1) & 0x7fffffff;
    this.flags[slot] = this.parts[slot] = 0;
    this.next[slot] = this.prev[slot] = this.queueNext[slot] = this.interval[slot] = this.epoch[slot] = -1;
    this.offset[slot] = -1;
    this.dagtag[slot] = 0;
    return slot;
  }

  release(slot: number): void {
    assert(this.kind[slot] !== 0, 'peer request released twice');
    this.kind[slot] = 0;
    this.live--;
    this.queueNext[slot] = this.freeHead;
    this.freeHead = slot;
  }

  /** Our own request of this kind that a peer names, -1: none. */
  find(kind: number, idHigh: number, idLow: number): number {
    const slot = idLow - 1;
    return slot >= 0 && slot < this.used && this.kind[slot] === kind && this.generation[slot] === idHigh ? slot : -1;
  }

  /** When the oldest of a device that is on the disk was submitted; Infinity: there is none. */
  oldestOnDisk(device: number): number {
    let oldest = Infinity;
    for (let slot = 0; slot < this.used; slot++) {
      if (this.kind[slot] === 0 || this.device[slot] !== device || (this.flags[slot] & PeerFlag.SUBMITTED) === 0) continue;
      if (this.submitMs[slot] < oldest) oldest = this.submitMs[slot];
    }
    return oldest;
  }

  keepDigest(slot: number, view: DataView, at: number, bytes: number): void {
    assert(bytes <= DIGEST_MAX, 'digest too long');
    if (this.digests.length < this.capacity * DIGEST_MAX) {
      const wider = new Uint8Array(this.capacity * DIGEST_MAX);
      wider.set(this.digests);
      this.digests = wider;
    }
    for (let i = 0; i < bytes; i++) this.digests[slot * DIGEST_MAX + i] = view.getUint8(at + i);
    this.flags[slot] |= PeerFlag.HAS_DIGEST;
  }

  sameDigest(slot: number, digest: Uint8Array, bytes: number): boolean {
    assert((this.flags[slot] & PeerFlag.HAS_DIGEST) !== 0, 'no digest to compare with');
    for (let i = 0; i < bytes; i++) if (this.digests[slot * DIGEST_MAX + i] !== digest[i]) return false;
    return true;
  }

  private grow(): boolean {
    if (this.capacity >= PEER_REQUESTS_MAX) return false;
    this.capacity *= 2;
    for (const name of int32Columns) this[name] = grown(this[name]);
    for (const name of float64Columns) this[name] = grownF(this[name]);
    return true;
  }
}

const int32Columns = ['kind', 'node', 'device', 'flags', 'size', 'idHigh', 'idLow', 'dagtagNode', 'epoch', 'interval',
  'parts', 'generation', 'next', 'prev', 'queueNext'] as const;
const float64Columns = ['sector', 'offset', 'dagtag', 'submitMs'] as const;

/** A doubly linked list of peer requests in order, through next and prev. */
export class PeerList {
  head = -1;
  tail = -1;
  length = 0;
  private readonly pool: PeerRequestPool;

  constructor(pool: PeerRequestPool) {
    this.pool = pool;
  }

  push(slot: number): void {
    const p = this.pool;
    p.prev[slot] = this.tail;
    p.next[slot] = -1;
    if (this.tail < 0) this.head = slot;
    else p.next[this.tail] = slot;
    this.tail = slot;
    this.length++;
  }

  remove(slot: number): void {
    const p = this.pool;
    const next = p.next[slot];
    const prev = p.prev[slot];
    assert((prev < 0 ? this.head : p.next[prev]) === slot, 'peer request not in its list');
    if (prev < 0) this.head = next;
    else p.next[prev] = next;
    if (next < 0) this.tail = prev;
    else p.prev[next] = prev;
    this.length--;
  }
}
