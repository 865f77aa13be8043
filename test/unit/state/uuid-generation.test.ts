// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { Cstate, Disk, PeerFlag, Repl, Role, UuidFlag } from '../../../src/state/states.ts';
import { UuidDraft, dagtagNewer, exposedUuid, isStable, movedTo, nodeBit, resolvedUuid, rotate, weakNodes } from '../../../src/state/uuid-ops.ts';
import {
  attachDagtag, clearBitmapUuid, clearPeerSlot, movedOn, newCurrentUuid, newCurrentUuidCommand, receivedNewCurrent, sendNewCurrentUuid,
  setPrimaryBit, skipInitialSync,
} from '../../../src/state/uuid-generation.ts';
import { dataGivenUp, detectFinishedResyncs, resyncFinished, resyncStartsAsTarget } from '../../../src/state/uuid-resync.ts';
import { receiveUuids, stableSyncSourcePresent, toldNodes, uuidsToSend } from '../../../src/state/uuid-message.ts';
import { uuidCompare } from '../../../src/state/uuid-compare.ts';
import { bitmapModAfterHandshake } from '../../../src/state/uuid-bitmap-mod.ts';
import { disklessTrust } from '../../../src/state/uuid-diskless.ts';
import { uuidUnknown } from '../../../src/state/uuid-types.ts';
import type { DeviceContext, DeviceUuids, PeerContext } from '../../../src/state/uuid-types.ts';
import { compareView, context, counter, device, peer, peerUuids } from './uuid-fixtures.ts';

const A = 0xaaaan << 16n;
const B = 0xbbbbn << 16n;
const C = 0xccccn << 16n;
const D = 0xddddn << 16n;
const noFlags = { discardMyData: false, crashedPrimary: false, inconsistent: false, reconnect: false, primaryLostQuorum: false, unused: false, former: 0n, witness: -1 };
const slot = (bitmapIndex: number, bitmapUuid = 0n, bitmapDagtag = 0n) => ({ bitmapIndex, bitmapUuid, bitmapDagtag });
const established = { repl: Repl.established, pdsk: Disk.upToDate, peerRole: Role.secondary } as const;

describe('elementary operations (uuid.md 1.2, hazards.md 15.4)', () => {
  it('history: newest first, nothing twice, no 0, no 4, bit 0 clear', () => {
    fc.assert(fc.property(fc.array(fc.constantFrom(0n, 4n, 5n, A, A | 1n, B, B | 1n, C, D, 8n), { maxLength: 60 }), (pushed) => {
      const draft = new UuidDraft(device(D), 0);
      for (const uuid of pushed) draft.pushHistory(uuid);
      const { historyUuids } = draft.done();
      const used = historyUuids.filter((uuid) => uuid !== 0n);
      expect(historyUuids.slice(0, used.length)).toEqual(used);
      expect(new Set(used).size).toBe(used.length);
      for (const uuid of used) expect([uuid & 1n, uuid === 4n, uuid === D]).toEqual([0n, false, false]);
    }));
  });

  it('a value that stands in a slot is not pushed, unless the history is empty', () => {
    const own = device(A, { 3: slot(0, B) }, [C]);
    const draft = new UuidDraft(own, 0);
    draft.pushHistory(B);
    expect(draft.done()).toBe(own);
    const empty = new UuidDraft(device(A, { 3: slot(0, B) }), 0);
    empty.pushHistory(B | 1n);
    expect(empty.done().historyUuids[0]).toBe(B);
  });

  it('a slot that no peer hears of does not keep a value out of the history', () => {
    const unheard = new UuidDraft(device(A, { 9: slot(-1, B) }, [C]), 0);
    unheard.pushHistory(B);
    expect(unheard.done().historyUuids.slice(0, 2)).toEqual([B, C]);
    const heard = new UuidDraft(device(A, { 9: { bitmapUuid: B, flags: PeerFlag.nodeExists } }, [C]), 0);
    heard.pushHistory(B);
    expect(heard.done().historyUuids.slice(0, 2)).toEqual([C, 0n]);
  });

  it('the slot first, then its old value (H-013)', () => {
    const own = context(device(A, { 1: slot(0, B) }, [C]), { peers: [peer(1)] });
    expect(clearBitmapUuid(own, 1).historyUuids.slice(0, 2)).toEqual([B, C]);
  });

  it('dagtags wrap', () => {
    expect(dagtagNewer(2n, 1n)).toBe(true);
    expect(dagtagNewer(1n, 2n ** 64n - 1n)).toBe(true);
    expect(dagtagNewer(1n, 1n)).toBe(false);
  });

  it('exposed UUID follows the role and ignores 4 and equal ones', () => {
    expect(exposedUuid(0n, A, Role.primary)).toBe(A | 1n);
    expect(exposedUuid(A | 1n, A, Role.secondary)).toBeNull();
    expect(exposedUuid(A, 4n, Role.primary)).toBeNull();
    expect(attachDagtag(5n, device(A, { 1: slot(0, B, 9n), 2: { bitmapDagtag: 99n } }))).toBe(9n);
    expect(setPrimaryBit(device(A | 1n), Role.secondary).currentUuid).toBe(A);
    expect(setPrimaryBit(device(4n), Role.primary).currentUuid).toBe(4n);
  });
});

