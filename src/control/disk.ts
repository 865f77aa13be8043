// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * The backing device of a volume, from Attaching until it is released: claims, meta-data, activity log, bitmap.
 * Who holds it: one reference a reason (state changes through Detaching, Failed and Diskless), and I/O in flight.
 * @spec state.md 7.5
 */
import type { BackingFile, LowerDevice, LowerHandler } from '../host/lower.ts';
import { LogLevel } from '../host/log.ts';
import type { DiskConf } from '../genl/config-attrs.ts';
import type { IoDisk } from '../io/env.ts';
import type { ActivityLog, ActivityLogHandler } from '../meta/activity-log.ts';
import type { ReadSuperBlock } from '../meta/attach-checks.ts';
import type { Bitmap } from '../meta/bitmap.ts';
import type { MdLayout } from '../meta/layout.ts';
import { mdLayout, usableSectors } from '../meta/layout.ts';
import type { BitmapTask } from '../meta/bitmap-task.ts';
import type { BitmapWriter } from '../meta/bitmap-writer.ts';
import { MDF, MDF_PEER } from '../meta/flags.ts';
import type { MdArea, MdBuildOptions } from '../meta/md-area.ts';
import { MdIo } from '../meta/md-io.ts';
import type { MetaData, MetaDataHandler } from '../meta/meta-data.ts';
import { hasBitmap } from '../meta/super-block.ts';
import { Disk as DiskState } from '../state/states.ts';
import type { MdFacts } from '../state/types.ts';
import type { DeviceUuids } from '../state/uuid-types.ts';
import { asUsed, formerUuid } from '../state/uuid-unused.ts';
import type { Device } from './device.ts';
import { applyUuids, uuidsOf } from './uuids.ts';

/** Cookies of meta-data I/O on a LowerDevice that it may share with data: the last ones, DeviceIo counts from 0. */
export const mdCookieBase = 0x7fffffff - MdIo.cookies;

/** Takes completions before the parts that they belong to exist. */
export class DiskRouter implements LowerHandler {
  md: MdIo | null = null;
  data: LowerHandler | null = null;

  lowerDone(cookie: number, errno: number): void {
    if (this.md?.lowerDone(cookie, errno) !== true) this.data?.lowerDone(cookie, errno);
  }
}

export interface DiskClaims {
  readonly lower: LowerDevice;
  readonly mdLower: LowerDevice;
  readonly files: readonly BackingFile[];
  readonly area: MdArea;
}

export class Disk implements IoDisk, ActivityLogHandler, MetaDataHandler {
  readonly device: Device;
  conf: DiskConf;
  readonly lower: LowerDevice;
  readonly mdLower: LowerDevice;
  readonly meta: MetaData;
  readonly al: ActivityLog;
  readonly bitmap: Bitmap;
  readonly writer: BitmapWriter;
  readonly task: BitmapTask;
  /** Largest device that this disk can serve, sectors. */
  usable: number;
  alSuspended = false;
  written = false;
  /** A write waits until the super block knows that its generation is used. */
  becomesUsed = false;
  /** USE_DEGR_WFC_T: peers that were not connected when this node was Primary last. */
  readonly degraded = new Set<number>();
  readonly #claims: DiskClaims;
  /** Size of the meta-data's device when their layout was computed. */
  #mdCapacity: number;
  #references = 0;
  #ioIdle = false;
  #bitmapHeld = false;
  #goingDiskless = false;
  #lastState: DiskState = DiskState.diskless;
  readonly #stateWaiters: ((state: DiskState) => boolean)[] = [];
  readonly #bitmapWaiters: (() => void)[] = [];
  #released: (() => void)[] = [];

  constructor(device: Device, conf: DiskConf, claims: DiskClaims, read: ReadSuperBlock,
    build: Omit<MdBuildOptions, 'mdHandler' | 'alHandler' | 'primitives'>) {
    this.device = device;
    this.conf = conf;
    this.lower = claims.lower;
    this.mdLower = claims.mdLower;
    this.#claims = claims;
    this.#mdCapacity = claims.mdLower.limits.sectors;
    this.usable = read.usable;
    const parts = claims.area.build(read, { ...build, primitives: device.resource.engine.host.bitmap, mdHandler: this, alHandler: this });
    this.meta = parts.md;
    this.al = parts.log;
    this.bitmap = parts.bitmap;
    this.writer = parts.writer;
    this.task = parts.task;
  }

