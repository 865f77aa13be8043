// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * receive_state: what a peer's P_STATE leads to. Pure; the UUID decision comes from the caller, and only when it is asked
 * for. What comes out is done in order. @spec state.md 5.3
 */
import type { Change, Event } from './events.ts';
import { pdAt, isSuspended } from './facts.ts';
import { unpackState } from './state-word.ts';
import { Cs, Cstate, Disk, Negotiation, Repl, Role, UuidFlag, isSyncSource, isSyncTarget } from './states.ts';
import type { DeviceRow, PeerDeviceRow, View } from './types.ts';
import { connectionIndex, deviceIndex } from './view.ts';

/** Outcome of the UUID handshake (uuid-handshake.ts). */
export type Decision =
  /** Replication state that follows; established: no resync. */
  | { readonly repl: Repl }
  | { readonly how: 'disconnect' | 'retry' | 'drop' };

export interface Decider {
  /** The UUID handshake of a connect (uuid.md 3.2); pdsk is the peer's disk with Negotiating replaced. */
  handshake(pdsk: Disk): Decision;
  /** The one of an attach (uuid.md 3.8). */
  attach(pdsk: Disk): Decision;
  /** Own disk is Diskless: may the peer's data be trusted (9.6)? */
  diskless(): 'ok' | 'outdated' | 'retry' | 'disconnect';
}

export type StateAction =
  | { readonly do: 'event'; readonly event: Event }
  /** Resync as source has ended; the peer's disk is this now. Then facts lastRepl. @spec state.md 7.8 */
  | { readonly do: 'resyncFinished'; readonly pdsk: Disk }
  | { readonly do: 'verifyFinished' }
  /** Behind becomes target: disk Inconsistent at once, start the resync. */
  | { readonly do: 'startResyncAsTarget' }
  /** "Aborting Connect": a new current UUID, then ProtocolError. */
  | { readonly do: 'abortConnect' }
  | { readonly do: 'send'; readonly packets: readonly ('sizes' | 'uuids' | 'state')[] }
  /** The peer's sizes are adopted: a diskless Primary with the same data (step 13). */
  | { readonly do: 'adoptSize' }
  /** The last state of a handshake: the data stream's time-out ends. */
  | { readonly do: 'handshakeFinished' }
  | { readonly do: 'syncMd' }
  | { readonly do: 'drop'; readonly why: string };

interface At {
  readonly view: View;
  readonly vnr: number;
  readonly nodeId: number;
  readonly pd: PeerDeviceRow;
  readonly device: DeviceRow;
  readonly cstate: Cstate;
}

const event = (e: Event): StateAction => ({ do: 'event', event: e });

/** vnr -1: the resource's role only. */
export function receiveState(view: View, nodeId: number, vnr: number, word: number, decide: Decider): readonly StateAction[] {
  const c = connectionIndex(view, nodeId);
  const peer = unpackState(word);
  if (c < 0) return [];
  if (vnr < 0) {
    if (peer.role !== Role.secondary) return [];
    return [event({ kind: 'change', request: 0, tag: 'peer-state', flags: Cs.hard,
      changes: [{ set: 'peerRole', nodeId, role: Role.secondary }] })];
  }
  const d = deviceIndex(view, vnr);
  if (d < 0) return [];
  const at: At = { view, vnr, nodeId, pd: pdAt(view, d, c), device: view.devices[d]!, cstate: view.connections[c]!.cstate };
  if (peer.disk > Disk.diskless && peer.disk !== Disk.unknown && !at.pd.wantBitmap) return [lostTo(at, 'peer-diskful')]; // 2
  if (at.cstate <= Cstate.tearDown) return [{ do: 'drop', why: 'not connected' }]; // 4
  return endOfResync(at, peer.conn, peer.disk) ?? decideState(at, peer, decide);
}

const lostTo = (at: At, tag: string): StateAction =>
  event({ kind: 'lost', nodeId: at.nodeId, cstate: Cstate.disconnecting, tag });
const remember = (at: At, conn: number): StateAction =>
  event({ kind: 'peerDeviceFacts', vnr: at.vnr, nodeId: at.nodeId, facts: { lastRepl: conn } });