describe('rotation (uuid.md 1.3)', () => {
  function run(own: DeviceUuids, peers: PeerContext[], weak = 0n, maxPeers = 7) {
    const draft = new UuidDraft(own, 0);
    const mask = rotate(draft, context(own, { peers, maxPeers }), weak, 42n, counter(D));
    return { mask, slots: draft.done().peers };
  }

  it('absent peers and unused ids get the base; connected ones with data do not', () => {
    const { mask, slots } = run(device(A, { 1: slot(0), 2: slot(1) }), [peer(1), peer(2, established)], 0n, 3);
    expect(slots[1]).toMatchObject({ bitmapUuid: A, bitmapDagtag: 42n });
    expect(slots[2].bitmapUuid).toBe(0n);
    for (let n = 3; n < 32; n++) expect(slots[n].bitmapUuid).toBe(A);
    // One bitmap slot is free: of the unused ids only the first one counts.
    expect(mask).toBe(0b1010n);
  });

  it('who has a bitmap gets the base, also while it is not configured', () => {
    const { mask, slots } = run(device(A, { 2: slot(0) }), [], 0n, 2);
    expect(slots[2].bitmapUuid).toBe(A);
    // The one bitmap that is left is for the first of the unused ids.
    expect(mask).toBe(0b110n);
  });

  it('a base that is there stays, the same base is written again', () => {
    const { mask, slots } = run(device(A, { 1: slot(0, B), 2: slot(1, A) }), [peer(1), peer(2)], 0n, 2);
    expect([slots[1].bitmapUuid, slots[2].bitmapUuid]).toEqual([B, A]);
    expect(mask).toBe(0b100n);
  });

  it('a base that a Primary told is the same as the current UUID without its bit', () => {
    const { mask, slots } = run(device(A, { 1: slot(0, A | 1n), 2: slot(1, B) }), [peer(1), peer(2)], 0n, 2);
    expect([slots[1].bitmapUuid, slots[2].bitmapUuid]).toEqual([A, B]);
    expect(mask).toBe(0b10n);
  });

  it('just created: a random base', () => {
    expect(run(device(4n, { 1: slot(0) }), [peer(1)]).slots[1].bitmapUuid).toBe(D + 0x10n);
  });

  it.each<[Disk, boolean]>([
    [Disk.diskless, true], [Disk.negotiating, false], [Disk.failed, true], [Disk.inconsistent, true], [Disk.outdated, true],
    [Disk.unknown, true], [Disk.consistent, false], [Disk.upToDate, false],
  ])('a connected peer with disk %i: %s', (pdsk, gets) => {
    const { slots } = run(device(A, { 1: slot(0) }), [peer(1, { ...established, pdsk })]);
    expect(slots[1].bitmapUuid !== 0n).toBe(gets);
    const without = run(device(A), [peer(1, { ...established, pdsk: Disk.diskless })]);
    expect(without.slots[1].bitmapUuid).toBe(0n);
  });

  it('weak nodes are away', () => {
    expect(run(device(A, { 1: slot(0) }), [peer(1, established)], 0b10n).slots[1].bitmapUuid).toBe(A);
  });
});

