// SPDX-License-Identifier: GPL-2.0-or-later
/** The one place where state variables change. @spec state.md 2.3 */
import { assert } from '../assert.ts';
import { afterStateChange } from './after.ts';
import { Cell } from './cell.ts';
import { Draft, anyChange } from './draft.ts';
import type { Effect, Sticky } from './effects.ts';
import { dataAccessible, isSuspended, isUnstable, pdAt, shouldMirror, shouldSendOutOfSync } from './facts.ts';
import { exposeUuid, finishStateChange } from './finish.ts';
import { checkHard, checkSoft } from './guards.ts';
import { noHandshake } from './handshake.ts';
import type { Verdict } from './guards.ts';
import { LEVEL, logLine } from './log-lines.ts';
import { sanitize } from './sanitize.ts';
import { Ss, ssText } from './ss.ts';
import { Cs, Cstate, Disk, Repl, UuidFlag } from './states.ts';
import type { Live, View } from './types.ts';
import { PRO_VERSION_MAX, bit, hasNode, patched, sameUuid } from './view.ts';

/** Feature 2PC_V2. @spec wire.md 3 */
export const FEATURE_TWOPC_V2 = 32;

/** What a step works on. Only commit() and the replace functions give it another view. */
export class Step {
  view: View;
  readonly live: Live;
  /** Done at once, in order. */
  readonly effects: Effect[] = [];
  /** For the resource's worker queue. */
  readonly work: Effect[] = [];

  constructor(view: View, live: Live) {
    this.view = view;
    this.live = live;
  }
}

export interface TransactionOptions {
  readonly flags: number;
  readonly tag: string;
  /** An own two-phase commit was agreed: who is in the cluster now (6.9). */
  readonly members?: bigint;
  /** Event workDone comes with this token when the after-state-change work is done. */
  readonly token?: number;
}

export const begin = (step: Step, flags: number): Draft => new Draft(step.view, step.live, flags);

/** try_state_change: makes the draft legal and judges it. @spec state.md 2.3 step 3 */
export function judge(draft: Draft): Verdict {
  const stirred = anyChange(draft.old, draft) || (draft.flags & Cs.forceRecalc) !== 0
    || draft.peerDevices.some((pd) => (pd.uuidFlags & UuidFlag.gotStable) !== 0);
  if (!stirred) return { rc: Ss.nothingToDo, reason: null };
  sanitize(draft);
  const hard = checkHard(draft);
  if (hard.rc < Ss.success || draft.hard) return hard;
  return checkSoft(draft);
}

/** A refusal in the log. */
export function logRefusal(step: Step, verdict: Verdict, tag: string): void {
  const where = verdict.reason?.kind === 'guard' ? verdict.reason : { vnr: -1, nodeId: -1 };
  const text = verdict.reason !== null && 'text' in verdict.reason ? verdict.reason.text : ssText(verdict.rc);
  if (verdict.rc === Ss.noQuorum) step.effects.push(logLine(text, LEVEL.info, where.vnr));
  step.effects.push(logLine(`State change failed: ${ssText(verdict.rc)} (${verdict.rc}) [${tag}]`, LEVEL.err, where.vnr, where.nodeId));
}

/** end_state_change: judges and, if nothing refuses, commits. With Cs.prepare it only judges. */
export function end(step: Step, draft: Draft, options: TransactionOptions): Verdict {
  assert(draft.old === step.view, 'one transaction at a time');
  const verdict = judge(draft);
  if (verdict.rc < Ss.success) {
    if ((draft.flags & Cs.verbose) !== 0) logRefusal(step, verdict, options.tag);
    return verdict;
  }
  if ((draft.flags & Cs.prepare) === 0) commit(step, draft, options);
  return verdict;
}

/** One whole transaction. */
export function transact(step: Step, options: TransactionOptions, apply: (draft: Draft) => void): Verdict {
  const draft = begin(step, options.flags);
  apply(draft);
  return end(step, draft, options);
}

