// SPDX-License-Identifier: GPL-2.0-or-later
/** Each guard row: a change that it refuses, and the same with one thing different, which it lets pass. @spec state.md 4 */
import { describe, expect, it } from 'vitest';
import {
  checkHard, checkSoft, hardConnectionGuards, hardDeviceGuards, softConnectionGuards, softDeviceGuards, softPeerDeviceGuards,
  softResourceGuards,
} from '../../../src/state/guards.ts';
import { Ss } from '../../../src/state/ss.ts';
import { Cs, Cstate, Disk, Fencing, Quorum, Repl, Role } from '../../../src/state/states.ts';
import { defaultConnectionOptions, defaultResourceOptions } from '../../../src/state/view.ts';
import { draftOf } from './build.ts';
import type { Parts } from './build.ts';

interface Case { readonly row: string; readonly code: Ss; readonly from: Parts; readonly to: Parts; readonly passes: Parts; readonly passesFrom?: Parts; readonly flags?: number }

const cstate = (value: Cstate): Parts => ({ connections: [{ cstate: value, peerRole: Role.unknown }], peers: [{ repl: Repl.off, pdsk: Disk.unknown }] });
const disk = (value: Disk): Parts => ({ device: { disk: value } });
const repl = (value: Repl): Parts => ({ peers: [{ repl: value }] });
const primary = { resource: { role: Role.primary } };
const fenced = { options: { ...defaultConnectionOptions, fencing: Fencing.resourceOnly } };
const verifyAlg = { options: { ...defaultConnectionOptions, verifyAlg: true } };
const quorum = { ...defaultResourceOptions, quorum: Quorum.majority };
const alone = { cstate: Cstate.connecting, peerRole: Role.unknown } as const;

