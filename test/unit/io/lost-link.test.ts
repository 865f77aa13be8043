// SPDX-License-Identifier: GPL-2.0-or-later
/** What of a lost connection may still be on its way to the disk, or was promised, when the next one comes. */
import { expect, test } from 'vitest';
import { BioOp } from '../../../src/host/block.ts';
import { IvFlag, IvType } from '../../../src/io/intervals.ts';
import { Cmd } from '../../../src/io/packet-out.ts';
import { Disk, Repl } from '../../../src/state/states.ts';
import { Pair } from './pair.ts';

const disk = (pair: Pair, side: 'a' | 'b') => pair[side].node.disks.get('/dev/d')!;
const count = (list: readonly string[], what: string): number => list.filter((e) => e === what).length;

test('a resync write of the last connection clears no bit of this one', () => {
  const pair = new Pair({ seed: 41 });
  pair.write(0, 8);
  pair.run(() => pair.settled());
  pair.a.turn(() => { pair.a.disk.bitmap.set(0, 0, 0); });
  pair.connectForResync();
  disk(pair, 'b').faults.stopped = true;
  pair.run(() => pair.b.received.includes(Cmd.RS_DATA_REPLY));
  pair.dropLink();
  pair.run(() => count(pair.a.events, 'disconnected') === 1);
  const newer = pair.write(0, 8);
  pair.run(() => pair.a.io.requests.pool.live === 0);
  pair.world.runFor(100);
  const reconnected = count(pair.b.events, 'disconnected') === 1;
  if (reconnected) {
    pair.connectForResync();
    pair.run(() => count(pair.b.events, 'bitmap target') === 2);
  }
  pair.world.at(5, 'disk goes on', () => disk(pair, 'b').resume());
  if (!reconnected) {
    pair.run(() => count(pair.b.events, 'disconnected') === 1);
    pair.connectForResync();
  }
  pair.run(() => pair.b.peer.facts.repl === Repl.established && pair.settled(), 60000);
  expect(disk(pair, 'b').tag(0)).toBe(newer[0]);
  expect(pair.difference()).toBe(-1);
  expect([...pair.a.failures, ...pair.b.failures]).toEqual([]);
});

/** Between the failure and the state change that follows: the peer still counts, so the write waits for what becomes of it. */
test('a write that comes while its connection is failing waits for the state change', () => {
  const pair = new Pair({ seed: 42 });
  pair.connectInSync();
  pair.a.onFail = () => {};
  pair.a.turn(() => pair.a.connection.fail('ProtocolError', 'something'));
  let done = false;
  pair.write(0, 8, 0, () => { done = true; });
  pair.world.runFor(100);
  expect(done).toBe(false);
  pair.dropLink();
  pair.run(() => done && pair.settled());
  expect(pair.a.peer.bitsOutOfSync).toBe(1);
});

test('a diskless Primary fails no I/O while its connection is failing', () => {
  const pair = new Pair({ seed: 43 });
  pair.a.turn(() => {
    pair.a.set(() => { pair.a.device.facts.disk = Disk.diskless; });
    pair.a.device.detach();
  });
  pair.connectInSync();
  pair.a.onFail = () => {};
  pair.a.turn(() => pair.a.connection.fail('ProtocolError', 'something'));
  const errnos: number[] = [];
  pair.write(0, 8, 0, (e) => { errnos.push(e); });
  pair.read(8, 8, (e) => { errnos.push(e); });
  pair.bio(BioOp.flush, 0, 0, 0, (e) => { errnos.push(e); });
  pair.world.runFor(100);
  expect(errnos.filter((e) => e !== 0)).toEqual([]);
  pair.a.turn(() => pair.a.set(() => { pair.a.io.facts.suspended = true; }));
  pair.dropLink();
  pair.run(() => count(pair.a.events, 'disconnected') === 1);
  expect(errnos.filter((e) => e !== 0)).toEqual([]);
  pair.connectInSync();
  pair.a.turn(() => pair.a.set(() => { pair.a.io.facts.suspended = false; }));
  pair.run(() => errnos.length === 3);
  expect(errnos).toEqual([0, 0, 0]);
});

test.each([[2, true], [3, false]])('protocol %i: a write that waits when the connection is lost is written: %s', (protocol, written) => {
  const pair = new Pair({ seed: 44, protocol });
  pair.connectInSync();
  const { device } = pair.b;
  const other = device.intervals.insert(IvType.RESYNC_READ, 7, 0, 8, -1);
  device.intervals.flags[other] |= IvFlag.SUBMITTED;
  let done = 0;
  const tags = pair.write(0, 8, 0, () => { done++; });
  pair.run(() => pair.b.connection.writes.active === 1);
  pair.world.runFor(50);
  expect(done).toBe(written ? 1 : 0);
  pair.dropLink();
  pair.run(() => count(pair.a.events, 'disconnected') === 1);
  pair.world.at(5, 'the other one ends', () => pair.b.turn(() => {
    device.intervals.remove(other);
    device.conflicts.release(0, 8);
  }));
  pair.run(() => count(pair.b.events, 'disconnected') === 1 && pair.settled());
  expect(disk(pair, 'b').tag(0)).toBe(written ? tags[0] : 0);
  expect(pair.b.disk.al.used).toBe(0);
});
