// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import { Disk, Repl, Role, UuidFlag } from '../../../src/state/states.ts';
import { attachHandshake, bestResync, resyncDecision, syncHandshake } from '../../../src/state/uuid-handshake.ts';
import type { HandshakeDecision, HandshakeView } from '../../../src/state/uuid-handshake.ts';
import { afterSplitBrain } from '../../../src/state/uuid-policies.ts';
import type { AfterSb, PolicyView } from '../../../src/state/uuid-policies.ts';
import { strategyToRepl } from '../../../src/state/uuid-strategy.ts';
import { device, handshakeView, peerUuids } from './uuid-fixtures.ts';

const A = 0xaaaan << 16n;
const B = 0xbbbbn << 16n;
const C = 0xccccn << 16n;

const texts = (d: HandshakeDecision): string[] => d.actions.flatMap((a) => (a.kind === 'log' ? [a.line.text] : []));
const helpers = (d: HandshakeDecision): string[] => d.actions.flatMap((a) => (a.kind === 'helper' ? [a.name] : []));

/** Both were Primary apart from each other. */
function splitBrain(rest: Partial<HandshakeView> = {}, changes: [number, number] = [5, 7],
  peerFlags: number = UuidFlag.stable): HandshakeView {
  const own = device(A, { 1: { bitmapUuid: C, bitmapIndex: 0 } });
  return handshakeView(own, peerUuids(B, { 0: C }, { dirtyBits: changes[1], flags: peerFlags }), {
    sent: { currentUuid: A, bitmapUuid: C, flags: UuidFlag.stable, dirtyBits: changes[0] }, ...rest,
  });
}

const split = (...args: Parameters<typeof splitBrain>): HandshakeDecision => syncHandshake(splitBrain(...args));

