// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * The bitmap between memory and disk. Pages are copied into the meta arena and written in runs; while a page's write
 * is in flight nobody else writes it. A write is on stable storage after the next flush (the activity log's and the
 * super block's writes bring one). @spec io.md 9.7
 */
import { assert } from '../assert.ts';
import { LowerFlag } from '../host/lower.ts';
import { chunkPages, PageMark } from './bitmap-memory.ts';
import { firstPageOfExtent, lastPageOfExtent, wordsPerPage } from './bitmap-layout.ts';
import type { AlBitmap } from './activity-log.ts';
import type { Bitmap } from './bitmap.ts';
import type { MdLayout } from './layout.ts';
import { alUpdatesPerTransaction, blockBytes, sectorsPerBlock } from './limits.ts';
import { MdIo } from './md-io.ts';
import type { MdJob } from './md-io.ts';

export type WriteOut = 'changed' | 'lazy' | 'all';

const runPages = 8;
const runs = 16;
/** Runs that only the activity log may take, so that a long write-out never holds it up. */
const runsForLog = 4;
const changed = PageMark.need | PageMark.lazy;

export class BitmapWriter implements AlBitmap {
  /** Pages of the meta arena that the writer needs. */
  static readonly bufferBytes = runs * runPages * blockBytes;

  /** Pages written since attach. */
  writCnt = 0;

  readonly #bitmap: Bitmap;
  readonly #io: MdIo;
  readonly #arenaWords: Uint32Array;
  #layout: MdLayout;
  readonly #runJobs: RunJob[] = [];
  readonly #freeRuns: RunJob[] = [];
  readonly #bulk: Bulk = { job: null, kind: 'changed', page: 0, inFlight: 0, errno: 0 };
  readonly #log: LogWrite = {
    job: null, pages: new Float64Array(2 * alUpdatesPerTransaction), count: 0, inFlight: 0, errno: 0,
  };

  constructor(bitmap: Bitmap, io: MdIo, layout: MdLayout, bufferOffset: number) {
    this.#bitmap = bitmap;
    this.#io = io;
    const { bytes } = io.arena;
    assert(bytes.byteOffset % 4 === 0 && bufferOffset % blockBytes === 0, 'bitmap buffers are not aligned');
    this.#arenaWords = new Uint32Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.length / 4));
    this.#layout = layout;
    for (let i = 0; i < runs; i++) {
      const run: RunJob = {
        offset: bufferOffset + i * runPages * blockBytes, page: 0, pages: 0, purpose: 'bulk',
        done: (errno) => this.#runDone(run, errno),
      };
      this.#runJobs.push(run);
      this.#freeRuns.push(run);
    }
    assert(runs + 4 <= MdIo.cookies, 'more bitmap runs than cookies');
  }

  get busy(): boolean {
    return this.writing || this.#log.job !== null;
  }

  /** A write() runs; the activity log's own pages do not count. */
  get writing(): boolean {
    return this.#bulk.job !== null;
  }

  /** The bitmap moved on disk; follow with write('all'). */
  relocate(layout: MdLayout): void {
    assert(!this.busy, 'bitmap moved while it is written');
    this.#layout = layout;
  }

  /** Any page that a write('changed') would write? */
  get dirty(): boolean {
    return this.#bitmap.memory.marks.some((mark) => (mark & changed) !== 0);
  }

  /**
   * Writes pages: changed since their last write, changed by clearing only, or all. One at a time. `job` is told in a
   * later turn, or at once (before this returns) when there is nothing to write. An error marks the pages again.
   */
  write(kind: WriteOut, job: MdJob): void {
    const bulk = this.#bulk;
    assert(bulk.job === null, 'bitmap write-out already running');
    bulk.job = job;
    bulk.kind = kind;
    bulk.page = 0;
    bulk.errno = 0;
    this.#bulkStep();
  }

  /** @see AlBitmap */
  writeExtents(extents: Int32Array, count: number, job: MdJob): boolean {
    const log = this.#log;
    assert(log.job === null, 'bitmap write-out for the activity log already running');
    log.count = 0;
    log.errno = 0;
    for (let i = 0; i < count; i++) this.#collect(extents[i]);
    if (log.count === 0) return false;
    log.job = job;
    this.#logStep();
    return true;
  }

  /**
   * Reads the whole bitmap in and counts it. The weights and marks are valid when `job` is told with errno 0. Only at
   * attach: nobody else uses the bitmap.
   */
  read(job: MdJob): void {
    assert(!this.busy, 'bitmap read while it is written');
    this.#bitmap.weight.fill(0);
    this.#bulk.job = job;
    this.#bulk.page = 0;
    this.#bulk.errno = 0;
    this.#readStep();
  }

  #collect(extent: number): void {
    const { slots, pages, memory } = this.#bitmap;
    const last = Math.min(lastPageOfExtent(extent, slots), pages - 1);
    for (let page = firstPageOfExtent(extent, slots); page <= last; page++) {
      // Also a page whose write is in flight: its durability must be waited for.
      if ((memory.marks[page] & (changed | PageMark.io)) !== 0 && !this.#isCollected(page)) {
        this.#log.pages[this.#log.count++] = page;
      }
    }
  }

  #isCollected(page: number): boolean {
    for (let i = 0; i < this.#log.count; i++) if (this.#log.pages[i] === page) return true;
    return false;
  }

  #logStep(): void {
    const log = this.#log;
    const { marks } = this.#bitmap.memory;
    for (let i = 0; i < log.count;) {
      const page = log.pages[i];
      if ((marks[page] & PageMark.io) !== 0) {
        i++;
      } else if ((marks[page] & changed) === 0) {
        log.pages[i] = log.pages[--log.count];
      } else {
        const run = this.#freeRuns.pop();
        if (run === undefined) return;
        log.pages[i] = log.pages[--log.count];
        log.inFlight++;
        this.#submit(run, page, 1, 'log');
      }
    }
    if (log.count > 0 || log.inFlight > 0) return;
    const job = log.job;
    assert(job !== null, 'no bitmap write-out for the activity log');
    log.job = null;
    job.done(log.errno);
  }

  #bulkStep(): void {
    const bulk = this.#bulk;
    const { pages, memory } = this.#bitmap;
    while (bulk.page < pages) {
      if (!this.#wanted(bulk.page)) {
        bulk.page++;
        continue;
      }
      // A page in flight: its end brings us back here.
      if ((memory.marks[bulk.page] & PageMark.io) !== 0 || this.#freeRuns.length <= runsForLog) return;
      const run = this.#freeRuns.pop() as RunJob;
      let n = 1;
      const limit = Math.min(runPages, chunkPages - (bulk.page % chunkPages), pages - bulk.page);
      while (n < limit && this.#wanted(bulk.page + n) && (memory.marks[bulk.page + n] & PageMark.io) === 0) n++;
      bulk.inFlight++;
      this.#submit(run, bulk.page, n, 'bulk');
      bulk.page += n;
    }
    this.#bulkEnd();
  }

  #bulkEnd(): void {
    const bulk = this.#bulk;
    if (bulk.inFlight > 0) return;
    const job = bulk.job;
    assert(job !== null, 'no bitmap write-out');
    bulk.job = null;
    job.done(bulk.errno);
  }

  #wanted(page: number): boolean {
    const mark = this.#bitmap.memory.marks[page];
    switch (this.#bulk.kind) {
      case 'all': return true;
      case 'changed': return (mark & (changed | PageMark.io)) !== 0;
      case 'lazy': return (mark & PageMark.lazy) !== 0;
    }
  }

  #readStep(): void {
    const bulk = this.#bulk;
    const { pages } = this.#bitmap;
    while (bulk.page < pages && bulk.errno === 0 && this.#freeRuns.length > 0) {
      const run = this.#freeRuns.pop() as RunJob;
      run.page = bulk.page;
      run.pages = Math.min(runPages, chunkPages - (bulk.page % chunkPages), pages - bulk.page);
      run.purpose = 'read';
      bulk.inFlight++;
      bulk.page += run.pages;
      this.#io.read(this.#sectorOf(run.page), run.pages * blockBytes, run.offset, run);
    }
    this.#bulkEnd();
  }

  #submit(run: RunJob, page: number, pages: number, purpose: 'bulk' | 'log'): void {
    const { marks } = this.#bitmap.memory;
    run.page = page;
    run.pages = pages;
    run.purpose = purpose;
    this.#copyOut(run);
    // A cleared bit says that data are on the disk: they must not lie in its cache when the page is stable.
    let flags: number = LowerFlag.meta | LowerFlag.sync;
    for (let i = 0; i < pages; i++) {
      if ((marks[page + i] & PageMark.lazy) !== 0) flags |= LowerFlag.preflush;
      // Cleared before the write, so that a change during it marks the page again.
      marks[page + i] = PageMark.io;
    }
    this.writCnt += pages;
    this.#io.write(flags, this.#sectorOf(page), pages * blockBytes, run.offset, run);
  }

  #runDone(run: RunJob, errno: number): void {
    this.#freeRuns.push(run);
    if (run.purpose === 'read') {
      this.#readDone(run, errno);
      return;
    }
    const { marks } = this.#bitmap.memory;
    for (let i = 0; i < run.pages; i++) {
      marks[run.page + i] &= ~PageMark.io;
      // Nor have the data been flushed that cleared bits speak of.
      if (errno !== 0) marks[run.page + i] |= changed;
    }
    const { purpose } = run;
    const owner = purpose === 'log' ? this.#log : this.#bulk;
    owner.inFlight--;
    if (errno !== 0) this.#fail(errno);
    if (this.#log.job !== null) this.#logStep();
    if (this.#bulk.job !== null) this.#bulkStep();
  }

  /** The disk is going to be Failed: nobody is told success, and nothing more is started. */
  #fail(errno: number): void {
    this.#log.errno ||= errno;
    this.#log.count = 0;
    this.#bulk.errno ||= errno;
    this.#bulk.page = this.#bitmap.pages;
  }

  #readDone(run: RunJob, errno: number): void {
    this.#bulk.inFlight--;
    if (errno !== 0) {
      this.#bulk.errno = errno;
      this.#bulk.page = this.#bitmap.pages;
    } else {
      this.#copyIn(run);
      this.#bitmap.memory.marks.fill(0, run.page, run.page + run.pages);
      this.#countPages(run.page, run.pages);
    }
    this.#readStep();
  }

  /** Adds the words of freshly read pages to the weights. */
  #countPages(page: number, pages: number): void {
    const { slots } = this.#bitmap;
    if (page + pages === this.#bitmap.pages) this.#bitmap.clearPageTail();
    const firstRaw = page * wordsPerPage;
    const endRaw = (page + pages) * wordsPerPage;
    for (let slot = 0; slot < slots; slot++) {
      const first = Math.ceil((firstRaw - slot) / slots);
      const end = Math.ceil((endRaw - slot) / slots);
      this.#bitmap.recountWords(slot, first, end - first);
    }
  }

  #sectorOf(page: number): number {
    return this.#layout.superBlockSector + this.#layout.bmOffset + page * sectorsPerBlock;
  }

  /** Plain loops: two views a page would be garbage on the way of every cold write. */
  #copyOut(run: RunJob): void {
    const chunk = this.#bitmap.memory.chunks[Math.floor(run.page / chunkPages)];
    const from = (run.page % chunkPages) * wordsPerPage;
    const to = run.offset / 4;
    for (let i = run.pages * wordsPerPage - 1; i >= 0; i--) this.#arenaWords[to + i] = chunk[from + i];
  }

  #copyIn(run: RunJob): void {
    const chunk = this.#bitmap.memory.chunks[Math.floor(run.page / chunkPages)];
    const at = run.offset / 4;
    chunk.set(this.#arenaWords.subarray(at, at + run.pages * wordsPerPage), (run.page % chunkPages) * wordsPerPage);
  }
}

interface RunJob extends MdJob {
  readonly offset: number;
  page: number;
  pages: number;
  purpose: 'bulk' | 'log' | 'read';
}

interface Bulk {
  job: MdJob | null;
  kind: WriteOut;
  page: number;
  inFlight: number;
  errno: number;
}

interface LogWrite {
  job: MdJob | null;
  readonly pages: Float64Array;
  count: number;
  inFlight: number;
  errno: number;
}
