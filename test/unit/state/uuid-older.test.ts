// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import { Disk, Repl } from '../../../src/state/states.ts';
import { peerIsOlder, selfIsOlder } from '../../../src/state/uuid-older.ts';
import { uuidJustCreated } from '../../../src/state/uuid-types.ts';
import type { PeerContext, PeerUuids } from '../../../src/state/uuid-types.ts';
import { context, device, peer, peerUuids } from './uuid-fixtures.ts';

const OLD = 0xaaaan << 16n;
const NEW = 0xbbbbn << 16n;
const OTHER = 0xccccn << 16n;

const good = (nodeId: number, uuids: PeerUuids, pdsk: Disk = Disk.upToDate): PeerContext => peer(nodeId, { repl: Repl.established, pdsk, uuids });

describe('which of several UpToDate disks are older', () => {
  it.each<[string, PeerUuids]>([
    ['has it as base of some node', peerUuids(NEW, { 5: OLD | 1n })],
    ['has it in its history', peerUuids(NEW, {}, {}, [OTHER, OLD])],
  ])('a peer is, and this disk is, when another one %s', (_, newer) => {
    const old = good(1, peerUuids(OLD));
    const inconsistent = context(device(OTHER), { disk: Disk.inconsistent, peers: [old, good(2, newer)] });
    expect(peerIsOlder(inconsistent, inconsistent.peers[0]!)).toBe(true);
    expect(peerIsOlder(inconsistent, inconsistent.peers[1]!)).toBe(false);
    expect(selfIsOlder(inconsistent)).toBe(false);
    expect(selfIsOlder(context(device(OLD), { peers: [good(2, newer)] }))).toBe(true);
  });
  it('a peer is when this disk has gone on from there', () => {
    const old = good(1, peerUuids(OLD));
    expect(peerIsOlder(context(device(NEW, { 1: { bitmapUuid: OLD } }), { peers: [old] }), old)).toBe(true);
  });
  it.each<[string, PeerUuids, Disk]>([
    ['the Primary bit alone differs', peerUuids(OLD | 1n, { 1: OLD }), Disk.upToDate],
    ['each has left the other behind', peerUuids(NEW, { 1: OLD }), Disk.upToDate],
    ['nothing connects them', peerUuids(NEW), Disk.upToDate],
    ['the newer one is not good itself', peerUuids(NEW, { 5: OLD }), Disk.inconsistent],
    ['it has never been written', peerUuids(uuidJustCreated, { 5: OLD }), Disk.upToDate],
  ])('none is when %s', (text, uuids, pdsk) => {
    const own = device(OLD, {}, text.startsWith('each') ? [NEW] : []);
    expect(selfIsOlder(context(own, { peers: [good(1, uuids, pdsk)] }))).toBe(false);
  });
});
