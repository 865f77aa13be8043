// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * What must not be: hard rows always, soft rows unless the change is a fact (Cs.hard). They see the sanitized NEW; the
 * first row that refuses wins. @spec state.md 4
 */
import { Cell } from './cell.ts';
import type { Draft } from './draft.ts';
import { dataAccessible, inHandshake, openReadOnly, pdAt, somePeer } from './facts.ts';
import { calcQuorum, quorumText } from './quorum.ts';
import type { Reason } from './reason.ts';
import { Ss, ssText } from './ss.ts';
import { Cs, Cstate, Disk, Fencing, Repl, Role, isLost, isSyncSource, isSyncTarget, isVerify } from './states.ts';

export interface Guard {
  readonly row: string;
  readonly code: Ss;
  readonly refuses: (at: Cell) => boolean;
  /** A sentence of its own; else that of the code. */
  readonly text?: (at: Cell) => string;
}

export interface Verdict {
  readonly rc: Ss;
  readonly reason: Reason | null;
}
export const SUCCESS: Verdict = { rc: Ss.success, reason: null };

const oldCstate = (at: Cell): Cstate => at.oldConnection.cstate;
const newCstate = (at: Cell): Cstate => at.connection.cstate;

export const hardConnectionGuards: readonly Guard[] = [
  { row: 'H1', code: Ss.alreadyStandAlone,
    refuses: (at) => oldCstate(at) === Cstate.standAlone && newCstate(at) === Cstate.disconnecting },
  { row: 'H2', code: Ss.needConnection,
    refuses: (at) => oldCstate(at) === Cstate.standAlone && newCstate(at) !== Cstate.standAlone
      && newCstate(at) !== Cstate.unconnected },
  { row: 'H3', code: Ss.inTransientState,
    refuses: (at) => isLost(oldCstate(at)) && newCstate(at) !== oldCstate(at) && newCstate(at) !== Cstate.unconnected
      && newCstate(at) !== Cstate.disconnecting },
  { row: 'H4', code: Ss.inTransientState,
    refuses: (at) => oldCstate(at) === Cstate.disconnecting && newCstate(at) !== Cstate.disconnecting
      && newCstate(at) !== Cstate.standAlone },
];

export const hardDeviceGuards: readonly Guard[] = [
  { row: 'H5', code: Ss.isDiskless,
    refuses: (at) => at.oldDevice.disk === Disk.diskless
      && (at.device.disk === Disk.failed || at.device.disk === Disk.detaching) },
];

const rolesChange = (t: Draft): boolean => t.old.resource.role !== t.resource.role;
const becomesPrimary = (t: Draft): boolean => t.old.resource.role !== Role.primary && t.resource.role === Role.primary;

/** Only `at.draft` counts. */
export const softResourceGuards: readonly Guard[] = [
  { row: 'T1', code: Ss.twoPrimaries,
    refuses: (at) => becomesPrimary(at.draft)
      && at.draft.connections.some((c) => !c.options.allowTwoPrimaries && c.peerRole === Role.primary) },
  { row: 'T2', code: Ss.inTransientState,
    refuses: (at) => rolesChange(at.draft) && at.draft.devices.some((_, d) => inHandshake(at.draft.old, d)) },
  { row: 'T3', code: Ss.deviceInUse,
    refuses: (at) => at.draft.old.resource.role === Role.secondary && at.draft.resource.role === Role.primary
      && at.draft.resource.failIo },
];

const peerBecomesPrimary = (at: Cell): boolean =>
  at.oldConnection.peerRole !== Role.primary && at.connection.peerRole === Role.primary
  && !at.connection.options.allowTwoPrimaries;

export const softConnectionGuards: readonly Guard[] = [
  { row: 'T4', code: Ss.alreadyStandAlone,
    refuses: (at) => oldCstate(at) === Cstate.standAlone && newCstate(at) === Cstate.disconnecting },
  { row: 'T5', code: Ss.noNetConfig,
    refuses: (at) => newCstate(at) === Cstate.connecting && oldCstate(at) < Cstate.unconnected },
  { row: 'T6', code: Ss.inTransientState,
    refuses: (at) => oldCstate(at) === Cstate.unconnected && newCstate(at) === Cstate.disconnecting },
  { row: 'T7', code: Ss.twoPrimaries,
    refuses: (at) => peerBecomesPrimary(at) && at.draft.old.resource.role === Role.primary },
  { row: 'T8', code: Ss.primaryReader,
    refuses: (at) => peerBecomesPrimary(at) && !at.draft.resource.failIo && at.draft.devices.some(openReadOnly) },
];

/** At most one disk or peer's disk of a volume is being negotiated: counted by T15 and T17 together. */
const negotiatingCount = (at: Cell, upTo: number): number => {
  let count = at.device.disk === Disk.negotiating ? 1 : 0;
  for (let c = 0; c <= upTo; c++) if (pdAt(at.draft, at.d, c).pdsk === Disk.negotiating) count++;
  return count;
};