/** Steps 6 to 8; null: goes on. */
function endOfResync(at: At, conn: number, pdsk: Disk): readonly StateAction[] | null {
  const { pd, device } = at;
  const wasTarget = isSyncTarget(pd.lastRepl as Repl);
  const notYet = pd.pdsk === Disk.inconsistent || pd.pdsk === Disk.consistent;
  if (wasTarget && notYet && pd.repl > Repl.established && device.disk >= Disk.inconsistent && conn === Repl.established
    && isSyncSource(pd.repl)) {
    return [{ do: 'resyncFinished', pdsk }, remember(at, conn)];
  }
  if (pd.repl === Repl.verifyT && device.disk === Disk.upToDate && conn === Repl.established && pdsk === Disk.upToDate) {
    return [{ do: 'verifyFinished' }, remember(at, conn)];
  }
  if (conn === Repl.syncSource && pd.repl === Repl.behind) return [{ do: 'startResyncAsTarget' }, remember(at, conn)];
  return null;
}

interface Peer { readonly role: Role; readonly conn: number; readonly disk: Disk; readonly aftrIsp: boolean; readonly userIsp: boolean;
  readonly quorum: boolean }

/** Negotiating stands for what the peer's flags say. */
function realPeerDisk(pd: PeerDeviceRow, disk: Disk): Disk {
  if (disk !== Disk.negotiating) return disk;
  return (pd.uuidFlags & UuidFlag.inconsistent) !== 0 ? Disk.inconsistent : Disk.consistent;
}

interface Plan { repl: Repl; pdsk: Disk; disk: Disk; result: number; how: 'none' | 'disconnect' | 'retry' | 'drop' }

function decideState(at: At, peer: Peer, decide: Decider): readonly StateAction[] {
  const { pd, device } = at;
  const actions: StateAction[] = [];
  const realDisk = realPeerDisk(pd, peer.disk);
  const flapping = pd.pdsk === Disk.upToDate && peer.disk === Disk.inconsistent && pd.repl === Repl.established
    && peer.conn > Repl.syncSource; // 9
  const plan: Plan = { repl: pd.repl <= Repl.off ? Repl.established : pd.repl, pdsk: flapping ? Disk.upToDate : realDisk,
    disk: Disk.mask, result: Repl.established, how: 'none' };
  const firstState = !pd.initialStateReceived && at.cstate === Cstate.connecting;
  if (peer.conn === Repl.ahead) plan.repl = Repl.behind; // 10
  askUuids(at, peer, plan, realDisk, firstState, decide); // 11
  if (plan.how === 'drop') return [{ do: 'drop', why: 'dry-run connect' }];
  if (device.disk === Disk.diskless && pd.repl <= Repl.off && pd.uuidsReceived && realDisk === Disk.upToDate) { // 12
    const trust = decide.diskless();
    if (trust === 'outdated' && plan.pdsk > Disk.outdated) plan.pdsk = Disk.outdated;
    if (trust === 'retry' || trust === 'disconnect') plan.how = trust;
  }
  if (pd.repl <= Repl.off && peer.role === Role.primary && peer.disk === Disk.diskless
    && (pd.peerCurrentUuid | 1n) === (device.currentUuid | 1n)) actions.push({ do: 'adoptSize' }); // 13
  if (plan.repl === Repl.established && plan.pdsk === Disk.consistent && isSuspended(at.view) && pd.repl < Repl.established
    && device.newCurUuid) return [...actions, { do: 'abortConnect' }]; // 14
  actions.push(event({ kind: 'peerDeviceFacts', vnr: at.vnr, nodeId: at.nodeId, facts: { peerQuorate: peer.quorum } })); // 15
  if (plan.how === 'retry' || plan.how === 'disconnect') {
    if (at.cstate !== Cstate.connecting) return [...actions, lostTo(at, 'handshake')];
    actions.push(event({ kind: 'handshakeFailed', nodeId: at.nodeId, how: plan.how }));
  }
  return at.cstate === Cstate.connecting ? [...actions, ...connecting(at, peer, plan)] : [...actions, ...connected(at, peer, plan)];
}

