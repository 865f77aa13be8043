// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Before this node shows data to anybody: UpToDate disks that others are known to have gone on from count as Outdated, the own
 * one as well. Before a promotion no generation is on its way, so what is older is not merely late. docs/differences.md
 */
import type { Change } from '../state/events.ts';
import { Cs, Disk, Role } from '../state/states.ts';
import { peerIsOlder, selfIsOlder } from '../state/uuid-older.ts';
import { uuidEq } from '../state/uuid-types.ts';
import type { Device } from './device.ts';
import type { PeerDevice } from './peer-device.ts';
import type { Resource } from './resource.ts';
import { deviceContext, peerContext, peerDevicesOf } from './uuids.ts';

export function leaveOlderData(resource: Resource): void {
  const { role } = resource.view.resource;
  if (role === Role.primary || resource.view.connections.some((c) => c.peerRole === Role.primary)) return;
  const changes = [...resource.devices.values()].flatMap(olderDisks);
  if (changes.length === 0) return;
  resource.dispatch({ kind: 'change', request: 0, tag: 'older-data', flags: Cs.hard | Cs.verbose, changes });
}

function olderDisks(device: Device): Change[] {
  const { vnr } = device;
  const context = deviceContext(device);
  const older = peerDevicesOf(device).filter((pd) => peerContext(pd).pdsk === Disk.upToDate && peerIsOlder(context, peerContext(pd)));
  const changes = older.map(countAsOlder);
  return selfIsOlder(context) ? [...changes, { set: 'disk', vnr, disk: Disk.outdated }] : changes;
}

/** Until it tells another generation: its own word "UpToDate" is no news. */
export function countAsOlder(pd: PeerDevice): Change {
  pd.older = pd.uuids?.currentUuid ?? 0n;
  return { set: 'pdsk', vnr: pd.device.vnr, nodeId: pd.connection.nodeId, pdsk: Disk.outdated };
}

/** It has told no other generation since. */
export const isKnownOlder = ({ older, uuids }: PeerDevice): boolean =>
  older !== 0n && uuids !== null && uuidEq(uuids.currentUuid, older);