/** What was lost before, and not noticed yet, is noticed with this change, and no reason against it. */
const costsQuorum = (at: Cell): boolean => at.oldDevice.haveQuorum && calcQuorum(at.draft.old, at.draft.old, at.d).haveQuorum;

/** The peer was told of no data, and would take these for compared; connected, the attach is negotiated with it. */
const endsAttaching = (at: Cell): boolean => at.oldDevice.disk === Disk.attaching && at.device.disk >= Disk.negotiating;

export const softDeviceGuards: readonly Guard[] = [
  { row: 'T9', code: Ss.inTransientState,
    refuses: (at) => inHandshake(at.draft.old, at.d)
      && ((at.oldDevice.disk < Disk.attaching && at.device.disk === Disk.attaching) || endsAttaching(at)
        || (at.oldDevice.disk > Disk.detaching && at.device.disk === Disk.detaching)) },
  { row: 'T10', code: Ss.deviceInUse,
    refuses: (at) => at.draft.old.resource.role === Role.primary && at.draft.resource.role === Role.secondary
      && at.device.writable && (at.draft.flags & Cs.fsIgnOpeners) === 0 },
  { row: 'T11', code: Ss.isDiskless,
    refuses: (at) => at.oldDevice.disk === Disk.diskless && at.device.disk > Disk.attaching },
  { row: 'T12', code: Ss.lowerThanOutdated,
    refuses: (at) => at.device.disk === Disk.outdated && at.oldDevice.disk < Disk.outdated
      && at.oldDevice.disk !== Disk.attaching && at.oldDevice.disk !== Disk.negotiating
      && !somePeer(at.draft, at.d, (pd, c) =>
        pdAt(at.draft.old, at.d, c).repl === Repl.syncTarget && pd.repl === Repl.established) },
  { row: 'T13', code: Ss.noUpToDateDisk,
    refuses: (at) => at.draft.resource.role === Role.primary && !dataAccessible(at.draft, at.d)
      && !(at.draft.old.resource.role === Role.primary && !dataAccessible(at.draft.old, at.d)) },
  { row: 'T14', code: Ss.noUpToDateDisk,
    refuses: (at) => openReadOnly(at.device) && dataAccessible(at.draft.old, at.d) && !dataAccessible(at.draft, at.d) },
  { row: 'T16', code: Ss.noQuorum,
    refuses: (at) => at.draft.resource.role === Role.primary && !at.device.haveQuorum
      && (at.draft.old.resource.role === Role.secondary || costsQuorum(at)),
    text: (at) => quorumText(calcQuorum(at.draft.old, at.draft, at.d), at.device.disk) },
];

/** Is the own disk allowed to become Outdated? @spec state.md 4.3 */
export function mayBeOutdated(t: Draft, d: number): boolean {
  if (t.resource.role === Role.primary) {
    return somePeer(t, d, (pd) => pd.pdsk === Disk.upToDate && pd.repl === Repl.wfBitMapT);
  }
  for (let c = 0; c < t.connections.length; c++) {
    const pd = pdAt(t, d, c);
    if (t.connections[c]!.peerRole !== Role.primary || pd.repl <= Repl.off) continue;
    if (pd.pdsk === Disk.diskless && pdAt(t.old, d, c).repl === Repl.off && pd.repl === Repl.established) return true;
    return somePeer(t, d, (peer) => peer.repl === Repl.wfSyncUuid || peer.repl === Repl.wfBitMapT
      || peer.repl === Repl.startingSyncT || isSyncTarget(peer.repl) || peer.repl === Repl.behind);
  }
  return true;
}

const newRepl = (at: Cell): Repl => at.pd.repl;
const oldRepl = (at: Cell): Repl => at.oldPd.repl;
const replChanges = (at: Cell): boolean => at.pd.repl !== at.oldPd.repl;
/** By both ends: here, or by the other one, while it may still be refused. */
const isAsked = (at: Cell): boolean => (at.draft.flags & (Cs.clusterWide | Cs.prepare)) !== 0;
const isStarting = (repl: Repl): boolean => repl === Repl.startingSyncS || repl === Repl.startingSyncT;

const primaryWithoutFencedPeer = (role: Role, repl: Repl, pdsk: Disk): boolean =>
  role === Role.primary && repl < Repl.established && pdsk > Disk.outdated;

