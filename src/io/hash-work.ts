// SPDX-License-Identifier: GPL-2.0-or-later
import type { Job } from '../host/clock.ts';
import type { ConnectionIo } from './connection-io.ts';
import { DIGEST_MAX } from './peer-request-pool.ts';
import { SlotQueue } from './request-pool.ts';

/** Bytes that one turn digests: well below a millisecond a MiB in native code, some with slow algorithms. */
const SLICE_BYTES = 1 << 19;

/** Digests of blocks that lie in arenas, in slices of turns of their own: checksum resync and online verify. */
export class HashWork {
  /** The digest that `hashed` is called with. */
  readonly digest = new Uint8Array(DIGEST_MAX);
  private readonly connection: ConnectionIo;
  private readonly queue: SlotQueue;
  /** The stream had no room for what its digest was wanted for. */
  private again = -1;
  private readonly job: Job;

  constructor(connection: ConnectionIo) {
    this.connection = connection;
    this.queue = new SlotQueue(connection.resource.peerRequests);
    this.job = { name: 'digests', queued: false, run: () => this.run() };
  }

  /** A peer request whose data are in its arena: ConnectionIo.hashed(slot) follows. */
  push(slot: number): void {
    this.queue.push(slot);
    this.soon();
  }

  /** The stream has room again. */
  resume(): void {
    if (this.again >= 0 || this.queue.length > 0) this.soon();
  }

  cancel(): void {
    this.again = -1;
    while (this.queue.shift() >= 0);
  }

  private soon(): void {
    if (!this.job.queued) this.connection.resource.env.clock.soon(this.job);
  }

  private run(): void {
    const { connection, queue } = this;
    const { env, peerRequests: p, devices } = connection.resource;
    for (let left = SLICE_BYTES; left > 0;) {
      const slot = this.again >= 0 ? this.again : queue.shift();
      this.again = -1;
      if (slot < 0) return;
      const algorithm = connection.hashAlgorithm(slot);
      if (p.offset[slot] < 0) this.digest.fill(0);
      else env.crypto.digest(algorithm, devices[p.device[slot]].arena, p.offset[slot], p.size[slot], this.digest, 0);
      left -= p.size[slot];
      if (!connection.hashed(slot)) {
        this.again = slot;
        return;
      }
    }
    this.resume();
  }
}
