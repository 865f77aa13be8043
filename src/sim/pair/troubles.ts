// SPDX-License-Identifier: GPL-2.0-or-later
/** What can go wrong with two nodes, as a table. Each waits for nothing that a sound pair would not reach by itself. */
import { Cmd } from '../../genl/ops.ts';
import { detachParms } from '../../genl/command-attrs.ts';
import { applyActivityLog } from '../apply-al.ts';
import type { SimMember } from '../cluster.ts';
import type { PairStress } from './pair.ts';

type Run = (s: PairStress, primary: SimMember, secondary: SimMember) => Promise<void> | void;

export const troubles = {
  disconnect: async (s, a, b) => {
    await s.cluster.admin(a.setup.disconnect('r0', b.id));
    await s.work(20);
    await s.cluster.admin(a.setup.connect('r0', b.id));
  },
  /** One direction, or both, for a while: maybe shorter than any time-out. */
  cut: async (s, a, b) => {
    const [from, to] = s.random.chance(0.5) ? [a, b] : [b, a];
    const both = s.random.chance(0.5);
    const set = (cut: boolean): void => {
      s.cluster.fabric.cut(from.node.address, to.node.address, cut);
      if (both) s.cluster.fabric.cut(to.node.address, from.node.address, cut);
    };
    set(true);
    await s.work(30);
    await s.pass(s.random.between(1, 20_000));
    set(false);
  },
  reset: (s, a, b) => s.cluster.fabric.resetBetween(a.node.address, b.node.address),
  killPrimaryEngine: (_s, a) => a.node.killEngine(),
  killSecondaryEngine: (_s, _a, b) => b.node.killEngine(),
  killBothEngines: async (s, a, b) => {
    a.node.killEngine();
    await s.pass(s.random.between(0, 3));
    b.node.killEngine();
  },
  /** Not while its disk is the only good one: what a power failure takes from that is lost. */
  crashSecondary: async (s, a, b) => {
    if (!s.upToDate(a)) return;
    b.node.crash();
    await s.work(20);
    await s.cluster.up(b.id);
  },
  /** The Primary loses power; the other one goes on with what it has. */
  failOver: async (s, a, b) => {
    await s.untilHealthy('before fail-over');
    await s.work(5);
    if (!s.healthy()) return;
    a.node.crash();
    s.load.lost(false);
    await s.untilDisconnected(b);
    await s.promote(b);
    s.load.flush();
    await s.work(10);
    await s.cluster.up(a.id);
  },
  /** Power failure of the Primary, which comes back before anybody takes over. */
  restartPrimary: async (s, a) => {
    a.node.crash();
    s.load.lost(true);
    await s.pass(s.random.between(0, 2_000));
    await s.cluster.up(a.id);
    await s.untilHealthy('after restart');
    await s.promote(a);
  },
  crashBoth: async (s, a, b) => {
    const order = s.random.chance(0.5) ? [a, b] : [b, a];
    for (const m of order) {
      m.node.crash();
      if (m === a) s.load.lost(true);
      if (m !== a || order[0] === a) await s.pass(s.random.between(0, 5));
    }
    for (const m of order) await s.cluster.up(m.id);
    await s.untilHealthy('after both crashed');
    await s.promote(a);
  },
  switchRoles: async (s, a, b) => {
    await s.untilHealthy('before the switch');
    await s.closeDevice();
    await s.ok(a.setup.secondary('r0'));
    await s.promote(b);
  },
  detachSecondary: (s, _a, b) => replaceDisk(s, b),
  detachPrimary: async (s, a) => {
    await s.untilHealthy('before the detach');
    await replaceDisk(s, a);
  },
  slowDisk: async (s, a, b) => {
    const { faults } = s.diskOf(s.random.chance(0.5) ? a : b);
    const before = faults.maxMs;
    faults.maxMs = 100;
    await s.work(20);
    faults.maxMs = before;
  },
} satisfies Record<string, Run>;

export type Trouble = keyof typeof troubles;
export const everyTrouble = Object.keys(troubles) as Trouble[];

async function replaceDisk(s: PairStress, m: SimMember): Promise<void> {
  const minor = s.cluster.minor(m.id, 0);
  const { code } = await s.cluster.admin(m.setup.with(Cmd.DETACH, {}, detachParms, {}, minor));
  // Refused: it is in use, and drbdmeta would not touch it.
  if (code < 0) return;
  await s.work(10);
  applyActivityLog(s.diskOf(m));
  await s.cluster.admin(m.setup.attach(minor, '/dev/disk0', s.profile.disk));
}