describe('drbd_sync_handshake (uuid.md 3.2)', () => {
  it('logs what genuine DRBD logs', () => {
    const d = syncHandshake(handshakeView(device(A, { 1: { bitmapUuid: B } }, [C]), peerUuids(B, { 0: 0n }, { dirtyBits: 3 })));
    expect(texts(d)).toEqual([
      'drbd_sync_handshake:',
      'self 00000000AAAA0000:00000000BBBB0000:00000000CCCC0000:0000000000000000 bits:0 flags:20',
      'peer 00000000BBBB0000:0000000000000000:0000000000000000:0000000000000000 bits:3 flags:20',
      'uuid_compare()=source-use-bitmap by rule=bitmap-self',
    ]);
    expect(d.strategy).toBe('source-use-bitmap');
  });

  it('3: unrelated data', () => {
    const d = syncHandshake(handshakeView(device(A), peerUuids(B)));
    expect(d.strategy).toBe('unrelated-data');
    expect(texts(d).at(-1)).toBe('Unrelated data, aborting!');
  });

  it('4: a missed end without bits, below 124', () => {
    const source = handshakeView(device(A), peerUuids(A), { missedEnd: 'source', agreedVersion: 123 });
    expect(syncHandshake(source).strategy).toBe('retry-connect');
    const target = { missedEnd: 'peer', agreedVersion: 123, role: Role.primary } as const;
    expect(syncHandshake(handshakeView(device(A), peerUuids(A), target)).strategy).toBe('requires-proto-124');
    expect(syncHandshake(handshakeView(device(A), peerUuids(A), { ...target, agreedVersion: 124 })).strategy)
      .toBe('target-use-bitmap');
  });

  it.each<[Disk, Disk, string]>([
    [Disk.upToDate, Disk.inconsistent, 'source-use-bitmap'],
    [Disk.inconsistent, Disk.upToDate, 'target-use-bitmap'],
    [Disk.inconsistent, Disk.inconsistent, 'no-sync'],
    [Disk.outdated, Disk.upToDate, 'no-sync'],
    [Disk.inconsistent, Disk.diskless, 'no-sync'],
  ])('5: equal generations, disks %i and %i: %s', (mine, other, strategy) => {
    const d = syncHandshake(handshakeView(device(A), peerUuids(A), { sentDisk: mine, disk: mine, peerDisk: other }));
    expect(d.strategy).toBe(strategy);
  });

  it('5: arbitrary strategies yield to better disks (H-038)', () => {
    const flags = { localFlags: UuidFlag.crashedPrimary | UuidFlag.stable };
    const d = syncHandshake(handshakeView(device(A), peerUuids(A), { ...flags, sentDisk: Disk.outdated, peerDisk: Disk.upToDate }));
    expect(d.strategy).toBe('target-use-bitmap');
    expect(texts(d).at(-1)).toBe('strategy = target-use-bitmap due to disk states. (Outdated/UpToDate)');
  });

  it('5: a target of another node: the bitmap is chosen by the base it presents (H-023)', () => {
    const theirs = (base: bigint) => peerUuids(A, { 0: base }, { flags: UuidFlag.syncTarget });
    const own = device(A, { 2: { bitmapUuid: C, bitmapIndex: 1 } });
    const view = (base: bigint): HandshakeView => handshakeView(own, theirs(base), { peerDisk: Disk.inconsistent });
    expect(syncHandshake(view(C))).toMatchObject({ strategy: 'source-copy-other-bitmap', peerNodeId: 2 });
    expect(syncHandshake(view(B)).strategy).toBe('source-set-bitmap');
    expect(syncHandshake(view(0n)).strategy).toBe('source-set-bitmap');
    expect(syncHandshake(view(A)).strategy).toBe('source-use-bitmap');
  });

  it('5: a crashed Primary that was itself a target is no source; while it shows its users newer data, no target either', () => {
    const { crashedPrimary } = UuidFlag;
    const both = (rest: Partial<HandshakeView>) => ['self', 'peer'].map((crashed) => syncHandshake(handshakeView(device(A),
      { ...peerUuids(A), flags: UuidFlag.stable | (crashed === 'peer' ? crashedPrimary : 0) }, {
        wireProtocol: 'A', localFlags: UuidFlag.stable | (crashed === 'self' ? crashedPrimary : 0),
        [crashed === 'self' ? 'sentDisk' : 'peerDisk']: Disk.inconsistent, ...rest,
      })).strategy);
    expect(both({})).toEqual(['target-use-bitmap', 'source-use-bitmap']);
    const primary = { role: Role.primary, peerRole: Role.primary, disk: Disk.inconsistent };
    expect(both(primary)).toEqual(['retry-connect', 'retry-connect']);
    expect(both({ ...primary, reconcileBits: false })).toEqual(['source-use-bitmap', 'target-use-bitmap']);
    expect(both({ reconcileBits: false })).toEqual(['source-use-bitmap', 'target-use-bitmap']);
  });

  it('5: an Outdated disk of a crashed Primary is no source for an UpToDate one', () => {
    const { crashedPrimary, stable } = UuidFlag;
    const both = (rest: Partial<HandshakeView>) => ['self', 'peer'].map((crashed) => syncHandshake(handshakeView(device(A),
      { ...peerUuids(A), flags: stable | (crashed === 'peer' ? crashedPrimary : 0) }, {
        wireProtocol: 'B', localFlags: stable | (crashed === 'self' ? crashedPrimary : 0),
        [crashed === 'self' ? 'sentDisk' : 'peerDisk']: Disk.outdated, ...rest,
      })).strategy);
    expect(both({})).toEqual(['target-use-bitmap', 'source-use-bitmap']);
    expect(both({ sentDisk: Disk.outdated, peerDisk: Disk.outdated })).toEqual(['source-use-bitmap', 'target-use-bitmap']);
    expect(both({ reconcileBits: false })).toEqual(['source-use-bitmap', 'target-use-bitmap']);
  });

  it('6: a target has not got the history of its source yet', () => {
    const theirs = { ...peerUuids(0xddddn << 16n), flags: UuidFlag.stable | UuidFlag.syncTarget };
    expect(syncHandshake(handshakeView(device(A, {}, [C]), theirs, { peerDisk: Disk.inconsistent })).strategy).toBe('retry-connect');
    expect(syncHandshake(handshakeView(device(A, {}, [C]), { ...theirs, flags: UuidFlag.stable })).strategy).toBe('unrelated-data');
  });

  describe('equal generations with bits (hazards Z-01, Z-11)', () => {
    const equal = (rest: Partial<HandshakeView>, mine: number, others: number, [self, peer]: [number, number]) => {
      const theirs = { ...peerUuids(A), flags: peer | UuidFlag.stable, dirtyBits: others };
      const localFlags = self | UuidFlag.stable;
      return syncHandshake(handshakeView(device(A), theirs, {
        localFlags, sent: { currentUuid: A, bitmapUuid: 0n, flags: localFlags, dirtyBits: mine }, ...rest,
      })).strategy;
    };
    const { reconnect } = UuidFlag;
    it.each<[string, Partial<HandshakeView>, number, number, [number, number], string]>([
      ['none on either side', {}, 0, 0, [reconnect, 0], 'no-sync'],
      ['who has bits is the source', {}, 16, 0, [reconnect, reconnect], 'source-use-bitmap'],
      ['mirrored', {}, 0, 16, [0, 0], 'target-use-bitmap'],
      ['who has been up, though the bits are those of the other, which may have lost what it marks', {}, 0, 16, [reconnect, 0], 'source-use-bitmap'],
      ['mirrored', {}, 16, 0, [0, reconnect], 'target-use-bitmap'],
      ['both: the lower node id', {}, 16, 5, [reconnect, reconnect], 'source-use-bitmap'],
      ['who comes back may have lost what both had', { sentDisk: Disk.consistent, shownDisk: Disk.consistent }, 9, 1024, [reconnect, 0], 'source-use-bitmap'],
      ['mirrored, with the lower node id', { peerDisk: Disk.consistent }, 1024, 9, [0, reconnect], 'target-use-bitmap'],
      ['the Primary, whoever has them', { role: Role.primary }, 0, 16, [reconnect, 0], 'source-use-bitmap'],
      ['a Primary without good data is none', { role: Role.primary, disk: Disk.outdated, shownDisk: Disk.outdated }, 16, 0, [reconnect, 0], 'target-use-bitmap'],
      ['also if its disk is no more than Consistent', { role: Role.primary, sentDisk: Disk.consistent, shownDisk: Disk.consistent }, 0, 16, [0, reconnect], 'source-use-bitmap'],
      ['mirrored', { peerRole: Role.primary, peerDisk: Disk.consistent }, 16, 0, [reconnect, 0], 'target-use-bitmap'],
      ['not if that disk attaches', { role: Role.primary, disk: Disk.negotiating, shownDisk: Disk.consistent, attaches: true }, 16, 0, [reconnect, reconnect], 'target-use-bitmap'],
      ['mirrored', { peerRole: Role.primary, peerDisk: Disk.consistent, peerAttaches: true }, 0, 16, [reconnect, reconnect], 'source-use-bitmap'],
      ['what attaches counts as Consistent on both ends', { sentDisk: Disk.outdated, shownDisk: Disk.consistent, peerDisk: Disk.consistent },
        16, 0, [reconnect, 0], 'source-use-bitmap'],
      ['the better disk', { sentDisk: Disk.outdated, shownDisk: Disk.outdated }, 16, 0, [reconnect, 0], 'target-use-bitmap'],
      ['two Primaries', { role: Role.primary, peerRole: Role.primary }, 16, 0, [reconnect, 0], 'no-sync'],
      ['what was sent may be old when they are connected', { connecting: false }, 16, 0, [reconnect, 0], 'no-sync'],
      ['a peer that does not know of it', { reconcileBits: false }, 16, 0, [reconnect, 0], 'no-sync'],
      ['an Inconsistent disk is another matter', { sentDisk: Disk.inconsistent, shownDisk: Disk.inconsistent, peerDisk: Disk.inconsistent }, 16, 0, [reconnect, 0], 'no-sync'],
    ])('%s', (_, rest, mine, others, flags, strategy) => { expect(equal(rest, mine, others, flags)).toBe(strategy); });
  });

  describe('equal generations, one of the two sees a Primary', () => {
    const { stable, crashedPrimary } = UuidFlag;
    const told = (self: number, peer: number, rest: Partial<HandshakeView> = {}): HandshakeView => handshakeView(device(A),
      { ...peerUuids(A), flags: peer }, { localFlags: self, sent: { currentUuid: A, bitmapUuid: 0n, flags: self, dirtyBits: 0 }, ...rest });
    it.each<[string, HandshakeView, string]>([
      ['that one is the source, though the other has crashed with more', told(0, stable | crashedPrimary), 'source-use-bitmap'],
      ['mirrored', told(stable | crashedPrimary, 0), 'target-use-bitmap'],
      ['though the other has missed the end of a resync', told(0, stable, { missedEnd: 'peer' }), 'source-use-bitmap'],
      ['both see it', told(0, crashedPrimary), 'target-if-both-failed'],
      ['who has newer data by protocol A stays the source', told(0, stable | crashedPrimary, { wireProtocol: 'A' }), 'target-use-bitmap'],
      ['not with a lesser disk', told(0, stable | crashedPrimary, { sentDisk: Disk.outdated }), 'target-use-bitmap'],
      ['not against genuine DRBD', told(0, stable | crashedPrimary, { reconcileBits: false }), 'target-if-both-failed'],
    ])('%s', (_, view, strategy) => { expect(syncHandshake(view).strategy).toBe(strategy); });

    const crashed = stable | crashedPrimary;
    const up = stable | UuidFlag.reconnect;
    it.each<[string, HandshakeView, string]>([
      ['who has been up since', told(up, crashed, { wireProtocol: 'B' }), 'source-use-bitmap'],
      ['mirrored', told(crashed, up, { wireProtocol: 'B' }), 'target-use-bitmap'],
      ['just having lost it', told(up, crashed, { wireProtocol: 'B', sentDisk: Disk.consistent, shownDisk: Disk.consistent }), 'source-use-bitmap'],
      ['not with protocol A: it may lack what was flushed there', told(up, crashed, { wireProtocol: 'A' }), 'target-use-bitmap'],
      ['not if it has restarted as well', told(stable, crashed, { wireProtocol: 'B' }), 'target-use-bitmap'],
      ['not with a lesser disk', told(up, crashed, { wireProtocol: 'B', sentDisk: Disk.outdated, shownDisk: Disk.outdated }), 'target-use-bitmap'],
      ['not if the crashed one is Primary again', told(up, crashed, { wireProtocol: 'B', peerRole: Role.primary }), 'target-use-bitmap'],
      ['not against genuine DRBD', told(up, crashed, { wireProtocol: 'B', reconcileBits: false }), 'target-use-bitmap'],
    ])('a crashed Primary of protocol B: %s', (_, view, strategy) => { expect(syncHandshake(view).strategy).toBe(strategy); });

    it('at an attach as well', () => {
      expect(attachHandshake(told(0, stable | crashedPrimary)).strategy).toBe('source-use-bitmap');
    });
  });

  it('attach: both ends see the attaching disk as Consistent, so they do not both become source', () => {
    const { crashedPrimary, stable } = UuidFlag;
    const flags = crashedPrimary | stable;
    const attaching = handshakeView(device(A), { ...peerUuids(A), flags: stable },
      { localFlags: flags, sent: null, role: Role.primary, disk: Disk.negotiating, shownDisk: Disk.consistent });
    const other = handshakeView(device(A), { ...peerUuids(A), flags }, { peerRole: Role.primary, peerDisk: Disk.consistent });
    expect(attachHandshake(attaching).strategy).toBe('target-use-bitmap');
    expect(attachHandshake(other).strategy).toBe('source-use-bitmap');
  });

  it('attach: who has another generation than it has told decides nothing', () => {
    const told = { currentUuid: B, bitmapUuid: 0n, flags: UuidFlag.stable, dirtyBits: 0 };
    const view = handshakeView(device(A), peerUuids(B), { connecting: false, sent: told, peerDisk: Disk.consistent });
    expect(attachHandshake(view).strategy).toBe('retry-connect');
    expect(attachHandshake({ ...view, reconcileBits: false }).strategy).not.toBe('retry-connect');
    expect(attachHandshake({ ...view, sent: { ...told, currentUuid: A } }).strategy).not.toBe('retry-connect');
  });

  it('attach: the bits of equal generations count, also before anything was told', () => {
    const attached = (rest: Partial<HandshakeView>, theirs: number) => attachHandshake(handshakeView(device(A),
      { ...peerUuids(A), flags: UuidFlag.stable, dirtyBits: theirs }, { connecting: false, ...rest })).strategy;
    const own = { sent: null, ownBits: 16, role: Role.primary, disk: Disk.negotiating, shownDisk: Disk.consistent, attaches: true } as const;
    expect(attached(own, 0)).toBe('target-use-bitmap');
    expect(attached({ peerRole: Role.primary, peerDisk: Disk.consistent, peerAttaches: true }, 16)).toBe('source-use-bitmap');
    expect(attached({ ...own, ownBits: 0 }, 0)).toBe('no-sync');
    const both = { role: Role.primary, peerRole: Role.primary } as const;
    expect(attached({ ...own, ...both, ownBits: 0 }, 16)).toBe('target-use-bitmap');
    expect(attached({ ...both, peerDisk: Disk.consistent, peerAttaches: true }, 16)).toBe('source-use-bitmap');
  });

  it('6: split brain waits while one side is unstable', () => {
    expect(split({ stable: false }).strategy).toBe('no-sync');
    expect(split({}, [5, 7], 0).strategy).toBe('no-sync');
  });

  it('6: split brain of two targets of third nodes waits', () => {
    const bothOff = { sentDisk: Disk.inconsistent, peerDisk: Disk.inconsistent };
    expect(split(bothOff).strategy).toBe('no-sync');
    expect(syncHandshake(handshakeView(device(A, {}, [C]), peerUuids(B, {}, {}, [C]), bothOff)).strategy).toBe('no-sync');
    expect(split({ ...bothOff, peerDisk: Disk.outdated }).strategy).toBe('split-brain-disconnect');
  });

  it('7, 10: unresolved split brain calls both helpers', () => {
    const d = split();
    expect(d.strategy).toBe('split-brain-disconnect');
    expect(helpers(d)).toEqual(['initial-split-brain', 'split-brain']);
    expect(texts(d).at(-1)).toBe('Split-Brain detected but unresolved, dropping connection!');
  });

  it('8: policies', () => {
    const d = split({ afterSb0p: 'discard-least-changes' });
    expect(d.strategy).toBe('target-use-bitmap');
    expect(texts(d)).toContain('Split-Brain detected, 0 primaries, automatically solved. Sync from peer node');
    expect(helpers(d)).toEqual(['initial-split-brain']);
  });

  it('8: history split brain is solved only with always-asbp, and by a full sync', () => {
    const own = device(A, {}, [C]);
    const theirs = peerUuids(B, {}, {}, [C]);
    const rest = { afterSb0p: 'discard-remote' } as const;
    expect(syncHandshake(handshakeView(own, theirs, rest)).strategy).toBe('split-brain-disconnect');
    expect(syncHandshake(handshakeView(own, theirs, { ...rest, alwaysAsbp: true })).strategy).toBe('source-set-bitmap');
  });

  it('8: call-pri-lost-after-sb asks for a demotion first', () => {
    const rest = { afterSb0p: 'discard-local', afterSb1p: 'call-pri-lost-after-sb', role: Role.primary } as const;
    expect(split(rest)).toMatchObject({ demote: 'after-sb-1pri' });
    expect(split({ ...rest, role: Role.secondary, demoted: 'yes' })).toMatchObject({ demote: null, strategy: 'target-use-bitmap' });
    const kept = split({ ...rest, demoted: 'no' });
    expect(kept.strategy).toBe('split-brain-disconnect');
    expect(helpers(kept)).toEqual(['pri-lost-after-sb', 'split-brain']);
  });

  it('8: quorum decides before policies', () => {
    expect(split({ quorumConfigured: true, peerHasQuorum: false }).strategy).toBe('source-use-bitmap');
    expect(split({ quorumConfigured: true, selfHasQuorum: false }).strategy).toBe('target-use-bitmap');
  });

  it('9: discard-my-data solves it; full sync when only the histories meet (H-020)', () => {
    const d = split({ discardMyData: true });
    expect(d.strategy).toBe('target-use-bitmap');
    expect(texts(d)).toContain('Split-Brain detected, manually solved. Sync from peer node');
    expect(split({}, [5, 7], UuidFlag.stable | UuidFlag.discardMyData).strategy).toBe('source-use-bitmap');
    const history = handshakeView(device(A, {}, [C]), peerUuids(B, {}, {}, [C]), { discardMyData: true });
    expect(syncHandshake(history).strategy).toBe('target-set-bitmap');
  });

  it('12: discard-my-data reverses, unless the new source is Inconsistent', () => {
    const own = device(A, { 1: { bitmapUuid: B } });
    const source = (rest: Partial<HandshakeView>): HandshakeDecision =>
      syncHandshake(handshakeView(own, peerUuids(B), { discardMyData: true, ...rest }));
    expect(source({}).strategy).toBe('target-use-bitmap');
    expect(source({ peerDisk: Disk.inconsistent }).strategy).toBe('source-use-bitmap');
    expect(source({ agreedVersion: 120 }).strategy).toBe('source-use-bitmap');
  });

  it.each<[HandshakeView['rrConflict'], string, string[]]>([
    ['disconnect', 'sync-target-primary-disconnect', []],
    ['call-pri-lost', 'sync-target-primary-disconnect', ['pri-lost']],
    ['retry-connect', 'sync-target-primary-reconnect', []],
    ['violently', 'target-use-bitmap', []],
    ['auto-discard', 'target-use-bitmap', []],
  ])('13: target while Primary, rr-conflict %s', (rrConflict, strategy, called) => {
    const view = handshakeView(device(A), peerUuids(B, { 0: A }, { dirtyBits: 1 }), { role: Role.primary, rrConflict });
    const d = syncHandshake(view);
    expect(d.strategy).toBe(strategy);
    expect(helpers(d)).toEqual(called);
  });

  it('13: an empty resync toward a Primary is allowed (H-085)', () => {
    const d = syncHandshake(handshakeView(device(A), peerUuids(B, { 0: A }), { role: Role.primary }));
    expect(d.strategy).toBe('target-use-bitmap');
  });

  it('13: a Primary without good data takes only what its users have seen', () => {
    const met = (exposedUuid: bigint, rest: Partial<HandshakeView> = {}, theirs = A) => syncHandshake(handshakeView(device(A), peerUuids(theirs),
      { role: Role.primary, disk: Disk.inconsistent, sentDisk: Disk.inconsistent, shownDisk: Disk.inconsistent, exposedUuid, ...rest })).strategy;
    expect(met(A)).toBe('target-use-bitmap');
    expect(met(0n)).toBe('target-use-bitmap');
    expect(met(B)).toBe('sync-target-primary-reconnect');
    expect(met(B, { role: Role.secondary })).toBe('target-use-bitmap');
    expect(met(B, { disk: Disk.outdated, sentDisk: Disk.outdated, shownDisk: Disk.outdated })).toBe('sync-target-primary-reconnect');
    expect(met(B, { peerDisk: Disk.inconsistent })).toBe('no-sync');
    expect(met(B, { rrConflict: 'violently' })).toBe('target-use-bitmap');
  });

  it('13, 14: auto-discard makes both ends agree about a crashed Primary (H-035)', () => {
    const crashed = UuidFlag.crashedPrimary;
    const rest = { wireProtocol: 'A', rrConflict: 'auto-discard' } as const;
    const survivor = syncHandshake(handshakeView(device(A), peerUuids(A, {}, { flags: crashed, dirtyBits: 4 }),
      { ...rest, role: Role.primary }));
    const former = syncHandshake(handshakeView(device(A), peerUuids(A), { ...rest, localFlags: crashed, peerRole: Role.primary }));
    expect([survivor.strategy, former.strategy]).toEqual(['source-use-bitmap', 'target-use-bitmap']);
  });

  it('15: who is not UpToDate does not sync because an end was missed', () => {
    const source = syncHandshake(handshakeView(device(A), peerUuids(A),
      { missedEnd: 'source', sentDisk: Disk.outdated, shownDisk: Disk.outdated, peerDisk: Disk.outdated }));
    expect(source.strategy).toBe('no-sync');
    const target = syncHandshake(handshakeView(device(A), peerUuids(A), { missedEnd: 'peer', peerDisk: Disk.outdated }));
    expect(target.strategy).toBe('no-sync');
    expect(target.actions).toContainEqual({ kind: 'clearBitmapUuid' });
  });

  it('15: what differs then goes by the disks and the bits (hazard Z-02)', () => {
    const both = (worse: Disk, reconcileBits: boolean) => [
      syncHandshake(handshakeView(device(A), peerUuids(A, {}, { flags: UuidFlag.stable }),
        { missedEnd: 'source', sentDisk: worse, shownDisk: worse, ownBits: 3, sent: null, reconcileBits })).strategy,
      syncHandshake(handshakeView(device(A), peerUuids(A, {}, { flags: UuidFlag.stable, dirtyBits: 3 }),
        { missedEnd: 'peer', peerDisk: worse, ownBits: 0, sent: null, reconcileBits })).strategy,
    ];
    expect(both(Disk.outdated, true)).toEqual(['target-use-bitmap', 'source-use-bitmap']);
    expect(both(Disk.inconsistent, true)).toEqual(['target-use-bitmap', 'source-use-bitmap']);
    expect(both(Disk.outdated, false)).toEqual(['no-sync', 'no-sync']);
  });

  it('16: tentative says what would be', () => {
    const d = syncHandshake(handshakeView(device(A), peerUuids(B, { 0: A }), { dryRun: true }));
    expect(d.dryRun).toBe(true);
    expect(texts(d).at(-1)).toBe('dry-run connect: Would become SyncTarget, doing a target-use-bitmap resync.');
    expect(texts(syncHandshake(handshakeView(device(A), peerUuids(A), { dryRun: true }))).at(-1))
      .toBe('dry-run connect: No resync, would become Connected immediately.');
  });

  it('attach: split brain has no policies (uuid.md 3.8)', () => {
    expect(attachHandshake(splitBrain()).strategy).toBe('split-brain-auto-recover');
    const d = attachHandshake(handshakeView(device(A), peerUuids(A), { peerDisk: Disk.inconsistent }));
    expect(d.strategy).toBe('source-use-bitmap');
  });
});

