// SPDX-License-Identifier: GPL-2.0-or-later
import type { DeviceIo } from './device-io.ts';
import { grown, IvFlag, IvType } from './intervals.ts';

/** Order in which released intervals try again. @spec io.md 1.5 */
const order = [IvType.RESYNC_WRITE, IvType.RESYNC_READ, IvType.LOCAL_WRITE, IvType.PEER_WRITE] as const;

/** Intervals that waited for another one and are to search again, at the end of the turn. */
export class ConflictQueue {
  private readonly device: DeviceIo;
  private queue = new Int32Array(64);
  private spare = new Int32Array(64);
  private length = 0;
  private readonly found = new Int32Array(64);

  constructor(device: DeviceIo) {
    this.device = device;
  }

  /** drbd_release_conflicts: all waiters that overlap, not only the first. */
  release(sector: number, sectors: number): void {
    if (this.device.intervals.waiting === 0) return;
    let n: number;
    do {
      n = this.device.intervals.collectWaiting(sector, sectors, this.found);
      for (let i = 0; i < n; i++) this.push(this.found[i]);
    } while (n === this.found.length);
    if (this.length > 0) this.device.resource.schedule();
  }

  run(): void {
    const { length, queue } = this;
    if (length === 0) return;
    this.queue = this.spare;
    this.spare = queue;
    this.length = 0;
    sortBySerial(queue, length, this.device.intervals.serial);
    for (const type of order) {
      for (let i = 0; i < length; i++) if (this.device.intervals.type[queue[i]] === type) this.retry(queue[i]);
    }
  }

  private retry(iv: number): void {
    const { intervals, resource } = this.device;
    if ((intervals.flags[iv] & IvFlag.CONFLICT_QUEUED) === 0) return;
    intervals.stopWaiting(iv);
    const owner = intervals.owner[iv];
    if (intervals.type[iv] === IvType.LOCAL_WRITE) {
      this.device.conflictSubmit(owner);
      return;
    }
    const connection = resource.connections[intervals.peer[iv]];
    if (connection === null) return;
    const type = intervals.type[iv];
    if (type === IvType.PEER_WRITE) connection.writes.conflictSubmit(owner);
    else if (type === IvType.RESYNC_READ) connection.source.conflictSubmit(owner);
    else connection.peers[this.device.index].target.conflictSubmit(owner);
  }

  private push(iv: number): void {
    if (this.length === this.queue.length) this.queue = grown(this.queue);
    this.queue[this.length++] = iv;
  }
}

/** Oldest first; nearly always a few entries. */
function sortBySerial(queue: Int32Array, length: number, serial: Float64Array): void {
  for (let i = 1; i < length; i++) {
    const iv = queue[i];
    let j = i - 1;
    for (; j >= 0 && serial[queue[j]] > serial[iv]; j--) queue[j + 1] = queue[j];
    queue[j + 1] = iv;
  }
}
