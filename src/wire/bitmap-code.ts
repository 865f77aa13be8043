// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Bitmap exchange: from a bitmap to the bodies of P_BITMAP and P_COMPRESSED_BITMAP, and back. Both coders work in
 * slices: a call looks at a bounded number of words and can be repeated until the packet is complete.
 * @spec wire.md 9
 */
import { assert } from '../assert.ts';
import { BITMAP_PACKET_BYTES } from './limits.ts';
import { PBitmap, PCompressedBitmap } from './packets/bitmap.ts';
import { BitReader, BitWriter } from './vli.ts';

export const Scan = {
  /** No such bit up to the end. */
  end: -1,
  /** The budget is used up: go on at `scanNext`. */
  more: -2,
} as const;

/** Bits of one peer as the sender reads them. Words of 32 bits, lowest bit first. */
export interface BitSource {
  readonly bits: number;
  /** First bit of `value` at or after `from`, or a Scan. */
  next(from: number, value: 0 | 1, budgetWords: number): number;
  readonly scanNext: number;
  /** Copies words from word `fromWord` on, as many as there are and fit; bits past the end are 0. */
  readWords(fromWord: number, out: Uint32Array): number;
}

/** Bits of one peer as the receiver writes them. */
export interface BitSink {
  readonly bits: number;
  /** Sets first..last. */
  set(first: number, last: number): void;
  /** ORs words in; bits past the end are ignored. */
  mergeWords(fromWord: number, words: Uint32Array): void;
}

const BITS_PER_WORD64 = 64;
const RLE_VLI = 2;
const FIRST_RUN_SET = 0x80;

const words64 = (bits: number): number => Math.ceil(bits / BITS_PER_WORD64);
const wordsPerPacket = (headerBytes: number): number => Math.floor((BITMAP_PACKET_BYTES - headerBytes) / 8);

function readView(words: Uint32Array, view: DataView, at: number): void {
  for (let i = 0; i < words.length; i++) words[i] = view.getUint32(at + i * 4, true);
}

function writeView(words: Uint32Array, count: number, view: DataView, at: number): void {
  for (let i = 0; i < count; i++) view.setUint32(at + i * 4, words[i], true);
}

/** The sender of one bitmap of one volume. */
export class BitmapEncoder {
  readonly #source: BitSource;
  readonly #bodyBytesMax: number;
  readonly #useRle: boolean;
  readonly #words: Uint32Array;
  /** Everything below is with the peer. */
  #position = 0;
  #done = false;
  #code: BitWriter | null = null;
  /** Of the run that is being looked for: where it starts, what its bits are, where looking goes on. */
  #runStart = 0;
  #runValue: 0 | 1 = 0;
  #firstValue: 0 | 1 = 0;
  #scanFrom = 0;

  /** What `next` prepared. */
  command = 0;
  bodyBytes = 0;

  constructor(source: BitSource, headerBytes: number, useRle: boolean) {
    this.#source = source;
    this.#bodyBytesMax = BITMAP_PACKET_BYTES - headerBytes;
    this.#useRle = useRle;
    this.#words = new Uint32Array(wordsPerPacket(headerBytes) * 2);
  }

