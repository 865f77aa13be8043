// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import { SimRandom } from './random.ts';

/**
 * Virtual time and the one queue of everything that will happen. Events of equal time happen in the order in which
 * they were scheduled, so a run depends on nothing but the seed.
 */
export class World {
  readonly random: SimRandom;
  #nowMs = 0;
  #sequence = 0;
  readonly #heap: Event[] = [];
  /** Set by whoever settled a promise: its waiters must be let through before the next event. */
  woken = false;
  /** Running digest of the event log: two runs of one seed must end with the same (unseed). */
  #digest = 0x811c9dc5;

  constructor(seed: number) {
    this.random = new SimRandom(seed);
  }

  get nowMs(): number { return this.#nowMs; }
  get digest(): string { return (this.#digest >>> 0).toString(16).padStart(8, '0'); }
  /** Events that have happened. */
  steps = 0;
  /** The latest one. */
  last: Event | null = null;
  get pending(): number { return this.#heap.length; }

  at(delayMs: number, name: string, run: () => void): Event {
    assert(delayMs >= 0 && Number.isFinite(delayMs), 'an event lies in the future');
    const event: Event = { timeMs: this.#nowMs + delayMs, sequence: this.#sequence++, name, run, dead: false };
    push(this.#heap, event);
    return event;
  }

  /** Notes something observable in the digest. */
  note(text: string): void {
    for (let i = 0; i < text.length; i++) this.#digest = Math.imul(this.#digest ^ text.charCodeAt(i), 0x01000193);
  }

  noteNumber(n: number): void { this.#digest = Math.imul(this.#digest ^ n, 0x01000193); }

  /** Lets the next event happen; false when there is none. */
  step(): boolean {
    for (;;) {
      const event = pop(this.#heap);
      if (!event) return false;
      if (event.dead) continue;
      this.#nowMs = event.timeMs;
      this.steps++;
      this.last = event;
      event.run();
      return true;
    }
  }

  /** Runs until the condition holds or virtual time ran out; says which. */
  runUntil(done: () => boolean, limitMs: number): boolean {
    const end = this.#nowMs + limitMs;
    while (!done()) {
      const next = this.#heap[0];
      if (!next || next.timeMs > end) return false;
      this.step();
    }
    return true;
  }

  runFor(ms: number): void {
    const end = this.#nowMs + ms;
    while (this.#heap[0] && this.#heap[0].timeMs <= end) this.step();
    this.#nowMs = Math.max(this.#nowMs, end);
  }

  /** Names of what is still to come, soonest first: who waits for what. */
  waiting(): string[] {
    return this.#heap.filter((e) => !e.dead).sort(earlier).map((e) => `${e.name} at ${e.timeMs.toFixed(3)} ms`);
  }
}

export interface Event {
  readonly timeMs: number;
  readonly sequence: number;
  readonly name: string;
  readonly run: () => void;
  dead: boolean;
}

const earlier = (a: Event, b: Event): number => a.timeMs - b.timeMs || a.sequence - b.sequence;

function push(heap: Event[], event: Event): void {
  let i = heap.length;
  heap.push(event);
  while (i > 0) {
    const parent = (i - 1) >> 1;
    if (earlier(heap[parent]!, event) <= 0) break;
    heap[i] = heap[parent]!;
    i = parent;
  }
  heap[i] = event;
}

function pop(heap: Event[]): Event | undefined {
  const first = heap[0];
  const last = heap.pop();
  if (!last || first === last) return first;
  let i = 0;
  for (;;) {
    let child = 2 * i + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && earlier(heap[child + 1]!, heap[child]!) < 0) child++;
    if (earlier(heap[child]!, last) >= 0) break;
    heap[i] = heap[child]!;
    i = child;
  }
  heap[i] = last;
  return first;
}
