// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * With its engine a Primary without good data of its own forgets which writes may still be in the memory of a peer only. Who has been
 * up ever since says so (RECONNECT): a witness. Who was down may have lost writes that were answered, and has the same generation.
 */
import { dataAccessible } from '../state/facts.ts';
import type { NodeMask } from '../state/types.ts';
import { Disk, Role, UuidFlag } from '../state/states.ts';
import { uuidEq } from '../state/uuid-types.ts';
import { bit, deviceIndex } from '../state/view.ts';
import type { Device } from './device.ts';
import type { PeerDevice } from './peer-device.ts';
import { newCurrentUuid } from './uuids.ts';

/** Of the generation that the dead engine has shown last. */
export interface Witnesses {
  readonly generation: bigint;
  /** Had the data then, and were not met since. */
  awaited: NodeMask;
  /** A witness has come: the data are those that it has. */
  found: boolean;
}

export function awaitWitnesses(device: Device, nodeIds: readonly number[]): void {
  const { exposedUuid } = device.resource.deviceRow(device.vnr);
  device.witnesses = nodeIds.length < 2 ? null
    : { generation: exposedUuid, awaited: nodeIds.reduce((mask, n) => mask | bit(n), 0n), found: false };
}

const wasUp = ({ uuids }: PeerDevice): boolean => uuids !== null && (uuids.flags & UuidFlag.reconnect) !== 0;

function inDoubt({ resource, vnr, witnesses }: Device): Witnesses | null {
  const isCurrent = witnesses !== null && uuidEq(witnesses.generation, resource.deviceRow(vnr).exposedUuid);
  return isCurrent && resource.view.resource.role === Role.primary ? witnesses : null;
}

/** It was down, and a witness has come or may still come. */
export function isDoubted(pd: PeerDevice): boolean {
  const { device, connection: { nodeId }, uuids } = pd;
  const doubt = inDoubt(device);
  if (doubt === null || uuids === null || !uuidEq(uuids.currentUuid, doubt.generation) || wasUp(pd)) return false;
  return doubt.found || [...device.resource.connections.keys()].some((n) => n !== nodeId && (doubt.awaited & bit(n)) !== 0n);
}

/** Its handshake has told what it has. */
export function met(pd: PeerDevice): void {
  const { device, connection: { nodeId }, uuids } = pd;
  const doubt = inDoubt(device);
  if (doubt === null) return;
  doubt.awaited &= ~bit(nodeId);
  doubt.found ||= pd.toldDisk === Disk.upToDate && uuids !== null && uuidEq(uuids.currentUuid, doubt.generation) && wasUp(pd);
}

/** The next generation tells it from the witness; until then it waits. */
export function turnAway(pd: PeerDevice): true {
  const { device, device: { resource: { view }, vnr } } = pd;
  pd.log.info('Peer was down meanwhile, and may lack what was answered');
  pd.lacksAnswered = true;
  const d = deviceIndex(view, vnr);
  if (view.devices[d]!.newCurUuid && dataAccessible(view, d)) newCurrentUuid(device, 'request');
  return true;
}
