// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, test } from 'vitest';
import { BioFlag, BioOp } from '../../../src/host/block.ts';
import { Disk, Repl } from '../../../src/state/states.ts';
import { RqEvent } from '../../../src/io/mod.ts';
import { Cmd } from '../../../src/io/packet-out.ts';
import { Pair } from './pair.ts';

const count = (commands: number[], cmd: number): number => commands.filter((c) => c === cmd).length;

describe('one write', () => {
  test.each([[1, 'A'], [2, 'B'], [3, 'C']])('protocol %i (%s): acks, barrier, peer ack', (protocol) => {
    const pair = new Pair({ seed: 1, protocol });
    pair.connectInSync();
    let errno = -1;
    pair.write(8, 8, 0, (e) => { errno = e; });
    pair.run(() => errno >= 0);
    expect(errno).toBe(0);
    pair.run(() => pair.settled());
    expect(pair.difference()).toBe(-1);
    const got = pair.a.received;
    expect(count(got, Cmd.RECV_ACK)).toBe(protocol === 2 ? 1 : 0);
    expect(count(got, Cmd.WRITE_ACK)).toBe(protocol === 3 ? 1 : 0);
    expect(count(got, Cmd.BARRIER_ACK)).toBe(1);
    expect(count(pair.b.received, Cmd.BARRIER)).toBe(1);
    expect(count(pair.b.received, Cmd.PEER_ACK)).toBe(1);
    expect(pair.b.disk.al.used).toBe(0);
    expect(pair.a.failures).toEqual([]);
    expect(pair.arenaUsed()).toEqual([0, 0]);
    expect(pair.a.connection.apInFlight).toBe(0);
  });

  test('protocol C completes only when both disks have it', () => {
    const pair = new Pair({ seed: 2 });
    pair.connectInSync();
    pair.b.node.disks.get('/dev/d')!.faults.stopped = true;
    let done = false;
    pair.write(0, 8, 0, () => { done = true; });
    pair.world.runFor(500);
    expect(done).toBe(false);
    pair.b.node.disks.get('/dev/d')!.resume();
    pair.run(() => done);
    pair.run(() => pair.settled());
  });

  test('the dagtag is announced, then counted', () => {
    const pair = new Pair({ seed: 3 });
    pair.connectInSync();
    pair.write(0, 8);
    pair.write(64, 16);
    pair.run(() => pair.settled());
    expect(pair.b.connection.writes.lastDagtag).toBe(24);
    expect(count(pair.b.received, Cmd.DAGTAG)).toBe(1);
  });

  test('a disk that knows of newer writes raises the dagtag, and the peer that gets our writes hears of it', () => {
    const pair = new Pair({ seed: 3 });
    pair.connectInSync();
    pair.write(0, 8);
    pair.run(() => pair.settled());
    pair.a.turn(() => pair.a.io.raiseDagtag(1000));
    pair.run(() => pair.b.connection.writes.lastDagtag === 1000);
    pair.a.turn(() => pair.a.io.raiseDagtag(500));
    pair.write(64, 16);
    pair.run(() => pair.settled());
    expect(pair.b.connection.writes.lastDagtag).toBe(1016);
    expect(count(pair.b.received, Cmd.DAGTAG)).toBe(2);
  });

  test('a disk that gets no writes hears the dagtag when it connects', () => {
    const pair = new Pair({ seed: 3 });
    pair.connectInSync();
    pair.write(0, 8);
    pair.run(() => pair.settled());
    pair.dropLink();
    pair.run(() => pair.a.events.includes('disconnected') && pair.b.events.includes('disconnected'));
    pair.b.connection.writes.lastDagtag = 0;
    pair.connect(Repl.established, Repl.established, Disk.outdated);
    pair.run(() => pair.b.connection.writes.lastDagtag === 8);
  });

  test('the newest dagtag is told also where an older write is sent again before', () => {
    const pair = new Pair({ seed: 3 });
    pair.connectInSync();
    pair.b.node.disks.get('/dev/d')!.faults.stopped = true;
    pair.write(0, 8);
    pair.run(() => count(pair.b.received, Cmd.DATA) === 1);
    pair.a.turn(() => pair.a.io.raiseDagtag(1000));
    pair.run(() => pair.b.connection.writes.lastDagtag === 1000);
    pair.a.turn(() => {
      const { requests } = pair.a.io;
      requests.mod(requests.tlHead, RqEvent.RESEND, pair.a.connection.nodeId);
      pair.a.connection.sender.restart();
    });
    pair.run(() => count(pair.b.received, Cmd.DATA) === 2);
    pair.run(() => pair.b.connection.writes.lastDagtag === 1000);
  });

  test('an empty flush sends nothing and completes', () => {
    const pair = new Pair({ seed: 4 });
    pair.connectInSync();
    pair.run(() => pair.b.received.length > 0);
    let errno = -1;
    pair.bio(BioOp.flush, 0, 0, BioFlag.preflush, (e) => { errno = e; });
    pair.run(() => errno >= 0);
    expect(errno).toBe(0);
    expect(pair.b.received).toEqual([Cmd.DAGTAG]);
  });

  test('discard and write-zeroes reach both disks', () => {
    const pair = new Pair({ seed: 5 });
    pair.connectInSync();
    pair.write(0, 256);
    pair.run(() => pair.settled());
    let left = 2;
    pair.bio(BioOp.discard, 4, 100, 0, () => { left--; });
    pair.bio(BioOp.writeZeroes, 128, 64, BioFlag.unmap, () => { left--; });
    pair.run(() => left === 0);
    pair.run(() => pair.settled());
    expect(count(pair.b.received, Cmd.TRIM)).toBe(1);
    expect(count(pair.b.received, Cmd.ZEROES)).toBe(1);
    expect(pair.difference()).toBe(-1);
    expect(pair.b.node.disks.get('/dev/d')!.tag(130)).toBe(0);
  });
});

