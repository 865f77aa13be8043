// SPDX-License-Identifier: GPL-2.0-or-later
/** Objects as netlink shows them, with the state of this moment or with the one that a change had. */
import * as genl from '../genl/info-attrs.ts';
import type { ConnectionShown, DeviceShown, PathShown, PeerDeviceShown, ResourceShown } from '../genl/snapshot.ts';
import * as state from '../state/info.ts';
import type { Connection, NamedPath } from './connection.ts';
import type { Device } from './device.ts';
import type { PeerDevice } from './peer-device.ts';
import type { Resource } from './resource.ts';
import { connectionStatistics, deviceStatistics, peerDeviceStatistics, resourceStatistics } from './statistics.ts';

export function resourceShown(resource: Resource, info: state.ResourceInfo): ResourceShown {
  return {
    name: resource.name,
    info: { resRole: info.role, resSusp: info.susp, resSuspNod: info.suspNod, resSuspFen: info.suspFen,
      resSuspQuorum: info.suspQuorum, resFailIo: info.failIo } satisfies genl.ResourceInfo,
    statistics: resourceStatistics(resource),
  };
}

export function deviceShown(device: Device, info: state.DeviceInfo): DeviceShown {
  return {
    minor: device.minor,
    volume: device.vnr,
    info: { devDiskState: info.disk, isIntentionalDiskless: info.intentionalDiskless, devHasQuorum: info.haveQuorum,
      devIsOpen: info.open, backingDevPath: device.disk?.conf.backingDev ?? '' } satisfies genl.DeviceInfo,
    statistics: deviceStatistics(device),
  };
}

export function connectionShown(connection: Connection, info: state.ConnectionInfo): ConnectionShown {
  return {
    peerNodeId: connection.nodeId,
    name: connection.name,
    info: { connConnectionState: info.cstate, connRole: info.peerRole } satisfies genl.ConnectionInfo,
    statistics: connectionStatistics(connection),
    paths: connection.paths.map(pathShown),
  };
}

export const pathShown = ({ myAddr, peerAddr, established }: NamedPath): PathShown =>
  ({ myAddr, peerAddr, info: { pathEstablished: established } });

export function peerDeviceShown(peerDevice: PeerDevice, info: state.PeerDeviceInfo): PeerDeviceShown {
  return {
    volume: peerDevice.device.vnr,
    info: { peerReplState: info.repl, peerDiskState: info.pdsk, peerResyncSuspUser: Number(info.suspUser),
      peerResyncSuspPeer: Number(info.suspPeer), peerResyncSuspDependency: Number(info.suspDependency),
      peerIsIntentionalDiskless: info.intentionalDiskless } satisfies genl.PeerDeviceInfo,
    statistics: peerDeviceStatistics(peerDevice),
  };
}

export const resourceNow = (resource: Resource): ResourceShown =>
  resourceShown(resource, state.resourceInfo(resource.view));

export const deviceNow = (device: Device): DeviceShown =>
  deviceShown(device, state.deviceInfo(device.resource.deviceRow(device.vnr)));

export const connectionNow = (connection: Connection): ConnectionShown =>
  connectionShown(connection, state.connectionInfo(connection.resource.connectionRow(connection.nodeId)));

export function peerDeviceNow(peerDevice: PeerDevice): PeerDeviceShown {
  const { device: { resource, vnr }, connection: { nodeId } } = peerDevice;
  const row = resource.peerDeviceRow(vnr, nodeId);
  return peerDeviceShown(peerDevice, state.peerDeviceInfo(row, resource.deviceRow(vnr).disk));
}
