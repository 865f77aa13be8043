// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { Arena } from '../host/arena.ts';
import type { Address, Framing, Stream, StreamHandler } from '../host/net.ts';
import { HEADER_BYTES, headerFormat, putHeader, volumeOfVnr } from '../wire/header.ts';
import type { Packet } from '../wire/schema.ts';
import type { Agreed } from '../wire/versions.ts';

/** Cold packets that wait for room; above it the peer is not reading for far too long. */
const BACKLOG_BYTES_MAX = 4 * 1024 * 1024;
/** Packets of the backlog that have left before their places are given back. */
const FORGET_AT = 1024;

/**
 * One stream of a connection: the host's, with cold packets as values put before everything that comes later. A cold
 * packet that finds no room waits here, and reserve() refuses until it is gone, so that the order of sending holds.
 */
export class ConnStream implements Stream {
  readonly #stream: Stream;
  /** Encoded packets from #backlogFirst on. */
  #backlog: Uint8Array[] = [];
  #backlogFirst = 0;
  #backlogBytes = 0;
  #pausedByUser = false;
  #pausedByOwner = true;
  #waits = 0;
  #exclusive = false;
  #open = true;

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  get local(): Address { return this.#stream.local; }
  get remote(): Address { return this.#stream.remote; }
  get input(): DataView { return this.#stream.input; }
  get output(): DataView { return this.#stream.output; }

  start(framing: Framing, handler: StreamHandler): void { this.#stream.start(framing, handler); }
  setHandler(handler: StreamHandler): void { this.#stream.setHandler(handler); }
  setFraming(framing: Framing): void { this.#stream.setFraming(framing); }
  bindVolume(volume: number, arena: Arena | null): void { this.#stream.bindVolume(volume, arena); }
  unackedBytes(): number { return this.#stream.unackedBytes() + this.#backlogBytes; }
  queuedBytes(): number { return this.#stream.queuedBytes() + this.#backlogBytes; }
  lastReceivedMs(): number { return this.#stream.lastReceivedMs(); }

  reserve(bytes: number): number {
    return this.#backlog.length > 0 && !this.#exclusive ? -1 : this.#stream.reserve(bytes);
  }

  /**
   * While on, cold packets wait, and only who asked for it sends: packets of a bitmap follow each other. False: packets
   * that were sent before still wait, ask again when writable. @spec wire.md 9
   */
  exclusive(on: boolean): boolean {
    if (on && this.#backlog.length > 0) return false;
    this.#exclusive = on;
    if (!on) this.drain();
    return true;
  }

  commit(at: number, bytes: number, arena: Arena | null, payload: number, payloadBytes: number, lasting = false): number {
    return this.#stream.commit(at, bytes, arena, payload, payloadBytes, lasting);
  }

  /** For whoever works on the packets; independent of the connection's own pause. */
  pause(paused: boolean): void {
    this.#pausedByUser = paused;
    this.#applyPause();
  }

  /** As pause, for others than the I/O engine: every true is taken back by one false. */
  wait(on: boolean): void {
    this.#waits += on ? 1 : -1;
    assert(this.#waits >= 0, 'a wait ends once');
    this.#applyPause();
  }

  /** Whoever works on a packet has not come to its end. */
  get busy(): boolean { return this.#pausedByUser || this.#waits > 0; }

  /** The connection's own pause: while an incarnation is not ready to take packets. */
  hold(held: boolean): void {
    this.#pausedByOwner = held;
    this.#applyPause();
  }

  #applyPause(): void {
    if (this.#open) this.#stream.pause(this.busy || this.#pausedByOwner);
  }

  close(lingerMs: number): void {
    if (!this.#open) return;
    this.#open = false;
    this.#backlog = [];
    this.#backlogFirst = 0;
    this.#backlogBytes = 0;
    this.#stream.close(lingerMs);
  }

  /** Header and body in one piece. False: far too much waits already; the packet is dropped and the stream is poisoned. */
  send<T>(definition: Packet<T>, vnr: number, value: T, agreed: Agreed): boolean {
    if (!this.#open) return true;
    const bodyBytes = definition.bytes(value, agreed);
    const format = headerFormat(agreed.version, bodyBytes);
    const bytes = HEADER_BYTES[format] + bodyBytes;
    const at = this.#exclusive ? -1 : this.reserve(bytes);
    if (at < 0) return this.#wait(definition, vnr, value, agreed, bytes);
    this.#put(definition, vnr, value, agreed, this.#stream.output, at);
    this.#stream.commit(at, bytes, null, 0, 0);
    return true;
  }

  #put<T>(definition: Packet<T>, vnr: number, value: T, agreed: Agreed, view: DataView, at: number): void {
    const bodyBytes = definition.bytes(value, agreed);
    const format = headerFormat(agreed.version, bodyBytes);
    const headerBytes = putHeader(view, at, format, definition.command, volumeOfVnr(vnr), bodyBytes);
    const written = definition.encode(value, view, at + headerBytes, agreed);
    assert(written === bodyBytes, 'a packet is as long as it said');
  }

  #wait<T>(definition: Packet<T>, vnr: number, value: T, agreed: Agreed, bytes: number): boolean {
    if (this.#backlogBytes + bytes > BACKLOG_BYTES_MAX) return false;
    const packet = new Uint8Array(bytes);
    this.#put(definition, vnr, value, agreed, new DataView(packet.buffer), 0);
    if (this.#backlogFirst >= FORGET_AT) {
      this.#backlog.splice(0, this.#backlogFirst);
      this.#backlogFirst = 0;
    }
    this.#backlog.push(packet);
    this.#backlogBytes += bytes;
    return true;
  }

  /** There is room again. True: all that waited is queued, others may go on. */
  drain(): boolean {
    if (this.#exclusive || this.#backlog.length === 0) return true;
    while (this.#backlogFirst < this.#backlog.length) {
      const packet = this.#backlog[this.#backlogFirst];
      const at = this.#stream.reserve(packet.length);
      if (at < 0) return false;
      const { output } = this.#stream;
      new Uint8Array(output.buffer, output.byteOffset + at, packet.length).set(packet);
      this.#stream.commit(at, packet.length, null, 0, 0);
      this.#backlogFirst++;
      this.#backlogBytes -= packet.length;
    }
    this.#backlog = [];
    this.#backlogFirst = 0;
    return true;
  }
}
