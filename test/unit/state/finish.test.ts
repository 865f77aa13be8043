// SPDX-License-Identifier: GPL-2.0-or-later
/** Each row of finish_state_change: a change at which it acts, and one at which it must not. @spec state.md 5.1 */
import { describe, expect, it } from 'vitest';
import type { Draft } from '../../../src/state/draft.ts';
import type { Effect } from '../../../src/state/effects.ts';
import type { Change } from '../../../src/state/events.ts';
import { finishRows, finishStateChange } from '../../../src/state/finish.ts';
import { Cs, Cstate, Disk, Fencing, MdFlag, PeerFlag, Repl, Role, UuidFlag } from '../../../src/state/states.ts';
import { step } from '../../../src/state/step.ts';
import { defaultConnectionOptions, defaultResourceOptions } from '../../../src/state/view.ts';
import { draftOf, live, viewOf } from './build.ts';
import type { Parts } from './build.ts';
import { md } from './cluster.ts';

interface Seen { readonly draft: Draft; readonly out: readonly Effect[] }
interface Case {
  readonly row: string;
  readonly from: Parts;
  readonly to: Parts;
  readonly look: (seen: Seen) => unknown;
  readonly is: unknown;
  /** Instead of `from` or `to`: then it is not so. */
  readonly unless: { readonly from?: Parts; readonly to?: Parts };
}

const has = (kind: Effect['kind'], more: object = {}) => ({ out }: Seen): boolean =>
  out.some((e) => e.kind === kind && Object.entries(more).every(([key, value]) => e[key as keyof Effect] === value));
const logs = (text: string) => ({ out }: Seen): boolean => out.some((e) => e.kind === 'log' && e.text.startsWith(text));
const device = ({ draft }: Seen) => draft.devices[0]!;
const pd = ({ draft }: Seen) => draft.peerDevices[0]!;
const connection = ({ draft }: Seen) => draft.connections[0]!;
const newCurUuid = (seen: Seen): boolean => device(seen).newCurUuid;
const mdFlag = (flag: number) => (seen: Seen): boolean => (device(seen).md!.flags & flag) !== 0;
const slotFlags = (seen: Seen): number => device(seen).md!.slots[1]!.flags;

const repl = (value: Repl, more: object = {}): Parts => ({ peers: [{ repl: value, ...more }] });
const pdsk = (value: Disk, more: object = {}): Parts => ({ peers: [{ pdsk: value, ...more }] });
const disk = (value: Disk, more: object = {}): Parts => ({ device: { disk: value, ...more } });
const offPeer = { repl: Repl.off, pdsk: Disk.unknown } as const;
const gone = (cstate: Cstate, more: object = {}): Parts => ({ connections: [{ cstate, peerRole: Role.unknown }],
  peers: [{ ...offPeer, ...more }] });
const primary = { resource: { role: Role.primary } } as const;
const diskless = (peers: Disk): Parts => ({ ...disk(Disk.diskless, { exposedUuid: 0x20n }), ...pdsk(peers, { peerCurrentUuid: 0x30n }) });
const peerPrimary = { connections: [{ peerRole: Role.primary }] } as const;
const failIo = { resource: { failIo: true } };
const suspended = { resource: { suspUser: true } };
const noData = { device: { disk: Disk.inconsistent }, peers: [{ pdsk: Disk.inconsistent }] } as const;
const stableWords = { uuidsReceived: true, uuidFlags: UuidFlag.stable } as const;
const frozen = { role: Role.primary, suspUser: true } as const;
const suspendIo = { options: { ...defaultResourceOptions, onNoDataAccessible: 'suspend-io' as const } };
const otherBase = { ...md(0x411, [1]), slots: md(0x411, [1]).slots.with(1, { flags: 0, bitmapIndex: 0, bitmapUuid: 0x30n }) };

