// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * A hazard as a script: a few nodes by name, what happens to them in order, and what must be true then. Words are those of
 * the hazards' notation: cut, disc, con, w, w*. Links are 'A-B', or 'A>B' where direction counts.
 */
import { assert } from '../../assert.ts';
import { detachParms, newCUuidParms, resizeParms, startOvParms } from '../../genl/command-attrs.ts';
import { deviceConf, netConf, resourceOpts } from '../../genl/config-attrs.ts';
import type { DiskConf, NetConf, PeerDeviceConf, ResourceOpts } from '../../genl/config-attrs.ts';
import { Cmd } from '../../genl/ops.ts';
import type { InferPartial } from '../../genl/schema.ts';
import { BioFlag, BioOp } from '../../host/block.ts';
import { LowerOp } from '../../host/lower.ts';
import { MDF } from '../../meta/flags.ts';
import type { SuperBlock } from '../../meta/super-block.ts';
import { Cstate, cstateNames, Disk, diskNames, Repl, replNames, Role, roleNames } from '../../state/states.ts';
import type { PeerDeviceRow } from '../../state/types.ts';
import { applyActivityLog } from '../apply-al.ts';
import { SimCluster } from '../cluster.ts';
import type { SimMember } from '../cluster.ts';
import { createSuperBlock, editSuperBlock } from '../create-md.ts';
import type { SimDisk } from '../disk.ts';
import { sockaddr } from '../drbdsetup.ts';
import type { Answer } from '../drbdsetup.ts';
import { castOf, linkOf } from './cast.ts';
import type { Player } from './cast.ts';
import { likeGenuine } from './genuine.ts';
import { HeldPacket, Holds } from './holds.ts';
import { BLOCK_BYTES, BLOCK_SECTORS, Ledger } from './ledger.ts';
import type { Writing } from './ledger.ts';

export interface StoryOptions {
  readonly seed?: number;
  readonly mirrored?: boolean;
  readonly volumes?: number;
  readonly diskSectors?: number;
  /** 'A', 'B' or 'C'. */
  readonly protocol?: 'A' | 'B' | 'C';
  /** Only features of genuine DRBD are agreed upon. */
  readonly likeGenuine?: boolean;
  /** Bitmap slots of each disk; default: one for each peer with a disk. */
  readonly slots?: number;
  /** Links that are there from the start; default: all. */
  readonly links?: string;
  /**
   * worn: in sync, in a generation with a past. day-0: in sync since all disks were created empty, of one generation.
   * created: just created and connected. down: nothing is up.
   */
  readonly start?: 'worn' | 'day-0' | 'created' | 'down';
  readonly net?: Partial<NetConf>;
  readonly resource?: Partial<ResourceOpts>;
  readonly disk?: Partial<DiskConf>;
  readonly peerDevice?: Partial<PeerDeviceConf>;
  /** What the last check must not complain about: parts of log lines that would else be wrong refusals. */
  readonly expected?: readonly string[];
}

const RESOURCE = 'r0';
const PORT = 7000;
const PROTOCOL = { A: 1, B: 2, C: 3 } as const;
const NOTICE_MS = 60_000;
const FINE = new Set([1, 2, 101]);

export class Story {
  readonly cluster: SimCluster;
  readonly cast: readonly Player[];
  readonly options: StoryOptions;
  readonly holds: Holds;
  readonly ledger = new Ledger();
  readonly #open = new Set<string>();
  #nextBlock = 0;
  /** Bios without an answer whose application lives. */
  pending = 0;
  #life = new Map<string, number>();

  constructor(cast: string, options: StoryOptions = {}) {
    this.options = options;
    this.cast = castOf(cast, options.mirrored ?? false);
    this.cluster = new SimCluster(options.seed ?? 1, {
      nodes: this.cast.length, volumes: options.volumes ?? 1, diskSectors: options.diskSectors ?? 10_240,
      wireProtocol: PROTOCOL[options.protocol ?? 'C'],
    });
    this.holds = new Holds(this.cluster);
    if (options.likeGenuine) likeGenuine(this.cluster.fabric);
    for (const { name } of this.cast) this.createMd(name);
  }

