// SPDX-License-Identifier: GPL-2.0-or-later
/** A resource as dumps show it: plain values of one moment. @spec genetlink.md 3 */
import type { ConnectionSnapshot, DeviceSnapshot, PeerDeviceSnapshot, ResourceSnapshot } from '../genl/snapshot.ts';
import { Disk } from '../state/states.ts';
import type { Connection } from './connection.ts';
import type { Device } from './device.ts';
import type { PeerDevice } from './peer-device.ts';
import type { Resource } from './resource.ts';
import { connectionNow, deviceNow, peerDeviceNow, resourceNow } from './shown.ts';

export const snapshotOf = (resource: Resource): ResourceSnapshot => ({
  ...resourceNow(resource),
  opts: resource.opts,
  devices: [...resource.devices.values()].map(deviceSnapshot),
  connections: [...resource.connections.values()].map(connectionSnapshot),
});

function deviceSnapshot(device: Device): DeviceSnapshot {
  const { disk } = device.resource.deviceRow(device.vnr);
  return { ...deviceNow(device), conf: device.conf, diskConf: disk >= Disk.failed ? device.disk?.conf ?? null : null };
}

const connectionSnapshot = (connection: Connection): ConnectionSnapshot => ({
  ...connectionNow(connection),
  netConf: connection.netConf,
  peerDevices: [...connection.peerDevices.values()].map(peerDeviceSnapshot),
});

const peerDeviceSnapshot = (peerDevice: PeerDevice): PeerDeviceSnapshot =>
  ({ ...peerDeviceNow(peerDevice), opts: peerDevice.conf });
