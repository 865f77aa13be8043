// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import { encodeStruct } from './codec.ts';
import { Err } from './codes.ts';
import type { CfgContext } from './command-attrs.ts';
import { deviceConf, diskConf, netConf, peerDeviceConf, resourceOpts } from './config-attrs.ts';
import { connectionInfo, connectionStatistics, deviceInfo, deviceStatistics, pathInfo, peerDeviceInfo,
  peerDeviceStatistics, resourceInfo, resourceStatistics } from './info-attrs.ts';
import { message, NLM_F_MULTI, NO_MINOR } from './message.ts';
import type { Notification } from './notify.ts';
import { encodeInitialStateDone, encodeNotification, Notify } from './notify.ts';
import { Cmd } from './ops.ts';
import type { Request } from './request.ts';
import type { Nest } from './schema.ts';
import { connectionContext, deviceContext, pathContext, peerDeviceContext, putContext, putPathList,
  resourceContext } from './shown.ts';
import type { ConnectionSnapshot, DeviceSnapshot, PeerDeviceSnapshot, ResourceSnapshot,
  SnapshotSource } from './snapshot.ts';
import type { Writer } from './tlv.ts';

type Put = (minor: number, context: CfgContext, body: (w: Writer) => void) => void;

/**
 * The whole answer of a dump request, one object a message, without NLMSG_DONE.
 * An unknown resource as filter is one message with code 158.
 * @spec genetlink.md 3
 */
export function answerDump(request: Request, source: SnapshotSource): Uint8Array[] {
  assert(request.op.kind === 'dump', 'only a dump is answered by a dump');
  const { header, op } = request;
  if (op.cmd === Cmd.GET_INITIAL_STATE) return initialState(request, source.snapshot());
  if (op.cmd === Cmd.GET_RESOURCES) {
    return collect(request, (put) => source.snapshot().forEach((resource) => putResource(put, resource)));
  }
  const filter = request.context.resourceName;
  const resources = source.snapshot(filter);
  if (filter !== undefined && resources.length === 0) {
    return [message(header, NLM_F_MULTI, header.cmd, NO_MINOR, Err.RES_NOT_KNOWN)];
  }
  return collect(request, (put) => putObjects(put, request, resources, filter !== undefined));
}

function collect({ header }: Request, run: (put: Put) => void): Uint8Array[] {
  const messages: Uint8Array[] = [];
  run((minor, context, body) => {
    messages.push(message(header, NLM_F_MULTI, header.cmd, minor, Err.NO_ERROR, (w) => {
      putContext(w, context);
      body(w);
    }));
  });
  return messages;
}

function putObjects(put: Put, request: Request, resources: readonly ResourceSnapshot[], filtered: boolean) {
  switch (request.op.cmd) {
    case Cmd.GET_DEVICES:
      for (const [resource, device] of devicesOf(resources, filtered)) putDevice(put, resource, device);
      break;
    case Cmd.GET_CONNECTIONS:
      for (const [resource, connection] of connectionsOf(resources)) {
        putConnection(put, resource, connection, request.sender.capable);
      }
      break;
    case Cmd.GET_PEER_DEVICES:
      for (const [resource, device] of devicesOf(resources, filtered)) {
        for (const [connection, peerDevice] of peersOf(resource, device)) {
          // A quirk of genuine's, kept: with a filter the header's minor is the volume.
          putPeerDevice(put, filtered ? device.volume : device.minor, resource, connection, peerDevice);
        }
      }
      break;
    case Cmd.GET_PATHS:
      for (const [resource, connection] of connectionsOf(resources)) putPaths(put, resource, connection);
      break;
    default:
      assert(false, 'every dump command is served');
  }
}

/** Of one resource by volume, of all by minor. */
function devicesOf(resources: readonly ResourceSnapshot[], filtered: boolean): [ResourceSnapshot, DeviceSnapshot][] {
  const all = resources.flatMap((resource) =>
    resource.devices.map((device): [ResourceSnapshot, DeviceSnapshot] => [resource, device]));
  return filtered ? all : all.sort(([, a], [, b]) => a.minor - b.minor);
}

