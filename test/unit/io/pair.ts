// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Two I/O engines in one process over simulated disks and network. What the control layer decides is decided here in the
 * plainest way: who is source, when a resync ends.
 */
import { BioOp } from '../../../src/host/block.ts';
import type { Host } from '../../../src/host/host.ts';
import type { Stream } from '../../../src/host/net.ts';
import { ConnectionIo, DeviceIo, IO_COMMANDS, type IoDisk, type IoEnv, ResourceIo } from '../../../src/io/index.ts';
import { ActivityLog } from '../../../src/meta/activity-log.ts';
import { Bitmap } from '../../../src/meta/bitmap.ts';
import { SimFabric } from '../../../src/sim/net.ts';
import { SimNode } from '../../../src/sim/node.ts';
import { World } from '../../../src/sim/world.ts';
import { Disk, Repl, Role } from '../../../src/state/states.ts';
import { fixedBytesTable } from '../../../src/wire/packets.ts';
import { vnrOfVolume } from '../../../src/wire/header.ts';

export const SECTORS = 16384;
const FEATURES = 0x7f & ~0x100;
const tuning = { sndbufBytes: 0, rcvbufBytes: 0, tos: -1 };
const expected = new Set(IO_COMMANDS);

/** Runs of a property: FC_RUNS times as many for a long night. */
export const runs = (n: number): number => n * Number(process.env['FC_RUNS'] ?? 1);

export interface PairOptions {
  seed: number;
  protocol?: number;
  version?: number;
  features?: number;
  alExtents?: number;
  alExtentsB?: number;
  sectors?: number;
  integrity?: string;
  slots?: number;
}

/** One node: engine, device, and what it told its control layer. */
export class Side implements IoEnv {
  readonly node: SimNode;
  readonly id: number;
  readonly lines: string[] = [];
  readonly events: string[] = [];
  host!: Host;
  io!: ResourceIo;
  device!: DeviceIo;
  connection!: ConnectionIo;
  disk!: IoDisk;
  /** Another activity log and bitmap on the same disk, for an attach. */
  newDisk!: () => IoDisk;
  streams: { data: Stream; control: Stream } | null = null;
  failures: string[] = [];
  /** Commands sent, in order, by stream. */
  onFail: () => void = () => {};
  onKeepBits: (done: () => void) => void = (done) => done();
  readonly received: number[] = [];
  readonly sectors: number;

  constructor(world: World, fabric: SimFabric, id: number, options: PairOptions) {
    this.id = id;
    this.sectors = options.sectors ?? SECTORS;
    this.node = new SimNode(world, fabric, `n${id}`, `10.0.0.${id}`, (host) => this.start(host, options));
    this.node.addDisk('/dev/d', this.sectors);
    this.node.start();
  }

  get clock() { return this.host.clock; }
  get crypto() { return this.host.crypto; }
  get peer() { return this.connection.peers[0]; }
  get kernel() { return this.node.devices.get(0)!; }

  turn(run: () => void): void { this.node.life!.turn(run); }

  private start(host: Host, options: PairOptions): void {
    this.host = host;
    this.io = new ResourceIo(this, this.id);
    const block = host.block.create(0);
    if (typeof block === 'number') throw new Error('no device');
    block.setCapacity(this.sectors);
    const device = this.io.addDevice({ vnr: 0, block, arena: block.data });
    this.device = device;
    device.sectors = this.sectors;
    block.setHandler({
      bio: (tag, op, flags, sector, size, offset) => device.bio(tag, op, flags, sector, size, offset),
      open() {}, openGone() {}, openCount() {}, lastClose() {}, bypassClosed() {},
    });
    const file = host.block.openBacking('/dev/d', 0);
    if (typeof file === 'number') throw new Error('no disk');
    const lower = block.claim(file, 'data', device);
    if (typeof lower === 'number') throw new Error('not claimed');
    const extents = (this.id === 1 ? options.alExtentsB : undefined) ?? options.alExtents ?? 67;
    this.newDisk = () => {
      const al = new ActivityLog({
        io: null as never, layout: { alSize4k: 8 } as never, bufferOffset: 0, clock: host.clock, crc32c: null as never,
        bitmap: { writeExtents: () => false }, extents, waitersMax: 65536,
        handler: { alActive: (token, errno) => device.alActive(token, errno), alError() {} },
      });
      al.setUpdates(false);
      return { lower, al, bitmap: new Bitmap(this.sectors, options.slots ?? 2), unused: false, written: false, writeLazy() {}, oldestMetaOperation: () => 0 };
    };
    this.disk = this.newDisk();
    device.attach(this.disk);
    this.connection = this.io.addConnection(1 - this.id);
    this.connection.facts.protocol = options.protocol ?? 3;
    this.peer.facts.bitmapIndex = 0;
    this.peer.facts.cMaxRate = 0;
    this.set(() => {
      device.facts.disk = Disk.upToDate;
      this.io.facts.role = this.id === 0 ? Role.primary : Role.secondary;
    });
  }

  /** Facts of one transaction. */
  set(change: () => void): void {
    change();
    this.io.factsChanged();
  }