describe('while connected (uuid.md 3.9, 3.10)', () => {
  it('after unstable: split brain by disk states', () => {
    const target = resyncDecision({ ...splitBrain(), connecting: false, disk: Disk.outdated }, 'after-unstable');
    expect(target).toMatchObject({ strategy: 'target-use-bitmap', repl: Repl.wfBitMapT });
    const source = resyncDecision({ ...splitBrain(), connecting: false, peerDisk: Disk.outdated }, 'after-unstable');
    expect(source.repl).toBe(Repl.wfBitMapS);
    expect(resyncDecision(handshakeView(device(A), peerUuids(B)), 'after-unstable').repl).toBeNull();
  });

  it('after unstable: no Inconsistent disk becomes source of a better one by an arbitrary rule', () => {
    const { stable, crashedPrimary } = UuidFlag;
    const both = (rest: Partial<HandshakeView>) => ['self', 'peer'].map((crashed) => {
      const flags = stable | (crashed === 'self' ? crashedPrimary : 0);
      return resyncDecision(handshakeView(device(A), { ...peerUuids(A), flags: stable | (crashed === 'peer' ? crashedPrimary : 0) }, {
        connecting: false, localFlags: flags, sent: { currentUuid: A, bitmapUuid: 0n, flags, dirtyBits: 0 },
        ...crashed === 'self' ? { disk: Disk.inconsistent, shownDisk: Disk.inconsistent, peerDisk: Disk.consistent }
          : { disk: Disk.consistent, shownDisk: Disk.consistent, peerDisk: Disk.inconsistent }, ...rest,
      }), 'after-unstable').repl;
    });
    expect(both({})).toEqual([Repl.wfBitMapT, Repl.wfBitMapS]);
    expect(both({ shownDisk: Disk.outdated, peerDisk: Disk.outdated })).toEqual([Repl.wfBitMapS, Repl.wfBitMapT]);
    expect(both({ reconcileBits: false })).toEqual([Repl.wfBitMapS, Repl.wfBitMapT]);
  });

  it('goes by what the peer was told, as the peer does', () => {
    const own = device(A, { 1: { bitmapUuid: C, bitmapIndex: 0 } });
    const sent = { currentUuid: A, bitmapUuid: 0n, flags: UuidFlag.stable, dirtyBits: 0 };
    const lostSince = { connecting: false, localFlags: UuidFlag.stable | UuidFlag.primaryLostQuorum, sent };
    expect(resyncDecision(handshakeView(own, peerUuids(A), lostSince), 'after-unstable').strategy).toBe('no-sync');
    expect(resyncDecision(handshakeView(own, peerUuids(C), lostSince), 'after-unstable').repl).toBeNull();
  });

  it('takes the source with the highest preference', () => {
    const clear = handshakeView(device(A), peerUuids(B, { 3: A }), { connecting: false, peerNodeId: 1 });
    const bitmap = handshakeView(device(A), peerUuids(B, { 0: A }), { connecting: false, peerNodeId: 2 });
    const source = handshakeView(device(A, { 3: { bitmapUuid: B } }), peerUuids(B), { connecting: false, peerNodeId: 3 });
    expect(bestResync([clear, bitmap, source])).toMatchObject({ from: 2, strategy: 'target-use-bitmap' });
    expect(bestResync([source])).toBeNull();
  });

  it('strategy to repl state (uuid.md 2.3)', () => {
    const { primary, secondary } = Role;
    expect(strategyToRepl('target-if-both-failed', primary, secondary)).toBe(Repl.wfBitMapS);
    expect(strategyToRepl('source-if-both-failed', secondary, primary)).toBe(Repl.wfBitMapT);
    expect(strategyToRepl('source-if-both-failed', primary, primary)).toBe(Repl.established);
    expect(strategyToRepl('source-if-both-failed', secondary, secondary)).toBe(Repl.wfBitMapS);
    expect(strategyToRepl('target-set-bitmap', secondary, secondary)).toBe(Repl.wfBitMapT);
    expect(strategyToRepl('no-sync', secondary, secondary)).toBe(Repl.established);
  });
});

