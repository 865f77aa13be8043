// SPDX-License-Identifier: GPL-2.0-or-later
/** UUIDs are compared again while connected. @spec uuid.md 3.9, 3.10 */
import { LogLevel } from '../host/log.ts';
import type { Change } from '../state/events.ts';
import { Ss } from '../state/ss.ts';
import { Cs, Disk, Repl, Role, UuidFlag, diskNames, isSyncSource, isSyncTarget, replNames } from '../state/states.ts';
import { bestResync, resyncDecision } from '../state/uuid-handshake.ts';
import type { ResyncDecision } from '../state/uuid-handshake.ts';
import { strategies } from '../state/uuid-strategy.ts';
import { uuidEq } from '../state/uuid-types.ts';
import { run } from './admin/steps.ts';
import type { Steps } from './admin/steps.ts';
import { modifyBitmap } from './bitmap-mod.ts';
import type { Device } from './device.ts';
import { act, connectedView } from './handshake.ts';
import type { PeerDevice } from './peer-device.ts';
import { sourceChanges } from './resync-end.ts';
import * as send from './send.ts';
import { unlessAnswered } from './unanswered.ts';
import { logLines, peerDevicesOf } from './uuids.ts';

type Reason = 'after-unstable' | 'diskless-primary';

const BECAUSE: { readonly [R in Reason]: string } = {
  'after-unstable': 'after unstable', 'diskless-primary': 'because primary is diskless',
};

/** drbd_resync: the outcome may be a resync, an upgrade of the own disk, or nothing. */
export function resyncBecause(pd: PeerDevice, reason: Reason): void {
  const { link } = pd.connection.conn;
  // Slots may take their time: the peer's bitmap must not come before we wait for it.
  link?.wait(true);
  run(steps(pd, reason, resyncDecision(connectedView(pd), reason)), () => link?.wait(false));
}

function* steps(pd: PeerDevice, reason: Reason, decision: ResyncDecision): Steps<void> {
  const { device: { resource, vnr }, connection: { nodeId } } = pd;
  yield* act(pd, decision.actions);
  if (decision.repl === null) return;
  if (decision.repl !== Repl.established) {
    yield* modifyBitmap(pd, decision.strategy, decision.peerNodeId);
    pd.log.info(`Becoming ${replNames[decision.repl]} ${BECAUSE[reason]}`);
  }
  if (!pd.connection.peerDevices.has(vnr)) return;
  const { pdsk } = resource.peerDeviceRow(vnr, nodeId);
  if (decision.repl === Repl.established && pdsk === Disk.upToDate && resource.deviceRow(vnr).disk === Disk.consistent) {
    resource.dispatch({ kind: 'reconciled', nodeId: -1 });
  }
  if (decision.repl === Repl.established && pdsk >= Disk.consistent && resource.deviceRow(vnr).disk === Disk.outdated) {
    pd.log.info(`Upgrading local disk to ${diskNames[pdsk]} after unstable/weak (and no resync).`);
    change(pd, reason, [{ set: 'disk', vnr, disk: pdsk }]);
    return;
  }
  const { repl } = resource.peerDeviceRow(vnr, nodeId);
  // What it told while this source was not there yet counts now.
  const ends = decision.repl === Repl.established && (isSyncSource(repl) || pd.peerFinishedEarly);
  if (ends) pd.peerFinishedEarly = false;
  const over: readonly Change[] = ends ? sourceChanges(pd) : [];
  const rc = change(pd, reason, [{ set: 'repl', vnr, nodeId, repl: decision.repl as Repl }, ...over]);
  const starts = decision.repl === Repl.wfBitMapS || decision.repl === Repl.wfBitMapT;
  if (starts && rc === Ss.success) unlessAnswered(pd.connection, reason);
  if (!starts || (rc !== Ss.nothingToDo && rc !== Ss.resyncRunning)) return;
  resource.dispatch({ kind: 'peerDeviceFacts', vnr, nodeId, facts: { resyncAgain: decision.repl } });
  pd.log.info('...postponing this until current resync finished');
}

const change = ({ device: { resource } }: PeerDevice, tag: string, changes: readonly Change[]): Ss =>
  resource.dispatch({ kind: 'change', request: 0, tag, flags: Cs.verbose, changes }).rc;

/** drbd_try_to_get_resynced: a diskless Primary next door works with data that this node lacks. */
export function tryToGetResynced(device: Device): void {
  const { resource, vnr } = device;
  resource.dispatch({ kind: 'deviceFacts', vnr, facts: { tryToGetResync: false } });
  device.resyncAwaited = false;
  const candidates = peerDevicesOf(device).filter((pd) =>
    resource.peerDeviceRow(vnr, pd.connection.nodeId).pdsk === Disk.upToDate && pd.uuids !== null);
  const best = bestResync(candidates.map(connectedView));
  if (best === null) return;
  logLines(device, best.actions.flatMap((action) => (action.kind === 'log' ? [action.line] : [])));
  if (strategies[best.strategy].kind === 'no-sync') {
    // Who has what the Primary shows has not told us yet, or is not here.
    device.resyncAwaited = otherIsShown(device);
    if (!device.resyncAwaited) resource.dispatch({ kind: 'change', request: 0, tag: 'get-resync', flags: Cs.verbose,
      changes: [{ set: 'disk', vnr, disk: Disk.upToDate }] });
    return;
  }
  const pd = resource.peerDevice(vnr, best.from);
  const { repl, unstableResync } = resource.peerDeviceRow(vnr, best.from);
  if (isSyncTarget(repl) && !unstableResync) return;
  pd.log.line(LogLevel.info, `resync from node ${best.from}: ${strategies[best.strategy].name}`);
  send.uuids(pd, UuidFlag.resync | UuidFlag.disklessPrimary);
  resyncBecause(pd, 'diskless-primary');
}

/** A Primary without a disk next door shows another generation than ours. */
function otherIsShown({ resource, vnr }: Device): boolean {
  const { currentUuid } = resource.deviceRow(vnr);
  return resource.view.peerDevices.some((pd) => pd.vnr === vnr && pd.repl >= Repl.established && pd.pdsk === Disk.diskless
    && resource.connectionRow(pd.nodeId).peerRole === Role.primary && !uuidEq(pd.peerCurrentUuid, currentUuid));
}

/** A peer has told another generation: maybe that of the Primary. */
export function toldAnother(device: Device): void {
  if (!device.resyncAwaited) return;
  if (otherIsShown(device)) tryToGetResynced(device);
  else device.resyncAwaited = false;
}
