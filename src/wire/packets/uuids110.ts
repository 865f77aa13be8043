// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../../assert.ts';
import { type Below, count64, u64, WireError } from '../fields.ts';
import { HISTORY_UUIDS, NODE_ID_MAX } from '../limits.ts';
import { packet, type ValueOf } from '../schema.ts';
import type { Tail } from '../tails.ts';

/** Flag bits of uuidFlags; its top byte is the node id of the unallocated slot with hasUnalloc. @spec wire.md 5.7 */
export const UuidFlag = {
  discardMyData: 0x1n,
  crashedPrimary: 0x2n,
  inconsistent: 0x4n,
  skipInitialSync: 0x8n,
  newDatagen: 0x10n,
  stable: 0x20n,
  gotStable: 0x40n,
  resync: 0x80n,
  reconnect: 0x100n,
  disklessPrimary: 0x200n,
  primaryLostQuorum: 0x400n,
  syncTarget: 0x800n,
  hasUnalloc: 0x1000n,
} as const;
export const UNALLOC_NODE_ID_SHIFT = 56n;

const SLOTS = NODE_ID_MAX + 1;
const MASK_MAX = (1n << BigInt(SLOTS)) - 1n;

interface UuidLists {
  bitmapUuidsMask: bigint;
  /** One for each bit of bitmapUuidsMask, lowest node id first. */
  bitmapUuids: bigint[];
  /** 32 from current senders; at most as many are kept. */
  historyUuids: bigint[];
}

const popcount = (mask: bigint): number => {
  let bits = 0;
  for (let rest = mask; rest !== 0n; rest &= rest - 1n) bits++;
  return bits;
};

const lists: Tail<UuidLists> = {
  minBytes: () => 0,
  /** A surplus of history beyond what is kept is legal; the bound is what a fixed part may have at all. */
  maxBytes: () => 8 * 2 * SLOTS + 8 * HISTORY_UUIDS,
  bytes: (value) => 8 * (value.bitmapUuids.length + value.historyUuids.length),
  encode(value, view, at) {
    assert(value.bitmapUuids.length === popcount(value.bitmapUuidsMask), 'one bitmap UUID for each bit of the mask');
    assert(value.historyUuids.length <= HISTORY_UUIDS, 'history is not too long');
    let end = at;
    for (const uuid of value.bitmapUuids) end = putUuid(view, end, uuid);
    for (const uuid of value.historyUuids) end = putUuid(view, end, uuid);
    return end - at;
  },
  decode(value, view, at, bytes, _agreed, where) {
    const slots = popcount(value.bitmapUuidsMask);
    if (bytes % 8 !== 0) throw new WireError(`${where}: ${bytes} bytes of UUIDs, not a multiple of 8`);
    if (bytes < slots * 8) throw new WireError(`${where}: ${slots} bitmap UUIDs announced, ${bytes} bytes there`);
    value.bitmapUuids = uuidsAt(view, at, slots);
    value.historyUuids = uuidsAt(view, at + slots * 8, Math.min(bytes / 8 - slots, HISTORY_UUIDS));
  },
  dump: (value) => [`bitmapUuids=[${showUuids(value.bitmapUuids)}]`, `historyUuids=[${showUuids(value.historyUuids)}]`],
  sample(value, below) {
    value.bitmapUuids = sampleUuids(below, popcount(value.bitmapUuidsMask));
    value.historyUuids = sampleUuids(below, below(HISTORY_UUIDS + 1));
  },
};

function putUuid(view: DataView, at: number, uuid: bigint): number {
  view.setBigUint64(at, uuid);
  return at + 8;
}

function uuidsAt(view: DataView, at: number, count: number): bigint[] {
  const uuids: bigint[] = [];
  for (let i = 0; i < count; i++) uuids.push(view.getBigUint64(at + i * 8));
  return uuids;
}

const showUuids = (uuids: bigint[]): string => uuids.map((uuid) => uuid.toString(16).padStart(16, '0')).join(',');

function sampleUuids(below: Below, count: number): bigint[] {
  const uuids: bigint[] = [];
  for (let i = 0; i < count; i++) uuids.push((BigInt(below(2 ** 32)) << 32n) | BigInt(below(2 ** 32)));
  return uuids;
}

/** @spec wire.md 5.7 */
export const PUuids110 = packet({
  name: 'P_UUIDS110',
  command: 0x42,
  stream: 'data',
  scope: 'volume',
  versions: [110, 0xffff],
  fields: {
    currentUuid: u64(),
    /** Bits set in the sender's bitmap for the receiver. */
    dirtyBits: count64(),
    uuidFlags: u64(),
    nodeMask: u64(),
    bitmapUuidsMask: u64({ max: MASK_MAX }),
  },
  tail: lists,
});
export type PUuids110 = ValueOf<typeof PUuids110>;

/** @spec wire.md 5.8 */
export const PCurrentUuid = packet({
  name: 'P_CURRENT_UUID',
  command: 0x44,
  stream: 'data',
  scope: 'volume',
  versions: [110, 0xffff],
  fields: { uuid: u64(), weakNodes: u64() },
});
export type PCurrentUuid = ValueOf<typeof PCurrentUuid>;