describe('new generations (uuid.md 1.6, 1.7)', () => {
  const fresh = (): DeviceContext => context(device(4n, { 1: slot(0) }), { peers: [peer(1)], maxPeers: 1 });

  it('primary --force on fresh meta-data (uuid.md 9.1)', () => {
    const made = newCurrentUuid(fresh(), true, counter(D));
    expect(made?.uuids.peers.slice(1).every((other) => other.bitmapUuid === D + 0x10n)).toBe(true);
    expect(made?.uuid).toBe(D + 0x21n);
    expect(made?.weak).toBe(0xffff_ffff_ffff_fffen);
    expect(made?.log.text).toBe('new current UUID: 00000000DDDD0021 weak: FFFFFFFFFFFFFFFE');
    expect(made?.uuids.historyUuids[0]).toBe(0n);
  });

  it('nothing happens when every slot has its base (H-011)', () => {
    const own = device(A, { 1: slot(0) }, [C]);
    const connected = context({ ...own, peers: own.peers.map((s, n) => (n > 1 ? { ...s, bitmapUuid: B } : s)) },
      { peers: [peer(1, established)], maxPeers: 1 });
    expect(newCurrentUuid(connected, false, counter(D))).toBeNull();
  });

  it('the first write away from day 0 always makes one, and keeps the ancestor (H-032)', () => {
    const own = context(device(A, { 1: slot(0) }), { peers: [peer(1, established)], maxPeers: 1 });
    const made = newCurrentUuid(own, false, counter(D));
    expect(made?.uuids.currentUuid).toBe(D + 0x11n);
    expect(made?.uuids.historyUuids[0]).toBe(A);
  });

  it('received: current moves, the old one becomes the base of weak nodes and history (H-012, H-014)', () => {
    const own = context(device(A, { 0: slot(-1), 1: slot(0, B), 2: slot(1) }, [C]), {
      nodeId: 3, role: Role.secondary, peers: [peer(0, { ...established, peerRole: Role.primary }), peer(1, established), peer(2)],
    });
    const weak = 0b100n;
    const got = receivedNewCurrent(own, D | 1n, weak, 77n, counter(1n));
    expect(got.uuids.currentUuid).toBe(D);
    expect(got.uuids.peers[2]).toMatchObject({ bitmapUuid: A, bitmapDagtag: 77n });
    expect(got.uuids.peers[1].bitmapUuid).toBe(D | 1n);
    expect(got.uuids.historyUuids.slice(0, 2)).toEqual([B, C]);
    expect(got.recipients).toEqual([0, 1]);
  });

  it('received: an Inconsistent disk keeps its label, for it lacks the ancestors of the new one', () => {
    const own = context(device(A, { 1: slot(0, B), 2: slot(1, B) }), {
      disk: Disk.inconsistent, peers: [peer(1, { ...established, peerRole: Role.primary }), peer(2)],
    });
    const got = receivedNewCurrent(own, D, 0b100n, 0n, counter(1n));
    expect(got.uuids).toBe(own.uuids);
    expect([got.peersMoved, got.recipients]).toEqual([[], []]);
  });

  it.each([[0b001n, A], [0b110n, D]])('received: an Outdated disk takes the label only if it is not weak (%i)', (weak, current) => {
    const own = context(device(A, { 1: slot(0, B) }), { disk: Disk.outdated, peers: [peer(1, { ...established, peerRole: Role.primary })] });
    expect(receivedNewCurrent(own, D, weak, 0n, counter(1n)).uuids.currentUuid & ~1n).toBe(current);
  });

  it.each([Repl.wfBitMapT, Repl.syncTarget, Repl.pausedSyncT])('a sync target only remembers it (%i)', (repl) => {
    const own = context(device(A), { peers: [peer(1, { ...established, repl })] });
    const got = receivedNewCurrent(own, D, 0n, 0n, counter(1n));
    expect(got.uuids).toBe(own.uuids);
    expect(got.peersMoved).toEqual([1]);
  });

  it('nor has a source the new generation that the Primary passes over', () => {
    const target = { ...established, repl: Repl.wfBitMapT };
    const own = context(device(A), { disk: Disk.outdated, peers: [peer(1, target), peer(2, target)] });
    expect(receivedNewCurrent(own, D, 0b101n, 0n, counter(1n)).peersMoved).toEqual([1]);
  });

  it('without a disk only if somebody must diverge', () => {
    const told = (bitmap: Record<number, bigint>, more: PeerContext[] = []): DeviceContext => context(device(0n), {
      disk: Disk.diskless, exposedUuid: A, peers: [peer(1, { ...established, uuids: peerUuids(A, bitmap) }), ...more],
    });
    expect(sendNewCurrentUuid(told({}, [peer(2)]), counter(D))?.uuid).toBe(D + 0x11n);
    expect(sendNewCurrentUuid(told({ 2: B }, [peer(2, { pdsk: Disk.diskless })]), counter(D))).toBeNull();
    const lost = peer(2, { pdsk: Disk.unknown, uuids: peerUuids(A) });
    expect(sendNewCurrentUuid(told({ 2: B }, [lost]), counter(D))).not.toBeNull();
  });

  it('moved on', () => {
    const own = context(device(A, { 4: slot(-1, C) }, [B]));
    const before = peer(1, { uuids: peerUuids(A | 1n) });
    expect(movedOn(own, before, D)).toBe(true);
    for (const known of [0n, A, B, C]) expect(movedOn(own, before, known)).toBe(false);
    expect(movedOn(own, peer(1, { uuids: peerUuids(B) }), D)).toBe(false);
  });

  it('new-current-uuid --clear-bitmap leaves no base anywhere (H-033)', () => {
    const own = context(device(A, { 1: slot(0, B), 9: slot(1, C), 20: slot(-1, D) }), { peers: [peer(1, established)], maxPeers: 2 });
    const { uuids } = newCurrentUuidCommand(own, true, [1], counter(0xeeeen << 16n));
    expect(uuids.peers.some((s) => [B, C, D].includes(s.bitmapUuid))).toBe(false);
    expect(uuids.peers[1].bitmapUuid).toBe(0n);
    expect(uuids.historyUuids).toEqual(expect.arrayContaining([B, C, D]));
  });

  it('skip-initial-sync takes the peer\'s generation', () => {
    const own = context(device(4n, { 1: slot(0, B) }), { role: Role.secondary });
    expect(skipInitialSync(own, peer(1, { uuids: peerUuids(A | 1n) }))).toMatchObject({ currentUuid: A });
  });

  it('a freed slot gets the day-0 UUID (H-031)', () => {
    const own = context(device(A, { 1: { ...slot(0, B), flags: PeerFlag.deviceSeen }, 7: slot(-1, C, 3n) }), { peers: [] });
    const day0 = { ...own, uuids: { ...own.uuids, peers: own.uuids.peers.map((s, n) => (n > 1 ? { ...s, bitmapUuid: C } : s)) } };
    expect(clearPeerSlot(day0, 1, 0).peers[1]).toMatchObject({ bitmapIndex: -1, flags: 0, bitmapUuid: C });
    expect(clearPeerSlot(day0, 1, PeerFlag.deviceSeen).peers[1].bitmapUuid).toBe(0n);
  });
});

