// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * receive_state: what a peer's P_STATE leads to. Pure; the UUID decision comes from the caller, and only when it is asked
 * for. What comes out is done in order. Step numbers are those of the spec. @spec state.md 5.3
 */
import type { Change, Event } from './events.ts';
import { isSuspended, pdAt } from './facts.ts';
import { isState, unpackState } from './state-word.ts';
import type { StateWord } from './state-word.ts';
import { Cs, Cstate, Disk, Negotiation, Repl, Role, UuidFlag, diskNames, isSyncSource, isSyncTarget } from './states.ts';
import { connectPeer } from './twopc-common.ts';
import type { DeviceRow, PeerDeviceRow, View } from './types.ts';
import { connectionIndex, deviceIndex, sameUuid } from './view.ts';

/** drbdd on both ends. */
const FEATURE_RECONCILE_BITS = 1 << 30;

/** Outcome of the UUID handshake (uuid-handshake.ts). */
export type Decision =
  /** Replication state that follows; established: no resync. */
  | { readonly repl: Repl }
  /** drop: a tentative connect has told what it would do. */
  | { readonly how: 'disconnect' | 'retry' | 'drop' };

export interface Decider {
  /** The UUID handshake of a connect (uuid.md 3.2); pdsk is the peer's disk with Negotiating replaced. */
  handshake(pdsk: Disk): Decision;
  /** The one of an attach (uuid.md 3.8). */
  attach(pdsk: Disk): Decision;
  /** The own disk gives no data: may the peer's data be trusted (9.6)? */
  diskless(): 'ok' | 'outdated' | 'retry' | 'disconnect';
  /** Are its data known to be older than those of another one? */
  older(): boolean;
  /** Without good data here: may it have lost writes that were answered? Then it is turned away for now. */
  turnedAway(): boolean;
}

export type StateAction =
  | { readonly do: 'event'; readonly event: Event }
  /** Resync as source has ended. Then facts lastRepl. @spec state.md 7.8 */
  | { readonly do: 'resyncFinished' }
  /** The target has ended before this source has begun: resyncFinished as soon as it has. */
  | { readonly do: 'resyncFinishesEarly' }
  | { readonly do: 'verifyFinished' }
  /** Behind becomes target: disk Inconsistent at once, start the resync. */
  | { readonly do: 'startResyncAsTarget' }
  /** "Aborting Connect": a new current UUID, then ProtocolError, no suspension by the user. */
  | { readonly do: 'abortConnect' }
  | { readonly do: 'send'; readonly packets: readonly ('sizes' | 'uuids' | 'state')[] }
  /** The peer's sizes are adopted: a diskless Primary with the same data (step 13). */
  | { readonly do: 'adoptSize' }
  /** The last state of a handshake: the data stream's time-out ends. */
  | { readonly do: 'handshakeFinished' }
  | { readonly do: 'syncMd' }
  /** Nothing follows; a tentative connect ends. */
  | { readonly do: 'drop'; readonly why: string };

interface At {
  readonly view: View;
  readonly vnr: number;
  readonly nodeId: number;
  readonly pd: PeerDeviceRow;
  readonly device: DeviceRow;
  readonly cstate: Cstate;
  readonly peer: StateWord;
  /** The peer's disk; Negotiating stands for what its flags say. */
  readonly realDisk: Disk;
  /** A connect transaction between the two of us is on. */
  readonly connects: boolean;
}

type Out = StateAction[];
const event = (e: Event): StateAction => ({ do: 'event', event: e });

