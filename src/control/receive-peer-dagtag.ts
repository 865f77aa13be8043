// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * P_PEER_DAGTAG: two nodes have lost the same Primary. Who has more of its last writes becomes source of a bitmap resync;
 * both come to mirrored results. @spec uuid.md 7.11, state.md 9.7
 *
 * Who has lost it before has told so then, to one that did not wait for it yet, and would not say anything any more. Between two
 * drbdd it answers with its own node id. docs/differences.md
 */
import type { Change } from '../state/events.ts';
import { Ss } from '../state/ss.ts';
import { Cs, Cstate, Disk, Repl } from '../state/states.ts';
import { uuidCompare } from '../state/uuid-compare.ts';
import type { Strategy } from '../state/uuid-strategy.ts';
import { strategies } from '../state/uuid-strategy.ts';
import { findConnection } from '../state/view.ts';
import { PPeerDagtag } from '../wire/packets/dagtag.ts';
import type { Connection } from './connection.ts';
import { connectedView } from './handshake.ts';
import type { PeerDevice } from './peer-device.ts';
import { reconcilesBits } from './send.ts';
import { unlessAnswered } from './unanswered.ts';

const SETTLED_MS = 10;
/** How long the own teardown of the lost connection may take. */
const ATTEMPTS = 3000;

export function peerDagtagReceived(connection: Connection, { dagtag, nodeId }: PPeerDagtag): void {
  if (nodeId === connection.nodeId) return nothingToTell(connection, dagtag);
  const lost = connection.resource.connections.get(nodeId);
  if (!lost) return;
  if (lost.cstate() !== Cstate.connected) return whenTornDown(connection, lost, dagtag, ATTEMPTS);
  lost.conn.ping(() => {
    if (lost.cstate() !== Cstate.connected) whenTornDown(connection, lost, dagtag, ATTEMPTS);
  });
}

/**
 * The own loss of that Primary is dealt with first: only then all that it sent is counted. What the peer says meanwhile
 * waits, so that both ends compare the same generations.
 */
function whenTornDown(connection: Connection, lost: Connection, dagtag: number, attempts: number, waiting = false): void {
  const { resource } = connection;
  const { link } = connection.conn;
  const row = findConnection(resource.view, lost.nodeId);
  if (link === null) return;
  if (row !== undefined && row.notifyPeersLostPrimary && attempts > 0) {
    if (!waiting) link.wait(true);
    resource.engine.host.clock.timer('own loss of a Primary', SETTLED_MS, () => {
      if (connection.conn.link === link) whenTornDown(connection, lost, dagtag, attempts - 1, true);
    });
    return;
  }
  if (row !== undefined && !row.notifyPeersLostPrimary) {
    const isTold = [...connection.peerDevices.keys()].some((vnr) => resource.peerDeviceRow(vnr, connection.nodeId).reconcilePending);
    const begun = reconcile(connection, lost, dagtag);
    resource.dispatch({ kind: 'reconciled', nodeId: connection.nodeId });
    if (!isTold) answer(connection, lost, begun);
  }
  if (waiting) link.wait(false);
}

/** We do not wait for it, so it will not hear of that loss from us; without what we have it would not begin the other end. */
function answer(connection: Connection, lost: Connection, begun: boolean): void {
  const { resource, conn, nodeId, peerDevices } = connection;
  if (begun) return void conn.send(PPeerDagtag, -1, { dagtag: lost.io.writes.lastDagtag, nodeId: lost.nodeId });
  const syncs = [...peerDevices.keys()].some((vnr) => resource.peerDeviceRow(vnr, nodeId).repl > Repl.established);
  if (!syncs && reconcilesBits(connection)) conn.send(PPeerDagtag, -1, { dagtag: lost.nodeId, nodeId: resource.nodeId });
}

function nothingToTell({ resource, nodeId, toldLoss }: Connection, lostNodeId: number): void {
  if (lostNodeId === toldLoss) resource.dispatch({ kind: 'reconciled', nodeId });
}

/** Has our end of a resync begun? */
function reconcile(connection: Connection, lost: Connection, dagtag: number): boolean {
  const { resource, logger } = connection;
  const strategy = commonStrategy(connection);
  if (strategy === null) return false;
  const offset = lost.io.writes.lastDagtag - dagtag;
  const { kind } = strategies[strategy];
  const source = kind === 'source' || (kind === 'no-sync' && offset > 0);
  const target = kind === 'target' || (kind === 'no-sync' && offset < 0);
  if (!source && !target) {
    logger.info(`No reconciliation resync even though '${lost.name}' disappeared. (o=${offset})`);
    for (const pd of connection.peerDevices.values()) clearSlot(pd);
    return false;
  }
  const { nodeId } = connection;
  const changes: Change[] = [...connection.peerDevices.keys()].map((vnr) =>
    ({ set: 'repl', vnr, nodeId, repl: source ? Repl.wfBitMapS : Repl.wfBitMapT }));
  const { rc } = resource.dispatch({ kind: 'change', request: 0, tag: 'receive-peer-dagtag', flags: Cs.verbose, changes });
  if (rc === Ss.nothingToDo) logger.info(`'${lost.name}' disappeared (o=${offset}), no reconciliation since one diskless`);
  if (rc === Ss.nothingToDo || rc < Ss.success) return false;
  logger.info(`Reconciliation resync because '${lost.name}' disappeared. (o=${offset})`);
  for (const vnr of connection.peerDevices.keys()) {
    resource.dispatch({ kind: 'peerDeviceFacts', vnr, nodeId, facts: { reconciliationResync: true } });
  }
  if (target) connection.afterReconciliation = { lostNodeId: lost.nodeId, dagtag };
  unlessAnswered(connection, 'reconciliation');
  return true;
}

/** What all volumes agree on; null: nothing can be done. */
function commonStrategy(connection: Connection): Strategy | null {
  const { resource, logger, nodeId } = connection;
  const volumes = [...connection.peerDevices.values()];
  const unfit = volumes.some(({ device: { vnr } }) => {
    const { disk } = resource.deviceRow(vnr);
    const { repl, pdsk } = resource.peerDeviceRow(vnr, nodeId);
    // Such a peer, say at the end of an unstable resync, ignores what we tell it.
    return repl > Repl.established || pdsk === Disk.inconsistent || (disk !== Disk.consistent && disk !== Disk.upToDate);
  });
  if (unfit) return null;
  let common: Strategy = 'no-sync';
  for (const pd of volumes) {
    if (!pd.device.disk) continue;
    const strategy = compared(pd);
    if (strategy !== 'no-sync' && strategy !== 'source-use-bitmap' && strategy !== 'target-use-bitmap') {
      logger.info(`Unexpected strategy ${strategies[strategy].name} for a reconciliation, ignoring`);
      return null;
    }
    if (common !== 'no-sync' && strategy !== common) {
      logger.info('Inconsistent resync directions, ignoring');
      return null;
    }
    common = strategy;
  }
  return common;
}

const compared = (pd: PeerDevice): Strategy => uuidCompare(connectedView(pd)).strategy;

/** Both have the same last writes: marks of them towards each other mean nothing. What was marked before them does. */
function clearSlot({ device: { disk }, connection: { nodeId }, io }: PeerDevice): void {
  const slot = disk?.bitmapIndex(nodeId) ?? -1;
  if (disk && slot >= 0 && io.bitsBeforeLoss === 0) disk.bitmap.clearAll(slot);
}
