// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * What a device may hold: every write of an application, and which of them a reader may still see. Sector by sector, since
 * power failures tear writes at sectors.
 */
const FOR_EVER = Number.POSITIVE_INFINITY;
const NEVER_WRITTEN: Write = { tag: 0, submitted: -1, ended: -1, acked: true, durable: true };

export interface Write {
  /** What its sectors hold; 0 for discards and zeroes. */
  readonly tag: number;
  readonly submitted: number;
  /** When it was answered, or can no longer happen. */
  ended: number;
  acked: boolean;
  /** Must outlive a power failure. */
  durable: boolean;
}

export class History {
  readonly #sectors = new Map<number, Write[]>();
  readonly #inFlight = new Set<Write>();
  #volatile: Write[] = [];
  #now = 0;
  #readers = 0;

  get written(): Iterable<number> { return this.#sectors.keys(); }

  write(tag: number, sector: number, count: number): Write {
    const write: Write = { tag, submitted: this.#now++, ended: FOR_EVER, acked: false, durable: false };
    for (let s = sector; s < sector + count; s++) {
      const known = this.#sectors.get(s);
      if (known) known.push(write);
      else this.#sectors.set(s, [NEVER_WRITTEN, write]);
    }
    this.#inFlight.add(write);
    return write;
  }

  /** The application has its answer. A failed write may be there or not, now and until it is overwritten. */
  answered(write: Write, errno: number, fua: boolean): void {
    if (!this.#inFlight.delete(write)) return;
    write.ended = this.#now++;
    write.acked = errno === 0;
    write.durable = write.acked && fua;
    if (write.acked && !fua) this.#volatile.push(write);
  }

  /** Begins a flush; the answer's call makes durable what was acknowledged before it began. */
  flush(): () => void {
    const began = this.#now++;
    return () => {
      for (const write of this.#volatile) write.durable ||= write.ended < began;
      this.#volatile = this.#volatile.filter((write) => !write.durable);
    };
  }

  /** Begins a read; the returned function tells why a sector must not hold what was read, '' if it may. */
  read(): { check: (sector: number, tag: number) => string; end: () => void } {
    const began = this.#now++;
    this.#readers++;
    return { check: (sector, tag) => this.#refuse(sector, tag, began), end: () => { this.#readers--; } };
  }

  /** Why a sector must not hold this now. */
  refuse(sector: number, tag: number): string { return this.#refuse(sector, tag, this.#now); }

  /** The application's node is gone: writes in flight have happened or never will. */
  applicationLost(): void {
    for (const write of this.#inFlight) write.ended = this.#now++;
    this.#inFlight.clear();
  }

  /** The disks that the data live on lost power: all since the last durable write of a sector may be there. */
  powerLost(): void {
    this.applicationLost();
    this.#volatile = [];
    for (const [sector, writes] of this.#sectors) {
      const left = writes.filter((w) => !writes.some((x) => x.durable && w.ended < x.submitted));
      for (const write of left) if (!write.durable) write.acked = false;
      this.#sectors.set(sector, left);
    }
  }

  #refuse(sector: number, tag: number, asOf: number): string {
    const writes = this.#sectors.get(sector);
    if (!writes) return tag === 0 ? '' : `sector ${sector} was never written and holds ${tag}`;
    const may = writes.filter((w) => !writes.some((x) => x.acked && x.ended < asOf && w.ended < x.submitted));
    if (may.some((w) => w.tag === tag)) {
      if (this.#readers === 0) this.#prune(sector, writes);
      return '';
    }
    return `sector ${sector} holds ${tag}, may hold ${may.map((w) => w.tag).join(' ')}`;
  }

  #prune(sector: number, writes: Write[]): void {
    this.#sectors.set(sector, writes.filter((w) => !writes.some((x) => x.durable && w.ended < x.submitted)));
  }
}