  attachStreams(data: Stream, control: Stream, options: PairOptions): void {
    this.streams = { data, control };
    const digest = options.integrity === undefined ? 0 : this.crypto.digestBytes(options.integrity);
    const framing = { header: 'h100' as const, fixedBytes: fixedBytesTable(digest), maxFixedBytes: 4096, maxPayloadBytes: 1 << 20 };
    const handler = (stream: 'data' | 'control') => ({
      packet: (command: number, volume: number, fixed: number, bytes: number, payload: number, payloadBytes: number) => {
        this.received.push(command);
        if (!expected.has(command)) throw new Error(`command ${command}`);
        const input = stream === 'data' ? data.input : control.input;
        const error = this.connection.packet(command, vnrOfVolume(volume), input, fixed, bytes, payload, payloadBytes);
        if (error !== '') this.linkFailed(1 - this.id, 'ProtocolError', error);
      },
      sent: (position: number) => { if (stream === 'data') this.connection.dataSent(position); },
      writable: () => { if (stream === 'data') this.connection.dataWritable(); else this.connection.controlWritable(); },
      closed: () => { this.linkFailed(1 - this.id, 'NetworkFailure', 'closed'); },
    });
    data.bindVolume(0, this.device.arena);
    this.connection.linkUp({
      version: options.version ?? 124, features: options.features ?? FEATURES, data, control,
      integrityAlg: options.integrity ?? '', peerIntegrityAlg: options.integrity ?? '', resolveConflicts: this.id === 0, pingedMs: 0,
      exclusive: () => true,
    });
    data.start(framing, handler('data'));
    control.start(framing, handler('control'));
  }

  log(_level: number, text: string): void { this.lines.push(text); }
  logAbout(_vnr: number, _node: number, _level: number, text: string): void { this.lines.push(text); }
  ioError(_vnr: number, kind: number): void { this.events.push(`ioError ${kind}`); this.onIoError(kind); }
  onIoError: (kind: number) => void = () => {};
  ping(_node: number, done: (alive: boolean) => void): void { done(this.connection.up); }
  useGeneration(): void {}
  needNewCurrentUuid(): void { this.events.push('newCurrentUuid'); this.onNewUuid(); }
  onNewUuid: () => void = () => {};
  diskIdle(): void { this.events.push('diskIdle'); }
  writesDrained(): void { this.events.push('writesDrained'); }
  linkFailed(_node: number, failure: string, text: string): void {
    if (this.streams === null) return;
    this.failures.push(`${failure}: ${text}`);
    this.onFail();
  }
  gotNegAck(): void { this.events.push('gotNegAck'); }
  bitsOfGoodPeer(): void { this.events.push('bitsOfGoodPeer'); }
  noBitsLeft(): void { this.events.push('noBitsLeft'); }
  answeredElsewhere(): void {}
  sameGeneration(): boolean { return true; }
  keepBits(_vnr: number, _node: number, done: () => void): void { this.onKeepBits(done); }
  bitmapExchanged(_vnr: number, _node: number, side: 'source' | 'target'): void {
    this.events.push(`bitmap ${side}`);
    this.set(() => { this.peer.facts.repl = side === 'source' ? Repl.syncSource : Repl.syncTarget; });
  }
  resyncDone(): void { this.events.push('resyncDone'); this.onResyncDone(); }
  onResyncDone: () => void = () => {};
  verifyDone(): void { this.events.push('verifyDone'); this.onVerifyDone(); }
  onVerifyDone: () => void = () => {};
  resyncIdle(): void {}
  syncTargetToBehind(): void { this.events.push('behind'); }
  congested(): void { this.events.push('congested'); this.onCongested(); }
  onCongested: () => void = () => {};
  aheadDrained(): void { this.events.push('aheadDrained'); }
  resyncProgress(): void { this.events.push('progress'); }
  sendState(): void { this.events.push('sendState'); }
  drained(): void { this.events.push('drained'); }
}

export class Pair {
  readonly world: World;
  readonly fabric: SimFabric;
  readonly a: Side;
  readonly b: Side;
  readonly options: PairOptions;
  private ports = 7000;
  private seq = 1;

  constructor(options: PairOptions) {
    this.options = options;
    this.world = new World(options.seed);
    this.fabric = new SimFabric(this.world);
    this.a = new Side(this.world, this.fabric, 0, options);
    this.b = new Side(this.world, this.fabric, 1, options);
    this.a.onFail = this.b.onFail = () => this.dropLink();
    this.b.onResyncDone = () => this.endResync();
  }

  /** Streams, then both Connected; `repl` of each side. */
  connect(replA: number, replB: number, diskB: number): void {
    const streams = [this.streamPair(), this.streamPair()];
    for (const [side, i] of [[this.a, 0], [this.b, 1]] as const) {
      side.turn(() => side.attachStreams(streams[0][i], streams[1][i], this.options));
    }
    for (const side of [this.b, this.a]) {
      side.turn(() => side.set(() => {
        const isA = side === this.a;
        if (!isA) side.device.facts.disk = diskB;
        side.connection.facts.connected = true;
        side.connection.facts.peerRole = isA ? Role.secondary : Role.primary;
        side.peer.facts.pdisk = isA ? diskB : Disk.upToDate;
        side.peer.facts.repl = isA ? replA : replB;
      }));
      side.turn(() => side.peer.sendBitmap());
    }
  }