  // --- who is who
  player(name: string): Player {
    const player = this.cast.find((p) => p.name === name);
    assert(player, 'the player is in the cast');
    return player;
  }
  member(name: string): SimMember { return this.cluster.members[this.player(name).id]!; }
  setup(name: string) { return this.member(name).setup; }
  resource(name: string) { return this.member(name).resource; }
  device(name: string, vnr = 0) { return this.resource(name).devices.get(vnr)!; }
  alive(name: string): boolean {
    const { node, engine } = this.member(name);
    return node.life !== null && engine !== null && engine.resources.has(RESOURCE);
  }
  backing(name: string, vnr = 0): SimDisk { return this.member(name).node.disks.get(`/dev/disk${vnr}`)!; }
  minor(name: string, vnr = 0): number { return this.cluster.minor(this.player(name).id, vnr); }
  kernel(name: string, vnr = 0) { return this.member(name).node.devices.get(this.minor(name, vnr))!; }
  #address(name: string): string { return this.member(name).node.address; }
  get volumes(): readonly number[] { return Array.from({ length: this.cluster.options.volumes }, (_, v) => v); }
  get #diskful(): readonly Player[] { return this.cast.filter((p) => !p.diskless); }
  pairs(): readonly string[] {
    return this.cast.flatMap((a, i) => this.cast.slice(i + 1).map((b) => `${a.name}-${b.name}`));
  }

  // --- states
  disk(name: string, vnr = 0): string { return diskNames[this.resource(name).deviceRow(vnr).disk]!; }
  role(name: string): string { return roleNames[this.resource(name).view.resource.role]!; }
  cstate(link: string): string {
    const [from, to] = linkOf(link);
    return cstateNames[this.resource(from).connectionRow(this.player(to).id).cstate]!;
  }
  peer(link: string, vnr = 0): PeerDeviceRow {
    const [from, to] = linkOf(link);
    return this.resource(from).peerDeviceRow(vnr, this.player(to).id);
  }
  repl(link: string, vnr = 0): string { return replNames[this.peer(link, vnr).repl]!; }
  pdsk(link: string, vnr = 0): string { return diskNames[this.peer(link, vnr).pdsk]!; }
  /** Without the Primary's bit. */
  current(name: string, vnr = 0): bigint { return this.device(name, vnr).disk?.meta.superBlock.currentUuid ?? this.resource(name).deviceRow(vnr).exposedUuid; }
  uuid(name: string, vnr = 0): bigint { return this.current(name, vnr) & ~1n; }
  bmUuid(link: string, vnr = 0): bigint {
    const [from, to] = linkOf(link);
    return this.device(from, vnr).disk!.meta.superBlock.peers[this.player(to).id]!.bitmapUuid;
  }
  history(name: string, vnr = 0): readonly bigint[] { return this.device(name, vnr).disk!.meta.superBlock.historyUuids; }
  /** Blocks out of sync towards a peer. */
  bits(link: string, vnr = 0): number {
    const [from, to] = linkOf(link);
    const { disk } = this.device(from, vnr);
    const slot = disk ? disk.bitmapIndex(this.player(to).id) : -1;
    return disk && slot >= 0 ? disk.bitmap.weight[slot]! : 0;
  }
  frozen(name: string): boolean { return this.resource(name).view.resource.suspended; }
  quorate(name: string, vnr = 0): boolean { return this.resource(name).deviceRow(vnr).haveQuorum; }
  logged(name: string, text: string): number { return this.member(name).node.log.lines.filter((line) => line.includes(text)).length; }
  /** Packets of a name that have arrived so far. */
  arrived(link: string, packet: string): number {
    const [from, to, both] = linkOf(link);
    const count = (x: string, y: string): number => this.holds.count(this.#address(x), this.#address(y), packet);
    return count(from, to) + (both ? count(to, from) : 0);
  }
  helpers(name: string): readonly string[] { return this.member(name).node.helper!.calls.map(({ argv }) => argv[1]!); }

  /** 'A:Primary', 'A:Outdated', 'A:frozen', 'A:quorate', 'A-B:Connected' (both ends), 'A>B:SyncSource', 'A>B:Outdated'. */
  is(what: string): boolean {
    const [who, state] = what.split(':') as [string, string];
    if (who.length === 1) return this.alive(who) && this.#nodeIs(who, state);
    const [from, to, both] = linkOf(who);
    const one = (x: string, y: string): boolean => this.alive(x)
      && (this.cstate(`${x}>${y}`) === state || this.volumes.every((v) => this.repl(`${x}>${y}`, v) === state || this.pdsk(`${x}>${y}`, v) === state));
    return one(from, to) && (!both || one(to, from));
  }
  #nodeIs(name: string, state: string): boolean {
    if (state === 'frozen') return this.frozen(name);
    if (state === 'flowing') return !this.frozen(name);
    if (state === 'quorate') return this.quorate(name);
    if (state === 'quorumless') return !this.quorate(name);
    return this.role(name) === state || this.volumes.every((v) => this.disk(name, v) === state);
  }