describe('after-split-brain policies (uuid.md 3.5)', () => {
  const values: AfterSb[] = ['disconnect', 'discard-younger-primary', 'discard-older-primary', 'discard-zero-changes',
    'discard-least-changes', 'discard-local', 'discard-remote', 'consensus', 'discard-secondary', 'call-pri-lost-after-sb',
    'violently-as0p', 'retry-connect', 'auto-discard'];
  const swap = (value: AfterSb): AfterSb =>
    (value === 'discard-local' ? 'discard-remote' : value === 'discard-remote' ? 'discard-local' : value);

  function* views(): Generator<PolicyView> {
    const flags = [false, true];
    for (const afterSb0p of values) for (const other of values) {
      for (const selfPrimary of flags) for (const peerPrimary of flags) for (const selfWasPrimary of flags) {
        for (const peerWasPrimary of flags) for (const resolveConflicts of flags) {
          for (const [selfChanges, peerChanges] of [[0, 0], [0, 3], [3, 0], [3, 3], [2, 3]]) {
            yield { afterSb0p, afterSb1p: other, afterSb2p: other, selfPrimary, peerPrimary, selfWasPrimary, peerWasPrimary,
              selfChanges, peerChanges, resolveConflicts, demoted: 'yes' };
          }
        }
      }
    }
  }

  it('both ends decide the opposite, or both nothing', () => {
    const opposite = { S: 'T', T: 'S' } as const;
    for (const v of views()) {
      const there = afterSplitBrain({
        ...v, afterSb0p: swap(v.afterSb0p), selfPrimary: v.peerPrimary, peerPrimary: v.selfPrimary,
        selfWasPrimary: v.peerWasPrimary, peerWasPrimary: v.selfWasPrimary, selfChanges: v.peerChanges,
        peerChanges: v.selfChanges, resolveConflicts: !v.resolveConflicts,
      });
      const here = afterSplitBrain(v);
      expect([v, there.verdict]).toEqual([v, here.verdict === null ? null : opposite[here.verdict]]);
    }
  });

  it('a value that does not belong there is a configuration error', () => {
    const v: PolicyView = { afterSb0p: 'consensus', afterSb1p: 'disconnect', afterSb2p: 'discard-secondary', selfPrimary: false,
      peerPrimary: false, selfWasPrimary: false, peerWasPrimary: false, selfChanges: 0, peerChanges: 0, resolveConflicts: true,
      demoted: 'not-tried' };
    expect(afterSplitBrain(v)).toMatchObject({ verdict: null, log: [{ text: 'Configuration error.' }] });
    expect(afterSplitBrain({ ...v, selfPrimary: true, peerPrimary: true }).log[0].text).toBe('Configuration error.');
  });

  it('discard-secondary and consensus', () => {
    const v: PolicyView = { afterSb0p: 'discard-remote', afterSb1p: 'consensus', afterSb2p: 'disconnect', selfPrimary: true,
      peerPrimary: false, selfWasPrimary: true, peerWasPrimary: true, selfChanges: 1, peerChanges: 1, resolveConflicts: true,
      demoted: 'not-tried' };
    expect(afterSplitBrain(v).verdict).toBe('S');
    expect(afterSplitBrain({ ...v, afterSb0p: 'discard-local' }).verdict).toBeNull();
    expect(afterSplitBrain({ ...v, afterSb0p: 'discard-local', afterSb1p: 'discard-secondary' }).verdict).toBe('S');
  });
});
