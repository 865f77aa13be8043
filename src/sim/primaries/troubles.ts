// SPDX-License-Identifier: GPL-2.0-or-later
/** What can go wrong with two Primaries, as a table: each begins, lasts a while and ends by itself. */
import { detachParms } from '../../genl/command-attrs.ts';
import { Cmd } from '../../genl/ops.ts';
import { durationMs } from '../stress/troubles.ts';
import type { Side } from './side.ts';
import type { TwoPrimaries } from './two-primaries.ts';

export const troubles = {
  reset: async (s, side) => s.cluster.fabric.resetBetween(side.member.node.address, side.peer.member.node.address),
  cut: async (s, side) => {
    const both = s.random.chance(0.5);
    const set = (cut: boolean): void => {
      s.cluster.fabric.cut(side.member.node.address, side.peer.member.node.address, cut);
      if (both) s.cluster.fabric.cut(side.peer.member.node.address, side.member.node.address, cut);
    };
    set(true);
    await s.actors.sleep(durationMs(s.random));
    set(false);
  },
  killEngine: async (_s, side) => side.member.node.killEngine(),
  killBothEngines: async (s, side) => {
    side.member.node.killEngine();
    await s.actors.sleep(s.random.between(0, 5));
    side.peer.member.node.killEngine();
  },
  crash: (s, side) => s.powerCycle(side),
  /** An application goes, and comes back later. */
  stop: async (s, side) => { await s.stop(side); },
  disconnect: async (s, side) => {
    const { setup } = side.member;
    await setup.disconnect('r0', side.peer.member.id);
    await s.actors.sleep(s.random.between(1, 6_000));
    await setup.connect('r0', side.peer.member.id);
  },
  detach: async (s, side) => {
    if (!side.peer.good) return;
    await side.member.setup.with(Cmd.DETACH, {}, detachParms, { forceDetach: s.random.chance(0.3) }, s.cluster.minor(side.member.id, 0));
    await s.actors.sleep(s.random.between(1, 6_000));
    await s.attach(side);
  },
  slowDisk: async (s, side) => {
    const { faults } = s.diskOf(side);
    faults.maxMs = s.random.between(5, 300);
    await s.actors.sleep(durationMs(s.random));
    faults.maxMs = s.plan.diskMaxMs;
  },
  slowNode: async (s, side) => {
    side.member.node.slow(s.random.between(2, 200));
    await s.actors.sleep(durationMs(s.random));
    side.member.node.slow(1);
  },
  /** Applications that write over each other. */
  careless: async (s) => {
    s.pair.careless = true;
    await s.actors.sleep(s.random.between(1, 500));
    s.pair.careless = false;
  },
} satisfies Record<string, (s: TwoPrimaries, side: Side) => Promise<void>>;

export type Trouble = keyof typeof troubles;
export const everyTrouble = Object.keys(troubles) as Trouble[];