  get unused(): boolean { return formerUuid(this.meta.superBlock, this.device.resource.nodeId) !== 0n; }
  get alDisabled(): boolean { return this.meta.testFlag(MDF.alDisabled); }
  bitmapIndex(nodeId: number): number { return this.meta.superBlock.peers[nodeId].bitmapIndex; }
  /** Bits that are set for the node; 0 for one without a slot. */
  bitsFor(nodeId: number): number {
    const slot = this.bitmapIndex(nodeId);
    return slot < 0 ? 0 : this.bitmap.weight[slot];
  }
  degradedTimeout(nodeId: number): boolean { return this.degraded.has(nodeId); }

  // --- ActivityLogHandler, MetaDataHandler
  alActive(token: number, errno: number): void { this.device.io.alActive(token, errno); }
  alError(errno: number): void { this.mdError(errno); }
  mdError(_errno: number): void {
    this.device.resource.dispatch({ kind: 'ioError', vnr: this.device.vnr, error: 'meta' });
  }
  mdSyncTimerExpired(): void {
    this.device.log.line(LogLevel.warning, 'md_sync_timer expired! Worker calls drbd_md_sync().');
  }

  oldestMetaOperation(): number { return this.#claims.area.io.oldest(); }

  /** Without what an earlier generation said of itself. An activity log that is suspended keeps no write waiting. */
  setUuids(uuids: DeviceUuids): void {
    const { nodeId } = this.device.resource;
    this.meta.setUuids(this.alSuspended || formerUuid(uuids, nodeId) === 0n ? asUsed(uuids, nodeId) : uuids);
  }

  // --- effects
  setFlags(flags: number, members: bigint): void {
    const { superBlock } = this.meta;
    if (superBlock.flags === flags >>> 0 && superBlock.members === members) return;
    superBlock.flags = flags >>> 0;
    superBlock.members = members;
    this.al.setUpdates(!this.alDisabled);
    this.meta.markDirty();
  }

  setPeerFlags(nodeId: number, flags: number): void {
    const peer = this.meta.superBlock.peers[nodeId];
    if (peer.flags === flags >>> 0) return;
    peer.flags = flags >>> 0;
    this.meta.markDirty();
  }

  storeEffectiveSize(sectors: number): void {
    if (this.meta.superBlock.effectiveSize === sectors) return;
    this.meta.superBlock.effectiveSize = sectors;
    this.meta.markDirty();
  }

  /** AL suspended: all bits of all slots are set and nobody is connected. @spec io.md 8.7 */
  suspendAl(on: boolean): void {
    if (on === this.alSuspended) return;
    if (on && (this.unused || !this.al.idle || this.bitmap.weight.some((weight) => weight !== this.bitmap.bits))) return;
    this.alSuspended = on;
    if (on) this.al.shrink();
    this.device.log.line(LogLevel.info, on ? 'Suspended AL updates' : 'Resumed AL updates');
  }

  /** At attach, as a whole; who wants it written meanwhile, say as a connection is lost, has waited. */
  readBitmap(done: (errno: number) => void): void {
    this.writer.read({ done: (errno) => {
      this.#writeNext();
      done(errno);
    } });
  }

  /** Changed pages, on stable storage. */
  storeBits(done: () => void): void {
    this.hold();
    this.writeBitmap(() => {
      this.meta.markDirty();
      this.meta.sync({ done: () => {
        this.unhold();
        done();
      } });
    });
  }

  /** Changed pages; several callers share what is under way only if it began after their call. */
  writeBitmap(done: () => void): void {
    this.#bitmapWaiters.push(done);
    this.#writeNext();
  }

  writeLazy(): void {
    if (!this.#bitmapHeld && !this.writer.writing) this.writer.write('lazy', { done: (errno) => this.#written(errno, []) });
  }

  /** Nobody else starts a write-out of the bitmap until then; what runs ends. */
  holdBitmap(on: boolean): void {
    this.#bitmapHeld = on;
    if (!on) this.#writeNext();
  }

  /**
   * Where the meta-data belong with the size that the backing devices have now, and with these stripes; and what the disk
   * can serve then. Without a change it is the present layout, which may differ from a computed one.
   */
  layoutNow(alStripes = this.meta.layout.alStripes,
    alStripeSize4k = this.meta.layout.alStripeSize4k): { layout: MdLayout; usable: number } {
    const { meta, lower, mdLower, conf } = this;
    const mdCapacity = mdLower.refresh().sectors;
    const backing = lower.refresh().sectors;
    const same = mdCapacity === this.#mdCapacity && alStripes === meta.layout.alStripes && alStripeSize4k === meta.layout.alStripeSize4k;
    const layout = same ? meta.layout : mdLayout({ metaDevIdx: conf.metaDevIdx, mdCapacity,
      bmMaxPeers: meta.superBlock.bmMaxPeers, alStripes, alStripeSize4k });
    return { layout, usable: usableSectors(layout, backing) };
  }

  /** The meta-data are written at the place that the present size gives them from now on. */
  moved(): void {
    this.#mdCapacity = this.mdLower.limits.sectors;
  }

  /** disk-options. Another number of activity log slots takes effect at the next attach. */
  changeOptions(conf: DiskConf): void {
    this.conf = conf;
  }

  /** Facts of the super block for the state machine. */
  facts(): MdFacts {
    const { flags, members, bmMaxPeers, peers } = this.meta.superBlock;
    return {
      flags, members, maxPeers: bmMaxPeers,
      slots: peers.map((peer) => ({ flags: peer.flags, bitmapIndex: peer.bitmapIndex, bitmapUuid: peer.bitmapUuid })),
    };
  }

  /** Node ids that have a bitmap slot. */
  nodesWithBitmap(): readonly number[] { return this.meta.nodesWithBitmap(); }
  tracks(nodeId: number): boolean { return hasBitmap(this.meta.superBlock.peers[nodeId]); }
  setPeerFullSync(nodeId: number, on: boolean): void { this.meta.setPeerFlag(nodeId, MDF_PEER.fullSync, on); }

  // --- life
  /** Told by facts.ts after each step. */
  stateIs(state: DiskState): void {
    if (state === this.#lastState) return;
    this.#lastState = state;
    for (const waiter of this.#stateWaiters.splice(0)) if (!waiter(state)) this.#stateWaiters.push(waiter);
  }

  /** Calls back once with the first disk state that is not one of `these`; at once if it is not now. */
  waitWhile(these: readonly DiskState[], done: (state: DiskState) => void): void {
    const waiter = (state: DiskState): boolean => {
      if (these.includes(state)) return false;
      done(state);
      return true;
    };
    const now = this.device.resource.deviceRow(this.device.vnr).disk;
    if (!waiter(now)) this.#stateWaiters.push(waiter);
  }

  hold(): void { this.#references++; }

  unhold(): void {
    this.#references--;
    this.#proceed();
  }

  /** IoEnv.diskIdle: no application or peer I/O is on it any more. */
  idle(): void {
    this.#ioIdle = true;
    this.#proceed();
  }

  whenReleased(done: () => void): void { this.#released.push(done); }

  /** Gives everything back. The view has no disk any more. */
  release(): void {
    const { device } = this;
    this.task.cancel();
    this.meta.close();
    if (device.io.disk === this) device.io.detach();
    this.#claims.area.close();
    this.lower.release();
    if (this.mdLower !== this.lower) this.mdLower.release();
    for (const file of this.#claims.files) file.close();
    device.disk = null;
    device.resource.dispatch({ kind: 'deviceFacts', vnr: device.vnr, facts: { md: null, currentUuid: 0n } });
    for (const done of this.#released.splice(0)) done();
  }

  /** The last reference goes: to Diskless while Failed or Detaching, to nothing while Diskless. */
  #proceed(): void {
    if (this.#references > 0) return;
    const state = this.device.resource.deviceRow(this.device.vnr).disk;
    if (state === DiskState.diskless) this.#releaseWhenQuiet();
    else if ((state === DiskState.failed || state === DiskState.detaching) && this.#ioIdle) this.#goDiskless();
  }

  #goDiskless(): void {
    if (this.#goingDiskless) return;
    this.#goingDiskless = true;
    const { resource, vnr } = this.device;
    // Genuine DRBD, which may be the next to attach it, would not tell when it uses the generation.
    if (resource.deviceRow(vnr).disk === DiskState.detaching) applyUuids(this.device, asUsed(uuidsOf(this.device), resource.nodeId));
    this.writeBitmap(() => this.meta.sync({ done: () => resource.dispatch({ kind: 'goDiskless', vnr }) }));
  }

  #releaseWhenQuiet(): void {
    if (this.device.disk !== this) return;
    const { readBypass } = this.device;
    if (this.#claims.area.io.inFlight === 0 && !this.meta.busy && this.lower.inFlight() === 0 && !readBypass.inFlight) this.release();
    else this.device.resource.engine.host.clock.timer('disk release', 1, () => this.#releaseWhenQuiet());
  }

  #writeNext(): void {
    if (this.#bitmapHeld || this.writer.writing || this.#bitmapWaiters.length === 0) return;
    const told = this.#bitmapWaiters.splice(0);
    this.writer.write('changed', { done: (errno) => this.#written(errno, told) });
  }

  #written(errno: number, told: readonly (() => void)[]): void {
    if (errno !== 0) this.device.resource.dispatch({ kind: 'ioError', vnr: this.device.vnr, error: 'meta' });
    for (const done of told) done();
    this.#writeNext();
  }
}