const cases: readonly Case[] = [
  { row: 'F1', from: pdsk(Disk.outdated), to: {}, look: has('sendDagtag'), is: true, unless: { to: pdsk(Disk.consistent) } },
  { row: 'F2', from: {}, to: pdsk(Disk.outdated), look: has('startNewEpoch'), is: true, unless: { to: pdsk(Disk.inconsistent) } },
  { row: 'F3', from: {}, to: repl(Repl.wfBitMapS, { beforeResyncDone: true }), look: (s) => pd(s).beforeResyncDone, is: false,
    unless: { from: repl(Repl.wfBitMapS) } },
  { row: 'F3', from: {}, to: repl(Repl.wfBitMapT, { beforeResyncDone: true }), look: (s) => pd(s).beforeResyncDone, is: false,
    unless: { to: repl(Repl.startingSyncT, { beforeResyncDone: true }) } },
  { row: 'F4', from: repl(Repl.wfBitMapT), to: repl(Repl.syncTarget, { beforeResyncDone: true }), look: (s) => pd(s).beforeResyncDone,
    is: false, unless: { from: repl(Repl.pausedSyncT) } },
  { row: 'F5', from: primary, to: { ...primary, device: { haveQuorum: false } }, look: (s) => device(s).primaryLostQuorum, is: true,
    unless: { to: { device: { haveQuorum: false } } } },
  { row: 'F6', from: pdsk(Disk.inconsistent), to: pdsk(Disk.failed), look: has('startNewEpoch'), is: true,
    unless: { from: pdsk(Disk.diskless) } },
  { row: 'F7', from: primary, to: {}, look: has('sendPeerAck'), is: true, unless: { from: {} } },
  { row: 'F8', from: {}, to: gone(Cstate.brokenPipe), look: has('flushPending', { sequence: false }), is: true,
    unless: { from: gone(Cstate.connecting) } },
  { row: 'F8', from: repl(Repl.wfBitMapT), to: repl(Repl.syncTarget), look: has('flushPending', { sequence: true }), is: true,
    unless: { from: repl(Repl.pausedSyncT) } },
  { row: 'F9', from: {}, to: failIo, look: logs('Failing IOs'), is: true, unless: { from: failIo } },
  { row: 'F10', from: peerPrimary, to: peerPrimary, look: mdFlag(MdFlag.primaryInd), is: true, unless: { to: {} } },
  { row: 'F10', from: { device: { md: md(MdFlag.primaryInd, [1]) } }, to: { ...gone(Cstate.brokenPipe),
    device: { md: md(MdFlag.primaryInd, [1]) } },
    look: mdFlag(MdFlag.primaryInd), is: true, unless: { to: { ...gone(Cstate.connecting), device: { md: md(MdFlag.primaryInd,
      [1]) } } } },
  { row: 'F41', from: {}, to: failIo, look: has('completionResumed', { restart: false }), is: true, unless: { from: failIo } },
  { row: 'F11', from: { device: { haveQuorum: false } }, to: { device: { restoringQuorum: true } },
    look: (s) => device(s).restoringQuorum, is: false,
    unless: { from: {} } },
  { row: 'Q5', from: {}, to: { device: { tiebreakerQuorum: true } }, look: logs('Would lose quorum'), is: true,
    unless: { from: { device: { tiebreakerQuorum: true } } } },
  { row: 'F12', from: {}, to: { device: { restoreQuorum: true } }, look: (s) => device(s).restoreQuorum, is: false,
    unless: { to: { device: { restoreQuorum: true, haveQuorum: false } } } },
  { row: 'F12', from: {}, to: disk(Disk.consistent, { restoreQuorum: true, haveQuorum: false }), look: (s) => device(s).restoreQuorum,
    is: false,
    unless: { to: { device: { restoreQuorum: true, haveQuorum: false } } } },
  { row: 'F13', from: {}, to: disk(Disk.failed), look: has('ldevReference', { acquire: true }), is: true,
    unless: { from: disk(Disk.failed) } },
  { row: 'F13', from: disk(Disk.failed), to: disk(Disk.diskless), look: has('ldevReference', { acquire: true }), is: true,
    unless: { to: disk(Disk.diskless, { md: null }) } },
  { row: 'F14', from: disk(Disk.detaching), to: disk(Disk.diskless), look: has('detachedSlots'), is: true,
    unless: { from: disk(Disk.diskless) } },
  { row: 'F15', from: disk(Disk.attaching), to: {}, look: logs('attached to current UUID: 0000000000000010'), is: true,
    unless: { from: disk(Disk.negotiating) } },
  { row: 'F16', from: peerPrimary, to: { ...peerPrimary, ...repl(Repl.wfBitMapS) }, look: has('applyUnackedPeerRequests'), is: true,
    unless: { from: { ...peerPrimary, ...repl(Repl.startingSyncS) } } },
  { row: 'F17', from: pdsk(Disk.inconsistent), to: { device: { crashedPrimary: true }, peers: [{ uuidFlags: UuidFlag.crashedPrimary }] },
    look: (s) => [device(s).crashedPrimary, pd(s).uuidFlags], is: [false, 0], unless: { from: {} } },
  { row: 'F17', from: disk(Disk.consistent), to: { device: { crashedPrimary: true }, peers: [{ uuidFlags: 2, uuidsReceived: false }] },
    look: (s) => [device(s).crashedPrimary, pd(s).uuidFlags], is: [false, 2], unless: { to: { ...disk(Disk.consistent,
      { crashedPrimary: true }) } } },
  { row: 'F18', from: repl(Repl.verifyS), to: {}, look: has('verifyStopped'), is: true, unless: { from: repl(Repl.syncSource) } },
  { row: 'F19', from: repl(Repl.pausedSyncT), to: repl(Repl.syncTarget), look: has('resumeResync'), is: true,
    unless: { from: repl(Repl.wfBitMapT) } },
  { row: 'F20', from: repl(Repl.syncSource), to: repl(Repl.pausedSyncS), look: has('pauseResync'), is: true,
    unless: { from: repl(Repl.wfBitMapS) } },
  { row: 'F21', from: repl(Repl.wfBitMapS), to: repl(Repl.established, { reconciliationResync: true }),
    look: (s) => pd(s).reconciliationResync,
    is: false, unless: { to: repl(Repl.syncSource, { reconciliationResync: true }) } },
  { row: '15.2', from: repl(Repl.off), to: repl(Repl.established, { follows: true }), look: (s) => pd(s).follows, is: false,
    unless: { from: repl(Repl.established) } },
  { row: '15.5', from: repl(Repl.established), to: repl(Repl.wfBitMapS, { reconcilePending: true }),
    look: (s) => pd(s).reconcilePending, is: false, unless: { to: repl(Repl.wfBitMapT, { reconcilePending: true }) } },
  { row: 'F22', from: repl(Repl.ahead), to: gone(Cstate.timeout, { aheadToSyncSource: true }), look: (s) => pd(s).aheadToSyncSource,
    is: false,
    unless: { to: repl(Repl.syncSource, { aheadToSyncSource: true }) } },
  { row: 'F23', from: {}, to: repl(Repl.verifyS), look: has('initVerify', { source: true }), is: true,
    unless: { to: repl(Repl.verifyT) } },
  { row: 'F23', from: {}, to: repl(Repl.verifyT), look: has('initVerify', { source: false }), is: true,
    unless: { from: repl(Repl.wfBitMapS) } },
  { row: 'F24', from: repl(Repl.wfBitMapS), to: repl(Repl.syncSource), look: has('initResync'), is: true,
    unless: { from: repl(Repl.verifyS) } },
  { row: 'F24', from: repl(Repl.wfBitMapT), to: repl(Repl.pausedSyncT), look: has('initResync'), is: true,
    unless: { from: repl(Repl.syncTarget) } },
  { row: 'F25', from: {}, to: pdsk(Disk.outdated), look: slotFlags, is: PeerFlag.connected | PeerFlag.outdated | PeerFlag.deviceSeen,
    unless: { from: disk(Disk.attaching) } },
  { row: 'F25', from: {}, to: { device: { disk: Disk.negotiating } }, look: slotFlags, is: PeerFlag.deviceSeen, unless: { to: {} } },
  { row: 'F25', from: {}, to: { ...gone(Cstate.timeout), connections: [{ cstate: Cstate.timeout, options: { ...defaultConnectionOptions,
    fencing: Fencing.resourceOnly } }] }, look: slotFlags, is: PeerFlag.fencing | PeerFlag.deviceSeen,
      unless: { to: gone(Cstate.timeout) } },
  { row: 'F25', from: {}, to: pdsk(Disk.diskless, { wantBitmap: false }), look: slotFlags, is: PeerFlag.connected,
    unless: { to: pdsk(Disk.diskless) } },
  { row: 'F26', from: noData, to: { ...disk(Disk.inconsistent), ...peerPrimary }, look: (s) => pd(s).considerResync, is: true,
    unless: { from: { ...noData, ...peerPrimary } } },
  { row: 'F26', from: { ...disk(Disk.inconsistent), ...pdsk(Disk.consistent) }, to: { ...disk(Disk.inconsistent), ...peerPrimary },
    look: (s) => pd(s).considerResync, is: true, unless: { from: disk(Disk.inconsistent) } },
  { row: 'F27', from: { peers: [offPeer] }, to: {}, look: has('alUpdates', { suspended: false }), is: true, unless: { from: {} } },
  { row: 'F27', from: { peers: [offPeer], ...disk(Disk.attaching) }, to: disk(Disk.attaching),
    look: has('alUpdates', { suspended: false }), is: true, unless: { from: disk(Disk.attaching) } },
  { row: 'F28', from: repl(Repl.ahead), to: repl(Repl.syncSource), look: has('congestionOver'), is: true,
    unless: { from: repl(Repl.wfBitMapS) } },
  { row: 'F29', from: {}, to: repl(Repl.ahead), look: newCurUuid, is: true, unless: { from: repl(Repl.ahead) } },
  { row: 'F30', from: primary, to: { ...primary, ...pdsk(Disk.outdated) }, look: newCurUuid, is: true,
    unless: { to: pdsk(Disk.outdated) } },
  { row: 'F30', from: primary, to: { ...primary, ...gone(Cstate.timeout) }, look: newCurUuid, is: true,
    unless: { to: { ...primary, ...gone(Cstate.timeout), device: { unregistered: true } } } },
  { row: 'F30', from: { ...primary, ...disk(Disk.inconsistent) }, to: { ...primary, ...disk(Disk.inconsistent), peers: [{},
    { pdsk: Disk.outdated }] },
    look: newCurUuid, is: true, unless: { to: { ...primary, ...disk(Disk.inconsistent), peers: [{ pdsk: Disk.failed },
      { pdsk: Disk.outdated }] } } },
  { row: 'F31', from: { ...primary, peers: [offPeer] }, to: { ...primary, ...pdsk(Disk.diskless) }, look: newCurUuid, is: true,
    unless: { to: { ...primary, ...pdsk(Disk.diskless), device: { md: otherBase } } } },
  { row: 'F32', from: { ...primary, ...disk(Disk.negotiating) }, to: { ...primary, ...disk(Disk.failed) }, look: newCurUuid, is: true,
    unless: { from: { ...primary, ...disk(Disk.detaching) } } },
  { row: 'F32', from: { ...primary, ...disk(Disk.negotiating) }, to: { ...primary, ...disk(Disk.failed) }, look: newCurUuid, is: true,
    unless: { to: { ...primary, ...disk(Disk.failed), ...pdsk(Disk.consistent) } } },
  { row: 'F33', from: {}, to: pdsk(Disk.inconsistent), look: has('clearGotNegAck'), is: true, unless: { to: {} } },
  { row: 'F33', from: repl(Repl.syncTarget), to: repl(Repl.established, { syncSrcCrashedPrimary: true }),
    look: (s) => pd(s).syncSrcCrashedPrimary,
    is: false, unless: { to: repl(Repl.pausedSyncT, { syncSrcCrashedPrimary: true }) } },
  { row: '5.3 step 5', from: { connections: [{ peerRole: Role.unknown }] }, to: { ...peerPrimary, peers: [stableWords] },
    look: has('checkResyncSource'), is: true, unless: { from: peerPrimary } },
  { row: '9.6', from: diskless(Disk.consistent), to: { ...diskless(Disk.upToDate), ...peerPrimary }, look: (s) => device(s).exposedUuid, is: 0x30n,
    unless: { to: diskless(Disk.upToDate) } },
  { row: '9.6', from: diskless(Disk.outdated), to: { ...diskless(Disk.outdated), ...peerPrimary }, look: has('olderIsPrimary'), is: true,
    unless: { to: { ...diskless(Disk.outdated), ...primary, ...peerPrimary } } },
  { row: 'F34', from: { ...primary, ...noData }, to: { ...primary, ...noData, peers: [{}] }, look: newCurUuid, is: true,
    unless: { to: { ...primary, ...noData } } },
  { row: 'F34', from: primary, to: { ...primary, ...disk(Disk.detaching) }, look: newCurUuid, is: true,
    unless: { from: { ...primary, ...disk(Disk.negotiating) } } },
  { row: 'F35', from: {}, to: primary, look: newCurUuid, is: true, unless: { from: primary } },
  { row: 'F36', from: {}, to: primary, look: newCurUuid, is: true, unless: { from: { resource: { suspUuid: true } } } },
  { row: 'F37', from: {}, to: disk(Disk.outdated), look: has('mdFlags', { flags: MdFlag.consistent | MdFlag.haveQuorum }), is: true,
    unless: { from: disk(Disk.attaching) } },
  { row: 'F37', from: disk(Disk.detaching), to: primary, look: has('mdFlags'), is: true,
    unless: { to: { ...primary, ...disk(Disk.diskless) } } },
  { row: 'F37', from: disk(Disk.inconsistent), to: { device: { disk: Disk.consistent, exposedUuid: 0x20n } },
    look: (s) => device(s).exposedUuid,
    is: 0x10n, unless: { from: disk(Disk.consistent) } },
  { row: 'F37', from: primary, to: { ...primary, ...disk(Disk.failed) }, look: (s) => device(s).outgrown, is: true,
    unless: { to: { ...primary, ...disk(Disk.failed), ...pdsk(Disk.outdated) } } },
  { row: 'F37', from: disk(Disk.inconsistent), to: { device: { disk: Disk.upToDate, outgrown: true } }, look: (s) => device(s).outgrown,
    is: false, unless: { to: { device: { disk: Disk.outdated, outgrown: true } } } },
  { row: 'F37', from: primary, to: { ...primary, ...disk(Disk.detaching) }, look: (s) => device(s).keptAll, is: true,
    unless: { to: { ...primary, ...disk(Disk.failed) } } },
  { row: 'F37', from: primary, to: { ...primary, ...disk(Disk.detaching) }, look: (s) => device(s).keptAll, is: true,
    unless: { to: disk(Disk.detaching) } },
  { row: 'F42', from: primary, to: { device: { disk: Disk.diskless, keptAll: true } }, look: (s) => device(s).keptAll, is: false,
    unless: { to: { ...primary, device: { disk: Disk.diskless, keptAll: true } } } },
  { row: 'F39', from: { device: { haveQuorum: false } }, to: { device: { primaryLostQuorum: true } },
    look: (s) => device(s).primaryLostQuorum,
    is: false, unless: { from: {} } },
  { row: 'F40', from: { resource: frozen }, to: { resource: frozen, ...noData }, look: has('completionResumed', { restart: false }),
    is: true,
    unless: { to: { resource: { ...frozen, ...suspendIo }, ...noData } } },
  { row: 'F42', from: primary, to: { device: { newCurUuid: true } }, look: newCurUuid, is: false,
    unless: { to: { ...primary, device: { newCurUuid: true } } } },
  { row: 'F43', from: {}, to: disk(Disk.consistent), look: ({ draft }) => draft.resource.tryBecomeUpToDatePending, is: true,
    unless: { from: disk(Disk.outdated) } },
  { row: 'F44', from: peerPrimary, to: gone(Cstate.brokenPipe), look: (s) => connection(s).notifyPeersLostPrimary, is: true,
    unless: { from: {} } },
  { row: 'F45', from: {}, to: gone(Cstate.disconnecting), look: has('teardown'), is: true, unless: { to: {} } },
  { row: 'F45', from: gone(Cstate.connecting), to: gone(Cstate.tearDown), look: has('teardown'), is: true,
    unless: { from: gone(Cstate.tearDown) } },
  { row: 'F49', from: gone(Cstate.connecting), to: {}, look: (s) => connection(s).connects, is: 1, unless: { from: {} } },
  { row: '15.5', from: { ...gone(Cstate.connecting), ...disk(Disk.consistent) }, to: { ...disk(Disk.consistent), connections: [{ lossTold: true }, {}],
    peers: [{}, { reconcilePending: true }] }, look: (s) => [s.draft.peerDevices[1]!.reconcilePending, s.draft.resource.emptyTwopcScheduled], is: [false, true],
    unless: { to: { ...disk(Disk.consistent), connections: [{}, {}], peers: [{}, { reconcilePending: true }] } } },
  { row: 'F50', from: { ...suspended, ...gone(Cstate.connecting) }, to: suspended, look: has('walkTransferLog', { event: 'resend' }),
    is: true,
    unless: { from: gone(Cstate.connecting) } },
  { row: 'F50', from: { ...suspended, ...gone(Cstate.connecting) }, to: { ...suspended, ...repl(Repl.wfBitMapS) },
    look: has('walkTransferLog', { event: 'cancelSuspendedIo' }), is: true, unless: { to: suspended } },
  { row: 'F50', from: { ...suspended, ...gone(Cstate.connecting) }, to: gone(Cstate.connecting), look: has('walkTransferLog',
    { event: 'cancelSuspendedIo' }),
    is: true, unless: { to: { ...suspended, ...gone(Cstate.connecting) } } },
  { row: 'F51', from: {}, to: gone(Cstate.timeout), look: (s) => connection(s).reconnect, is: true,
    unless: { from: gone(Cstate.connecting) } },
  { row: 'F52', from: peerPrimary, to: { ...peerPrimary, ...repl(Repl.wfBitMapS) }, look: has('applyUnackedPeerRequests', { nodeId: 1 }),
    is: true,
    unless: { to: repl(Repl.wfBitMapS) } },
  { row: 'F53', from: { connections: [{ peerRole: Role.primary }, {}] }, to: { ...disk(Disk.inconsistent),
    connections: [{ cstate: Cstate.timeout,
    peerRole: Role.unknown }, {}], peers: [offPeer, { repl: Repl.syncTarget }] },
      look: ({ draft }) => draft.peerDevices[1]!.unstableResync, is: true,
    unless: { from: {} } },
  { row: 'F54', from: { connections: [{ peerRole: Role.primary }, {}] }, to: { ...disk(Disk.inconsistent),
    connections: [{ cstate: Cstate.timeout,
    peerRole: Role.unknown }, {}], peers: [offPeer, { repl: Repl.pausedSyncT }] },
      look: ({ draft }) => draft.peerDevices[1]!.unstableResync, is: true,
    unless: { to: { ...disk(Disk.inconsistent), connections: [{ cstate: Cstate.timeout, peerRole: Role.unknown }, {}],
      peers: [offPeer, { repl: Repl.pausedSyncT, uuidFlags: UuidFlag.stable }] } } },
  { row: 'F54', from: { connections: [{ peerRole: Role.primary }, {}] }, to: { ...disk(Disk.inconsistent),
    connections: [{ cstate: Cstate.timeout, peerRole: Role.unknown }, {}], peers: [offPeer, { repl: Repl.syncTarget }] },
    look: ({ draft }) => draft.peerDevices[1]!.unstableResync, is: true, unless: { from: { connections: [{}, {}] } } },
  { row: 'F56', from: suspended, to: {}, look: has('completionResumed'), is: true, unless: { to: suspended } },
  { row: 'F56', from: suspended, to: {}, look: has('completionResumed', { restart: true }), is: true, unless: { to: suspended } },
];

