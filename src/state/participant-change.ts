// SPDX-License-Identifier: GPL-2.0-or-later
/** What another node's change does here, seen from here. @spec state.md 6.4.1 to 6.4.3 */
import type { Draft } from './draft.ts';
import { pdAt, unreachablePrimary } from './facts.ts';
import type { Verdict } from './guards.ts';
import { applyConnect } from './handshake.ts';
import { Ss, ssText } from './ss.ts';
import { promotes } from './cluster-change.ts';
import { Mask, connOf, diskOf, pdskOf, roleOf } from './state-word.ts';
import { Cs, Cstate, Disk, PeerFlag, Repl, Role } from './states.ts';
import { begin, end } from './transaction.ts';
import type { Step } from './transaction.ts';
import type { Twopc, TwopcEnd, TwopcPrepare } from './twopc-types.ts';
import { withSlotFlags } from './md-flags.ts';
import { bit, connectionIndex, deviceIndex } from './view.ts';

/** The sender's conn as it looks from here; null: no such change is known. */
export function convertConn(conn: number): number | null {
  switch (conn) {
    case Repl.off: case Repl.established: case Cstate.connecting: return conn;
    case Repl.startingSyncS: return Repl.startingSyncT;
    case Repl.startingSyncT: return Repl.startingSyncS;
    case Repl.wfBitMapS: return Repl.wfBitMapT;
    case Repl.wfBitMapT: return Repl.wfBitMapS;
    case Cstate.disconnecting: return Cstate.tearDown;
    case Repl.verifyS: return Repl.verifyT;
    default: return null;
  }
}

const KNOWN = Mask.role | Mask.disk | Mask.pdsk | Mask.conn;
const notSupported: Verdict = { rc: Ss.notSupported, reason: { kind: 'refused', code: Ss.notSupported, text: ssText(Ss.notSupported) } };
const refused = (code: Ss): Verdict => ({ rc: code, reason: { kind: 'refused', code, text: ssText(code) } });

/** Judges (prepare) or applies (commit) somebody's change. */
export function participantChange(step: Step, packet: TwopcPrepare, twopc: Twopc, from: number, phase: 'prepare' | 'commit',
  commit: TwopcEnd | null = null): Verdict {
  const { view } = step;
  const own = view.resource.nodeId;
  const forMe = packet.target < 0 || packet.target === own;
  const c = forMe ? connectionIndex(view, packet.initiator) : -1;
  const up = c >= 0 && (view.connections[c]!.cstate === Cstate.connected || (packet.mask & Mask.conn) !== 0);
  const d = packet.vnr < 0 ? -1 : deviceIndex(view, packet.vnr);
  const learns = phase === 'commit' && commit !== null && commit.hasReachable && quorate(step);
  const members = learns ? membersOf(twopc, packet, commit) : undefined;
  const recalc = members !== undefined && !view.resource.allDevicesHaveQuorum ? Cs.forceRecalc : 0;
  const flags = Cs.localOnly | recalc | (phase === 'prepare' ? Cs.prepare | Cs.twopc : Cs.twopc | Cs.verbose);
  const options = { flags, tag: 'remote', ...(members === undefined ? {} : { members }) };
  if (up && packet.vnr >= 0 && d >= 0) {
    const draft = begin(step, options.flags);
    return applyWord(draft, packet, d, c) ? end(step, draft, options) : notSupported;
  }
  if (up && packet.vnr < 0) return connectionChange(step, packet, twopc, c, phase, { ...options, flags: options.flags | Cs.ignOutdFail });
  return farAway(step, packet, twopc, from, phase, options);
}

interface Options { readonly flags: number; readonly tag: string; readonly members?: bigint }

/** Some neighbour has quorum on all volumes, or this node has. */
const quorate = (step: Step): boolean => step.view.resource.allDevicesHaveQuorum
  || step.view.connections.some((_, c) => step.view.devices.length > 0
    && step.view.devices.every((_d, d) => pdAt(step.view, d, c).peerQuorate));

const membersOf = (twopc: Twopc, packet: TwopcPrepare, commit: TwopcEnd): bigint =>
  twopc.isConnect ? commit.reachableNodes | bit(packet.initiator) | (packet.target >= 0 ? bit(packet.target) : 0n) : commit.reachableNodes;

