// SPDX-License-Identifier: GPL-2.0-or-later
/** Online verify between two I/O engines, also with peers of older versions. @spec wire.md 10.5 */
import { describe, expect, test } from 'vitest';
import { Cmd } from '../../../src/io/packet-out.ts';
import { Disk, Repl } from '../../../src/state/states.ts';
import { Feature } from '../../../src/wire/features.ts';
import { Pair, SECTORS } from './pair.ts';

const OLD = 0x7f & ~Feature.resyncDagtag & ~0x100;
const BLOCKS = SECTORS / 8;

function verifying(seed: number, version: number, features?: number): Pair {
  const pair = new Pair({ seed, version, features });
  pair.connectInSync();
  for (let i = 0; i < 64; i++) pair.write(i * 256, 256);
  pair.run(() => pair.settled());
  for (const block of [3, 4, 2047]) pair.b.node.disks.get('/dev/d')!.writeBytes(block * 8, new Uint8Array(512).fill(1));
  for (const [side, repl] of [[pair.b, Repl.verifyT], [pair.a, Repl.verifyS]] as const) {
    side.turn(() => side.set(() => { side.connection.facts.verifyAlg = 'sha1'; side.peer.facts.repl = repl; }));
  }
  pair.a.turn(() => pair.a.peer.verifySource.start());
  return pair;
}

describe.each([[124, undefined], [122, OLD], [121, OLD]])('version %i', (version, features) => {
  test('every block has one result, on both ends the same', () => {
    const pair = verifying(51, version, features);
    pair.run(() => pair.a.events.includes('verifyDone') && pair.b.events.includes('verifyDone'), 60_000);
    expect([pair.a.peer.bitsOutOfSync, pair.b.peer.bitsOutOfSync]).toEqual([3, 3]);
    expect([pair.a.peer.verify.skipped, pair.b.peer.verify.skipped]).toEqual([0, 0]);
    const results = version < 122 ? Cmd.OV_RESULT : Cmd.OV_RESULT_ID;
    expect(pair.b.received.filter((cmd) => cmd === results)).toHaveLength(BLOCKS);
    expect(pair.a.received.filter((cmd) => cmd === (features === undefined ? Cmd.OV_DAGTAG_REPLY : Cmd.OV_REPLY))).toHaveLength(BLOCKS);
    expect(pair.arenaUsed()).toEqual([0, 0]);
    expect(pair.settled()).toBe(true);
    expect([pair.a, pair.b].map(({ peer }) => [peer.rsPending, peer.unacked])).toEqual([[0, 0], [0, 0]]);
  });

  test.each([1, 3, 8, 20])('a link that breaks after %i ms leaves nothing behind', (ms) => {
    const pair = verifying(52 + ms, version, features);
    pair.world.runFor(ms);
    pair.dropLink();
    pair.run(() => pair.settled());
    expect(pair.arenaUsed()).toEqual([0, 0]);
    expect([pair.a, pair.b].map(({ peer }) => [peer.rsPending, peer.unacked])).toEqual([[0, 0], [0, 0]]);
    expect([...pair.a.failures, ...pair.b.failures]).toEqual([]);
  });

  test('activity makes blocks skipped, never different', () => {
    const pair = verifying(53, version, features);
    for (let i = 0; i < 500; i++) pair.world.at(i * 0.1, 'write', () => pair.write((i * 331) % 16000, 8));
    pair.run(() => pair.a.events.includes('verifyDone') && pair.b.events.includes('verifyDone') && pair.settled(), 60_000);
    expect(pair.a.peer.bitsOutOfSync).toBeLessThanOrEqual(3);
    expect(pair.b.peer.bitsOutOfSync).toBe(pair.a.peer.bitsOutOfSync);
    expect(pair.a.peer.verify.skipped).toBeGreaterThan(0);
    expect(pair.b.peer.verify.skipped).toBe(pair.a.peer.verify.skipped);
  });
});

/** The side without the Primary asks; the Primary's digests name writes that the other one never gets. */
function waitingForNever(disk: Disk): Pair {
  const pair = new Pair({ seed: 61 });
  pair.connectInSync();
  pair.a.io.requests.dagtag = 10_000;
  for (const [side, repl] of [[pair.a, Repl.verifyT], [pair.b, Repl.verifyS]] as const) {
    side.turn(() => side.set(() => { side.connection.facts.verifyAlg = 'sha1'; side.peer.facts.repl = repl; }));
  }
  pair.b.turn(() => {
    pair.b.set(() => { pair.b.device.facts.disk = disk; });
    pair.b.peer.verifySource.start();
  });
  return pair;
}

const ended = (pair: Pair): boolean => pair.a.events.includes('verifyDone') && pair.b.events.includes('verifyDone') && pair.settled();

test('blocks that wait for writes which never come are skipped in the end', () => {
  const pair = waitingForNever(Disk.upToDate);
  pair.run(() => pair.b.peer.verifySource.waiting > 5);
  pair.world.runFor(9_000);
  expect(pair.b.peer.verify.skipped).toBe(0);
  pair.a.io.requests.dagtag = 0;
  pair.run(() => ended(pair), 60_000);
  expect(pair.b.peer.verify.skipped).toBeGreaterThan(5);
  expect(pair.b.peer.verify.skipped).toBeLessThan(BLOCKS / 2);
  expect(pair.a.peer.verify.skipped).toBe(pair.b.peer.verify.skipped);
});

test('an Outdated disk gets no writes: its blocks are skipped at once', () => {
  const pair = waitingForNever(Disk.outdated);
  pair.run(() => ended(pair), 5_000);
  expect([pair.a, pair.b].map(({ peer }) => peer.verify.skipped)).toEqual([BLOCKS, BLOCKS]);
});

test('a lost connection is not over while a block of the source is being read', () => {
  const pair = verifying(54, 124);
  const disk = pair.a.node.disks.get('/dev/d')!;
  disk.faults.stopped = true;
  pair.run(() => pair.a.peer.unacked > 0);
  pair.dropLink();
  pair.world.runFor(1_000);
  expect(pair.a.events).not.toContain('disconnected');
  disk.resume();
  pair.run(() => pair.a.events.includes('disconnected'));
  pair.run(() => pair.settled());
  expect(pair.arenaUsed()).toEqual([0, 0]);
});
