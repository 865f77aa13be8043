// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Of several UpToDate disks that this node sees, and that do not see each other, which have older data? Genuine DRBD takes each
 * for good.
 */
import { Disk } from './states.ts';
import { uuidEq, uuidJustCreated, uuidUnknown } from './uuid-types.ts';
import type { DeviceContext, PeerContext } from './uuid-types.ts';

interface Data {
  readonly current: bigint;
  /** Generations that it has left behind. */
  readonly left: readonly bigint[];
}

const ofPeer = ({ uuids }: PeerContext): Data => ({ current: uuids.currentUuid, left: [...uuids.bitmapUuids, ...uuids.historyUuids] });
const ofDevice = ({ uuids }: DeviceContext): Data =>
  ({ current: uuids.currentUuid, left: [...uuids.peers.map((slot) => slot.bitmapUuid), ...uuids.historyUuids] });

const isReal = (uuid: bigint): boolean => uuid !== 0n && uuid !== uuidUnknown && !uuidEq(uuid, uuidJustCreated);
const hasLeft = (data: Data, uuid: bigint): boolean => data.left.some((old) => isReal(old) && uuidEq(old, uuid));
const isOlder = (a: Data, b: Data): boolean => isReal(a.current) && isReal(b.current) && !uuidEq(a.current, b.current)
  && hasLeft(b, a.current) && !hasLeft(a, b.current);

const good = (device: DeviceContext): readonly PeerContext[] => device.peers.filter((peer) => peer.pdsk === Disk.upToDate);

/** Has another UpToDate disk gone on from what this peer has? */
export const peerIsOlder = (device: DeviceContext, peer: PeerContext): boolean =>
  (device.disk === Disk.upToDate && isOlder(ofPeer(peer), ofDevice(device)))
  || good(device).some((other) => other.nodeId !== peer.nodeId && isOlder(ofPeer(peer), ofPeer(other)));

export const selfIsOlder = (device: DeviceContext): boolean =>
  device.disk === Disk.upToDate && good(device).some((other) => isOlder(ofDevice(device), ofPeer(other)));
