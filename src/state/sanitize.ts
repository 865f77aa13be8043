// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Rules that make NEW legal, in significant order: each row sees the results of earlier ones. Row numbers are the spec's.
 * @spec state.md 3
 */
import { Cell } from './cell.ts';
import type { Draft } from './draft.ts';
import {
  dataAccessible, diskStateAttached, hasShownOther, isSuspended, mayBeUpToDate, pdAt, readsAtPeers, regainsData, resyncSuspended,
  showsItsData, somePeer,
} from './facts.ts';
import { calcQuorum } from './quorum.ts';
import {
  Cs, Cstate, Disk, Fencing, Negotiation, Repl, Role, UuidFlag, isSyncSource, isSyncTarget,
} from './states.ts';
import { selectSyncTarget } from './sync-target.ts';
import { sameUuid } from './view.ts';

/** Feature RS_SKIP_UUID. @spec wire.md 3 */
const FEATURE_RS_SKIP_UUID = 64;

/** What rows tell to later rows. */
export interface Memory {
  maybeCrashedPrimary: boolean;
  connectedPrimaries: number;
  lacksQuorum: boolean;
  allHaveDataAccess: boolean;
  someLostDataAccess: boolean;
  /** Of the device under discussion. */
  haveGoodPeer: boolean;
}

export interface Rule<Subject> {
  readonly row: string;
  readonly when: (at: Subject, memory: Memory) => boolean;
  readonly then: (at: Subject, memory: Memory) => void;
}

const always = (): boolean => true;
const lostUngracefully = (draft: Draft, cstate: Cstate): boolean =>
  (cstate >= Cstate.timeout && cstate <= Cstate.protocolError) || (cstate === Cstate.disconnecting && draft.hard);

/** `at.c` is the connection. */
export const connectionRules: readonly Rule<Cell>[] = [
  { row: 'S1', when: (at) => at.connection.cstate < Cstate.connected,
    then: (at) => at.draft.setConnection(at.c, { peerRole: Role.unknown }) },
  { row: 'S2', when: (at) => at.oldConnection.peerRole === Role.primary && at.oldConnection.cstate === Cstate.connected
      && lostUngracefully(at.draft, at.connection.cstate),
    then: (_, memory) => { memory.maybeCrashedPrimary = true; } },
  { row: 'S3', when: (at) => at.connection.peerRole === Role.primary,
    then: (_, memory) => { memory.connectedPrimaries++; } },
];

/** `at.d` is the device. */
export const deviceRules: readonly Rule<Cell>[] = [
  { row: 'S4', when: (at) => at.oldDevice.disk === Disk.diskless && at.device.disk === Disk.detaching,
    then: (at) => at.setDevice({ disk: Disk.diskless }) },
  { row: 'S5', when: (at) => (at.draft.flags & Cs.ignOutdFail) !== 0 && at.oldDevice.disk < Disk.outdated
      && at.device.disk === Disk.outdated,
    then: (at) => at.setDevice({ disk: at.oldDevice.disk }) },
  { row: 'S6', when: (at) => at.device.disk === Disk.negotiating, then: (at) => negotiate(at.draft, at.d) },
];

/** Also when a connection is lost (S38 of the spec): the others have begun to act on our attach, and are heard. @spec state.md 3.2 S6 */
function negotiate(draft: Draft, d: number): void {
  if (draft.old.devices[d]!.disk !== Disk.negotiating) {
    for (let c = 0; c < draft.connections.length; c++) {
      draft.setPeerDevice(draft.index(d, c), { negotiationResult: Negotiation.negotiating });
    }
  }
  let all = 0;
  let noResult = 0;
  let targets = 0;
  let upToDateNeighbor = false;
  for (let c = 0; c < draft.connections.length; c++) {
    const pd = pdAt(draft, d, c);
    if (pd.pdsk < Disk.negotiating || pd.repl === Repl.off) continue;
    all++;
    if (pd.pdsk === Disk.upToDate) upToDateNeighbor = true;
    if (pd.negotiationResult === Negotiation.negotiating) return;
    if (pd.negotiationResult === Negotiation.noResult) noResult++;
    else if (pd.negotiationResult === Repl.wfBitMapT) targets++;
  }
  const disk = noResult > 0 && noResult === all ? Disk.detaching
    : targets > 0 ? Disk.inconsistent
    : upToDateNeighbor ? Disk.upToDate
    : diskStateAttached(draft.old, draft, d);
  draft.setDevice(d, { disk });
  for (let c = 0; c < draft.connections.length; c++) applyNegotiation(draft, d, c);
}

