// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import { Head } from './abi.ts';
import type { LogLevel } from '../host/log.ts';
import { EventWord, HelloFlag, Ioctls, OpWord, Ring, ShimEvent, shimAbi, shimPath } from './shim-abi.ts';
import type { Ioctl } from './shim-abi.ts';
import type { LinuxTurn, ShimSink } from './turn.ts';

/** Gets the events of one device; words lie in `events` from `at` on. */
export interface DeviceSink { event(type: number, at: number): void }
export interface RequestSink {
  /** Requests wait: read() them. */
  requests(): void;
  requestGone(id: number): void;
}

/** A call of the shim that failed. */
export class ShimError extends Error {
  readonly errno: number;
  constructor(what: string, errno: number) {
    super(`${what} failed with errno ${errno}`);
    this.errno = errno;
  }
}

const wordsPerEntry = Ring.entryBytes / 4;

/** The channel to the module: rings, ioctls and requests. */
export class ShimChannel implements ShimSink {
  readonly turn: LinuxTurn;
  /** Random number of this load of the module, as 16 hex digits. */
  readonly instance: string;
  readonly generation: number;
  readonly pinned: boolean;
  /** nlmsg_type of the family. */
  readonly family: number;
  readonly features: bigint;
  readonly events: Int32Array;
  readonly devices = new Map<number, DeviceSink>();
  requestSink: RequestSink | null = null;
  private readonly rings: ArrayBuffer;
  private readonly words: Int32Array;
  private readonly ops: Int32Array;
  private opTail = 0;
  private refusedSeen = 0;
  private isOpen = false;

  /** Opens the control device and says hello; throws ShimError. */
  constructor(turn: LinuxTurn, path: string = shimPath) {
    this.turn = turn;
    const opened = turn.native.shimOpen(path);
    if (opened < 0) throw new ShimError(`open ${path}`, -opened);
    const hello = this.call('hello', Ioctls.hello, (view) => {
      view.setUint32(0, shimAbi, true);
      view.setBigUint64(8, 0x1fn, true);
    });
    this.features = hello.getBigUint64(8, true);
    this.instance = hello.getBigUint64(16, true).toString(16).padStart(16, '0');
    this.generation = hello.getUint32(24, true);
    this.pinned = (hello.getUint32(28, true) & HelloFlag.pinned) !== 0;
    this.family = hello.getUint32(36, true);
    const rings = turn.native.shimMapRings();
    if (typeof rings === 'number') throw new ShimError('mmap of the rings', -rings);
    this.rings = rings;
    this.words = new Int32Array(rings, 0, 96);
    this.events = new Int32Array(rings, Ring.eventsAt, Ring.events * wordsPerEntry);
    this.ops = new Int32Array(rings, Ring.opsAt, Ring.ops * wordsPerEntry);
    turn.shim = this;
    this.isOpen = true;
  }

  /** One ioctl with a structure that `fill` writes; gives the structure as the shim left it, or throws ShimError. */
  call(what: string, ioctl: Ioctl, fill: (view: DataView) => void, field = -1, data: Uint8Array | null = null): DataView {
    const bytes = new Uint8Array(ioctl.bytes);
    const view = new DataView(bytes.buffer);
    fill(view);
    // Ops that were written before must be seen before.
    if (this.isOpen && this.pending() > 0 && ioctl !== Ioctls.log) this.ring();
    const result = this.turn.native.shimIoctl(ioctl.request, bytes, field, data);
    if (result < 0) throw new ShimError(what, -result);
    return view;
  }

  /** As call(), for failures that are part of the game: 0 or the errno. */
  attempt(ioctl: Ioctl, fill: (view: DataView) => void, field = -1, data: Uint8Array | null = null): number {
    try {
      this.call('', ioctl, fill, field, data);
      return 0;
    } catch (error) {
      if (error instanceof ShimError) return error.errno;
      throw error;
    }
  }

  /** Maps shared memory at an offset that an ioctl gave. */
  map(offset: bigint, sizeBytes: number): ArrayBuffer {
    const memory = this.turn.native.shimMap(Number(offset), sizeBytes);
    if (typeof memory === 'number') throw new ShimError('mmap of an arena', -memory);
    return memory;
  }

  /** Index of the first word of a new, cleared op. */
  op(type: number, op: number, flags: number, device: number): number {
    if (this.pending() >= Ring.ops) this.makeRoom();
    const at = (this.opTail & (Ring.ops - 1)) * wordsPerEntry;
    // What lies behind is reserved: nobody ever writes there.
    for (let word = at + OpWord.tag; word <= at + OpWord.role; word++) this.ops[word] = 0;
    this.ops[at + OpWord.type] = type | op << 8 | flags << 16;
    this.ops[at + OpWord.device] = device;
    this.opTail = (this.opTail + 1) >>> 0;
    return at;
  }

  /** Publishes the op begun last: native code hands it over at the end of the turn. */
  publish(): void { this.turn.head[Head.shimOps] = this.opTail; }

  get opWords(): Int32Array { return this.ops; }

  setOffset(at: number, offset: number): void {
    this.ops[at + OpWord.offset] = offset | 0;
    this.ops[at + OpWord.offset + 1] = offset < 0 ? -1 : Math.floor(offset / 4294967296);
  }

  setSector(at: number, sector: number): void {
    this.ops[at + OpWord.sector] = sector % 4294967296 | 0;
    this.ops[at + OpWord.sector + 1] = Math.floor(sector / 4294967296);
  }

  /** A u64 of an event that a double can hold. */
  eventU64(at: number): number {
    return this.events[at + 1]! * 4294967296 + (this.events[at]! >>> 0);
  }

  log(level: LogLevel, text: Uint8Array): void {
    this.attempt(Ioctls.log, (view) => {
      view.setUint32(8, text.length, true);
      view.setUint32(12, level, true);
    }, 0, text);
  }

  /** After it this process holds the module no more; no other call may follow. */
  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.turn.shim = null;
    this.turn.native.shimClose(this.rings);
  }

  take(from: number, to: number, requests: number): void {
    this.checkRefused();
    for (let index = from; index < to && this.isOpen; index++) {
      const at = (index & (Ring.events - 1)) * wordsPerEntry;
      const type = this.events[at]! & 0xff;
      if (type === ShimEvent.requestGone) {
        this.requestSink?.requestGone(this.eventU64(at + EventWord.id));
        continue;
      }
      // A device that was destroyed in this turn has no one to tell.
      this.devices.get(this.events[at + EventWord.device]!)?.event(type, at);
    }
    if (requests > 0 && this.isOpen) this.requestSink?.requests();
  }

  /** Ops written and not taken; the counters run over all 32 bits. */
  private pending(): number { return (this.opTail - this.turn.head[Head.shimTaken]!) >>> 0; }

  private ring(): void {
    this.publish();
    this.turn.native.shimDoorbell();
  }

  private makeRoom(): void {
    this.ring();
    assert(this.pending() < Ring.ops, 'the shim takes ops');
  }

  private checkRefused(): void {
    const refused = this.words[Ring.refusedWord]!;
    if (refused === this.refusedSeen) return;
    this.refusedSeen = refused;
    const index = this.words[Ring.refusedIndexWord]!;
    throw new ShimError(`op ${index} (refused by the shim)`, this.words[Ring.refusedErrnoWord]!);
  }
}
