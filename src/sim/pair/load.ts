// SPDX-License-Identifier: GPL-2.0-or-later
/** An application on the Primary: writes of all kinds, overlapping at will, and reads that are checked as they come. */
import { assert } from '../../assert.ts';
import { BioFlag, BioOp } from '../../host/block.ts';
import type { KernelDevice } from '../block.ts';
import type { SimRandom } from '../random.ts';
import { History } from '../stress/history.ts';
import type { Profile } from './profile.ts';

const SECTOR_BYTES = 512;
const BLOCK_SECTORS = 8;
const BLOCKS_MAX = 256;
const FLIGHT_MAX = 400;

export class Load {
  readonly history = new History();
  /** Bios without an answer. */
  pending = 0;
  device: KernelDevice | null = null;
  /** May what the Primary flushes be called durable? Not while only the peer's disk is good: it flushes in its own time. */
  sound: () => boolean = () => true;
  readonly #random: SimRandom;
  readonly #profile: Profile;
  #tag = 0;
  /** Counts losses of the application's node: answers from before do not count any more. */
  #life = 0;
  /** The first thing that is wrong. */
  wrong = '';

  constructor(random: SimRandom, profile: Profile) {
    this.#random = random;
    this.#profile = profile;
  }

  /** One bio. */
  step(): void {
    this.history.settle();
    if (this.pending >= FLIGHT_MAX) return;
    const kind = this.#random.fraction();
    if (kind < 0.70) this.#write(BioOp.write);
    else if (kind < 0.73) this.#write(BioOp.discard);
    else if (kind < 0.76) this.#write(BioOp.writeZeroes);
    else if (kind < 0.80) this.flush();
    else this.#read();
  }

  flush(): void {
    const durable = this.#durable();
    this.#submit(BioOp.flush, BioFlag.preflush, 0, 0, null, (errno) => { if (errno === 0) durable(); });
  }

  /** The node is gone; `disks`: those that the data live on lost power as well. */
  lost(disks: boolean): void {
    this.#life++;
    this.pending = 0;
    this.device = null;
    if (disks) this.history.powerLost();
    else this.history.applicationLost();
  }

  #durable(): () => void {
    const sound = this.sound();
    const durable = this.history.flush();
    return () => { if (sound && this.sound()) durable(); };
  }

  #write(op: BioOp): void {
    const { sector, count } = this.#range(op === BioOp.write && this.#random.chance(0.05));
    const fua = op === BioOp.write && this.#random.chance(0.05);
    const tag = op === BioOp.write ? ++this.#tag : 0;
    const write = this.history.write(tag, sector, count);
    const tags = op === BioOp.write ? new Float64Array(count).fill(tag) : null;
    const preflush = fua && this.#random.chance(0.5);
    const durable = preflush ? this.#durable() : () => {};
    const sound = this.sound();
    this.#submit(op, (fua ? BioFlag.fua : 0) | (preflush ? BioFlag.preflush : 0), sector, count, tags, (errno) => {
      if (errno === 0) durable();
      this.history.answered(write, errno, fua && sound && this.sound());
    });
  }

  #read(): void {
    const { sector, count } = this.#range(false);
    const tags = new Float64Array(count).fill(-1);
    const read = this.history.read();
    this.#submit(BioOp.read, 0, sector, count, tags, (errno) => {
      for (let i = 0; errno === 0 && i < count; i++) {
        const why = read.check(sector + i, tags[i]!);
        if (why !== '') this.wrong ||= `read: ${why}`;
      }
      read.end();
    });
  }

  #submit(op: BioOp, flags: number, sector: number, count: number, tags: Float64Array | null, done: (errno: number) => void): void {
    assert(this.device !== null, 'the device is open');
    const life = this.#life;
    this.pending++;
    this.device.submit({ op, flags, sector, sizeBytes: count * SECTOR_BYTES, tags, done: (errno) => {
      if (life !== this.#life) return;
      this.pending--;
      done(errno);
    } });
  }

  /** Mostly small, sometimes large; 4 KiB blocks unless `odd`. */
  #range(odd: boolean): { sector: number; count: number } {
    const { diskSectors, regions, regionSectors } = this.#profile;
    const size = this.#random.fraction();
    const blocks = 1 + this.#random.below(size < 0.02 ? BLOCKS_MAX : size < 0.12 ? 64 : 4);
    const unit = odd ? 1 : BLOCK_SECTORS;
    const count = Math.min(odd ? 1 + this.#random.below(40) : blocks * BLOCK_SECTORS, regionSectors);
    const spacing = Math.floor(diskSectors * 0.95 / regions / BLOCK_SECTORS) * BLOCK_SECTORS;
    const region = this.#random.below(regions) * spacing;
    return { sector: region + this.#random.below(Math.floor((regionSectors - count) / unit) + 1) * unit, count };
  }
}
