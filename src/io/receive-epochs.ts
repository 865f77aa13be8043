// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';

const EPOCHS_MAX = 256;

/** Epochs of what a peer writes to us, oldest first; the newest is open. @spec io.md 3.5 */
export class ReceiveEpochs {
  /** Writes in it; those whose ack is not out; those confirmed by P_CONFIRM_STABLE. */
  readonly size = new Int32Array(EPOCHS_MAX);
  readonly active = new Int32Array(EPOCHS_MAX);
  readonly confirmed = new Int32Array(EPOCHS_MAX);
  private readonly barrier = new Float64Array(EPOCHS_MAX);
  private readonly closed = new Uint8Array(EPOCHS_MAX);
  private readonly stable = new Uint8Array(EPOCHS_MAX);
  private head = 0;
  private count = 1;

  reset(): void {
    this.head = 0;
    this.count = 1;
    this.clear(0);
  }

  get current(): number {
    return (this.head + this.count - 1) % EPOCHS_MAX;
  }

  get full(): boolean {
    return this.count === EPOCHS_MAX;
  }

  join(): number {
    const epoch = this.current;
    this.size[epoch]++;
    this.active[epoch]++;
    return epoch;
  }

  /** A write that was answered at once, for lack of a disk. */
  joinDone(): number {
    this.size[this.current]++;
    return this.current;
  }

  left(epoch: number): void {
    this.active[epoch]--;
    assert(this.active[epoch] >= 0, 'more writes left an epoch than joined');
  }

  /** As if it had never come. */
  withdrawn(epoch: number): void {
    this.left(epoch);
    this.size[epoch]--;
  }

  /** P_BARRIER: `stable` when nothing more has to happen than the end of its writes. */
  close(barrier: number, stable: boolean): void {
    const epoch = this.current;
    this.barrier[epoch] = barrier;
    this.closed[epoch] = 1;
    this.stable[epoch] = stable ? 1 : 0;
    this.count++;
    this.clear(this.current);
  }

  /** Ack for the oldest epoch if it is finished: its barrier, set size in ackSize; -1: not finished. It is dropped. */
  ackSize = 0;
  takeFinished(): number {
    const epoch = this.head;
    if (this.closed[epoch] === 0 || this.stable[epoch] === 0 || this.active[epoch] > 0) return -1;
    this.ackSize = this.size[epoch] - this.confirmed[epoch];
    this.head = (epoch + 1) % EPOCHS_MAX;
    this.count--;
    return this.barrier[epoch];
  }

  private clear(epoch: number): void {
    this.size[epoch] = this.active[epoch] = this.confirmed[epoch] = 0;
    this.closed[epoch] = this.stable[epoch] = 0;
  }
}
