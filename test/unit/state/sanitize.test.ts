// SPDX-License-Identifier: GPL-2.0-or-later
/** Each sanitizing row at work. @spec state.md 3 */
import { describe, expect, it } from 'vitest';
import type { Draft } from '../../../src/state/draft.ts';
import {
  bounds, connectionRules, deviceRules, deviceTail, firstPass, resourceRules, sanitize, secondPass,
} from '../../../src/state/sanitize.ts';
import { Cs, Cstate, Disk, Fencing, MdFlag, Negotiation, PeerFlag, Quorum, Repl, Role, UuidFlag, replNames } from '../../../src/state/states.ts';
import type { MdFacts } from '../../../src/state/types.ts';
import { defaultConnectionOptions, defaultResourceOptions } from '../../../src/state/view.ts';
import { draftOf } from './build.ts';
import { md } from './cluster.ts';
import type { Parts } from './build.ts';

interface Case { readonly row: string; readonly from: Parts; readonly to: Parts; readonly flags?: number; readonly expect: (d: Draft) => unknown; readonly is: unknown }

const off = { repl: Repl.off, pdsk: Disk.unknown } as const;
const gone = (cstate: Cstate, peerRole: Role = Role.unknown) => ({ cstate, peerRole });
const disk = (d: Draft): Disk => d.devices[0]!.disk;
const pd = (d: Draft) => d.peerDevices[0]!;
const primary = { role: Role.primary } as const;
const stable = UuidFlag.stable;
const fencedBy = (nodeId: number): MdFacts => {
  const facts = md(MdFlag.consistent | MdFlag.wasUpToDate, [nodeId]);
  return { ...facts, slots: facts.slots.map((slot, n) => (n === nodeId ? { ...slot, flags: slot.flags | PeerFlag.fencing } : slot)) };
};
const majority = { options: { ...defaultResourceOptions, quorum: Quorum.majority } };
const suspendNoData = { options: { ...defaultResourceOptions, onNoDataAccessible: 'suspend-io' as const } };

