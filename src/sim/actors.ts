// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * People and programs around a cluster: async functions that wait in virtual time, many at once. Their order depends on
 * nothing but the world's, since what settles a promise is always an event of it.
 */
import type { World } from './world.ts';

/** Enough ticks for an answer to run through the awaits of an actor up to its next wait. */
const TICKS = 12;
const POLL_MS = 20;
/** More events than this in a virtual second, and somebody runs in circles. */
const STEPS_MAX = 300_000;

export class Actors {
  readonly world: World;
  /** Who is still at it, by name and number of them. */
  readonly running = new Map<string, number>();
  /** The first error of any of them. */
  error: Error | null = null;

  constructor(world: World) { this.world = world; }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.world.at(ms, 'sleeper', () => { this.world.woken = true; resolve(); }));
  }

  /** True when it came to hold in time. */
  async until(holds: () => boolean, limitMs: number): Promise<boolean> {
    for (let waited = 0; !holds(); waited += POLL_MS) {
      if (waited >= limitMs) return false;
      await this.sleep(POLL_MS);
    }
    return true;
  }

  spawn(name: string, act: () => Promise<void>): void {
    this.running.set(name, (this.running.get(name) ?? 0) + 1);
    const ended = (): void => {
      const left = this.running.get(name)! - 1;
      if (left === 0) this.running.delete(name);
      else this.running.set(name, left);
    };
    void act().then(ended, (error: unknown) => { ended(); this.error ??= error as Error; });
  }

  /** Names of events that come again and again. */
  #circle(): string {
    const counts = new Map<string, number>();
    for (let i = 0; i < 10_000 && this.world.step(); i++) {
      const { name } = this.world.last!;
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return [...counts].sort((a, b) => b[1] - a[1]).slice(0, 8).map(([name, n]) => `${n} × ${name}`).join(', ');
  }

  /** Lets the world run until it is done or virtual time ran out; says which. Throws what an actor threw. */
  async run(done: () => boolean, limitMs: number): Promise<boolean> {
    const { world } = this;
    const end = world.nowMs + limitMs;
    let nextLook = 0;
    let second = { endMs: 0, steps: 0 };
    for (;;) {
      if (world.nowMs >= second.endMs) second = { endMs: world.nowMs + 1000, steps: world.steps };
      else if (world.steps - second.steps > STEPS_MAX) throw new Error(`livelock: ${this.#circle()}`);
      if (world.nowMs >= nextLook) {
        if (done()) return true;
        nextLook = world.nowMs + 1;
      }
      if (world.nowMs > end || !world.step()) return false;
      if (!world.woken) continue;
      world.woken = false;
      for (let i = 0; i < TICKS; i++) await null;
      if (this.error) throw this.error;
    }
  }
}
