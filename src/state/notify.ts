// SPDX-License-Identifier: GPL-2.0-or-later
/** Which objects changed, in causal order: resource, connections, devices, peer devices. @spec state.md 2.4 */
import { peerDeviceChanged, deviceChanged } from './draft.ts';
import type { Effect, Notified } from './effects.ts';
import { pdAt, suspFen } from './facts.ts';
import { connectionInfo, deviceInfo, peerDeviceInfo, resourceInfo } from './info.ts';
import type { View } from './types.ts';

const resourceChanged = (a: View, b: View): boolean =>
  a.resource.role !== b.resource.role || a.resource.suspUser !== b.resource.suspUser || a.resource.suspNod !== b.resource.suspNod
  || a.resource.suspUuid !== b.resource.suspUuid || suspFen(a) !== suspFen(b) || a.resource.suspQuorum !== b.resource.suspQuorum
  || a.resource.failIo !== b.resource.failIo;

export function changedObjects(a: View, b: View): Notified[] {
  const changed: Notified[] = [];
  if (resourceChanged(a, b)) changed.push({ object: 'resource', info: resourceInfo(b) });
  b.connections.forEach((row, c) => {
    const before = a.connections[c]!;
    if (before.cstate !== row.cstate || before.peerRole !== row.peerRole) {
      changed.push({ object: 'connection', nodeId: row.nodeId, info: connectionInfo(row) });
    }
  });
  b.devices.forEach((row, d) => {
    if (deviceChanged(a.devices[d]!, row)) changed.push({ object: 'device', vnr: row.vnr, info: deviceInfo(row) });
  });
  b.devices.forEach((device, d) => b.connections.forEach((_, c) => {
    const row = pdAt(b, d, c);
    const before = pdAt(a, d, c);
    // resync_active alone is not told.
    if (row !== before && peerDeviceChanged({ ...before, resyncActive: row.resyncActive }, row)) {
      changed.push({ object: 'peerDevice', vnr: row.vnr, nodeId: row.nodeId, info: peerDeviceInfo(row, device.disk) });
    }
  }));
  return changed;
}

export function notifyChanges(a: View, b: View, out: Effect[]): void {
  const changed = changedObjects(a, b);
  changed.forEach((object, n) => out.push({ kind: 'notify', object, more: n < changed.length - 1 }));
}
