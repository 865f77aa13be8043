// SPDX-License-Identifier: GPL-2.0-or-later
/** (view, event) → (view, effects, work, result): the one way in. @spec state.md */
import { unreachable } from '../assert.ts';
import type { Draft } from './draft.ts';
import type { Effect, Result } from './effects.ts';
import type { Event } from './events.ts';
import type { Verdict } from './guards.ts';
import { hearsOfLoss, pdAt, reconcileHold } from './facts.ts';
import { LEVEL, logLine } from './log-lines.ts';
import { addConnection, addDevice, removeConnection, removeDevice } from './objects.ts';
import { startChange, startEmpty } from './op-change.ts';
import { startConnect } from './op-connect.ts';
import { startResize } from './op-resize.ts';
import { startDisconnect } from './op-disconnect.ts';
import { checkFencing, fenceLostPeer } from './op-fence.ts';
import { startRole } from './op-role.ts';
import { pollOperations, signalOperations } from './operations.ts';
import {
  dropForeign, pollReply, pollWaiting, receiveReply, receiveTwopc, retryOpener, retryOpenerTimer, waitTimer,
} from './participant.ts';
import { Ss } from './ss.ts';
import { Cs, Cstate, Disk, Role } from './states.ts';
import { Step, transact } from './transaction.ts';
import { TWOPC_TIMER, setTwopc } from './twopc-common.ts';
import type { Live, View } from './types.ts';
import {
  connectionIndex, deviceIndex, findConnection, findDevice, replaceConnection, replaceDevice, replacePeerDevice, replacePeerDevicesOf, replaceResource,
} from './view.ts';

export interface StepResult {
  readonly view: View;
  /** At once, in order, before anything else of this resource. */
  readonly effects: readonly Effect[];
  /** To the end of the resource's worker queue. */
  readonly work: readonly Effect[];
  /** Of a local transaction in the event; success for events that have none or whose end comes as `done`. */
  readonly result: Result;
}

const fine: Verdict = { rc: Ss.success, reason: null };

/** Pure: the same arguments give the same result. The views are never changed. */
export function step(view: View, event: Event, live: Live): StepResult {
  const s = new Step(view, live);
  const result = take(s, event) ?? fine;
  comeToRest(s);
  return { view: s.view, effects: s.effects, work: s.work, result };
}

/** Everybody who waits looks again, until nothing moves. */
function comeToRest(s: Step): void {
  for (;;) {
    const before = s.view;
    pollTwopc(s);
    pollOperations(s);
    if (s.view === before) return;
  }
}

function pollTwopc(s: Step): void {
  const { twopc } = s.view;
  if (twopc !== null && twopc.side === 'participant' && !twopc.executed) {
    const anybody = s.view.connections.some((c) => c.cstate === Cstate.connected || c.cstate === Cstate.connecting);
    if (!anybody) dropForeign(s, 'timeout'); // W48
    else if (twopc.parents === 0n) dropForeign(s, 'parents');
  }
  retryOpener(s, false);
  pollReply(s);
  pollWaiting(s, -1);
}

