// SPDX-License-Identifier: GPL-2.0-or-later
/** What sectors hold, in arrays: most of a run's time goes by in them. */

/** A tag, or the bytes of a sector of meta-data. */
export type Content = number | Uint8Array;

/** Never written is 0. NaN in `tags` stands for bytes. */
export class Sectors {
  #tags = new Float64Array(1 << 12);
  readonly #bytes = new Map<number, Uint8Array>();

  get(sector: number): Content {
    const tag = sector < this.#tags.length ? this.#tags[sector]! : 0;
    return Number.isNaN(tag) ? this.#bytes.get(sector)! : tag;
  }

  set(sector: number, content: Content): void {
    if (sector >= this.#tags.length) this.#tags = grown(this.#tags, sector, (length) => new Float64Array(length));
    if (typeof content === 'number') this.#tags[sector] = content;
    else {
      this.#tags[sector] = NaN;
      this.#bytes.set(sector, content);
    }
  }

  /** Bytes read as data are NaN. */
  copyTags(sector: number, out: Float64Array): void {
    out.fill(0);
    out.set(this.#tags.subarray(sector, sector + out.length));
  }

  clear(): void {
    this.#tags.fill(0);
    this.#bytes.clear();
  }
}

/** Sectors with what they held before, in the order in which they became unstable. */
export class UnstableSectors {
  readonly #before = new Sectors();
  /** Where in `order` a sector stands, plus 1. An entry that its sector does not point to is over. */
  #place = new Int32Array(1 << 12);
  #order: number[] = [];
  #live = 0;
  /** When what is stable there was what a read returned. */
  #since = new Float64Array(1 << 12);

  has(sector: number): boolean { return sector < this.#place.length && this.#place[sector] !== 0; }
  before(sector: number): Content { return this.#before.get(sector); }

  set(sector: number, before: Content): void {
    this.#before.set(sector, before);
    if (this.has(sector)) return;
    if (sector >= this.#place.length) this.#place = grown(this.#place, sector, (length) => new Int32Array(length));
    this.#place[sector] = this.#order.push(sector);
    this.#live++;
  }

  /** A flush or FUA write has made stable what was there at that moment; false: by another one something newer is. */
  stable(sector: number, moment: number): boolean {
    if (sector >= this.#since.length) this.#since = grown(this.#since, sector, (length) => new Float64Array(length));
    if (this.#since[sector]! > moment) return false;
    this.#since[sector] = moment;
    return true;
  }

  delete(sector: number): void {
    if (!this.has(sector)) return;
    this.#place[sector] = 0;
    this.#live--;
    if (this.#order.length > 1024 && this.#order.length > 4 * this.#live) this.#compact();
  }

  each(visit: (sector: number) => void): void {
    for (let i = 0; i < this.#order.length; i++) {
      const sector = this.#order[i]!;
      if (this.#place[sector] === i + 1) visit(sector);
    }
  }

  clear(): void {
    for (const sector of this.#order) this.#place[sector] = 0;
    this.#order = [];
    this.#live = 0;
  }

  #compact(): void {
    this.#order = this.#order.filter((sector, i) => this.#place[sector] === i + 1);
    this.#order.forEach((sector, i) => { this.#place[sector] = i + 1; });
  }
}

function grown<T extends Float64Array | Int32Array>(old: T, index: number, make: (length: number) => T): T {
  const larger = make(Math.max(index + 1, 2 * old.length));
  larger.set(old);
  return larger;
}