/** vnr -1: the resource's role only. */
export function receiveState(view: View, nodeId: number, vnr: number, word: number, decide: Decider): readonly StateAction[] {
  const c = connectionIndex(view, nodeId);
  const peer = unpackState(word);
  if (c < 0) return [];
  if (!isState(peer)) return [lostTo(nodeId, Cstate.protocolError, `unknown state ${word.toString(16)}`)];
  if (vnr < 0) return resourceState(nodeId, peer);
  const d = deviceIndex(view, vnr);
  if (d < 0) return [];
  const pd = pdAt(view, d, c);
  const { cstate } = view.connections[c]!;
  const inconsistent = (pd.uuidFlags & UuidFlag.inconsistent) !== 0;
  const realDisk = peer.disk !== Disk.negotiating ? peer.disk : inconsistent ? Disk.inconsistent : Disk.consistent; // 3
  const connects = view.twopc !== null && connectPeer(view, view.twopc) === nodeId;
  const at: At = { view, vnr, nodeId, pd, device: view.devices[d]!, cstate, peer, realDisk, connects };
  if (peer.disk > Disk.diskless && !pd.wantBitmap) { // 2
    return [lostTo(nodeId, Cstate.disconnecting, `The peer is configured to be diskless but presents ${diskNames[peer.disk]}`)];
  }
  if (cstate <= Cstate.tearDown) return [{ do: 'drop', why: 'not connected' }]; // 4
  const ended = endOfResync(at);
  if (ended !== null) return ended;
  if (!verifyEnded(at)) return decideState(at, decide);
  // 7. The same word may tell of a disk that is another one now.
  return [{ do: 'verifyFinished' }, ...decideState({ ...at, pd: { ...at.pd, repl: Repl.established } }, decide)];
}

/** Also where a disk was not good, which genuine DRBD leaves in VerifyT. */
const verifyEnded = ({ pd, device, peer }: At): boolean => pd.repl === Repl.verifyT && peer.conn === Repl.established
  && (pd.lastRepl === Repl.verifyS || (device.disk === Disk.upToDate && peer.disk === Disk.upToDate));

function resourceState(nodeId: number, peer: StateWord): readonly StateAction[] {
  if (peer.role !== Role.secondary) return [];
  return [event({ kind: 'change', request: 0, tag: 'peer-state', flags: Cs.hard,
    changes: [{ set: 'peerRole', nodeId, role: Role.secondary }] })];
}

const lostTo = (nodeId: number, cstate: Cstate, why?: string): StateAction =>
  event({ kind: 'lost', nodeId, cstate, tag: 'peer-state', ...(why === undefined ? {} : { why }) });
const facts = ({ vnr, nodeId }: At, changed: (Event & { kind: 'peerDeviceFacts' })['facts']): StateAction =>
  event({ kind: 'peerDeviceFacts', vnr, nodeId, facts: changed });
const remember = (at: At): StateAction => facts(at, { lastRepl: at.peer.conn });

/** Steps 6 and 8 (5 is control's: it aborts resyncs from weak nodes before); null: goes on. */
function endOfResync(at: At): readonly StateAction[] | null {
  const { pd, peer } = at;
  if (targetEnded(at) && peer.conn === Repl.established) { // 6
    if (pd.repl === Repl.wfBitMapS || pd.repl === Repl.startingSyncS) return [{ do: 'resyncFinishesEarly' }];
    return isSyncSource(pd.repl) ? [{ do: 'resyncFinished' }, remember(at)] : [];
  }
  if (peer.conn === Repl.syncSource && pd.repl === Repl.behind) return [{ do: 'startResyncAsTarget' }]; // 8
  return null;
}

/** The peer was the target of a resync that is, as seen from here, not over. */
function targetEnded({ pd, device }: At): boolean {
  return isSyncTarget(pd.lastRepl as Repl) && (pd.pdsk === Disk.inconsistent || pd.pdsk === Disk.consistent)
    && pd.repl > Repl.established && device.disk >= Disk.inconsistent;
}

/** The peer's disk as it counts (step 6). Step 9 is for versions that do not tell the end of a resync: none is agreed. */
function countedDisk(at: At): Disk {
  const { peer, realDisk } = at;
  const startsAgain = targetEnded(at) && peer.conn > Repl.established && peer.conn < Repl.syncSource;
  return startsAgain ? Disk.inconsistent : realDisk;
}

interface Plan {
  repl: Repl;
  /** Negotiating is what transactions say, so it stays until the peer has decided. */
  pdsk: Disk;
  /** Set when an attaching disk has its answer. */
  result: number | null;
  how: 'none' | 'disconnect' | 'retry' | 'drop';
}