function take(s: Step, event: Event): Verdict | void {
  switch (event.kind) {
    case 'addDevice': s.view = addDevice(s.view, event); return;
    case 'removeDevice': s.view = removeDevice(s.view, event); return;
    case 'addConnection': s.view = addConnection(s.view, event); return;
    case 'removeConnection': s.view = removeConnection(s.view, event); return;
    case 'resourceOptions': return resourceOptions(s, event);
    case 'connectionOptions': s.view = replaceConnection(s.view, event.nodeId, { options: event.options }); return;
    case 'deviceOptions': s.view = replaceDevice(s.view, event.vnr, { options: event.options }); return;
    case 'wantBitmap': s.view = replacePeerDevice(s.view, event.vnr, event.nodeId, { wantBitmap: event.wantBitmap }); return;
    case 'resourceFacts': return resourceFacts(s, event);
    case 'connectionFacts': s.view = replaceConnection(s.view, event.nodeId, event.facts); return;
    case 'deviceFacts': return deviceFacts(s, event);
    case 'peerDeviceFacts': s.view = replacePeerDevice(s.view, event.vnr, event.nodeId, event.facts); return;
    case 'change': return localChange(s, event);
    case 'clusterChange': return startChange(s, event.request, event.tag, event.flags, event.transient, event.change);
    case 'resize': return startResize(s, event);
    case 'setRole': return setRole(s, event);
    case 'connect': return connect(s, event);
    case 'disconnect': return startDisconnect(s, event.request, event.tag, event.nodeId, event.force);
    case 'cancel': return signalOperations(s, { kind: 'cancel', request: event.request });
    case 'handshakeStart': return handshakeStart(s, event.nodeId);
    case 'handshakeState': return handshakeState(s, event);
    case 'handshakeFailed': return handshakeFailed(s, event);
    case 'handshakeSizesError': return setTwopc(s, { sizesError: true });
    case 'lost': return lost(s, event);
    case 'tornDown': return tornDown(s, event.nodeId);
    case 'twopc': return receiveTwopc(s, event.from, event.packet);
    case 'twopcReply': return receiveReply(s, event.from, event.packet);
    case 'ioError': return ioError(s, event);
    case 'goDiskless': return transact(s, { flags: Cs.hard, tag: 'go-diskless' }, (draft) =>
      draft.apply([{ set: 'disk', vnr: event.vnr, disk: Disk.diskless }]));
    case 'openCount': return openCount(s, event);
    case 'suspUuidDone': return transact(s, { flags: Cs.verbose, tag: 'susp-uuid' }, (draft) => draft.setResource({ suspUuid: false }));
    case 'checkFencing': return checkFencing(s, event.nodeId, event.made === true);
    case 'reconciled': return reconciled(s, event.nodeId);
    case 'emptyTwopc': return startEmpty(s);
    case 'fencePeer': return fenceLostPeer(s, event.nodeId);
    case 'timer': return timer(s, event.name);
    case 'helperDone': return signalOperations(s, { kind: 'helper', token: event.token, exit: event.exit });
    case 'pinged': case 'ioQuiet': case 'workDone': return tokenDone(s, event.token);
    case 'poke': return;
    default: return unreachable(event);
  }
}

type Of<Kind extends Event['kind']> = Event & { readonly kind: Kind };

function hard(s: Step, tag: string, apply: (draft: Draft, c: number) => void, nodeId: number): Verdict {
  return transact(s, { flags: Cs.hard, tag }, (draft) => {
    const c = connectionIndex(draft, nodeId);
    if (c >= 0) apply(draft, c);
  });
}

/** What has no link has nothing to lose; it may be ended. */
function lost(s: Step, event: Of<'lost'>): Verdict | void {
  const connection = findConnection(s.view, event.nodeId);
  if (connection === undefined || (connection.cstate < Cstate.connecting && event.cstate !== Cstate.disconnecting)) return;
  if (event.why !== undefined) s.effects.push(logLine(event.why, LEVEL.warning, -1, event.nodeId));
  return hard(s, event.tag, (draft, c) => {
    draft.setCstate(c, event.cstate);
    // Its disk may be good: it may go on without us.
    for (const vnr of event.through ?? []) draft.setPeerDevice(draft.index(deviceIndex(draft, vnr), c), { pdsk: Disk.unknown });
  }, event.nodeId);
}

const answer = (s: Step, request: number, verdict: Verdict): Verdict => {
  if (request > 0) s.effects.push({ kind: 'done', request, rc: verdict.rc, reason: verdict.reason });
  return verdict;
};

function resourceOptions(s: Step, event: Of<'resourceOptions'>): Verdict {
  const before = s.view.resource.options;
  s.view = replaceResource(s.view, { options: event.options });
  const recalc = before.quorum !== event.options.quorum || before.onNoQuorum !== event.options.onNoQuorum
    || before.quorumMinimumRedundancy !== event.options.quorumMinimumRedundancy;
  return answer(s, event.request, recalc
    ? transact(s, { flags: Cs.verbose | Cs.forceRecalc, tag: 'resource-options' }, () => undefined) : fine);
}

function resourceFacts(s: Step, event: Of<'resourceFacts'>): void {
  const before = s.view.resource;
  s.view = replaceResource(s.view, event.facts);
  const { role, explicitPrimary, members } = s.view.resource;
  if (before.explicitPrimary !== explicitPrimary) s.effects.push({ kind: 'sticky', fact: { kind: 'role', role, explicitPrimary } });
  if (before.members !== members) s.effects.push({ kind: 'sticky', fact: { kind: 'members', members } });
}