const cases: readonly Case[] = [
  { row: 'H1', code: Ss.alreadyStandAlone, from: cstate(0), to: cstate(1), passes: cstate(2) },
  { row: 'H2', code: Ss.needConnection, from: cstate(0), to: cstate(8), passes: cstate(2) },
  { row: 'H3', code: Ss.inTransientState, from: cstate(4), to: cstate(5), passes: cstate(2) },
  { row: 'H4', code: Ss.inTransientState, from: cstate(1), to: cstate(2), passes: cstate(0) },
  { row: 'H5', code: Ss.isDiskless, from: disk(0), to: disk(3), passes: disk(1) },
  { row: 'T1', code: Ss.twoPrimaries, from: { connections: [{ peerRole: Role.primary }] },
    to: { ...primary, connections: [{ peerRole: Role.primary }] }, passes: primary },
  { row: 'T2', code: Ss.inTransientState, from: { connections: [alone], peers: [{ repl: Repl.off, pdsk: Disk.unknown, holdingUuidLock: true }] },
    to: { ...primary, connections: [alone], peers: [{ repl: Repl.off, pdsk: Disk.unknown, holdingUuidLock: true }] },
    passes: { connections: [alone], peers: [{ repl: Repl.off, pdsk: Disk.unknown, holdingUuidLock: true }] } },
  { row: 'T3', code: Ss.deviceInUse, from: { resource: { failIo: true } }, to: { resource: { failIo: true, role: Role.primary } }, passes: primary },
  { row: 'T5', code: Ss.noNetConfig, from: cstate(1), to: cstate(8), passes: cstate(8), passesFrom: cstate(2) },
  { row: 'T6', code: Ss.inTransientState, from: cstate(2), to: cstate(1), passes: cstate(1), passesFrom: cstate(8) },
  { row: 'T7', code: Ss.twoPrimaries, from: primary, to: { ...primary, connections: [{ peerRole: Role.primary }] },
    passes: { ...primary, connections: [{ peerRole: Role.primary, options: { ...defaultConnectionOptions, allowTwoPrimaries: true } }] } },
  { row: 'T8', code: Ss.primaryReader, from: { device: { openCount: 1 } }, to: { device: { openCount: 1 }, connections: [{ peerRole: Role.primary }] },
    passes: { device: { openCount: 1, writable: true }, connections: [{ peerRole: Role.primary }] } },
  { row: 'T9', code: Ss.inTransientState, from: { ...disk(0), peers: [{ repl: Repl.off, pdsk: Disk.unknown, holdingUuidLock: true }] }, to: disk(1),
    passes: disk(1), passesFrom: disk(0) },
  { row: 'T10', code: Ss.deviceInUse, from: { ...primary, device: { writable: true, openCount: 1 } }, to: { device: { writable: true, openCount: 1 } },
    passes: { device: { openCount: 0 } } },
  { row: 'T11', code: Ss.isDiskless, from: disk(0), to: disk(5), passes: disk(1) },
  { row: 'T12', code: Ss.lowerThanOutdated, from: disk(5), to: disk(6), passes: disk(6), passesFrom: { ...disk(5), peers: [{ repl: Repl.syncTarget }] } },
  { row: 'T13', code: Ss.noUpToDateDisk, from: { ...disk(5), peers: [{ pdsk: Disk.inconsistent }] },
    to: { ...primary, ...disk(5), peers: [{ pdsk: Disk.inconsistent }] }, passes: { ...primary, ...disk(5) } },
  { row: 'T14', code: Ss.noUpToDateDisk, from: { device: { openCount: 1 }, peers: [{ pdsk: Disk.inconsistent }] },
    to: { device: { openCount: 1, disk: Disk.detaching }, peers: [{ pdsk: Disk.inconsistent }] },
    passes: { device: { openCount: 1, disk: Disk.detaching } } },
  { row: 'T16', code: Ss.noQuorum, from: { resource: { options: quorum }, device: { haveQuorum: false } },
    to: { resource: { options: quorum, role: Role.primary }, device: { haveQuorum: false } },
    passes: { resource: { options: quorum, role: Role.primary } } },
  { row: 'T17', code: Ss.inTransientState, from: {}, to: { device: { disk: Disk.negotiating }, peers: [{ pdsk: Disk.negotiating }] },
    passes: { peers: [{ pdsk: Disk.negotiating }] } },
  { row: 'T18', code: Ss.primaryNop, from: { connections: [{ ...fenced, ...alone }], peers: [{ repl: Repl.off, pdsk: Disk.unknown }] },
    to: { ...primary, connections: [{ ...fenced, ...alone }], peers: [{ repl: Repl.off, pdsk: Disk.unknown }] },
    passes: { ...primary, connections: [{ ...fenced, ...alone }], peers: [{ repl: Repl.off, pdsk: Disk.outdated }] } },
  { row: 'T19', code: Ss.noLocalDisk, from: disk(0), to: { ...disk(0), ...repl(14) }, passes: disk(0) },
  { row: 'T20', code: Ss.noRemoteDisk, from: { peers: [{ pdsk: Disk.diskless }] }, to: { peers: [{ pdsk: Disk.diskless, repl: Repl.wfBitMapS }] },
    passes: { peers: [{ pdsk: Disk.inconsistent, repl: Repl.wfBitMapS }] } },
  { row: 'T21', code: Ss.connectedOutdates, from: { connections: [{ peerRole: Role.primary }] },
    to: { ...disk(6), connections: [{ peerRole: Role.primary }] }, passes: disk(6) },
  { row: 'T22', code: Ss.noVerifyAlg, from: {}, to: repl(18), passes: { ...repl(18), connections: [verifyAlg] } },
  { row: 'T23', code: Ss.notSupported, from: {}, to: { ...repl(18), connections: [{ ...verifyAlg, agreedVersion: 87 }] },
    passes: { ...repl(18), connections: [verifyAlg] } },
  { row: 'T24', code: Ss.resyncRunning, from: { peers: [{ repl: Repl.pausedSyncS, pdsk: Disk.inconsistent }] }, to: repl(13), passes: repl(16),
    passesFrom: {} },
  { row: 'T25', code: Ss.resyncRunning, from: repl(21), to: repl(14), passes: repl(14), passesFrom: {} },
  { row: 'T25a', code: Ss.noUpToDateDisk, from: { ...disk(8) }, to: { ...disk(8), ...repl(13) }, flags: Cs.clusterWide, passes: repl(13) },
  { row: 'T25b', code: Ss.resyncRunning, from: { peers: [{ repl: Repl.pausedSyncS, pdsk: Disk.inconsistent }] }, to: repl(14),
    flags: Cs.clusterWide, passes: repl(14), passesFrom: {} },
  { row: 'T26', code: Ss.resyncRunning, from: repl(16), to: repl(11), passes: repl(11), passesFrom: {} },
  { row: 'T27', code: Ss.needConnection, from: { peers: [{ repl: Repl.off, pdsk: Disk.unknown }] }, to: { ...repl(18), connections: [verifyAlg] },
    passes: { ...repl(18), connections: [verifyAlg] }, passesFrom: {} },
  { row: 'T28', code: Ss.resyncRunning, from: repl(16), to: { ...repl(18), connections: [verifyAlg] },
    passes: { ...repl(18), connections: [verifyAlg] }, passesFrom: {} },
  { row: 'T29', code: Ss.needConnection, from: { peers: [{ repl: Repl.off, pdsk: Disk.unknown }] }, to: repl(11), passes: repl(11), passesFrom: {} },
  { row: 'T31', code: Ss.attachNoBitmap, from: { peers: [{ pdsk: Disk.diskless, wantBitmap: false }] },
    to: { peers: [{ pdsk: Disk.upToDate, wantBitmap: false }] }, passes: {} },
];

