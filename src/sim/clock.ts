// SPDX-License-Identifier: GPL-2.0-or-later
import type { Clock, Job, Timer } from '../host/clock.ts';
import { assert } from '../assert.ts';
import type { World } from './world.ts';

/**
 * A life of one engine: everything that it scheduled dies with it. Each callback into the engine is a turn of its own,
 * at whose end the jobs run that asked for it.
 */
export class EngineLife implements Clock {
  readonly #world: World;
  readonly #epochSeconds = 1_750_000_000;
  #turnEnd: Job[] = [];
  #inTurn = false;
  alive = true;
  /** Multiplies the engine's own delays: a slow node. */
  slowness = 1;

  constructor(world: World) { this.#world = world; }

  nowMs(): number { return this.#world.nowMs; }
  wallSeconds(): number { return this.#epochSeconds + Math.floor(this.#world.nowMs / 1000); }

  timer(name: string, delayMs: number, fire: () => void): Timer {
    const event = this.later(delayMs, name, fire);
    return { name, cancel: () => { event.dead = true; } };
  }

  atTurnEnd(job: Job): void {
    if (job.queued) return;
    assert(this.#inTurn || !this.alive, `turn-end job ${job.name} is queued within a turn`);
    job.queued = true;
    this.#turnEnd.push(job);
  }

  soon(job: Job): void {
    if (job.queued) return;
    job.queued = true;
    this.later(0.01 * this.slowness, job.name, () => { job.queued = false; job.run(); });
  }

  /** Schedules a callback into the engine. */
  later(delayMs: number, name: string, run: () => void) {
    return this.#world.at(delayMs, name, () => this.turn(run));
  }

  /** Runs a callback as one turn. */
  turn(run: () => void): void {
    if (!this.alive) return;
    assert(!this.#inTurn, 'turns do not nest');
    this.#inTurn = true;
    try {
      run();
      for (let i = 0; i < this.#turnEnd.length && this.alive; i++) {
        const job = this.#turnEnd[i]!;
        job.queued = false;
        job.run();
      }
    } finally {
      this.#turnEnd = [];
      this.#inTurn = false;
    }
  }
}
