// SPDX-License-Identifier: GPL-2.0-or-later
import type { Timer } from '../host/clock.ts';
import { LogLevel } from '../host/log.ts';
import { Disk } from '../state/states.ts';
import type { DeviceIo } from './device-io.ts';
import { ErrorKind } from './env.ts';

const FIRST_MS = 1000;
const SHORTEST_MS = 10;

/** disk-timeout: a backing device that does not answer in time is detached by force. @spec io.md 11.4 */
export class DiskTimer {
  private timer: Timer | null = null;
  private attachedMs = 0;
  private metaOperation = 0;
  private metaSinceMs = 0;
  private readonly device: DeviceIo;

  constructor(device: DeviceIo) {
    this.device = device;
  }

  attached(): void {
    this.attachedMs = this.device.resource.env.clock.nowMs();
  }

  /** After each transaction, and with changed options. */
  factsChanged(): void {
    if (this.device.facts.diskTimeout > 0 && this.inUse) this.arm(FIRST_MS);
    else this.stop();
  }

  stop(): void {
    this.timer?.cancel();
    this.timer = null;
  }

  private get inUse(): boolean {
    return this.device.disk !== null && this.device.facts.disk > Disk.failed;
  }

  private arm(delayMs: number): void {
    this.timer ??= this.device.resource.env.clock.timer('disk-timeout', delayMs, () => {
      this.timer = null;
      this.look();
    });
  }

  private look(): void {
    const { device } = this;
    if (device.facts.diskTimeout === 0 || !this.inUse) return;
    const { env } = device.resource;
    const now = env.clock.nowMs();
    const limitMs = device.facts.diskTimeout * 100;
    const dueMs = Math.max(this.attachedMs, Math.min(this.oldestMs(), this.oldestMetaMs(now))) + limitMs;
    if (now < dueMs) {
      this.arm(Math.max(SHORTEST_MS, Math.min(limitMs, dueMs - now)));
      return;
    }
    env.logAbout(device.vnr, -1, LogLevel.warning, 'Local backing device failed to meet the disk-timeout');
    env.ioError(device.vnr, ErrorKind.forceDetach);
  }

  /** When the oldest operation that is on the disk was submitted. */
  private oldestMs(): number {
    const { device } = this;
    const { requests, peerRequests, connectionList } = device.resource;
    const own = requests.pool.oldestOnDisk(device.index);
    const peers = peerRequests.oldestOnDisk(device.index);
    let oldest = Math.min(own, peers);
    for (const { writes } of connectionList) oldest = Math.min(oldest, writes.flushSinceMs);
    return oldest;
  }

  /** Meta-data operations have numbers, no times: since when has this one been the oldest? */
  private oldestMetaMs(now: number): number {
    const oldest = this.device.disk!.oldestMetaOperation();
    if (oldest !== this.metaOperation) {
      this.metaOperation = oldest;
      this.metaSinceMs = now;
    }
    return oldest === 0 ? Infinity : this.metaSinceMs;
  }
}
