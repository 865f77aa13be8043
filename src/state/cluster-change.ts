// SPDX-License-Identifier: GPL-2.0-or-later
/** What each cluster-wide change means: who must agree, what is sent, what is set. @spec state.md 6.1 */
import type { Draft } from './draft.ts';
import type { ClusterChange } from './events.ts';
import { diskStateAttached, mayBeUpToDate, mayReturnToUpToDate, pdAt, reconcileHold, somePeer, unreachablePrimary } from './facts.ts';
import { applyConnect } from './handshake.ts';
import { Mask, maskVal } from './state-word.ts';
import { Cs, Cstate, Disk, Fencing, PeerFlag, Repl, Role, isSyncTarget } from './states.ts';
import type { Twopc } from './twopc-types.ts';
import type { View } from './types.ts';
import { connectionIndex, deviceIndex, hasNode } from './view.ts';

export interface Description {
  readonly target: number;
  readonly vnr: number;
  readonly mask: number;
  readonly val: number;
  readonly clusterWide: boolean;
  /** The initiator applies it after sending COMMIT. */
  readonly applyAfter: boolean;
  readonly isConnect: boolean;
  readonly isDisconnect: boolean;
}

const plain = { target: -1, vnr: -1, applyAfter: false, isConnect: false, isDisconnect: false };

/** Asked before the change is sent; `draft` has the change applied already. */
export function describe(view: View, draft: Draft, change: ClusterChange, flags: number): Description {
  switch (change.what) {
    case 'role': return { ...plain, applyAfter: change.role === Role.secondary, clusterWide: view.resource.role !== change.role,
      ...maskVal((flags & Cs.fpLocalUpToDate) !== 0 && change.role === Role.primary
        ? { role: change.role, disk: Disk.upToDate } : { role: change.role }) };
    case 'empty': return { ...plain, mask: 0, val: 0, clusterWide: true };
    case 'disk': return describeDisk(view, draft, change.vnr, change.disk);
    case 'cstate': return describeCstate(view, draft, change.nodeId, change.cstate);
    case 'repl': return describeRepl(view, change.vnr, change.nodeId, change.repl, flags);
  }
}

function describeDisk(view: View, draft: Draft, vnr: number, disk: Disk): Description {
  const d = deviceIndex(view, vnr);
  const before = view.devices[d]?.disk ?? Disk.diskless;
  const attaches = before === Disk.attaching && disk === Disk.negotiating && connectedDiskfulPeer(view, d);
  const detaches = before !== Disk.detaching && disk === Disk.detaching
    && somePeer(view, d, (pd) => pd.repl >= Repl.established);
  const value = disk === Disk.negotiating ? draft.devices[d]!.disk : disk;
  return { ...plain, vnr, applyAfter: true, clusterWide: attaches || detaches, ...maskVal({ disk: value }) };
}

const connectedDiskfulPeer = (view: View, d: number): boolean =>
  d >= 0 && somePeer(view, d, (pd, c) => view.connections[c]!.cstate === Cstate.connected && pd.pdsk > Disk.diskless);

function describeCstate(view: View, draft: Draft, nodeId: number, cstate: Cstate): Description {
  const now = view.connections[connectionIndex(view, nodeId)]?.cstate ?? Cstate.standAlone;
  const isConnect = cstate === Cstate.connected;
  const isDisconnect = cstate === Cstate.disconnecting && now === Cstate.connected;
  let { mask, val } = maskVal(isConnect ? { conn: cstate, role: view.resource.role } : { conn: cstate });
  if (isDisconnect) {
    const outdates = whoIsOutdated(draft, nodeId);
    const extra = maskVal(outdates === 'peer' ? { pdsk: Disk.outdated } : outdates === 'self' ? { disk: Disk.outdated } : {});
    mask |= extra.mask;
    val |= extra.val;
  }
  return { ...plain, target: nodeId, applyAfter: true, isConnect, isDisconnect, clusterWide: isConnect || isDisconnect, mask, val };
}

function describeRepl(view: View, vnr: number, nodeId: number, repl: Repl, flags: number): Description {
  const d = deviceIndex(view, vnr);
  const c = connectionIndex(view, nodeId);
  const now = d < 0 || c < 0 ? Repl.off : pdAt(view, d, c).repl;
  const starts = now >= Repl.established && (repl === Repl.startingSyncS || repl === Repl.startingSyncT);
  const fromEstablished = now === Repl.established && (repl === Repl.verifyS || repl === Repl.off
    || ((flags & Cs.clusterWide) !== 0 && (repl === Repl.wfBitMapS || repl === Repl.wfBitMapT)));
  return { ...plain, target: nodeId, vnr, applyAfter: repl === Repl.wfBitMapS || repl === Repl.verifyS,
    clusterWide: starts || fromEstablished, ...maskVal({ conn: repl }) };
}

/** A graceful disconnect outdates the side that is not Primary. @spec state.md 7.6 */
function whoIsOutdated(draft: Draft, nodeId: number): 'nobody' | 'self' | 'peer' {
  const c = connectionIndex(draft, nodeId);
  const connection = draft.old.connections[c];
  const { resource } = draft.old;
  if (connection === undefined || connection.cstate !== Cstate.connected) return 'nobody';
  if (connection.options.fencing < Fencing.resourceOnly && resource.options.quorum === 0) return 'nobody';
  if (resource.role === connection.peerRole) return 'nobody';
  if (resource.role === Role.primary) return 'peer';
  return connection.peerRole === Role.primary ? 'self' : 'nobody';
}

