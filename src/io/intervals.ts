// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';

/** What an interval stands for. @spec io.md 0 */
export const IvType = {
  LOCAL_WRITE: 1, PEER_WRITE: 2, RESYNC_WRITE: 3, RESYNC_READ: 4, OV_READ_SOURCE: 5, OV_READ_TARGET: 6,
  PEERS_IN_SYNC_LOCK: 7,
} as const;
export type IvType = (typeof IvType)[keyof typeof IvType];

export const IvFlag = {
  READY_TO_SEND: 1, SENT: 2, RECEIVED: 4, CONFLICT_QUEUED: 8, SUBMITTED: 16, BACKING_COMPLETED: 32, COMPLETED: 64,
  CONFLICT: 128, CANCELED: 256, WAITING: 512,
} as const;

/** Flags of a search. */
export const Find = { IGNORE_SAME_PEER: 1, APPLICATION_ONLY: 2 } as const;

const BUCKETS = 4096;
/** 256 KiB a bucket: at most 64 blocks of 4 KiB. */
const BUCKET_SECTORS = 512;
/** An interval over more buckets than this (a large discard) is kept in one list that each search walks. */
const MAX_SPAN = 8;

/**
 * Ranges of a device that exclude each other. An interval leaves when it can block nobody any more.
 * Ids are Int32 >= 0; `owner` is what the user of it makes of it; `peer` -1 for local ones.
 * @spec io.md 1.5, uuid.md 7.8
 */
export class Intervals {
  type = new Uint8Array(64);
  flags = new Int32Array(64);
  peer = new Int32Array(64);
  owner = new Int32Array(64);
  sector = new Float64Array(64);
  sectors = new Float64Array(64);
  /** Order of insertion. */
  serial = new Float64Array(64);
  count = 0;
  /** Intervals that wait for another one: with none, nobody has to be woken. */
  waiting = 0;
  private nextFree = new Int32Array(64);
  private nextSerial = 0;
  private freeHead = -1;
  private used = 0;
  private readonly heads = new Int32Array(BUCKETS).fill(-1);
  private wideHead = -1;
  private nodeIv = new Int32Array(256);
  private nodeNext = new Int32Array(256);
  private nodeFree = -1;
  private nodesUsed = 0;

  insert(type: IvType, peer: number, sector: number, sectors: number, owner: number): number {
    assert(sectors > 0, 'interval without length');
    const iv = this.takeId();
    this.type[iv] = type;
    this.flags[iv] = 0;
    this.peer[iv] = peer;
    this.owner[iv] = owner;
    this.sector[iv] = sector;
    this.sectors[iv] = sectors;
    this.serial[iv] = this.nextSerial++;
    this.count++;
    const first = firstBucket(sector);
    const span = lastBucket(sector, sectors) - first + 1;
    if (span > MAX_SPAN) this.wideHead = this.addNode(iv, this.wideHead);
    else for (let i = 0; i < span; i++) this.link(iv, (first + i) % BUCKETS);
    return iv;
  }

  /** It waits until an overlapping interval is released. */
  wait(iv: number): void {
    if ((this.flags[iv] & IvFlag.WAITING) !== 0) return;
    this.flags[iv] |= IvFlag.WAITING;
    this.waiting++;
  }

  stopWaiting(iv: number): void {
    if ((this.flags[iv] & IvFlag.WAITING) === 0) return;
    this.flags[iv] &= ~(IvFlag.WAITING | IvFlag.CONFLICT_QUEUED);
    this.waiting--;
  }

  remove(iv: number): void {
    assert(this.type[iv] !== 0, 'interval removed twice');
    this.stopWaiting(iv);
    const first = firstBucket(this.sector[iv]);
    const span = lastBucket(this.sector[iv], this.sectors[iv]) - first + 1;
    if (span > MAX_SPAN) this.wideHead = this.unlinkFrom(this.wideHead, iv);
    else for (let i = 0; i < span; i++) {
      const bucket = (first + i) % BUCKETS;
      this.heads[bucket] = this.unlinkFrom(this.heads[bucket], iv);
    }
    this.type[iv] = 0;
    this.count--;
    this.nextFree[iv] = this.freeHead;
    this.freeHead = iv;
  }

  /** An interval that X must wait for, -1: none. Marks verify intervals CONFLICT where X is a write. */
  findConflict(x: number, find: number): number {
    const first = firstBucket(this.sector[x]);
    const last = lastBucket(this.sector[x], this.sectors[x]);
    const wide = this.conflictIn(this.wideHead, x, find);
    if (wide >= 0) return wide;
    const end = Math.min(last, first + BUCKETS - 1);
    for (let b = first; b <= end; b++) {
      const found = this.conflictIn(this.heads[b % BUCKETS], x, find);
      if (found >= 0) return found;
    }
    return -1;
  }

  /** Collects into `out` the waiting intervals that overlap the range, marked CONFLICT_QUEUED. Returns how many. */
  collectWaiting(sector: number, sectors: number, out: Int32Array): number {
    let n = this.waitingIn(this.wideHead, sector, sectors, out, 0);
    const first = firstBucket(sector);
    const end = Math.min(lastBucket(sector, sectors), first + BUCKETS - 1);
    for (let b = first; b <= end; b++) n = this.waitingIn(this.heads[b % BUCKETS], sector, sectors, out, n);
    return n;
  }

  private conflictIn(head: number, x: number, find: number): number {
    for (let n = head; n >= 0; n = this.nodeNext[n]) {
      const iv = this.nodeIv[n];
      if (iv === x || !this.overlap(iv, this.sector[x], this.sectors[x])) continue;
      if (this.blocks(x, iv, find)) return iv;
    }
    return -1;
  }