function deviceFacts(s: Step, event: Of<'deviceFacts'>): void {
  const before = findDevice(s.view, event.vnr);
  s.view = replaceDevice(s.view, event.vnr, event.facts);
  const device = findDevice(s.view, event.vnr);
  if (before === undefined || device === undefined) return;
  if (before.exposedUuid !== device.exposedUuid) {
    s.effects.push({ kind: 'sticky', fact: { kind: 'exposedUuid', vnr: device.vnr, uuid: device.exposedUuid } });
  }
  if (before.newCurUuid === device.newCurUuid) return;
  s.effects.push({ kind: 'sticky', fact: { kind: 'disk', vnr: device.vnr, disk: device.disk, newCurUuid: device.newCurUuid } },
    { kind: 'ioChanged' });
}

/** `done` comes when the after-state-change work is done, if the flags ask for that. */
function localChange(s: Step, event: Of<'change'>): Verdict {
  const verdict = transact(s, { flags: event.flags, tag: event.tag }, (draft) => draft.apply(event.changes));
  const waits = (event.flags & Cs.waitComplete) !== 0 && verdict.rc >= Ss.success && event.request > 0;
  if (!waits) return answer(s, event.request, verdict);
  s.work.push({ kind: 'done', request: event.request, rc: verdict.rc, reason: verdict.reason });
  return verdict;
}

function setRole(s: Step, event: Of<'setRole'>): void {
  if (event.role === Role.unknown) return;
  startRole(s, event.request, event.tag, event.role, event.force);
}

function connect(s: Step, event: Of<'connect'>): Verdict {
  s.view = replaceConnection(s.view, event.nodeId, { discardMyData: event.discardMyData, dryRun: event.tentative });
  return answer(s, event.request, transact(s, { flags: Cs.verbose, tag: 'connect' }, (draft) =>
    draft.apply([{ set: 'cstate', nodeId: event.nodeId, cstate: Cstate.unconnected }])));
}

function handshakeStart(s: Step, nodeId: number): void {
  if (s.view.resource.nodeId < nodeId) startConnect(s, nodeId);
}

/** Only the first state of an attempt decides, and only while its transaction is on. @spec state.md 5.3 step 16 */
function handshakeState(s: Step, event: Of<'handshakeState'>): void {
  const { twopc, resource } = s.view;
  if (twopc === null || !twopc.isConnect || findConnection(s.view, event.nodeId)?.cstate !== Cstate.connecting) return;
  const { initiator, target } = twopc.packet;
  const ours = (initiator === resource.nodeId && target === event.nodeId) || (target === resource.nodeId && initiator === event.nodeId);
  const d = deviceIndex(s.view, event.vnr);
  const c = connectionIndex(s.view, event.nodeId);
  if (!ours || d < 0 || c < 0) return;
  const pd = s.view.peerDevices[d * s.view.connections.length + c]!;
  const connectState = pd.initialStateReceived ? { ...pd.connectState, peerIsp: event.state.peerIsp }
    : { ...event.state, disk: pd.connectState.disk !== Disk.mask ? pd.connectState.disk : event.state.disk };
  s.view = replacePeerDevice(s.view, event.vnr, event.nodeId, { initialStateReceived: true, connectState });
}

/** A retry beats a disconnect. */
function handshakeFailed(s: Step, event: Of<'handshakeFailed'>): void {
  if (findConnection(s.view, event.nodeId)?.handshake === 'retry') return;
  s.view = replaceConnection(s.view, event.nodeId, { handshake: event.how });
}

/** End of conn_disconnect. @spec state.md 7.6 */
function tornDown(s: Step, nodeId: number): Verdict | void {
  const connection = findConnection(s.view, nodeId);
  if (connection === undefined) return;
  if (connection.cstate === Cstate.disconnecting) {
    linkEnded(s, nodeId, connection.notifyPeersLostPrimary);
    return hard(s, 'disconnected', (draft, c) => draft.setCstate(c, Cstate.standAlone), nodeId);
  }
  const verdict = hard(s, 'disconnected', (draft, c) => {
    if (draft.connections[c]!.cstate >= Cstate.unconnected) draft.setCstate(c, Cstate.unconnected);
  }, nodeId);
  linkEnded(s, nodeId, connection.notifyPeersLostPrimary);
  return verdict;
}

