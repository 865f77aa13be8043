// SPDX-License-Identifier: GPL-2.0-or-later
/** One 4 KiB block of the activity log. @spec metadata.md 7 */
import { assert } from '../assert.ts';
import { alContextPerTransaction, alUpdatesPerTransaction, blockBytes, sectorsPerBlock } from './limits.ts';
import type { Crc32c } from './crc32c.ts';
import type { MdLayout } from './layout.ts';

export const alMagic = 0x69cb65a2;
export const AlType = { update: 0, initialized: 0xffff } as const;
/** A slot that holds no extent, in core (Int32) and on disk (0xffffffff). */
export const noExtent = -1;

const at = {
  magic: 0, trNumber: 4, crc: 8, type: 12, nUpdates: 14, contextSize: 16, contextStart: 18,
  updateSlot: 36, updateExtent: 164, context: 420,
} as const;

/** Sector of the block for a transaction number, relative to the super block. */
export function alSectorOf(layout: MdLayout, trNumber: number): number {
  const t = trNumber % layout.alSize4k;
  const block = (t % layout.alStripes) * layout.alStripeSize4k + Math.floor(t / layout.alStripes);
  return layout.superBlockSector + layout.alOffset + block * sectorsPerBlock;
}

function seal(view: DataView, bytes: Uint8Array, base: number, crc32c: Crc32c): void {
  view.setUint32(base + at.crc, 0);
  view.setUint32(base + at.crc, crc32c(0, bytes, base, base + blockBytes));
}

/**
 * Writes a transaction at `base` of `bytes`. `updates` are slot numbers whose new extent stands in `newExtents[slot]`;
 * `committed` holds the extents of all slots before these updates. Allocates nothing.
 */
export function encodeAlTransaction(view: DataView, bytes: Uint8Array, base: number, trNumber: number,
  updates: Int32Array, nUpdates: number, newExtents: Int32Array, committed: Int32Array, contextStart: number,
  crc32c: Crc32c): void {
  assert(nUpdates <= alUpdatesPerTransaction, 'too many updates in one transaction');
  assert(contextStart < committed.length, 'context starts behind the last slot');
  bytes.fill(0, base, base + at.updateSlot);
  bytes.fill(0xff, base + at.updateSlot, base + blockBytes);
  view.setUint32(base + at.magic, alMagic);
  view.setUint32(base + at.trNumber, trNumber);
  view.setUint16(base + at.type, AlType.update);
  view.setUint16(base + at.nUpdates, nUpdates);
  view.setUint16(base + at.contextSize, committed.length);
  view.setUint16(base + at.contextStart, contextStart);
  for (let i = 0; i < nUpdates; i++) {
    const slot = updates[i];
    view.setUint16(base + at.updateSlot + 2 * i, slot);
    view.setInt32(base + at.updateExtent + 4 * i, newExtents[slot]);
  }
  const end = Math.min(committed.length, contextStart + alContextPerTransaction);
  for (let slot = contextStart; slot < end; slot++) {
    view.setInt32(base + at.context + 4 * (slot - contextStart), committed[slot]);
  }
  seal(view, bytes, base, crc32c);
}

/** A block as drbdmeta initialises it. */
export function encodeAlInitialized(view: DataView, bytes: Uint8Array, base: number, crc32c: Crc32c): void {
  bytes.fill(0, base, base + blockBytes);
  view.setUint32(base + at.magic, alMagic);
  view.setUint16(base + at.type, AlType.initialized);
  seal(view, bytes, base, crc32c);
}

export interface AlTransaction {
  readonly trNumber: number;
  readonly type: number;
  readonly contextSize: number;
  readonly contextStart: number;
  readonly updates: readonly { readonly slot: number; readonly extent: number }[];
  /** Extents of slots contextStart… */
  readonly context: readonly number[];
}

/** null: not a valid transaction block (magic, checksum or counts wrong). */
export function decodeAlTransaction(bytes: Uint8Array, base: number, crc32c: Crc32c): AlTransaction | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset + base, blockBytes);
  if (view.getUint32(at.magic) !== alMagic) return null;
  const copy = bytes.slice(base, base + blockBytes);
  copy.fill(0, at.crc, at.crc + 4);
  if (crc32c(0, copy, 0, blockBytes) !== view.getUint32(at.crc)) return null;
  const type = view.getUint16(at.type);
  const nUpdates = view.getUint16(at.nUpdates);
  const contextSize = view.getUint16(at.contextSize);
  const contextStart = view.getUint16(at.contextStart);
  if (nUpdates > alUpdatesPerTransaction || (contextSize > 0 && contextStart >= contextSize)) return null;
  const updates = Array.from({ length: nUpdates }, (_, i) => ({
    slot: view.getUint16(at.updateSlot + 2 * i), extent: view.getInt32(at.updateExtent + 4 * i),
  }));
  const n = Math.min(alContextPerTransaction, contextSize - contextStart);
  const context = Array.from({ length: n }, (_, i) => view.getInt32(at.context + 4 * i));
  return { trNumber: view.getUint32(at.trNumber), type, contextSize, contextStart, updates, context };
}