/** A source whose own disk is to be synced exchanges bitmaps as well (genuine DRBD pauses at once: the peer waits for ever). */
function applyNegotiation(draft: Draft, d: number, c: number): void {
  const pd = pdAt(draft, d, c);
  if (draft.connections[c]!.cstate < Cstate.connected || pd.negotiationResult === Negotiation.negotiating) return;
  const repl = pd.negotiationResult === Negotiation.noResult ? Repl.established : pd.negotiationResult as Repl;
  draft.setPeerDevice(draft.index(d, c), { repl });
}

export const firstPass: readonly Rule<Cell>[] = [
  { row: 'S7', when: (at) => at.pd.pdsk === Disk.upToDate && sameUuid(at.device.exposedUuid, at.pd.peerCurrentUuid),
    then: (_, memory) => { memory.haveGoodPeer = true; } },
  { row: 'S8', when: (at) => at.pd.repl < Repl.established,
    then: (at) => {
      const { pdsk } = at.pd;
      at.set({ suspPeer: false, pdsk: pdsk > Disk.unknown || pdsk < Disk.inconsistent ? Disk.unknown : pdsk });
    } },
  { row: 'S9', when: (at) => at.oldPd.repl >= Repl.established && at.pd.repl < Repl.established,
    then: (at) => at.set({ resyncActive: false }) },
  { row: 'S10', when: (at) => at.connection.cstate === Cstate.standAlone && at.device.disk === Disk.diskless
      && at.draft.resource.role === Role.secondary,
    then: (at) => at.set({ suspDependency: false }) },
  // Without a connection it is a wish that T29 refuses: Established would stay, and an attach wait for the peer's word.
  { row: 'S11', when: (at) => at.pd.repl > Repl.established && at.connection.cstate >= Cstate.connected
      && (at.device.disk <= Disk.failed || at.pd.pdsk <= Disk.failed),
    then: (at) => at.set({ repl: Repl.established, reconciliationResync: false, resyncActive: false }) },
  { row: 'S12', when: (at) => at.connection.options.fencing === Fencing.resourceAndStonith
      && at.draft.resource.role === Role.primary && at.pd.repl < Repl.established && at.pd.pdsk === Disk.unknown
      && (at.draft.old.resource.role !== Role.primary || at.oldPd.pdsk !== Disk.unknown),
    then: (at) => at.draft.setConnection(at.c, { suspFen: true }) },
];

interface Bounds { readonly disk: readonly [Disk, Disk]; readonly pdsk: readonly [Disk, Disk] }
const { diskless, inconsistent, outdated, unknown, consistent, upToDate } = Disk;
const targetToBe: Bounds = { disk: [inconsistent, outdated], pdsk: [inconsistent, upToDate] };
const target: Bounds = { disk: [inconsistent, inconsistent], pdsk: [inconsistent, upToDate] };
const sourceToBe: Bounds = { disk: [inconsistent, upToDate], pdsk: [inconsistent, consistent] };
const verifying: Bounds = { disk: [inconsistent, upToDate], pdsk: [inconsistent, upToDate] };

/** By replication state: least and most for disk and pdsk. @spec state.md 3.5 S24 */
export const bounds: Readonly<Record<Repl, Bounds>> = {
  [Repl.off]: { disk: [diskless, upToDate], pdsk: [inconsistent, unknown] },
  [Repl.established]: { disk: [diskless, upToDate], pdsk: [diskless, upToDate] },
  [Repl.startingSyncT]: targetToBe, [Repl.wfBitMapT]: targetToBe, [Repl.wfSyncUuid]: targetToBe, [Repl.behind]: targetToBe,
  [Repl.syncTarget]: target, [Repl.pausedSyncT]: target,
  [Repl.startingSyncS]: sourceToBe, [Repl.wfBitMapS]: sourceToBe, [Repl.pausedSyncS]: sourceToBe, [Repl.ahead]: sourceToBe,
  [Repl.syncSource]: { disk: [inconsistent, upToDate], pdsk: [inconsistent, inconsistent] },
  [Repl.verifyS]: verifying, [Repl.verifyT]: verifying,
};

const clamp = (value: Disk, [least, most]: readonly [Disk, Disk]): Disk => {
  const low = value > most ? most : value;
  return low < least ? least : low;
};

