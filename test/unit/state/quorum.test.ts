// SPDX-License-Identifier: GPL-2.0-or-later
/** @spec state.md 8.4 */
import { describe, expect, it } from 'vitest';
import { calcQuorum, othersLackQuorum, threshold } from '../../../src/state/quorum.ts';
import { Cstate, Disk, Quorum, Repl, Role } from '../../../src/state/states.ts';
import type { PeerDeviceRow } from '../../../src/state/types.ts';
import { defaultResourceOptions } from '../../../src/state/view.ts';
import { viewOf } from './build.ts';

const down = { repl: Repl.off, pdsk: Disk.unknown } as const;
const outdated = { repl: Repl.off, pdsk: Disk.outdated } as const;
const up = {};
const diskless = { pdsk: Disk.diskless, wantBitmap: false } as const;
const options = (quorum: number, redundancy = 0) => ({ ...defaultResourceOptions, quorum, quorumMinimumRedundancy: redundancy });

interface Setting { quorum?: number; redundancy?: number; had?: boolean; members?: bigint; ownDisk?: Disk; diskless?: boolean; role?: Role }

function viewFor(peers: readonly Partial<PeerDeviceRow>[], o: Setting) {
  const connections = peers.map((p) => p.repl === Repl.off ? { cstate: Cstate.connecting, peerRole: Role.unknown } : {});
  return viewOf({ resource: { options: options(o.quorum ?? Quorum.majority, o.redundancy), members: o.members ?? 0b1111n, role: o.role ?? Role.secondary },
    device: { haveQuorum: o.had ?? true, disk: o.ownDisk ?? Disk.upToDate, intentionalDiskless: o.diskless ?? false, ...(o.diskless ? { md: null } : {}) },
    connections, peers });
}

function have(peers: readonly Partial<PeerDeviceRow>[], o: Setting = {}): boolean {
  const view = viewFor(peers, o);
  return calcQuorum(view, view, 0).haveQuorum;
}

describe('quorum', () => {
  it('thresholds', () => {
    expect([2, 3, 4, 5].map((n) => threshold(Quorum.majority, n))).toEqual([2, 2, 3, 3]);
    expect(threshold(Quorum.all, 5)).toBe(5);
    expect(threshold(3, 5)).toBe(3);
  });
  it('majority of three', () => {
    expect(have([up, up])).toBe(true);
    expect(have([up, down])).toBe(true);
    expect(have([down, down])).toBe(false);
  });
  it('peers known to be outdated do not count, as long as nobody is unknown', () => {
    expect(have([outdated, outdated])).toBe(true);
    expect(have([outdated, down])).toBe(false);
  });
  it('H-230: a node that left the quorate partition is not missed', () => {
    expect(have([down], { members: 0b01n })).toBe(true);
    expect(have([down], { members: 0b11n })).toBe(false);
    expect(have([down], { members: 0b01n, had: false })).toBe(false);
  });
  it('a tiebreaker keeps a quorum but does not give one', () => {
    expect(have([down, diskless])).toBe(true);
    expect(have([down, diskless], { had: false })).toBe(false);
  });
  it('H-251: no tiebreaker from nothing', () => {
    expect(have([down])).toBe(false);
  });
  it('minimum redundancy counts UpToDate nodes', () => {
    expect(have([{ pdsk: Disk.inconsistent }, up], { redundancy: Quorum.majority })).toBe(true);
    expect(have([{ pdsk: Disk.inconsistent }, { pdsk: Disk.inconsistent }], { redundancy: Quorum.majority })).toBe(false);
  });
  it('H-235: a diskless node has the quorum of an UpToDate peer', () => {
    expect(have([{ peerQuorate: true }, down], { ownDisk: Disk.diskless, diskless: true, had: false })).toBe(true);
    expect(have([{ peerQuorate: false }, down], { ownDisk: Disk.diskless, diskless: true, had: false })).toBe(false);
  });
  it('others lack quorum as well, though the redundancy is missing here', () => {
    const lack = (peers: readonly Partial<PeerDeviceRow>[], o: Setting = {}): boolean =>
      othersLackQuorum(viewFor(peers, { role: Role.primary, redundancy: 2, ownDisk: Disk.diskless, ...o }), 0);
    expect(lack([up, down])).toBe(true);
    expect(lack([up, down], { diskless: true })).toBe(true);
    expect(lack([up, down, diskless], { diskless: true })).toBe(true);
    expect(lack([up, down, { ...down, wantBitmap: false }], { diskless: true })).toBe(false);
    expect(lack([up, down, down])).toBe(false);
    expect(lack([up, up, down, down])).toBe(true);
    expect(lack([up, down], { quorum: 1 })).toBe(false);
    expect(lack([up, down], { role: Role.secondary })).toBe(false);
    expect(lack([up, down], { quorum: Quorum.off })).toBe(false);
  });
});