/** @spec state.md 6.9 */
function updateMembers(draft: Draft, members: bigint | undefined): void {
  if (members !== undefined) return draft.setResource({ members });
  let next = draft.resource.members;
  let scheduled = draft.resource.emptyTwopcScheduled;
  draft.connections.forEach((connection, c) => {
    const before = draft.old.connections[c]!;
    if (before.cstate < Cstate.connected && connection.cstate === Cstate.connected) next |= bit(connection.nodeId);
    const lost = before.cstate === Cstate.connected && connection.cstate < Cstate.connected && hasNode(next, connection.nodeId);
    const told = (connection.agreedFeatures & FEATURE_TWOPC_V2) !== 0 && connection.cstate === Cstate.tearDown;
    if (lost && !told) scheduled = true;
  });
  draft.setResource({ members: next, emptyTwopcScheduled: scheduled });
}

function recompute(draft: Draft): void {
  const { options } = draft.resource;
  draft.devices.forEach((device, d) => {
    let mirrorMask = 0;
    let outOfSyncMask = 0;
    let remoteReadMask = 0;
    draft.connections.forEach((connection, c) => {
      const pd = pdAt(draft, d, c);
      const node = 1 << connection.nodeId;
      if (shouldMirror(pd)) mirrorMask |= node;
      else if (shouldSendOutOfSync(pd)) outOfSyncMask |= node;
      if (pd.pdsk === Disk.upToDate && pd.repl > Repl.off && connection.options.allowRemoteRead) remoteReadMask |= node;
    });
    draft.setDevice(d, {
      mirrorMask, outOfSyncMask, remoteReadMask, localReadable: device.disk === Disk.upToDate, unstable: isUnstable(draft, d),
      errIo: draft.resource.failIo || (options.onNoQuorum === 'io-error' && !device.haveQuorum)
        || (options.onNoDataAccessible === 'io-error' && !dataAccessible(draft, d)),
    });
  });
  draft.setResource({
    suspended: isSuspended(draft),
    minAgreedVersion: draft.connections.reduce((least, c) => c.agreedVersion > 0 && c.agreedVersion < least ? c.agreedVersion : least,
      PRO_VERSION_MAX),
    allDevicesHaveQuorum: draft.devices.every((device) => device.haveQuorum),
  });
}

/** 9.6: the generation that users of the device see now: what they have seen before, as long as a good peer has it. */
function exposeData(draft: Draft, out: Effect[]): void {
  const at = new Cell(draft);
  draft.devices.forEach((device, d) => {
    at.at(d, 0);
    if (device.disk === Disk.upToDate) return exposeUuid(at, out, device.currentUuid);
    const isRead = (n: number): boolean => draft.connections[n]!.options.allowRemoteRead && pdAt(draft, d, n).pdsk === Disk.upToDate;
    const isShown = (n: number): boolean => isRead(n) && sameUuid(pdAt(draft, d, n).peerCurrentUuid, device.exposedUuid);
    const c = draft.connections.findIndex((_, n) => isRead(n));
    if (c >= 0 && !draft.connections.some((_, n) => isShown(n))) exposeUuid(at, out, pdAt(draft, d, c).peerCurrentUuid);
  });
}

function stickies(old: View, now: View, out: Effect[]): void {
  const stick = (fact: Sticky): void => { out.push({ kind: 'sticky', fact }); };
  const a = old.resource;
  const b = now.resource;
  if (a.role !== b.role) stick({ kind: 'role', role: b.role, explicitPrimary: b.explicitPrimary });
  if (a.suspUser !== b.suspUser || a.suspNod !== b.suspNod || a.suspQuorum !== b.suspQuorum || a.suspUuid !== b.suspUuid
    || a.failIo !== b.failIo) {
    stick({ kind: 'suspended', user: b.suspUser, nod: b.suspNod, quorum: b.suspQuorum, uuid: b.suspUuid, failIo: b.failIo });
  }
  if (a.members !== b.members) stick({ kind: 'members', members: b.members });
  now.connections.forEach((connection, c) => {
    const before = old.connections[c]!;
    const standAlone = connection.cstate === Cstate.standAlone;
    if ((before.cstate === Cstate.standAlone) !== standAlone) stick({ kind: 'standAlone', nodeId: connection.nodeId, standAlone });
    if (before.suspFen !== connection.suspFen || now.devices.some((_, d) => pdAt(old, d, c).pdsk !== pdAt(now, d, c).pdsk)) {
      const pdsk = now.devices.map((_, d) => pdAt(now, d, c).pdsk);
      stick({ kind: 'fencing', nodeId: connection.nodeId, suspFen: connection.suspFen, pdsk });
    }
  });
  now.devices.forEach((device, d) => {
    const before = old.devices[d]!;
    if (before.disk !== device.disk || before.newCurUuid !== device.newCurUuid) {
      stick({ kind: 'disk', vnr: device.vnr, disk: device.disk, newCurUuid: device.newCurUuid });
    }
    if (before.outgrown !== device.outgrown) stick({ kind: 'outgrown', vnr: device.vnr, outgrown: device.outgrown });
  });
  now.peerDevices.forEach((pd, i) => {
    if (old.peerDevices[i]!.suspUser !== pd.suspUser) stick({ kind: 'pauseSync', vnr: pd.vnr, nodeId: pd.nodeId, user: pd.suspUser });
  });
}

