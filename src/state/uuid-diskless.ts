// SPDX-License-Identifier: GPL-2.0-or-later
/** A diskless node meets a peer that says UpToDate: are these the data it has shown to its users? @spec state.md 9.6 */
import { Role } from './states.ts';
import { withRole } from './uuid-ops.ts';
import { uuidEq, uuidPrimaryBit, uuidUnknown } from './uuid-types.ts';
import type { DeviceContext, PeerContext } from './uuid-types.ts';

export interface DisklessTrust {
  /** outdated: the peer's disk counts as Outdated; retry, disconnect: how the handshake ends. */
  readonly trust: 'ok' | 'outdated' | 'retry' | 'disconnect';
  /** New exposed data UUID, told (P_CURRENT_UUID) to all peers that already got the initial state; null: unchanged. */
  readonly exposedUuid: bigint | null;
  /** I/O is suspended and on-suspended-primary-outdated may force this Primary to Secondary. */
  readonly maybeForceSecondary: boolean;
}

function result(trust: DisklessTrust['trust'], exposedUuid: bigint | null = null,
  maybeForceSecondary = false): DisklessTrust {
  return { trust, exposedUuid, maybeForceSecondary };
}

/** Our generation is an older one of the peer's. */
function isSuccessor(peer: PeerContext, exposed: bigint): boolean {
  const { bitmapUuids, historyUuids } = peer.uuids;
  return bitmapUuids.some((uuid) => uuid !== uuidUnknown && uuidEq(uuid, exposed))
    || historyUuids.some((uuid) => uuidEq(uuid, exposed));
}

/** The peer's generation is an older one of what others have (bit 0 of it counts). */
function isAncestor(device: DeviceContext, peer: PeerContext): boolean {
  const uuid = peer.uuids.currentUuid;
  const others = device.peers.filter((other) => other.nodeId !== peer.nodeId);
  return others.length > 0 && (others.some((other) => other.uuids.bitmapUuids.includes(uuid))
    || peer.uuids.historyUuids.includes(uuid & ~uuidPrimaryBit));
}

export function disklessTrust(device: DeviceContext, peer: PeerContext): DisklessTrust {
  const theirs = peer.uuids.currentUuid;
  const exposed = device.exposedUuid;
  const taken = withRole(theirs, device.role);
  if (exposed === 0n) return result('ok', taken);
  if (uuidEq(exposed, theirs)) return result('ok');
  if (isSuccessor(peer, exposed)) {
    return device.role === Role.primary ? result('retry', null, true) : result('ok', taken);
  }
  return isAncestor(device, peer) ? result('outdated') : result('disconnect');
}