/** What a later row finds good may be about to be overwritten by the resync with another peer: S24's bounds go on to hold. */
function raise(at: Cell, disk: Disk): void {
  let most = disk;
  somePeer(at.draft, at.d, (pd) => {
    const [, limit] = bounds[pd.repl].disk;
    if (limit < most) most = limit;
    return false;
  });
  if (most > at.device.disk) at.setDevice({ disk: most });
}

/** The end of the peer's attach, which stays Negotiating here until then. */
const attachedEqual = (at: Cell): boolean => at.oldPd.pdsk === Disk.negotiating && at.oldPd.repl === Repl.established
  && at.pd.repl === Repl.established && sameUuid(at.device.currentUuid, at.pd.peerCurrentUuid);
const becamePrimaryDiskless = (at: Cell): boolean =>
  at.oldConnection.peerRole === Role.unknown && at.connection.peerRole === Role.primary && at.pd.pdsk === Disk.diskless
  && at.device.disk >= Disk.negotiating;
/** A crashed Primary lacks what its power failure took. Outdated since: another has gone on, maybe within its generation. */
const wasFollowed = (at: Cell): boolean => at.device.crashedPrimary && at.oldDevice.disk === Disk.outdated;
/** An Inconsistent disk has no data, whatever its label: the resync that it waits for may be one within this generation. */
const sameDataNoOtherSource = (at: Cell): boolean =>
  at.device.disk >= Disk.outdated && !wasFollowed(at) && sameUuid(at.device.currentUuid, at.pd.peerCurrentUuid)
  && !somePeer(at.draft, at.d, (pd, c) => c !== at.c && isSyncTarget(pd.repl));

