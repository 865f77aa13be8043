// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import { UuidFlag } from '../../../src/state/states.ts';
import { compareRows, matches, uuidCompare } from '../../../src/state/uuid-compare.ts';
import type { CompareFacts, CompareView, Rule } from '../../../src/state/uuid-compare.ts';
import { strategies } from '../../../src/state/uuid-strategy.ts';
import type { Strategy } from '../../../src/state/uuid-strategy.ts';
import { compareView, device, peerUuids } from './uuid-fixtures.ts';

const head: (keyof CompareFacts)[] = ['changed', 'selfJustCreated', 'peerJustCreated', 'equal'];
const ifEqual: (keyof CompareFacts)[] = ['sourceMissedEnd', 'peerMissedEnd', 'since120', 'asynchronous', 'selfReconnect',
  'peerReconnect', 'selfCrashed', 'peerCrashed', 'selfLostQuorum', 'peerLostQuorum', 'resolveConflicts'];
const ifDifferent: (keyof CompareFacts)[] = ['bitmapPeer', 'bitmapPeerOther', 'bitmapSelf', 'bitmapSelfOther', 'historyPeer',
  'historySelf', 'bitmapBoth', 'historyBoth'];
const all = [...head, ...ifEqual, ...ifDifferent];
const none = Object.fromEntries(all.map((name) => [name, false])) as unknown as CompareFacts;

function* combinations(names: (keyof CompareFacts)[], base: CompareFacts = none): Generator<CompareFacts> {
  for (let bits = 0; bits < 2 ** names.length; bits++) {
    const facts: Record<string, boolean> = { ...base };
    names.forEach((name, i) => { facts[name] = ((bits >> i) & 1) === 1; });
    yield facts as unknown as CompareFacts;
  }
}

/** What can be: one missed end at most, equal excludes the rest, protocol A and B rules only since 121. */
function* possible(): Generator<CompareFacts> {
  const fits = (f: CompareFacts): boolean => !(f.sourceMissedEnd && f.peerMissedEnd) && !(f.asynchronous && !f.since120);
  for (const f of combinations([...head.slice(0, 3)])) {
    for (const g of combinations(ifEqual, { ...f, equal: true })) if (fits(g)) yield g;
    for (const g of combinations(ifDifferent, { ...f, equal: false })) yield g;
  }
}

const first = (facts: CompareFacts) => compareRows.find((row) => matches(row, facts));

const swapped: Record<string, string> = {};
for (const name of all) {
  swapped[name] = name.startsWith('self') ? name.replace('self', 'peer') : name.startsWith('peer') && name !== 'peerMissedEnd'
    ? name.replace('peer', 'self') : name;
}
Object.assign(swapped, {
  sourceMissedEnd: 'peerMissedEnd', peerMissedEnd: 'sourceMissedEnd', bitmapPeer: 'bitmapSelf', bitmapSelf: 'bitmapPeer',
  bitmapPeerOther: 'bitmapSelfOther', bitmapSelfOther: 'bitmapPeerOther', historyPeer: 'historySelf', historySelf: 'historyPeer',
});

/** The same situation as the other node sees it. */
function fromThePeer(facts: CompareFacts): CompareFacts {
  const out: Record<string, boolean> = {};
  for (const name of all) out[swapped[name]] = facts[name];
  out.resolveConflicts = !facts.resolveConflicts;
  return out as unknown as CompareFacts;
}

const mirrored: Partial<Record<Strategy, Strategy>> = {
  'source-use-bitmap': 'target-use-bitmap', 'source-set-bitmap': 'target-set-bitmap',
  'source-if-both-failed': 'target-if-both-failed', 'source-copy-other-bitmap': 'target-clear-bitmap',
};
for (const [a, b] of Object.entries(mirrored)) mirrored[b] = a as Strategy;

