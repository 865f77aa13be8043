// SPDX-License-Identifier: GPL-2.0-or-later
import { LogLevel } from '../host/log.ts';
import type { Stream } from '../host/net.ts';
import { Repl } from '../state/states.ts';
import { putHeader, volumeOfVnr } from '../wire/header.ts';
import { BITMAP_PACKET_BYTES } from '../wire/limits.ts';
import { Cmd } from './packet-out.ts';
import type { PeerDeviceIo } from './peer-device-io.ts';

const HEADER = 16;
/** 64-bit words of a full plain packet, as 32-bit ones. */
const PACKET_WORDS = Math.floor((BITMAP_PACKET_BYTES - HEADER) / 8) * 2;

/** What the exchange waits for. */
type Phase = 'idle' | 'writes' | 'sending' | 'receiving';

/** Both bitmaps of a volume become their union. @spec uuid.md 6.1, wire.md 9 */
export class BitmapExchange {
  private readonly peer: PeerDeviceIo;
  private phase: Phase = 'idle';
  /** Next 32-bit word to send; next one expected. */
  private sendWord = 0;
  private receiveWord = 0;
  private readonly words = new Uint32Array(PACKET_WORDS);

  constructor(peer: PeerDeviceIo) {
    this.peer = peer;
  }

  /** Own packets of one bitmap follow each other on the data stream without any other between them. */
  get exclusive(): boolean {
    return this.phase === 'sending' && this.sendWord > 0;
  }

  /** Our state changed. */
  replChanged(repl: number): void {
    if (repl === Repl.wfBitMapS) this.start();
    else if (repl === Repl.wfBitMapT) {
      this.receiveWord = 0;
      this.phase = 'receiving';
    } else this.cancel();
  }

  cancel(): void {
    const blocked = this.phase === 'writes' || (this.phase === 'sending' && this.peer.device.bitmapWork > 0);
    this.phase = 'idle';
    if (blocked) this.unblock();
  }

  /** No application write is in flight: the bits will not change under us. */
  writesEnded(): void {
    if (this.phase !== 'writes') return;
    this.beginSend();
  }

  /** Sends what fits; false: more is to come, and nothing else may go before it. */
  pump(): boolean {
    if (this.phase !== 'sending') return true;
    const { link } = this.peer.connection;
    const { disk } = this.peer.device;
    if (link === null || disk === null) return true;
    const { bitmap } = disk;
    const total = Math.ceil(bitmap.bits / 64) * 2;
    while (this.sendWord < total) {
      const count = Math.min(PACKET_WORDS, total - this.sendWord);
      if (!this.sendPlain(link.data, count)) return false;
      this.sendWord += count;
    }
    if (!this.sendPlain(link.data, 0)) return false;
    this.sent();
    return true;
  }

  /** P_BITMAP. */
  plain(view: DataView, at: number, bytes: number): string {
    const { disk } = this.peer.device;
    if (this.phase !== 'receiving') return this.unexpected();
    if (disk === null) return 'bitmap for a volume without a disk';
    const total = Math.ceil(disk.bitmap.bits / 64) * 2;
    const expected = Math.min(PACKET_WORDS, total - this.receiveWord);
    if (bytes !== expected * 4) return `bitmap packet of ${bytes} bytes, expected ${expected * 4}`;
    if (expected === 0) return this.received();
    const words = expected === PACKET_WORDS ? this.words : this.words.subarray(0, expected);
    for (let i = 0; i < expected; i++) words[i] = view.getUint32(at + i * 4, true);
    const merged = disk.bitmap.mergeWords(this.peer.facts.bitmapIndex, this.receiveWord, words);
    if (merged > 0) this.peer.bitsSet(merged);
    this.receiveWord += expected;
    return '';
  }

  /** P_COMPRESSED_BITMAP. */
  compressed(_view: DataView, _at: number, _bytes: number): string {
    return this.phase === 'receiving' ? 'compressed bitmaps are not understood' : this.unexpected();
  }

  private start(): void {
    this.phase = 'writes';
    this.peer.device.bitmapWork++;
    const suspended = this.peer.device.resource.facts.suspended;
    if (this.peer.device.apBio(1) === 0 || suspended) this.beginSend();
  }

  private beginSend(): void {
    this.phase = 'sending';
    this.sendWord = 0;
    this.peer.device.resource.wakeSenders();
  }

  /** Ours is out: the source now waits for the target's, the target is through. */
  private sent(): void {
    if (this.peer.facts.repl === Repl.wfBitMapS) {
      this.receiveWord = 0;
      this.phase = 'receiving';
      this.unblock();
    } else this.finished('target');
  }

  /** The peer's is complete. */
  private received(): string {
    if (this.peer.facts.repl === Repl.wfBitMapT) this.beginSend();
    else this.finished('source');
    return '';
  }

  private finished(side: 'source' | 'target'): void {
    this.phase = 'idle';
    this.peer.device.resource.env.bitmapExchanged(this.peer.device.vnr, this.peer.connection.nodeId, side);
  }

  private unblock(): void {
    this.peer.device.bitmapWork--;
    this.peer.device.resource.schedule();
  }

  private unexpected(): string {
    this.peer.device.resource.env.log(LogLevel.info,
      `unexpected repl_state (${this.peer.facts.repl}) in receive_bitmap`);
    return '';
  }

  private sendPlain(s: Stream, count: number): boolean {
    const { device, facts } = this.peer;
    const at = s.reserve(HEADER + count * 4);
    if (at < 0) return false;
    putHeader(s.output, at, 'h100', Cmd.BITMAP, volumeOfVnr(device.vnr), count * 4);
    const words = count === PACKET_WORDS ? this.words : this.words.subarray(0, count);
    if (count > 0) words.fill(0, device.disk!.bitmap.readWords(facts.bitmapIndex, this.sendWord, words));
    for (let i = 0; i < count; i++) s.output.setUint32(at + HEADER + i * 4, words[i], true);
    s.commit(at, HEADER + count * 4, null, 0, 0);
    return true;
  }
}