  // --- time
  until(what: string, holds: () => boolean, limitMs = NOTICE_MS): Promise<void> { return this.cluster.until(what, holds, limitMs); }
  async reach(...what: readonly string[]): Promise<void> {
    for (const each of what) await this.until(each, () => this.is(each));
    await this.until(what.join(', '), () => what.every((each) => this.is(each)));
  }
  /** Time passes, and it stays so all the while. */
  async stays(ms: number, ...what: readonly string[]): Promise<void> {
    const end = this.cluster.world.nowMs + ms;
    this.cluster.world.at(ms, 'time passes', () => {});
    await this.until('time passes', () => {
      for (const each of what) if (!this.is(each)) throw new Error(`${each} did not last: ${this.shown()}`);
      return this.cluster.world.nowMs >= end;
    }, 2 * ms + 1);
  }
  pass(ms: number): Promise<void> { return this.stays(ms); }

  // --- administrators
  async code(answer: Promise<Answer>): Promise<number> { return (await this.cluster.admin(answer)).code; }
  async ok(answer: Promise<Answer>): Promise<void> {
    const { code, text } = await this.cluster.admin(answer);
    if (!FINE.has(code)) throw new Error(`refused: ${code} ${text}`);
  }
  /** As drbdadm, which asks again while a state is in transit. */
  async patient(ask: () => Promise<Answer>): Promise<number> {
    for (let tries = 0; ; tries++) {
      const code = await this.code(ask());
      if (code !== -18 || tries > 100) return code;
      await this.pass(100);
    }
  }