  connectInSync(): void { this.connect(Repl.established, Repl.established, Disk.upToDate); }
  connectForResync(): void { this.connect(Repl.wfBitMapS, Repl.wfBitMapT, Disk.inconsistent); }

  private streamPair(): [Stream, Stream] {
    const port = this.ports++;
    const ends: Stream[] = [];
    this.b.turn(() => this.b.host.net.listen(0, { family: 'ipv4', address: '10.0.0.1', port }, tuning, (s) => { ends[1] = s; }));
    this.a.turn(() => this.a.host.net.connect({ netns: 0, local: { family: 'ipv4', address: '10.0.0.0', port: 0 },
      remote: { family: 'ipv4', address: '10.0.0.1', port }, timeoutMs: 1000, tuning }, (s) => { ends[0] = s; }, () => {}));
    this.world.runUntil(() => ends[0] !== undefined && ends[1] !== undefined, 1000);
    return [ends[0], ends[1]];
  }

  /** Both ends notice at once: facts, streams, clean-up. */
  dropLink(): void {
    for (const side of [this.a, this.b]) {
      if (side.streams === null) continue;
      const { data, control } = side.streams;
      side.streams = null;
      this.world.at(0, 'clean-up', () => side.turn(() => {
        side.set(() => {
          side.connection.facts.connected = false;
          side.peer.facts.repl = Repl.off;
          side.peer.facts.pdisk = Disk.unknown;
        });
        data.close(0);
        control.close(0);
        side.connection.disconnected(() => { side.events.push('disconnected'); });
      }));
    }
  }

  private endResync(): void {
    this.world.at(0.5, 'end of resync', () => this.b.turn(() => {
      if (this.b.streams === null) return;
      this.b.set(() => { this.b.device.facts.disk = Disk.upToDate; this.b.peer.facts.repl = Repl.established; });
      this.world.at(0.5, 'end of resync', () => this.a.turn(() => {
        if (this.a.streams === null) return;
        this.a.set(() => { this.a.peer.facts.pdisk = Disk.upToDate; this.a.peer.facts.repl = Repl.established; });
      }));
    }));
  }

  /** A write of the application on A; every sector gets a tag of its own. */
  write(sector: number, sectors: number, flags = 0, done: (errno: number) => void = () => {}): Float64Array {
    const tags = new Float64Array(sectors).map(() => this.seq++);
    this.a.kernel.submit({ op: BioOp.write, flags, sector, sizeBytes: sectors * 512, tags, done });
    return tags;
  }

  read(sector: number, sectors: number, done: (errno: number, tags: Float64Array) => void): void {
    const tags = new Float64Array(sectors);
    this.a.kernel.submit({ op: BioOp.read, flags: 0, sector, sizeBytes: sectors * 512, tags, done: (errno) => done(errno, tags) });
  }

  bio(op: BioOp, sector: number, sectors: number, flags: number, done: (errno: number) => void): void {
    this.a.kernel.submit({ op, flags, sector, sizeBytes: sectors * 512, tags: null, done });
  }

  /** Nothing waits for anything: all completed, acked, settled. */
  settled(): boolean {
    return [this.a, this.b].every((s) => s.kernel.held.length === 0 && s.device.idle && s.io.requests.pool.live === 0 && s.io.peerRequests.live === 0);
  }

  run(done: () => boolean, ms = 20000): void {
    if (!this.world.runUntil(done, ms)) {
      throw new Error(`stuck: ${JSON.stringify(this.report())}`);
    }
  }

  report(): object {
    return [this.a, this.b].map((s) => ({
      live: s.io.requests.pool.live, peers: s.io.peerRequests.live, lower: s.device.lowerPending, repl: s.peer.facts.repl,
      gate: s.device.gateReason, apBio: [s.device.apBio(0), s.device.apBio(1)], intervals: s.device.intervals.count,
      waiting: s.device.intervals.waiting, al: s.disk.al.used, bits: s.peer.bitsOutOfSync, failures: s.failures, lines: s.lines.slice(-5),
      events: s.events.slice(-10), held: s.connection.writes.held, active: s.connection.writes.active, list: s.connection.writes.list.length,
      pending: s.peer.apPending, rs: s.peer.rsPending,
    }));
  }

  /** First sector in which the disks differ, -1: none. */
  difference(): number {
    const disks = [this.a, this.b].map((s) => s.node.disks.get('/dev/d')!);
    for (let sector = 0; sector < SECTORS; sector++) if (disks[0].tag(sector) !== disks[1].tag(sector)) return sector;
    return -1;
  }

  arenaUsed(): number[] {
    return [this.a, this.b].map((s) => (s.device.arena as unknown as { pagesUsed(): number }).pagesUsed());
  }
}