function decideState(at: At, decide: Decider): readonly StateAction[] {
  const { pd, device, peer, view } = at;
  const plan: Plan = { repl: pd.repl <= Repl.off ? Repl.established : pd.repl, result: null, how: 'none',
    pdsk: peer.disk === Disk.negotiating && at.cstate === Cstate.connected ? pd.pdsk : countedDisk(at) };
  if (peer.conn === Repl.ahead) plan.repl = Repl.behind; // 10
  compare(at, plan, decide); // 11
  if (plan.how === 'drop') return [{ do: 'drop', why: 'dry-run connect' }];
  trust(at, plan, decide); // 12
  const out: Out = [];
  if (sameDataDisklessPrimary(at)) out.push({ do: 'adoptSize' }); // 13
  if (plan.repl === Repl.established && at.realDisk === Disk.consistent && isSuspended(view) && pd.repl < Repl.established
    && device.newCurUuid && !hasWhatIsShown(at)) { // 14
    return [...out, { do: 'abortConnect' }];
  }
  out.push(facts(at, { peerQuorate: peer.quorum })); // 15
  if (plan.result !== null) out.push(facts(at, { negotiationResult: plan.result }));
  if (at.cstate === Cstate.connecting) connecting(at, plan, out);
  else if (plan.how !== 'none') out.push(lostTo(at.nodeId, plan.how === 'retry' ? Cstate.protocolError : Cstate.disconnecting));
  else connected(at, plan, out);
  return out;
}

/** Step 11: both have data. Is there something to compare? */
function compare(at: At, plan: Plan, decide: Decider): void {
  const { pd, device, peer } = at;
  if (!pd.uuidsReceived || peer.disk < Disk.negotiating || device.disk < Disk.negotiating) return;
  const firstState = at.cstate === Cstate.connecting ? at.connects && !pd.initialStateReceived : pd.repl <= Repl.off;
  // Not while one is agreed: the other end goes on with that.
  const consider = firstState || (pd.considerResync && pd.repl === Repl.established)
    || (pd.repl === Repl.established && (peer.conn === Repl.startingSyncS || peer.conn === Repl.startingSyncT));
  const attaches = pd.repl === Repl.established
    && (peer.disk === Disk.negotiating || (device.disk === Disk.negotiating && answersAttach(at)));
  if (!consider && !attaches) return;
  const decision = consider ? decide.handshake(countedDisk(at)) : decide.attach(countedDisk(at));
  if ('how' in decision) return refused(at, plan, decision.how);
  plan.repl = decision.repl;
  if (device.disk === Disk.negotiating) plan.result = decision.repl;
  // A word from before the attach was late: without a disk there nothing would be synced, and it has decided as well.
  if (peer.disk === Disk.negotiating && decision.repl > Repl.established && pd.pdsk < Disk.negotiating) plan.pdsk = Disk.negotiating;
  // The peer's word may overtake the COMMIT of its attach: then it still waits for our UUIDs.
  const equal = !consider && decision.repl === Repl.established && device.disk === Disk.upToDate;
  if (equal && pd.pdsk === Disk.negotiating) plan.pdsk = Disk.upToDate;
}

/**
 * A word from before it heard of our attach is no answer: it judges by what it is then, and tells that first. Genuine DRBD may
 * not tell it again.
 */
const answersAttach = ({ view, nodeId, peer }: At): boolean => peer.pdsk === Disk.negotiating || peer.conn > Repl.established
  || (view.connections[connectionIndex(view, nodeId)]!.agreedFeatures & FEATURE_RECONCILE_BITS) === 0;

/** An attach that must not be ends on the node that attaches; anything else ends the connection. */
function refused({ pd, device, peer }: At, plan: Plan, how: 'disconnect' | 'retry' | 'drop'): void {
  if (how === 'disconnect' && device.disk === Disk.negotiating) plan.result = Negotiation.noResult;
  else if (how === 'disconnect' && peer.disk === Disk.negotiating) plan.pdsk = pd.pdsk;
  else plan.how = how;
}