/** 6.4.1: role, disk, pdsk and conn of one volume. False: something that is not known. */
function applyWord(draft: Draft, { mask, val }: TwopcPrepare, d: number, c: number): boolean {
  if ((mask & ~KNOWN) !== 0) return false;
  const i = draft.index(d, c);
  if ((mask & Mask.role) !== 0) draft.setConnection(c, { peerRole: roleOf(val) });
  if ((mask & Mask.conn) !== 0) {
    const conn = convertConn(connOf(val));
    if (conn === null) return false;
    draft.setCstate(c, Math.min(conn, Cstate.connected) as Cstate);
    draft.setRepl(d, c, Math.max(conn, Repl.off) as Repl);
  }
  if ((mask & Mask.disk) !== 0) draft.setPeerDevice(i, { pdsk: diskOf(val) });
  if ((mask & Mask.pdsk) !== 0) draft.setDevice(d, { disk: pdskOf(val) });
  return true;
}

/** 6.4.2 */
function connectionChange(step: Step, packet: TwopcPrepare, twopc: Twopc, c: number, phase: 'prepare' | 'commit',
  options: Options): Verdict {
  const { mask, val } = packet;
  if ((mask & ~KNOWN) !== 0) return notSupported;
  const draft = begin(step, options.flags);
  const conn = (mask & Mask.conn) === 0 ? -1 : connOf(val);
  if (conn === Cstate.connected) draft.setCstate(c, Cstate.connected);
  else if (conn >= 0) {
    const converted = convertConn(conn);
    if (converted === null) return notSupported;
    draft.setCstate(c, Math.min(converted, Cstate.connected) as Cstate);
  }
  if ((mask & Mask.role) !== 0) draft.setConnection(c, { peerRole: roleOf(val) });
  for (let d = 0; d < draft.devices.length; d++) {
    const i = draft.index(d, c);
    const drops = twopc.isDisconnect;
    if ((mask & Mask.disk) !== 0 && !(drops && pdAt(draft, d, c).pdsk < Disk.outdated)) draft.setPeerDevice(i, { pdsk: diskOf(val) });
    if ((mask & Mask.pdsk) !== 0 && !(drops && draft.devices[d]!.disk < Disk.outdated)) draft.setDevice(d, { disk: pdskOf(val) });
  }
  if (phase === 'commit' && twopc.isConnect) applyConnect(draft, c);
  if (phase === 'commit' && demotesNeighbour(step, packet, c)) {
    for (const { vnr } of step.view.devices) step.effects.push({ kind: 'writeBitmap', vnr, why: 'peer demote' });
  }
  if (unreachablePrimary(draft, twopc.primaryNodes) && !twopc.priIncapable) draft.outdateMyself();
  return end(step, draft, options);
}

const demotesNeighbour = (step: Step, { mask, val }: TwopcPrepare, c: number): boolean =>
  (mask & Mask.role) !== 0 && roleOf(val) === Role.secondary && step.view.connections[c]!.peerRole === Role.primary;

/** 6.4.3 */
function farAway(step: Step, packet: TwopcPrepare, twopc: Twopc, from: number, phase: 'prepare' | 'commit', options: Options): Verdict {
  const { resource } = step.view;
  const primary = resource.role === Role.primary;
  if (phase === 'prepare' && promotes(packet.mask, packet.val) && primary) {
    const sender = step.view.connections[connectionIndex(step.view, from)];
    if (sender === undefined || !sender.options.allowTwoPrimaries) return refused(Ss.twoPrimaries);
    if (step.view.devices.some((device) => device.disk > Disk.diskless)) return refused(Ss.weaklyConnected);
  }
  const draft = begin(step, options.flags);
  if (packet.mask === 0 && primary && packet.vnr < 0) outdateInitiator(step, draft, packet.initiator, phase);
  if (phase === 'commit') {
    if (unreachablePrimary(draft.old, twopc.primaryNodes) && !twopc.priIncapable) draft.outdateMyself();
    draft.devices.forEach((device, d) => {
      if (device.outdateOn2pcCommit && device.disk > Disk.outdated) draft.setDevice(d, { disk: Disk.outdated });
    });
  }
  return end(step, draft, options);
}

/** A node that comes back by the empty transaction and is not connected to this Primary has older data. */
function outdateInitiator(step: Step, draft: Draft, initiator: number, phase: 'prepare' | 'commit'): void {
  const c = connectionIndex(draft, initiator);
  if (c >= 0) return draft.pdsksDownTo(c, Disk.outdated);
  if (phase !== 'commit') return;
  draft.devices.forEach((device, d) => {
    if (device.md === null) return;
    const flags = device.md.slots[initiator]!.flags | PeerFlag.outdated;
    draft.setDevice(d, { md: withSlotFlags(device.md, initiator, flags) });
    step.effects.push({ kind: 'peerMdFlags', vnr: device.vnr, nodeId: initiator, flags });
  });
}

