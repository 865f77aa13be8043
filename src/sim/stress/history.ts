// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * What a device may hold: every write of an application, and which of them a reader may still see. Sector by sector, since
 * power failures tear writes at sectors.
 */
const FOR_EVER = Number.POSITIVE_INFINITY;
const NEVER_WRITTEN: Write = { tag: 0, submitted: -1, ended: -1, acked: true, durable: true, settled: true, adrift: false };

export interface Write {
  /** What its sectors hold; 0 for discards and zeroes. */
  readonly tag: number;
  readonly submitted: number;
  /** When it was answered, or can no longer happen. */
  ended: number;
  acked: boolean;
  /** Must outlive a power failure of the node where it was flushed. */
  durable: boolean;
  /** On the stable storage of all that had to write it. */
  settled: boolean;
  /** Nobody waits for the peers to confirm it any more, and they may lack it. */
  adrift: boolean;
}

/** What a power failure may take: all that was not flushed, or even that unless the peers had confirmed it as well. */
export type Lost = 'unflushed' | 'unsettled';

export class History {
  readonly #sectors = new Map<number, Write[]>();
  readonly #inFlight = new Set<Write>();
  #volatile: Write[] = [];
  #unsettled: Write[] = [];
  #adrift: Write[] = [];
  #now = 0;
  #readers = 0;

  get written(): Iterable<number> { return this.#sectors.keys(); }

  write(tag: number, sector: number, count: number): Write {
    const write: Write = { tag, submitted: this.#now++, ended: FOR_EVER, acked: false, durable: false, settled: false, adrift: false };
    for (let s = sector; s < sector + count; s++) {
      const known = this.#sectors.get(s);
      if (known) known.push(write);
      else this.#sectors.set(s, [NEVER_WRITTEN, write]);
    }
    this.#inFlight.add(write);
    this.#unsettled.push(write);
    return write;
  }

  /** The application has its answer. A failed write may be there or not, now and until it is overwritten. */
  answered(write: Write, errno: number, fua: boolean): void {
    if (!this.#inFlight.delete(write) && errno !== 0) return;
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

  /** The Primary waits for nothing any more: what was answered is safe with all who had to write it. */
  settle(): void {
    if (this.#unsettled.length === 0) return;
    for (const write of this.#unsettled) if (write.ended !== FOR_EVER) write.settled = true;
    this.#unsettled = this.#unsettled.filter((write) => !write.settled);
  }

  /** The engine died, or has lost all peers: nobody waits any more for them to confirm what was answered. */
  cutAdrift(): void {
    for (const write of this.#unsettled) {
      if (!write.acked || write.adrift) continue;
      write.adrift = true;
      this.#adrift.push(write);
    }
  }

  /** All disks are equal. */
  landed(): void {
    for (const write of this.#adrift) write.adrift = false;
    this.#adrift = [];
  }

  /** Has each write of this sector reached all who had to write it? */
  quiet(sector: number): boolean { return this.#sectors.get(sector)?.every((w) => w.settled) ?? true; }

  /** Begins a read; the returned function tells why a sector must not hold what was read, '' if it may. */
  read(): { check: (sector: number, tag: number) => string; end: () => void } {
    const began = this.#now++;
    this.#readers++;
    return { check: (sector, tag) => this.#refuse(sector, tag, began), end: () => { this.#readers--; } };
  }

  /** Why a sector must not hold this now. */
  refuse(sector: number, tag: number): string { return this.#refuse(sector, tag, this.#now); }

  /** It never came here, and never will. */
  forget(write: Write, sector: number, count: number): void {
    for (let s = sector; s < sector + count; s++) this.#sectors.set(s, this.#sectors.get(s)!.filter((w) => w !== write));
    this.#inFlight.delete(write);
    this.#unsettled = this.#unsettled.filter((w) => w !== write);
  }

  /** Writes that can no longer happen: their application's node is gone. */
  never(writes: Iterable<Write>): void {
    for (const write of writes) if (this.#inFlight.delete(write)) write.ended = this.#now++;
  }

  /** The application's node is gone: writes in flight have happened or never will. */
  applicationLost(): void { this.never([...this.#inFlight]); }

  /** What the data live on lost power: all since the last safe write of a sector may be there. Who writes may live on. */
  powerLost(lost: Lost = 'unflushed', writerLives = false): void {
    if (!writerLives) this.applicationLost();
    this.#volatile = [];
    const safe = (w: Write): boolean => w.acked && (lost === 'unflushed' ? w.durable : w.durable && confirmed(w));
    for (const [sector, writes] of this.#sectors) this.#sectors.set(sector, loosened(writes, safe));
  }

  /** Somebody else goes on than who acknowledged: what the peers had not confirmed may be there or not. */
  handedOver(): void {
    this.applicationLost();
    this.unconfirmedLost();
  }

  unconfirmedLost(): void {
    for (const [sector, writes] of this.#sectors) this.#sectors.set(sector, loosened(writes, (w) => w.acked && confirmed(w)));
  }

  /** The same past, for who goes on from here alone; and what each write is called there. */
  fork(): { history: History; writes: ReadonlyMap<Write, Write> } {
    const history = new History();
    const writes = new Map<Write, Write>();
    const copied = (write: Write): Write => {
      let copy = writes.get(write);
      if (!copy) writes.set(write, copy = { ...write });
      return copy;
    };
    for (const [sector, some] of this.#sectors) history.#sectors.set(sector, some.map(copied));
    for (const write of this.#inFlight) history.#inFlight.add(copied(write));
    history.#volatile = this.#volatile.map(copied);
    history.#unsettled = this.#unsettled.map(copied);
    history.#adrift = this.#adrift.map(copied);
    history.#now = this.#now;
    return { history, writes };
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
    this.#sectors.set(sector, withoutOverwritten(writes));
  }
}

const confirmed = (write: Write): boolean => write.settled && !write.adrift;

/** Forgets what nothing can bring back: overwritten by what is safe here and wherever somebody else goes on. */
const withoutOverwritten = (writes: readonly Write[]): Write[] =>
  writes.filter((w) => !writes.some((x) => x.durable && confirmed(x) && x.acked && w.ended < x.submitted));

/** What is not safe may be there or not from now on; what is safe this time may be lost the next. */
function loosened(writes: readonly Write[], safe: (write: Write) => boolean): Write[] {
  const left = withoutOverwritten(writes);
  for (const write of left) if (!safe(write)) write.acked = false;
  return left;
}