const judge = (from: Parts, to: Parts, row: string, flags = 0) => {
  const draft = draftOf(from, to, flags);
  return row.startsWith('H') ? checkHard(draft) : checkSoft(draft);
};

describe('guards', () => {
  it.each(cases)('$row refuses with $code', ({ row, code, from, to, passes, passesFrom, flags }) => {
    const refused = judge(from, to, row, flags);
    expect(refused.rc).toBe(code);
    expect(refused.reason).toMatchObject({ kind: 'guard', row, code });
    const passed = judge(passesFrom ?? from, passes, row, flags);
    expect(passed.reason === null || (passed.reason.kind === 'guard' && passed.reason.row !== row)).toBe(true);
  });

  it('every row has a case (T4 is hidden by H1)', () => {
    const rows = [hardConnectionGuards, hardDeviceGuards, softResourceGuards, softConnectionGuards, softDeviceGuards, softPeerDeviceGuards]
      .flat().map((guard) => guard.row).filter((row) => row !== 'T4');
    expect(cases.map((c) => c.row)).toEqual(rows);
  });

  it('openers do not count against a forced demotion', () => {
    const open = { device: { writable: true, openCount: 1 } };
    expect(judge({ ...primary, ...open }, open, 'T10', Cs.fsIgnOpeners).rc).toBe(Ss.success);
  });

  it('T29 refuses a resync by bitmap whose peer was lost before a retry', () => {
    const lost = { connections: [{ cstate: Cstate.connecting }], peers: [{ repl: Repl.off, pdsk: Disk.unknown }] };
    expect(judge(lost, { ...lost, peers: [{ repl: Repl.wfBitMapT }] }, 'T29').reason).toMatchObject({ row: 'T29' });
  });

  it('T25b refuses to be the source of a resync that a peer asks for while its own target, but not any more when it is agreed', () => {
    const target = { device: { disk: Disk.inconsistent }, peers: [{ repl: Repl.syncTarget }] };
    const source = { device: { disk: Disk.inconsistent }, peers: [{ repl: Repl.wfBitMapS, pdsk: Disk.inconsistent }] };
    expect(judge(target, source, 'T25b', Cs.prepare).reason).toMatchObject({ row: 'T25b' });
    expect(judge(target, source, 'T25b').rc).toBe(Ss.success);
  });

  it('T16 says how many nodes are missing', () => {
    const verdict = judge({ resource: { options: quorum }, device: { haveQuorum: false }, connections: [alone, alone],
      peers: [{ repl: Repl.off, pdsk: Disk.unknown }, { repl: Repl.off, pdsk: Disk.unknown }] },
    { resource: { options: quorum, role: Role.primary }, device: { haveQuorum: false }, connections: [alone, alone],
      peers: [{ repl: Repl.off, pdsk: Disk.unknown }, { repl: Repl.off, pdsk: Disk.unknown }] }, 'T16');
    expect(verdict.reason).toMatchObject({ text: '1 of 3 nodes visible, need 2 for quorum' });
  });

  it('T16 refuses a Primary only what costs quorum itself', () => {
    const view = (pdsk: Disk, changed: Parts): Parts => ({ resource: { options: quorum, role: Role.primary }, connections: [{}, alone],
      peers: [{ pdsk }, { repl: Repl.off, pdsk: Disk.unknown }], ...changed });
    const costs = { connections: [{ cstate: Cstate.disconnecting }, alone], peers: [{ repl: Repl.off, pdsk: Disk.unknown }, { repl: Repl.off, pdsk: Disk.unknown }] };
    expect(judge(view(Disk.upToDate, {}), view(Disk.upToDate, { ...costs, device: { haveQuorum: false } }), 'T16').reason).toMatchObject({ row: 'T16' });
    // Lost before, and noticed with a change that has nothing to do with it.
    expect(judge(view(Disk.upToDate, costs), view(Disk.upToDate, { ...costs, device: { haveQuorum: false } }), 'T16').rc).toBe(Ss.success);
  });
});
