// SPDX-License-Identifier: GPL-2.0-or-later
import type { Arena } from './arena.ts';

/** Operations on a backing device. */
export const LowerOp = { read: 0, write: 1, flush: 2, discard: 3, writeZeroes: 4 } as const;
export type LowerOp = (typeof LowerOp)[keyof typeof LowerOp];

/** Flags of a write. preflush: device cache flushed before; fua: on stable storage when done. */
export const LowerFlag = { preflush: 1, fua: 2, sync: 4, meta: 8, unmap: 16 } as const;

export interface LowerHandler {
  /** errno 0 or positive (EIO 5, EOPNOTSUPP 95, ENOSPC 28…). Called from the event loop, never from inside submit. */
  lowerDone(cookie: number, errno: number): void;
}

/** What the core must know of a backing device. All sizes in bytes unless named sectors (512 bytes). */
export interface LowerLimits {
  readonly sectors: number;
  readonly logicalBlockBytes: number;
  readonly physicalBlockBytes: number;
  readonly maxIoBytes: number;
  readonly maxDiscardSectors: number;
  readonly discardGranularityBytes: number;
  readonly discardZeroesIfAligned: boolean;
  readonly maxWriteZeroesSectors: number;
  readonly rotational: boolean;
  /** Kernel's name of it, "vdb", "dm-3"; and of its parent disk and number. */
  readonly name: string;
  readonly major: number;
  readonly minor: number;
}

/** A claimed backing device. Everything that a DRBD device writes goes through here, in any number at once. */
export interface LowerDevice {
  readonly id: number;
  readonly limits: LowerLimits;
  /**
   * Queues one operation; it is handed over at the end of the turn. No order between operations in flight.
   * sector + size must lie on the device (assertion). `bioTag` names the application's bio whose local part this
   * is, -1 for none: the shim tells a later engine whether it was done. `cookie` (Int32 >= 0) comes back in lowerDone.
   * arena may be null and offset 0 for flush, discard and writeZeroes.
   */
  submit(op: LowerOp, flags: number, sector: number, sizeBytes: number, arena: Arena | null, offset: number,
    cookie: number, bioTag: number): void;
  /** It has a volatile cache, or is not known to have none: without a flush, what has ended may be lost. */
  readonly unflushed: boolean;
  /** Operations submitted and not done. */
  inFlight(): number;
  /** Reads the size again (device grown). */
  refresh(): LowerLimits;
  /** Gives the claim up, synchronously. Only with nothing in flight. */
  release(): void;
}

/** A backing device found by path in the caller's mount namespace, open but not yet claimed. */
export interface BackingFile {
  readonly path: string;
  readonly major: number;
  readonly minor: number;
  readonly limits: LowerLimits;
  close(): void;
}
