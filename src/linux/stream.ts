// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { Arena } from '../host/arena.ts';
import type { Address, ClosedCause, Framing, HeaderFormat, Stream, StreamHandler } from '../host/net.ts';
import { Head, OpKind, Queue, Sizes } from './abi.ts';
import type { LinuxTurn } from './turn.ts';

const formats: Record<HeaderFormat, number> = { h80: 0, h95: 1, h100: 2, any: 3 };
const causes: readonly ClosedCause[] = ['eof', 'error', 'protocol'];

/** One TCP connection; packets are cut and gathered by native/stream.cc, over memory that both share. */
export class LinuxStream implements Stream {
  readonly local: Address;
  readonly remote: Address;
  readonly input: DataView;
  readonly output: DataView;
  private readonly turn: LinuxTurn;
  private readonly slot: number;
  private readonly words: Int32Array;
  private readonly floats: Float64Array;
  private handler: StreamHandler | null = null;
  /** Turn in which something was set that holds for packets that are cut already. */
  private staleTurn = -1;
  private markedFlush = -1;
  private write = 0;
  private reserved = 0;
  /** The shared memory is another stream's some time after this is false. */
  private open = true;
  private receivedMs = 0;

  constructor(turn: LinuxTurn, slot: number) {
    const info = turn.native.streamInfo(slot);
    this.turn = turn;
    this.slot = slot;
    this.local = info.local;
    this.remote = info.remote;
    this.input = new DataView(info.input);
    this.output = new DataView(info.output);
    this.words = new Int32Array(info.queue);
    this.floats = new Float64Array(info.queue, 0, Queue.tail / 2);
  }

  start(framing: Framing, handler: StreamHandler): void {
    assert(this.open && this.handler === null, 'a stream is started once');
    this.handler = handler;
    this.frame(framing, true);
  }

  setHandler(handler: StreamHandler): void { this.handler = handler; }

  setFraming(framing: Framing): void {
    if (!this.open) return;
    this.stale();
    this.frame(framing, false);
  }

  bindVolume(volume: number, arena: Arena | null): void {
    if (!this.open) return;
    this.stale();
    this.turn.native.streamBind(this.slot, volume, arena === null ? -1 : arena.id);
  }

  pause(paused: boolean): void {
    if (!this.open) return;
    this.stale();
    this.turn.native.streamPause(this.slot, paused);
  }

  reserve(bytes: number): number {
    assert(bytes > 0 && bytes < Sizes.outputBytes / 2, 'a packet without payload is small');
    if (!this.open) return -1;
    const queued = this.words[Queue.tail]! - this.words[Queue.head]!;
    if (queued + this.reserved >= Sizes.segmentsMax) return this.full();
    if (queued === 0 && this.reserved === 0) {
      this.write = 0;
      this.words[Queue.read] = 0;
    } else {
      const read = this.words[Queue.read]!;
      if (this.write >= read && this.write + bytes > Sizes.outputBytes) {
        if (bytes >= read) return this.full();
        this.write = 0;
      } else if (this.write < read && this.write + bytes >= read) {
        return this.full();
      }
    }
    const at = this.write;
    this.write += bytes;
    this.reserved++;
    return at;
  }

  commit(at: number, bytes: number, arena: Arena | null, payload: number, payloadBytes: number, lasting = false): number {
    assert(this.reserved > 0, 'what is committed was reserved');
    assert(payloadBytes === 0 || arena !== null, 'a payload lies in an arena');
    this.reserved--;
    if (!this.open) return 0;
    const tail = this.words[Queue.tail]!;
    const entry = Queue.segments + (tail & (Sizes.segmentsMax - 1)) * Sizes.segmentWords;
    this.words[entry] = at;
    this.words[entry + 1] = bytes;
    this.words[entry + 2] = payloadBytes === 0 ? -1 : arena!.id;
    this.words[entry + 3] = payload;
    this.words[entry + 4] = payloadBytes;
    this.words[entry + 5] = lasting ? 1 : 0;
    this.words[Queue.tail] = (tail + 1) | 0;
    const position = this.floats[Queue.committed]! + bytes + payloadBytes;
    this.floats[Queue.committed] = position;
    this.mark();
    return position;
  }

  queuedBytes(): number { return this.open ? this.floats[Queue.committed]! - this.floats[Queue.sent]! : 0; }

  unackedBytes(): number { return this.open ? this.turn.native.streamUnacked(this.slot) + this.queuedBytes() : 0; }

  lastReceivedMs(): number { return this.open ? this.floats[Queue.receivedMs]! : this.receivedMs; }

  close(lingerMs: number): void {
    if (!this.open) return;
    this.receivedMs = this.lastReceivedMs();
    this.open = false;
    this.turn.native.streamClose(this.slot, lingerMs);
    this.turn.forgetStream(this.slot, this);
  }

  // Called by the turn with its event records.

  /** Took the packet at `index` back if it must be cut by newer rules. */
  takesBack(index: number): boolean {
    if (this.staleTurn !== this.turn.head[Head.turns]) return false;
    this.turn.native.streamRecut(this.slot, index);
    return true;
  }

  packet(command: number, volume: number, fixed: number, fixedBytes: number, payload: number,
    payloadBytes: number): void {
    this.handler!.packet(command, volume, fixed, fixedBytes, payload, payloadBytes);
  }

  sent(position: number): void { this.handler?.sent(position); }

  writable(): void { this.handler?.writable(); }

  closed(cause: number, errno: number): void {
    const handler = this.handler!;
    this.close(0);
    handler.closed(causes[cause]!, errno);
  }

  private frame(framing: Framing, start: boolean): void {
    assert(framing.fixedBytes.length === 256, 'fixed parts are known by command below 256');
    this.turn.native.streamFraming(this.slot, formats[framing.header], framing.fixedBytes, framing.maxFixedBytes,
      framing.maxPayloadBytes, start);
  }

  private full(): number {
    this.words[Queue.wanted] = 1;
    this.mark();
    return -1;
  }

  private stale(): void { this.staleTurn = this.turn.head[Head.turns]!; }

  /** Once between two hand-overs. */
  private mark(): void {
    const flushes = this.turn.head[Head.flushes]!;
    if (this.markedFlush === flushes) return;
    this.markedFlush = flushes;
    const at = this.turn.op(OpKind.send);
    this.turn.ops[at + 1] = this.slot;
  }
}
