// SPDX-License-Identifier: GPL-2.0-or-later
import type { Clock, Job, Timer } from '../host/clock.ts';

export interface KeepaliveEvents {
  sendPing(): void;
  /** Milliseconds (Clock) of the last byte on the control stream. */
  lastReceivedMs(): number;
  /** The peer did not answer. Called once. */
  silent(explicit: boolean): void;
}

interface Waiter {
  /** Acknowledged when so many P_PING_ACK have come. */
  readonly number: number;
  readonly timer: Timer | null;
  readonly done: (alive: boolean) => void;
}

/**
 * Pings of one incarnation. The idle timer looks at what was received on the control stream; a ping that somebody
 * asked for has its own wait, so that neither can take the other's answer for its own. @spec wire.md 12, hazards.md H-219
 */
export class Keepalive {
  readonly #clock: Clock;
  readonly #events: KeepaliveEvents;
  #intervalMs: number;
  #timeoutMs: number;
  #idleTimer: Timer | null = null;
  #waiters: Waiter[] = [];
  #sent = 0;
  #acked = 0;
  #stopped = false;
  #ended = false;

  constructor(clock: Clock, intervalMs: number, timeoutMs: number, events: KeepaliveEvents) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#timeoutMs = timeoutMs;
    this.#events = events;
  }

  setTimes(intervalMs: number, timeoutMs: number): void {
    this.#intervalMs = intervalMs;
    this.#timeoutMs = timeoutMs;
  }

  start(): void {
    this.#watchIdle();
  }

  /** Nobody is called silent any more; who waits for an answer waits for the end of the incarnation. */
  rest(): void {
    this.#stopped = true;
    this.#idleTimer?.cancel();
    for (const waiter of this.#waiters) waiter.timer?.cancel();
  }

  /** The incarnation ends. Who waits hears of it in a later turn: by then the loss is known to all, also to the rules. */
  stop(): void {
    this.rest();
    this.#ended = true;
    this.#unanswered();
  }

  /** A ping without waiting for its answer. */
  sendPing(): void {
    if (this.#stopped) return;
    this.#sent++;
    this.#events.sendPing();
  }

  /** `done` once: true when answered, false when the incarnation ends before. No answer in time ends it. */
  ping(done: (alive: boolean) => void): void {
    const number = this.#sent + 1;
    if (this.#stopped) {
      this.#waiters.push({ number, timer: null, done });
      return this.#unanswered();
    }
    const timer = this.#clock.timer('P_PING_ACK', this.#timeoutMs, () => this.#nextTurn('P_PING_ACK late', () => {
      if (this.#acked < number) this.#silent(true);
    }));
    this.#waiters.push({ number, timer, done });
    this.sendPing();
  }

  /** P_PING_ACK came. One that nobody asked for is ignored. */
  acked(): void {
    if (this.#acked === this.#sent) return;
    this.#acked++;
    while (this.#waiters.length > 0 && this.#waiters[0].number <= this.#acked) {
      const waiter = this.#waiters.shift()!;
      waiter.timer?.cancel();
      waiter.done(true);
    }
  }

  #unanswered(): void {
    const waiters = this.#waiters;
    if (!this.#ended || waiters.length === 0) return;
    this.#waiters = [];
    this.#clock.soon({ name: 'pings end', queued: false, run: () => { for (const waiter of waiters) waiter.done(false); } });
  }

  #watchIdle(): void {
    const idleMs = this.#clock.nowMs() - this.#events.lastReceivedMs();
    this.#idleTimer = this.#clock.timer('ping-int', Math.max(1, this.#intervalMs - idleMs), () => {
      if (this.#clock.nowMs() - this.#events.lastReceivedMs() < this.#intervalMs) return this.#watchIdle();
      this.#pingIdle();
    });
  }

  #pingIdle(): void {
    const since = this.#clock.nowMs();
    this.sendPing();
    this.#idleTimer = this.#clock.timer('ping-timeout', this.#timeoutMs, () => this.#nextTurn('ping-timeout', () => {
      if (this.#events.lastReceivedMs() > since) this.#watchIdle();
      else this.#silent(false);
    }));
  }

  /** After an engine that stood still, what came meanwhile is looked at before anybody is called silent. */
  #nextTurn(name: string, run: () => void): void {
    const job: Job = { name, queued: false, run: () => { if (!this.#stopped) run(); } };
    this.#clock.soon(job);
  }

  #silent(explicit: boolean): void {
    this.stop();
    this.#events.silent(explicit);
  }
}
