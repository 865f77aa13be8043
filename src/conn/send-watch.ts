// SPDX-License-Identifier: GPL-2.0-or-later
import type { Clock, Timer } from '../host/clock.ts';

export interface SendWatchEvents {
  /** Bytes that wait; 0 when all is with the kernel. */
  queuedBytes(): number;
  /** Nothing moved for the time-out. False: give up, the watch ends. */
  expired(): boolean;
}

/** Notices that a stream takes nothing for `timeout`: looks twice a time-out, only while something waits. @spec wire.md 12 */
export class SendWatch {
  readonly #clock: Clock;
  readonly #name: string;
  readonly #events: SendWatchEvents;
  #timeoutMs: number;
  #position = 0;
  #movedMs = 0;
  #timer: Timer | null = null;

  constructor(clock: Clock, name: string, timeoutMs: number, events: SendWatchEvents) {
    this.#clock = clock;
    this.#name = name;
    this.#timeoutMs = timeoutMs;
    this.#events = events;
  }

  setTimeout(timeoutMs: number): void {
    this.#timeoutMs = timeoutMs;
  }

  /** From StreamHandler.sent. */
  sent(position: number): void {
    this.#position = position;
  }

  start(): void {
    this.#movedMs = this.#clock.nowMs();
    this.#arm(this.#position);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #arm(lookedAt: number): void {
    this.#timer = this.#clock.timer(this.#name, this.#timeoutMs / 2, () => this.#look(lookedAt));
  }

  #look(before: number): void {
    this.#timer = null;
    const now = this.#clock.nowMs();
    if (this.#events.queuedBytes() === 0 || this.#position !== before) this.#movedMs = now;
    if (now - this.#movedMs >= this.#timeoutMs) {
      if (!this.#events.expired()) return;
      this.#movedMs = now;
    }
    this.#arm(this.#position);
  }
}
