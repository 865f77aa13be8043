// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Generations in which this disk has got no write yet: the first one waits until the peers have the generation and the super
 * block knows that it is used. Until then it can be withdrawn, say because others have gone on without it.
 */
import { Cstate, Disk as DiskState, Repl, Role } from '../state/states.ts';
import { asUsed, backTo, formerUuid, withdrawn } from '../state/uuid-unused.ts';
import { uuidEq, uuidText } from '../state/uuid-types.ts';
import type { DeviceUuids, PeerUuids } from '../state/uuid-types.ts';
import type { Connection } from './connection.ts';
import type { Device } from './device.ts';
import type { Disk } from './disk.ts';
import type { PeerDevice } from './peer-device.ts';
import * as send from './send.ts';
import { applyUuids, deviceContext, peerContext, peerDevicesOf, setExposedLocally, uuidsOf } from './uuids.ts';

const LOOK_MS = 1000;

/** A write is there, and waits for the activity log: for its end. */
export function useGeneration(device: Device): void {
  const { disk } = device;
  if (!disk || disk.becomesUsed) return;
  disk.becomesUsed = true;
  disk.al.hold();
  const end = (): void => {
    disk.becomesUsed = false;
    disk.al.release();
  };
  whenConfirmed(device, disk, () => {
    if (device.disk !== disk || mustWait(device)) return end();
    applyUuids(device, asUsed(uuidsOf(device), device.resource.nodeId));
    disk.meta.sync({ done: () => {
      tellUsed(device);
      end();
    } });
  });
}

/** Before the write, and before any block that a peer reads after it. */
function tellUsed(device: Device): void {
  for (const pd of peerDevicesOf(device)) if (pd.toldUnused && peerContext(pd).repl >= Repl.established) send.uuids(pd, 0);
}

/** Peers or quorum were lost meanwhile: the write goes back to the gate. */
function mustWait({ resource, makingUuid, io }: Device): boolean {
  return resource.view.resource.role === Role.primary && !io.facts.errIo
    && (resource.io.facts.suspended || io.facts.newCurUuid || makingUuid);
}

function whenConfirmed(device: Device, disk: Disk, run: () => void): void {
  const { clock } = device.resource.engine.host;
  const since = clock.nowMs();
  let done = false;
  const once = (): void => {
    if (done) return;
    done = true;
    timer.cancel();
    if (device.wantConfirmed === once) device.wantConfirmed = null;
    run();
  };
  const look = (): void => {
    if (device.disk !== disk) return once();
    for (const connection of awaited(device)) giveUpAfter(connection, clock.nowMs() - since);
    if (!done) timer = clock.timer('a generation to be confirmed', LOOK_MS, look);
  };
  let timer = clock.timer('a generation to be confirmed', LOOK_MS, look);
  device.wantConfirmed = once;
  generationMayBeConfirmed(device);
}

/** As if it had got the write that waits, and did not finish it. */
function giveUpAfter({ conn, netConf: { koCount, timeout } }: Connection, waitedMs: number): void {
  const limitMs = koCount * timeout * 100;
  if (limitMs === 0 || waitedMs <= limitMs) return;
  conn.fail(Cstate.timeout, 'timeout', `Remote failed to take a new current UUID within ${Math.floor(waitedMs)}ms > `
    + `ko-count (${koCount}) * timeout (${timeout} * 0.1s)`);
}

/** After each change of the view, and each P_UUIDS110. */
export function generationMayBeConfirmed(device: Device): void {
  if (device.wantConfirmed !== null && (mustWait(device) || awaited(device).length === 0)) device.wantConfirmed();
}

/**
 * Good peers that have been told our generation, and have not answered yet. The write needs their acks anyway, but for protocol A,
 * which waits for nobody.
 */
function awaited(device: Device): Connection[] {
  const { resource, vnr } = device;
  if (resource.view.resource.role !== Role.primary) return [];
  const { currentUuid } = uuidsOf(device);
  return resource.view.peerDevices.flatMap((row) => {
    const connection = resource.connections.get(row.nodeId);
    const told = row.vnr === vnr && row.repl >= Repl.established && row.pdsk === DiskState.upToDate;
    return connection && told && !uuidEq(row.peerCurrentUuid, currentUuid) && send.writesTogether(connection) ? [connection] : [];
  });
}

/** What this generation is of is current again; a Primary makes another one before it goes on. */
export function withdraw(device: Device, why: string, uuids: DeviceUuids, done: () => void): void {
  const { resource, vnr } = device;
  device.log.info(`withdrawn, ${why}: new current UUID ${uuidText(uuidsOf(device).currentUuid)}`);
  applyUuids(device, uuids);
  if (resource.view.resource.role === Role.primary) resource.dispatch({ kind: 'deviceFacts', vnr, facts: { newCurUuid: true } });
  setExposedLocally(device, uuids.currentUuid);
  // Some other word than a handshake may have told it.
  for (const pd of peerDevicesOf(device)) if (peerContext(pd).repl >= Repl.established) send.uuids(pd, 0);
  device.disk?.meta.sync({ done });
}

/** Others have gone on from the generation before. */
export function withdrawUnused(device: Device, done: () => void): void {
  const uuids = device.makingUuid ? null : withdrawn(deviceContext(device));
  if (uuids === null) done();
  else withdraw(device, 'nothing was written in it', uuids, done);
}

/**
 * A peer that was in our generation has gone back to the one before, for others went on from that: so does this node. If it cannot
 * the two are compared anew.
 */
export function followBack(pd: PeerDevice, before: PeerUuids): void {
  const { device, connection } = pd;
  const { repl, uuids: { currentUuid: theirs } } = peerContext(pd);
  const wentBack = before.former !== 0n && uuidEq(before.former, theirs) && uuidEq(before.currentUuid, uuidsOf(device).currentUuid);
  if (!wentBack || repl < Repl.established || device.disk === null) return;
  withdrawUnused(device, () => {
    if (!uuidEq(uuidsOf(device).currentUuid, theirs)) connection.conn.fail(Cstate.networkFailure, 'went-back', '');
  });
}

/**
 * An engine died while a generation was on its way to the disk of its Primary, and the disk has it now. Nobody was told, so others
 * may have gone on from the one before, which is the last that was shown; and who counted as having it has no base.
 */
export function withdrawUnshown(device: Device): void {
  const { resource: { nodeId, view }, vnr } = device;
  const uuids = uuidsOf(device);
  const former = formerUuid(uuids, nodeId);
  const { exposedUuid: shown } = device.resource.deviceRow(vnr);
  if (view.resource.role !== Role.primary || former === 0n || !uuidEq(former, shown)) return;
  withdraw(device, 'its engine died', backTo(shown, uuids, nodeId), () => {});
}
