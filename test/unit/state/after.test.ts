// SPDX-License-Identifier: GPL-2.0-or-later
/** Each row of w_after_state_change: a change at which it acts, and one at which it must not. @spec state.md 5.2 */
import { describe, expect, it } from 'vitest';
import { afterRows, afterStateChange } from '../../../src/state/after.ts';
import type { Effect } from '../../../src/state/effects.ts';
import { unpackState } from '../../../src/state/state-word.ts';
import { Cstate, Disk, Fencing, Repl, Role, UuidFlag } from '../../../src/state/states.ts';
import { defaultConnectionOptions } from '../../../src/state/view.ts';
import { countOf, viewOf } from './build.ts';
import type { Parts } from './build.ts';

interface Case {
  readonly row: string;
  readonly from: Parts;
  readonly to: Parts;
  readonly look: (out: readonly Effect[]) => unknown;
  readonly is: unknown;
  /** Instead of `from` or `to`: then it is not so. */
  readonly unless: { readonly from?: Parts; readonly to?: Parts };
}

const matches = (e: Effect, kind: Effect['kind'], more: object): boolean =>
  e.kind === kind && Object.entries(more).every(([key, value]) => e[key as keyof Effect] === value);
const count = (kind: Effect['kind'], more: object = {}) => (out: readonly Effect[]): number => out.filter((e) => matches(e, kind, more)).length;
const has = (kind: Effect['kind'], more: object = {}) => (out: readonly Effect[]): boolean => out.some((e) => matches(e, kind, more));
const raises = (kind: string) => (out: readonly Effect[]): boolean => out.some((e) => e.kind === 'raise' && e.event.kind === kind);

const repl = (value: Repl, more: object = {}): Parts => ({ peers: [{ repl: value, ...more }] });
const pdsk = (value: Disk, more: object = {}): Parts => ({ peers: [{ pdsk: value, ...more }] });
const disk = (value: Disk, more: object = {}): Parts => ({ device: { disk: value, ...more } });
const device = (more: object): Parts => ({ device: more });
const off = { repl: Repl.off, pdsk: Disk.unknown } as const;
const gone = (cstate: Cstate): Parts => ({ connections: [{ cstate, peerRole: Role.unknown }], peers: [off] });
const primary = { resource: { role: Role.primary } } as const;
const peerPrimary = { connections: [{ peerRole: Role.primary }] } as const;
const noData = { device: { disk: Disk.inconsistent }, peers: [{ pdsk: Disk.inconsistent }] } as const;
const fenced = (fencing: Fencing): Parts => ({ connections: [{ options: { ...defaultConnectionOptions, fencing } }] });
const flushes = (agreedVersion: number): Parts => ({ ...disk(Disk.inconsistent), ...repl(Repl.syncTarget),
  connections: [{ peerRole: Role.primary, agreedVersion }] });
/** Peer 2 is the only Primary, or nobody. */
const second = (peerRole: Role, first: object = {}, ownDisk: Disk = Disk.upToDate): Parts => ({ ...disk(ownDisk), connections: [{},
  { peerRole }], peers: [first, {}] });
const initial = (role: Role): Parts => ({ resource: { role }, ...disk(Disk.inconsistent), peers: [{ pdsk: Disk.inconsistent }, {}] });
const dependent = (suspDependency: boolean, role: Role = Role.secondary): Parts => ({ resource: { role }, ...disk(Disk.diskless,
  { md: null }),
  connections: [{ cstate: Cstate.standAlone, peerRole: Role.unknown }], peers: [{ ...off, suspDependency }] });
const toPeer2 = { nodeId: 2 };