describe('the comparison table (uuid.md 2.2)', () => {
  it('answers every combination, by exactly one row, and uses every row', () => {
    const used = new Set<number>();
    let count = 0;
    for (const facts of possible()) {
      const row = first(facts);
      if (row === undefined) throw new Error(JSON.stringify(facts));
      used.add(compareRows.indexOf(row));
      count++;
    }
    expect(count).toBeGreaterThan(8000);
    expect([...used].sort((a, b) => a - b)).toEqual(compareRows.map((_, i) => i));
  });

  it('has the rows 0 to 28 of the spec, in order', () => {
    expect([...new Set(compareRows.map((row) => row.nr))]).toEqual(Array.from({ length: 29 }, (_, nr) => nr));
    for (const row of compareRows) expect(strategies[row.strategy]).toBeDefined();
  });

  it('a row about equal generations never answers different ones, and the other way round', () => {
    for (const facts of possible()) {
      const { nr } = first(facts) as { nr: number };
      if (nr >= 4) expect(facts.equal).toBe(nr <= 19);
    }
  });

  it('both ends come to mirrored results', () => {
    for (const facts of possible()) {
      // Each having the other's generation as its base cannot be.
      const crossed = (facts.bitmapPeer || facts.bitmapPeerOther) && (facts.bitmapSelf || facts.bitmapSelfOther);
      if (facts.changed || crossed) continue;
      const here = first(facts) as { strategy: Strategy };
      const there = first(fromThePeer(facts)) as { strategy: Strategy };
      expect([facts, there.strategy]).toEqual([facts, mirrored[here.strategy] ?? here.strategy]);
    }
  });
});

const A = 0xaaaan << 16n;
const B = 0xbbbbn << 16n;
const C = 0xccccn << 16n;
const crashed = UuidFlag.crashedPrimary;
const lostq = UuidFlag.primaryLostQuorum;
const reconnect = UuidFlag.reconnect;

