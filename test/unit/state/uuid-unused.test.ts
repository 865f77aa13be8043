// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import { Disk, Repl, Role, UuidFlag } from '../../../src/state/states.ts';
import { syncHandshake } from '../../../src/state/uuid-handshake.ts';
import type { HandshakeView } from '../../../src/state/uuid-handshake.ts';
import { uuidJustCreated } from '../../../src/state/uuid-types.ts';
import type { PeerContext } from '../../../src/state/uuid-types.ts';
import { asUnused, asUsed, formerUuid, newUnusedUuid, withdrawn } from '../../../src/state/uuid-unused.ts';
import { context, counter, device, handshakeView, peer, peerUuids } from './uuid-fixtures.ts';

const FORMER = 0xaaaan << 16n;
const UNUSED = 0xbbbbn << 16n;
const OTHER = 0xccccn << 16n;
const NEXT = 0xdd00n;
const SELF = 0;

const unused = asUnused(device(UNUSED, { 1: { bitmapUuid: FORMER | 1n, bitmapIndex: 0 }, 2: { bitmapIndex: 1 } }), SELF, FORMER | 1n);
const here = (uuid: bigint, repl: Repl = Repl.established): PeerContext => peer(2, { repl, pdsk: Disk.upToDate, uuids: peerUuids(uuid) });

describe('an unused generation', () => {
  it('remembers what it was made from, whatever the Primary bit is', () => {
    expect(formerUuid(unused, SELF)).toBe(FORMER);
    expect(formerUuid({ ...unused, currentUuid: UNUSED | 1n }, SELF)).toBe(FORMER);
  });
  it('is forgotten with its first write, and with the generation itself', () => {
    expect(formerUuid(asUsed(unused, SELF), SELF)).toBe(0n);
    expect(formerUuid({ ...unused, currentUuid: OTHER }, SELF)).toBe(0n);
    expect(formerUuid(device(UNUSED), SELF)).toBe(0n);
  });
  it('is not one on a disk that had no data before', () => {
    expect(asUnused(device(UNUSED), SELF, uuidJustCreated)).toEqual(device(UNUSED));
  });
  it('changes nothing that others look at', () => {
    expect(unused.peers.every((slot) => slot.bitmapUuid !== UNUSED)).toBe(true);
    expect(unused.peers[SELF]).toMatchObject({ bitmapUuid: 0n, bitmapIndex: -1, flags: 0 });
  });
});

describe('it is withdrawn', () => {
  it('to the one before, in the role of now', () => {
    const back = withdrawn(context(unused, { peers: [here(FORMER)] }));
    expect(back).toMatchObject({ currentUuid: FORMER | 1n });
    expect(formerUuid(back!, SELF)).toBe(0n);
  });
  it.each<[string, PeerContext]>([['has it', here(UNUSED | 1n)], ['gets it with the data', here(FORMER, Repl.wfBitMapS)]])('not while a peer %s', (_, other) => {
    expect(withdrawn(context(unused, { peers: [other] }))).toBeNull();
  });
  it('not by a disk without data, nor one that is used', () => {
    expect(withdrawn(context(unused, { disk: Disk.inconsistent }))).toBeNull();
    expect(withdrawn(context(asUsed(unused, SELF)))).toBeNull();
  });
});

describe('a new one', () => {
  it('is unused, and the bases are those of any', () => {
    const { uuids } = newUnusedUuid(context(unused, { peers: [peer(1), peer(2)] }), counter(NEXT))!;
    expect(uuids.peers[2]).toMatchObject({ bitmapUuid: UNUSED });
    expect(formerUuid(uuids, SELF)).toBe(UNUSED);
  });
});

describe('two nodes that went on from one generation', () => {
  const fork = (rest: Partial<HandshakeView>, flags = 0): HandshakeView =>
    handshakeView(device(UNUSED, { 1: { bitmapUuid: FORMER } }), peerUuids(OTHER, { 0: FORMER }, { flags: UuidFlag.stable | flags }), rest);
  it('are split if both have written', () => {
    expect(syncHandshake(fork({})).strategy).toBe('split-brain-disconnect');
  });
  it('meet again if one has not: that one goes back', () => {
    const self = syncHandshake(fork({ unused: true }));
    expect(self.strategy).toBe('retry-connect');
    expect(self.actions).toContainEqual({ kind: 'withdraw' });
    const other = syncHandshake(fork({}, UuidFlag.unused));
    expect(other.strategy).toBe('retry-connect');
    expect(other.actions).not.toContainEqual({ kind: 'withdraw' });
  });
  it('are what the administrator says', () => {
    expect(syncHandshake(fork({ unused: true, discardMyData: true })).strategy).toBe('target-use-bitmap');
  });
  it('are split as two Primaries with bits: what was under way was answered on one of them only', () => {
    const self = fork({ unused: true, role: Role.primary, peerRole: Role.primary, allowTwoPrimaries: true });
    expect(syncHandshake(self).strategy).toBe('retry-connect');
    const bits = { ...self, peer: { ...self.peer, dirtyBits: 1 } };
    expect(syncHandshake(bits).strategy).toBe('split-brain-disconnect');
    expect(syncHandshake({ ...bits, allowTwoPrimaries: false }).strategy).toBe('retry-connect');
  });
});

describe('a peer that stayed in the one before', () => {
  const behind = (rest: Partial<HandshakeView>): HandshakeView =>
    handshakeView(device(UNUSED, { 1: { bitmapUuid: FORMER } }), peerUuids(FORMER, {}, { flags: UuidFlag.stable }), { unused: true, ...rest });
  it('is the target', () => {
    expect(syncHandshake(behind({ role: Role.primary })).strategy).toBe('source-use-bitmap');
  });
  it('is none as a Primary, beside another one: that goes back', () => {
    const decision = syncHandshake(behind({ role: Role.primary, peerRole: Role.primary, allowTwoPrimaries: true }));
    expect(decision.strategy).toBe('retry-connect');
    expect(decision.actions).toContainEqual({ kind: 'withdraw' });
  });
});
