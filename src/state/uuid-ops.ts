// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Elementary operations on a device's UUIDs. A draft is a private copy that one operation changes step by step;
 * `done()` gives the new value. @spec uuid.md 1.2, 1.3, hazards.md 15.4
 */
import { assert } from '../assert.ts';
import { Disk, PeerFlag, Repl, Role, UuidFlag, WITNESS_SHIFT } from './states.ts';
import { historyLength, nodeIds, uuidEq, uuidJustCreated, uuidPrimaryBit } from './uuid-types.ts';
import type { DeviceContext, DeviceUuids, PeerContext, PeerUuids, UuidSlot } from './uuid-types.ts';
import type { NodeMask } from './types.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export const nodeBit = (nodeId: number): NodeMask => 1n << BigInt(nodeId);
export const inMask = (mask: NodeMask, nodeId: number): boolean => (mask & nodeBit(nodeId)) !== 0n;

/** A current UUID as the given role stores it. */
export function withRole(uuid: bigint, role: Role): bigint {
  return role === Role.primary ? uuid | uuidPrimaryBit : uuid & ~uuidPrimaryBit;
}

/** Slots that P_UUIDS110 tells. */
export function isListed(slot: UuidSlot): boolean {
  return slot.bitmapIndex !== -1 || (slot.flags & PeerFlag.nodeExists) !== 0;
}

export class UuidDraft {
  readonly #nodeId: number;
  readonly #before: DeviceUuids;
  current: bigint;
  readonly slots: Mutable<UuidSlot>[];
  history: bigint[];

  constructor(uuids: DeviceUuids, ownNodeId: number) {
    assert(uuids.peers.length === nodeIds && uuids.historyUuids.length === historyLength, 'bad UUID set');
    this.#nodeId = ownNodeId;
    this.#before = uuids;
    this.current = uuids.currentUuid;
    this.slots = uuids.peers.map((slot) => ({ ...slot }));
    this.history = [...uuids.historyUuids];
  }

