// SPDX-License-Identifier: GPL-2.0-or-later
/** The slots of the activity log: an LRU set of extents with reference counts, in typed arrays. @spec io.md 8.2 */
import { assert } from '../assert.ts';
import { noExtent } from './al-transaction.ts';
import { alContextPerTransaction, alUpdatesPerTransaction } from './limits.ts';

/** Words: slots, transaction number, context start, reserved; then the committed extent of each slot plus 1. */
export type AlMemory = Int32Array;
const headerWords = 4;
const word = { slots: 0, trNumber: 1, contextStart: 2 } as const;
const none = -1;

export class AlSlots {
  readonly count: number;
  /** Extent of each slot that is in the log on disk. */
  readonly committed: Int32Array;
  /** The same with the changes of the next transaction. */
  readonly wanted: Int32Array;
  readonly refs: Int32Array;
  /** Slots that the next transaction changes. */
  readonly pending = new Int32Array(alUpdatesPerTransaction);
  pendingCount = 0;
  used = 0;

  readonly #memory: AlMemory;
  readonly #isPending: Uint8Array;
  readonly #bucket: Int32Array;
  readonly #chain: Int32Array;
  readonly #shift: number;
  readonly #newer: Int32Array;
  readonly #older: Int32Array;
  readonly #inLru: Uint8Array;
  #newest = none;
  #oldest = none;
  #freeTop = 0;
  readonly #free: Int32Array;

  static memoryWords(count: number): number {
    return headerWords + count;
  }

  /** `adopt`: the memory is a dead engine's; its committed extents are taken over if it has the same size. */
  constructor(count: number, memory: AlMemory = new Int32Array(AlSlots.memoryWords(count)), adopt = false) {
    assert(memory.length >= AlSlots.memoryWords(count), 'activity log memory too small');
    this.count = count;
    this.#memory = memory;
    this.committed = memory.subarray(headerWords, headerWords + count);
    this.wanted = new Int32Array(count).fill(noExtent);
    this.refs = new Int32Array(count);
    this.#isPending = new Uint8Array(count);
    this.#inLru = new Uint8Array(count);
    const bits = 32 - Math.clz32(count * 2);
    this.#shift = 32 - bits;
    this.#bucket = new Int32Array(2 ** bits).fill(none);
    this.#chain = new Int32Array(count).fill(none);
    this.#newer = new Int32Array(count).fill(none);
    this.#older = new Int32Array(count).fill(none);
    this.#free = new Int32Array(count);
    if (!adopt || memory[word.slots] !== count) {
      memory.fill(0, 0, headerWords);
      memory[word.slots] = count;
      this.committed.fill(noExtent);
    }
    this.#rebuild();
  }

  get trNumber(): number {
    return this.#memory[word.trNumber] >>> 0;
  }

  get contextStart(): number {
    return this.#memory[word.contextStart];
  }

  /** A transaction is on disk. */
  advance(): void {
    this.#memory[word.trNumber] = (this.trNumber + 1) | 0;
    const next = this.contextStart + alContextPerTransaction;
    this.#memory[word.contextStart] = next >= this.count ? 0 : next;
  }

  /** Slot of an extent, pending ones included; -1: absent. */
  find(extent: number): number {
    let slot = this.#bucket[this.#hash(extent)];
    while (slot !== none && this.wanted[slot] !== extent) slot = this.#chain[slot];
    return slot;
  }