const cases: readonly Case[] = [
  { row: 'W3', from: { peers: [{ repl: Repl.syncTarget }, {}] }, to: { peers: [{}, {}] }, look: count('sendUuids', { flags: 0 }), is: 2, unless: { from: repl(Repl.verifyT) } },
  { row: 'W4', from: initial(Role.secondary), to: { ...primary, peers: [{}, {}] }, look: count('sendState'), is: 1,
    unless: { from: { ...initial(Role.secondary), peers: [{}, {}] } } },
  { row: 'W5', from: { peers: [off] }, to: {}, look: has('clearBitmapUuid'), is: true,
    unless: { to: { peers: [{ peerCurrentUuid: 0x20n }] } } },
  { row: 'W5', from: pdsk(Disk.diskless), to: {}, look: has('clearBitmapUuid'), is: true, unless: { to: repl(Repl.wfBitMapS) } },
  { row: 'W6', from: { ...primary, ...noData }, to: { ...primary, ...disk(Disk.inconsistent) }, look: raises('emptyTwopc'), is: true,
    unless: { to: disk(Disk.inconsistent) } },
  { row: 'W7', from: { peers: [off] }, to: {}, look: has('sendUuids', { flags: 0 }), is: true,
    unless: { to: { peers: [{ commCurrentUuid: 0x10n }] } } },
  { row: 'W7', from: {}, to: peerPrimary, look: has('sendUuids', { flags: 0 }), is: true, unless: { from: peerPrimary } },
  { row: 'W9', from: primary, to: { ...primary, ...noData }, look: count('helper', { name: 'pri-on-incon-degr' }), is: 1,
    unless: { from: { ...primary, ...noData } } },
  { row: 'W9', from: { ...primary, peers: [{}, {}] }, to: { ...primary, ...disk(Disk.inconsistent), peers: [{ pdsk: Disk.outdated },
    { pdsk: Disk.outdated }] },
    look: count('helper', { name: 'pri-on-incon-degr' }), is: 2,
    unless: { to: { ...primary, ...disk(Disk.inconsistent, { unregistered: true }), peers: [{ pdsk: Disk.outdated },
      { pdsk: Disk.outdated }] } } },
  { row: 'W11', from: pdsk(Disk.diskless), to: pdsk(Disk.negotiating), look: (out) => [has('sendUuids')(out), has('sendState')(out)],
    is: [true, true],
    unless: { from: pdsk(Disk.negotiating) } },
  { row: 'W11', from: pdsk(Disk.upToDate), to: pdsk(Disk.negotiating), look: (out) => [has('sendUuids')(out), has('sendState')(out)],
    is: [true, true],
    unless: { from: pdsk(Disk.negotiating) } },
  { row: 'W12', from: {}, to: repl(Repl.wfBitMapS), look: has('sendBitmap'), is: true, unless: { to: repl(Repl.wfBitMapT) } },
  { row: 'W12a', from: {}, to: repl(Repl.wfBitMapT), look: has('becomesTarget'), is: true, unless: { from: repl(Repl.wfBitMapT) } },
  { row: 'W13', from: peerPrimary, to: {}, look: has('writeBitmap', { why: 'demote' }), is: true,
    unless: { from: gone(Cstate.connecting) } },
  { row: 'W14', from: disk(Disk.attaching), to: disk(Disk.negotiating), look: (out) => [has('sendSizes')(out), has('sendUuids')(out),
    has('sendState')(out)],
    is: [true, true, true], unless: { to: { ...disk(Disk.negotiating), ...gone(Cstate.connecting) } } },
  { row: 'W15', from: repl(Repl.wfBitMapS), to: repl(Repl.syncSource), look: has('sendState'), is: true,
    unless: { from: repl(Repl.verifyS) } },
  { row: 'W15', from: {}, to: { peers: [{ suspOtherC: true }] }, look: has('sendState'), is: true,
    unless: { to: { peers: [{ suspPeer: true }] } } },
  { row: 'W15', from: repl(Repl.pausedSyncT), to: {}, look: has('sendState'), is: true, unless: { from: repl(Repl.wfBitMapT) } },
  { row: 'W16', from: {}, to: { peers: [{ suspUser: true }] }, look: has('resyncAfter', { what: 'pause' }), is: true,
    unless: { from: { peers: [{ suspPeer: true }] } } },
  { row: 'W16', from: {}, to: { peers: [{ suspDependency: true }] }, look: has('resyncAfter', { what: 'pause' }), is: true,
    unless: { to: { peers: [{ suspOtherC: true }] } } },
  { row: 'W17', from: { peers: [off] }, to: {}, look: has('sendState'), is: true, unless: { from: {} } },
  { row: 'W17', from: {}, to: repl(Repl.ahead), look: has('sendState'), is: true, unless: { to: repl(Repl.behind) } },
  { row: 'W18', from: {}, to: repl(Repl.startingSyncT), look: has('setAllBits', { nodeId: -1, then: 'startSyncTarget', startNodeId: 1 }),
    is: true,
    unless: { from: repl(Repl.startingSyncT) } },
  { row: 'W19', from: {}, to: repl(Repl.startingSyncS), look: has('setAllBits', { nodeId: 1, then: 'startSyncSource', startNodeId: 1 }),
    is: true,
    unless: { from: repl(Repl.startingSyncS) } },
  { row: 'W20', from: disk(Disk.negotiating), to: {}, look: has('resyncAfterGrow'), is: true, unless: { from: {} } },
  { row: 'W20', from: pdsk(Disk.negotiating), to: {}, look: has('resyncAfterGrow'), is: true, unless: { from: {} } },
  { row: 'W21', from: repl(Repl.verifyT), to: {}, look: has('resyncAfter', { what: 'resume' }), is: true,
    unless: { to: repl(Repl.syncTarget) } },
  { row: 'W21', from: { peers: [{ suspPeer: true }] }, to: {}, look: has('resyncAfter', { what: 'resume' }), is: true,
    unless: { from: { peers: [{ suspDependency: true }] } } },
  { row: 'W21', from: { peers: [{ suspUser: true }] }, to: {}, look: has('resyncAfter', { what: 'resume' }), is: true,
    unless: { from: {} } },
  { row: 'W22', from: { ...disk(Disk.inconsistent), peers: [{ repl: Repl.syncTarget }, {}] }, to: { ...disk(Disk.inconsistent),
    peers: [{}, {}] },
    look: has('sendState', toPeer2), is: true, unless: { from: { ...disk(Disk.inconsistent), peers: [{ repl: Repl.wfBitMapT }, {}] } } },
  { row: 'W23', from: {}, to: disk(Disk.outdated), look: has('sendState'), is: true, unless: { to: disk(Disk.attaching) } },
  { row: 'W23', from: disk(Disk.consistent), to: {}, look: has('sendState'), is: true, unless: { to: primary } },
  { row: 'W24', from: device({ haveQuorum: false }), to: {}, look: has('sendState'), is: true,
    unless: { from: disk(Disk.diskless, { haveQuorum: false }), to: disk(Disk.diskless) } },
  { row: 'W25', from: initial(Role.secondary), to: { ...primary, peers: [{}, {}] }, look: has('sendState', { nodeId: 2 }), is: true,
    unless: { to: { ...primary, ...disk(Disk.consistent), peers: [{}, {}] } } },
  { row: 'W26', from: repl(Repl.syncTarget), to: {}, look: has('writeBitmap', { why: 'write from resync_finished' }), is: true,
    unless: { to: repl(Repl.pausedSyncT) } },
  { row: 'W26', from: repl(Repl.syncSource), to: repl(Repl.ahead), look: has('writeBitmap', { why: 'write from resync_finished' }),
    is: true,
    unless: { from: {} } },
  { row: 'W27', from: repl(Repl.verifyS), to: {}, look: has('sendState'), is: true, unless: { from: repl(Repl.verifyT) } },
  { row: 'W28', from: dependent(true), to: dependent(false), look: has('resyncAfter', { what: 'resume' }), is: true,
    unless: { from: dependent(true, Role.primary), to: dependent(false, Role.primary) } },
  { row: 'W29', from: {}, to: peerPrimary, look: count('sendUuids', { flags: 0 }), is: 2, unless: { from: { ...disk(Disk.failed) },
    to: { ...disk(Disk.failed), ...peerPrimary } } },
  { row: 'W30', from: {}, to: { peers: [{ suspUser: true }] },
    look: (out) => out.filter((e) => e.kind === 'sendState').map((e) => unpackState(e.word).userIsp),
    is: [true], unless: { to: { connections: [{ cstate: Cstate.connecting }], peers: [{ suspUser: true }] } } },
  { row: 'W31', from: second(Role.primary), to: second(Role.secondary), look: has('sendUuids', { nodeId: 1, flags: UuidFlag.gotStable }),
    is: true,
    unless: { from: second(Role.primary, {}, Disk.inconsistent), to: second(Role.secondary, {}, Disk.inconsistent) } },
  { row: 'W31', from: second(Role.primary), to: second(Role.secondary), look: count('sendUuids',
    { nodeId: 2, flags: UuidFlag.gotStable }), is: 0,
    unless: { from: second(Role.secondary, { repl: Repl.wfBitMapT }) } },
  { row: 'W31', from: second(Role.secondary, { repl: Repl.syncTarget }), to: second(Role.secondary), look: has('sendUuids',
    { nodeId: 2, flags: UuidFlag.gotStable }),
    is: true, unless: { from: second(Role.primary, { repl: Repl.syncTarget }), to: second(Role.primary) } },
  { row: 'W32', from: primary, to: { ...primary, ...device({ newCurUuid: true }), ...pdsk(Disk.failed) }, look: has('newCurrentUuid',
    { forced: false }), is: true,
    unless: { to: { ...primary, ...device({ newCurUuid: true }), ...pdsk(Disk.outdated) } } },
  { row: 'W32', from: primary, to: { ...primary, ...disk(Disk.failed, { newCurUuid: true }) }, look: has('newCurrentUuid'), is: true,
    unless: { to: { ...primary, ...disk(Disk.failed) } } },
  { row: 'W33', from: {}, to: repl(Repl.verifyS), look: has('startVerify'), is: true, unless: { to: repl(Repl.verifyT) } },
  { row: 'W34', from: repl(Repl.wfBitMapT), to: repl(Repl.syncTarget), look: has('runResync', { target: true }), is: true,
    unless: { from: repl(Repl.pausedSyncT) } },
  { row: 'W34', from: repl(Repl.wfBitMapS), to: repl(Repl.pausedSyncS), look: has('runResync', { target: false }), is: true,
    unless: { to: repl(Repl.verifyS) } },
  { row: 'W34', from: repl(Repl.syncTarget), to: {}, look: has('lastResyncRequest'), is: true, unless: { to: repl(Repl.pausedSyncT) } },
  { row: 'W35', from: primary, to: {}, look: has('writeBitmap', { why: 'demote' }), is: true,
    unless: { from: { ...primary, ...disk(Disk.diskless) }, to: disk(Disk.diskless) } },
  { row: 'W36', from: {}, to: {}, look: has('storeEffectiveSize'), is: true, unless: { to: noData } },
  { row: 'W36', from: {}, to: disk(Disk.inconsistent), look: has('storeEffectiveSize'), is: true, unless: { to: disk(Disk.diskless,
    { md: null }) } },
  { row: 'W37', from: {}, to: disk(Disk.failed, { options: { onIoError: 'call-local-io-error', alUpdates: true } }), look: has('helper',
    { name: 'local-io-error' }),
    is: true, unless: { to: disk(Disk.failed) } },
  { row: 'W37', from: {}, to: disk(Disk.detaching, { forceDetach: true }), look: has('abortLocalIo'), is: true,
    unless: { to: disk(Disk.detaching) } },
  { row: 'W37', from: {}, to: disk(Disk.failed), look: (out) => [has('sendState')(out), has('writeBitmap', { why: 'detach' })(out),
    has('ldevReference', { acquire: false })(out)], is: [true, true, true], unless: { from: disk(Disk.failed) } },
  { row: 'W38', from: disk(Disk.failed), to: disk(Disk.diskless), look: (out) => [has('sendState')(out), has('ldevReference',
    { acquire: false })(out)],
    is: [true, true], unless: { to: disk(Disk.diskless, { md: null }) } },
  { row: 'W39', from: {}, to: disk(Disk.inconsistent), look: count('sendState'), is: 2, unless: { from: disk(Disk.consistent) } },
  { row: 'W40', from: {}, to: disk(Disk.consistent), look: raises('emptyTwopc'), is: true, unless: { from: disk(Disk.outdated) } },
  { row: 'W40', from: {}, to: device({ tryToGetResync: true }), look: has('tryToGetResynced'), is: true, unless: { to: {} } },
  { row: 'W40', from: {}, to: {}, look: has('syncMd'), is: true, unless: { to: disk(Disk.diskless) } },
  { row: 'W40', from: primary, to: { ...primary, ...device({ haveQuorum: false }) }, look: has('helper', { name: 'quorum-lost' }),
    is: true,
    unless: { to: device({ haveQuorum: false }) } },
  { row: 'W40', from: {}, to: { resource: { suspUuid: true }, ...device({ newCurUuid: true }) }, look: has('newCurrentUuid'), is: true,
    unless: { from: { resource: { suspUuid: true } } } },
  { row: 'W40', from: { ...primary, ...device({ haveQuorum: false, newCurUuid: true }) }, to: { ...primary, ...device({ newCurUuid: true }) },
    look: has('newCurrentUuid'), is: true, unless: { from: { ...primary, ...device({ newCurUuid: true }) } } },
  { row: 'W40', from: disk(Disk.failed), to: disk(Disk.diskless), look: has('limits'), is: true, unless: { from: disk(Disk.diskless) } },
  { row: 'W41', from: primary, to: {}, look: has('sendState', { vnr: -1, word: Role.secondary }), is: true,
    unless: { to: { connections: [{ cstate: Cstate.connecting }] } } },
  { row: 'W41', from: primary, to: {}, look: has('sendState', { vnr: -1 }), is: true, unless: { from: {} } },
  { row: 'W42', from: { connections: [{ peerRole: Role.primary }] }, to: flushes(123), look: has('sendFlushRequests'), is: true,
    unless: { to: flushes(122) } },
  { row: 'W43', from: gone(Cstate.standAlone), to: gone(Cstate.unconnected), look: has('startConnecting'), is: true,
    unless: { from: gone(Cstate.unconnected) } },
  { row: 'W44', from: {}, to: { connections: [{ suspFen: true }] }, look: raises('checkFencing'), is: true, unless: { to: {} } },
  { row: 'W45', from: pdsk(Disk.outdated), to: fenced(Fencing.resourceOnly), look: has('helper', { name: 'unfence-peer' }), is: true,
    unless: { to: fenced(Fencing.dontCare) } },
  { row: 'W45', from: pdsk(Disk.outdated), to: fenced(Fencing.resourceAndStonith), look: has('helper', { name: 'unfence-peer' }),
    is: true,
    unless: { from: {} } },
  { row: 'W46', from: {}, to: { resource: { suspUuid: true } }, look: raises('suspUuidDone'), is: true, unless: { to: {} } },
  { row: 'W47', from: {}, to: { resource: { emptyTwopcScheduled: true } }, look: raises('emptyTwopc'), is: true, unless: { to: {} } },
];

