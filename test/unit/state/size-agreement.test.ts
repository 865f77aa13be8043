// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { Cstate, Disk, Repl, Role } from '../../../src/state/states.ts';
import {
  DdsFlag, agreedInTwopc, determineDevSize, min0, newDevSize, newRegionIsZero, partitionCapacity, receiveSizes, resizeResyncSide,
  sizesOfPeer, sourceAfterGrow,
} from '../../../src/state/size-agreement.ts';
import type { DetermineView, PeerSize, ReceiveSizesView } from '../../../src/state/size-agreement.ts';

const known = (nodeId: number, size: number): PeerSize =>
  ({ nodeId, haveSizes: true, dSize: size, uSize: 0, cSize: 0, maxSize: size, deviceSeen: true });
const away = (nodeId: number, deviceSeen: boolean): PeerSize =>
  ({ nodeId, haveSizes: false, dSize: 0, uSize: 0, cSize: 0, maxSize: 0, deviceSeen });

function view(rest: Partial<ReceiveSizesView> = {}): ReceiveSizesView {
  return {
    localMax: 130992, effectiveSize: 0, peers: [], capacity: 0, userSize: 0, disk: Disk.upToDate, upToDatePeer: false,
    newLayout: false, mdMoved: false, repl: Repl.off, cstate: Cstate.connecting, pdsk: Disk.unknown, role: Role.secondary,
    otherDiskSizes: [], ...rest,
  };
}

describe('the size of a device (uuid.md 5.2, metadata.md 9)', () => {
  it('min0 ignores zeros', () => {
    expect([min0(), min0(0, 0), min0(0, 5, 3), min0(7)]).toEqual([0, 0, 3, 7]);
  });

  it.each<[string, Partial<DetermineView>, number, number, number]>([
    ['alone, never agreed', {}, 0, 0, 130992],
    ['two nodes agree on the smaller', { peers: [known(1, 130968)] }, 0, 0, 130968],
    ['a peer never seen with a disk does not count', { peers: [away(1, false)] }, 0, 0, 130992],
    ['an absent peer: the last agreed size', { peers: [away(1, true)], effectiveSize: 100000 }, 0, 0, 100000],
    ['an absent peer, and one that is used with more', { peers: [away(1, true), { ...known(2, 130000), cSize: 110000 }], effectiveSize: 100000 }, 0, 0, 110000],
    ['the same, but a user size', { peers: [away(1, true), { ...known(2, 130000), cSize: 110000 }], effectiveSize: 100000 }, 105000, 0, 105000],
    ['an absent peer, never agreed', { peers: [away(1, true)] }, 0, 0, 130992],
    ['forced with an absent peer', { peers: [away(1, true)], effectiveSize: 100000 }, 0, DdsFlag.assumePeerHasSpace, 130992],
    ['a user size', { peers: [known(1, 130968)] }, 5000, 0, 5000],
    ['a user size that is too big', { peers: [known(1, 130968)] }, 130970, 0, 130968],
    ['all diskless', { localMax: 0 }, 0, 0, 0],
    ['diskless beside a disk', { localMax: 0, peers: [known(1, 777)] }, 0, 0, 777],
  ])('%s', (_what, rest, user, flags, size) => {
    expect(newDevSize(view(rest), user, flags).size).toBe(size);
  });

  it('says what was refused', () => {
    expect(newDevSize(view({ localMax: 2000 }), 4000, 0).log[0].text).toBe('Requested disk size is too big (2000 > 1000)kiB');
    expect(newDevSize(view({ localMax: 0 }), 0, 0).log[0].text).toBe('All nodes diskless!');
  });

  it('is never larger than any disk that is there, whatever is forced', () => {
    const size = fc.integer({ min: 1, max: 2 ** 41 });
    fc.assert(fc.property(size, fc.array(size, { maxLength: 5 }), fc.nat(2 ** 41), fc.nat(2 ** 41), fc.nat(1),
      (localMax, disks, effectiveSize, user, flags) => {
        const peers = disks.map((disk, i) => known(i + 1, disk));
        const v = view({ localMax, peers, effectiveSize });
        const got = newDevSize(v, user, flags).size;
        expect(got).toBeLessThanOrEqual(Math.min(localMax, ...disks));
        expect(partitionCapacity(v)).toBe(Math.min(localMax, ...disks));
      }));
  });

  it('nodes reached by the two-phase commit have agreed (H-267)', () => {
    const small = known(1, 1000);
    const peers = [agreedInTwopc(small, 5000)];
    expect(newDevSize(view({ localMax: 4000, peers }), 0, DdsFlag.twopc, new Set([1])).size).toBe(4000);
  });
});

describe('determine_dev_size (uuid.md 5.3)', () => {
  it('a fresh attach leaves effective_size 0 until somebody is UpToDate', () => {
    const plan = determineDevSize(view({ disk: Disk.attaching }), 0);
    expect(plan).toMatchObject({ result: 'grew-from-zero', size: 130992, effectiveSize: 0, rewriteMd: false });
    expect(determineDevSize(view({ capacity: 130992 }), 0)).toMatchObject({ result: 'unchanged', effectiveSize: 130992, rewriteMd: true });
  });

  it('grows with new bits set unless told otherwise', () => {
    const grown = view({ capacity: 1000, effectiveSize: 1000 });
    expect(determineDevSize(grown, 0)).toMatchObject({ result: 'grew', setNewBits: true, resizeBitmap: true });
    expect(determineDevSize(grown, DdsFlag.noResync).setNewBits).toBe(false);
  });

  it('does not shrink by itself for a new layout, and tells the command', () => {
    const plan = determineDevSize(view({ effectiveSize: 200000, newLayout: true }), 0);
    expect(plan.result).toBe('error-shrink');
    expect(plan.log.at(-1)?.text).toBe('Implicit shrink not allowed. Use --size=130992s for explicit shrink.');
    expect(determineDevSize(view({ effectiveSize: 200000, userSize: 150000 }), 0).result).toBe('error-space-md');
    expect(determineDevSize(view({ effectiveSize: 1000, capacity: 1000, userSize: 500 }), 0)).toMatchObject({ result: 'shrunk', size: 500 });
  });
});