  /** The five rules of io.md 1.5. */
  private blocks(x: number, iv: number, find: number): boolean {
    const flags = this.flags[iv];
    const xType = this.type[x];
    const type = this.type[iv];
    const application = (find & Find.APPLICATION_ONLY) !== 0;
    const over = xType === IvType.LOCAL_WRITE || application ? IvFlag.COMPLETED : IvFlag.BACKING_COMPLETED;
    if ((flags & over) !== 0) return false;
    if (!this.mustGiveWay(x, iv, application)) return false;
    if ((find & Find.IGNORE_SAME_PEER) !== 0 && type === IvType.PEER_WRITE && this.peer[iv] === this.peer[x]) {
      return false;
    }
    if (application && type !== IvType.LOCAL_WRITE && type !== IvType.PEER_WRITE) return false;
    if (isWrite(xType)) {
      if (!isVerify(type)) return true;
      this.flags[iv] |= IvFlag.CONFLICT;
      return false;
    }
    return type !== IvType.RESYNC_READ && !isVerify(type) && type !== IvType.PEERS_IN_SYNC_LOCK;
  }

  private mustGiveWay(x: number, iv: number, application: boolean): boolean {
    const flags = this.flags[iv];
    if ((flags & IvFlag.SUBMITTED) !== 0) return true;
    const xType = this.type[x];
    if (this.followsWrite(x, iv)) return true;
    if (this.followsWrite(iv, x)) return false;
    if (!application && (xType === IvType.LOCAL_WRITE || xType === IvType.PEER_WRITE) && isResync(this.type[iv])) {
      return (flags & IvFlag.RECEIVED) !== 0 || this.peer[iv] !== this.peer[x];
    }
    return xType === IvType.RESYNC_WRITE && this.type[iv] === IvType.RESYNC_WRITE &&
      (flags & IvFlag.READY_TO_SEND) !== 0;
  }

  /** Who asks for the block may have that write already, though it waits here: the read is for after it. */
  private followsWrite(read: number, write: number): boolean {
    return this.type[read] === IvType.RESYNC_READ && this.type[write] === IvType.PEER_WRITE && this.serial[write] < this.serial[read];
  }

  private waitingIn(head: number, sector: number, sectors: number, out: Int32Array, n0: number): number {
    let count = n0;
    for (let n = head; n >= 0; n = this.nodeNext[n]) {
      const iv = this.nodeIv[n];
      if ((this.flags[iv] & (IvFlag.WAITING | IvFlag.CONFLICT_QUEUED)) !== IvFlag.WAITING) continue;
      if (!this.overlap(iv, sector, sectors) || count === out.length) continue;
      this.flags[iv] |= IvFlag.CONFLICT_QUEUED;
      out[count++] = iv;
    }
    return count;
  }

  private overlap(iv: number, sector: number, sectors: number): boolean {
    return this.sector[iv] < sector + sectors && sector < this.sector[iv] + this.sectors[iv];
  }

  private link(iv: number, bucket: number): void {
    this.heads[bucket] = this.addNode(iv, this.heads[bucket]);
  }

  private addNode(iv: number, next: number): number {
    let node = this.nodeFree;
    if (node >= 0) this.nodeFree = this.nodeNext[node];
    else {
      if (this.nodesUsed === this.nodeIv.length) {
        this.nodeIv = grown(this.nodeIv);
        this.nodeNext = grown(this.nodeNext);
      }
      node = this.nodesUsed++;
    }
    this.nodeIv[node] = iv;
    this.nodeNext[node] = next;
    return node;
  }

  private unlinkFrom(head: number, iv: number): number {
    let before = -1;
    let node = head;
    while (this.nodeIv[node] !== iv) {
      before = node;
      node = this.nodeNext[node];
      assert(node >= 0, 'interval not where it was put');
    }
    const next = this.nodeNext[node];
    this.nodeNext[node] = this.nodeFree;
    this.nodeFree = node;
    if (before < 0) return next;
    this.nodeNext[before] = next;
    return head;
  }

  private takeId(): number {
    if (this.freeHead >= 0) {
      const iv = this.freeHead;
      this.freeHead = this.nextFree[iv];
      return iv;
    }
    if (this.used === this.type.length) this.grow();
    return this.used++;
  }

  private grow(): void {
    const type = new Uint8Array(this.type.length * 2);
    type.set(this.type);
    this.type = type;
    this.flags = grown(this.flags);
    this.peer = grown(this.peer);
    this.owner = grown(this.owner);
    this.nextFree = grown(this.nextFree);
    this.sector = grownF(this.sector);
    this.sectors = grownF(this.sectors);
    this.serial = grownF(this.serial);
  }
}

const firstBucket = (sector: number): number => Math.floor(sector / BUCKET_SECTORS);
const lastBucket = (sector: number, sectors: number): number => Math.floor((sector + sectors - 1) / BUCKET_SECTORS);
const isResync = (type: number): boolean => type === IvType.RESYNC_WRITE || type === IvType.RESYNC_READ;
const isVerify = (type: number): boolean => type === IvType.OV_READ_SOURCE || type === IvType.OV_READ_TARGET;
const isWrite = (type: number): boolean =>
  type === IvType.LOCAL_WRITE || type === IvType.PEER_WRITE || type === IvType.RESYNC_WRITE;

/** Twice as long, same contents. */
export function grown(a: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const b = new Int32Array(a.length * 2);
  b.set(a);
  return b;
}

export function grownF(a: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const b = new Float64Array(a.length * 2);
  b.set(a);
  return b;
}
