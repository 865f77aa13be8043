// SPDX-License-Identifier: GPL-2.0-or-later
import type { Objects } from '../../../src/genl/context.ts';

/** A few objects to be named by requests. */
export interface R { name: string; nodeId: number; connections: C[]; devices: D[] }
export interface C { peerNodeId: number; resource: R }
export interface D { minor: number; volume: number; resource: R }
export interface P { connection: C; device: D }

export function resource(name: string, nodeId: number, peers: number[], devices: [volume: number, minor: number][]): R {
  const made: R = { name, nodeId, connections: [], devices: [] };
  made.connections = peers.map((peerNodeId) => ({ peerNodeId, resource: made }));
  made.devices = devices.map(([volume, minor]) => ({ volume, minor, resource: made }));
  return made;
}

export const objectsOf = (resources: R[]): Objects<R, D, C, P> => ({
  resource: (name) => resources.find((each) => each.name === name),
  device: (minor) => resources.flatMap((each) => each.devices).find((each) => each.minor === minor),
  nodeId: (each) => each.nodeId,
  connection: (each, peerNodeId) => each.connections.find((connection) => connection.peerNodeId === peerNodeId),
  peerDevice: (connection, volume) => {
    const device = connection.resource.devices.find((each) => each.volume === volume);
    return device && { connection, device };
  },
  deviceOf: (peerDevice) => peerDevice.device,
  resourceOf: (device) => device.resource,
  volumeOf: (device) => device.volume,
});
