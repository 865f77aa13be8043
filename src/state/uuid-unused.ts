// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * A generation in which nothing has been written to this disk yet: it still has the data of the one before. Whoever is in it
 * may go back to that one at any time, and splits nobody. The super block remembers it: in the slot of the own node id, which
 * nobody else has a use for, bitmap_dagtag holds the difference of the two generations, so it says nothing any more once
 * the current one is another. drbdmeta keeps it. docs/reference/generations.md
 */
import { Disk, Repl } from './states.ts';
import { newCurrentUuid } from './uuid-generation.ts';
import type { Random64 } from './uuid-generation.ts';
import { withRole } from './uuid-ops.ts';
import { uuidEq, uuidJustCreated, uuidPrimaryBit } from './uuid-types.ts';
import type { DeviceContext, DeviceUuids } from './uuid-types.ts';

const difference = (a: bigint, b: bigint): bigint => (a ^ b) & ~uuidPrimaryBit;

function remember(uuids: DeviceUuids, nodeId: number, bitmapDagtag: bigint): DeviceUuids {
  const slot = uuids.peers[nodeId];
  return slot.bitmapDagtag === bitmapDagtag ? uuids : { ...uuids, peers: uuids.peers.with(nodeId, { ...slot, bitmapDagtag }) };
}

/** The generation that this disk has the data of, if its current one is unused; 0: it is used. */
export function formerUuid({ currentUuid, peers, historyUuids }: DeviceUuids, nodeId: number): bigint {
  const { bitmapDagtag } = peers[nodeId];
  if (bitmapDagtag === 0n) return 0n;
  const former = difference(bitmapDagtag, currentUuid);
  const isAncestor = historyUuids.some((uuid) => uuidEq(uuid, former))
    || peers.some((slot, n) => n !== nodeId && uuidEq(slot.bitmapUuid, former));
  return isAncestor ? former : 0n;
}

/** `uuids` are of a new generation, made from `former`. */
export const asUnused = (uuids: DeviceUuids, nodeId: number, former: bigint): DeviceUuids =>
  remember(uuids, nodeId, former === 0n || uuidEq(former, uuidJustCreated) ? 0n : difference(uuids.currentUuid, former));

export const asUsed = (uuids: DeviceUuids, nodeId: number): DeviceUuids => remember(uuids, nodeId, 0n);

/** `former` is current again. */
export const backTo = (former: bigint, uuids: DeviceUuids, nodeId: number): DeviceUuids =>
  asUsed({ ...uuids, currentUuid: former }, nodeId);

const sources: ReadonlySet<Repl> = new Set([Repl.startingSyncS, Repl.wfBitMapS, Repl.syncSource, Repl.pausedSyncS, Repl.ahead]);

/** Back in the one before; null: the current one is used, or a peer that is here has it as well and is not as unused, or gets it with the data. */
export function withdrawn({ uuids, nodeId, role, disk, peers }: DeviceContext): DeviceUuids | null {
  const former = formerUuid(uuids, nodeId);
  const isHere = peers.some((peer) => peer.repl >= Repl.established
    && (sources.has(peer.repl) || uuidEq(peer.uuids.currentUuid, uuids.currentUuid) && !uuidEq(peer.uuids.former, former)));
  if (former === 0n || isHere || disk < Disk.outdated) return null;
  return backTo(withRole(former, role), uuids, nodeId);
}

/** newCurrentUuid, and nothing was written in it. */
export function newUnusedUuid(device: DeviceContext, random: Random64): ReturnType<typeof newCurrentUuid> {
  const made = newCurrentUuid(device, false, random);
  return made === null ? null : { ...made, uuids: asUnused(made.uuids, device.nodeId, device.uuids.currentUuid) };
}
