// SPDX-License-Identifier: GPL-2.0-or-later
/** What of a lost connection may still be on its way to the disk, or was promised, when the next one comes. */
import { expect, test } from 'vitest';
import { Cmd } from '../../../src/io/packet-out.ts';
import { Repl } from '../../../src/state/states.ts';
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
