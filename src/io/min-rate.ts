// SPDX-License-Identifier: GPL-2.0-or-later
import { mustThrottle } from './controller.ts';
import type { PeerDeviceIo } from './peer-device-io.ts';

/** Sectors on the disk that are not resync, since the last look, from which it counts as busy. */
const BUSY_SECTORS = 64;

/** c-min-rate: resync and verify give way while applications use the disk. @spec uuid.md 7.7 */
export class MinRate {
  private seen = 0;
  private readonly peer: PeerDeviceIo;

  constructor(peer: PeerDeviceIo) {
    this.peer = peer;
  }

  /** A resync starts: what was done before does not count. */
  begin(): void {
    this.seen = this.peer.device.otherSectors;
  }

  throttles(): boolean {
    const { device, facts, progress } = this.peer;
    const other = device.otherSectors;
    // What is frozen uses no disk: it may wait for this very resync.
    const waiting = device.apBio(1) > 0 && !device.resource.facts.suspended;
    const busy = other - this.seen > BUSY_SECTORS || waiting;
    this.seen = other;
    return mustThrottle(facts.cMinRate, busy, progress.recentRate(device.resource.env.clock.nowMs()));
  }
}
