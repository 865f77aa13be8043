// SPDX-License-Identifier: GPL-2.0-or-later
/** Short ways to build UUID values for tests. */
import { Disk, Repl, Role, UuidFlag } from '../../../src/state/states.ts';
import type { CompareView } from '../../../src/state/uuid-compare.ts';
import type { HandshakeView } from '../../../src/state/uuid-handshake.ts';
import { freshPeerUuids } from '../../../src/state/uuid-types.ts';
import type { DeviceContext, DeviceUuids, PeerContext, PeerUuids, UuidSlot } from '../../../src/state/uuid-types.ts';

const noSlot: UuidSlot = { bitmapUuid: 0n, bitmapDagtag: 0n, flags: 0, bitmapIndex: -1 };

export function device(currentUuid: bigint, slots: Record<number, Partial<UuidSlot>> = {}, history: bigint[] = []): DeviceUuids {
  return {
    currentUuid,
    peers: Array.from({ length: 32 }, (_, n) => ({ ...noSlot, ...slots[n] })),
    historyUuids: Array.from({ length: 32 }, (_, i) => history[i] ?? 0n),
  };
}

export function peerUuids(currentUuid: bigint, bitmap: Record<number, bigint> = {}, rest: Partial<PeerUuids> = {},
  history: bigint[] = []): PeerUuids {
  const fresh = freshPeerUuids();
  return {
    ...fresh, currentUuid, flags: UuidFlag.stable,
    bitmapUuids: fresh.bitmapUuids.map((unknown, n) => bitmap[n] ?? unknown),
    historyUuids: fresh.historyUuids.map((_, i) => history[i] ?? 0n), ...rest,
  };
}

export function peer(nodeId: number, rest: Partial<PeerContext> = {}): PeerContext {
  return {
    nodeId, name: `n${nodeId}`, repl: Repl.off, pdsk: Disk.unknown, peerRole: Role.unknown, wantBitmap: true,
    uuids: freshPeerUuids(), sent: null, overtaken: 0n, follows: false, ...rest,
  };
}

export function context(uuids: DeviceUuids, rest: Partial<DeviceContext> = {}): DeviceContext {
  return {
    nodeId: 0, role: Role.primary, disk: Disk.upToDate, intentionalDiskless: false, maxPeers: 7, exposedUuid: 0n, replaced: [], dagtag: 100n, uuids, peers: [],
    ...rest,
  };
}

/** Node 0 looks at node 1; what was sent is what holds now. */
export function compareView(own: DeviceUuids, theirs: PeerUuids, rest: Partial<CompareView> = {}): CompareView {
  const localFlags = rest.localFlags ?? UuidFlag.stable;
  return {
    nodeId: 0, peerNodeId: 1, agreedVersion: 124, wireProtocol: 'C', resolveConflicts: true, connecting: true, own,
    told: own.peers.map((_, n) => n),
    resolvedUuid: own.currentUuid, localFlags, peer: theirs, missedEnd: 'none',
    sent: { currentUuid: own.currentUuid, bitmapUuid: own.peers[1].bitmapUuid, flags: localFlags, dirtyBits: 0 },
    ...rest,
  };
}

export function handshakeView(own: DeviceUuids, theirs: PeerUuids, rest: Partial<HandshakeView> = {}): HandshakeView {
  return {
    ...compareView(own, theirs, rest), role: Role.secondary, peerRole: Role.secondary, sentDisk: Disk.upToDate, shownDisk: rest.sentDisk ?? Disk.upToDate,
    disk: Disk.upToDate, exposedUuid: 0n, doubted: false, peerDisk: Disk.upToDate, attaches: false, peerAttaches: false, reconcileBits: true, ownBits: 0, stable: true, discardMyData: false, dryRun: false, alwaysAsbp: false,
    afterSb0p: 'disconnect', afterSb1p: 'disconnect', afterSb2p: 'disconnect', rrConflict: 'disconnect',
    allowTwoPrimaries: false, quorumConfigured: false, selfHasQuorum: true, peerHasQuorum: true, unused: false, demoted: 'not-tried', ...rest,
  };
}

export function counter(start: bigint): () => bigint {
  let next = start;
  return () => {
    next += 0x10n;
    return next;
  };
}