/** Step 11: is there something to compare? */
function askUuids(at: At, peer: Peer, plan: Plan, realDisk: Disk, firstState: boolean, decide: Decider): void {
  const { pd, device } = at;
  if (!pd.uuidsReceived || peer.disk < Disk.negotiating || device.disk < Disk.negotiating || peer.disk === Disk.unknown) return;
  const asksNow = firstState || pd.considerResync || (pd.repl <= Repl.off && at.cstate === Cstate.connected)
    || (pd.repl === Repl.established && (peer.conn === Repl.startingSyncS || peer.conn === Repl.startingSyncT));
  const attaches = pd.repl === Repl.established && (peer.disk === Disk.negotiating || device.disk === Disk.negotiating);
  if (!asksNow && !attaches) return;
  const decision = asksNow ? decide.handshake(realDisk) : decide.attach(realDisk);
  if ('repl' in decision) {
    plan.repl = decision.repl;
    plan.result = decision.repl;
    if (!asksNow && decision.repl === Repl.established && device.disk === Disk.upToDate) plan.pdsk = Disk.upToDate;
    return;
  }
  if (decision.how === 'disconnect' && device.disk === Disk.negotiating) plan.result = Negotiation.noResult;
  else if (decision.how === 'disconnect' && peer.disk === Disk.negotiating) plan.pdsk = Disk.negotiating;
  else plan.how = decision.how;
  if (plan.how === 'none') plan.repl = pd.repl;
}

/** Step 16: the result is kept for the end of the connect transaction. */
function connecting(at: At, peer: Peer, plan: Plan): readonly StateAction[] {
  const { pd } = at;
  if (!pd.uuidsReceived && !pd.currentUuidReceived) return [];
  const actions: StateAction[] = [event({ kind: 'handshakeState', vnr: at.vnr, nodeId: at.nodeId, state: {
    conn: plan.how === 'none' ? plan.repl : Repl.off, peerRole: peer.role, pdsk: plan.pdsk, disk: Disk.mask,
    peerIsp: peer.aftrIsp || peer.userIsp } }), remember(at, peer.conn)];
  if (at.device.disk === Disk.negotiating) {
    actions.push(event({ kind: 'peerDeviceFacts', vnr: at.vnr, nodeId: at.nodeId, facts: { negotiationResult: plan.result } }));
  }
  const last = at.view.peerDevices.every((row) => row.nodeId !== at.nodeId || row.vnr === at.vnr || row.initialStateReceived);
  return last ? [...actions, { do: 'handshakeFinished' }] : actions;
}

/** Steps 17 to 20. */
function connected(at: At, peer: Peer, plan: Plan): readonly StateAction[] {
  const { pd, device, vnr, nodeId } = at;
  const actions: StateAction[] = [];
  if (peer.conn === Repl.off) { // 17: a volume that was added while connected
    actions.push({ do: 'send', packets: pd.repl <= Repl.off ? ['sizes', 'uuids', 'state'] : ['state'] });
  }
  const negotiating = device.disk === Disk.negotiating;
  if (negotiating) actions.push(event({ kind: 'peerDeviceFacts', vnr, nodeId, facts: { negotiationResult: plan.result } }));
  if (pd.considerResync) actions.push(event({ kind: 'peerDeviceFacts', vnr, nodeId, facts: { considerResync: false } }));
  const changes: Change[] = [];
  if (!negotiating && plan.repl !== pd.repl) changes.push({ set: 'repl', vnr, nodeId, repl: plan.repl });
  changes.push({ set: 'peerRole', nodeId, role: peer.role });
  changes.push({ set: 'pdsk', vnr, nodeId, pdsk: peer.disk === Disk.negotiating ? peer.disk : plan.pdsk });
  changes.push({ set: 'resyncSuspPeer', vnr, nodeId, value: peer.aftrIsp || peer.userIsp });
  const rises = pd.repl < Repl.established && plan.repl >= Repl.established;
  actions.push(event({ kind: 'change', request: 0, tag: 'receive-state',
    flags: Cs.verbose | (negotiating ? Cs.forceRecalc : 0) | (rises ? Cs.hard : 0), changes }));
  if (pd.repl > Repl.off && plan.repl > Repl.established && peer.conn <= Repl.established && peer.disk !== Disk.negotiating
    && plan.repl !== pd.repl) actions.push({ do: 'send', packets: ['uuids', 'state'] }); // 19
  return [...actions, { do: 'syncMd' }, remember(at, peer.conn)];
}