describe('receive_sizes (uuid.md 5.4)', () => {
  const packet = (rest = {}) => ({ dSize: 130968, uSize: 0, cSize: 0, ddsFlags: 0, ...rest });

  it('bogus sizes are refused', () => {
    expect(receiveSizes(view(), packet({ cSize: 130976 })).kind).toBe('refuse');
    expect(receiveSizes(view(), packet({ uSize: 10, cSize: 11 })).kind).toBe('refuse');
  });

  it('a peer with a smaller disk than what we already are', () => {
    const v = view({ capacity: 130992, effectiveSize: 130992, peers: [known(1, 130968)] });
    expect(receiveSizes(v, packet())).toMatchObject({ kind: 'refuse', log: [{ text: 'The peer\'s disk size is too small! (130968 < 130992 sectors)' }] });
    expect(receiveSizes({ ...v, disk: Disk.inconsistent }, packet()).kind).toBe('determine');
  });

  it('takes the smaller user size in the handshake, the peer\'s later', () => {
    const v = view({ userSize: 9000, peers: [known(1, 130968)] });
    expect(receiveSizes(v, packet({ uSize: 8000 }))).toMatchObject({ kind: 'determine', userSize: 8000, ddsFlags: DdsFlag.noResync });
    const later = { ...v, repl: Repl.established, effectiveSize: 9000 };
    expect(receiveSizes(later, packet({ uSize: 20000 }))).toMatchObject({ kind: 'determine', userSize: 20000, ddsFlags: 0 });
    expect(receiveSizes(later, packet({ dSize: 200000, cSize: 150000 })).kind).toBe('refuse');
  });

  it('a diskless node follows, but grows only if all can, and never shrinks as Primary (H-268)', () => {
    const diskless = view({ disk: Disk.diskless, localMax: 0 });
    expect(receiveSizes(diskless, packet({ cSize: 1000 }))).toMatchObject({ kind: 'capacity', size: 1000 });
    expect(receiveSizes({ ...diskless, otherDiskSizes: [500] }, packet({ cSize: 1000 })).kind).toBe('ignore');
    expect(receiveSizes({ ...diskless, capacity: 2000, role: Role.primary }, packet({ cSize: 1000 })).kind).toBe('refuse');
    expect(receiveSizes({ ...diskless, capacity: 2000 }, packet({ dSize: 0 })).kind).toBe('ignore');
  });

  it('max_size stays when the peer becomes diskless', () => {
    const first = sizesOfPeer(away(1, false), packet());
    expect(sizesOfPeer(first, packet({ dSize: 0 }))).toMatchObject({ dSize: 0, maxSize: 130968 });
  });
});

describe('after growing', () => {
  it('bits of a new region may be clear (H-255)', () => {
    const v = { discardZeroesIfAligned: true, justCreated: false, wasUpToDate: false, rsDiscardGranularity: 0, allUuidsZero: true };
    expect(newRegionIsZero(v)).toBe(false);
    expect(newRegionIsZero({ ...v, rsDiscardGranularity: 4096 })).toBe(true);
    expect(newRegionIsZero({ ...v, wasUpToDate: true })).toBe(true);
    expect(newRegionIsZero({ ...v, wasUpToDate: true, justCreated: true })).toBe(false);
  });

  it('exactly one end is source', () => {
    for (const role of [Role.primary, Role.secondary]) for (const peerRole of [Role.primary, Role.secondary]) {
      const here = sourceAfterGrow({ role, peerRole, nodeId: 2, peerNodeId: 5 });
      expect(sourceAfterGrow({ role: peerRole, peerRole: role, nodeId: 5, peerNodeId: 2 })).toBe(!here);
    }
  });

  it('resize: sides match at both ends (uuid.md 5.5)', () => {
    const opposite = { source: 'target', target: 'source' } as const;
    for (const mask of [1n << 2n, 1n << 5n, (1n << 2n) | (1n << 5n), 1n << 9n]) {
      const base = { diskfulPrimaries: mask, initiator: false, peerIsParent: false, peerReachedAtPrepare: false };
      const here = resizeResyncSide({ ...base, nodeId: 2, peerNodeId: 5 });
      const there = resizeResyncSide({ ...base, nodeId: 5, peerNodeId: 2 });
      expect(there).toBe(here === null ? null : opposite[here]);
    }
    const secondary = { diskfulPrimaries: 0n, nodeId: 2, peerNodeId: 5 };
    expect(resizeResyncSide({ ...secondary, initiator: true, peerIsParent: false, peerReachedAtPrepare: true })).toBe('source');
    expect(resizeResyncSide({ ...secondary, initiator: false, peerIsParent: true, peerReachedAtPrepare: false })).toBe('target');
  });
});
