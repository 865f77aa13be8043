// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { LinuxArena } from './arena.ts';
import { EventKind, Head, Sizes } from './abi.ts';
import { LinuxClock } from './clock.ts';
import { native as addon } from './native.ts';
import type { NativeTurn } from './native.ts';
import { LinuxStream } from './stream.ts';

/** Who gets the events of a lower device. */
export interface LowerSink { done(cookie: number, errno: number): void }
export interface ConnectSink { connected(stream: LinuxStream | null, errno: number): void }
export interface ListenSink { accepted(stream: LinuxStream): void }
/** The shim's half of a turn: entries [from, to) of its event ring, and waiting admin requests. */
export interface ShimSink { take(from: number, to: number, requests: number): void }

/** The engine's turn: takes the batch of events that native code has collected, and runs what is due. */
export class LinuxTurn {
  readonly native: NativeTurn;
  readonly clock: LinuxClock;
  readonly head = new Float64Array(Sizes.headWords);
  readonly ops = new Int32Array(Sizes.opsMax * Sizes.opWords);
  readonly opFloats = new Float64Array(this.ops.buffer);
  readonly arenas: (LinuxArena | undefined)[] = [];
  readonly lowers: (LowerSink | undefined)[] = [];
  readonly connecting = new Map<number, ConnectSink>();
  readonly listening = new Map<number, ListenSink>();
  shim: ShimSink | null = null;
  private readonly events = new Int32Array(Sizes.eventsMax * Sizes.eventWords);
  private readonly eventFloats = new Float64Array(this.events.buffer);
  private readonly streams: (LinuxStream | undefined)[] = [];

  constructor() {
    this.native = new addon.Turn(this.head, this.events, this.ops);
    this.clock = new LinuxClock(this.head);
  }

  /** From now on the ring is the bottom of the event loop. Throws where io_uring is not available. */
  start(watchdogMs: number): void {
    const result = this.native.start(() => this.turn(), watchdogMs);
    if (result < 0) throw new Error(`io_uring is not available (errno ${-result}); see kernel.io_uring_disabled`);
  }

  stop(): void { this.native.stop(); }

  /** How long turns took, in milliseconds, since the last call. */
  takeBusyMaxMs(): number {
    const max = this.head[Head.busyMaxMs]!;
    this.head[Head.busyMaxMs] = 0;
    return max;
  }

  /** Index of the first word of a new operation record, its kind set. */
  op(kind: number): number {
    if (this.head[Head.ops] === Sizes.opsMax) this.native.flushOps();
    const at = this.head[Head.ops]! * Sizes.opWords;
    this.head[Head.ops]!++;
    this.ops[at] = kind;
    return at;
  }

  addStream(slot: number): LinuxStream {
    assert(this.streams[slot] === undefined, 'a slot has one stream');
    const stream = new LinuxStream(this, slot);
    this.streams[slot] = stream;
    return stream;
  }

  forgetStream(slot: number, stream: LinuxStream): void {
    assert(this.streams[slot] === stream, 'a stream is forgotten once');
    this.streams[slot] = undefined;
  }

  private turn(): void {
    const count = this.head[Head.events]!;
    for (let i = 0; i < count; i++) this.dispatch(i);
    const from = this.head[Head.shimFrom]!;
    const to = this.head[Head.shimTo]!;
    if (this.shim !== null) this.shim.take(from, to, this.head[Head.shimRequests]!);
    this.clock.run();
  }

  private dispatch(index: number): void {
    const e = this.events;
    const at = index * Sizes.eventWords;
    const id = e[at + 1]!;
    switch (e[at]) {
      case EventKind.packet: {
        const stream = this.streams[id]!;
        if (stream.takesBack(index)) return;
        // Delivered: what is taken back or dropped from here on leaves it alone.
        e[at] = EventKind.none;
        stream.packet(e[at + 2]!, e[at + 3]!, e[at + 4]!, e[at + 5]!, e[at + 6]!, e[at + 7]!);
        return;
      }
      case EventKind.sent:
        this.streams[id]!.sent(this.eventFloats[at / 2 + 2]!);
        return;
      case EventKind.writable:
        this.streams[id]!.writable();
        return;
      case EventKind.closed:
        if (!this.streams[id]!.takesBack(index)) this.streams[id]!.closed(e[at + 2]!, e[at + 3]!);
        return;
      case EventKind.connected:
        this.connected(id, e[at + 2]!, e[at + 3]!);
        return;
      case EventKind.accepted:
        this.accepted(id, e[at + 2]!);
        return;
      case EventKind.lowerDone:
        this.lowers[id]!.done(e[at + 2]!, e[at + 3]!);
        return;
      case EventKind.room:
        this.arenas[id]?.room();
    }
  }

  private connected(id: number, slot: number, errno: number): void {
    const sink = this.connecting.get(id);
    this.connecting.delete(id);
    if (sink === undefined) {
      if (slot >= 0) this.native.streamClose(slot, 0);
      return;
    }
    sink.connected(slot < 0 ? null : this.addStream(slot), errno);
  }

  private accepted(id: number, slot: number): void {
    const sink = this.listening.get(id);
    if (sink === undefined) this.native.streamClose(slot, 0);
    else sink.accepted(this.addStream(slot));
  }
}
