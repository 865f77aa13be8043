// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { Clock, Job } from '../host/clock.ts';

/** A piece of work: returns false when it has ended, true when it goes on and will call Worker.next(). */
export type Work = () => boolean;

/** The one FIFO of a resource: a piece that waits (a helper, a disk) holds up everything behind it. @spec state.md 2.7 */
export class Worker {
  readonly #queue: Work[] = [];
  readonly #clock: Clock;
  readonly #job: Job;
  #waiting = false;

  constructor(clock: Clock, name: string) {
    this.#clock = clock;
    this.#job = { name, queued: false, run: () => this.#run() };
  }

  get idle(): boolean { return this.#queue.length === 0 && !this.#waiting; }

  push(work: Work): void {
    this.#queue.push(work);
    this.#clock.soon(this.#job);
  }

  /** The piece that returned true has ended. */
  next(): void {
    assert(this.#waiting, 'work that waits ends once');
    this.#waiting = false;
    this.#clock.soon(this.#job);
  }

  /** Calls `done` when all that is queued now has ended. */
  flush(done: () => void): void {
    this.push(() => { done(); return false; });
  }

  #run(): void {
    while (!this.#waiting) {
      const work = this.#queue.shift();
      if (!work) break;
      // Set before the call, since a piece may end from inside itself.
      this.#waiting = true;
      if (!work()) this.#waiting = false;
    }
  }
}
