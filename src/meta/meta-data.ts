// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * The super block in memory and its way to the disk. Whoever changes it says markDirty(); whoever needs the change to
 * be on stable storage calls sync(). What nobody synced is written after 5 seconds. @spec metadata.md 2, uuid.md 1.2
 */
import { assert } from '../assert.ts';
import type { Clock, Timer } from '../host/clock.ts';
import { LowerFlag } from '../host/lower.ts';
import { MDF, MDF_PEER } from './flags.ts';
import { blockBytes, nodeIdMax } from './limits.ts';
import type { MdLayout } from './layout.ts';
import type { MdIo, MdJob } from './md-io.ts';
import { encodeSuperBlock, hasBitmap } from './super-block.ts';
import type { PeerMd, SuperBlock } from './super-block.ts';

export interface MetaDataHandler {
  /** The super block could not be written (io.md 7.4). It stays dirty. */
  mdError(errno: number): void;
  /** Somebody forgot to sync. */
  mdSyncTimerExpired(): void;
}

/** The UUIDs of a super block; src/state's DeviceUuids has this shape. */
export interface MdUuids {
  readonly currentUuid: bigint;
  readonly peers: readonly { readonly bitmapUuid: bigint; readonly bitmapDagtag: bigint; readonly flags: number;
    readonly bitmapIndex: number }[];
  readonly historyUuids: readonly bigint[];
}

export const mdSyncDelayMs = 5000;

export class MetaData {
  readonly superBlock: SuperBlock;
  #layout: MdLayout;
  readonly #io: MdIo;
  readonly #bufferOffset: number;
  readonly #clock: Clock;
  readonly #handler: MetaDataHandler;
  /** Counts changes; what is on disk is change number #written. */
  #changes = 0;
  #written = 0;
  #writing = 0;
  #timer: Timer | null = null;
  #guarded = false;
  #waiting: { readonly change: number; readonly job: MdJob }[] = [];
  readonly #job: MdJob;

  /** `bufferOffset`: one page of the meta arena, only for the super block. */
  constructor(superBlock: SuperBlock, layout: MdLayout, io: MdIo, bufferOffset: number, clock: Clock,
    handler: MetaDataHandler) {
    this.superBlock = superBlock;
    this.#layout = layout;
    this.#io = io;
    this.#bufferOffset = bufferOffset;
    this.#clock = clock;
    this.#handler = handler;
    this.#job = { done: (errno) => this.#done(errno) };
  }

  get layout(): MdLayout {
    return this.#layout;
  }

  get dirty(): boolean {
    return this.#changes > this.#written;
  }

  /** A write is in flight. */
  get busy(): boolean {
    return this.#writing !== 0;
  }

  testFlag(flag: number): boolean {
    return (this.superBlock.flags & flag) !== 0;
  }

  setFlag(flag: (typeof MDF)[keyof typeof MDF], on: boolean): void {
    const { superBlock: sb } = this;
    const flags = (on ? sb.flags | flag : sb.flags & ~flag) >>> 0;
    if (flags === sb.flags) return;
    sb.flags = flags;
    this.markDirty();
  }

