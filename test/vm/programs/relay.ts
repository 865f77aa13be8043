// SPDX-License-Identifier: GPL-2.0-or-later
// An engine that only hands down /dev/drbd0, and takes it over from one that was killed. Arguments: the disk, a file
// that is written when it runs. Stays until it is killed.
import { writeFileSync } from 'node:fs';
import { BioOp, Redelivered } from '../../../src/host/block.ts';
import type { BlockHandler } from '../../../src/host/block.ts';
import type { LowerDevice, LowerOp } from '../../../src/host/lower.ts';
import type { ShimBlockDevice } from '../../../src/linux/block-device.ts';
import { attachHost, defaultHostOptions } from '../../../src/linux/host.ts';

const [disk, ready] = process.argv.slice(2) as [string, string];
const host = attachHost({ ...defaultHostOptions, spawnerFd: Number(process.env['DRBDD_SPAWNER_FD']), logToStderr: true });
const redelivered = [0, 0, 0, 0, 0];

class Relay implements BlockHandler {
  lower: LowerDevice | null = null;
  private readonly device: ShimBlockDevice;
  private readonly room = new Float64Array(4096);
  constructor(device: ShimBlockDevice) { this.device = device; }
  bio(tag: number, op: number, flags: number, sector: number, sizeBytes: number, arenaOffset: number, local: number): void {
    redelivered[local]!++;
    if (local === Redelivered.done && op !== BioOp.read) return this.device.complete(tag, 0, -1);
    this.room[tag] = arenaOffset;
    const data = op === BioOp.read || op === BioOp.write;
    this.lower!.submit(op as LowerOp, flags & 0x1f, sector, sizeBytes, data ? this.device.data : null, data ? arenaOffset : 0, tag, tag);
  }
  lowerDone(cookie: number, errno: number): void { this.device.complete(cookie, errno, this.room[cookie]!); }
  open(openId: number): void { this.device.answerOpen(openId, 0); }
  openGone(): void { /* nothing to stop */ }
  openCount(): void { /* not needed */ }
  lastClose(): void { this.device.drained(); }
  bypassClosed(): void { /* never opened */ }
}

function running(): void { writeFileSync(ready, JSON.stringify({ generation: host.shim.generation, redelivered })); }

const [adopted] = host.block.adopt();
if (adopted !== undefined) {
  const device = adopted.device as ShimBlockDevice;
  const relay = new Relay(device);
  device.setHandler(relay);
  relay.lower = adopted.readopt('data', relay, () => {
    adopted.start();
    host.clock.timer('report', 300, running);
  });
} else {
  const device = host.block.create(0);
  const file = host.block.openBacking(disk, process.pid);
  if (typeof device === 'number' || typeof file === 'number') throw new Error(`create ${device}, open ${file}`);
  const relay = new Relay(device);
  device.setHandler(relay);
  const claimed = device.claim(file, 'data', relay);
  if (typeof claimed === 'number') throw new Error(`claim ${claimed}`);
  file.close();
  relay.lower = claimed;
  device.setLimits({ logicalBlockBytes: 512, physicalBlockBytes: 4096, maxBioBytes: 1 << 20, maxDiscardSectors: 0,
    discardGranularityBytes: 0, maxWriteZeroesSectors: 0, rotational: false, writeCache: true });
  device.setCapacity(claimed.limits.sectors);
  host.admin.pin(true);
  running();
}
