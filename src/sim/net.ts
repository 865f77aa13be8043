// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * A simulated network between nodes. Fault model: what may happen, and what a cluster must survive.
 * - A direction has a latency and a bandwidth; packets of one stream keep their order.
 * - A direction between two nodes may be cut: nothing arrives, nobody is told (half-open, until time-outs speak);
 *   what was under way arrives late when the cut heals (stall), or the stream is reset.
 * - A stream may be reset at any time; a part of what was under way is lost, always a tail.
 * Out of scope: corrupted or reordered bytes within TCP.
 */
import type { Arena } from '../host/arena.ts';
import type { Address, Cancel, ClosedCause, ConnectOptions, Framing, Listener, Net, SocketTuning, Stream,
  StreamHandler } from '../host/net.ts';
import { assert } from '../assert.ts';
import { ByteArena, TagArena } from './arena.ts';
import type { EngineLife } from './clock.ts';
import { parseHeader } from './header.ts';
import type { Event, World } from './world.ts';

const ECONNREFUSED = 111;
const ETIMEDOUT = 110;
const EADDRINUSE = 98;
const ECONNRESET = 104;
const OUT_BYTES = 1 << 20;

export interface Link { latencyMs: number; jitterMs: number; bytesPerMs: number; cut: boolean }

interface Listening { address: Address; life: EngineLife; accepted: (stream: Stream, remote: Address) => void }

/** The wires: which address is listened on by whom, and how each direction between two hosts behaves. */
export class SimFabric {
  readonly world: World;
  readonly listening = new Map<string, Listening>();
  readonly streams = new Set<SimStream>();
  readonly #links = new Map<string, Link>();
  ports = 40_000;
  /** Sees each packet before it is delivered; true: it stays under way until the stream is pumped again. */
  holds: ((stream: SimStream, packet: Uint8Array) => boolean) | null = null;

  constructor(world: World) { this.world = world; }

  link(from: string, to: string): Link {
    const key = `${from}>${to}`;
    let link = this.#links.get(key);
    if (!link) {
      link = { latencyMs: 0.1, jitterMs: 0.1, bytesPerMs: 100_000, cut: false };
      this.#links.set(key, link);
    }
    return link;
  }

  /** Cuts or heals one direction; what was under way arrives after healing. */
  cut(from: string, to: string, cut: boolean): void {
    this.link(from, to).cut = cut;
    if (!cut) for (const stream of this.streams) stream.pump();
  }

  resetBetween(a: string, b: string): void {
    for (const s of [...this.streams]) {
      if ((s.local.address === a && s.remote.address === b) || (s.local.address === b && s.remote.address === a)) {
        s.fail('error', ECONNRESET);
      }
    }
  }

  /** All sockets of an engine vanish; the other side hears of it if the node still has a kernel. */
  engineGone(life: EngineLife, kernelAlive: boolean): void {
    for (const [key, l] of this.listening) if (l.life === life) this.listening.delete(key);
    for (const s of [...this.streams]) {
      if (s.life !== life) continue;
      this.streams.delete(s);
      if (kernelAlive && s.other) s.other.arriveEnd('error', ECONNRESET);
      else if (s.other) s.other.other = null;
    }
  }
}

