// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * The cluster manager: sees to it that an application runs somewhere, moves it now and then, and fails it over. With
 * quorum it tries whom it likes, since the engines must refuse; without, it looks at the generations first.
 */
import type { SimMember } from '../cluster.ts';
import { Role } from '../../state/states.ts';
import { Application } from './application.ts';
import { generationOf, goodPeers, roleOf, viewOf } from './look.ts';
import type { Stress } from './stress.ts';

const STUCK_MS = 4_000;
const REST_MS = 30_000;

export class Manager {
  readonly #s: Stress;
  /** Until when the application stays where it is. */
  #stayUntilMs = 0;
  /** Until when nobody is promoted: what a Primary was in the way of comes about. */
  #restUntilMs = 0;
  moves = 0;
  failOvers = 0;

  constructor(stress: Stress) { this.#s = stress; }

  async run(): Promise<void> {
    const { actors, random } = this.#s;
    while (!this.#s.healing) {
      await this.turn();
      await actors.sleep(random.between(50, 1_000));
    }
  }

  /** One look at the cluster, and what follows. */
  async turn(): Promise<void> {
    const s = this.#s;
    if (s.cluster.world.nowMs < this.#restUntilMs) return;
    const app = s.ledger.holder;
    if (app && app.stuckMs < STUCK_MS) {
      if (!s.healing && s.cluster.world.nowMs > this.#stayUntilMs) await this.#stop(app);
      return;
    }
    const candidates = s.cluster.members.filter((m) => m !== app?.member && this.#promotable(m));
    const m = candidates[s.random.below(candidates.length)];
    if (m) await this.start(m);
  }

  #promotable(m: SimMember): boolean {
    const s = this.#s;
    if (s.busy.has(m) || !m.engine?.resources.has('r0') || m.node.life === null) return false;
    if (s.plan.blind) return true;
    if (s.cluster.members.some((o) => o !== m && (roleOf(o) === Role.primary || this.#goesOn(o)))) return false;
    const generation = s.newestGeneration;
    if (generation === 0n) return true;
    return [m, ...goodPeers(s.cluster, m)].some((o) => generationOf(o) === generation);
  }

  /** Also while its engine is away: the next one is Primary, and does what the application waits for. */
  #goesOn(m: SimMember): boolean { return [...this.#s.applications].some((app) => app.member === m && app.alive); }

  async start(m: SimMember): Promise<boolean> {
    const s = this.#s;
    const { lives } = m.node;
    const before = s.ledger.holder;
    // Who is Primary since before another one wrote may not have noticed yet that it is alone: idle, it pings each ping-int only.
    if (roleOf(m) === Role.primary && s.ledger.lastWriter !== m) await m.setup.secondary('r0');
    if (roleOf(m) === Role.primary && s.ledger.lastWriter !== m) return false;
    s.ledger.promoted = m;
    if (s.random.chance(0.7)) {
      const { code } = await m.setup.primary('r0');
      s.note(`primary n${m.id}: ${code}`);
      if (code !== 1 && code !== 2 && code !== 101) return false;
    }
    const device = m.node.devices.get(s.cluster.minor(m.id, 0));
    if (m.node.lives !== lives || !device || device.dead) return false;
    const errno = await s.open(device);
    s.note(`open n${m.id}: ${errno}`);
    if (errno !== 0 || m.node.lives !== lives) return false;
    // What the answer took its time for may have changed what was looked at. And who is Primary since long is not asked
    // again whether it may: without quorum it takes nothing over.
    if (!this.#promotable(m) || !viewOf(m)?.devices[0]?.haveQuorum) {
      device.close(() => {});
      await m.setup.secondary('r0');
      return false;
    }
    if (before) this.failOvers++;
    else this.moves++;
    const app = new Application(s.load, m, device);
    s.ledger.opened(app);
    s.applications.add(app);
    this.#stayUntilMs = s.cluster.world.nowMs + s.random.between(5_000, 60_000);
    s.actors.spawn(`application on n${m.id}`, () => s.work(app));
    return true;
  }

  /** As an administrator who reads that a Primary cannot become SyncTarget, or would lose quorum by a connect. */
  async rest(app: Application): Promise<void> {
    this.#restUntilMs = this.#s.cluster.world.nowMs + REST_MS;
    await this.#stop(app);
    await app.member.setup.secondary('r0');
  }

  async #stop(app: Application): Promise<void> {
    const s = this.#s;
    s.note(`close n${app.member.id}`);
    app.stopping = true;
    const drained = await s.actors.until(() => !app.alive || app.pending === 0, 10_000);
    if (!app.alive || !drained) { app.stopping = false; return; }
    await s.close(app);
    s.ledger.closed(app);
    s.applications.delete(app);
    if (s.random.chance(0.7)) await app.member.setup.secondary('r0');
  }
}
