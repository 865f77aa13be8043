// SPDX-License-Identifier: GPL-2.0-or-later
/** Objects come and go; CREATE and DESTROY notifications are the caller's. @spec state.md 7.9 */
import type { Event } from './events.ts';
import { Disk, PeerFlag, isSyncTarget } from './states.ts';
import type { DeviceRow, PeerDeviceRow, View } from './types.ts';
import { connectionIndex, deviceIndex, newConnection, newDevice, newPeerDevice } from './view.ts';

type Of<Kind extends Event['kind']> = Event & { readonly kind: Kind };

/** A peer device of a new object: what the meta-data remember of the peer counts. */
function freshPeerDevice(view: View, device: DeviceRow, nodeId: number, wantBitmap: boolean): PeerDeviceRow {
  const outdated = device.md !== null && (device.md.slots[nodeId]!.flags & PeerFlag.outdated) !== 0;
  const targetElsewhere = view.peerDevices.some((pd) => pd.vnr === device.vnr && isSyncTarget(pd.repl));
  return newPeerDevice(device.vnr, nodeId, wantBitmap, outdated ? Disk.outdated : Disk.unknown, targetElsewhere);
}

const after = <Row>(rows: readonly Row[], larger: (row: Row) => boolean): number => {
  const at = rows.findIndex(larger);
  return at < 0 ? rows.length : at;
};

/** The same view if there is one of that volume already. */
export function addDevice(view: View, event: Of<'addDevice'>): View {
  if (deviceIndex(view, event.vnr) >= 0) return view;
  const device = newDevice(event.vnr, event.minor, event.options, event.intentionalDiskless, view.resource.options.quorum === 0);
  const at = after(view.devices, (row) => row.vnr > event.vnr);
  const rows = view.connections.map(({ nodeId }) =>
    freshPeerDevice(view, device, nodeId, event.wantBitmap.find((w) => w.nodeId === nodeId)?.wantBitmap ?? true));
  return { ...view, devices: view.devices.toSpliced(at, 0, device),
    peerDevices: view.peerDevices.toSpliced(at * view.connections.length, 0, ...rows) };
}

export function removeDevice(view: View, event: Of<'removeDevice'>): View {
  const d = deviceIndex(view, event.vnr);
  if (d < 0) return view;
  const connections = view.connections.length;
  return { ...view, devices: view.devices.toSpliced(d, 1), peerDevices: view.peerDevices.toSpliced(d * connections, connections) };
}

export function addConnection(view: View, event: Of<'addConnection'>): View {
  if (connectionIndex(view, event.nodeId) >= 0) return view;
  const at = after(view.connections, (row) => row.nodeId > event.nodeId);
  const connections = view.connections.toSpliced(at, 0, newConnection(event.nodeId, event.name, event.options));
  const peerDevices = view.devices.flatMap((device, d) => {
    const before = view.peerDevices.slice(d * view.connections.length, (d + 1) * view.connections.length);
    const wantBitmap = event.wantBitmap.find((w) => w.vnr === device.vnr)?.wantBitmap ?? true;
    return before.toSpliced(at, 0, freshPeerDevice(view, device, event.nodeId, wantBitmap));
  });
  return { ...view, connections, peerDevices };
}

export function removeConnection(view: View, event: Of<'removeConnection'>): View {
  const c = connectionIndex(view, event.nodeId);
  if (c < 0) return view;
  return { ...view, connections: view.connections.toSpliced(c, 1),
    peerDevices: view.peerDevices.filter((pd) => pd.nodeId !== event.nodeId),
    waiting: view.waiting.filter((w) => w.from !== event.nodeId) };
}