const ioDiffers = (a: View, b: View): boolean =>
  a.resource.suspended !== b.resource.suspended || a.devices.some((x, d) => {
    const y = b.devices[d]!;
    return x !== y && (x.unstable !== y.unstable || x.errIo !== y.errIo || x.mirrorMask !== y.mirrorMask
      || x.outOfSyncMask !== y.outOfSyncMask || x.remoteReadMask !== y.remoteReadMask || x.localReadable !== y.localReadable
      || x.newCurUuid !== y.newCurUuid || x.disk !== y.disk || x.haveQuorum !== y.haveQuorum);
  });

/**
 * A prepared connection that is lost counts as RETRY (F48); a lost parent is none any more (6.10), and what it asked is not
 * taken up when the current change has ended: nobody would end it.
 */
function withoutLost(draft: Draft): Pick<View, 'twopc' | 'waiting'> {
  const { twopc, waiting } = draft.old;
  let lost = 0n;
  draft.connections.forEach((connection, c) => {
    const was = draft.old.connections[c]!.cstate;
    if (was >= Cstate.connecting && connection.cstate < Cstate.connecting) lost |= bit(connection.nodeId);
  });
  if (lost === 0n) return { twopc, waiting };
  return {
    twopc: twopc && patched(twopc, { retry: twopc.retry | (lost & twopc.prepared), parents: twopc.parents & ~lost }),
    waiting: waiting.filter(({ from, why }) => why === 'retryOpener' || !hasNode(lost, from)),
  };
}

/** NEW becomes NOW. */
function commit(step: Step, draft: Draft, options: TransactionOptions): void {
  const { old } = draft;
  const finish: Effect[] = [];
  updateMembers(draft, options.members);
  finishStateChange(draft, options.tag, finish);
  draft.connections.forEach((connection, c) => { // is_connect: the handshake's UUIDs may move again
    if (old.connections[c]!.cstate !== Cstate.connecting || connection.cstate !== Cstate.connected) return;
    for (let d = 0; d < draft.devices.length; d++) draft.setPeerDevice(draft.index(d, c), { holdingUuidLock: false });
  });
  draft.connections.forEach((connection, c) => { // nothing of a handshake outlives its connection (7.6)
    if (old.connections[c]!.cstate < Cstate.connecting || connection.cstate >= Cstate.connecting) return;
    draft.setConnection(c, { handshake: 'none' });
    for (let d = 0; d < draft.devices.length; d++) draft.setPeerDevice(draft.index(d, c), { ...noHandshake, holdingUuidLock: false });
  });
  exposeData(draft, finish);
  recompute(draft);
  const now: View = { ...old, resource: draft.resource, connections: draft.connections, devices: draft.devices,
    peerDevices: draft.peerDevices, ...withoutLost(draft) };
  stickies(old, now, step.effects);
  step.effects.push(...finish);
  if (ioDiffers(old, now)) step.effects.push({ kind: 'ioChanged' });
  afterStateChange(old, now, step.work);
  step.view = { ...now, resource: patched(now.resource, { emptyTwopcScheduled: false }),
    devices: now.devices.map((device) => patched(device, { tryToGetResync: false })) };
  if (options.token !== undefined && options.token > 0) {
    step.work.push({ kind: 'raise', event: { kind: 'workDone', token: options.token } });
  }
}