/** Rows S19..S32 run completely for one peer device before the next. */
export const secondPass: readonly Rule<Cell>[] = [
  { row: 'S19', when: (at) => at.oldPd.repl !== Repl.syncSource && at.pd.repl === Repl.syncSource
      && somePeer(at.draft, at.d, (pd, c) => c !== at.c && isSyncTarget(pd.repl)),
    then: (at) => at.set({ suspOtherC: true }) },
  { row: 'S20', when: (at) => at.pd.repl === Repl.syncSource && resyncSuspended(at.pd, at.device.disk),
    then: (at) => at.set({ repl: Repl.pausedSyncS }) },
  { row: 'S21', when: (at) => at.pd.repl === Repl.pausedSyncS && !resyncSuspended(at.pd, at.device.disk),
    then: (at) => at.set({ repl: Repl.syncSource }) },
  { row: 'S22', when: (at) => at.oldPd.repl !== Repl.startingSyncT && at.pd.repl === Repl.startingSyncT,
    then: (at) => {
      for (let c = 0; c < at.draft.connections.length; c++) {
        const other = pdAt(at.draft, at.d, c);
        if (c !== at.c && other.pdsk >= Disk.inconsistent && other.repl === Repl.established) {
          at.draft.setPeerDevice(at.draft.index(at.d, c), { repl: Repl.pausedSyncT });
        }
      }
    } },
  { row: 'S23', when: (at) => at.connection.agreedVersion > 0 && at.connection.agreedVersion < 110
      && at.pd.repl >= Repl.established && at.pd.repl < Repl.ahead,
    then: (at) => {
      if (at.device.disk === Disk.consistent) at.setDevice({ disk: Disk.upToDate });
      if (at.pd.pdsk === Disk.consistent) at.set({ pdsk: Disk.upToDate });
    } },
  { row: 'S24', when: always,
    then: (at) => {
      const limits = bounds[at.pd.repl];
      at.setDevice({ disk: clamp(at.device.disk, limits.disk) });
      at.set({ pdsk: clamp(at.pd.pdsk, limits.pdsk) });
    } },
  { row: 'S25', when: (at) => at.oldPd.pdsk === Disk.diskless
      && (at.pd.pdsk === Disk.failed || at.pd.pdsk === Disk.detaching),
    then: (at) => at.set({ pdsk: Disk.diskless }) },
  { row: 'S26', when: (at) => at.pd.repl === Repl.established && at.device.disk === Disk.outdated
      && at.pd.pdsk >= Disk.consistent && at.pd.uuidsReceived && (at.pd.uuidFlags & UuidFlag.stable) !== 0
      && sameUuid(at.device.currentUuid, at.pd.peerCurrentUuid)
      && (at.oldPd.repl < Repl.established || (at.pd.uuidFlags & UuidFlag.gotStable) !== 0
        || at.oldPd.pdsk === Disk.outdated),
    then: (at) => raise(at, at.pd.pdsk) },
  { row: 'S27', when: (at) => at.oldPd.repl === Repl.wfBitMapT && at.pd.repl === Repl.off && at.device.disk === Disk.outdated
      && somePeer(at.draft, at.d, (pd) => pd.pdsk === Disk.upToDate && (pd.uuidFlags & UuidFlag.stable) !== 0
        && pd.peerCurrentUuid === at.device.currentUuid)
      && mayBeUpToDate(at.draft, at.draft, at.d),
    then: (at) => raise(at, Disk.upToDate) },
  { row: 'S28', when: (at) => at.oldPd.repl < Repl.established && at.pd.repl >= Repl.established
      && at.device.disk === Disk.consistent && mayBeUpToDate(at.draft, at.draft, at.d) && !hasShownOther(at.draft, at.d),
    then: (at) => at.setDevice({ disk: Disk.upToDate }) },
  { row: 'S28', when: (at) => at.draft.resource.role === Role.primary && at.device.disk === Disk.consistent
      && !mayBeUpToDate(at.draft.old, at.draft.old, at.d) && mayBeUpToDate(at.draft, at.draft, at.d) && !hasShownOther(at.draft, at.d),
    then: (at) => raise(at, Disk.upToDate) },
  { row: 'S28', when: (at) => at.draft.old.resource.role !== Role.primary && at.draft.resource.role === Role.primary
      && at.device.disk === Disk.consistent && at.pd.pdsk === Disk.upToDate && sameUuid(at.device.currentUuid, at.pd.peerCurrentUuid)
      && mayBeUpToDate(at.draft, at.draft, at.d),
    then: (at) => raise(at, Disk.upToDate) },
  { row: 'S29', when: (at) => at.device.disk === Disk.consistent && at.pd.pdsk === Disk.upToDate
      && (at.oldPd.pdsk === Disk.consistent || attachedEqual(at) || isThroughFromHere(at)) && (at.pd.uuidFlags & UuidFlag.stable) !== 0,
    then: (at) => raise(at, Disk.upToDate) },
  { row: 'S30', when: always, then: (at) => at.set({ uuidFlags: at.pd.uuidFlags & ~UuidFlag.gotStable }) },
  { row: 'S31a', when: (at) => becamePrimaryDiskless(at) && sameDataNoOtherSource(at),
    then: (at) => { if (at.oldDevice.disk < Disk.upToDate) raise(at, Disk.upToDate); } },
  { row: 'S31b', when: (at) => becamePrimaryDiskless(at) && !sameDataNoOtherSource(at),
    then: (at) => at.setDevice({ tryToGetResync: true,
      disk: at.device.disk === Disk.upToDate ? Disk.consistent : at.device.disk }) },
  { row: 'S32', when: (at, memory) => at.pd.pdsk === Disk.upToDate && readsAtPeers(at.draft, at.d)
      && !showsItsData(at.draft, at.d, at.c) && distrusted(at, memory),
    then: (at) => at.set({ pdsk: Disk.consistent }) },
];

/** Its resync from here is over, and it is good already: it has decided first. */
const isThroughFromHere = (at: Cell): boolean => isSyncSource(at.oldPd.repl) && at.pd.repl === Repl.established;

function distrusted(at: Cell, memory: Memory): boolean {
  const withDisk = at.device.disk >= Disk.negotiating;
  if ((at.connection.agreedFeatures & FEATURE_RS_SKIP_UUID) !== 0) {
    return (at.device.exposedUuid !== 0n || (memory.haveGoodPeer && !withDisk)) && at.oldPd.pdsk !== Disk.upToDate
      && !sameUuid(at.device.exposedUuid, at.pd.peerCurrentUuid);
  }
  return !withDisk && at.oldPd.pdsk === Disk.unknown && at.draft.resource.role === Role.primary
    && !sameUuid(at.device.currentUuid, at.pd.peerCurrentUuid);
}

