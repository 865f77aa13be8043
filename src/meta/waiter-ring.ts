// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';

/** Bounded queue of requests that wait for extents; entries can be dropped from the middle (token -1). */
export class WaiterRing {
  readonly token: Int32Array;
  readonly first: Int32Array;
  readonly last: Int32Array;
  /** First extent not yet referenced. */
  readonly next: Int32Array;
  head = 0;
  size = 0;

  constructor(capacity: number) {
    assert(capacity > 0, 'waiter ring without room');
    this.token = new Int32Array(capacity);
    this.first = new Int32Array(capacity);
    this.last = new Int32Array(capacity);
    this.next = new Int32Array(capacity);
  }

  push(token: number, first: number, last: number): void {
    this.#push(token, first, last, first);
  }

  pushHeld(token: number, first: number, last: number): void {
    this.#push(token, first, last, last + 1);
  }

  shift(): void {
    assert(this.size > 0, 'empty waiter ring');
    this.head = (this.head + 1) % this.token.length;
    this.size--;
  }

  find(token: number): number {
    for (let i = 0; i < this.size; i++) {
      const at = (this.head + i) % this.token.length;
      if (this.token[at] === token) return at;
    }
    return -1;
  }

  drop(at: number): void {
    this.token[at] = -1;
  }

  #push(token: number, first: number, last: number, next: number): void {
    assert(this.size < this.token.length, 'more waiting requests than slots');
    const at = (this.head + this.size) % this.token.length;
    this.size++;
    this.token[at] = token;
    this.first[at] = first;
    this.last[at] = last;
    this.next[at] = next;
  }
}
