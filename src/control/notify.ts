// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Notifications of objects. The relay delivers in order and numbers them; a transaction gives at most one for each of
 * its rows, so nothing is paced here.
 * @spec genetlink.md 5, state.md 2.4
 */
import type { Admin } from '../host/admin.ts';
import type { HelperNotification, Notification } from '../genl/notify.ts';
import { encodeNotification, Notify } from '../genl/notify.ts';
import { Notifier as Multicast } from '../genl/notifier.ts';
import type { Notified } from '../state/effects.ts';
import type { Connection, NamedPath } from './connection.ts';
import type { Device } from './device.ts';
import type { About } from './helpers.ts';
import type { PeerDevice } from './peer-device.ts';
import type { Resource } from './resource.ts';
import { connectionNow, connectionShown, deviceNow, deviceShown, pathShown, peerDeviceNow, peerDeviceShown, resourceNow,
  resourceShown } from './shown.ts';

type Lifecycle = typeof Notify.create | typeof Notify.change | typeof Notify.destroy;

export class Notifier {
  readonly #admin: Admin;
  readonly #multicast: Multicast;
  /** While what an earlier engine left is taken over nobody is told of the steps. */
  readonly #muted = new Set<Resource>();

  constructor(admin: Admin) {
    this.#admin = admin;
    this.#multicast = new Multicast(admin.family, (message) => admin.multicast(message));
  }

  mute(resource: Resource, on: boolean): void {
    if (on) this.#muted.add(resource);
    else this.#muted.delete(resource);
  }

  /** The effect `notify`; `more`: the next one belongs to the same change. An object that has gone is not told of. */
  notify(resource: Resource, object: Notified, more: boolean): void {
    const event = changed(resource, object);
    if (event === null || this.#muted.has(resource)) return;
    const envelope = { type: this.#admin.family, seq: 0, portid: 0 };
    this.#admin.multicast(encodeNotification(envelope, { ...event, continues: more }));
  }

  resourceCreated(resource: Resource): void { this.#tell(resource, ofResource(Notify.create, resource)); }
  resourceDestroyed(resource: Resource): void { this.#tell(resource, ofResource(Notify.destroy, resource)); }
  /** The resource still has its old name. */
  resourceRenamed(resource: Resource, newName: string): void {
    this.#tell(resource, { kind: 'resource', type: Notify.rename, resource: resourceNow(resource), newName });
  }

  /** With its peer devices, as connectionCreated: parents first. */
  deviceCreated(device: Device): void {
    this.#tell(device.resource, ofDevice(Notify.create, device),
      ...peersOf(device).map((pd) => ofPeerDevice(Notify.create, pd)));
  }
  connectionCreated(connection: Connection): void {
    this.#tell(connection.resource, ofConnection(Notify.create, connection),
      ...[...connection.peerDevices.values()].map((pd) => ofPeerDevice(Notify.create, pd)));
  }

  /** Children first. */
  deviceDestroyed(device: Device): void {
    this.#tell(device.resource, ...peersOf(device).map((pd) => ofPeerDevice(Notify.destroy, pd)),
      ofDevice(Notify.destroy, device));
  }
  connectionDestroyed(connection: Connection): void {
    const peerDevices = [...connection.peerDevices.values()];
    this.#tell(connection.resource, ...peerDevices.map((pd) => ofPeerDevice(Notify.destroy, pd)),
      ofConnection(Notify.destroy, connection));
  }