export class SimNet implements Net {
  readonly #fabric: SimFabric;
  readonly #life: EngineLife;
  constructor(fabric: SimFabric, life: EngineLife) { this.#fabric = fabric; this.#life = life; }

  connect(options: ConnectOptions, connected: (stream: Stream) => void, failed: (errno: number) => void): Cancel {
    const { local, remote } = options;
    const there = this.#fabric.link(local.address, remote.address);
    const back = this.#fabric.link(remote.address, local.address);
    let cancelled = false;
    const end = (run: () => void): void => { if (!cancelled) run(); };
    if (there.cut || back.cut) {
      this.#life.later(options.timeoutMs, 'connect times out', () => end(() => failed(ETIMEDOUT)));
      return { cancel: () => { cancelled = true; } };
    }
    this.#life.later(there.latencyMs + back.latencyMs, 'connect', () => end(() => {
      const target = this.#fabric.listening.get(key(remote));
      if (!target?.life.alive) return failed(ECONNREFUSED);
      const from = { ...local, port: this.#fabric.ports++ };
      const mine = new SimStream(this.#fabric, this.#life, from, remote);
      const theirs = new SimStream(this.#fabric, target.life, remote, from);
      mine.other = theirs;
      theirs.other = mine;
      target.life.later(there.latencyMs, 'accept', () => {
        if (this.#fabric.listening.get(key(remote)) === target) target.accepted(theirs, from);
        else theirs.close(0);
      });
      connected(mine);
    }));
    return { cancel: () => { cancelled = true; } };
  }

  listen(_netns: number, local: Address, _tuning: SocketTuning,
    accepted: (stream: Stream, remote: Address) => void): Listener | number {
    const at = key(local);
    if (this.#fabric.listening.has(at)) return EADDRINUSE;
    const mine = { address: local, life: this.#life, accepted };
    this.#fabric.listening.set(at, mine);
    return { close: () => { if (this.#fabric.listening.get(at) === mine) this.#fabric.listening.delete(at); } };
  }
}

const key = (a: Address): string => `${a.address}:${a.port}`;

interface Packet { bytes: Uint8Array; tags: Float64Array | null; meta: Uint8Array | null; position: number; arrivesMs: number }

const sizeOf = (p: Packet): number => p.bytes.length + (p.tags?.length ?? 0) * 512 + (p.meta?.length ?? 0);

export class SimStream implements Stream {
  readonly local: Address;
  readonly remote: Address;
  readonly life: EngineLife;
  readonly input = new DataView(new ArrayBuffer(256 * 1024));
  readonly output = new DataView(new ArrayBuffer(OUT_BYTES));
  other: SimStream | null = null;
  readonly #fabric: SimFabric;
  #handler: StreamHandler | null = null;
  #framing: Framing | null = null;
  readonly #volumes = new Map<number, Arena>();
  #reservedAt = 0;
  #position = 0;
  #sentPosition = 0;
  #wantsRoom = false;
  #paused = false;
  #open = true;
  #lastReceivedMs: number;
  /** Under way to this end, in order. */
  readonly #incoming: Packet[] = [];
  #incomingEnd: { cause: ClosedCause; errno: number } | null = null;
  #pumping: Event | null = null;
  /** The packet's payload has no room in its arena yet. */
  #waitsForRoom = false;
  #lineFreeMs = 0;

  constructor(fabric: SimFabric, life: EngineLife, local: Address, remote: Address) {
    this.#fabric = fabric;
    this.life = life;
    this.local = local;
    this.remote = remote;
    this.#lastReceivedMs = life.nowMs();
    fabric.streams.add(this);
  }

  start(framing: Framing, handler: StreamHandler): void {
    this.#framing = framing;
    this.#handler = handler;
    this.pump();
  }

  setHandler(handler: StreamHandler): void { this.#handler = handler; }
  setFraming(framing: Framing): void { this.#framing = framing; }
  bindVolume(volume: number, arena: Arena | null): void {
    if (arena) this.#volumes.set(volume, arena);
    else this.#volumes.delete(volume);
  }

  reserve(bytes: number): number {
    assert(bytes <= OUT_BYTES / 4, 'a packet fits the queue');
    if (this.queuedBytes() > OUT_BYTES / 2) { this.#wantsRoom = true; return -1; }
    if (this.#reservedAt + bytes > OUT_BYTES) this.#reservedAt = 0;
    const at = this.#reservedAt;
    this.#reservedAt += bytes;
    return at;
  }

  commit(at: number, bytes: number, arena: Arena | null, payload: number, payloadBytes: number): number {
    this.#position += bytes + payloadBytes;
    if (!this.#open) return this.#position;
    const packet: Packet = {
      bytes: new Uint8Array(this.output.buffer.slice(at, at + bytes)), tags: null, meta: null,
      position: this.#position, arrivesMs: 0,
    };
    if (payloadBytes > 0) {
      if (arena instanceof TagArena) packet.tags = arena.at(payload, payloadBytes).slice();
      else if (arena instanceof ByteArena) packet.meta = arena.bytes.slice(payload, payload + payloadBytes);
    }
    const link = this.#fabric.link(this.local.address, this.remote.address);
    const size = bytes + payloadBytes;
    const now = this.life.nowMs();
    this.#lineFreeMs = Math.max(now, this.#lineFreeMs) + size / link.bytesPerMs;
    packet.arrivesMs = this.#lineFreeMs + link.latencyMs + this.#fabric.world.random.fraction() * link.jitterMs;
    this.life.later(this.#lineFreeMs - now, 'sent', () => this.#sent(packet.position));
    this.other?.arrive(packet);
    return this.#position;
  }

  queuedBytes(): number { return this.#position - this.#sentPosition; }
  unackedBytes(): number { return this.queuedBytes() + (this.other?.backlogBytes() ?? 0); }
  lastReceivedMs(): number { return this.#lastReceivedMs; }
  pause(paused: boolean): void { this.#paused = paused; if (!paused) this.pump(); }

  close(_lingerMs: number): void {
    if (!this.#open) return;
    this.#open = false;
    this.#fabric.streams.delete(this);
    this.other?.arriveEnd('eof', 0);
  }

  backlogBytes(): number { return this.#incoming.reduce((n, p) => n + sizeOf(p), 0); }

  arrive(packet: Packet): void { if (this.#open) { this.#incoming.push(packet); this.pump(); } }
  arriveEnd(cause: ClosedCause, errno: number): void {
    this.other = null;
    this.#incomingEnd ??= { cause, errno };
    this.pump();
  }

  /** The stream breaks under both ends: what was under way is lost from some packet on. */
  fail(cause: ClosedCause, errno: number): void {
    for (const end of [this, this.other]) {
      if (!end) continue;
      const keep = this.#fabric.world.random.below(end.#incoming.length + 1);
      end.#incoming.length = keep;
      end.#incomingEnd ??= { cause, errno };
      end.pump();
    }
  }

  /** Sees to it that the next packet, or the end, is delivered when it is due. */
  pump(): void {
    if (this.#pumping || this.#waitsForRoom || !this.#open || !this.#handler || this.#paused) return;
    const packet = this.#incoming[0];
    if (!packet && !this.#incomingEnd) return;
    if (this.#fabric.link(this.remote.address, this.local.address).cut) return;
    const now = this.life.nowMs();
    const delay = packet ? Math.max(0, packet.arrivesMs - now) : 0.05;
    this.#pumping = this.life.later(delay, `packet to ${key(this.local)}`, () => {
      this.#pumping = null;
      if (!this.#open || this.#paused) return;
      if (this.#fabric.link(this.remote.address, this.local.address).cut) return;
      const due = this.#incoming[0];
      if (due && this.#fabric.holds?.(this, due.bytes)) return;
      this.#deliver();
      this.pump();
    });
  }

  #sent(position: number): void {
    this.#sentPosition = position;
    if (!this.#open || !this.#handler) return;
    this.#handler.sent(position);
    if (this.#wantsRoom) { this.#wantsRoom = false; this.#handler.writable(); }
  }

  #deliver(): void {
    const packet = this.#incoming[0];
    if (!packet) return this.#end(this.#incomingEnd!.cause, this.#incomingEnd!.errno);
    const header = parseHeader(packet.bytes, this.#framing!.header);
    const payloadBytes = (packet.tags?.length ?? 0) * 512 + (packet.meta?.length ?? 0);
    const fixedBytes = packet.bytes.length - (header?.headerBytes ?? 0);
    if (!header || header.bodyBytes !== fixedBytes + payloadBytes || fixedBytes > this.#framing!.maxFixedBytes ||
        payloadBytes > this.#framing!.maxPayloadBytes) return this.#end('protocol', 0);
    let payload = -1;
    const arena = this.#volumes.get(header.volume);
    if (payloadBytes > 0 && arena) {
      payload = arena.alloc(payloadBytes);
      if (payload < 0) {
        this.#waitsForRoom = true;
        return arena.onRoom({ name: 'room for a packet', queued: false, run: () => { this.#waitsForRoom = false; this.pump(); } });
      }
      if (packet.tags && arena instanceof TagArena) arena.at(payload, payloadBytes).set(packet.tags);
    }
    this.#incoming.shift();
    this.#lastReceivedMs = this.life.nowMs();
    new Uint8Array(this.input.buffer).set(packet.bytes.subarray(header.headerBytes), 0);
    this.#handler!.packet(header.command, header.volume, 0, fixedBytes, payload, payloadBytes);
  }

  #end(cause: ClosedCause, errno: number): void {
    this.#open = false;
    this.#fabric.streams.delete(this);
    this.other?.arriveEnd('eof', 0);
    this.#handler!.closed(cause, errno);
  }
}