  /** Room that `next` needs at `at`. */
  get bodyBytesMax(): number { return this.#bodyBytesMax; }

  /**
   * Writes the next packet's body. 'packet': it is there, see command and bodyBytes. 'more': the budget was used up,
   * call again with the same place. 'done': there is none.
   */
  next(view: DataView, at: number, budgetWords: number): 'packet' | 'more' | 'done' {
    if (this.#done) return 'done';
    if (!this.#useRle || this.#position >= this.#source.bits) return this.#plain(view, at);
    return this.#compressed(view, at, budgetWords);
  }

  #plain(view: DataView, at: number): 'packet' {
    const fromWord = Math.floor(this.#position / BITS_PER_WORD64) * 2;
    const left = this.#position >= this.#source.bits ? 0 : words64(this.#source.bits) * 2 - fromWord;
    const wanted = Math.min(left, this.#words.length);
    if (wanted > 0) {
      const got = this.#source.readWords(fromWord, this.#words.subarray(0, wanted));
      this.#words.fill(0, got, wanted);
      writeView(this.#words, wanted, view, at);
    }
    this.#position = Math.min((fromWord + wanted) * 32, this.#source.bits);
    this.#done = wanted === 0;
    return this.#packet(PBitmap.command, wanted * 4);
  }

  #compressed(view: DataView, at: number, budgetWords: number): 'packet' | 'more' {
    let budget = budgetWords;
    const code = this.#code ??= this.#startCode(view, at);
    while (this.#runStart < this.#source.bits) {
      const other = this.#runValue === 0 ? 1 : 0;
      const found = this.#source.next(this.#scanFrom, other, budget);
      if (found === Scan.more) {
        this.#scanFrom = this.#source.scanNext;
        return 'more';
      }
      const end = found === Scan.end ? this.#source.bits : found;
      if (end === this.#runStart) {
        // No run has length 0: at the start the other value comes first; later the bitmap has changed under us.
        if (code.bits > 0) break;
        this.#firstValue = other;
      } else if (!code.putRun(end - this.#runStart)) {
        break;
      }
      budget -= Math.ceil((end - this.#scanFrom) / 32) + 1;
      this.#runValue = other;
      this.#runStart = this.#scanFrom = end;
      if (budget <= 0 && end < this.#source.bits) return 'more';
    }
    return this.#endCode(code, view, at);
  }

  #startCode(view: DataView, at: number): BitWriter {
    this.#runStart = this.#scanFrom = this.#position;
    this.#runValue = this.#firstValue = 0;
    return new BitWriter(view, at + 1, this.#bodyBytesMax - 1);
  }

  #endCode(code: BitWriter, view: DataView, at: number): 'packet' {
    this.#code = null;
    const covered = this.#runStart - this.#position;
    if (covered < code.bytes * 8) {
      this.#position -= this.#position % BITS_PER_WORD64;
      return this.#plain(view, at);
    }
    const padBits = code.bytes * 8 - code.bits;
    view.setUint8(at, RLE_VLI | (padBits << 4) | (this.#firstValue === 1 ? FIRST_RUN_SET : 0));
    this.#position = this.#runStart;
    this.#done = this.#position >= this.#source.bits;
    return this.#packet(PCompressedBitmap.command, 1 + code.bytes);
  }

  #packet(command: number, bodyBytes: number): 'packet' {
    assert(bodyBytes <= this.#bodyBytesMax, 'a bitmap packet fits');
    this.command = command;
    this.bodyBytes = bodyBytes;
    return 'packet';
  }
}

/** 'more': the budget was used up, call work() again. 'packet': taken, the next one may come. Else what is wrong. */
export type DecodeResult = 'more' | 'packet' | 'done' | { readonly error: string };

/** The receiver of one bitmap of one volume. */
export class BitmapDecoder {
  readonly #sink: BitSink;
  readonly #words: Uint32Array;
  readonly #code = new BitReader(BITMAP_PACKET_BYTES);
  #position = 0;
  #runValue: 0 | 1 = 0;
  /** A run of set bits that is not yet in the bitmap completely: up to here. */
  #setEnd = 0;

  constructor(sink: BitSink, headerBytes: number) {
    this.#sink = sink;
    this.#words = new Uint32Array(wordsPerPacket(headerBytes) * 2);
  }

  /** A P_BITMAP. Its size must be exactly what is left, or what fits; none left: 0, which ends the transfer. */
  plain(view: DataView, at: number, bytes: number): DecodeResult {
    const fromWord = Math.floor(this.#position / BITS_PER_WORD64) * 2;
    const left = words64(this.#sink.bits) * 2 - fromWord;
    const wanted = this.#position >= this.#sink.bits ? 0 : Math.min(left, this.#words.length);
    if (bytes !== wanted * 4) return { error: `P_BITMAP of ${bytes} bytes, not ${wanted * 4}` };
    if (wanted === 0) return 'done';
    const words = this.#words.subarray(0, wanted);
    readView(words, view, at);
    this.#sink.mergeWords(fromWord, words);
    this.#position = Math.min((fromWord + wanted) * 32, this.#sink.bits);
    return 'packet';
  }

  /** A P_COMPRESSED_BITMAP; its bytes are copied. */
  compressed(view: DataView, at: number, bytes: number, budgetWords: number): DecodeResult {
    const encoding = view.getUint8(at);
    if ((encoding & 0x0f) !== RLE_VLI) return { error: `P_COMPRESSED_BITMAP with unknown encoding ${encoding & 0x0f}` };
    if (bytes < 2 || bytes > BITMAP_PACKET_BYTES) return { error: `P_COMPRESSED_BITMAP of ${bytes} bytes` };
    this.#code.load(view, at + 1, bytes - 1, (encoding >> 4) & 7);
    this.#runValue = (encoding & FIRST_RUN_SET) !== 0 ? 1 : 0;
    this.#setEnd = this.#position;
    return this.work(budgetWords);
  }

  /** Goes on with the compressed packet that is being taken in. */
  work(budgetWords: number): DecodeResult {
    let budget = budgetWords;
    while (budget > 0) {
      if (this.#position < this.#setEnd) {
        const last = Math.min(this.#setEnd, this.#position + budget * 32) - 1;
        this.#sink.set(this.#position, last);
        budget -= Math.ceil((last + 1 - this.#position) / 32);
        this.#position = last + 1;
        continue;
      }
      if (this.#code.left === 0) return this.#position === this.#sink.bits ? 'done' : 'packet';
      const error = this.#nextRun();
      if (error !== '') return { error };
      budget--;
    }
    return 'more';
  }

  #nextRun(): string {
    const run = this.#code.takeRun();
    if (run === 0) return 'P_COMPRESSED_BITMAP with bits that are no run length';
    if (run > this.#sink.bits - this.#position) {
      return `P_COMPRESSED_BITMAP: run of ${run} bits at ${this.#position} of ${this.#sink.bits}`;
    }
    this.#setEnd = this.#position + (this.#runValue === 1 ? run : 0);
    if (this.#runValue === 0) this.#position += run;
    this.#runValue = this.#runValue === 1 ? 0 : 1;
    return '';
  }
}