/**
 * Nothing is owed to or by this node any more; if it was a Primary the others are told, and owe an answer. Who is Primary
 * itself by now says nothing: they would take the generation that it names for a new one.
 */
function linkEnded(s: Step, nodeId: number, lostPrimary: boolean): void {
  if (lostPrimary && s.view.resource.role !== Role.primary) {
    s.effects.push({ kind: 'tellLostPrimary', lostNodeId: nodeId });
    s.view.devices.forEach((device, d) => s.view.connections.forEach((connection, c) => {
      if (connection.nodeId === nodeId || !hearsOfLoss(device, pdAt(s.view, d, c))) return;
      s.view = replacePeerDevice(s.view, device.vnr, connection.nodeId, { reconcilePending: true });
    }));
  }
  if (lostPrimary) s.view = replaceConnection(s.view, nodeId, { notifyPeersLostPrimary: false, lossTold: true });
  s.view = replacePeerDevicesOf(s.view, nodeId, { reconcilePending: false, reconciliationResync: false });
  tryUpToDate(s);
}

function reconciled(s: Step, nodeId: number): void {
  const nodes = nodeId < 0 ? s.view.connections.map((c) => c.nodeId) : [nodeId];
  for (const n of nodes) s.view = replacePeerDevicesOf(s.view, n, { reconcilePending: false });
  tryUpToDate(s);
}

/** hazards.md 15.5 "try" */
function tryUpToDate(s: Step): void {
  const { devices } = s.view;
  if (!devices.some(({ disk }) => disk === Disk.consistent) || devices.some((_, d) => reconcileHold(s.view, d))) return;
  s.view = replaceResource(s.view, { tryBecomeUpToDatePending: true });
  startEmpty(s);
}

/** drbd_handle_io_error. @spec state.md 7.5 */
function ioError(s: Step, event: Of<'ioError'>): Verdict | void {
  const device = findDevice(s.view, event.vnr);
  if (device === undefined || device.disk <= Disk.failed) return;
  const passes = device.options.onIoError === 'pass_on' && (event.error === 'read' || event.error === 'write');
  if (passes && device.disk <= Disk.inconsistent) return;
  if (event.error === 'forceDetach') s.view = replaceDevice(s.view, event.vnr, { forceDetach: true });
  const what = event.error === 'meta' ? 'meta data' : event.error;
  s.effects.push(logLine(passes ? `Local IO failed in ${what}.` : `Local IO failed in ${what}. Detaching...`, LEVEL.err, event.vnr));
  return transact(s, { flags: Cs.hard, tag: 'local-io-error' }, (draft) =>
    draft.apply([{ set: 'disk', vnr: event.vnr, disk: passes ? Disk.inconsistent : Disk.failed }]));
}

/** The last opener of all ends a forced failing of I/O. @spec state.md 7.2 */
function openCount(s: Step, event: Of<'openCount'>): Verdict | void {
  const before = findDevice(s.view, event.vnr);
  if (before === undefined) return;
  const { openCount: count, writable } = event;
  s.view = replaceDevice(s.view, event.vnr, { openCount: count, writable });
  const after = findDevice(s.view, event.vnr)!;
  if ((before.openCount > 0) !== (count > 0)) {
    s.effects.push({ kind: 'notify', more: false, object: { object: 'device', vnr: event.vnr,
      info: { disk: after.disk, haveQuorum: after.haveQuorum, intentionalDiskless: after.intentionalDiskless, open: count > 0 } } });
  }
  if (!s.view.resource.failIo || s.view.devices.some((device) => device.openCount > 0)) return;
  return transact(s, { flags: Cs.verbose, tag: 'release' }, (draft) => draft.setResource({ failIo: false }));
}

function timer(s: Step, name: string): void {
  if (name === TWOPC_TIMER && s.view.twopc?.side === 'participant') return dropForeign(s, 'timeout');
  if (name === retryOpenerTimer) return retryOpener(s, true);
  for (const { from } of s.view.waiting) if (name === waitTimer(from)) return pollWaiting(s, from);
  signalOperations(s, { kind: 'timer', name });
}

function tokenDone(s: Step, token: number): void {
  signalOperations(s, { kind: 'token', token });
}