const cases: readonly Case[] = [
  { row: 'S1', from: {}, to: { connections: [gone(Cstate.timeout, Role.secondary)], peers: [off] }, expect: (d) => d.connections[0]!.peerRole, is: Role.unknown },
  { row: 'S2', from: { connections: [{ peerRole: Role.primary }] }, to: { connections: [gone(Cstate.brokenPipe, Role.primary)], peers: [off] }, expect: disk, is: Disk.consistent },
  { row: 'S2', from: { connections: [{ peerRole: Role.primary }] }, to: { connections: [gone(Cstate.tearDown, Role.primary)], peers: [off] }, expect: disk, is: Disk.upToDate },
  { row: 'S3', from: { connections: [{ peerRole: Role.primary }, { peerRole: Role.primary }] },
    to: { connections: [gone(Cstate.brokenPipe, Role.primary), { peerRole: Role.primary }], peers: [off, {}] }, expect: disk, is: Disk.upToDate },
  { row: 'S4', from: { device: { disk: Disk.diskless } }, to: { device: { disk: Disk.detaching } }, expect: disk, is: Disk.diskless },
  { row: 'S5', from: { device: { disk: Disk.inconsistent } }, to: { device: { disk: Disk.outdated } }, flags: Cs.ignOutdFail, expect: disk, is: Disk.inconsistent },
  { row: 'S6', from: { device: { disk: Disk.negotiating }, peers: [{ negotiationResult: Repl.wfBitMapT }] },
    to: { device: { disk: Disk.negotiating }, peers: [{ negotiationResult: Repl.wfBitMapT }] }, expect: (d) => [disk(d), pd(d).repl], is: [Disk.inconsistent, Repl.wfBitMapT] },
  { row: 'S6', from: { device: { disk: Disk.negotiating } }, to: { device: { disk: Disk.negotiating }, peers: [{ negotiationResult: Negotiation.negotiating }] }, expect: disk, is: Disk.negotiating },
  { row: 'S6', from: { device: { disk: Disk.negotiating } }, to: { device: { disk: Disk.negotiating }, peers: [{ negotiationResult: Negotiation.noResult }] }, expect: disk, is: Disk.detaching },
  { row: 'S6', from: { device: { disk: Disk.negotiating }, peers: [{ negotiationResult: Repl.wfBitMapS }, { negotiationResult: Repl.wfBitMapT }] },
    to: { device: { disk: Disk.negotiating }, peers: [{ negotiationResult: Repl.wfBitMapS }, { negotiationResult: Repl.wfBitMapT }] },
    expect: (d) => [disk(d), pd(d).repl], is: [Disk.inconsistent, Repl.wfBitMapS] },
  { row: 'S6', from: { device: { disk: Disk.negotiating } }, to: { device: { disk: Disk.negotiating, md: md(MdFlag.consistent, [1, 2]) }, connections: [gone(Cstate.timeout), {}],
    peers: [off, { negotiationResult: Negotiation.negotiating }] }, expect: disk, is: Disk.negotiating },
  { row: 'S6', from: { device: { disk: Disk.negotiating } }, to: { device: { disk: Disk.negotiating, md: md(MdFlag.consistent, [1, 2]) },
    connections: [gone(Cstate.timeout), gone(Cstate.timeout)], peers: [off, off] }, expect: disk, is: Disk.outdated },
  { row: 'S6', from: { resource: { role: Role.primary }, device: { disk: Disk.negotiating } },
    to: { resource: { role: Role.primary }, device: { disk: Disk.negotiating, md: md(MdFlag.consistent | MdFlag.wasUpToDate, [1, 2]), currentUuid: 0x10n, exposedUuid: 0x20n },
      connections: [gone(Cstate.timeout), gone(Cstate.timeout)], peers: [off, off] }, expect: disk, is: Disk.outdated },
  { row: 'S7', from: { device: { disk: Disk.diskless, currentUuid: 0n }, peers: [{ pdsk: Disk.consistent, peerCurrentUuid: 0x10n }, {}] },
    to: { device: { disk: Disk.diskless, currentUuid: 0n, exposedUuid: 0x10n }, peers: [{ peerCurrentUuid: 0x20n }, {}] }, expect: (d) => pd(d).pdsk, is: Disk.consistent },
  { row: 'S8', from: {}, to: { connections: [gone(Cstate.connecting)], peers: [{ repl: Repl.off, pdsk: Disk.upToDate, suspPeer: true }] }, expect: (d) => [pd(d).pdsk, pd(d).suspPeer], is: [Disk.unknown, false] },
  { row: 'S9', from: { device: { disk: Disk.inconsistent }, peers: [{ repl: Repl.syncTarget, resyncActive: true }] },
    to: { device: { disk: Disk.inconsistent }, connections: [gone(Cstate.timeout)], peers: [{ ...off, resyncActive: true }] }, expect: (d) => pd(d).resyncActive, is: false },
  { row: 'S10', from: {}, to: { device: { disk: Disk.diskless }, connections: [gone(Cstate.standAlone)], peers: [{ ...off, suspDependency: true }] }, expect: (d) => pd(d).suspDependency, is: false },
  { row: 'S11', from: { peers: [{ repl: Repl.syncSource, pdsk: Disk.inconsistent }] }, to: { device: { disk: Disk.failed }, peers: [{ repl: Repl.syncSource, pdsk: Disk.inconsistent, resyncActive: true }] },
    expect: (d) => [pd(d).repl, pd(d).resyncActive], is: [Repl.established, false] },
  { row: 'S11', from: { device: { disk: Disk.diskless }, connections: [gone(Cstate.connecting)], peers: [off] }, to: { device: { disk: Disk.diskless }, connections: [gone(Cstate.connecting)],
    peers: [{ ...off, repl: Repl.verifyS }] }, expect: (d) => pd(d).repl, is: Repl.verifyS },
  { row: 'S12', from: { resource: primary }, to: { resource: primary, connections: [{ ...gone(Cstate.timeout), options: { ...defaultConnectionOptions, fencing: Fencing.resourceAndStonith } }], peers: [off] },
    expect: (d) => d.connections[0]!.suspFen, is: true },
  { row: 'S19', from: { device: { disk: Disk.inconsistent }, peers: [{ pdsk: Disk.inconsistent }, { repl: Repl.syncTarget }] },
    to: { device: { disk: Disk.inconsistent }, peers: [{ repl: Repl.syncSource, pdsk: Disk.inconsistent }, { repl: Repl.syncTarget }] }, expect: (d) => [pd(d).suspOtherC, pd(d).repl], is: [true, Repl.pausedSyncS] },
  { row: 'S20', from: {}, to: { peers: [{ repl: Repl.syncSource, pdsk: Disk.inconsistent, suspUser: true }] }, expect: (d) => pd(d).repl, is: Repl.pausedSyncS },
  { row: 'S21', from: {}, to: { peers: [{ repl: Repl.pausedSyncS, pdsk: Disk.inconsistent }] }, expect: (d) => pd(d).repl, is: Repl.syncSource },
  { row: 'S22', from: { peers: [{}, {}] }, to: { peers: [{ repl: Repl.startingSyncT }, {}] }, expect: (d) => d.peerDevices[1]!.repl, is: Repl.pausedSyncT },
  { row: 'S23', from: { device: { disk: Disk.consistent } }, to: { device: { disk: Disk.consistent }, connections: [{ agreedVersion: 101 }] }, expect: disk, is: Disk.upToDate },
  { row: 'S24', from: {}, to: { peers: [{ repl: Repl.wfBitMapT }] }, expect: disk, is: Disk.outdated },
  { row: 'S25', from: { peers: [{ pdsk: Disk.diskless }] }, to: { peers: [{ pdsk: Disk.failed }] }, expect: (d) => pd(d).pdsk, is: Disk.diskless },
  { row: 'S26', from: { device: { disk: Disk.outdated }, peers: [off] }, to: { device: { disk: Disk.outdated }, peers: [{ uuidFlags: stable }] }, expect: disk, is: Disk.upToDate },
  { row: 'S26', from: { device: { disk: Disk.outdated }, peers: [off] }, to: { device: { disk: Disk.outdated }, peers: [{ uuidFlags: 0 }] }, expect: disk, is: Disk.outdated },
  { row: 'S26', from: { device: { disk: Disk.outdated, currentUuid: 0x10n }, peers: [{ peerCurrentUuid: 0x20n }] },
    to: { device: { disk: Disk.outdated, currentUuid: 0x10n }, peers: [{ peerCurrentUuid: 0x20n, uuidFlags: stable | UuidFlag.gotStable }] }, expect: disk, is: Disk.outdated },
  { row: 'S26', from: { device: { disk: Disk.outdated, currentUuid: 0x10n }, peers: [{ peerCurrentUuid: 0x10n }] },
    to: { device: { disk: Disk.outdated, currentUuid: 0x10n }, peers: [{ peerCurrentUuid: 0x10n, uuidFlags: stable | UuidFlag.gotStable }] }, expect: disk, is: Disk.upToDate },
  { row: 'S26', from: { device: { disk: Disk.outdated }, peers: [{ repl: Repl.wfBitMapT }, off] },
    to: { device: { disk: Disk.outdated }, peers: [{ repl: Repl.wfBitMapT }, { uuidFlags: stable }] }, expect: disk, is: Disk.outdated },
  { row: 'S27', from: { device: { disk: Disk.outdated }, peers: [{ repl: Repl.wfBitMapT }, { uuidFlags: stable }] },
    to: { device: { disk: Disk.outdated }, connections: [gone(Cstate.timeout), {}], peers: [off, { uuidFlags: stable }] }, expect: disk, is: Disk.upToDate },
  { row: 'S28', from: { device: { disk: Disk.consistent }, peers: [off] }, to: { device: { disk: Disk.consistent }, peers: [{}] }, expect: disk, is: Disk.upToDate },
  ...([[primary, 0x10n, Disk.outdated, Disk.upToDate], [primary, 0x10n, Disk.unknown, Disk.consistent],
    [primary, 0x20n, Disk.outdated, Disk.consistent], [{}, 0x10n, Disk.outdated, Disk.consistent]] as const).map(([resource, exposedUuid, pdsk, is]): Case => {
    const device = { disk: Disk.consistent, currentUuid: 0x10n, exposedUuid, md: fencedBy(1) };
    const connections = [gone(Cstate.connecting)];
    return { row: 'S28', from: { resource, device, connections, peers: [off] }, to: { resource, device, connections, peers: [{ ...off, pdsk }] }, expect: disk, is };
  }),
  { row: 'S28', from: { resource: primary, device: { disk: Disk.consistent, currentUuid: 0x10n, exposedUuid: 0x20n }, peers: [off] },
    to: { resource: primary, device: { disk: Disk.consistent, currentUuid: 0x10n, exposedUuid: 0x20n }, peers: [{}] }, expect: disk, is: Disk.consistent },
  ...([[0x10n, Disk.outdated, Disk.upToDate], [0x20n, Disk.outdated, Disk.consistent], [0x10n, Disk.unknown, Disk.consistent]] as const).map(
    ([peerCurrentUuid, pdsk, is]): Case => {
      const device = { disk: Disk.consistent, currentUuid: 0x10n, md: fencedBy(2) };
      const peers = [{ peerCurrentUuid }, { ...off, pdsk }];
      const connections = [{}, gone(Cstate.connecting)];
      return { row: 'S28', from: { device, connections, peers }, to: { resource: primary, device, connections, peers }, expect: disk, is };
    }),
  { row: 'S29', from: { device: { disk: Disk.consistent }, peers: [{ pdsk: Disk.consistent }] }, to: { device: { disk: Disk.consistent }, peers: [{ uuidFlags: stable }] }, expect: disk, is: Disk.upToDate },
  { row: 'S29', from: { device: { disk: Disk.consistent }, peers: [{ repl: Repl.syncSource, pdsk: Disk.inconsistent }] },
    to: { device: { disk: Disk.consistent }, peers: [{ uuidFlags: stable }] }, expect: disk, is: Disk.upToDate },
  { row: 'S29', from: { device: { disk: Disk.consistent, currentUuid: 0x10n }, peers: [{ pdsk: Disk.negotiating, peerCurrentUuid: 0x10n }] },
    to: { device: { disk: Disk.consistent }, peers: [{ uuidFlags: stable }] }, expect: disk, is: Disk.upToDate },
  { row: 'S30', from: {}, to: { peers: [{ uuidFlags: stable | UuidFlag.gotStable }] }, expect: (d) => pd(d).uuidFlags, is: stable },
  { row: 'S31a', from: { device: { disk: Disk.consistent }, connections: [{ peerRole: Role.unknown }], peers: [off] },
    to: { device: { disk: Disk.consistent }, connections: [{ peerRole: Role.primary }], peers: [{ pdsk: Disk.diskless }] }, expect: disk, is: Disk.upToDate },
  { row: 'S31a', from: { device: { disk: Disk.outdated }, connections: [{ peerRole: Role.unknown }, {}], peers: [off, { repl: Repl.wfBitMapT }] },
    to: { device: { disk: Disk.outdated }, connections: [{ peerRole: Role.primary }, {}], peers: [{ pdsk: Disk.diskless }, { repl: Repl.wfBitMapT }] }, expect: disk, is: Disk.outdated },
  { row: 'S31b', from: { device: { disk: Disk.outdated, crashedPrimary: true }, connections: [{ peerRole: Role.unknown }], peers: [off] },
    to: { device: { disk: Disk.outdated, crashedPrimary: true }, connections: [{ peerRole: Role.primary }], peers: [{ pdsk: Disk.diskless }] },
    expect: (d) => [disk(d), d.devices[0]!.tryToGetResync], is: [Disk.outdated, true] },
  { row: 'S31b', from: { device: { disk: Disk.inconsistent }, connections: [{ peerRole: Role.unknown }], peers: [off] },
    to: { device: { disk: Disk.inconsistent }, connections: [{ peerRole: Role.primary }], peers: [{ pdsk: Disk.diskless }] },
    expect: (d) => [disk(d), d.devices[0]!.tryToGetResync], is: [Disk.inconsistent, true] },
  { row: 'S31b', from: { connections: [{ peerRole: Role.unknown }], peers: [off] }, to: { connections: [{ peerRole: Role.primary }], peers: [{ pdsk: Disk.diskless, peerCurrentUuid: 0x20n }] },
    expect: (d) => [disk(d), d.devices[0]!.tryToGetResync], is: [Disk.consistent, true] },
  { row: 'S32', from: { device: { disk: Disk.diskless }, peers: [off] }, to: { device: { disk: Disk.diskless, exposedUuid: 0x10n }, peers: [{ peerCurrentUuid: 0x30n }] }, expect: (d) => pd(d).pdsk, is: Disk.consistent },
  { row: 'S32', from: { device: { disk: Disk.diskless }, peers: [{ pdsk: Disk.outdated }] }, to: { device: { disk: Disk.diskless, exposedUuid: 0x10n },
    connections: [{ peerRole: Role.primary }], peers: [{ peerCurrentUuid: 0x30n }] }, expect: (d) => pd(d).pdsk, is: Disk.upToDate },
  ...([[primary, Disk.outdated, Disk.consistent], [primary, Disk.inconsistent, Disk.consistent], [primary, Disk.upToDate, Disk.upToDate],
    [{}, Disk.outdated, Disk.upToDate]] as const).map(([resource, own, is]): Case => ({ row: 'S32', from: { resource, device: { disk: own }, peers: [{ pdsk: Disk.consistent }] },
    to: { resource, device: { disk: own, exposedUuid: 0x10n }, peers: [{ peerCurrentUuid: 0x30n }] }, expect: (d) => pd(d).pdsk, is })),
  { row: 'S33', from: { resource: majority }, to: { resource: majority, connections: [gone(Cstate.timeout), gone(Cstate.timeout)], peers: [off, off] }, expect: (d) => d.devices[0]!.haveQuorum, is: false },
  { row: 'S34', from: { device: { haveQuorum: false } }, to: { device: { haveQuorum: false } }, expect: (d) => d.devices[0]!.haveQuorum, is: true },
  { row: 'S35', from: { resource: majority, device: { haveQuorum: false } }, to: { resource: majority, device: { haveQuorum: false, restoreQuorum: true },
    connections: [gone(Cstate.connecting), gone(Cstate.connecting)], peers: [off, off] }, expect: (d) => d.devices[0]!.haveQuorum, is: true },
  { row: 'S36', from: { resource: majority }, to: { resource: majority, connections: [gone(Cstate.timeout), gone(Cstate.timeout)], peers: [off, off] }, expect: (d) => d.resource.suspQuorum, is: true },
  { row: 'S37', from: { resource: { ...primary, ...suspendNoData } }, to: { resource: { ...primary, ...suspendNoData }, device: { disk: Disk.failed }, peers: [{ pdsk: Disk.inconsistent }] }, expect: (d) => d.resource.suspNod, is: true },
  { row: 'S39', from: { connections: [{ peerRole: Role.primary }] }, to: { connections: [gone(Cstate.disconnecting, Role.primary)], peers: [off] }, flags: Cs.hard, expect: disk, is: Disk.consistent },
  { row: 'S40', from: { resource: { ...primary, suspNod: true } }, to: { resource: { ...primary, suspNod: true } }, expect: (d) => d.resource.suspNod, is: false },
  { row: 'S41', from: { resource: suspendNoData, device: { disk: Disk.inconsistent }, peers: [{ pdsk: Disk.inconsistent }] },
    to: { resource: { ...primary, ...suspendNoData }, device: { disk: Disk.inconsistent }, peers: [{ pdsk: Disk.inconsistent }] }, expect: (d) => d.resource.suspNod, is: true },
  { row: 'S42', from: { resource: { suspQuorum: true } }, to: { resource: { suspQuorum: true } }, expect: (d) => d.resource.suspQuorum, is: false },
  { row: 'S43', from: { resource: { suspUser: true } }, to: { device: { newCurUuid: true } }, expect: (d) => d.resource.suspUuid, is: true },
  { row: 'S43', from: { resource: { ...primary, suspNod: true }, device: { disk: Disk.inconsistent }, peers: [{ pdsk: Disk.inconsistent }] },
    to: { resource: primary, device: { disk: Disk.inconsistent } },
    expect: (d) => d.resource.suspUuid, is: true },
  { row: 'S44', from: { resource: primary, device: { openCount: 1, writable: true } }, to: { device: { openCount: 1, writable: true } }, flags: Cs.fsIgnOpeners, expect: (d) => d.resource.failIo, is: true },
];