export const softPeerDeviceGuards: readonly Guard[] = [
  { row: 'T17', code: Ss.inTransientState,
    refuses: (at) => at.pd.pdsk === Disk.negotiating && negotiatingCount(at, at.c) > 1 },
  { row: 'T18', code: Ss.primaryNop,
    refuses: (at) => at.connection.options.fencing >= Fencing.resourceOnly
      && primaryWithoutFencedPeer(at.draft.resource.role, newRepl(at), at.pd.pdsk)
      && !primaryWithoutFencedPeer(at.draft.old.resource.role, oldRepl(at), at.oldPd.pdsk) },
  { row: 'T19', code: Ss.noLocalDisk,
    refuses: (at) => newRepl(at) > Repl.established && at.device.disk < Disk.inconsistent
      && !(oldRepl(at) > Repl.established && at.oldDevice.disk < Disk.inconsistent) },
  { row: 'T20', code: Ss.noRemoteDisk,
    refuses: (at) => newRepl(at) > Repl.established && at.pd.pdsk < Disk.inconsistent
      && !(oldRepl(at) > Repl.established && at.oldPd.pdsk < Disk.inconsistent) },
  { row: 'T21', code: Ss.connectedOutdates,
    refuses: (at) => at.oldDevice.disk > Disk.outdated && at.device.disk === Disk.outdated
      && !mayBeOutdated(at.draft, at.d) },
  { row: 'T22', code: Ss.noVerifyAlg,
    refuses: (at) => !isVerify(oldRepl(at)) && isVerify(newRepl(at)) && !at.connection.options.verifyAlg },
  { row: 'T23', code: Ss.notSupported,
    refuses: (at) => !isVerify(oldRepl(at)) && isVerify(newRepl(at)) && at.connection.agreedVersion > 0
      && at.connection.agreedVersion < 88 },
  { row: 'T24', code: Ss.resyncRunning,
    refuses: (at) => isSyncSource(oldRepl(at)) && newRepl(at) === Repl.wfBitMapS },
  { row: 'T25', code: Ss.resyncRunning,
    refuses: (at) => isSyncTarget(oldRepl(at)) && newRepl(at) === Repl.wfBitMapT },
  // A resync by bitmap may have waited for its turn: the better disk is no target any more.
  { row: 'T25a', code: Ss.noUpToDateDisk,
    refuses: (at) => isAsked(at) && replChanges(at)
      && ((newRepl(at) === Repl.wfBitMapS && at.device.disk < at.pd.pdsk)
        || (newRepl(at) === Repl.wfBitMapT && at.device.disk > at.pd.pdsk)) },
  // From elsewhere it would begin on this end alone, or go both ways: the other end may not know yet what is on here.
  { row: 'T25b', code: Ss.resyncRunning,
    refuses: (at) => isAsked(at) && replChanges(at) && oldRepl(at) > Repl.established
      && (newRepl(at) === Repl.wfBitMapS || newRepl(at) === Repl.wfBitMapT) },
  { row: 'T26', code: Ss.resyncRunning,
    refuses: (at) => replChanges(at) && isStarting(newRepl(at)) && oldRepl(at) > Repl.established },
  { row: 'T27', code: Ss.needConnection,
    refuses: (at) => isVerify(newRepl(at)) && oldRepl(at) < Repl.established },
  { row: 'T28', code: Ss.resyncRunning,
    refuses: (at) => replChanges(at) && isVerify(newRepl(at)) && oldRepl(at) > Repl.established },
  { row: 'T29', code: Ss.needConnection,
    refuses: (at) => (isStarting(newRepl(at)) && oldRepl(at) < Repl.established)
      || (newRepl(at) > Repl.established && newCstate(at) < Cstate.connected) },
  { row: 'T31', code: Ss.attachNoBitmap,
    refuses: (at) => at.oldPd.pdsk === Disk.diskless && at.pd.pdsk > Disk.diskless && at.pd.pdsk !== Disk.unknown
      && !at.pd.wantBitmap },
];

function refusal(guards: readonly Guard[], at: Cell, vnr: number, nodeId: number): Verdict | null {
  for (const guard of guards) {
    if (!guard.refuses(at)) continue;
    const text = guard.text === undefined ? ssText(guard.code) : guard.text(at);
    return { rc: guard.code, reason: { kind: 'guard', row: guard.row, code: guard.code, text, vnr, nodeId } };
  }
  return null;
}

function checkConnections(guards: readonly Guard[], at: Cell): Verdict | null {
  for (let c = 0; c < at.draft.connections.length; c++) {
    const refused = refusal(guards, at.at(0, c), -1, at.draft.connections[c]!.nodeId);
    if (refused !== null) return refused;
  }
  return null;
}

/** is_valid_transition: rows H. @spec state.md 4.1 */
export function checkHard(draft: Draft): Verdict {
  const at = new Cell(draft);
  const refused = checkConnections(hardConnectionGuards, at);
  if (refused !== null) return refused;
  for (let d = 0; d < draft.devices.length; d++) {
    const device = refusal(hardDeviceGuards, at.at(d, 0), draft.devices[d]!.vnr, -1);
    if (device !== null) return device;
  }
  return SUCCESS;
}

/** is_valid_soft_transition: rows T. @spec state.md 4.2 */
export function checkSoft(draft: Draft): Verdict {
  const at = new Cell(draft);
  const refused = refusal(softResourceGuards, at.at(0, 0), -1, -1) ?? checkConnections(softConnectionGuards, at);
  if (refused !== null) return refused;
  for (let d = 0; d < draft.devices.length; d++) {
    const { vnr } = draft.devices[d]!;
    const device = refusal(softDeviceGuards, at.at(d, 0), vnr, -1);
    if (device !== null) return device;
    for (let c = 0; c < draft.connections.length; c++) {
      const peer = refusal(softPeerDeviceGuards, at.at(d, c), vnr, draft.connections[c]!.nodeId);
      if (peer !== null) return peer;
    }
  }
  return SUCCESS;
}