function work(from: Parts, to: Parts): readonly Effect[] {
  const out: Effect[] = [];
  const peers = Math.max(countOf(from), countOf(to));
  afterStateChange(viewOf(from, peers), viewOf(to, peers), out);
  return out;
}

describe('w_after_state_change', () => {
  it.each(cases)('$row acts', ({ from, to, look, is }) => expect(look(work(from, to))).toEqual(is));
  it.each(cases)('$row does not act',
    ({ from, to, look, is, unless }) => expect(look(work(unless.from ?? from, unless.to ?? to))).not.toEqual(is));

  it('every row has a case', () => {
    const rows = new Set(Object.values(afterRows).flat().map((row) => row.row));
    expect([...new Set(cases.map((c) => c.row))].sort()).toEqual([...rows].sort());
  });

  it('notifications come first, UUIDs before states', () => {
    const kinds = work({ peers: [off], connections: [{ cstate: Cstate.connecting, peerRole: Role.unknown }] }, {}).map((e) => e.kind);
    expect(kinds).toEqual(['notify', 'notify', 'clearBitmapUuid', 'sendUuids', 'sendState', 'storeEffectiveSize', 'syncMd']);
  });

  it('the order of W40', () => {
    const from = { resource: { role: Role.primary, suspUser: true } };
    const to = { resource: { role: Role.primary, suspUuid: true }, ...device({ tryToGetResync: true, haveQuorum: false, newCurUuid: true }) };
    const kinds = work(from, to).map((e) => e.kind === 'helper' ? e.name : e.kind === 'raise' ? e.event.kind : e.kind);
    expect(kinds.slice(-5)).toEqual(['tryToGetResynced', 'syncMd', 'quorum-lost', 'newCurrentUuid', 'suspUuidDone']);
  });
});