describe('resync (uuid.md 1.11, 1.12, 7.9)', () => {
  it('initial sync at the target: start and end (uuid.md 9.1)', () => {
    const source = peer(0, { ...established, peerRole: Role.primary, uuids: peerUuids(D | 1n, { 1: C | 1n, 2: C | 1n }) });
    const own = context(device(4n, { 0: slot(0) }), { nodeId: 1, role: Role.secondary, disk: Disk.inconsistent, peers: [source], maxPeers: 1 });
    const started = resyncStartsAsTarget(own, source, counter(1n));
    expect(started.uuids.currentUuid).toBe(C);
    expect(started.uuids.peers[2].bitmapUuid).toBe(C);
    expect(started.rsStartUuid).toBe(C);
    const ended = resyncFinished({ ...own, uuids: started.uuids }, source, started.rsStartUuid);
    expect(ended.uuids.currentUuid).toBe(D);
    expect(ended.uuids.peers[0].bitmapUuid).toBe(0n);
    expect(ended.newer).toBe(0n);
  });

  it('who gives up data has the generation of the source from the beginning', () => {
    const source = peer(0, { ...established, uuids: peerUuids(D, { 2: B }) });
    const target = (currentUuid: bigint): DeviceContext => context(device(currentUuid, { 0: slot(0) }), { nodeId: 1, peers: [source] });
    expect(dataGivenUp(target(C), source)?.currentUuid).toBe(D | 1n);
    for (const known of [D, B, 4n, 0n]) expect(dataGivenUp(target(known), source)).toBeNull();
  });

  it('at the end third nodes: behind ones get the old generation, equal ones 0 (H-025, H-026)', () => {
    const source = peer(1, { ...established, uuids: peerUuids(D, { 0: A, 2: A, 3: B, 4: A }) });
    const same = peer(3, { ...established, uuids: peerUuids(D | 1n) });
    const gone = peer(4, { repl: Repl.established, pdsk: Disk.diskless, uuids: peerUuids(D) });
    const own = context(device(A, { 1: slot(0, A), 2: slot(1), 3: slot(2, A), 4: slot(3) }), { peers: [source, peer(2), same, gone] });
    const ended = resyncFinished(own, source, A);
    expect(ended.uuids.peers.slice(1, 5).map((s) => s.bitmapUuid)).toEqual([0n, A, 0n, A]);
    expect(ended.newer).toBe(0b10100n);
    expect(ended.uuids.historyUuids).toContain(B);
  });

  it('a third node with a generation that the source does not know is not behind, and keeps its disk state', () => {
    const source = peer(1, { ...established, uuids: peerUuids(D, { 0: A, 2: A, 3: A }) });
    const third = (nodeId: number, current: bigint) => peer(nodeId, { ...established, uuids: peerUuids(current) });
    const own = context(device(A, { 1: slot(0, A), 2: slot(1), 3: slot(2) }), { peers: [source, third(2, A), third(3, C)] });
    const ended = resyncFinished(own, source, A);
    expect(ended.newer).toBe(0b100n);
    expect(ended.uuids.peers[3].bitmapUuid).toBe(A);
  });

  it('a third node that only shows the generation of its source keeps its base, and ours is an ancestor', () => {
    const source = peer(1, { ...established, uuids: peerUuids(D, { 0: A, 2: A }, {}, [B]) });
    const target = peer(2, { ...established, pdsk: Disk.inconsistent, uuids: peerUuids(D, {}, { flags: UuidFlag.syncTarget }) });
    const own = context(device(A, { 1: slot(0), 2: slot(1) }), { peers: [source, target] });
    const { uuids } = resyncFinished(own, source, A);
    expect(uuids.peers[2].bitmapUuid).toBe(A);
    expect(uuids.historyUuids.slice(0, 2)).toEqual([A, B]);
  });

  it('the generation that ends is history if the source knows it as an ancestor', () => {
    const ended = (bases: Record<number, bigint>) => {
      const source = peer(1, { ...established, uuids: peerUuids(D, bases) });
      return resyncFinished(context(device(A, { 1: slot(0) }), { peers: [source] }), source, A).uuids;
    };
    expect(ended({ 2: A })).toMatchObject({ currentUuid: D | 1n, historyUuids: expect.arrayContaining([A]) });
    expect(ended({ 2: B }).historyUuids).not.toContain(A);
  });

  it('nothing is given up for a generation that the source has only been told', () => {
    const own = (uuids: PeerContext['uuids']) => dataGivenUp(context(device(B)), peer(1, { ...established, uuids }));
    expect(own(movedTo(peerUuids(B), D, 0n))).toBeNull();
    expect(own(movedTo(peerUuids(A), D, 0n))?.currentUuid).toBe(D | 1n);
  });

  it.each([B, B | 1n])('a peer that moves is known as it will tell: %i', (label) => {
    const had = peerUuids(label, { 0: 0n, 2: A, 3: 0n });
    const list = movedTo(had, D, nodeBit(0) | nodeBit(2));
    expect([list.currentUuid, list.bitmapUuids.slice(0, 4), list.historyUuids[0], list.historyUuids.length])
      .toEqual([D, [label, uuidUnknown, A, 0n], B, 32]);
    expect(movedTo(list, D | 1n, nodeBit(3))).toEqual({ ...list, currentUuid: D | 1n });
  });

  it('within one generation the base of third nodes stays', () => {
    const source = peer(1, { ...established, uuids: peerUuids(D, { 0: A, 2: A }) });
    const own = context(device(D, { 1: slot(0, A), 2: slot(1, A) }), { peers: [source, peer(2)] });
    expect(resyncFinished(own, source, D).uuids.peers.slice(1, 3).map((s) => s.bitmapUuid)).toEqual([0n, A]);
  });

  it('a generation that the source was told and has not answered for: who is away has the former one', () => {
    const ended = (label: bigint, base = 0n) => {
      const uuids = movedTo(peerUuids(B, { 0: 0n, 2: base, 3: 0n }), D, nodeBit(0) | nodeBit(2));
      const source = peer(1, { ...established, uuids, overtaken: B });
      const same = peer(3, { ...established, uuids: peerUuids(D) });
      const own = context(device(label, { 1: slot(0), 2: slot(1, base), 3: slot(2) }), { peers: [source, peer(2), same] });
      return resyncFinished(own, source, label).uuids;
    };
    expect(ended(B).peers.slice(1, 4).map((s) => s.bitmapUuid)).toEqual([0n, B, 0n]);
    expect(ended(B, A).peers[2].bitmapUuid).toBe(A);
    expect(ended(A).peers[2].bitmapUuid).toBe(A);
    for (const label of [A, B]) expect(ended(label).historyUuids).toContain(B);
  });

  const finished = (own: DeviceUuids, from: PeerContext, rest: Partial<DeviceContext> = {}, others: PeerContext[] = []) =>
    detectFinishedResyncs({
      device: context(own, { ...rest, peers: [from, ...others] }), peer: from, agreedVersion: 124,
      cstateOf: () => Cstate.connecting,
    });

  it('the source learns of the end by the target\'s list', () => {
    const target = peer(1, { ...established, uuids: peerUuids(A, { 0: 0n, 1: 0n }) });
    const end = finished(device(A | 1n, { 1: slot(0, B) }), target);
    expect(end.uuids.peers[1].bitmapUuid).toBe(0n);
    expect(end.uuids.historyUuids[0]).toBe(B);
    expect(end.tell).toBe('others');
    // Bits are cleared by acks of the blocks, never by a label.
    expect(end.actions.filter((action) => action.kind !== 'log')).toEqual([]);
  });

  it('not while one of the two is a target of somebody (H-021, H-083)', () => {
    const target = peer(1, { ...established, uuids: peerUuids(A, { 1: 0n }, { flags: UuidFlag.syncTarget }) });
    expect(finished(device(A, { 1: slot(0, B) }), target).uuids.peers[1].bitmapUuid).toBe(B);
  });

  it('a third node in sync with the peer has our label: no base any more, the bits stay', () => {
    const from = peer(1, { ...established, uuids: peerUuids(A, { 1: 0n, 2: 0n }) });
    const end = finished(device(A, { 1: slot(0), 2: slot(1, B) }), from);
    expect(end.uuids.peers[2].bitmapUuid).toBe(0n);
    expect(end.actions.filter((action) => action.kind !== 'log')).toEqual([]);
  });

  it('a third node that synced up to a generation of ours: its slot becomes that one\'s', () => {
    const from = peer(1, { repl: Repl.established, pdsk: Disk.outdated, uuids: peerUuids(B, { 2: 0n }) });
    const own = device(A, { 1: slot(0, B, 50n), 2: slot(1, C, 20n) });
    const end = finished(own, from);
    expect(end.actions).toContainEqual({ kind: 'copySlot', from: 1, to: 2 });
    expect(end.uuids.peers[2]).toMatchObject({ bitmapUuid: B, bitmapDagtag: 50n });
    expect(end.tell).toBe('all');
    expect(finished(device(A, { 1: slot(0, B, 10n), 2: slot(1, C, 20n) }), from).uuids.peers[2].bitmapUuid).toBe(C);
  });

  it('two absent nodes with one base get one slot', () => {
    const from = peer(1, { ...established, uuids: peerUuids(D, { 2: C, 3: C }) });
    const own = device(A, { 1: slot(0, D), 2: slot(1, C), 3: slot(2, B) });
    expect(finished(own, from, {}, [peer(2), peer(3)]).actions).toContainEqual({ kind: 'copySlot', from: 2, to: 3 });
  });

  it.each<[bigint, bigint, number, number, 'none' | 'source' | 'peer', bigint]>([
    [0n, B, 3, 124, 'peer', 0n], [0n, B, 0, 124, 'none', 0n], [0n, B, 0, 123, 'peer', 0n],
    [B, 0n, 3, 124, 'source', B], [B, 0n, 0, 124, 'none', 0n], [B, 0n, 0, 123, 'source', 0n],
    [B, B, 3, 124, 'none', B], [0n, A, 3, 124, 'none', 0n], [0n, 0n, 3, 124, 'none', 0n],
  ])('handshake: base for the peer %s, its for us %s, %i bits, protocol %i: %s', (mine, theirs, bits, agreedVersion, missed, left) => {
    const from = peer(1, {
      uuids: peerUuids(A, { 0: theirs, 1: 0n }, { dirtyBits: bits }),
      sent: { currentUuid: A, bitmapUuid: mine, flags: 0, dirtyBits: bits },
    });
    const end = detectFinishedResyncs({
      device: context(device(A, { 1: slot(0, mine) }), { peers: [from] }), peer: from, agreedVersion,
      cstateOf: () => Cstate.connecting,
    });
    expect(end.missedEnd).toBe(missed);
    expect(end.uuids.peers[1].bitmapUuid).toBe(left);
  });
});

