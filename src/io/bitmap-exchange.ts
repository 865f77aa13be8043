// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { Job } from '../host/clock.ts';
import { LogLevel } from '../host/log.ts';
import type { Bitmap } from '../meta/bitmap.ts';
import { Disk, Repl, replNames } from '../state/states.ts';
import { BitmapDecoder, BitmapEncoder, type BitSink, type BitSource, type DecodeResult } from '../wire/bitmap-code.ts';
import { putHeader, volumeOfVnr } from '../wire/header.ts';
import { Cmd } from './packet-out.ts';
import type { PeerDeviceIo } from './peer-device-io.ts';

const HEADER = 16;
/** Words of the bitmap looked at in one slice: a few milliseconds. */
const SLICE_WORDS = 1 << 18;

/**
 * What the exchange waits for. `begun`: packets of ours are on the stream, nothing may come between them. `early`: the
 * source's bitmap comes, or has come without a decoder left, while our attach still waits for what other peers say.
 */
type Phase = 'idle' | 'writes' | 'sending' | 'begun' | 'receiving' | 'early';

/** Both bitmaps of a volume become their union. @spec uuid.md 6.1, wire.md 9 */
export class BitmapExchange {
  private readonly peer: PeerDeviceIo;
  private phase: Phase = 'idle';
  private encoder: BitmapEncoder | null = null;
  private decoder: BitmapDecoder | null = null;
  /** The packet that is ready or being made. */
  private readonly body = new DataView(new ArrayBuffer(4096));
  private ready = false;
  /** The packets that announce this state are queued: ours may follow them. */
  private announced = false;
  private counted = false;
  /** The data stream waits for our work in a packet of it. */
  private holding = false;
  private readonly sliceJob: Job;

  constructor(peer: PeerDeviceIo) {
    this.peer = peer;
    this.sliceJob = { name: 'bitmap exchange', queued: false, run: () => this.slice() };
  }

  /** Own packets of one bitmap follow each other on the data stream without any other between them. */
  get exclusive(): boolean {
    return this.phase === 'begun';
  }

  /** Our state changed. */
  replChanged(repl: number): void {
    if (repl === Repl.wfBitMapS) this.start();
    else if (repl === Repl.wfBitMapT && this.phase === 'early') this.catchUp();
    else if (repl === Repl.wfBitMapT) this.expect();
    else this.cancel();
  }

  /** The attach has come to its end without this resync: what came early was not for the next one. */
  diskChanged(disk: number): void {
    if (this.phase === 'early' && disk !== Disk.negotiating) this.cancel();
  }

  cancel(): void {
    if (this.exclusive) this.peer.connection.link?.exclusive(false);
    this.phase = 'idle';
    this.encoder = this.decoder = null;
    this.hold(false);
    this.unblock();
  }

  /** No application write is in flight: the bits will not change under us. */
  writesEnded(): void {
    if (this.phase === 'writes' && this.announced) this.beginSend();
  }

  /** P_UUIDS and P_STATE of the change to WFBitMapS are on their way: the peer expects a bitmap from now on. */
  send(): void {
    this.announced = true;
    if (this.phase === 'writes' && this.quiet) this.beginSend();
  }

  private get quiet(): boolean {
    const { device } = this.peer;
    return device.apBio(1) === 0 || device.resource.facts.suspended;
  }

  /** Sends what fits; false: more is to come, and nothing else may go before it. */
  pump(): boolean {
    const { link } = this.peer.connection;
    if ((this.phase !== 'sending' && this.phase !== 'begun') || link === null || this.encoder === null) return true;
    if (this.phase === 'sending') {
      if (!link.exclusive(true)) return true;
      this.phase = 'begun';
    }
    for (;;) {
      if (!this.ready && !this.prepare()) return this.phase !== 'begun';
      const bytes = this.encoder.bodyBytes;
      const at = link.data.reserve(HEADER + bytes);
      if (at < 0) return false;
      const { output } = link.data;
      putHeader(output, at, 'h100', this.encoder.command, volumeOfVnr(this.peer.device.vnr), bytes);
      for (let i = 0; i < bytes; i++) output.setUint8(at + HEADER + i, this.body.getUint8(i));
      link.data.commit(at, HEADER + bytes, null, 0, 0);
      this.ready = false;
    }
  }

  /** P_BITMAP, P_COMPRESSED_BITMAP. */
  packet(command: number, view: DataView, at: number, bytes: number): string {
    const { facts, device } = this.peer;
    if (this.phase === 'idle' && facts.repl === Repl.established && device.facts.disk === Disk.negotiating
      && device.disk !== null && facts.bitmapIndex >= 0) {
      this.expect();
      this.phase = 'early';
    }
    if ((this.phase !== 'receiving' && this.phase !== 'early') || this.decoder === null) return this.unexpected();
    return this.taken(command === Cmd.BITMAP ? this.decoder.plain(view, at, bytes)
      : this.decoder.compressed(view, at, bytes, SLICE_WORDS));
  }

