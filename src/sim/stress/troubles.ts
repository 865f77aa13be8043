// SPDX-License-Identifier: GPL-2.0-or-later
/** What can go wrong, as a table: each begins, lasts a while and ends by itself, beside whatever else goes wrong. */
import type { SimMember } from '../cluster.ts';
import type { SimRandom } from '../random.ts';
import type { Stress } from './stress.ts';

/** Shorter than any time-out, around it, or far longer. */
export function durationMs(random: SimRandom): number {
  const kind = random.below(4);
  return kind === 0 ? random.between(1, 200) : kind === 3 ? random.between(8_000, 25_000) : random.between(200, 8_000);
}

async function cutFor(s: Stress, links: readonly (readonly [SimMember, SimMember])[]): Promise<void> {
  for (const [from, to] of links) s.cut(from, to, true);
  await s.actors.sleep(durationMs(s.random));
  for (const [from, to] of links) s.cut(from, to, false);
}

function twoOf(s: Stress): readonly [SimMember, SimMember] {
  const { members } = s.cluster;
  const a = s.random.below(members.length);
  const b = (a + 1 + s.random.below(members.length - 1)) % members.length;
  return [members[a]!, members[b]!];
}

/** One disk at a time, and only while another one is good. */
async function badDisk(s: Stress, set: (m: SimMember, chance: number) => void): Promise<void> {
  const m = s.anyWithDisk();
  if (!m || s.badDisk || !s.otherGoodDisk(m)) return;
  s.badDisk = true;
  set(m, s.random.chance(0.5) ? 1 : 0.1);
  await s.actors.sleep(s.random.between(50, 3_000));
  set(m, 0);
  s.badDisk = false;
  await s.actors.sleep(s.random.between(10, 3_000));
  await s.attach(m);
}

export const troubles = {
  reset: async (s) => {
    const [a, b] = twoOf(s);
    s.cluster.fabric.resetBetween(a.node.address, b.node.address);
  },
  cut: (s) => {
    const [a, b] = twoOf(s);
    return cutFor(s, s.random.chance(0.5) ? [[a, b]] : [[a, b], [b, a]]);
  },
  isolate: (s) => {
    const { members } = s.cluster;
    const m = members[s.random.below(members.length)]!;
    const way = s.random.below(3);
    return cutFor(s, members.filter((o) => o !== m).flatMap((o): [SimMember, SimMember][] =>
      way === 0 ? [[m, o]] : way === 1 ? [[o, m]] : [[m, o], [o, m]]));
  },
  split: (s) => {
    const { members } = s.cluster;
    const side = members.map(() => s.random.chance(0.5));
    return cutFor(s, members.flatMap((a) => members.filter((b) => side[a.id] !== side[b.id])
      .map((b): [SimMember, SimMember] => [a, b])));
  },
  clog: async (s) => {
    const [a, b] = twoOf(s);
    const link = s.cluster.fabric.link(a.node.address, b.node.address);
    link.latencyMs = s.random.between(1, 300);
    link.bytesPerMs = s.random.between(20, 2_000);
    await s.actors.sleep(durationMs(s.random));
    s.soundLink(a, b);
  },
  killEngine: async (s) => {
    const m = s.anyUp();
    if (m) s.kill(m);
  },
  killAllEngines: async (s) => {
    for (const m of s.cluster.members) {
      s.kill(m);
      if (s.random.chance(0.5)) await s.actors.sleep(s.random.between(0, 5));
    }
  },
  crash: async (s) => {
    const m = s.anyUp();
    if (m) await s.powerCycle(m);
  },
  crashPrimary: async (s) => {
    const m = s.ledger.holder?.member;
    if (m) await s.powerCycle(m);
  },
  crashSome: async (s) => {
    const some = s.cluster.members.filter(() => s.random.chance(0.6));
    for (const m of some) {
      s.actors.spawn(`crash of ${m.node.name}`, () => s.powerCycle(m));
      if (s.random.chance(0.5)) await s.actors.sleep(s.random.between(0, 5));
    }
  },
  slowNode: async (s) => {
    const m = s.anyUp();
    if (!m) return;
    m.node.slow(s.random.between(2, 200));
    await s.actors.sleep(durationMs(s.random));
    m.node.slow(1);
  },
  slowDisk: async (s) => {
    const m = s.anyWithDisk();
    if (!m) return;
    s.diskOf(m).faults.maxMs = s.random.between(5, 300);
    await s.actors.sleep(durationMs(s.random));
    s.diskOf(m).faults.maxMs = s.plan.diskMaxMs;
  },
  stopDisk: async (s) => {
    const m = s.anyWithDisk();
    if (!m) return;
    s.diskOf(m).faults.stopped = true;
    await s.actors.sleep(durationMs(s.random));
    s.diskOf(m).resume();
  },
  readErrors: (s) => badDisk(s, (m, chance) => { s.diskOf(m).faults.readErrorChance = chance; }),
  writeErrors: (s) => badDisk(s, (m, chance) => { s.diskOf(m).faults.writeErrorChance = chance; }),
} satisfies Record<string, (s: Stress) => Promise<void>>;

export type Trouble = keyof typeof troubles;
export const everyTrouble = Object.keys(troubles) as Trouble[];