describe('what is told (uuid.md 1.4, 1.8)', () => {
  it('listed ids, the hint, and what a target presents (H-021, H-030)', () => {
    const source = peer(2, { ...established, repl: Repl.syncTarget, uuids: peerUuids(D) });
    const own = context(device(A, { 1: slot(0, B), 2: slot(1), 4: { flags: PeerFlag.nodeExists }, 6: slot(-1, C) }), {
      peers: [peer(1), source], maxPeers: 3, role: Role.secondary,
    });
    const { message, sent } = uuidsToSend(own, own.peers[0], UuidFlag.gotStable, 9n, 12, noFlags);
    expect(message.currentUuid).toBe(D);
    expect(message.bitmapUuids).toEqual([
      { nodeId: 1, uuid: B }, { nodeId: 2, uuid: uuidUnknown }, { nodeId: 4, uuid: 0n }, { nodeId: 6, uuid: C },
    ]);
    expect(message.unallocNodeId).toBe(6);
    expect(message.flags).toBe(UuidFlag.gotStable | UuidFlag.stable | UuidFlag.syncTarget | UuidFlag.hasUnalloc);
    expect(message.nodeMask).toBe(9n);
    expect(sent).toEqual({ currentUuid: D, bitmapUuid: B, flags: UuidFlag.stable | UuidFlag.syncTarget, dirtyBits: 12 });
    expect(uuidsToSend(own, source, 0, 0n, 0, noFlags).message.currentUuid).toBe(A);
    const full = uuidsToSend({ ...own, maxPeers: 2 }, own.peers[0], 0, 0n, 0, noFlags);
    expect(full.message.unallocNodeId).toBe(-1);
  });

  it.each([[2, 'unrelated-data', 'unrelated-data'], [3, 'source-copy-other-bitmap', 'target-clear-bitmap']])(
    'a target with the label of its source: a base for an id that nobody has counts on both ends or on none (%i slots)', (maxPeers, here, there) => {
      const source = peer(2, { ...established, repl: Repl.syncTarget, uuids: peerUuids(D) });
      const own = context(device(A, { 1: slot(0), 2: slot(1), 6: slot(-1, A) }), { peers: [peer(1), source], maxPeers, role: Role.secondary });
      const { message, sent } = uuidsToSend(own, own.peers[0], 0, 0n, 0, noFlags);
      const theirs = device(A, { 0: slot(0), 2: slot(1) });
      const { peerUuids: received } = receiveUuids(context(theirs, { nodeId: 1 }), peer(0), message);
      const ends = [
        compareView(own.uuids, peerUuids(A, { 0: 0n, 2: 0n }), { sent, resolvedUuid: D, localFlags: sent.flags, told: toldNodes(own, 1) }),
        compareView(theirs, received, { nodeId: 1, peerNodeId: 0, sent: null }),
      ];
      expect(ends.map((end) => uuidCompare(end).strategy)).toEqual([here, there]);
    });

  it('beside a Primary a node is unstable and says whose data count', () => {
    const own = context(device(A), { role: Role.secondary, peers: [peer(3, { ...established, peerRole: Role.primary })] });
    expect(isStable(own)).toBe(false);
    const { message } = uuidsToSend(own, own.peers[0], 0, 5n, 0, noFlags);
    expect([message.flags & UuidFlag.stable, message.nodeMask]).toEqual([0, 8n]);
    expect(weakNodes(own)).toBe(0xffff_ffff_ffff_fff6n);
    expect(resolvedUuid(own, 3)).toBe(A);
  });

  it('who is away gets nothing of a new generation, even if its disk is known to be Inconsistent', () => {
    const own = context(device(A), { peers: [peer(1, { pdsk: Disk.inconsistent }), peer(2, { repl: Repl.established, pdsk: Disk.inconsistent })] });
    expect(weakNodes(own)).toBe(0xffff_ffff_ffff_fffan);
  });

  it('who is Consistent gets no writes, and so nothing of a new generation', () => {
    const own = context(device(A, { 1: slot(0), 2: slot(1) }),
      { disk: Disk.upToDate, peers: [peer(1, { ...established, pdsk: Disk.consistent }), peer(2, established)], maxPeers: 2 });
    expect(weakNodes(own)).toBe(0xffff_ffff_ffff_fffan);
    const made = newCurrentUuid(own, false, counter(D))!;
    expect([made.uuids.peers[1].bitmapUuid, made.uuids.peers[2].bitmapUuid]).toEqual([A, 0n]);
  });

  it('what was sent is what is received; nothing enters the history (H-015, H-016, H-034)', () => {
    const sender = context(device(A, { 1: slot(0, B), 5: slot(-1, C) }, [D]), { peers: [peer(1)], maxPeers: 3 });
    const { message } = uuidsToSend(sender, sender.peers[0], 0, 0n, 4, noFlags);
    const own = context(device(B, { 0: slot(0) }), { nodeId: 1, peers: [peer(0)] });
    const got = receiveUuids(own, own.peers[0], message);
    expect(got.peerUuids).toMatchObject({ currentUuid: A, dirtyBits: 4 });
    expect(got.peerUuids.bitmapUuids[1]).toBe(B);
    expect(got.peerUuids.bitmapUuids[5]).toBe(C);
    expect(got.peerUuids.bitmapUuids[2]).toBe(uuidUnknown);
    expect(got.uuids.historyUuids).toEqual(own.uuids.historyUuids);
    expect(got.uuids.peers[1].flags).toBe(PeerFlag.nodeExists);
    expect(got.uuids.peers[5].flags).toBe(0);
  });

  it('a bitmap UUID that became 0 at the sender becomes 0 in what we know of that node', () => {
    const own = context(device(A), { nodeId: 1, peers: [peer(0, { uuids: peerUuids(A, { 2: B }) })] });
    const message = { currentUuid: A, dirtyBits: 0, flags: 0, unallocNodeId: -1, nodeMask: 0n,
      bitmapUuids: [{ nodeId: 2, uuid: 0n }], historyUuids: [], former: 0n };
    expect(receiveUuids(own, own.peers[0], message).zeroIn).toEqual([2]);
    const movedOn = { ...own, peers: [...own.peers, peer(2, { uuids: peerUuids(D, { 0: A }) })] };
    expect(receiveUuids(movedOn, own.peers[0], message).zeroIn).toEqual([]);
    const older = { ...own, peers: [...own.peers, peer(2, { uuids: peerUuids(B, { 0: C }) })] };
    expect(receiveUuids(older, own.peers[0], message).zeroIn).toEqual([2]);
  });

  it('a late packet does not undo what a diskless Primary told', () => {
    const sent = { currentUuid: D, bitmapUuid: 0n, flags: 0, dirtyBits: 0 };
    const own = context(device(0n), { disk: Disk.diskless, exposedUuid: D | 1n, peers: [peer(1, { uuids: peerUuids(D), sent })] });
    const message = { currentUuid: A, dirtyBits: 0, flags: 0, unallocNodeId: -1, nodeMask: 0n, bitmapUuids: [], historyUuids: [], former: 0n };
    expect(receiveUuids(own, own.peers[0], message).peerUuids.currentUuid).toBe(D);
  });

  it('stable sync source (state.md 9.4)', () => {
    const except = peer(1, { uuids: peerUuids(A, {}, { flags: 0, nodeMask: 0b101n }) });
    const own = (others: PeerContext[], nodeId = 3): DeviceContext => context(device(A), { nodeId, peers: [except, ...others] });
    const alone = (): boolean => false;
    expect(stableSyncSourcePresent(own([], 2), except, alone)).toBe(true);
    expect(stableSyncSourcePresent(own([peer(0, established)]), except, alone)).toBe(true);
    expect(stableSyncSourcePresent(own([peer(4, established)]), except, alone)).toBe(false);
    expect(stableSyncSourcePresent(own([peer(4, { ...established, peerRole: Role.primary })]), except, alone)).toBe(true);
  });
});

