// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * The shim's block half, simulated with its real semantics: the data of a write are copied at arrival, bios without
 * room wait, reads bypass the engine while the policy allows it, unfinished bios are given to the next engine in order
 * with the state of their local part, and a dead engine's operations land late.
 */
import type { MetaArena } from '../host/arena.ts';
import { BioFlag, BioOp, Redelivered } from '../host/block.ts';
import type { AdoptedDevice, BlockDevice, BlockFrontend, BlockHandler, DeviceLimits } from '../host/block.ts';
import { LowerOp } from '../host/lower.ts';
import type { BackingFile, LowerDevice, LowerHandler, LowerLimits } from '../host/lower.ts';
import type { Arena } from '../host/arena.ts';
import { assert } from '../assert.ts';
import { ByteArena, SECTOR, TagArena } from './arena.ts';
import type { EngineLife } from './clock.ts';
import type { SimDisk } from './disk.ts';
import type { World } from './world.ts';

const EIO = 5;
const EBUSY = 16;
const ENOENT = 2;
const ENODEV = 19;
const MAX_TAGS = 1024;
const ROOM_BYTES = 8 << 20;
const DATA_BYTES = 16 << 20;
const META_BYTES = 4 << 20;

/** A bio from above, as the workload sees it. */
export interface SimBio {
  readonly op: BioOp;
  readonly flags: number;
  readonly sector: number;
  readonly sizeBytes: number;
  /** Tags to write, or where the tags read are put: one a sector. */
  readonly tags: Float64Array | null;
  readonly done: (errno: number) => void;
}

interface Held {
  bio: SimBio; tag: number; offset: number; room: number; local: number; delivered: boolean;
  /** Operations on disks with its data that have not ended, and what happens then. */
  flying: number; landed: () => void;
}

interface Claim { disk: SimDisk; inFlight: number; quiet: (() => void)[]; lower: SimLower }

/** What the kernel of a node keeps of one device, over engines' deaths. */
export class KernelDevice {
  readonly minor: number;
  readonly world: World;
  readonly held: Held[] = [];
  readonly claims = new Map<'data' | 'meta', Claim>();
  readonly state = new Map<string, Uint8Array>();
  capacity = 0;
  limits: DeviceLimits | null = null;
  bypass = false;
  bypassInFlight = 0;
  bypassReads = 0;
  bypassSectors = 0;
  openTotal = 0;
  openWriters = false;
  opens = new Map<number, { write: boolean; answer: (errno: number) => void }>();
  closeWaits: (() => void) | null = null;
  front: SimBlockDevice | null = null;
  dead = false;
  #nextOpen = 1;
  #nextTag = 0;

  constructor(world: World, minor: number) { this.world = world; this.minor = minor; }

  submit(bio: SimBio): void {
    assert(bio.sector + bio.sizeBytes / SECTOR <= this.capacity || bio.op === BioOp.flush, 'bio lies on the device');
    if (this.dead) { this.world.at(0, 'bio of a dead device', () => bio.done(EIO)); return; }
    if (bio.op === BioOp.read && this.bypass && this.#bypassRead(bio)) return;
    this.hold(bio, 0);
  }

  hold(bio: SimBio, extraFlags: number): void {
    const held: Held = { bio: { ...bio, flags: bio.flags | extraFlags }, tag: this.#freeTag(), offset: -1,
      room: 0, local: Redelivered.notSubmitted, delivered: false, flying: 0, landed: () => {} };
    if (bio.op === BioOp.write && bio.tags) held.bio = { ...held.bio, tags: bio.tags.slice() };
    this.held.push(held);
    this.front?.deliver();
  }

  #freeTag(): number {
    let tag: number;
    do tag = this.#nextTag++ % MAX_TAGS; while (this.held.some((h) => h.tag === tag));
    return tag;
  }

  open(write: boolean, answer: (errno: number) => void): number {
    const id = this.#nextOpen++;
    if (this.dead) { this.world.at(0, 'open of a dead device', () => answer(ENODEV)); return id; }
    this.opens.set(id, { write, answer });
    // The disk's open_mutex.
    if (this.closeWaits === null) this.front?.announceOpen(id);
    return id;
  }

  /** The opener gives up waiting. */
  openGone(id: number): void {
    if (this.opens.delete(id)) this.front?.announceOpenGone(id);
  }

