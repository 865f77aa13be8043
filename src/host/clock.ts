// SPDX-License-Identifier: GPL-2.0-or-later
/** Time and turns. The core reads no other clock; in the simulator time is virtual. */
export interface Clock {
  /** Monotonic milliseconds since some fixed point, with a fraction. Constant within one turn. */
  nowMs(): number;
  /** Wall-clock seconds since 1970, only for what a person reads. */
  wallSeconds(): number;
  /** Calls `fire` once after `delayMs`. The name says what a hang waits for. */
  timer(name: string, delayMs: number, fire: () => void): Timer;
  /** Runs `job` once at the end of the current turn, before its batch of operations is handed over. */
  atTurnEnd(job: Job): void;
  /** Runs `job` once in a later turn, after the I/O of that turn: for range work in slices. */
  soon(job: Job): void;
}

export interface Timer {
  readonly name: string;
  /** Idempotent; after it `fire` is never called. */
  cancel(): void;
}

/** Work that is queued without an allocation: made once, queued many times. Queuing a queued job does nothing. */
export interface Job {
  readonly name: string;
  queued: boolean;
  run(): void;
}