  /** Makes the next packet; false: none is ready (more slices are needed, or all is sent). */
  private prepare(): boolean {
    const { encoder } = this;
    assert(encoder !== null, 'bitmap sent without an encoder');
    const result = encoder.next(this.body, 0, SLICE_WORDS);
    if (result === 'packet') this.ready = true;
    else if (result === 'done') this.sent();
    else this.later();
    return this.ready;
  }

  private slice(): void {
    if (this.phase === 'begun') this.peer.device.resource.wakeSenders();
    else if ((this.phase === 'receiving' || this.phase === 'early') && this.decoder !== null) {
      this.hold(false);
      const error = this.taken(this.decoder.work(SLICE_WORDS));
      if (error !== '') this.peer.connection.fail('ProtocolError', error);
    }
  }

  private taken(result: DecodeResult): string {
    if (result === 'packet') return '';
    if (result === 'done') {
      this.received();
      return '';
    }
    if (result !== 'more') return result.error;
    this.hold(true);
    this.later();
    return '';
  }

  private hold(on: boolean): void {
    if (this.holding === on) return;
    this.holding = on;
    this.peer.connection.link?.data.pause(on);
  }

  private start(): void {
    this.phase = 'writes';
    this.counted = true;
    this.announced = false;
    this.peer.device.bitmapWork++;
  }

  private beginSend(): void {
    const { bitmap, slot } = this.parts();
    this.phase = 'sending';
    this.ready = false;
    this.encoder = new BitmapEncoder(new SlotSource(bitmap, slot), HEADER, this.peer.connection.facts.useRle);
    this.peer.device.resource.wakeSenders();
  }

  private expect(): void {
    const { bitmap, slot } = this.parts();
    this.phase = 'receiving';
    this.decoder = new BitmapDecoder(new SlotSink(bitmap, slot, this.peer), HEADER);
  }

  /** The attach ends with this resync, and the source's bitmap is here, at least in part. */
  private catchUp(): void {
    this.phase = 'receiving';
    if (this.decoder === null) this.beginSend();
  }

  /** Ours is out: the source now waits for the target's, the target is through. */
  private sent(): void {
    this.peer.connection.link?.exclusive(false);
    this.encoder = null;
    if (this.peer.facts.repl === Repl.wfBitMapS) {
      this.expect();
      this.unblock();
    } else this.finished('target');
  }

  /** The peer's is complete. */
  private received(): void {
    this.decoder = null;
    if (this.peer.facts.repl === Repl.wfBitMapT) this.beginSend();
    else if (this.phase !== 'early') this.finished('source');
  }

  private finished(side: 'source' | 'target'): void {
    this.phase = 'idle';
    this.peer.device.resource.env.bitmapExchanged(this.peer.device.vnr, this.peer.connection.nodeId, side);
  }

  private unblock(): void {
    if (!this.counted) return;
    this.counted = false;
    this.peer.device.bitmapWork--;
    this.peer.device.resource.schedule();
  }

  private parts(): { bitmap: Bitmap; slot: number } {
    const { disk } = this.peer.device;
    const slot = this.peer.facts.bitmapIndex;
    assert(disk !== null && slot >= 0, 'bitmap exchange without a bitmap');
    return { bitmap: disk.bitmap, slot };
  }

  private later(): void {
    if (!this.sliceJob.queued) this.peer.device.resource.env.clock.soon(this.sliceJob);
  }

  private unexpected(): string {
    this.peer.device.resource.env.log(LogLevel.info,
      `unexpected repl_state (${replNames[this.peer.facts.repl]}) in receive_bitmap`);
    return '';
  }
}

class SlotSource implements BitSource {
  private readonly bitmap: Bitmap;
  private readonly slot: number;

  constructor(bitmap: Bitmap, slot: number) {
    this.bitmap = bitmap;
    this.slot = slot;
  }

  get bits(): number { return this.bitmap.bits; }
  get scanNext(): number { return this.bitmap.scanNext; }
  next(from: number, value: 0 | 1, budgetWords: number): number {
    return this.bitmap.next(this.slot, from, value, budgetWords);
  }
  readWords(fromWord: number, out: Uint32Array): number { return this.bitmap.readWords(this.slot, fromWord, out); }
}

class SlotSink implements BitSink {
  private readonly bitmap: Bitmap;
  private readonly slot: number;
  private readonly peer: PeerDeviceIo;

  constructor(bitmap: Bitmap, slot: number, peer: PeerDeviceIo) {
    this.bitmap = bitmap;
    this.slot = slot;
    this.peer = peer;
  }

  get bits(): number { return this.bitmap.bits; }
  set(first: number, last: number): void { this.peer.bitsSet(this.bitmap.set(this.slot, first, last)); }
  mergeWords(fromWord: number, words: Uint32Array): void {
    this.peer.bitsSet(this.bitmap.mergeWords(this.slot, fromWord, words));
  }
}