describe('sanitize', () => {
  it.each(cases)('$row', ({ from, to, flags, expect: look, is }) => {
    const draft = draftOf(from, to, flags);
    sanitize(draft);
    expect(look(draft)).toEqual(is);
  });

  it('every row has a case', () => {
    const rows = new Set([connectionRules, deviceRules, firstPass, secondPass, deviceTail].flat().map((rule) => rule.row)
      .concat(resourceRules.map((rule) => rule.row)));
    expect([...new Set(cases.map((c) => c.row))].sort()).toEqual([...rows].sort());
  });

  it.each(Object.keys(bounds).map(Number))('S24 keeps the bounds of repl %i for every pair of disks', (value) => {
    const repl = value as Repl;
    for (const own of [5, 6, 8, 9] as const) {
      for (const theirs of [5, 6, 7, 8, 9] as const) {
        const draft = draftOf({ peers: [{ repl }] }, { device: { disk: own }, peers: [{ repl, pdsk: theirs }] });
        sanitize(draft);
        const row = draft.peerDevices[0]!;
        const limits = bounds[row.repl];
        expect(row.pdsk, replNames[row.repl]).toBeGreaterThanOrEqual(limits.pdsk[0]);
        expect(row.pdsk, replNames[row.repl]).toBeLessThanOrEqual(limits.pdsk[1]);
        expect(disk(draft)).toBeGreaterThanOrEqual(limits.disk[0]);
      }
    }
  });

  it('S13..S18: one source at a time, the best; a running one only gives way for 256 bits, and drains first', () => {
    const target = (a: object, b: object): Parts => ({ device: { disk: Disk.inconsistent }, peers: [a, b] });
    const sync = { repl: Repl.syncTarget };
    const fresh = draftOf(target({}, {}), target(sync, sync));
    sanitize(fresh);
    expect(fresh.peerDevices.map((p) => p.repl)).toEqual([Repl.pausedSyncT, Repl.syncTarget]);
    expect(fresh.peerDevices.map((p) => p.resyncActive)).toEqual([false, true]);
    expect(fresh.peerDevices.map((p) => p.suspOtherC)).toEqual([true, false]);
    const running = draftOf(target(sync, {}), target({ ...sync, resyncActive: true }, sync));
    sanitize(running);
    expect(running.peerDevices.map((p) => p.repl)).toEqual([Repl.syncTarget, Repl.pausedSyncT]);
    const better = draftOf(target({ ...sync, pdsk: Disk.outdated }, {}), target({ ...sync, pdsk: Disk.outdated }, sync));
    sanitize(better);
    expect(better.peerDevices.map((p) => p.repl)).toEqual([Repl.pausedSyncT, Repl.syncTarget]);
    const paused = draftOf(target(sync, {}), target({ ...sync, resyncActive: true, suspUser: true }, sync));
    sanitize(paused);
    expect(paused.peerDevices.map((p) => p.repl)).toEqual([Repl.pausedSyncT, Repl.pausedSyncT]);
  });
});
