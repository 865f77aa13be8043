// SPDX-License-Identifier: GPL-2.0-or-later
import type { Arena, MetaArena } from './arena.ts';
import type { BackingFile, LowerDevice, LowerHandler } from './lower.ts';

/** Operations of a bio from above. */
export const BioOp = { read: 0, write: 1, flush: 2, discard: 3, writeZeroes: 4 } as const;
export type BioOp = (typeof BioOp)[keyof typeof BioOp];

/** Flags of a bio; the first five are LowerFlag's. */
export const BioFlag = { preflush: 1, fua: 2, sync: 4, meta: 8, unmap: 16, rahead: 32,
  /** The read was passed down by the shim and failed there. */
  bypassFailed: 64 } as const;

/** How far the local part of a bio had got when it is given to a new engine. */
export const Redelivered = { no: 0, notSubmitted: 1, inFlight: 2, done: 3, failed: 4 } as const;

export interface BlockHandler {
  /**
   * A bio. `tag` (Int32 >= 0, below maxTags) names it until complete(). The data of a write, and the room for a read's,
   * lie at `arenaOffset` of the device's data arena until then (-1 for flush, discard, write-zeroes).
   */
  bio(tag: number, op: BioOp, flags: number, sector: number, sizeBytes: number, arenaOffset: number,
    redelivered: number): void;
  /** Someone opens; answerOpen() must follow, unless openGone() comes. */
  open(openId: number, write: boolean, exclusive: boolean, ndelay: boolean, pid: number, comm: string): void;
  /** The opener was killed or gave up while waiting. */
  openGone(openId: number): void;
  /** Count of opens after an open was granted or a close: total, and whether any since zero was a writer. */
  openCount(total: number, writers: boolean): void;
  /** Instead of openCount(0): last close of a device that was open for writing; it waits (bounded by the shim) for drained(). */
  lastClose(): void;
  /** No bypassed read is in flight any more and none will start: answer to setReadBypass(false). */
  bypassClosed(): void;
}

/** Limits of /dev/drbdN, as the block layer's queue limits. */
export interface DeviceLimits {
  readonly logicalBlockBytes: number;
  readonly physicalBlockBytes: number;
  readonly maxBioBytes: number;
  readonly maxDiscardSectors: number;
  readonly discardGranularityBytes: number;
  readonly maxWriteZeroesSectors: number;
  readonly rotational: boolean;
  readonly writeCache: boolean;
}

/** One /dev/drbdN. */
export interface BlockDevice {
  readonly minor: number;
  readonly maxTags: number;
  /** Data of bios and of peers: opaque. */
  readonly data: Arena;
  /** Buffers for meta-data, readable by the core. */
  readonly meta: MetaArena;
  setHandler(handler: BlockHandler): void;
  /** Ends a bio. A read's data are taken from `arenaOffset` of `data` (where they are already when it is the bio's own room). */
  complete(tag: number, errno: number, arenaOffset: number): void;
  setCapacity(sectors: number): void;
  setLimits(limits: DeviceLimits): void;
  /** May reads go to the claimed data device without the engine? Closing is answered by bypassClosed(). */
  setReadBypass(allowed: boolean): void;
  /** Reads and sectors read that bypassed the engine since the device was made. */
  bypassed(): { readonly reads: number; readonly sectors: number };
  /** 0 grants; else the errno that open(2) returns (EROFS, EMEDIUMTYPE, EAGAIN…). */
  answerOpen(openId: number, errno: number): void;
  /** Lets a last close go on. */
  drained(): void;
  /** Claims exclusively; 'data' and 'meta' may be the same file. Errno (positive) on failure: EBUSY 16… */
  claim(file: BackingFile, role: 'data' | 'meta', handler: LowerHandler): LowerDevice | number;
  /** Bytes in the shim's memory that outlive the engine; `fresh` when they were made (zeroed) just now. Same kind and size give the same memory. */
  stateArena(kind: number, sizeBytes: number): { readonly bytes: Uint8Array; readonly fresh: boolean };
  /** Removes /dev/drbdN: bios still held end with EIO. */
  destroy(): void;
}

export interface BlockFrontend {
  /** Errno (positive) on failure. */
  create(minor: number): BlockDevice | number;
  /** Devices that exist from an earlier engine, with their claims, for re-adoption. */
  adopt(): readonly AdoptedDevice[];
  /** Path is looked up in the mount namespace of process `pid` (0: our own). Errno on failure. */
  openBacking(path: string, pid: number): BackingFile | number;
}

/** A device of an earlier engine. Its bios are delivered again once setHandler was called and start() after that. */
export interface AdoptedDevice {
  readonly device: BlockDevice;
  /** Its capacity. */
  readonly sectors: number;
  readonly openTotal: number;
  readonly openWriters: boolean;
  /** Takes over the claim; the callback comes when nothing of the dead engine is in flight below. */
  readopt(role: 'data' | 'meta', handler: LowerHandler, quiet: () => void): LowerDevice | null;
  /** Unfinished bios are delivered, in order, then new ones. */
  start(): void;
}
