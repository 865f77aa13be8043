// SPDX-License-Identifier: GPL-2.0-or-later
/** Variable-length integers of run lengths, in a bit stream that begins with the least significant bit. @spec wire.md 9.2 */
import { assert } from '../assert.ts';

interface Row {
  /** Smallest and largest run of this row. */
  readonly first: number;
  readonly last: number;
  readonly prefixBits: number;
  readonly prefix: number;
  readonly dataBits: number;
}

const LENGTHS: ReadonlyArray<readonly [prefixBits: number, prefix: number, dataBits: number]> = [
  [1, 0x00, 1], [2, 0x01, 1], [3, 0x03, 2], [4, 0x07, 3], [5, 0x0f, 5], [6, 0x1f, 8], [8, 0x3f, 13], [8, 0x7f, 21],
  [8, 0xbf, 34], [8, 0xff, 56],
];

/** Runs are plain numbers: those of the last row beyond 2^53 are refused as too long for any device. */
export const VLI_ROWS: readonly Row[] = LENGTHS.reduce<Row[]>((rows, [prefixBits, prefix, dataBits]) => {
  const first = rows.length === 0 ? 1 : rows[rows.length - 1].last + 1;
  rows.push({ first, last: first + 2 ** dataBits - 1, prefixBits, prefix, dataBits });
  return rows;
}, []);

export const VLI_BITS_MAX = 64;

/** Bits of the code word for a run. */
export function vliBits(run: number): number {
  const row = rowOf(run);
  return row.prefixBits + row.dataBits;
}

function rowOf(run: number): Row {
  assert(run >= 1 && run <= Number.MAX_SAFE_INTEGER, 'a run has a length');
  return VLI_ROWS.find((row) => run <= row.last)!;
}

/** Appends bits to bytes of a view. */
export class BitWriter {
  readonly #view: DataView;
  readonly #at: number;
  readonly #endBit: number;
  #bit = 0;

  constructor(view: DataView, at: number, bytes: number) {
    this.#view = view;
    this.#at = at;
    this.#endBit = bytes * 8;
  }

  get bits(): number { return this.#bit; }
  get bytes(): number { return Math.ceil(this.#bit / 8); }

  /** False: no room for its code word; nothing is written. */
  putRun(run: number): boolean {
    const row = rowOf(run);
    if (this.#bit + row.prefixBits + row.dataBits > this.#endBit) return false;
    this.#put(row.prefix, row.prefixBits);
    this.#put(run - row.first, row.dataBits);
    return true;
  }

  /** value below 2^53, count up to 56. */
  #put(value: number, count: number): void {
    let rest = value;
    for (let left = count; left > 0;) {
      const shift = this.#bit & 7;
      const n = Math.min(8 - shift, left);
      const byte = this.#at + (this.#bit >> 3);
      const old = shift === 0 ? 0 : this.#view.getUint8(byte);
      this.#view.setUint8(byte, old | ((rest % 2 ** n) << shift));
      rest = Math.floor(rest / 2 ** n);
      this.#bit += n;
      left -= n;
    }
  }
}

/** Takes bits from bytes. */
export class BitReader {
  readonly #bytes: Uint8Array;
  #bit = 0;
  #endBit = 0;

  constructor(bytesMax: number) {
    this.#bytes = new Uint8Array(bytesMax);
  }

  /** Copies the code; padBits at its end are not part of it. */
  load(view: DataView, at: number, bytes: number, padBits: number): void {
    this.#bytes.set(new Uint8Array(view.buffer, view.byteOffset + at, bytes));
    this.#bit = 0;
    this.#endBit = bytes * 8 - padBits;
  }

  get left(): number { return this.#endBit - this.#bit; }

  /** 0: the bits are no code word, or end within one. */
  takeRun(): number {
    const head = this.#peek(Math.min(8, this.left));
    const row = VLI_ROWS.find(({ prefix, prefixBits }) => prefixBits <= this.left && head % 2 ** prefixBits === prefix);
    if (!row || row.prefixBits + row.dataBits > this.left) return 0;
    this.#bit += row.prefixBits;
    const run = row.first + this.#take(row.dataBits);
    return run <= Number.MAX_SAFE_INTEGER ? run : 0;
  }

  #peek(count: number): number {
    const bit = this.#bit;
    const value = this.#take(count);
    this.#bit = bit;
    return value;
  }

  #take(count: number): number {
    let value = 0;
    for (let have = 0; have < count;) {
      const shift = this.#bit & 7;
      const n = Math.min(8 - shift, count - have);
      value += (((this.#bytes[this.#bit >> 3] >> shift) & (2 ** n - 1))) * 2 ** have;
      this.#bit += n;
      have += n;
    }
    return value;
  }
}