export type Phase = 'local' | 'prepare' | 'commit';

/** Sets NEW. twopc: the agreed transaction in phase commit. */
export function applyChange(draft: Draft, change: ClusterChange, phase: Phase, twopc: Twopc | null): void {
  switch (change.what) {
    case 'role': return applyRole(draft, change.role, phase, twopc);
    case 'empty': return applyEmpty(draft, phase, twopc);
    case 'disk': return applyDisk(draft, change.vnr, change.disk);
    case 'cstate': return applyCstate(draft, change.nodeId, change.cstate, phase, twopc);
    case 'repl': {
      const c = connectionIndex(draft, change.nodeId);
      const d = deviceIndex(draft, change.vnr);
      // Makes no connection: the peer may be lost since the change was asked for.
      if (c >= 0 && d >= 0) draft.setPeerDevice(draft.index(d, c), { repl: change.repl });
    }
  }
}

function applyRole(draft: Draft, role: Role, phase: Phase, twopc: Twopc | null): void {
  draft.setResource({ role });
  if (role !== Role.primary) return;
  if ((draft.flags & Cs.fpLocalUpToDate) !== 0) draft.devices.forEach((device, d) => forceUpToDate(draft, d, device.disk));
  const reachable = phase === 'commit' && twopc !== null ? twopc.reachableNodes : 0n;
  draft.devices.forEach((_, d) => draft.connections.forEach((connection, c) => {
    const pd = pdAt(draft, d, c);
    if (pd.pdsk !== Disk.unknown) return;
    const knowsUs = hasNode(reachable, connection.nodeId) && pd.wantBitmap;
    if ((draft.flags & Cs.fpOutdatePeers) !== 0 || knowsUs) draft.setPeerDevice(draft.index(d, c), { pdsk: Disk.outdated });
  }));
}

/** Own data are declared good; a resync towards them ends. */
function forceUpToDate(draft: Draft, d: number, disk: Disk): void {
  if (disk < Disk.inconsistent || disk >= Disk.upToDate) return;
  if (somePeer(draft, d, (pd) => pd.pdsk === Disk.upToDate)) return;
  draft.setDevice(d, { disk: Disk.upToDate });
  for (let c = 0; c < draft.connections.length; c++) {
    if (isSyncTarget(pdAt(draft, d, c).repl)) draft.setCstate(c, Cstate.tearDown);
  }
}

function applyEmpty(draft: Draft, phase: Phase, twopc: Twopc | null): void {
  const priIncapable = twopc !== null && twopc.primaryNodes !== 0n && twopc.weakNodes === 0n;
  if (phase === 'commit' && twopc !== null && unreachablePrimary(draft, twopc.primaryNodes) && !priIncapable) {
    return draft.outdateMyself();
  }
  draft.old.devices.forEach((device, d) => {
    if (device.disk !== Disk.consistent || !mayReturnToUpToDate(draft.old, d)) return;
    if (phase === 'commit' && reconcileHold(draft, d)) return;
    // Who serves reads with it must know that nobody else goes on: a peer that is to be fenced may do so.
    if (draft.resource.role === Role.primary && !mayBeUpToDate(draft.old, draft, d)) return;
    draft.setDevice(d, { disk: Disk.upToDate });
  });
}

function applyDisk(draft: Draft, vnr: number, disk: Disk): void {
  const d = deviceIndex(draft, vnr);
  if (d < 0) return;
  if (draft.old.devices[d]!.disk !== Disk.attaching || disk !== Disk.negotiating) return draft.setDevice(d, { disk });
  if (connectedDiskfulPeer(draft.old, d)) {
    draft.connections.forEach((connection, c) => {
      if (connection.cstate === Cstate.connected) draft.setPeerDevice(draft.index(d, c), { uuidsReceived: false });
    });
    return draft.setDevice(d, { disk });
  }
  draft.setDevice(d, { disk: diskStateAttached(draft.old, draft, d) });
  const md = draft.devices[d]!.md;
  if (md === null) return;
  for (let c = 0; c < draft.connections.length; c++) {
    const pd = pdAt(draft, d, c);
    if (pd.pdsk === Disk.unknown && (md.slots[pd.nodeId]!.flags & PeerFlag.outdated) !== 0) {
      draft.setPeerDevice(draft.index(d, c), { pdsk: Disk.outdated });
    }
  }
}

function applyCstate(draft: Draft, nodeId: number, cstate: Cstate, phase: Phase, twopc: Twopc | null): void {
  const c = connectionIndex(draft, nodeId);
  if (c < 0) return;
  const outdates = cstate === Cstate.disconnecting && !draft.hard ? whoIsOutdated(draft, nodeId) : 'nobody';
  draft.setCstate(c, cstate);
  if (outdates === 'peer') draft.pdsksDownTo(c, Disk.outdated);
  if (outdates === 'self') draft.disksDownTo(Disk.outdated);
  if (phase !== 'commit' || twopc === null) return;
  if (cstate === Cstate.connected) {
    if (draft.old.connections[c]!.peerRole === Role.unknown) {
      draft.setConnection(c, { peerRole: hasNode(twopc.primaryNodes, nodeId) ? Role.primary : Role.secondary });
    }
    applyConnect(draft, c);
  }
  if (unreachablePrimary(draft, twopc.primaryNodes) && !twopc.priIncapable) draft.outdateMyself();
}

/** role part of a mask says Primary. */
export const promotes = (mask: number, val: number): boolean => (mask & Mask.role) !== 0 && (val & Mask.role) === Role.primary;