  createMd(name: string): void {
    const slots = this.options.slots ?? Math.max(1, this.#diskful.length - 1);
    for (const v of this.volumes) createSuperBlock(this.backing(name, v), slots);
  }

  /** drbdadm up; without a connect to nodes whose link is cut. */
  async up(name: string, options: { attach?: boolean; connect?: boolean } = {}): Promise<void> {
    const { id, diskless } = this.player(name);
    const setup = this.setup(name);
    await this.ok(setup.newResource(RESOURCE, id, this.options.resource));
    for (const v of this.volumes) {
      await this.ok(setup.with(Cmd.NEW_MINOR, { resourceName: RESOURCE, volume: v }, deviceConf, { intentionalDiskless: diskless }, this.minor(name, v)));
    }
    for (const peer of this.cast) if (peer.name !== name) await this.newPeer(name, peer.name);
    if (!diskless && options.attach !== false) for (const v of this.volumes) await this.attach(name, v);
    if (options.connect !== false) for (const peer of this.cast) if (peer.name !== name) await this.ok(setup.connect(RESOURCE, peer.id));
  }

  async newPeer(name: string, peerName: string): Promise<void> {
    const setup = this.setup(name);
    const peer = this.player(peerName);
    await this.ok(setup.newPeer(RESOURCE, peer.id, { name: `n${peer.id}`, wireProtocol: this.cluster.options.wireProtocol, ...this.options.net }));
    await this.ok(setup.newPath(RESOURCE, peer.id, sockaddr(this.#address(name), PORT), sockaddr(this.#address(peerName), PORT)));
    const opts = { ...this.options.peerDevice, ...peer.diskless && { bitmap: false } };
    if (Object.keys(opts).length > 0) for (const v of this.volumes) await this.ok(setup.peerDeviceOptions(RESOURCE, peer.id, v, opts));
  }

  delPeer(name: string, peer: string): Promise<void> {
    return this.ok(this.setup(name).plain(Cmd.DEL_PEER, { resourceName: RESOURCE, peerNodeId: this.player(peer).id }));
  }
  setQuorum(name: string, quorum: number): Promise<Answer> {
    return this.setup(name).with(Cmd.RESOURCE_OPTS, { resourceName: RESOURCE }, resourceOpts, { quorum });
  }
  suspendIo(name: string): Promise<Answer> { return this.setup(name).plain(Cmd.SUSPEND_IO, {}, this.minor(name)); }
  resumeIo(name: string): Promise<Answer> { return this.setup(name).plain(Cmd.RESUME_IO, {}, this.minor(name)); }
  allowTwoPrimaries(name: string, peer: string): Promise<Answer> { return this.netOptions(name, peer, { twoPrimaries: true }); }
  netOptions(name: string, peer: string, options: Partial<NetConf>): Promise<Answer> {
    return this.setup(name).with(Cmd.CHG_NET_OPTS, { resourceName: RESOURCE, peerNodeId: this.player(peer).id }, netConf, options);
  }
  resourceOptions(name: string, options: Partial<ResourceOpts>): Promise<Answer> {
    return this.setup(name).with(Cmd.RESOURCE_OPTS, { resourceName: RESOURCE }, resourceOpts, options);
  }
  /** What a helper of that node exits with. */
  helperSays(name: string, helper: string, code: number): void { this.member(name).node.helper!.exitCodes.set(helper, code); }

  async down(name: string): Promise<void> { this.#close(name); await this.ok(this.setup(name).down(RESOURCE)); }
  disc(link: string, force = false): Promise<void> {
    const [from, to] = linkOf(link);
    return this.ok(this.setup(from).disconnect(RESOURCE, this.player(to).id, force));
  }
  /** The link works again and both ends connect. */
  async con(...links: readonly string[]): Promise<void> {
    for (const link of links) await this.joining(link);
    await this.until(`${links.join(' ')} connected`, () => links.every((link) => this.joined(link)));
  }
  async joining(link: string, discard = ''): Promise<void> {
    const [from, to] = linkOf(link);
    this.heal(link);
    for (const [x, y] of [[from, to], [to, from]] as const) {
      if (this.alive(x) && (this.is(`${x}>${y}:StandAlone`) || discard === x)) await this.ok(this.setup(x).connect(RESOURCE, this.player(y).id, discard === x));
    }
  }
  joined(link: string): boolean {
    const [from, to] = linkOf(link);
    return this.alive(from) && this.alive(to) && this.is(`${from}-${to}:Connected`)
      && this.volumes.every((v) => this.peer(link, v).repl >= Repl.established && this.peer(`${to}>${from}`, v).repl >= Repl.established);
  }

  /** Primary, with an application that has it open for writing. */
  async promote(name: string, force = false): Promise<void> {
    const code = await this.patient(() => this.setup(name).primary(RESOURCE, force));
    if (!FINE.has(code)) throw new Error(`promotion of ${name} was refused: ${code}`);
    await this.openFor(name);
  }
  mayPromote(name: string): Promise<number> { return this.patient(() => this.setup(name).primary(RESOURCE)); }
  async openFor(name: string): Promise<void> {
    for (const v of this.volumes) {
      let errno = -1;
      this.kernel(name, v).open(true, (e) => { errno = e; });
      await this.until('open', () => errno >= 0);
      assert(errno === 0, 'the device can be opened');
      this.#open.add(`${name}${v}`);
    }
  }
  async closeFor(name: string): Promise<void> {
    for (const v of this.volumes) {
      if (!this.#open.delete(`${name}${v}`)) continue;
      let closed = false;
      this.kernel(name, v).close(() => { closed = true; });
      await this.until('close', () => closed);
    }
  }
  async demote(name: string): Promise<void> {
    await this.closeFor(name);
    const code = await this.patient(() => this.setup(name).secondary(RESOURCE));
    if (!FINE.has(code)) throw new Error(`demotion of ${name} was refused: ${code}`);
  }

  async attach(name: string, vnr = 0, options: Partial<DiskConf> = {}): Promise<void> {
    const disk = this.backing(name, vnr);
    await this.until(`${name} has let go of its disk`, () => disk.claimedBy === null);
    applyActivityLog(disk);
    await this.ok(this.setup(name).attach(this.minor(name, vnr), `/dev/disk${vnr}`, { ...this.options.disk, ...options }));
  }
  async detach(name: string, force = false): Promise<void> {
    await this.letGo(name, force);
    await this.until(`${name} is Diskless`, () => this.is(`${name}:Diskless`));
  }
  /** The command alone: a disk that hangs may be there for long. */
  async letGo(name: string, force = true): Promise<void> {
    for (const v of this.volumes) await this.ok(this.setup(name).with(Cmd.DETACH, {}, detachParms, { forceDetach: force }, this.minor(name, v)));
  }
  /** lvextend; an engine that has the disk attached is not told. */
  enlarge(sectors: number, ...names: readonly string[]): void {
    for (const name of names) for (const v of this.volumes) this.backing(name, v).grow(sectors);
  }
  resize(name: string, options: InferPartial<typeof resizeParms> = {}): Promise<number> {
    return this.patient(() => this.setup(name).with(Cmd.RESIZE, {}, resizeParms, options, this.minor(name)));
  }
  /** Sectors of the block device; 0: none. */
  capacity(name: string, vnr = 0): number { return this.alive(name) ? this.device(name, vnr).capacity : 0; }
  /** Online verify, asked by the first of the link. */
  verify(link: string, options: InferPartial<typeof startOvParms> = {}): Promise<number> {
    const [from, to] = linkOf(link);
    const context = { resourceName: RESOURCE, peerNodeId: this.player(to).id, volume: 0 };
    return this.patient(() => this.setup(from).with(Cmd.START_OV, context, startOvParms, options));
  }
  /** A new disk of the same size, empty, with fresh meta-data; not attached yet. */
  replaceDisk(name: string): void {
    for (const v of this.volumes) {
      this.backing(name, v).wipe();
    }
    this.createMd(name);
  }
  /** drbdmeta on a disk that no engine has: its super block, changed by hand. */
  editMd(name: string, change: (superBlock: SuperBlock) => SuperBlock, vnr = 0): void {
    applyActivityLog(this.backing(name, vnr));
    editSuperBlock(this.backing(name, vnr), change);
  }
  /** An empty disk whose meta-data say that it holds this generation: the day on which all disks were empty. */
  recreateAt(name: string, current: bigint): void {
    this.replaceDisk(name);
    for (const v of this.volumes) {
      this.editMd(name, (sb) => ({ ...sb, currentUuid: current, flags: sb.flags | MDF.consistent | MDF.wasUpToDate }), v);
    }
  }
  /** Something else on the disk, without anybody's knowledge. */
  scribble(name: string, block: number): void { this.backing(name).writeBytes(block * BLOCK_SECTORS, new Uint8Array(BLOCK_BYTES)); }
  newCurrentUuid(name: string, options: { clearBm?: boolean; forceResync?: boolean } = {}): Promise<void> {
    return this.ok(this.setup(name).with(Cmd.NEW_C_UUID, {}, newCUuidParms, options, this.minor(name)));
  }

  // --- applications
  /** A write of the application on that node; its completion is not awaited. FUA unless said. */
  wStar(name: string, block = this.#nextBlock++, options: WriteOptions = {}): Writing {
    const vnr = options.vnr ?? 0;
    const blocks = options.blocks ?? 1;
    const op = options.op ?? BioOp.write;
    const writing = this.ledger.begin(vnr, block, blocks, op === BioOp.write ? undefined : 0);
    const life = this.#life.get(name) ?? 0;
    this.pending++;
    const tags = op === BioOp.write ? new Float64Array(blocks * BLOCK_SECTORS).fill(writing.tag) : null;
    if (tags) this.#pages.set(writing, tags);
    this.kernel(name, vnr).submit({
      op, flags: op === BioOp.write && options.fua !== false ? BioFlag.fua : 0, sector: block * BLOCK_SECTORS, sizeBytes: blocks * BLOCK_BYTES,
      tags,
      done: (errno) => {
        this.#pages.delete(writing);
        if (life !== (this.#life.get(name) ?? 0)) return;
        this.pending--;
        this.ledger.answered(vnr, writing, errno, options.doomed ?? false);
      },
    });
    return writing;
  }
  /** A write and its good end. */
  async w(name: string, block?: number, options: WriteOptions = {}): Promise<Writing> {
    const writing = this.wStar(name, block, options);
    await this.until(`write of ${name}`, () => writing.errno >= 0);
    if (writing.errno !== 0) throw new Error(`write of ${name} failed: ${writing.errno}`);
    return writing;
  }
  async ended(...writes: readonly Writing[]): Promise<void> {
    await this.until('the writes end', () => writes.every((w) => w.errno >= 0));
  }
  async flush(name: string, vnr = 0): Promise<void> {
    let errno = -1;
    this.kernel(name, vnr).submit({ op: BioOp.flush, flags: BioFlag.preflush, sector: 0, sizeBytes: 0, tags: null, done: (e) => { errno = e; } });
    await this.until('flush', () => errno >= 0);
    assert(errno === 0, 'a flush succeeds');
  }
  /** What an application reads there; checked against the book. */
  async r(name: string, block: number, vnr = 0): Promise<number> {
    let errno = -1;
    const tags = new Float64Array(BLOCK_SECTORS);
    const read = this.ledger.history(vnr).read();
    this.kernel(name, vnr).submit({ op: BioOp.read, flags: 0, sector: block * BLOCK_SECTORS, sizeBytes: BLOCK_BYTES, tags, done: (e) => { errno = e; } });
    await this.until('read', () => errno >= 0);
    if (errno !== 0) throw new Error(`read of ${name} failed: ${errno}`);
    for (let i = 0; i < BLOCK_SECTORS; i++) {
      const why = read.check(block * BLOCK_SECTORS + i, tags[i]!);
      if (why !== '') throw new Error(`G: ${name} reads: ${why}`);
    }
    read.end();
    return tags[0]!;
  }
  /** A read whose end is not awaited; -1: no answer yet. */
  readStar(name: string, block: number, vnr = 0): { errno: number } {
    const reading = { errno: -1 };
    this.kernel(name, vnr).submit({ op: BioOp.read, flags: 0, sector: block * BLOCK_SECTORS, sizeBytes: BLOCK_BYTES,
      tags: new Float64Array(BLOCK_SECTORS), done: (errno) => { reading.errno = errno; } });
    return reading;
  }
  /** The application scribbles over its page before the write has ended: either content may be there, on all disks the same. */
  changePage(writing: Writing): void {
    const page = this.#pages.get(writing);
    assert(page, 'the write has a page');
    const other = this.ledger.begin(0, writing.block, writing.blocks);
    page.fill(other.tag);
    this.ledger.answered(0, other, -1, false);
  }
  readonly #pages = new Map<Writing, Float64Array>();
  /** First sector of a block of a backing disk. */
  onDisk(name: string, block: number, vnr = 0): number { return this.backing(name, vnr).tag(block * BLOCK_SECTORS); }

  // --- trouble
  /** Drops packets of a link, or of one direction; nobody is told. */
  sever(...links: readonly string[]): void { for (const link of links) this.#cut(link, true); }
  heal(...links: readonly string[]): void { for (const link of links) this.#cut(link, false); }
  #cut(link: string, cut: boolean): void {
    const [from, to, both] = linkOf(link);
    this.cluster.fabric.cut(this.#address(from), this.#address(to), cut);
    if (both) this.cluster.fabric.cut(this.#address(to), this.#address(from), cut);
  }
  /** The links drop, and both ends notice by their time-outs. */
  async cut(...links: readonly string[]): Promise<void> {
    this.sever(...links);
    for (const link of links) await this.noticed(link);
  }
  async noticed(link: string): Promise<void> {
    const [from, to] = linkOf(link);
    for (const [x, y] of [[from, to], [to, from]] as const) {
      await this.until(`${x} misses ${y}`, () => !this.alive(x) || this.resource(x).connectionRow(this.player(y).id).cstate < Cstate.connected
        && this.resource(x).connectionRow(this.player(y).id).cstate !== Cstate.disconnecting);
    }
  }
  linksOf(name: string): readonly string[] { return this.cast.filter((p) => p.name !== name).map((p) => `${name}-${p.name}`); }
  isolate(name: string): Promise<void> { return this.cut(...this.linksOf(name)); }
  /** TCP ends at once on both sides. */
  async reset(link: string): Promise<void> {
    const [from, to] = linkOf(link);
    this.cluster.fabric.resetBetween(this.#address(from), this.#address(to));
    await this.noticed(link);
  }
  /** The links break at once, both ends know, and they stay broken. */
  async drop(...links: readonly string[]): Promise<void> {
    for (const link of links) await this.reset(link);
    this.sever(...links);
  }
  /** Nothing written is under way any more, and every peer knows who has it. */
  idle(): Promise<void> {
    return this.until('all writes are settled', () => this.cast.every(({ name }) => !this.alive(name) || this.resource(name).io.requests.writes === 0));
  }
  crash(name: string): void {
    this.member(name).node.crash();
    this.#close(name);
  }
  async reboot(name: string): Promise<void> { this.crash(name); await this.up(name); }
  killEngine(name: string): void { this.member(name).node.killEngine(); }
  #close(name: string): void {
    const had = this.volumes.filter((v) => this.#open.delete(`${name}${v}`));
    this.#life.set(name, (this.#life.get(name) ?? 0) + 1);
    if (had.length === 0) return;
    this.pending = 0;
    this.ledger.applicationsLost();
  }
  /** The next packet of that name on that link (A>B: in that direction) stays under way, and what is behind it on its stream. */
  hold(link: string, packet: string, skip = 0): HeldPacket {
    const [from, to, both] = linkOf(link);
    return this.holds.hold(this.#address(from), this.#address(to), both, packet, skip);
  }
  async caught(held: HeldPacket): Promise<void> { await this.until(`${held.name} is caught`, () => held.caught); }
  /** The link dies with that packet; both ends notice. */
  async lose(held: HeldPacket, link: string): Promise<void> {
    await this.caught(held);
    await this.reset(link);
    held.release();
  }
  /** Writes (or other operations) to the data of that disk end only after `flow`. */
  stall(name: string, op: LowerOp = LowerOp.write, vnr = 0): void {
    const disk = this.backing(name, vnr);
    const data = this.dataSectors;
    disk.faults.each = (o, sector) => (o === op && sector < data ? 'hold' : null);
  }
  flow(name: string, vnr = 0): void {
    const disk = this.backing(name, vnr);
    disk.faults.each = null;
    disk.resume();
  }
  /** Operations of that kind on the disk's data fail; meta-data stay good. */
  fail(name: string, op: LowerOp = LowerOp.write, vnr = 0): void {
    const data = this.dataSectors;
    this.backing(name, vnr).faults.each = (o, sector) => (o === op && sector < data ? 'fail' : null);
  }
  /** Sectors of a device; behind them lie the meta-data. */
  get dataSectors(): number {
    return Math.max(...this.cast.map(({ name }) => this.capacity(name)));
  }

  /** What was ever written is the same on both disks. */
  expectSame(a: string, b: string): void {
    for (const v of this.volumes) {
      for (const sector of this.ledger.history(v).written) {
        const [x, y] = [this.backing(a, v).tag(sector), this.backing(b, v).tag(sector)];
        if (x !== y) throw new Error(`D: sector ${sector} is ${x} at ${a} and ${y} at ${b}`);
      }
    }
  }

  /** For messages: what each node thinks. */
  shown(): string {
    return this.cast.map(({ name }) => {
      if (!this.alive(name)) return `${name} is not there`;
      const { view } = this.resource(name);
      const peers = this.cast.filter((p) => p.name !== name).map((p) => {
        const link = `${name}>${p.name}`;
        if (!this.member(name).resource.connections.has(p.id)) return `${p.name} is not configured`;
        return `${p.name} ${this.cstate(link)}/${this.repl(link)}/${this.pdsk(link)}/${this.bits(link)} bits`;
      });
      const waits = [view.resource.suspended && 'frozen', view.twopc && '2PC', !this.quorate(name) && 'no quorum', this.pending && `${this.pending} bios`];
      return `${name} ${this.role(name)}/${this.disk(name)} (${peers.join(', ')})${waits.filter(Boolean).map((w) => ` ${w}`).join('')}`;
    }).join('; ');
  }
  log(last = 200): string {
    const lines = this.cluster.members.flatMap(({ node }) => node.log.lines.slice(-last));
    return lines.sort((x, y) => parseFloat(x) - parseFloat(y)).join('\n');
  }
  isPrimary(name: string): boolean { return this.alive(name) && this.resource(name).view.resource.role === Role.primary; }
  upToDate(name: string): boolean { return this.volumes.every((v) => this.resource(name).deviceRow(v).disk === Disk.upToDate); }
}

export interface WriteOptions {
  readonly vnr?: number;
  readonly blocks?: number;
  readonly fua?: boolean;
  readonly op?: BioOp;
  /** The story will take this back: a loss is right. */
  readonly doomed?: boolean;
}