describe('from UUIDs to a row', () => {
  it.each<[number, Strategy, Rule, CompareView]>([
    [0, 'retry-connect', 'initial-handshake-changed',
      compareView(device(A), peerUuids(A), { sent: { currentUuid: B, bitmapUuid: 0n, flags: UuidFlag.stable, dirtyBits: 0 } })],
    [1, 'no-sync', 'just-created-both', compareView(device(4n), peerUuids(0n))],
    [2, 'target-set-bitmap', 'just-created-self', compareView(device(4n), peerUuids(A))],
    [3, 'source-set-bitmap', 'just-created-peer', compareView(device(A), peerUuids(4n))],
    [4, 'source-use-bitmap', 'sync-source-missed-finish', compareView(device(A), peerUuids(A), { missedEnd: 'source' })],
    [5, 'target-use-bitmap', 'sync-target-peer-missed-finish', compareView(device(A), peerUuids(A), { missedEnd: 'peer' })],
    [6, 'no-sync', 'reconnected', compareView(device(A), peerUuids(A, {}, { flags: reconnect }), { localFlags: reconnect })],
    [7, 'source-use-bitmap', 'crashed-primary', compareView(device(A), peerUuids(A), { localFlags: crashed, wireProtocol: 'A' })],
    [8, 'target-use-bitmap', 'crashed-primary', compareView(device(A), peerUuids(A, {}, { flags: crashed }), { wireProtocol: 'B' })],
    [9, 'target-if-both-failed', 'lost-quorum', compareView(device(A), peerUuids(A, {}, { flags: lostq }))],
    [10, 'source-if-both-failed', 'lost-quorum', compareView(device(A), peerUuids(A), { localFlags: lostq })],
    [11, 'source-if-both-failed', 'lost-quorum', compareView(device(A), peerUuids(A, {}, { flags: lostq }), { localFlags: lostq })],
    [11, 'target-if-both-failed', 'lost-quorum',
      compareView(device(A), peerUuids(A, {}, { flags: lostq }), { localFlags: lostq, resolveConflicts: false })],
    [12, 'no-sync', 'reconnected',
      compareView(device(A), peerUuids(A, {}, { flags: reconnect }), { localFlags: reconnect, agreedVersion: 119 })],
    [13, 'source-if-both-failed', 'lost-quorum', compareView(device(A), peerUuids(A, {}, { flags: crashed }), { localFlags: reconnect })],
    [14, 'target-if-both-failed', 'reconnected',
      compareView(device(A), peerUuids(A, {}, { flags: reconnect }), { localFlags: crashed, agreedVersion: 118 })],
    [15, 'no-sync', 'lost-quorum', compareView(device(A), peerUuids(A), { localFlags: reconnect })],
    [16, 'target-if-both-failed', 'both-off', compareView(device(A), peerUuids(A, {}, { flags: crashed }), { localFlags: crashed })],
    [17, 'source-if-both-failed', 'both-off', compareView(device(A), peerUuids(A), { localFlags: crashed })],
    [18, 'target-if-both-failed', 'both-off', compareView(device(A), peerUuids(A, {}, { flags: crashed }))],
    [19, 'no-sync', 'both-off', compareView(device(A), peerUuids(A | 1n))],
    [20, 'target-use-bitmap', 'bitmap-peer', compareView(device(A), peerUuids(B, { 0: A | 1n }))],
    [21, 'target-clear-bitmap', 'bitmap-peer-other', compareView(device(A), peerUuids(B, { 0: C, 2: A, 5: A }))],
    [22, 'source-use-bitmap', 'bitmap-self', compareView(device(A, { 1: { bitmapUuid: B } }), peerUuids(B | 1n))],
    [23, 'source-copy-other-bitmap', 'bitmap-self-other', compareView(device(A, { 3: { bitmapUuid: B } }), peerUuids(B))],
    [24, 'target-set-bitmap', 'history-peer', compareView(device(A), peerUuids(B, {}, {}, [C, A]))],
    [25, 'source-set-bitmap', 'history-self', compareView(device(A, {}, [C, B]), peerUuids(B))],
    [26, 'split-brain-auto-recover', 'bitmap-both', compareView(device(A, { 1: { bitmapUuid: C } }), peerUuids(B, { 0: C | 1n }))],
    [27, 'split-brain-disconnect', 'history-both', compareView(device(A, {}, [C]), peerUuids(B, {}, {}, [C]))],
    [28, 'unrelated-data', 'history-both', compareView(device(A), peerUuids(B))],
  ])('row %i: %s by %s', (nr, strategy, rule, view) => {
    expect(uuidCompare(view)).toMatchObject({ row: { nr }, strategy, rule });
  });

  it('names whose bitmap: the lowest id', () => {
    expect(uuidCompare(compareView(device(A), peerUuids(B, { 5: A, 2: A }))).peerNodeId).toBe(2);
    const own = device(A, { 9: { bitmapUuid: B }, 3: { bitmapUuid: B } });
    expect(uuidCompare(compareView(own, peerUuids(B))).peerNodeId).toBe(3);
  });

  it('0 and unknown never match, the own slot neither (H-018, H-024)', () => {
    const zero = compareView(device(A, { 0: { bitmapUuid: B } }), peerUuids(B, { 0: 0n, 3: 0n }));
    expect(uuidCompare(zero).strategy).toBe('unrelated-data');
  });

  it('each other\'s ancestor is a split brain, not two targets (H-019)', () => {
    const both = compareView(device(A, {}, [B, C]), peerUuids(B, {}, {}, [A, C]));
    expect(uuidCompare(both).row.nr).toBe(27);
  });

  it('a scan of the history ends at 0', () => {
    const behindZero = compareView(device(A, {}, [0n, B]), peerUuids(B, {}, {}, [0n, A]));
    expect(uuidCompare(behindZero).strategy).toBe('unrelated-data');
  });

  it('changes are warned of but decide only while connecting; INCONSISTENT is no change (H-041)', () => {
    const sent = { currentUuid: A, bitmapUuid: C, flags: UuidFlag.stable, dirtyBits: 0 };
    const later = uuidCompare(compareView(device(A), peerUuids(A), { sent, connecting: false }));
    expect(later.strategy).toBe('no-sync');
    expect(later.log[0].text).toContain('My bitmap UUID changed during handshake.');
    const flag = compareView(device(A), peerUuids(A), {
      localFlags: UuidFlag.stable | UuidFlag.inconsistent, sent: { ...sent, bitmapUuid: 0n },
    });
    expect(uuidCompare(flag).strategy).toBe('no-sync');
    expect(uuidCompare(compareView(device(A), peerUuids(A), { sent: null })).log[0].text)
      .toBe('Initial UUIDs and state not sent yet. Not verifying');
  });
});
