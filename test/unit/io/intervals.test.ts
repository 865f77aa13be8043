// SPDX-License-Identifier: GPL-2.0-or-later
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Find, Intervals, IvFlag, IvType } from '../../../src/io/intervals.ts';

const { LOCAL_WRITE, PEER_WRITE, RESYNC_WRITE, RESYNC_READ, OV_READ_TARGET, PEERS_IN_SYNC_LOCK } = IvType;
const { SUBMITTED, RECEIVED, READY_TO_SEND, COMPLETED, BACKING_COMPLETED, CONFLICT } = IvFlag;

/** Other interval (type, flags, peer), starter (type, peer), search flags, conflict? io.md 1.5 */
const table: [string, number, number, number, number, number, number, boolean][] = [
  ['write under a submitted write', LOCAL_WRITE, SUBMITTED, -1, LOCAL_WRITE, -1, 0, true],
  ['write under a waiting write', LOCAL_WRITE, 0, -1, LOCAL_WRITE, -1, 0, false],
  ['local write waits for completion', LOCAL_WRITE, SUBMITTED | BACKING_COMPLETED, -1, LOCAL_WRITE, -1, 0, true],
  ['local write after completion', LOCAL_WRITE, SUBMITTED | COMPLETED, -1, LOCAL_WRITE, -1, 0, false],
  ['peer write waits for the disk only', LOCAL_WRITE, SUBMITTED | BACKING_COMPLETED, -1, PEER_WRITE, 1, 0, false],
  ['local write, resync received', RESYNC_WRITE, READY_TO_SEND | RECEIVED, 1, LOCAL_WRITE, -1, 0, true],
  ['local write, resync asked', RESYNC_WRITE, READY_TO_SEND, 1, LOCAL_WRITE, -1, 0, true],
  ['peer write, resync asked of the same peer', RESYNC_WRITE, READY_TO_SEND, 1, PEER_WRITE, 1, 0, false],
  ['peer write, resync received from the same peer', RESYNC_WRITE, READY_TO_SEND | RECEIVED, 1, PEER_WRITE, 1, 0, true],
  ['peer write, resync asked of another peer', RESYNC_WRITE, READY_TO_SEND, 2, PEER_WRITE, 1, 0, true],
  ['resync request under a peer write of that peer', PEER_WRITE, SUBMITTED, 1, RESYNC_WRITE, 1, Find.IGNORE_SAME_PEER, false],
  ['resync data under a peer write of that peer', PEER_WRITE, SUBMITTED, 1, RESYNC_WRITE, 1, 0, true],
  ['resync request, one sent already', RESYNC_WRITE, READY_TO_SEND, 1, RESYNC_WRITE, 1, Find.IGNORE_SAME_PEER, true],
  ['resync read under a local write', LOCAL_WRITE, SUBMITTED, -1, RESYNC_READ, 1, 0, true],
  ['resync read under a waiting peer write that came before it', PEER_WRITE, 0, 2, RESYNC_READ, 1, 0, true],
  ['peer write, resync read of another peer that came before it and waits', RESYNC_READ, 0, 2, PEER_WRITE, 1, 0, true],
  ['resync read under a resync read', RESYNC_READ, SUBMITTED, 2, RESYNC_READ, 1, 0, false],
  ['resync read under a lock', PEERS_IN_SYNC_LOCK, SUBMITTED, -1, RESYNC_READ, 1, 0, false],
  ['write under a lock', PEERS_IN_SYNC_LOCK, SUBMITTED, -1, LOCAL_WRITE, -1, 0, true],
  ['two Primaries: application writes only', RESYNC_WRITE, SUBMITTED, 1, PEER_WRITE, 1, Find.APPLICATION_ONLY, false],
  ['two Primaries: own write not completed', LOCAL_WRITE, SUBMITTED | BACKING_COMPLETED, -1, PEER_WRITE, 1, Find.APPLICATION_ONLY, true],
];

test.each(table)('%s', (_name, type, flags, peer, xType, xPeer, find, conflict) => {
  const ivs = new Intervals();
  const other = ivs.insert(type as never, peer, 100, 16, 0);
  ivs.flags[other] = flags;
  const x = ivs.insert(xType as never, xPeer, 108, 16, 1);
  expect(ivs.findConflict(x, find) >= 0).toBe(conflict);
  const apart = ivs.insert(xType as never, xPeer, 116, 8, 2);
  expect(ivs.findConflict(apart, find) === other).toBe(false);
});

test('a resync read and a peer write that came before it do not wait for each other', () => {
  const ivs = new Intervals();
  const write = ivs.insert(PEER_WRITE, 1, 0, 8, 0);
  const read = ivs.insert(RESYNC_READ, 2, 0, 16, 1);
  expect(ivs.findConflict(read, 0)).toBe(write);
  expect(ivs.findConflict(write, 0)).toBe(-1);
  ivs.flags[read] |= SUBMITTED;
  expect(ivs.findConflict(write, 0)).toBe(read);
});

test('a verify interval is marked, not waited for', () => {
  const ivs = new Intervals();
  const verify = ivs.insert(OV_READ_TARGET, 1, 0, 8, 0);
  ivs.flags[verify] = SUBMITTED;
  const write = ivs.insert(LOCAL_WRITE, -1, 0, 8, 1);
  expect(ivs.findConflict(write, 0)).toBe(-1);
  expect(ivs.flags[verify] & CONFLICT).toBe(CONFLICT);
});

test('finds the same conflicts as a plain list, from 512 bytes to 128 MiB', () => {
  const range = fc.record({ sector: fc.nat(600000), sectors: fc.oneof(fc.integer({ min: 1, max: 2048 }), fc.integer({ min: 1, max: 262144 })) });
  fc.assert(fc.property(fc.array(range, { minLength: 1, maxLength: 150 }), fc.array(fc.nat(1000), { maxLength: 60 }), (ranges, removals) => {
    const ivs = new Intervals();
    const live = new Map<number, { sector: number; sectors: number }>();
    ranges.forEach((r, i) => {
      const iv = ivs.insert(LOCAL_WRITE, -1, r.sector, r.sectors, i);
      ivs.flags[iv] = SUBMITTED;
      live.set(iv, r);
      const victim = removals[i];
      if (victim !== undefined && live.size > 1) {
        const id = [...live.keys()][victim % live.size];
        ivs.remove(id);
        live.delete(id);
      }
    });
    for (const [iv, r] of live) {
      const expected = [...live].some(([o, q]) => o !== iv && q.sector < r.sector + r.sectors && r.sector < q.sector + q.sectors);
      expect(ivs.findConflict(iv, 0) >= 0).toBe(expected);
    }
    expect(ivs.count).toBe(live.size);
  }), { numRuns: 60 });
});

test('a release reaches every waiter, however many', () => {
  const ivs = new Intervals();
  const ids = new Set<number>();
  for (let i = 0; i < 200; i++) {
    const iv = ivs.insert(LOCAL_WRITE, -1, i % 8, 4, i);
    ivs.wait(iv);
    ids.add(iv);
  }
  const out = new Int32Array(64);
  const found = new Set<number>();
  for (let n = 64; n === 64;) {
    n = ivs.collectWaiting(0, 16, out);
    for (let i = 0; i < n; i++) found.add(out[i]);
  }
  expect(found).toEqual(ids);
  for (const iv of ids) ivs.stopWaiting(iv);
  expect(ivs.waiting).toBe(0);
});
