// SPDX-License-Identifier: GPL-2.0-or-later
/** Objects come and go: the object, its row in the view, its neighbours. Notifications and journal are the caller's. */
import type { DeviceConf, NetConf, ResourceOpts } from '../../genl/config-attrs.ts';
import { PEER_DEVICE_CONF_DEFAULTS, transportClassName } from '../../genl/options.ts';
import { readSockaddr } from '../../genl/address.ts';
import type { BlockDevice } from '../../host/block.ts';
import type { Netns } from '../../host/net.ts';
import { Connection } from '../connection.ts';
import type { NamedPath } from '../connection.ts';
import { Device } from '../device.ts';
import type { Engine } from '../engine.ts';
import { connectionOptions, deviceOptions } from '../options.ts';
import { PeerDevice } from '../peer-device.ts';
import { Resource } from '../resource.ts';

export function addResource(engine: Engine, name: string, opts: ResourceOpts): Resource {
  if (engine.resources.size === 0) engine.host.admin.pin(true);
  const resource = new Resource(engine, name, opts);
  engine.resources.set(name, resource);
  return resource;
}

/** It is empty, and its worker has nothing to do. */
export function removeResource(resource: Resource): void {
  const { engine } = resource;
  resource.close();
  engine.resources.delete(resource.name);
  if (engine.resources.size === 0) engine.host.admin.pin(false);
}

/** Renames without changing the order. */
export function renameResource(resource: Resource, name: string): void {
  const { engine } = resource;
  const all = [...engine.resources.values()];
  engine.resources.clear();
  resource.rename(name);
  for (const each of all) engine.resources.set(each.name, each);
}

export function addDevice(resource: Resource, vnr: number, minor: number, conf: DeviceConf,
  block: BlockDevice): Device {
  const device = new Device(resource, vnr, minor, conf, block);
  insertSorted(resource.devices, vnr, device);
  resource.engine.devicesByMinor.set(minor, device);
  for (const connection of resource.connections.values()) addPeerDevice(connection, device);
  resource.dispatch({ kind: 'addDevice', vnr, minor, options: deviceOptions(null),
    intentionalDiskless: conf.intentionalDiskless, wantBitmap: [] });
  return device;
}

/** Diskless, nothing of it in flight. */
export function removeDevice(device: Device): void {
  const { resource, vnr } = device;
  resource.dispatch({ kind: 'removeDevice', vnr });
  for (const connection of resource.connections.values()) {
    connection.conn.bindVolume(vnr, null);
    connection.peerDevices.delete(vnr);
  }
  resource.devices.delete(vnr);
  resource.engine.devicesByMinor.delete(device.minor);
  device.block.destroy();
  resource.io.removeDevice(device.io);
}

export function addConnection(resource: Resource, nodeId: number, netConf: NetConf): Connection {
  const connection = new Connection(resource, nodeId, netConf);
  resource.connections.set(nodeId, connection);
  for (const device of resource.devices.values()) addPeerDevice(connection, device);
  const options = connectionOptions(netConf);
  resource.dispatch({ kind: 'addConnection', nodeId, name: netConf.name, options, wantBitmap: [] });
  resource.engine.host.admin.transportUse(transportClassName(netConf), true);
  return connection;
}

/** StandAlone, with its clean-up over. */
export function removeConnection(connection: Connection): void {
  const { resource, nodeId } = connection;
  connection.conn.destroy();
  resource.dispatch({ kind: 'removeConnection', nodeId });
  resource.connections.delete(nodeId);
  resource.io.removeConnection(connection.io);
  resource.engine.host.admin.transportUse(transportClassName(connection.netConf), false);
}

function addPeerDevice(connection: Connection, device: Device): void {
  const io = connection.io.peers[device.io.index]!;
  const peerDevice = new PeerDevice(connection, device, io, PEER_DEVICE_CONF_DEFAULTS);
  insertSorted(connection.peerDevices, device.vnr, peerDevice);
}

/** null: one of the addresses is of no known family, or too short. */
export function newPath(myAddr: Uint8Array, peerAddr: Uint8Array, netns: Netns): NamedPath | null {
  const local = readSockaddr(myAddr);
  const peer = readSockaddr(peerAddr);
  if (!local || !peer) return null;
  return { path: { local, peer, netns }, myAddr: myAddr.slice(), peerAddr: peerAddr.slice(), established: false };
}

export function addPath(connection: Connection, path: NamedPath): void {
  connection.paths.push(path);
  connection.conn.addPath(path.path);
  connection.resource.dispatch({ kind: 'connectionFacts', nodeId: connection.nodeId, facts: { hasPath: true } });
}

export function removePath(connection: Connection, path: NamedPath): void {
  connection.paths = connection.paths.filter((each) => each !== path);
  connection.conn.removePath(path.path);
  const hasPath = connection.paths.length > 0;
  connection.resource.dispatch({ kind: 'connectionFacts', nodeId: connection.nodeId, facts: { hasPath } });
}

function insertSorted<V>(map: Map<number, V>, key: number, value: V): void {
  const entries = [...map, [key, value] as const].sort(([a], [b]) => a - b);
  map.clear();
  for (const [k, v] of entries) map.set(k, v);
}