  /** `done`: close(2) returns; a last close of a writer waits for the engine. */
  close(done: () => void = () => {}): void {
    assert(this.openTotal > 0, 'closed as often as opened');
    this.openTotal--;
    const last = this.openTotal === 0;
    const writers = this.openWriters;
    if (last) this.openWriters = false;
    const waits = last && writers && this.front !== null;
    if (waits) this.closeWaits = done;
    this.front?.announceClose(waits);
    if (!waits) done();
  }

  /** Bios and opens wait for the next engine, which sets a policy of its own. */
  engineGone(): void {
    this.front = null;
    this.bypass = false;
  }

  #bypassRead(bio: SimBio): boolean {
    const claim = this.claims.get('data');
    if (!claim || !bio.tags) return false;
    this.bypassInFlight++;
    const arena = new TagArena(-1, bio.sizeBytes, NO_CLOCK);
    claim.disk.submit(LowerOp.read, 0, bio.sector, bio.sizeBytes, arena, 0, (errno) => {
      this.bypassInFlight--;
      if (errno === 0) {
        this.bypassReads++;
        this.bypassSectors += bio.sizeBytes / SECTOR;
        bio.tags!.set(arena.tags);
        bio.done(0);
      } else {
        this.bypass = false;
        this.hold(bio, BioFlag.bypassFailed);
      }
      this.front?.bypassEnded();
    });
    return true;
  }
}

const NO_CLOCK = { nowMs: () => 0, wallSeconds: () => 0, timer: unused, atTurnEnd: unused, soon: unused };
function unused(): never { throw new Error('no clock here'); }

class SimLower implements LowerDevice {
  readonly id: number;
  limits: LowerLimits;
  readonly #kernel: KernelDevice;
  readonly #claim: Claim;
  readonly #life: EngineLife;
  readonly #handler: LowerHandler;

  constructor(id: number, kernel: KernelDevice, claim: Claim, life: EngineLife, handler: LowerHandler) {
    this.id = id;
    this.#kernel = kernel;
    this.#claim = claim;
    this.#life = life;
    this.#handler = handler;
    this.limits = claim.disk.limits;
  }

