// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import { grown, grownF } from './intervals.ts';
import { Rq } from './mod.ts';

const FIRST_SIZE = 256;
export const NODES_MAX = 32;

/**
 * Requests of a resource as slots (Int32) of typed arrays. A slot stays from the bio's arrival until destruction.
 * block_id on the wire is (generation, slot + 1): never all ones, never 0. @spec io.md 12.10
 */
export class RequestPool {
  capacity = FIRST_SIZE;
  live = 0;
  /** Most requests at once: each bio that can be there, and what waits for barrier acks after its bio has ended. */
  limit = 0;
  tag = new Int32Array(FIRST_SIZE);
  op = new Int32Array(FIRST_SIZE);
  flags = new Int32Array(FIRST_SIZE);
  size = new Int32Array(FIRST_SIZE);
  sector = new Float64Array(FIRST_SIZE);
  offset = new Float64Array(FIRST_SIZE);
  device = new Int32Array(FIRST_SIZE);
  local = new Int32Array(FIRST_SIZE);
  /** completion_ref, and peers whose barrier ack is still expected (part of kref). */
  completionRef = new Int32Array(FIRST_SIZE);
  barrierRef = new Int32Array(FIRST_SIZE);
  epoch = new Float64Array(FIRST_SIZE);
  dagtag = new Float64Array(FIRST_SIZE);
  errno = new Int32Array(FIRST_SIZE);
  generation = new Int32Array(FIRST_SIZE);
  interval = new Int32Array(FIRST_SIZE);
  /** Parts of a discard still on the disk. */
  parts = new Int32Array(FIRST_SIZE);
  startMs = new Float64Array(FIRST_SIZE);
  submitMs = new Float64Array(FIRST_SIZE);
  /** Transfer log, both ways; writes of it by age; the queue that a request waits in. */
  tlNext = new Int32Array(FIRST_SIZE);
  tlPrev = new Int32Array(FIRST_SIZE);
  writeNext = new Int32Array(FIRST_SIZE);
  queueNext = new Int32Array(FIRST_SIZE);
  /** Net words by node id, made with the connection. */
  readonly net: (Uint16Array | null)[] = new Array<Uint16Array | null>(NODES_MAX).fill(null);
  readonly sentMs: (Float64Array | null)[] = new Array<Float64Array | null>(NODES_MAX).fill(null);
  private freeHead = -1;
  private used = 0;

  /** A zeroed slot, -1 when all are taken. */
  take(): number {
    let slot = this.freeHead;
    if (slot >= 0) this.freeHead = this.queueNext[slot];
    else {
      if (this.used === this.capacity && !this.grow()) return -1;
      slot = this.used++;
    }
    this.live++;
    this.generation[slot] = (this.generation[slot] + 1) & 0x7fffffff;
    this.local[slot] = this.completionRef[slot] = this.barrierRef[slot] = this.errno[slot] = this.parts[slot] = 0;
    this.interval[slot] = this.queueNext[slot] = -1;
    this.tlNext[slot] = this.tlPrev[slot] = this.writeNext[slot] = -1;
    this.dagtag[slot] = 0;
    for (let node = 0; node < NODES_MAX; node++) {
      const words = this.net[node];
      if (words !== null) words[slot] = 0;
    }
    return slot;
  }

  release(slot: number): void {
    assert(this.device[slot] >= 0, 'request released twice');
    this.device[slot] = -1;
    this.live--;
    this.queueNext[slot] = this.freeHead;
    this.freeHead = slot;
  }

  /** The live slot that a peer named, -1: no such. The caller compares sector and device. */
  find(idHigh: number, idLow: number): number {
    const slot = idLow - 1;
    if (slot < 0 || slot >= this.used || this.device[slot] < 0 || this.generation[slot] !== idHigh) return -1;
    return slot;
  }

  /** When the oldest local part of a device that is on the disk was submitted; Infinity: there is none. */
  oldestOnDisk(device: number): number {
    let oldest = Infinity;
    for (let slot = 0; slot < this.used; slot++) {
      if (this.device[slot] !== device || (this.local[slot] & (Rq.LOCAL_PENDING | Rq.LOCAL_ABORTED)) !== Rq.LOCAL_PENDING) continue;
      if (this.submitMs[slot] < oldest) oldest = this.submitMs[slot];
    }
    return oldest;
  }

  /** Room for the words of one more peer. */
  addNode(node: number): void {
    assert(node >= 0 && node < NODES_MAX && this.net[node] === null, 'node added twice');
    this.net[node] = new Uint16Array(this.capacity);
    this.sentMs[node] = new Float64Array(this.capacity);
  }

  /** Only when no request concerns the node any more. */
  removeNode(node: number): void {
    this.net[node] = null;
    this.sentMs[node] = null;
  }

  private grow(): boolean {
    if (this.capacity >= this.limit) return false;
    this.capacity *= 2;
    for (const name of int32Columns) this[name] = grown(this[name]);
    for (const name of float64Columns) this[name] = grownF(this[name]);
    for (let node = 0; node < NODES_MAX; node++) {
      const words = this.net[node];
      if (words === null) continue;
      const wider = new Uint16Array(this.capacity);
      wider.set(words);
      this.net[node] = wider;
      this.sentMs[node] = grownF(this.sentMs[node] as Float64Array<ArrayBuffer>);
    }
    return true;
  }
}

const int32Columns = ['tag', 'op', 'flags', 'size', 'device', 'local', 'completionRef', 'barrierRef', 'errno',
  'generation', 'interval', 'parts', 'tlNext', 'tlPrev', 'writeNext', 'queueNext'] as const;
const float64Columns = ['sector', 'offset', 'epoch', 'dagtag', 'startMs', 'submitMs'] as const;

/** A first-in first-out list of slots, linked through queueNext. A slot is in one of them at most. */
export class SlotQueue {
  head = -1;
  tail = -1;
  length = 0;
  private readonly pool: { queueNext: Int32Array };

  constructor(pool: { queueNext: Int32Array }) {
    this.pool = pool;
  }

  push(slot: number): void {
    this.pool.queueNext[slot] = -1;
    if (this.tail < 0) this.head = slot;
    else this.pool.queueNext[this.tail] = slot;
    this.tail = slot;
    this.length++;
  }

  shift(): number {
    const slot = this.head;
    if (slot < 0) return -1;
    this.head = this.pool.queueNext[slot];
    if (this.head < 0) this.tail = -1;
    this.length--;
    this.pool.queueNext[slot] = -1;
    return slot;
  }
}
