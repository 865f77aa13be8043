// SPDX-License-Identifier: GPL-2.0-or-later
/** disk-timeout. @spec io.md 11.4 */
import { expect, test } from 'vitest';
import { Disk } from '../../../src/state/states.ts';
import type { Side } from './pair.ts';
import { Pair } from './pair.ts';

const TEXT = 'Local backing device failed to meet the disk-timeout';

function stopped(seed: number, which: (pair: Pair) => Side): [Pair, Side] {
  const pair = new Pair({ seed });
  pair.connectInSync();
  const side = which(pair);
  side.turn(() => side.set(() => { side.device.facts.diskTimeout = 20; }));
  side.onIoError = () => side.set(() => { side.device.facts.disk = Disk.failed; });
  side.node.disks.get('/dev/d')!.faults.stopped = true;
  return [pair, side];
}

test.each(['own write', 'own read'] as const)('%s on a disk that does not answer', (what) => {
  const [pair, { events, lines }] = stopped(41, (p) => p.a);
  pair.world.runFor(10_000);
  if (what === 'own write') pair.write(0, 8);
  else pair.read(0, 8, () => {});
  const from = pair.world.nowMs;
  pair.run(() => events.includes('ioError 3'));
  expect(pair.world.nowMs - from).toBeGreaterThanOrEqual(2000);
  expect(pair.world.nowMs - from).toBeLessThan(4100);
  expect(lines).toContain(TEXT);
  pair.world.runFor(10_000);
  expect(events.filter((e) => e === 'ioError 3')).toHaveLength(1);
});

test('a write of the Primary on a Secondary whose disk does not answer', () => {
  const [pair, { events }] = stopped(42, (p) => p.b);
  pair.write(0, 8);
  pair.run(() => events.includes('ioError 3'));
});

test('a disk that answers slowly enough stays', () => {
  const pair = new Pair({ seed: 43 });
  pair.connectInSync();
  pair.a.turn(() => pair.a.set(() => { pair.a.device.facts.diskTimeout = 20; }));
  pair.a.node.disks.get('/dev/d')!.faults.maxMs = 1500;
  for (let i = 0; i < 100; i++) pair.world.at(i * 200, 'write', () => pair.write(i * 8, 8));
  pair.world.runFor(20_000);
  pair.run(() => pair.settled());
  expect(pair.a.events).not.toContain('ioError 3');
});
