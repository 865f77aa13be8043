// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { Clock, Job, Timer } from '../host/clock.ts';
import { Head } from './abi.ts';

/** Jobs of `soon` stop for this turn after so long; a turn as a whole may last 20 ms. */
const soonSliceMs = 8;

class LinuxTimer implements Timer {
  readonly name: string;
  readonly fire: () => void;
  readonly dueMs: number;
  readonly order: number;
  /** Place in the heap, -1 when it is not there any more. */
  at = -1;
  private readonly clock: LinuxClock;

  constructor(clock: LinuxClock, name: string, dueMs: number, order: number, fire: () => void) {
    this.clock = clock;
    this.name = name;
    this.dueMs = dueMs;
    this.order = order;
    this.fire = fire;
  }

  cancel(): void { this.clock.remove(this); }
}

/** Time as the turn saw it, timers in a heap, jobs in two queues. */
export class LinuxClock implements Clock {
  private readonly head: Float64Array;
  private readonly heap: LinuxTimer[] = [];
  private orders = 0;
  /** Longer than its count: cleared places are used again, for an array that shrinks and grows is made anew. */
  private readonly turnEnd: (Job | null)[] = [];
  private turnEndCount = 0;
  private soonJobs: Job[] = [];
  private spare: Job[] = [];

  constructor(head: Float64Array) {
    this.head = head;
    head[Head.deadlineMs] = Infinity;
  }

  nowMs(): number { return this.head[Head.nowMs]!; }

  wallSeconds(): number { return Date.now() / 1000; }

  timer(name: string, delayMs: number, fire: () => void): Timer {
    assert(delayMs >= 0, 'a timer lies in the future');
    // Outside of a turn the turn's time may be old; a timer must not fire early.
    const from = Math.max(this.nowMs(), monotonicMs());
    const timer = new LinuxTimer(this, name, from + delayMs, this.orders++, fire);
    timer.at = this.heap.length;
    this.heap.push(timer);
    this.up(timer);
    this.head[Head.deadlineMs] = Math.min(this.head[Head.deadlineMs]!, timer.dueMs);
    return timer;
  }

  atTurnEnd(job: Job): void {
    if (!this.queue(job)) return;
    this.turnEnd[this.turnEndCount++] = job;
  }

  soon(job: Job): void {
    if (this.queue(job)) this.soonJobs.push(job);
  }

  /** Names of timers and jobs that are waiting, the next one first. */
  waiting(): readonly string[] {
    return [...this.heap].sort(earlier).map((timer) => timer.name).concat(this.soonJobs.map((job) => job.name));
  }

  /** Everything that is due; called once a turn after its events. */
  run(): void {
    const now = this.nowMs();
    while (this.heap.length > 0 && this.heap[0]!.dueMs <= now) {
      const timer = this.heap[0]!;
      this.remove(timer);
      timer.fire();
    }
    this.runSoon();
    this.runTurnEnd();
    this.head[Head.deadlineMs] = this.soonJobs.length > 0 ? 0 : this.heap[0]?.dueMs ?? Infinity;
  }

  remove(timer: LinuxTimer): void {
    if (timer.at < 0) return;
    const last = this.heap.pop()!;
    if (last !== timer) {
      last.at = timer.at;
      this.heap[last.at] = last;
      this.up(last);
      this.down(last);
    }
    timer.at = -1;
  }

  private queue(job: Job): boolean {
    if (job.queued) return false;
    job.queued = true;
    this.head[Head.deadlineMs] = 0;
    return true;
  }

  private runSoon(): void {
    if (this.soonJobs.length === 0) return;
    const jobs = this.soonJobs;
    this.soonJobs = this.spare;
    const until = monotonicMs() + soonSliceMs;
    let done = 0;
    while (done < jobs.length && (done === 0 || monotonicMs() < until)) {
      const job = jobs[done++]!;
      job.queued = false;
      job.run();
    }
    for (; done < jobs.length; done++) this.soonJobs.push(jobs[done]!);
    jobs.length = 0;
    this.spare = jobs;
  }

  /** Jobs may queue further ones: all of them still belong to this turn. */
  private runTurnEnd(): void {
    for (let i = 0; i < this.turnEndCount; i++) {
      const job = this.turnEnd[i]!;
      this.turnEnd[i] = null;
      job.queued = false;
      job.run();
    }
    this.turnEndCount = 0;
  }

  private up(timer: LinuxTimer): void {
    while (timer.at > 0) {
      const parent = this.heap[(timer.at - 1) >> 1]!;
      if (earlier(parent, timer) <= 0) return;
      this.swap(parent, timer);
    }
  }

  private down(timer: LinuxTimer): void {
    for (;;) {
      const left = this.heap[timer.at * 2 + 1];
      const right = this.heap[timer.at * 2 + 2];
      const child = right !== undefined && earlier(right, left!) < 0 ? right : left;
      if (child === undefined || earlier(timer, child) <= 0) return;
      this.swap(timer, child);
    }
  }

  private swap(a: LinuxTimer, b: LinuxTimer): void {
    const at = a.at;
    a.at = b.at;
    b.at = at;
    this.heap[a.at] = a;
    this.heap[b.at] = b;
  }
}

function earlier(a: LinuxTimer, b: LinuxTimer): number {
  return a.dueMs - b.dueMs || a.order - b.order;
}

const [seconds, nanoseconds] = process.hrtime();
const offsetMs = seconds * 1e3 + nanoseconds / 1e6 - performance.now();

/** The same clock as native code's: CLOCK_MONOTONIC. */
function monotonicMs(): number {
  return performance.now() + offsetMs;
}
