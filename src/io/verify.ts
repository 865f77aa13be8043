// SPDX-License-Identifier: GPL-2.0-or-later
import { LogLevel } from '../host/log.ts';
import { isSync, isVerify, Repl } from '../state/states.ts';
import { OvResult } from '../wire/packets/ov-result.ts';
import type { PeerDeviceIo } from './peer-device-io.ts';

const SECTORS_PER_BLOCK = 8;
/** Blocks between two looks at the progress. */
const PROGRESS_BLOCKS = 512;

/** Neighbours that had the same result: one line of the log tells them. */
class Run {
  private start = 0;
  private sectors = 0;
  private readonly tell: (start: number, sectors: number) => void;

  constructor(tell: (start: number, sectors: number) => void) {
    this.tell = tell;
  }

  add(sector: number, sectors: number): void {
    if (this.sectors > 0 && this.start + this.sectors === sector) {
      this.sectors += sectors;
      return;
    }
    this.end();
    this.start = sector;
    this.sectors = sectors;
  }

  end(): void {
    if (this.sectors > 0) this.tell(this.start, this.sectors);
    this.sectors = 0;
  }
}

/** What an online verify with one peer has found so far, on either side. @spec uuid.md 8 */
export class Verify {
  /** ov_start_sector: where the next run begins; ov_stop_sector: where it ends at the latest, Infinity: at the end. */
  startSector = 0;
  stopSector = Infinity;
  /** ov_position: next to ask for; ov_left, ov_skipped: blocks. */
  position = 0;
  left = 0;
  skipped = 0;
  /** Some of the bits are differences that a verify found, and no resync has come since. */
  found = false;
  private startKnown = false;
  private readonly peer: PeerDeviceIo;
  private readonly outOfSync: Run;
  private readonly busy: Run;

  constructor(peer: PeerDeviceIo) {
    this.peer = peer;
    this.outOfSync = new Run((start, sectors) => this.say(LogLevel.err, `Out of sync: start=${start}, size=${sectors} (sectors)`));
    this.busy = new Run((start, sectors) => this.say(LogLevel.info, `Skipped verify, too busy: start=${start}, size=${sectors} (sectors)`));
  }

  get running(): boolean {
    return isVerify(this.peer.facts.repl as Repl);
  }

  replChanged(before: number, now: number): void {
    if (now <= Repl.off || isSync(now as Repl)) this.found = false;
    if (isVerify(before as Repl) && now <= Repl.established) this.stopped();
    if (before === Repl.established && isVerify(now as Repl)) this.begin(now === Repl.verifyS);
  }

  /** The target learns where the run begins with the first request. */
  startAt(sector: number): void {
    if (this.startKnown || this.peer.facts.repl !== Repl.verifyT) return;
    this.startKnown = true;
    this.left = this.blocks - Math.floor(sector / SECTORS_PER_BLOCK);
    this.position = sector;
    this.peer.progress.beginVerify();
    this.say(LogLevel.info, `Online Verify start sector: ${sector}`);
  }

  /** The result of each block, once: OvResult. */
  counted(sector: number, size: number, result: number): void {
    if (!this.running) return;
    const sectors = size / 512;
    if (result === OvResult.outOfSync) {
      this.found = true;
      this.peer.device.bits.set(this.peer, sector, size);
      this.outOfSync.add(sector, sectors);
    } else this.outOfSync.end();
    const blocks = Math.ceil(sectors / SECTORS_PER_BLOCK);
    if (result === OvResult.skipped) {
      this.skipped += blocks;
      this.busy.add(sector, sectors);
    } else this.busy.end();
    this.left = Math.max(0, this.left - blocks);
    if (this.left % PROGRESS_BLOCKS === 0) this.peer.progress.advance();
    if (this.left === 0) this.endRuns();
  }

  /** Before the end is told. */
  endRuns(): void {
    this.outOfSync.end();
    this.busy.end();
  }

  private get blocks(): number {
    const { disk } = this.peer.device;
    return disk === null ? 0 : disk.bitmap.bits;
  }

  private begin(source: boolean): void {
    const start = source ? Math.max(0, Math.min(Math.floor(this.startSector / SECTORS_PER_BLOCK), this.blocks - 1)) : 0;
    this.position = start * SECTORS_PER_BLOCK;
    this.left = this.blocks - start;
    this.skipped = 0;
    this.startKnown = source;
    this.peer.progress.beginVerify();
    if (source) this.say(LogLevel.info, `Starting Online Verify from sector ${this.position}`);
  }

  private stopped(): void {
    this.endRuns();
    this.startSector = this.left === 0 ? 0 : Math.max(0, this.blocks - this.left) * SECTORS_PER_BLOCK;
    if (this.left > 0) this.say(LogLevel.info, `Online Verify reached sector ${this.startSector}`);
  }

  private say(level: LogLevel, text: string): void {
    const { device, connection } = this.peer;
    device.resource.env.logAbout(device.vnr, connection.nodeId, level, text);
  }
}
