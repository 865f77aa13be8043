// SPDX-License-Identifier: GPL-2.0-or-later
/** A diskless node meets a peer that says UpToDate: are these the data it has shown to its users? @spec state.md 9.6 */
import { Disk, Repl, Role } from './states.ts';
import { withRole } from './uuid-ops.ts';
import { uuidEq, uuidPrimaryBit, uuidUnknown } from './uuid-types.ts';
import type { DeviceContext, PeerContext } from './uuid-types.ts';

export interface DisklessTrust {
  /** outdated: the peer's disk counts as Outdated; retry, disconnect: how the handshake ends. */
  readonly trust: 'ok' | 'outdated' | 'retry' | 'disconnect';
  /** New exposed data UUID, told (P_CURRENT_UUID) to all peers that already got the initial state; null: unchanged. */
  readonly exposedUuid: bigint | null;
  /** It is one generation behind, if at all, and gets ours when it is connected. */
  readonly follows: boolean;
  /** I/O is suspended and on-suspended-primary-outdated may force this Primary to Secondary. */
  readonly maybeForceSecondary: boolean;
}

function result(trust: DisklessTrust['trust'], exposedUuid: bigint | null = null,
  more: Partial<DisklessTrust> = {}): DisklessTrust {
  return { trust, exposedUuid, follows: false, maybeForceSecondary: false, ...more };
}

/** Our generation is an older one of the peer's. */
function isSuccessor(peer: PeerContext, exposed: bigint): boolean {
  const { bitmapUuids, historyUuids } = peer.uuids;
  return bitmapUuids.some((uuid) => uuid !== uuidUnknown && uuidEq(uuid, exposed))
    || historyUuids.some((uuid) => uuidEq(uuid, exposed));
}

/** Is a peer in this generation, or was it? */
export const knows = (peer: PeerContext, uuid: bigint): boolean => uuidEq(peer.uuids.currentUuid, uuid) || isSuccessor(peer, uuid);

/**
 * It was told our generation and has not confirmed it: what it has is still the one before. No write of ours is there that it
 * has acknowledged, and none has ended well without it, for it was lost last. @spec hazards.md 15.2
 */
export function stillBehind({ replaced }: DeviceContext, { overtaken }: PeerContext, uuid: bigint): boolean {
  if (overtaken === 0n) return false;
  const at = replaced.findIndex((old) => uuidEq(old, uuid));
  return uuidEq(uuid, overtaken) || at >= 0 && at <= replaced.findIndex((old) => uuidEq(old, overtaken));
}

/** Of who was told our generation last, and has not confirmed it: what it had is an older one of this peer's. */
const wentOnWithout = ({ peers }: DeviceContext, peer: PeerContext): boolean =>
  peers.some(({ overtaken }) => overtaken !== 0n && isSuccessor(peer, overtaken));

/** May a peer keep its label over the connect? One at a time, while nobody has the data. */
export const mayFollow = (device: DeviceContext, peer: PeerContext): boolean => device.disk === Disk.diskless
  && peer.overtaken !== 0n && device.peers.every((other) => other.nodeId === peer.nodeId || !other.follows && other.pdsk !== Disk.upToDate);

/** The peer's generation is an older one of ours, or of what others have (bit 0 of it counts). */
function isAncestor(device: DeviceContext, peer: PeerContext): boolean {
  const uuid = peer.uuids.currentUuid;
  if (device.replaced.some((old) => uuidEq(old, uuid))) return true;
  const others = device.peers.filter((other) => other.nodeId !== peer.nodeId);
  return others.length > 0 && (others.some((other) => other.uuids.bitmapUuids.includes(uuid))
    || peer.uuids.historyUuids.includes(uuid & ~uuidPrimaryBit));
}

/**
 * The disk that this Primary has lost comes back with a generation that got to nobody who has gone on. Its users have been shown
 * what a peer has ever since, so all that was acknowledged is there, and nothing on that disk is needed.
 */
export function isStray({ role, peers, exposedUuid: exposed }: DeviceContext, lost: bigint, uuid: bigint): boolean {
  if (role !== Role.primary || lost === 0n || !uuidEq(lost, uuid) || uuidEq(exposed, uuid)) return false;
  const connected = peers.filter((peer) => peer.repl >= Repl.established);
  return connected.some((peer) => peer.pdsk === Disk.upToDate && uuidEq(peer.uuids.currentUuid, exposed))
    && !connected.some((peer) => knows(peer, uuid));
}

export function disklessTrust(device: DeviceContext, peer: PeerContext): DisklessTrust {
  const theirs = peer.uuids.currentUuid;
  const exposed = device.exposedUuid;
  const taken = withRole(theirs, device.role);
  if (device.peers.some((other) => other.nodeId !== peer.nodeId && other.follows)) return result('retry');
  if (exposed === 0n) return result('ok', taken);
  if (uuidEq(exposed, theirs)) return result('ok');
  if (isSuccessor(peer, exposed)) {
    return device.role === Role.primary ? result('retry', null, { maybeForceSecondary: true }) : result('ok', taken);
  }
  if (stillBehind(device, peer, theirs)) {
    const { follows } = peer;
    if (!follows || !mayFollow(device, peer)) return result('retry');
    return device.role === Role.primary ? result('ok', null, { follows }) : result('ok', taken);
  }
  if (isAncestor(device, peer)) return result('outdated');
  // Our generation got to nobody, and nobody looks at it any more.
  if (device.role !== Role.primary && wentOnWithout(device, peer)) return result('ok', taken);
  // A disk that is on its way out or in may be what has the data; then the connect is judged by it.
  return result(device.disk === Disk.diskless ? 'disconnect' : 'retry');
}