function seen(from: Parts, to: Parts): Seen {
  const out: Effect[] = [];
  const draft = draftOf(from, to);
  finishStateChange(draft, 'test', out);
  return { draft, out };
}

describe('finish_state_change', () => {
  it.each(cases)('$row acts', ({ from, to, look, is }) => expect(look(seen(from, to))).toEqual(is));
  it.each(cases)('$row does not act', ({ from, to, look, is, unless }) =>
    expect(look(seen(unless.from ?? from, unless.to ?? to))).not.toEqual(is));

  it('every row has a case', () => {
    const rows = new Set(Object.values(finishRows).flat().map((row) => row.row));
    expect([...new Set(cases.map((c) => c.row))].sort()).toEqual([...rows].sort());
  });

  it('a change of nothing does nothing but to store members', () => {
    const { draft, out } = seen({}, {});
    expect(out.map((e) => e.kind)).toEqual(['peerMdFlags', 'mdFlags']);
    expect(draft.devices[0]!.newCurUuid).toBe(false);
  });
});

describe('meta-data flags (5.1.2, 5.1.3)', () => {
  const alOff = (from: Parts): boolean => mdFlag(MdFlag.alDisabled)(seen(from, from));
  const single = { ...md(0x411, [1]), maxPeers: 1 };
  it('AL_DISABLED: one slot, its peer is Primary with data, self is Secondary', () => {
    expect(alOff({ device: { md: single }, ...peerPrimary })).toBe(true);
    expect(alOff({ device: { md: single } })).toBe(false);
    expect(alOff({ device: { md: single }, ...peerPrimary, ...primary })).toBe(false);
    expect(alOff({ device: { md: single }, ...peerPrimary, ...pdsk(Disk.diskless) })).toBe(false);
    expect(alOff({ device: { md: { ...single, maxPeers: 2 } }, ...peerPrimary })).toBe(false);
    expect(alOff({ device: { options: { onIoError: 'detach', alUpdates: false } } })).toBe(true);
  });
  it.each([[false, false], [true, true]])('CRASHED_PRIMARY of a detaching Primary, forced %s: %s', (forceDetach, is) => {
    expect(mdFlag(MdFlag.crashedPrimary)(seen(primary, { ...primary, ...disk(Disk.detaching, { forceDetach }) }))).toBe(is);
  });
  it('WAS_UP_TO_DATE goes with a disk that fails beside a Primary with data', () => {
    expect(mdFlag(MdFlag.wasUpToDate)(seen(primary, { ...primary, ...disk(Disk.failed) }))).toBe(false);
    expect(mdFlag(MdFlag.wasUpToDate)(seen({}, disk(Disk.failed)))).toBe(true);
  });
  it('AL_CLEAN never survives', () => {
    const clean = { device: { md: md(0x411 | MdFlag.alClean, [1]) } };
    expect(mdFlag(MdFlag.alClean)(seen(clean, clean))).toBe(false);
  });
});

it.each([[0x20n, 0x20n], [0x40n, 0x10n]])('9.6: of good peers in two generations (0x10, 0x%x) the one that has been shown', (second, shown) => {
  const view = viewOf({ ...disk(Disk.inconsistent, { currentUuid: 0x50n, exposedUuid: 0x20n }), connections: [{}, {}],
    peers: [{ peerCurrentUuid: 0x10n, pdsk: Disk.outdated }, { peerCurrentUuid: second }] });
  const changes: Change[] = [{ set: 'pdsk', vnr: 0, nodeId: 1, pdsk: Disk.upToDate }];
  const after = step(view, { kind: 'change', request: 0, tag: 'x', flags: Cs.hard, changes }, live).view;
  expect(after.devices[0]!.exposedUuid).toBe(shown);
});
