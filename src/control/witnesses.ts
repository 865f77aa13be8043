// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * A Primary without good data of its own has lost all its peers at once, itself or with its engine, or could make no generation as
 * it lost one: nothing tells them apart. One of them may lack writes that were answered: they were in its memory only, and it was
 * down since; or of protocol A they never got there. Who has all of them is a witness: with it a generation is made, and until then
 * the others are not let in.
 */
import { dataAccessible } from '../state/facts.ts';
import { Lack } from '../io/requests.ts';
import { Disk, Repl, Role, UuidFlag, WITNESS_SHIFT } from '../state/states.ts';
import type { NodeMask } from '../state/types.ts';
import { uuidEq } from '../state/uuid-types.ts';
import { bit, deviceIndex } from '../state/view.ts';
import type { Device } from './device.ts';
import type { PeerDevice } from './peer-device.ts';
import { newCurrentUuid, peerContext, peerDevicesOf } from './uuids.ts';

export interface Witnesses {
  /** That the users have seen as the peers were lost. */
  readonly generation: bigint;
  /** The engine died: what a peer lacks is not known. */
  readonly unknown: boolean;
  /** May be one, and were not met since. */
  awaited: NodeMask;
  /** One has come. */
  found: boolean;
}

/** The last engine has died; these had the data. */
export function awaitAfterDeath(device: Device, nodeIds: readonly number[]): void {
  device.witnesses = nodeIds.length < 2 ? null : awaiting(device, true, nodeIds);
}

/** A peer is lost. If another one is left that is a witness, and a generation is made now, nobody is in doubt any more. */
export function awaitAfterLoss(device: Device): void {
  const { resource: { view }, vnr } = device;
  const d = deviceIndex(view, vnr);
  const { disk, exposedUuid } = view.devices[d]!;
  if (view.resource.role !== Role.primary || disk === Disk.upToDate || inDoubt(device)?.unknown) return;
  const had = peerDevicesOf(device).filter((pd) => peerContext(pd).repl < Repl.established && pd.uuids !== null
    && (pd.uuids.flags & UuidFlag.syncTarget) === 0 && uuidEq(pd.uuids.currentUuid, exposedUuid));
  if (had.every(({ lack }) => lack === Lack.nothing)) return;
  const mayBeOne = had.filter(({ lack }) => lack !== Lack.unreceived).map(({ connection }) => connection.nodeId);
  device.witnesses = { ...awaiting(device, false, mayBeOne), found: dataAccessible(view, d) };
}

const awaiting = ({ resource, vnr }: Device, unknown: boolean, nodeIds: readonly number[]): Witnesses => ({
  generation: resource.deviceRow(vnr).exposedUuid, unknown, awaited: nodeIds.reduce((mask, n) => mask | bit(n), 0n), found: false,
});

function inDoubt({ resource, vnr, witnesses }: Device): Witnesses | null {
  const isCurrent = witnesses !== null && uuidEq(witnesses.generation, resource.deviceRow(vnr).exposedUuid);
  return isCurrent && resource.view.resource.role === Role.primary ? witnesses : null;
}

function mayLack(pd: PeerDevice, doubt: Witnesses): boolean {
  const { lack, uuids } = pd;
  const wasDown = uuids === null || (uuids.flags & UuidFlag.reconnect) === 0;
  return (lack === Lack.unreceived || (wasDown && (doubt.unknown || lack === Lack.unflushed))) && !isVouched(pd, doubt);
}

/** It says that it is in sync with somebody who may be a witness, or is here as one. */
function isVouched({ device: { resource, vnr }, uuids }: PeerDevice, doubt: Witnesses): boolean {
  if (uuids === null || (uuids.flags & UuidFlag.vouched) === 0) return false;
  const witness = uuids.flags >> WITNESS_SHIFT & 31;
  return (doubt.awaited & bit(witness)) !== 0n
    || resource.view.peerDevices.some((row) => row.vnr === vnr && row.nodeId === witness && row.repl >= Repl.established && row.pdsk === Disk.upToDate);
}

/** Who has what this node has, and was up as the two lost each other, so that this one was synced from it, not it from this one. */
export function witnessFor(asks: PeerDevice): number {
  const { device, device: { resource, vnr, disk } } = asks;
  if (disk === null || resource.deviceRow(vnr).disk < Disk.consistent) return -1;
  const witness = peerDevicesOf(device).find((pd) => {
    const { repl, pdsk } = peerContext(pd);
    return pd !== asks && repl === Repl.established && pdsk >= Disk.consistent && disk.bitsFor(pd.connection.nodeId) === 0 && pd.uuids !== null
      && (pd.uuids.flags & UuidFlag.reconnect) !== 0 && uuidEq(pd.uuids.currentUuid, disk.meta.superBlock.currentUuid);
  });
  return witness?.connection.nodeId ?? -1;
}

const shows = ({ uuids }: PeerDevice, { generation }: Witnesses): boolean => uuids !== null && uuidEq(uuids.currentUuid, generation);

/** A witness has come, or may still come, be it the own disk, and this peer is none. */
export function isDoubted(pd: PeerDevice): boolean {
  const { device, connection: { nodeId } } = pd;
  const doubt = inDoubt(device);
  if (doubt === null || !shows(pd, doubt) || !mayLack(pd, doubt)) return false;
  const { disk, keptAll } = device.resource.deviceRow(device.vnr);
  return doubt.found || keptAll || disk === Disk.upToDate || [...device.resource.connections.keys()].some((n) => n !== nodeId && (doubt.awaited & bit(n)) !== 0n);
}

/** Its handshake has told what it has. */
export function met(pd: PeerDevice): void {
  const doubt = inDoubt(pd.device);
  if (doubt === null) return;
  doubt.awaited &= ~bit(pd.connection.nodeId);
  doubt.found ||= pd.toldDisk === Disk.upToDate && shows(pd, doubt) && !mayLack(pd, doubt);
}

/** The next generation tells it from the witness; until then it waits. */
export function turnAway(pd: PeerDevice): true {
  const { device, device: { resource: { view }, vnr } } = pd;
  pd.log.info('Peer may lack what was answered');
  if (pd.lack === Lack.nothing) pd.lack = Lack.unflushed;
  const d = deviceIndex(view, vnr);
  if (view.devices[d]!.newCurUuid && dataAccessible(view, d)) newCurrentUuid(device, 'thaw');
  return true;
}
