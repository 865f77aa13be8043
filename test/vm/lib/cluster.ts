// SPDX-License-Identifier: GPL-2.0-or-later
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Guest, type GuestOptions } from './guest.ts';
import { takeSlots, type Slots } from './slots.ts';

/** One guest, or two on a network segment of their own: n1 is 10.99.0.1, n2 is 10.99.0.2. */
export class Cluster {
  readonly guests: Guest[];
  readonly dir: string;
  #slots: Slots;

  private constructor(guests: Guest[], dir: string, slots: Slots) {
    this.guests = guests;
    this.dir = dir;
    this.#slots = slots;
  }

  /** Waits for free guest slots, then boots `count` guests. `destroy()` it when done. */
  static async boot(count: 1 | 2, options: GuestOptions | ((node: number) => GuestOptions) = {}): Promise<Cluster> {
    const slots = await takeSlots(count);
    const dir = mkdtempSync(join(tmpdir(), 'guest-'));
    const socket = (node: number) => join(dir, `net${node}`);
    const guests = Array.from({ length: count }, (_, i) => {
      const network = { own: socket(i + 1), peer: socket(2 - i) };
      const own = typeof options === 'function' ? options(i + 1) : options;
      return new Guest(i + 1, dir, { ...own, network });
    });
    const cluster = new Cluster(guests, dir, slots);
    try {
      await Promise.all(guests.map((guest) => guest.boot()));
    } catch (error) {
      await cluster.destroy();
      throw error;
    }
    return cluster;
  }

  /** Ends the guests, gives the slots back and deletes disks and logs (GUEST_KEEP=1 keeps them). */
  async destroy(): Promise<void> {
    await Promise.all(this.guests.map((guest) => guest.kill()));
    await this.#slots.release();
    if (process.env.GUEST_KEEP) process.stderr.write(`kept ${this.dir}\n`);
    else rmSync(this.dir, { recursive: true, force: true });
  }
}