  testPeerFlag(nodeId: number, flag: number): boolean {
    return (this.#peer(nodeId).flags & flag) !== 0;
  }

  setPeerFlag(nodeId: number, flag: (typeof MDF_PEER)[keyof typeof MDF_PEER], on: boolean): void {
    assert(flag !== MDF_PEER.haveBitmap, 'haveBitmap follows from the bitmap index');
    const peer = this.#peer(nodeId);
    const flags = (on ? peer.flags | flag : peer.flags & ~flag) >>> 0;
    if (flags === peer.flags) return;
    peer.flags = flags;
    this.markDirty();
  }

  /** Takes over UUIDs, dagtags, peer flags and bitmap indexes; dirty when one differs. */
  setUuids(uuids: MdUuids): void {
    const { superBlock: sb } = this;
    assert(uuids.peers.length === nodeIdMax && uuids.historyUuids.length === sb.historyUuids.length, 'bad UUID set');
    let differs = sb.currentUuid !== uuids.currentUuid;
    sb.currentUuid = uuids.currentUuid;
    uuids.historyUuids.forEach((uuid, i) => {
      differs ||= sb.historyUuids[i] !== uuid;
      sb.historyUuids[i] = uuid;
    });
    uuids.peers.forEach((peer, n) => {
      const own = sb.peers[n];
      const flags = (peer.flags & ~MDF_PEER.haveBitmap) >>> 0;
      differs ||= own.bitmapUuid !== peer.bitmapUuid || own.bitmapDagtag !== peer.bitmapDagtag
        || own.flags !== flags || own.bitmapIndex !== peer.bitmapIndex;
      own.bitmapUuid = peer.bitmapUuid;
      own.bitmapDagtag = peer.bitmapDagtag;
      own.flags = flags;
      own.bitmapIndex = peer.bitmapIndex;
    });
    if (differs) this.markDirty();
  }

  /**
   * While on, what is written says that every peer needs a full sync and that the activity log is off: whatever happens to
   * activity log and bitmap meanwhile, a crash costs a resync and no data. @spec metadata.md 9
   */
  guard(on: boolean): void {
    this.#guarded = on;
    this.markDirty();
  }

  /** The memory differs from the disk: written after 5 s unless somebody syncs before. */
  markDirty(): void {
    this.#changes++;
    this.#startTimer();
  }

  /** `job` is told when everything marked so far is on stable storage; at once when nothing is dirty. */
  sync(job: MdJob): void {
    if (!this.dirty) {
      job.done(0);
      return;
    }
    this.#waiting.push({ change: this.#changes, job });
    this.#write();
  }

  /** The meta-data moved (another backing capacity or AL layout): the next write goes to the new place. */
  relocate(layout: MdLayout): void {
    assert(this.#writing === 0, 'super block moved while it is written');
    this.#layout = layout;
    const { superBlock: sb } = this;
    sb.alOffset = layout.alOffset;
    sb.bmOffset = layout.bmOffset;
    sb.mdSizeSect = layout.mdSizeSect;
    sb.alStripes = layout.alStripes;
    sb.alStripeSize4k = layout.alStripeSize4k;
    this.markDirty();
  }

  /** Detached: the timer stops. Nothing must be in flight. */
  close(): void {
    assert(this.#writing === 0, 'meta-data closed while it is written');
    this.#timer?.cancel();
    this.#timer = null;
    this.#waiting = [];
  }

  /** Node ids whose slot has a bitmap, ascending. */
  nodesWithBitmap(): number[] {
    return this.superBlock.peers.flatMap((peer, n) => (hasBitmap(peer) ? [n] : []));
  }

  #peer(nodeId: number): PeerMd {
    assert(nodeId >= 0 && nodeId < nodeIdMax, 'node id out of range');
    return this.superBlock.peers[nodeId];
  }

  #startTimer(): void {
    this.#timer ??= this.#clock.timer('md_sync_timer', mdSyncDelayMs, () => {
      this.#timer = null;
      if (!this.dirty) return;
      this.#handler.mdSyncTimerExpired();
      this.#write();
    });
  }

  #write(): void {
    if (this.#writing !== 0) return;
    this.#writing = this.#changes;
    const { arena } = this.#io;
    encodeSuperBlock(this.#guarded ? guarded(this.superBlock) : this.superBlock, arena.bytes.subarray(this.#bufferOffset, this.#bufferOffset + blockBytes));
    const flags = LowerFlag.preflush | LowerFlag.fua | LowerFlag.sync | LowerFlag.meta;
    this.#io.write(flags, this.#layout.superBlockSector, blockBytes, this.#bufferOffset, this.#job);
  }

  #done(errno: number): void {
    const change = this.#writing;
    this.#writing = 0;
    if (errno === 0) this.#written = change;
    else this.#handler.mdError(errno);
    if (this.dirty) {
      this.#startTimer();
    } else {
      this.#timer?.cancel();
      this.#timer = null;
    }
    const told = this.#waiting.filter((waiter) => waiter.change <= change);
    this.#waiting = this.#waiting.filter((waiter) => waiter.change > change);
    if (this.#waiting.length > 0) this.#write();
    for (const { job } of told) job.done(errno);
  }
}

const guarded = (sb: SuperBlock): SuperBlock => ({
  ...sb, flags: (sb.flags | MDF.alDisabled) >>> 0,
  peers: sb.peers.map((peer) => ({ ...peer, flags: (peer.flags | MDF_PEER.fullSync) >>> 0 })),
});
