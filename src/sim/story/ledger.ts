// SPDX-License-Identifier: GPL-2.0-or-later
/** What applications wrote in a story and were told, volume by volume: the book that checkers L and G read. */
import type { SimDisk } from '../disk.ts';
import { History } from '../stress/history.ts';
import type { Write } from '../stress/history.ts';

export const BLOCK_SECTORS = 8;
export const BLOCK_BYTES = 4096;

/** A write as its application sees it. */
export interface Writing {
  readonly block: number;
  readonly blocks: number;
  readonly tag: number;
  /** -1: no answer yet. */
  errno: number;
  readonly record: Write;
}

export class Ledger {
  readonly #volumes = new Map<number, History>();
  #tag = 0;
  wrong = '';

  history(vnr: number): History {
    let history = this.#volumes.get(vnr);
    if (!history) this.#volumes.set(vnr, history = new History());
    return history;
  }

  begin(vnr: number, block: number, blocks: number, tag = ++this.#tag): Writing {
    const record = this.history(vnr).write(tag, block * BLOCK_SECTORS, blocks * BLOCK_SECTORS);
    return { block, blocks, tag, errno: -1, record };
  }

  /** doomed: an answer that the story will take back, as a split brain's victim. */
  answered(vnr: number, writing: Writing, errno: number, doomed: boolean): void {
    writing.errno = errno;
    this.history(vnr).answered(writing.record, doomed && errno === 0 ? -1 : errno, true);
  }

  applicationsLost(): void { for (const history of this.#volumes.values()) history.applicationLost(); }
  powerLost(): void { for (const history of this.#volumes.values()) history.powerLost(); }

  /** Why this disk must not be called UpToDate; '' if it may. */
  refuse(vnr: number, disk: SimDisk): string {
    const history = this.history(vnr);
    for (const sector of history.written) {
      const why = history.refuse(sector, disk.tag(sector));
      if (why !== '') return why;
    }
    return '';
  }
}