const connectionsOf = (resources: readonly ResourceSnapshot[]) => resources.flatMap((resource) =>
  resource.connections.map((connection): [ResourceSnapshot, ConnectionSnapshot] => [resource, connection]));

/** A device's peer devices, in the order of connections. */
function peersOf(resource: ResourceSnapshot, device: DeviceSnapshot): [ConnectionSnapshot, PeerDeviceSnapshot][] {
  return resource.connections.flatMap((connection) => connection.peerDevices
    .filter((peerDevice) => peerDevice.volume === device.volume)
    .map((peerDevice): [ConnectionSnapshot, PeerDeviceSnapshot] => [connection, peerDevice]));
}

function putResource(put: Put, resource: ResourceSnapshot) {
  put(NO_MINOR, resourceContext(resource.name), (w) => {
    encodeStruct(w, resourceOpts, resource.opts);
    encodeStruct(w, resourceInfo, resource.info);
    encodeStruct(w, resourceStatistics, resource.statistics);
  });
}

function putDevice(put: Put, resource: ResourceSnapshot, device: DeviceSnapshot) {
  put(device.minor, deviceContext(resource.name, device.volume), (w) => {
    if (device.diskConf !== null) encodeStruct(w, diskConf, device.diskConf);
    encodeStruct(w, deviceConf, device.conf);
    encodeStruct(w, deviceInfo, device.info);
    encodeStruct(w, deviceStatistics, device.statistics);
  });
}

const sensitiveFields = (nest: Nest): ReadonlySet<string> =>
  new Set(nest.list.filter(([, field]) => field.sensitive).map(([key]) => key));
const SECRETS = sensitiveFields(netConf);

function putConnection(put: Put, resource: ResourceSnapshot, connection: ConnectionSnapshot, capable: boolean) {
  put(NO_MINOR, connectionContext(resource.name, connection), (w) => {
    encodeStruct(w, netConf, connection.netConf, capable ? undefined : SECRETS);
    putPathList(w, connection.paths);
    encodeStruct(w, connectionInfo, connection.info);
    encodeStruct(w, connectionStatistics, connection.statistics);
  });
}

function putPeerDevice(put: Put, minor: number, resource: ResourceSnapshot, connection: ConnectionSnapshot,
  peerDevice: PeerDeviceSnapshot) {
  put(minor, peerDeviceContext(resource.name, connection, peerDevice.volume), (w) => {
    encodeStruct(w, peerDeviceInfo, peerDevice.info);
    encodeStruct(w, peerDeviceStatistics, peerDevice.statistics);
    encodeStruct(w, peerDeviceConf, peerDevice.opts);
  });
}

function putPaths(put: Put, resource: ResourceSnapshot, connection: ConnectionSnapshot) {
  for (const path of connection.paths) {
    put(NO_MINOR, pathContext(resource.name, connection, path), (w) => encodeStruct(w, pathInfo, path.info));
  }
}

/**
 * Everything as EXISTS notifications, numbered by the request and addressed to nobody.
 * @spec genetlink.md 3.1
 */
function initialState({ header }: Request, resources: readonly ResourceSnapshot[]): Uint8Array[] {
  const envelope = { type: header.type, seq: header.seq, portid: 0 };
  const messages = resources.flatMap((resource) => {
    const events = existing(resource);
    return events.map((event, i) => encodeNotification(envelope, { ...event, continues: i < events.length - 1 }));
  });
  return [...messages, encodeInitialStateDone(envelope)];
}

function existing(resource: ResourceSnapshot): Notification[] {
  const type = Notify.exists;
  const resourceName = resource.name;
  return [
    { kind: 'resource', type, resource },
    ...resource.connections.map((connection): Notification => ({ kind: 'connection', type, resourceName, connection })),
    ...resource.connections.flatMap((connection) =>
      connection.paths.map((path): Notification => ({ kind: 'path', type, resourceName, connection, path }))),
    ...resource.devices.map((device): Notification => ({ kind: 'device', type, resourceName, device })),
    ...resource.devices.flatMap((device) => peersOf(resource, device)
      .map(([connection, peerDevice]): Notification =>
        ({ kind: 'peerDevice', type, resourceName, connection, peerDevice }))),
  ];
}