describe('bitmaps after the handshake (uuid.md 2.4)', () => {
  const own = context(device(A, { 1: slot(0), 2: slot(1, B) }), { peers: [peer(1, { uuids: peerUuids(B) })], maxPeers: 2 });
  const mod = (ctx: DeviceContext, strategy: Parameters<typeof bitmapModAfterHandshake>[2], node = -1) =>
    bitmapModAfterHandshake(ctx, ctx.peers[0], strategy, node);

  it('per strategy', () => {
    expect(mod(own, 'source-copy-other-bitmap', 2).change).toEqual({ kind: 'join', from: 1 });
    expect(mod(own, 'source-copy-other-bitmap', 9).change).toEqual({ kind: 'set' });
    expect(mod({ ...own, maxPeers: 3 }, 'source-copy-other-bitmap', 9).change).toEqual({ kind: 'copy', from: 2 });
    expect(mod(own, 'target-clear-bitmap', 4)).toMatchObject({ change: { kind: 'none' }, log: { text: 'Resync source provides bitmap (node_id=4)' } });
    expect(mod(own, 'source-set-bitmap')).toMatchObject({ change: { kind: 'setFullSync' }, bitmapUuid: B });
    expect(mod(own, 'target-set-bitmap')).toMatchObject({ change: { kind: 'setFullSync' }, bitmapUuid: null });
    expect(mod(own, 'source-use-bitmap').change).toEqual({ kind: 'none' });
  });

  it('a fresh node sets everything, but not while it syncs from another; no base from just created (H-029)', () => {
    const fresh = { ...own, uuids: device(4n, { 1: slot(0) }) };
    expect(mod(fresh, 'target-set-bitmap').change).toEqual({ kind: 'setAllocated' });
    const syncing = { ...fresh, peers: [...own.peers, peer(2, { repl: Repl.pausedSyncT })] };
    expect(mod(syncing, 'target-set-bitmap').change).toEqual({ kind: 'none' });
    const toFresh = { ...own, peers: [peer(1, { uuids: peerUuids(4n) })] };
    expect(mod(toFresh, 'source-set-bitmap').bitmapUuid).toBeNull();
  });
});

