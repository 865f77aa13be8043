// SPDX-License-Identifier: GPL-2.0-or-later
/** Checksum resync and c-min-rate. @spec uuid.md 7.5, 7.7, 7.8 */
import { describe, expect, test } from 'vitest';
import { Cmd } from '../../../src/io/packet-out.ts';
import { Repl } from '../../../src/state/states.ts';
import { Feature } from '../../../src/wire/features.ts';
import { Pair } from './pair.ts';

const BLOCKS = 2048;
const inSync = (pair: Pair): boolean => pair.a.peer.facts.repl === Repl.established &&
  pair.b.peer.facts.repl === Repl.established && pair.a.peer.bitsOutOfSync === 0 && pair.b.peer.bitsOutOfSync === 0;
const count = (list: readonly number[], cmd: number): number => list.filter((c) => c === cmd).length;

/** Both disks full and equal, then a connection that compares digests. */
function equalPair(seed: number, alg = 'sha1', features?: number, version?: number): Pair {
  const pair = new Pair({ seed, features, version });
  pair.connectInSync();
  for (let i = 0; i < 64; i++) pair.write(i * 256, 256);
  pair.run(() => pair.settled());
  pair.dropLink();
  pair.run(() => [pair.a, pair.b].every((s) => s.events.includes('disconnected')));
  for (const side of [pair.a, pair.b]) {
    side.turn(() => side.set(() => { side.connection.facts.csumsAlg = alg; side.peer.facts.useCsums = true; }));
    for (const list of [side.received, side.events]) list.length = 0;
  }
  return pair;
}

const resync = (pair: Pair): void => {
  pair.a.turn(() => { pair.a.disk.bitmap.setAll(0); });
  pair.connectForResync();
  pair.run(() => pair.b.events.includes('resyncDone') && inSync(pair) && pair.settled(), 60000);
};

describe('digests first', () => {
  test.each([['sha1', undefined, undefined], ['crc32c', undefined, undefined], ['sha512', undefined, undefined],
    ['md5', 0x7f & ~Feature.resyncDagtag & ~0x100, 121]] as const)('%s: equal blocks do not travel', (alg, features, version) => {
    const pair = equalPair(21, alg, features, version);
    resync(pair);
    expect(count(pair.b.received, Cmd.RS_DATA_REPLY)).toBe(0);
    expect(count(pair.b.received, Cmd.RS_IS_IN_SYNC)).toBeGreaterThan(0);
    expect(count(pair.a.received, version === 121 ? Cmd.CSUM_RS_REQUEST : Cmd.RS_CSUM_DAGTAG_REQ))
      .toBe(count(pair.b.received, Cmd.RS_IS_IN_SYNC));
    expect([pair.a.peer.progress.sameCsum, pair.b.peer.progress.sameCsum]).toEqual([BLOCKS, BLOCKS]);
    expect(pair.difference()).toBe(-1);
    expect(pair.arenaUsed()).toEqual([0, 0]);
    expect([pair.a.peer.rsPending, pair.b.peer.rsPending, pair.a.peer.unacked]).toEqual([0, 0, 0]);
  });

  test('blocks that differ do', () => {
    const pair = equalPair(22);
    for (let i = 0; i < 10; i++) pair.write(i * 1024, 8);
    pair.run(() => pair.settled());
    resync(pair);
    expect(pair.difference()).toBe(-1);
    expect(count(pair.b.received, Cmd.RS_DATA_REPLY)).toBeGreaterThan(0);
    expect(count(pair.b.received, Cmd.RS_IS_IN_SYNC)).toBeGreaterThan(0);
  });

  test.each([23, 231, 232, 233])('application writes meanwhile are neither lost nor overtaken (%i)', (seed) => {
    const pair = equalPair(seed);
    for (let i = 0; i < 200; i++) pair.write(i * 80, 8);
    pair.run(() => pair.settled());
    for (const side of [pair.a, pair.b]) side.node.disks.get('/dev/d')!.faults.maxMs = 8;
    pair.a.turn(() => { pair.a.disk.bitmap.setAll(0); });
    pair.connectForResync();
    let errors = 0;
    for (let i = 0; i < 1500; i++) {
      pair.world.at(i * 0.2, 'write', () => pair.write((i * 331) % 16000, 8 + (i % 5) * 8, 0, (e) => { errors += e; }));
    }
    pair.world.runFor(300);
    pair.run(() => inSync(pair) && pair.settled(), 60000);
    expect(errors).toBe(0);
    expect(pair.difference()).toBe(-1);
    expect(pair.arenaUsed()).toEqual([0, 0]);
  });

  test.each([1, 2, 3, 4, 6, 9, 13, 18, 25])('a link that breaks after %i ms leaves nothing behind', (ms) => {
    const pair = equalPair(100 + ms);
    pair.a.turn(() => { pair.a.disk.bitmap.setAll(0); });
    pair.connectForResync();
    pair.world.runFor(ms);
    pair.dropLink();
    pair.run(() => pair.settled());
    expect(pair.arenaUsed()).toEqual([0, 0]);
    resync(pair);
    expect([...pair.a.failures, ...pair.b.failures]).toEqual([]);
  });

  test('a digest of another length is a protocol error', () => {
    const pair = equalPair(24);
    pair.b.turn(() => pair.b.set(() => { pair.b.connection.facts.csumsAlg = 'md5'; }));
    pair.a.turn(() => { pair.a.disk.bitmap.setAll(0); });
    pair.connectForResync();
    pair.run(() => pair.a.failures.length > 0);
    expect(pair.a.failures[0]).toBe('ProtocolError: checksum of 16 bytes');
  });
});