test('many writes in one epoch get one barrier when nothing completes between them', () => {
  const pair = new Pair({ seed: 6 });
  pair.connectInSync();
  for (let i = 0; i < 20; i++) pair.write(i * 16, 8);
  pair.run(() => pair.settled());
  expect(pair.difference()).toBe(-1);
  expect(count(pair.a.received, Cmd.WRITE_ACK)).toBe(20);
  expect(count(pair.a.received, Cmd.BARRIER_ACK)).toBe(count(pair.b.received, Cmd.BARRIER));
});

test('a barrier rides with the next write; the last one follows by itself', () => {
  const pair = new Pair({ seed: 33 });
  pair.connectInSync();
  pair.b.received.length = 0;
  for (let i = 0; i < 3; i++) {
    let done = false;
    pair.write(i * 16, 8, 0, () => { done = true; });
    pair.run(() => done);
  }
  const beforeLast = pair.b.received.filter((cmd) => cmd === Cmd.DATA || cmd === Cmd.BARRIER);
  expect(beforeLast).toEqual([Cmd.DATA, Cmd.BARRIER, Cmd.DATA, Cmd.BARRIER, Cmd.DATA]);
  const doneMs = pair.world.nowMs;
  pair.run(() => count(pair.a.received, Cmd.BARRIER_ACK) === 3);
  expect(pair.world.nowMs - doneMs).toBeLessThan(20);
});

test('a barrier flushes a disk with a cache, and no other', () => {
  const pair = new Pair({ seed: 34 });
  pair.connectInSync();
  const disk = pair.b.node.disks.get('/dev/d')!;
  const operationsOfAWrite = (): number => {
    const before = disk.operations;
    pair.write(0, 8, 0);
    pair.run(() => pair.settled());
    return disk.operations - before;
  };
  expect(operationsOfAWrite()).toBe(2);
  (pair.b.disk.lower as { unflushed: boolean }).unflushed = false;
  expect(operationsOfAWrite()).toBe(1);
});

test('data-integrity: a digest travels with the data', () => {
  const pair = new Pair({ seed: 7, integrity: 'crc32c' });
  pair.connectInSync();
  pair.write(0, 64);
  pair.run(() => pair.settled());
  expect(pair.difference()).toBe(-1);
  expect(pair.b.failures).toEqual([]);
});

test('overlapping writes end in order on both disks', () => {
  const pair = new Pair({ seed: 8 });
  pair.connectInSync();
  let last: Float64Array = new Float64Array(0);
  for (let i = 0; i < 30; i++) last = pair.write(100, 8);
  pair.run(() => pair.settled());
  expect(pair.difference()).toBe(-1);
  expect(pair.a.node.disks.get('/dev/d')!.tag(100)).toBe(last[0]);
});

test('an unplug hint follows several writes of one turn, not a single one', () => {
  const pair = new Pair({ seed: 9 });
  pair.connectInSync();
  pair.write(0, 8);
  pair.run(() => pair.settled());
  expect(count(pair.b.received, Cmd.UNPLUG_REMOTE)).toBe(0);
  pair.b.received.length = 0;
  pair.a.turn(() => pair.a.set(() => { pair.a.device.facts.blocked = 1; }));
  for (let i = 1; i < 4; i++) pair.write(i * 8, 8);
  pair.world.runFor(5);
  pair.a.turn(() => pair.a.set(() => { pair.a.device.facts.blocked = 0; }));
  pair.run(() => pair.settled());
  expect(pair.b.received.indexOf(Cmd.UNPLUG_REMOTE)).toBeGreaterThan(pair.b.received.lastIndexOf(Cmd.DATA));
});