  submit(op: LowerOp, flags: number, sector: number, sizeBytes: number, arena: Arena | null, offset: number,
    cookie: number, bioTag: number): void {
    assert(op === LowerOp.flush || sector + sizeBytes / SECTOR <= this.limits.sectors, 'operation lies on the disk');
    assert(op > LowerOp.write || sizeBytes % SECTOR === 0, 'whole sectors');
    const held = bioTag >= 0 ? this.#kernel.held.find((h) => h.tag === bioTag) : undefined;
    if (held) {
      held.local = Redelivered.inFlight;
      held.flying++;
    }
    this.#claim.inFlight++;
    this.#claim.disk.submit(op, flags, sector, sizeBytes, arena, offset, (errno) => {
      this.#claim.inFlight--;
      if (held) {
        held.local = errno ? Redelivered.failed : Redelivered.done;
        if (--held.flying === 0) held.landed();
      }
      if (this.#claim.inFlight === 0) for (const quiet of this.#claim.quiet.splice(0)) quiet();
      this.#life.turn(() => this.#handler.lowerDone(cookie, errno));
    });
  }

  /** Its disk has a volatile cache. */
  readonly unflushed = true;
  inFlight(): number { return this.#claim.inFlight; }
  refresh(): LowerLimits { return this.limits = this.#claim.disk.limits; }
  release(): void {
    const { claims, bypass, bypassInFlight } = this.#kernel;
    assert(this.#claim.inFlight === 0, 'a claim is given up with nothing in flight');
    assert(claims.get('data') !== this.#claim || (!bypass && bypassInFlight === 0), 'nor with reads that bypass the engine');
    for (const [role, claim] of claims) if (claim === this.#claim) claims.delete(role);
    if (![...claims.values()].some((c) => c.disk === this.#claim.disk)) this.#claim.disk.claimedBy = null;
  }
}

export class SimBlockDevice implements BlockDevice {
  readonly minor: number;
  readonly maxTags = MAX_TAGS;
  readonly data: TagArena;
  readonly meta: MetaArena;
  readonly #kernel: KernelDevice;
  readonly #life: EngineLife;
  #handler: BlockHandler | null = null;
  #started: boolean;
  #closingBypass = false;

  constructor(kernel: KernelDevice, life: EngineLife, started: boolean) {
    this.#kernel = kernel;
    this.#life = life;
    this.minor = kernel.minor;
    this.data = new TagArena(2 * kernel.minor, DATA_BYTES, life, ROOM_BYTES);
    this.meta = new ByteArena(2 * kernel.minor + 1, META_BYTES, life);
    this.#started = started;
    kernel.front = this;
  }

  setHandler(handler: BlockHandler): void { this.#handler = handler; }

  /** Gives waiting bios to the engine, in order, as far as there is room. */
  deliver(): void {
    if (!this.#started) return;
    for (const held of this.#kernel.held) {
      if (held.delivered) continue;
      const { bio } = held;
      const needsRoom = bio.op === BioOp.write || bio.op === BioOp.read;
      if (needsRoom && held.offset < 0) {
        held.offset = this.data.takeRoom(bio.sizeBytes);
        if (held.offset < 0) return;
        held.room = bio.sizeBytes;
        if (bio.op === BioOp.write) this.data.at(held.offset, bio.sizeBytes).set(bio.tags!);
      }
      held.delivered = true;
      const redelivered = held.local === Redelivered.notSubmitted ? Redelivered.no : held.local;
      this.#life.later(0.005, 'bio', () => this.#handler?.bio(held.tag, bio.op, bio.flags, bio.sector, bio.sizeBytes,
        held.offset, redelivered));
    }
  }

  complete(tag: number, errno: number, arenaOffset: number): void {
    const index = this.#kernel.held.findIndex((h) => h.tag === tag && h.delivered);
    assert(index >= 0, 'a bio is ended once');
    const held = this.#kernel.held.splice(index, 1)[0]!;
    const { bio } = held;
    if (bio.op === BioOp.read && errno === 0) bio.tags!.set(this.data.at(arenaOffset, bio.sizeBytes));
    this.#kernel.world.at(0, 'bio ends', () => bio.done(errno));
    held.landed = () => this.#giveRoomBack(held);
    if (held.flying === 0) held.landed();
  }

  /** Not before the last operation has ended that was given the room, as the shim does. */
  #giveRoomBack({ offset, room }: Held): void {
    if (this.#kernel.front !== this) return;
    if (room) this.data.giveRoomBack(offset, room);
    this.deliver();
  }

  setCapacity(sectors: number): void { this.#kernel.capacity = sectors; }
  setLimits(limits: DeviceLimits): void { this.#kernel.limits = limits; }

  setReadBypass(allowed: boolean): void {
    assert(this.#started, 'the shim refuses a policy before START');
    this.#kernel.bypass = allowed;
    this.#closingBypass = !allowed;
    if (!allowed) this.bypassEnded();
  }

  bypassEnded(): void {
    if (!this.#closingBypass || this.#kernel.bypassInFlight > 0) return;
    this.#closingBypass = false;
    this.#life.later(0, 'bypass closed', () => this.#handler?.bypassClosed());
  }

  bypassed() { return { reads: this.#kernel.bypassReads, sectors: this.#kernel.bypassSectors }; }

  announceOpen(id: number): void {
    const { write } = this.#kernel.opens.get(id)!;
    if (!this.#started) return;
    this.#life.later(0.005, 'open', () => { if (this.#kernel.opens.has(id)) this.#handler?.open(id, write, false, false, 1, 'sim'); });
  }

  announceOpenGone(id: number): void { this.#life.later(0.005, 'open gone', () => this.#handler?.openGone(id)); }

  announceClose(waits: boolean): void {
    this.#life.later(0, 'close', () => {
      if (waits) this.#handler?.lastClose();
      else this.#handler?.openCount(this.#kernel.openTotal, this.#kernel.openWriters);
    });
  }

  answerOpen(openId: number, errno: number): void {
    const waiting = this.#kernel.opens.get(openId);
    if (!waiting) return;
    this.#kernel.opens.delete(openId);
    if (errno === 0) {
      this.#kernel.openTotal++;
      this.#kernel.openWriters ||= waiting.write;
      this.#life.later(0, 'open count', () => this.#handler?.openCount(this.#kernel.openTotal, this.#kernel.openWriters));
    }
    this.#kernel.world.at(0, 'open answered', () => waiting.answer(errno));
  }

  drained(): void {
    const waiting = this.#kernel.closeWaits;
    if (waiting === null) return;
    this.#kernel.closeWaits = null;
    waiting();
    for (const id of this.#kernel.opens.keys()) this.announceOpen(id);
  }

  claim(file: BackingFile, role: 'data' | 'meta', handler: LowerHandler): LowerDevice | number {
    const { disk } = file as SimBackingFile;
    if (disk.claimedBy && disk.claimedBy !== this.#kernel) return EBUSY;
    disk.claimedBy = this.#kernel;
    const claim = { disk, inFlight: 0, quiet: [] } as unknown as Claim;
    claim.lower = new SimLower(disk.limits.minor, this.#kernel, claim, this.#life, handler);
    this.#kernel.claims.set(role, claim);
    return claim.lower;
  }

  readopt(role: 'data' | 'meta', handler: LowerHandler, quiet: () => void): LowerDevice | null {
    const claim = this.#kernel.claims.get(role);
    if (!claim) return null;
    claim.lower = new SimLower(claim.disk.limits.minor, this.#kernel, claim, this.#life, handler);
    if (claim.inFlight === 0) this.#life.later(0, 'disk is quiet', quiet);
    else claim.quiet.push(() => this.#life.turn(quiet));
    return claim.lower;
  }

  /** A new engine takes over: what had been given to the dead one is given again. */
  start(): void {
    this.#started = true;
    for (const held of this.#kernel.held) { held.delivered = false; held.offset = -1; }
    this.deliver();
    if (this.#kernel.closeWaits === null) for (const id of this.#kernel.opens.keys()) this.announceOpen(id);
    // It came while this engine was being set up.
    else this.announceClose(true);
  }

  stateArena(kind: number, sizeBytes: number) {
    const key = `${kind}/${sizeBytes}`;
    const known = this.#kernel.state.get(key);
    const bytes = known ?? new Uint8Array(sizeBytes);
    if (!known) this.#kernel.state.set(key, bytes);
    return { bytes, fresh: !known };
  }

  destroy(): void {
    this.#kernel.dead = true;
    this.#kernel.front = null;
    for (const held of this.#kernel.held.splice(0)) this.#kernel.world.at(0, 'bio of a dead device', () => held.bio.done(EIO));
    for (const waiting of this.#kernel.opens.values()) this.#kernel.world.at(0, 'open fails', () => waiting.answer(ENODEV));
    this.#kernel.opens.clear();
  }
}

class SimBackingFile implements BackingFile {
  readonly disk: SimDisk;
  constructor(disk: SimDisk) { this.disk = disk; }
  get path(): string { return this.disk.path; }
  get major(): number { return this.disk.limits.major; }
  get minor(): number { return this.disk.limits.minor; }
  get limits(): LowerLimits { return this.disk.limits; }
  close(): void {}
}

/** One node's block layer as the engine of the moment sees it. */
export class SimBlockFrontend implements BlockFrontend {
  readonly #world: World;
  readonly #life: EngineLife;
  readonly #kernel: Map<number, KernelDevice>;
  readonly #disks: Map<string, SimDisk>;

  constructor(world: World, life: EngineLife, kernel: Map<number, KernelDevice>, disks: Map<string, SimDisk>) {
    this.#world = world;
    this.#life = life;
    this.#kernel = kernel;
    this.#disks = disks;
  }

  create(minor: number): BlockDevice | number {
    const old = this.#kernel.get(minor);
    if (old && !old.dead) return EBUSY;
    const kernel = new KernelDevice(this.#world, minor);
    this.#kernel.set(minor, kernel);
    return new SimBlockDevice(kernel, this.#life, true);
  }

  adopt(): readonly AdoptedDevice[] {
    const living = [...this.#kernel.values()].filter((k) => !k.dead);
    return living.map((kernel) => {
      const device = new SimBlockDevice(kernel, this.#life, false);
      return {
        device, sectors: kernel.capacity, openTotal: kernel.openTotal, openWriters: kernel.openWriters,
        readopt: device.readopt.bind(device), start: device.start.bind(device),
      };
    });
  }

  openBacking(path: string, _pid: number): BackingFile | number {
    const disk = this.#disks.get(path);
    return disk ? new SimBackingFile(disk) : ENOENT;
  }
}
