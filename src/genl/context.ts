// SPDX-License-Identifier: GPL-2.0-or-later
import { Err } from './codes.ts';
import type { Need } from './ops.ts';
import type { Reply } from './reply.ts';
import { refusal } from './reply.ts';
import type { Request } from './request.ts';

export const NODE_ID_MAX = 32;

/** How the control layer's objects are found. All of it is side-effect free. */
export interface Objects<R, D, C, P> {
  resource(name: string): R | undefined;
  device(minor: number): D | undefined;
  nodeId(resource: R): number;
  connection(resource: R, peerNodeId: number): C | undefined;
  peerDevice(connection: C, volume: number): P | undefined;
  deviceOf(peerDevice: P): D;
  resourceOf(device: D): R;
  volumeOf(device: D): number;
}

/** What a request names; what its op needs is there. */
export interface Named<R, D, C, P> {
  readonly resource: R | undefined;
  readonly device: D | undefined;
  readonly connection: C | undefined;
  readonly peerDevice: P | undefined;
}

export type Resolved<R, D, C, P> = { readonly named: Named<R, D, C, P> } | { readonly refused: Reply };

/** Each need includes the ones before it, 'minor' apart. */
const CHAIN: readonly Need[] = ['nothing', 'resource', 'peerNode', 'connection', 'peerDevice'];
const needs = (need: Need, what: Need) => need !== 'minor' && CHAIN.indexOf(need) >= CHAIN.indexOf(what);

/** All ones stands for "not given", as if the field were absent. */
const UNSPECIFIED = 0xffff_ffff;
const given = (value: number | undefined) => value === UNSPECIFIED ? undefined : value;

const invalid = (text: string) => ({ refused: refusal(Err.INVALID_REQUEST, text) });

/**
 * Finds what the request names, or says what is wrong with it, in genuine's order.
 * @spec genetlink.md 2.1 (5 to 9)
 */
export function resolve<R, D, C, P>(request: Request, objects: Objects<R, D, C, P>): Resolved<R, D, C, P> {
  const { context: { resourceName }, op: { need } } = request;
  const volume = given(request.context.volume);
  const peerNodeId = given(request.context.peerNodeId);
  const resource = resourceName === undefined ? undefined : objects.resource(resourceName);
  let device = objects.device(request.minor);

  if (device === undefined && need === 'minor') return { refused: refusal(Err.MINOR_INVALID, 'unknown minor') };
  if (resource === undefined && needs(need, 'resource')) {
    const code = resourceName === undefined ? Err.INVALID_REQUEST : Err.RES_NOT_KNOWN;
    return { refused: refusal(code, 'unknown resource') };
  }
  let connection: C | undefined;
  if (peerNodeId !== undefined) {
    if (peerNodeId >= NODE_ID_MAX) return invalid('peer node id out of range');
    if (resource === undefined) return invalid('peer node id given without a resource');
    if (peerNodeId === objects.nodeId(resource)) return invalid('peer node id cannot be my own node id');
    connection = objects.connection(resource, peerNodeId);
  } else if (needs(need, 'peerNode')) {
    return invalid('peer node id missing');
  }
  if (connection === undefined && needs(need, 'connection')) return invalid('unknown connection');
  let peerDevice: P | undefined;
  if (needs(need, 'peerDevice')) {
    peerDevice = volume === undefined ? undefined : objects.peerDevice(connection!, volume);
    if (peerDevice === undefined) return invalid('unknown volume');
    device ??= objects.deviceOf(peerDevice);
  }
  if (device !== undefined) {
    const owner = objects.resourceOf(device);
    if (resource !== undefined && owner !== resource) return invalid('minor exists in different resource');
    if (volume !== undefined && volume !== objects.volumeOf(device)) return invalid('minor exists as different volume');
    if (peerDevice !== undefined && objects.deviceOf(peerDevice) !== device) {
      return invalid('peer_device->device != device');
    }
    return { named: { resource: owner, device, connection, peerDevice } };
  }
  return { named: { resource, device, connection, peerDevice } };
}
