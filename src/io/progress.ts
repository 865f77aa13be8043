// SPDX-License-Identifier: GPL-2.0-or-later
import { isSync, isSyncOrVerify, isVerify, Repl } from '../state/states.ts';
import type { PeerDeviceIo } from './peer-device-io.ts';

const MARKS = 8;
const MARK_STEP_MS = 3000;
/** Cleared bits go to the disk at most this often. */
const LAZY_STEP_MS = 2000;

/** What a resync has done so far, in bits and milliseconds. @spec io.md 9.8, 14.1, uuid.md 7.13 */
export class Progress {
  total = 0;
  failed = 0;
  sameCsum = 0;
  pausedMs = 0;
  startMs = 0;
  readonly markLeft = new Float64Array(MARKS);
  readonly markMs = new Float64Array(MARKS);
  lastMark = 0;
  private lazyMs = 0;
  private readonly peer: PeerDeviceIo;

  constructor(peer: PeerDeviceIo) {
    this.peer = peer;
  }

  get left(): number {
    if (isVerify(this.peer.facts.repl as Repl)) return this.peer.verify.left;
    return Math.max(0, this.peer.bitsOutOfSync - this.failed);
  }

  /** initialize_resync, pause and continue (state.md F19, F20, F24). */
  replChanged(before: number, now: number): void {
    const nowMs = this.peer.device.resource.env.clock.nowMs();
    const paused = (r: number): boolean => r === Repl.pausedSyncS || r === Repl.pausedSyncT;
    if (isSync(now as Repl) && !isSyncOrVerify(before as Repl)) this.begin(nowMs, this.peer.bitsOutOfSync);
    else if (paused(before) && isSync(now as Repl) && !paused(now)) {
      this.pausedMs += nowMs - this.markMs[this.lastMark];
      this.resetMarks(nowMs);
    } else if (paused(now) && !paused(before)) this.markMs[this.lastMark] = nowMs;
  }

  /** The blocks to compare are known. */
  beginVerify(): void {
    this.begin(this.peer.device.resource.env.clock.nowMs(), this.peer.verify.left);
  }

  /** Marks move at most every 3 s, each time with an event. */
  advance(): void {
    const { env } = this.peer.device.resource;
    const nowMs = env.clock.nowMs();
    if (nowMs >= this.lazyMs + LAZY_STEP_MS) {
      this.lazyMs = nowMs;
      this.peer.device.disk?.writeLazy();
    }
    if (!isSyncOrVerify(this.peer.facts.repl as Repl) || nowMs < this.markMs[this.lastMark] + MARK_STEP_MS) return;
    const { left } = this;
    if (left === this.markLeft[this.lastMark]) return;
    this.lastMark = (this.lastMark + 1) % MARKS;
    this.markLeft[this.lastMark] = left;
    this.markMs[this.lastMark] = nowMs;
    env.resyncProgress(this.peer.device.vnr, this.peer.connection.nodeId);
  }

  /** KiB/s since the mark before last; negative when more is out of sync than then. */
  recentRate(nowMs: number): number {
    const mark = (this.lastMark + MARKS - 1) % MARKS;
    const seconds = Math.max(1, Math.floor((nowMs - this.markMs[mark]) / 1000));
    return (this.markLeft[mark] - this.left) * 4 / seconds;
  }

  /** Statistics are over (uuid.md 7.9 item 10). */
  clear(): void {
    this.total = this.failed = this.pausedMs = 0;
  }

  private begin(nowMs: number, total: number): void {
    this.total = total;
    this.failed = this.sameCsum = this.pausedMs = 0;
    this.startMs = nowMs;
    this.resetMarks(nowMs);
  }

  private resetMarks(nowMs: number): void {
    this.lastMark = 0;
    this.markLeft.fill(this.left);
    this.markMs.fill(nowMs);
  }
}