describe('a diskless node and its peers (state.md 9.6)', () => {
  const trust = (exposed: bigint, theirs: PeerContext, role: Role, others: PeerContext[] = []) =>
    disklessTrust(context(device(0n), { disk: Disk.diskless, exposedUuid: exposed, role, peers: [theirs, ...others] }), theirs);
  const successor = peer(1, { uuids: peerUuids(A, {}, {}, [B]) });

  it('table', () => {
    expect(trust(0n, successor, Role.secondary)).toMatchObject({ trust: 'ok', exposedUuid: A });
    expect(trust(A | 1n, successor, Role.primary)).toMatchObject({ trust: 'ok', exposedUuid: null });
    expect(trust(B, successor, Role.primary)).toMatchObject({ trust: 'retry', maybeForceSecondary: true });
    expect(trust(B, successor, Role.secondary)).toMatchObject({ trust: 'ok', exposedUuid: A });
    expect(trust(C, successor, Role.primary).trust).toBe('disconnect');
    expect(trust(C, successor, Role.primary, [peer(2, { uuids: peerUuids(C, { 1: A }) })]).trust).toBe('outdated');
  });

  it('who was told a newer generation and has not confirmed it (hazards.md 15.2)', () => {
    const met = (theirs: bigint, rest: Partial<PeerContext>, others: PeerContext[] = [], role: Role = Role.primary) => {
      const it = peer(1, { uuids: peerUuids(theirs), ...rest });
      return disklessTrust(context(device(0n), { disk: Disk.diskless, exposedUuid: C, replaced: [B, A], role, peers: [it, ...others] }), it);
    };
    const told = { overtaken: B, follows: true };
    expect(met(B, told)).toMatchObject({ trust: 'ok', follows: true, exposedUuid: null });
    expect(met(B, { ...told, overtaken: A })).toMatchObject({ trust: 'ok', follows: true });
    expect(met(B, told, [], Role.secondary)).toMatchObject({ trust: 'ok', follows: false, exposedUuid: B });
    expect(met(C, told)).toMatchObject({ trust: 'ok', follows: false });
    expect(met(A, told).trust).toBe('outdated');
    expect(met(B, {}).trust).toBe('outdated');
    expect(met(B, { overtaken: B }).trust).toBe('retry');
    expect(met(B, told, [peer(2, { pdsk: Disk.upToDate })]).trust).toBe('retry');
    expect(met(C, {}, [peer(2, told)]).trust).toBe('retry');
    const other = { uuids: peerUuids(D, {}, {}, [B]) };
    expect(met(D, other, [peer(2, { overtaken: B })]).trust).toBe('disconnect');
    expect(met(D, other, [peer(2, { overtaken: A })], Role.secondary).trust).toBe('disconnect');
    expect(met(D, other, [peer(2, { overtaken: B })], Role.secondary)).toMatchObject({ trust: 'ok', exposedUuid: D });
  });
});