/** Step 12: without a disk, or while one is on its way out or in, are the peer's data those that were shown here? */
function trust({ pd, device, peer }: At, plan: Plan, decide: Decider): void {
  if (pd.repl > Repl.off && plan.pdsk === Disk.upToDate && decide.older()) plan.pdsk = Disk.outdated;
  if (device.disk >= Disk.negotiating || pd.repl > Repl.off || !pd.uuidsReceived) return;
  if (peer.disk >= Disk.consistent && decide.turnedAway()) {
    plan.how = 'retry';
    return;
  }
  if (peer.disk !== Disk.upToDate && !(pd.follows && peer.disk === Disk.consistent)) return;
  const verdict = decide.diskless();
  if (verdict === 'outdated' && plan.pdsk > Disk.outdated) plan.pdsk = Disk.outdated;
  if (verdict === 'retry' || verdict === 'disconnect') plan.how = verdict;
}

/** Nobody but this Primary without a disk could have gone on from it: what the peer waits for is our connection. */
const hasWhatIsShown = ({ view, device, pd }: At): boolean => view.resource.role === Role.primary && device.disk <= Disk.attaching
  && device.exposedUuid !== 0n && sameUuid(device.exposedUuid, pd.peerCurrentUuid);

/** Without a disk, quorum is what an UpToDate peer has (8.4). */
const disklessHearsOfQuorum = ({ device, pd, peer }: At): boolean =>
  device.disk <= Disk.attaching && peer.quorum !== pd.peerQuorate;

/** Step 13. */
const sameDataDisklessPrimary = ({ pd, device, peer }: At): boolean =>
  pd.repl <= Repl.off && peer.role === Role.primary && peer.disk === Disk.diskless && device.disk >= Disk.inconsistent
  && device.md !== null && (pd.peerCurrentUuid | 1n) === (device.currentUuid | 1n);

/** Step 16: the result is kept for the end of the connect transaction. */
function connecting(at: At, plan: Plan, out: Out): void {
  const { pd, peer, view, nodeId, vnr } = at;
  if ((!pd.uuidsReceived && !pd.currentUuidReceived) || !at.connects) return;
  if (plan.how === 'retry' || plan.how === 'disconnect') out.push(event({ kind: 'handshakeFailed', nodeId, how: plan.how }));
  out.push(event({ kind: 'handshakeState', vnr, nodeId, state: { conn: plan.how === 'none' ? plan.repl : Repl.off,
    peerRole: peer.role, pdsk: plan.pdsk, disk: Disk.mask, peerIsp: peer.aftrIsp || peer.userIsp } }), remember(at));
  const last = view.peerDevices.every((row) => row.nodeId !== nodeId || row.vnr === vnr || row.initialStateReceived);
  if (last) out.push({ do: 'handshakeFinished' });
}

/** Steps 17 to 20. */
function connected(at: At, plan: Plan, out: Out): void {
  const { pd, device, vnr, nodeId, peer } = at;
  if (peer.conn === Repl.off) { // 17: a volume that was added while connected
    out.push({ do: 'send', packets: pd.repl <= Repl.off ? ['sizes', 'uuids', 'state'] : ['state'] });
  }
  const negotiating = device.disk === Disk.negotiating;
  if (pd.considerResync) out.push(facts(at, { considerResync: false }));
  const changes: Change[] = [];
  if (!negotiating) changes.push({ set: 'repl', vnr, nodeId, repl: plan.repl });
  changes.push({ set: 'peerRole', nodeId, role: peer.role });
  changes.push({ set: 'pdsk', vnr, nodeId, pdsk: plan.pdsk });
  changes.push({ set: 'resyncSuspPeer', vnr, nodeId, value: peer.aftrIsp || peer.userIsp });
  const rises = pd.repl < Repl.established && plan.repl >= Repl.established;
  out.push(event({ kind: 'change', request: 0, tag: 'peer-state', changes, // 18
    flags: Cs.verbose | (negotiating || disklessHearsOfQuorum(at) ? Cs.forceRecalc : 0) | (rises ? Cs.hard : 0) }));
  if (pd.repl > Repl.off && plan.repl > Repl.established && peer.conn <= Repl.established && (peer.disk !== Disk.negotiating || pd.pdsk < Disk.negotiating)) {
    out.push({ do: 'send', packets: ['uuids', 'state'] }); // 19: we want a resync, the peer does not know it yet
  }
  out.push({ do: 'syncMd' }, remember(at)); // 20
}