export const deviceTail: readonly Rule<Cell>[] = [
  { row: 'S33', when: (at) => at.draft.resource.options.quorum !== 0,
    then: (at) => {
      const verdict = calcQuorum(at.draft.old, at.draft, at.d);
      at.setDevice({ haveQuorum: verdict.haveQuorum, tiebreakerQuorum: verdict.tiebreaker });
    } },
  { row: 'S34', when: (at) => at.draft.resource.options.quorum === 0,
    then: (at) => at.setDevice({ haveQuorum: true, tiebreakerQuorum: false }) },
  { row: 'S35', when: (at) => !at.device.haveQuorum && at.device.disk === Disk.upToDate && at.device.restoreQuorum,
    then: (at) => at.setDevice({ haveQuorum: true, restoringQuorum: true }) },
  { row: 'S36', when: (at) => !at.device.haveQuorum, then: (_, memory) => { memory.lacksQuorum = true; } },
  { row: 'S37', when: (at) => at.draft.resource.role === Role.primary && !dataAccessible(at.draft, at.d),
    then: (at, memory) => {
      memory.allHaveDataAccess = false;
      if (at.draft.old.resource.role !== Role.primary || dataAccessible(at.draft.old, at.d)) memory.someLostDataAccess = true;
    } },
  { row: 'S39', when: (at, memory) => memory.maybeCrashedPrimary && memory.connectedPrimaries === 0
      && at.device.disk === Disk.upToDate && at.draft.old.resource.role === Role.secondary,
    then: (at) => at.setDevice({ disk: Disk.consistent }) },
];

export const resourceRules: readonly Rule<Draft>[] = [
  { row: 'S40', when: (t, memory) => memory.allHaveDataAccess || t.resource.role !== Role.primary,
    then: (t) => t.setResource({ suspNod: false }) },
  { row: 'S41', when: (t, memory) => memory.someLostDataAccess && t.resource.options.onNoDataAccessible === 'suspend-io',
    then: (t) => t.setResource({ suspNod: true }) },
  { row: 'S42', when: always,
    then: (t, memory) => t.setResource({
      suspQuorum: t.resource.options.onNoQuorum === 'suspend-io' && memory.lacksQuorum }) },
  { row: 'S43', when: (t) => !t.old.resource.suspUuid && isSuspended(t.old) && !isSuspended(t)
      && t.devices.some((device, d) => device.newCurUuid || regainsData(t.old, t, d)),
    then: (t) => t.setResource({ suspUuid: true }) },
  { row: 'S44', when: (t) => t.old.resource.role === Role.primary && t.resource.role === Role.secondary
      && (t.flags & Cs.fsIgnOpeners) !== 0 && t.devices.some((device) => device.openCount > 0 && device.writable),
    then: (t) => t.setResource({ failIo: true }) },
];

function runRules<Subject>(rules: readonly Rule<Subject>[], subject: Subject, memory: Memory): void {
  for (const rule of rules) if (rule.when(subject, memory)) rule.then(subject, memory);
}

/** Something that concerns every volume has changed. */
const concernsAll = ({ old, flags, resource, connections }: Draft): boolean =>
  (flags & Cs.forceRecalc) !== 0 || resource.role !== old.resource.role || connections.some((c, n) => c !== old.connections[n]);

/**
 * Can a rule of this volume act? What a transaction has left is legal, so something must have changed; or an answer is
 * awaited; or a better sync source may have come up.
 */
const stirred = (draft: Draft, d: number): boolean =>
  draft.devices[d] !== draft.old.devices[d] || draft.devices[d]!.disk === Disk.negotiating
  || somePeer(draft, d, (pd, c) => pd !== draft.old.peerDevices[draft.index(d, c)] || isSyncTarget(pd.repl)
    || (pd.uuidFlags & UuidFlag.gotStable) !== 0);

/** Makes the draft legal. */
export function sanitize(draft: Draft): void {
  const memory: Memory = { maybeCrashedPrimary: false, connectedPrimaries: 0, lacksQuorum: false, allHaveDataAccess: true,
    someLostDataAccess: false, haveGoodPeer: false };
  const at = new Cell(draft);
  const connections = draft.connections.length;
  for (let c = 0; c < connections; c++) runRules(connectionRules, at.at(0, c), memory);
  const all = concernsAll(draft);
  for (let d = 0; d < draft.devices.length; d++) {
    memory.haveGoodPeer = false;
    if (all || stirred(draft, d)) {
      runRules(deviceRules, at.at(d, 0), memory);
      for (let c = 0; c < connections; c++) runRules(firstPass, at.at(d, c), memory);
      selectSyncTarget(draft, d);
      for (let c = 0; c < connections; c++) runRules(secondPass, at.at(d, c), memory);
    }
    runRules(deviceTail, at.at(d, 0), memory);
  }
  runRules(resourceRules, draft, memory);
}