  pathCreated(connection: Connection, path: NamedPath): void {
    this.#tell(connection.resource, ofPath(Notify.create, connection, path));
  }
  /** Behind what the worker has still to tell, so that listeners see the order of causes. */
  pathChanged(connection: Connection, path: NamedPath): void {
    const event = ofPath(Notify.change, connection, path);
    connection.resource.worker.flush(() => this.#tell(connection.resource, event));
  }
  pathDestroyed(connection: Connection, path: NamedPath): void {
    this.#tell(connection.resource, ofPath(Notify.destroy, connection, path));
  }

  /** Progress of a resync: statistics are new, the state is not. */
  peerDeviceChanged(peerDevice: PeerDevice): void {
    this.#tell(peerDevice.device.resource, ofPeerDevice(Notify.change, peerDevice));
  }

  /** Everything of a resource as it is now, as one change: what listeners know may be out of date. */
  everythingChanged(resource: Resource): void {
    const devices = [...resource.devices.values()];
    const connections = [...resource.connections.values()];
    this.#tell(resource, ofResource(Notify.change, resource), ...connections.map((c) => ofConnection(Notify.change, c)),
      ...devices.map((d) => ofDevice(Notify.change, d)),
      ...devices.flatMap(peersOf).map((pd) => ofPeerDevice(Notify.change, pd)));
    for (const connection of connections) for (const path of connection.paths) this.pathChanged(connection, path);
  }

  helperCalled(resource: Resource, about: About, name: string): void {
    this.#tell(resource, ofHelper(Notify.call, resource, about, name, 0));
  }
  /** status: raw wait status, or -errno. */
  helperEnded(resource: Resource, about: About, name: string, status: number): void {
    this.#tell(resource, ofHelper(Notify.response, resource, about, name, status));
  }

  /** One change: all but the last are marked as continued. */
  #tell(resource: Resource, ...events: readonly Notification[]): void {
    if (!this.#muted.has(resource)) this.#multicast.notify(...events);
  }
}

const named = ({ nodeId, name }: Connection): { peerNodeId: number; name: string } => ({ peerNodeId: nodeId, name });

const peersOf = ({ resource, vnr }: Device): PeerDevice[] =>
  [...resource.connections.values()].flatMap((connection) => connection.peerDevices.get(vnr) ?? []);

const ofResource = (type: Lifecycle, resource: Resource): Notification =>
  ({ kind: 'resource', type, resource: resourceNow(resource) });

const ofDevice = (type: Lifecycle, device: Device): Notification =>
  ({ kind: 'device', type, resourceName: device.resource.name, device: deviceNow(device) });

const ofConnection = (type: Lifecycle, connection: Connection): Notification =>
  ({ kind: 'connection', type, resourceName: connection.resource.name, connection: connectionNow(connection) });

const ofPath = (type: Lifecycle, connection: Connection, path: NamedPath): Notification =>
  ({ kind: 'path', type, resourceName: connection.resource.name, connection: named(connection),
    path: pathShown(path) });

const ofPeerDevice = (type: Lifecycle, peerDevice: PeerDevice): Notification =>
  ({ kind: 'peerDevice', type, resourceName: peerDevice.device.resource.name, connection: named(peerDevice.connection),
    peerDevice: peerDeviceNow(peerDevice) });

function ofHelper(type: HelperNotification['type'], resource: Resource, { device, connection }: About, name: string,
  status: number): HelperNotification {
  return { kind: 'helper', type, resourceName: resource.name, name, status,
    ...(connection && { connection: named(connection) }),
    ...(device && { device: { minor: device.minor, volume: device.vnr } }) };
}

function changed(resource: Resource, object: Notified): Notification | null {
  const type = Notify.change;
  const resourceName = resource.name;
  switch (object.object) {
    case 'resource': return { kind: 'resource', type, resource: resourceShown(resource, object.info) };
    case 'device': {
      const device = resource.devices.get(object.vnr);
      return device ? { kind: 'device', type, resourceName, device: deviceShown(device, object.info) } : null;
    }
    case 'connection': {
      const connection = resource.connections.get(object.nodeId);
      if (!connection) return null;
      return { kind: 'connection', type, resourceName, connection: connectionShown(connection, object.info) };
    }
    case 'peerDevice': {
      const connection = resource.connections.get(object.nodeId);
      const peerDevice = connection?.peerDevices.get(object.vnr);
      return peerDevice ? { kind: 'peerDevice', type, resourceName, connection: named(connection!),
        peerDevice: peerDeviceShown(peerDevice, object.info) } : null;
    }
  }
}