describe('c-min-rate on the source', () => {
  /** How long a resync takes while the source's disk is read all the time. */
  function duration(cMinRate: number): number {
    const pair = new Pair({ seed: 31 });
    pair.a.turn(() => { pair.a.disk.bitmap.setAll(0); });
    for (const side of [pair.a, pair.b]) side.peer.facts.cMinRate = side === pair.a ? cMinRate : 0;
    pair.connectForResync();
    const start = pair.world.nowMs;
    for (let i = 0; i < 40_000; i++) pair.world.at(i, 'read', () => pair.read((i * 64) % 16000, 64, () => {}));
    pair.run(() => inSync(pair), 120_000);
    return pair.world.nowMs - start;
  }

  test('a target gets its blocks more slowly while applications use the disk', () => {
    const free = duration(0);
    const gentle = duration(100);
    expect(gentle).toBeGreaterThan(free * 2);
  });

  /** A frozen write waits for the target to be good. */
  function frozenDuration(cMinRate: number): number {
    const pair = new Pair({ seed: 32 });
    pair.connectInSync();
    pair.b.node.disks.get('/dev/d')!.faults.stopped = true;
    pair.write(0, 8);
    pair.run(() => pair.a.device.lowerPending === 0 && pair.a.connection.apInFlight > 0);
    pair.a.turn(() => pair.a.set(() => { pair.a.io.facts.suspended = true; }));
    pair.dropLink();
    pair.b.node.disks.get('/dev/d')!.resume();
    pair.run(() => pair.a.events.includes('disconnected'));
    pair.a.turn(() => { pair.a.disk.bitmap.setAll(0); });
    for (const side of [pair.a, pair.b]) side.peer.facts.cMinRate = side === pair.a ? cMinRate : 0;
    pair.connectForResync();
    const start = pair.world.nowMs;
    expect(pair.a.device.apBio(1)).toBe(1);
    pair.run(() => inSync(pair), 120_000);
    return pair.world.nowMs - start;
  }

  test('what is frozen does not hold it up', () => {
    expect(frozenDuration(100)).toBe(frozenDuration(0));
  });
});