  /** Newest first, without bit 0, nothing twice. Callers overwrite a slot first and push its old value then. */
  pushHistory(uuid: bigint): void {
    const old = uuid & ~uuidPrimaryBit;
    if (old === 0n || old === uuidJustCreated || uuidEq(old, this.current)) return;
    // The first value is kept even while it stands in a slot: it is the ancestor that everybody shares. Of the slot of an id
    // that nobody has, the peers do not hear.
    const inSlot = this.slots.some((slot, n) => n !== this.#nodeId && isListed(slot) && uuidEq(slot.bitmapUuid, old));
    if (this.history[0] !== 0n && (inSlot || this.history.includes(old))) return;
    this.history = [old, ...this.history.slice(0, historyLength - 1)];
  }

  setBitmapUuid(nodeId: number, uuid: bigint, dagtag: bigint): void {
    this.slots[nodeId].bitmapUuid = uuid;
    this.slots[nodeId].bitmapDagtag = uuid === 0n ? 0n : dagtag;
  }

  setBitmapUuidWithHistory(nodeId: number, uuid: bigint, dagtag: bigint): void {
    const old = this.slots[nodeId].bitmapUuid;
    this.setBitmapUuid(nodeId, uuid, dagtag);
    this.pushHistory(old);
  }

  hasBitmap(nodeId: number): boolean {
    return this.slots[nodeId].bitmapIndex !== -1;
  }

  get changed(): boolean {
    const { currentUuid, peers, historyUuids } = this.#before;
    return currentUuid !== this.current || historyUuids.some((uuid, i) => uuid !== this.history[i])
      || peers.some((slot, n) => slot.bitmapUuid !== this.slots[n].bitmapUuid
        || slot.bitmapDagtag !== this.slots[n].bitmapDagtag || slot.flags !== this.slots[n].flags
        || slot.bitmapIndex !== this.slots[n].bitmapIndex);
  }

  /** The same object as before when nothing has changed. */
  done(): DeviceUuids {
    return this.changed ? { currentUuid: this.current, peers: this.slots, historyUuids: this.history } : this.#before;
  }
}

/** Does a rotation write a base into this peer's slot? A connected peer with a worse disk counts as away. */
function rotatesFor(peer: PeerContext, hasBitmap: boolean, weak: NodeMask): boolean {
  if (peer.pdsk === Disk.diskless && !hasBitmap) return false;
  return (peer.pdsk <= Disk.unknown && peer.pdsk !== Disk.negotiating) || inMask(weak, peer.nodeId);
}

/**
 * rotate_current_into_bitmap: the current UUID becomes the base of every peer that does not get what comes next,
 * and of ids never used ("day 0"). Returns the nodes that got one. @spec uuid.md 1.3
 */
export function rotate(draft: UuidDraft, device: DeviceContext, weak: NodeMask, dagtag: bigint,
  random: () => bigint): NodeMask {
  const base = draft.current === uuidJustCreated ? random() : draft.current;
  // Bit 0 does not count: a generation that a Primary told is a base with the bit, and current without it.
  const stays = (n: number): boolean => draft.slots[n].bitmapUuid !== 0n && !uuidEq(draft.slots[n].bitmapUuid, base);
  const handled = new Set<number>();
  let result = 0n;
  for (const peer of device.peers) {
    const { nodeId } = peer;
    if (draft.hasBitmap(nodeId)) handled.add(draft.slots[nodeId].bitmapIndex);
    if (stays(nodeId) || !rotatesFor(peer, draft.hasBitmap(nodeId), weak)) continue;
    draft.setBitmapUuid(nodeId, base, dagtag);
    result |= nodeBit(nodeId);
  }
  // Who has a bitmap goes before the ids that have none: these share the bitmaps that are left. docs/differences.md
  const configured = new Set(device.peers.map((peer) => peer.nodeId));
  const others = Array.from({ length: nodeIds }, (_, n) => n).filter((n) => n !== device.nodeId && !configured.has(n));
  for (const n of [...others.filter((n) => draft.hasBitmap(n)), ...others.filter((n) => !draft.hasBitmap(n))]) {
    let index = draft.slots[n].bitmapIndex;
    if (index !== -1) {
      if (handled.has(index)) continue;
      handled.add(index);
    }
    if (stays(n)) continue;
    if (index === -1) {
      index = 0;
      while (handled.has(index)) index++;
      handled.add(index);
    }
    draft.setBitmapUuid(n, base, dagtag);
    if (index < device.maxPeers) result |= nodeBit(n);
  }
  return result;
}

/** drbd_resolved_uuid: what we present as our generation to a peer. While SyncTarget of another: that one's. */
export function resolvedUuid(device: DeviceContext, peerNodeId: number): bigint {
  const source = syncSourceOther(device, peerNodeId);
  return source === undefined ? device.uuids.currentUuid : source.uuids.currentUuid;
}

export function syncSourceOther(device: DeviceContext, peerNodeId: number): PeerContext | undefined {
  return device.peers.find((peer) => peer.nodeId !== peerNodeId && peer.repl === Repl.syncTarget);
}

/** What an Inconsistent one does not get is marked; who is Negotiating has decided before a generation is made. */
const getsWrites: ReadonlySet<Disk> = new Set([Disk.negotiating, Disk.inconsistent, Disk.upToDate]);

/**
 * drbd_weak_nodes_device: who does not get what is written; also who is away, whatever disk it had, or not sure yet of its data
 * (docs/differences.md). @spec state.md 9.4
 */
export function weakNodes(device: DeviceContext): NodeMask {
  let strong = device.disk === Disk.upToDate ? nodeBit(device.nodeId) : 0n;
  for (const { nodeId, repl, pdsk } of device.peers) {
    if (repl >= Repl.established && getsWrites.has(pdsk)) strong |= nodeBit(nodeId);
  }
  return ~strong & 0xffff_ffff_ffff_ffffn;
}

/** A Primary, or no Primary next door. @spec uuid.md 1.10 */
export function isStable(device: DeviceContext): boolean {
  return device.role === Role.primary || authoritativeNodes(device) === 0n;
}

/** Well-connected Primaries. */
export function authoritativeNodes(device: DeviceContext): NodeMask {
  let mask = 0n;
  for (const peer of device.peers) {
    if (peer.peerRole === Role.primary && peer.repl >= Repl.established) mask |= nodeBit(peer.nodeId);
  }
  return mask;
}

/** What a node says of itself in P_UUIDS110. */
export interface LocalFlagsInput {
  readonly discardMyData: boolean;
  readonly crashedPrimary: boolean;
  /** MDF_CONSISTENT is clear. */
  readonly inconsistent: boolean;
  readonly reconnect: boolean;
  readonly primaryLostQuorum: boolean;
  /** The current generation may be withdrawn, and the peer knows what that is. */
  readonly unused: boolean;
  /** formerUuid(), for a peer that knows what that is. */
  readonly former: bigint;
  /** Node that is in sync with this one and was up as the two lost each other; -1: none that the peer would know of. */
  readonly witness: number;
}

export function localUuidFlags(device: DeviceContext, peerNodeId: number, input: LocalFlagsInput): number {
  return (input.discardMyData ? UuidFlag.discardMyData : 0)
    | (input.crashedPrimary ? UuidFlag.crashedPrimary : 0)
    | (input.inconsistent ? UuidFlag.inconsistent : 0)
    | (input.reconnect ? UuidFlag.reconnect : 0)
    | (input.primaryLostQuorum ? UuidFlag.primaryLostQuorum : 0)
    | (input.unused ? UuidFlag.unused : 0)
    | (input.witness < 0 ? 0 : UuidFlag.vouched | input.witness << WITNESS_SHIFT)
    | (isStable(device) ? UuidFlag.stable : 0)
    | (syncSourceOther(device, peerNodeId) === undefined ? 0 : UuidFlag.syncTarget);
}

/** A peer takes over a new generation, as receivedNewCurrent does here; its own list comes later. */
export function movedTo(uuids: PeerUuids, uuid: bigint, weak: NodeMask): PeerUuids {
  const { currentUuid: old, bitmapUuids, historyUuids } = uuids;
  if (old === 0n || old === uuidJustCreated || uuidEq(old, uuid)) return { ...uuids, currentUuid: uuid };
  return {
    ...uuids, currentUuid: uuid, former: 0n, bitmapUuids: bitmapUuids.map((base, n) => (base === 0n && inMask(weak, n) ? old : base)),
    historyUuids: [old & ~uuidPrimaryBit, ...historyUuids].slice(0, historyLength),
  };
}

/** drbd_uuid_set_exposed: the new value, or null when nothing changes. */
export function exposedUuid(old: bigint, uuid: bigint, role: Role): bigint | null {
  return uuid === uuidJustCreated || uuidEq(old, uuid) ? null : withRole(uuid, role);
}

/** Dagtags are compared by signed difference. */
export function dagtagNewer(a: bigint, b: bigint): boolean {
  return BigInt.asIntN(64, a - b) > 0n;
}