  allCommitted(first: number, last: number): boolean {
    for (let extent = first; extent <= last; extent++) {
      const slot = this.find(extent);
      if (slot === none || this.#isPending[slot] !== 0) return false;
    }
    return true;
  }

  /** One more reference. */
  get(slot: number): void {
    if (this.refs[slot]++ !== 0) return;
    this.used++;
    if (this.#inLru[slot] !== 0) this.#unlink(slot);
  }

  /** One reference less; true: the slot may be replaced now. */
  put(slot: number): boolean {
    assert(this.refs[slot] > 0, 'extent completed more often than begun');
    if (--this.refs[slot] !== 0) return false;
    this.used--;
    if (this.#isPending[slot] !== 0) return false;
    this.#link(slot);
    return true;
  }

  /** A slot that may take another extent: free, else the least recently used; -1: all are referenced. */
  victim(): number {
    return this.#freeTop > 0 ? this.#free[this.#freeTop - 1] : this.#oldest;
  }

  /** Gives the victim a new extent and one reference, as a change of the next transaction. Returns the old extent. */
  replace(slot: number, extent: number): number {
    assert(this.refs[slot] === 0 && this.#isPending[slot] === 0, 'replaced an extent in use');
    assert(this.pendingCount < alUpdatesPerTransaction, 'transaction is full');
    if (this.#inLru[slot] !== 0) this.#unlink(slot);
    else this.#freeTop--;
    const old = this.wanted[slot];
    if (old !== noExtent) this.#unhash(slot);
    this.wanted[slot] = extent;
    this.#insert(slot);
    this.#isPending[slot] = 1;
    this.pending[this.pendingCount++] = slot;
    this.refs[slot] = 1;
    this.used++;
    return old;
  }

  /** The pending changes are in force. True: some slot became free to be replaced. */
  commit(): boolean {
    let freed = false;
    for (let i = 0; i < this.pendingCount; i++) {
      const slot = this.pending[i];
      this.committed[slot] = this.wanted[slot];
      this.#isPending[slot] = 0;
      if (this.refs[slot] === 0) {
        this.#link(slot);
        freed = true;
      }
    }
    this.pendingCount = 0;
    return freed;
  }

  /** Forgets all extents. */
  clear(): void {
    assert(this.used === 0 && this.pendingCount === 0, 'cleared slots in use');
    this.committed.fill(noExtent);
    this.#rebuild();
  }

  #rebuild(): void {
    this.#bucket.fill(none);
    this.#inLru.fill(0);
    this.#newest = none;
    this.#oldest = none;
    this.#freeTop = 0;
    for (let slot = this.count - 1; slot >= 0; slot--) {
      const extent = this.committed[slot];
      // Two slots with one extent cannot come from us; the second one is dropped.
      const fresh = extent < 0 || this.find(extent) !== none;
      this.wanted[slot] = fresh ? noExtent : extent;
      if (fresh) {
        this.committed[slot] = noExtent;
        this.#free[this.#freeTop++] = slot;
      } else {
        this.#insert(slot);
        this.#link(slot);
      }
    }
  }

  #hash(extent: number): number {
    return Math.imul(extent, 0x9e3779b1) >>> this.#shift;
  }

  #insert(slot: number): void {
    const h = this.#hash(this.wanted[slot]);
    this.#chain[slot] = this.#bucket[h];
    this.#bucket[h] = slot;
  }

  #unhash(slot: number): void {
    const h = this.#hash(this.wanted[slot]);
    if (this.#bucket[h] === slot) {
      this.#bucket[h] = this.#chain[slot];
    } else {
      let at = this.#bucket[h];
      while (this.#chain[at] !== slot) at = this.#chain[at];
      this.#chain[at] = this.#chain[slot];
    }
    this.#chain[slot] = none;
  }

  #link(slot: number): void {
    this.#older[slot] = this.#newest;
    this.#newer[slot] = none;
    if (this.#newest !== none) this.#newer[this.#newest] = slot;
    else this.#oldest = slot;
    this.#newest = slot;
    this.#inLru[slot] = 1;
  }

  #unlink(slot: number): void {
    const newer = this.#newer[slot];
    const older = this.#older[slot];
    if (newer === none) this.#newest = older;
    else this.#older[newer] = older;
    if (older === none) this.#oldest = newer;
    else this.#newer[older] = newer;
    this.#inLru[slot] = 0;
  }
}
