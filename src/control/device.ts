// SPDX-License-Identifier: GPL-2.0-or-later
import { BioFlag } from '../host/block.ts';
import type { BioOp, BlockDevice, BlockHandler } from '../host/block.ts';
import type { DeviceConf } from '../genl/config-attrs.ts';
import type { DeviceIo } from '../io/device-io.ts';
import type { Disk } from './disk.ts';
import { devicePrefix, Prefixed } from './log.ts';
import { Openers } from './openers.ts';
import { ReadBypass } from './read-bypass.ts';
import type { Replaced } from './replaced.ts';
import type { Resource } from './resource.ts';
import { inHandshake } from '../state/facts.ts';
import { deviceIndex } from '../state/view.ts';
import type { Determined } from '../state/size-agreement.ts';
import type { AlStripes } from './sizes.ts';
import type { Witnesses } from './witnesses.ts';
import { pushFacts } from './facts.ts';

/** A volume of a resource: /dev/drbdN above, a disk below or none. */
export class Device implements BlockHandler {
  readonly resource: Resource;
  readonly vnr: number;
  readonly minor: number;
  conf: DeviceConf;
  readonly block: BlockDevice;
  readonly io: DeviceIo;
  readonly openers: Openers;
  readonly readBypass: ReadBypass;
  /** The backing device, from Attaching until it is released after Diskless. */
  disk: Disk | null = null;
  /** Who keeps new I/O waiting: suspend-io steps and bitmap work (suspend_cnt + pending_bitmap_work). */
  blocked = 0;
  /** Sectors of /dev/drbdN now. */
  capacity = 0;
  /** WRITING_NEW_CUR_UUID, and who waits for its end. */
  makingUuid = false;
  /** I/O that is frozen waits for that. */
  thawing = false;
  /** Generations that this node replaced by newer ones while it had no disk, newest first. */
  readonly replaced: bigint[] = [];
  /** What the journal has of them. */
  journaled: Replaced | null = null;
  /** Since all peers were lost at once: who has all that was answered. */
  witnesses: Witnesses | null = null;
  /** Outcome of the last cluster-wide resize, and the activity log's layout that this node wants with the next. */
  resized: Determined = 'unchanged';
  wantedStripes: AlStripes | null = null;
  /** The meta-data are being rewritten for another size or place. */
  rewriting = false;
  /** Own data are not what a diskless Primary shows, and nobody is known yet from whom to get that. */
  resyncAwaited = false;
  /** The first write of a generation waits for the peers to have it. */
  wantConfirmed: (() => void) | null = null;
  readonly uuidWaiters: (() => void)[] = [];
  /** A new generation of our own is on its way to the disk. */
  storingUuid = false;
  /** Generation of the good disk that this Primary has lost; 0: none since it became Primary. */
  lostUuid = 0n;

  constructor(resource: Resource, vnr: number, minor: number, conf: DeviceConf, block: BlockDevice) {
    this.resource = resource;
    this.vnr = vnr;
    this.minor = minor;
    this.conf = conf;
    this.block = block;
    this.io = resource.io.addDevice({ vnr, block, arena: block.data });
    this.openers = new Openers(this);
    this.readBypass = new ReadBypass(block);
    this.io.bypassedSectors = () => this.readBypass.sectors;
    block.setHandler(this);
  }

  get log(): Prefixed {
    return new Prefixed(this.resource.engine.host.log, devicePrefix(this.resource.name, this.vnr, this.minor));
  }

  setCapacity(sectors: number): void {
    if (sectors === this.capacity) return;
    this.capacity = sectors;
    this.io.sectors = sectors;
    this.block.setCapacity(sectors);
  }

  /** New application I/O waits; `quiet` is called when no write is in flight any more, or I/O is suspended. */
  suspendIo(quiet: () => void): void {
    this.blocked++;
    this.#quiet.push(quiet);
    pushFacts(this.resource);
    if (this.#isQuiet) this.writesDrained();
  }

  get #isQuiet(): boolean { return this.io.apBio(1) === 0 || this.resource.view.resource.suspended; }

  /** After each change of the view: I/O may have been suspended. */
  mayBeQuiet(): void {
    if (this.#quiet.length === 0 || !this.#isQuiet) return;
    this.resource.engine.host.clock.soon({ name: 'I/O is suspended', queued: false, run: () => {
      if (this.#isQuiet) this.writesDrained();
    } });
  }

  resumeIo(): void {
    this.blocked--;
    pushFacts(this.resource);
  }

  whenUuidIsStored(run: () => void): void { this.#wantStored.push(run); }

  uuidIsStored(): void {
    this.storingUuid = false;
    for (const run of this.#wantStored.splice(0)) run();
  }
  readonly #wantStored: (() => void)[] = [];

  /** A peer that connects has our UUIDs, and decides by them until the connect is committed or given up. */
  whenUuidsAreFree(run: () => void): void {
    if (this.#uuidsAreTold) this.#wantUuids.push(run);
    else run();
  }

  /** After each change of the view. */
  uuidsMayBeFree(): void {
    if (this.#wantUuids.length === 0 || this.#uuidsAreTold) return;
    this.resource.engine.host.clock.soon({ name: 'UUIDs may move again', queued: false, run: () => {
      for (const run of this.#wantUuids.splice(0)) this.whenUuidsAreFree(run);
    } });
  }
  readonly #wantUuids: (() => void)[] = [];

  get #uuidsAreTold(): boolean {
    const { view } = this.resource;
    return inHandshake(view, deviceIndex(view, this.vnr));
  }

  writesDrained(): void {
    for (const quiet of this.#quiet.splice(0)) quiet();
  }
  readonly #quiet: (() => void)[] = [];

  // --- BlockHandler
  bio(tag: number, op: number, flags: number, sector: number, sizeBytes: number, offset: number,
    _redelivered: number): void {
    if (flags & BioFlag.bypassFailed) this.readBypass.failed();
    this.io.bio(tag, op as BioOp, flags, sector, sizeBytes, offset);
  }
  open(id: number, write: boolean, _exclusive: boolean, ndelay: boolean, pid: number, comm: string): void {
    this.openers.open(id, write, ndelay, pid, comm);
  }
  openGone(id: number): void { this.openers.gone(id); }
  openCount(total: number, writers: boolean): void { this.openers.count(total, writers); }
  lastClose(): void { this.openers.lastClose(); }
  bypassClosed(): void { this.readBypass.closed(); }
}
