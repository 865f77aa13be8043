// SPDX-License-Identifier: GPL-2.0-or-later
/** A patient administrator after the storm: repairs what does not come back by itself, again and again. */
import { resizeParms } from '../../genl/command-attrs.ts';
import { resourceOpts } from '../../genl/config-attrs.ts';
import { Cmd } from '../../genl/ops.ts';
import { Cstate, Disk, Quorum, Repl, Role } from '../../state/states.ts';
import type { SimMember } from '../cluster.ts';
import { bitsOf, diskStateOf, generationOf, replOf, roleOf, viewOf, writtenGeneration } from './look.ts';
import type { Stress } from './stress.ts';

const EVERY_MS = 2_000;
const STUCK_MS = 30_000;
/** Refusals before somebody looks into the log. */
const IN_THE_WAY = 5;

const isBad = (m: SimMember): boolean => diskStateOf(m) === Disk.inconsistent || diskStateOf(m) === Disk.outdated;
/** A Primary shows a generation that no disk has: it was under way to peers that were lost. */
const isAhead = (m: SimMember, disks: readonly SimMember[]): boolean =>
  roleOf(m) === Role.primary && disks.every((o) => viewOf(o) !== null) && !disks.some((o) => generationOf(o) === writtenGeneration(m));

export class Healer {
  readonly #s: Stress;
  readonly #leftSince = new Map<SimMember, number>();
  /** Since when no disk is good. */
  #noneSince: number | null = null;
  constructor(stress: Stress) { this.#s = stress; }

  async run(): Promise<void> {
    const s = this.#s;
    this.#hardware();
    for (;;) {
      for (const m of s.cluster.members) if (!s.busy.has(m)) s.actors.spawn(`repair of n${m.id}`, () => this.#repair(m));
      await s.actors.sleep(EVERY_MS / 2);
      if (![...s.actors.running.keys()].includes('manager turn')) s.actors.spawn('manager turn', () => s.manager.turn());
      await s.actors.sleep(EVERY_MS / 2);
      await this.#force();
    }
  }

  /**
   * All are here, and all are Outdated, or had an Outdated source: each knows that there were newer data elsewhere, nobody that
   * there are none any more. Genuine DRBD waits for a person as well, who looks at the generations.
   */
  async #force(): Promise<void> {
    const s = this.#s;
    const { members } = s.cluster;
    const disks = members.filter((m) => !s.cluster.isDiskless(m.id));
    const quiet = members.every((m) => viewOf(m)?.twopc === null && members.every((o) => o === m || replOf(m, o) === Repl.established));
    const newest = s.ledger.newestOf(new Set(disks.map(generationOf)));
    const m = disks.find((o) => generationOf(o) === newest && diskStateOf(o) === Disk.outdated);
    const lasts = this.#lasts(disks.every(isBad));
    const outdated = quiet && m !== undefined && (disks.every((o) => diskStateOf(o) === Disk.outdated) || lasts);
    const app = s.ledger.holder;
    // A Primary that is target of an Outdated one waits for what that one never gets from it.
    if (!outdated && !lasts && !(app && isAhead(app.member, disks))) return;
    if (app && app.pending === 0) return s.manager.rest(app);
    // Frozen without data: it cannot be stopped.
    if (app && app.stuckMs > STUCK_MS && !s.busy.has(app.member)) return this.#fence(app.member);
    if (!outdated) return;
    if (members.some((o) => roleOf(o) !== Role.secondary)) return;
    s.note(`all are Outdated: primary --force n${m.id}`, false);
    // Nobody would ever have enough good disks.
    const redundancy = (quorumMinRedundancy: number) => m.setup.with(Cmd.RESOURCE_OPTS, { resourceName: 'r0' }, resourceOpts, { quorumMinRedundancy });
    if (s.plan.blind) await redundancy(Quorum.off);
    s.ledger.promoted = m;
    await m.setup.primary('r0', true);
    if (s.plan.blind) await redundancy(Quorum.majority);
  }

  /** No disk is good, for a while now. */
  #lasts(none: boolean): boolean {
    const { nowMs } = this.#s.cluster.world;
    this.#noneSince = none ? this.#noneSince ?? nowMs : null;
    return this.#noneSince !== null && nowMs - this.#noneSince > STUCK_MS;
  }

  /** It has got a size that was agreed, and the others were lost before it was in their meta-data. Genuine DRBD refuses as well. */
  async #enlargeOthers(m: SimMember): Promise<void> {
    const s = this.#s;
    s.tooSmall.delete(m);
    const good = s.cluster.members.find((o) => o !== m && diskStateOf(o) === Disk.upToDate);
    if (!good) return;
    const resizeSize = m.node.devices.get(s.cluster.minor(m.id, 0))!.capacity;
    s.note(`the others are too small for n${m.id}: resize n${good.id} to ${resizeSize}`, false);
    await good.setup.with(Cmd.RESIZE, {}, resizeParms, { resizeSize, resizeForce: true }, s.cluster.minor(good.id, 0));
  }

  /** What a verify has found is synced when somebody connects again, as with genuine DRBD. */
  async #connectAgain(m: SimMember): Promise<void> {
    const s = this.#s;
    const now = s.cluster.world.nowMs;
    const peer = s.cluster.members.find((o) => o.id > m.id && bitsOf(m, o) > 0 && replOf(m, o) === Repl.established
      && diskStateOf(m) === Disk.upToDate && diskStateOf(o) === Disk.upToDate);
    if (!peer) this.#leftSince.delete(m);
    else if (now - (this.#leftSince.get(m) ?? now) > STUCK_MS) {
      this.#leftSince.delete(m);
      s.note(`bits are left between n${m.id} and n${peer.id}: disconnect, connect`, false);
      await m.setup.disconnect('r0', peer.id);
      await m.setup.connect('r0', peer.id);
    } else if (!this.#leftSince.has(m)) this.#leftSince.set(m, now);
  }

  #hardware(): void {
    const s = this.#s;
    for (const a of s.cluster.members) {
      a.node.slow(1);
      for (const b of s.cluster.members) if (a !== b) { s.soundLink(a, b); s.cut(a, b, false); }
      if (s.cluster.isDiskless(a.id)) continue;
      const { faults } = s.diskOf(a);
      faults.maxMs = s.plan.diskMaxMs;
      faults.readErrorChance = faults.writeErrorChance = 0;
      s.diskOf(a).resume();
    }
  }

  async #repair(m: SimMember): Promise<void> {
    const s = this.#s;
    s.busy.add(m);
    await this.#steps(m);
    s.busy.delete(m);
  }

  async #fence(m: SimMember): Promise<void> {
    const s = this.#s;
    s.busy.add(m);
    s.note(`the manager fences n${m.id}`, false);
    s.crash(m);
    await s.bringUp(m);
    s.busy.delete(m);
  }

  async #steps(m: SimMember): Promise<void> {
    const s = this.#s;
    const view = viewOf(m);
    // A `down` that was refused half-way has removed peers already.
    if (!view || view.connections.length < s.cluster.members.length - 1) return s.bringUp(m);
    const { setup } = m;
    const fenced = [...s.applications].find((app) => app.member === m && app !== s.ledger.holder);
    const stuck = s.ledger.holder?.member === m && s.ledger.holder.stuckMs > STUCK_MS && view.resource.suspQuorum;
    if (fenced || (stuck && s.cluster.members.some((o) => o !== m && roleOf(o) === Role.primary))) return this.#fence(m);
    const app = s.ledger.holder;
    if (app?.member === m && app.pending === 0 && (s.inTheWay.get(m) ?? 0) > IN_THE_WAY) {
      s.inTheWay.delete(m);
      s.note(`n${m.id} is in the way of a connection as Primary`, false);
      return s.manager.rest(app);
    }
    if ((s.tooSmall.get(m) ?? 0) > IN_THE_WAY) return this.#enlargeOthers(m);
    if (roleOf(m) === Role.primary && view.devices[0]?.openCount === 0) await setup.secondary('r0');
    if (view.resource.suspUser) await setup.plain(Cmd.RESUME_IO, {}, s.cluster.minor(m.id, 0));
    for (const c of view.connections) {
      if (c.cstate === Cstate.standAlone) await setup.connect('r0', c.nodeId);
      if (view.peerDevices.some((p) => p.nodeId === c.nodeId && p.suspUser)) {
        await setup.plain(Cmd.RESUME_SYNC, { resourceName: 'r0', peerNodeId: c.nodeId, volume: 0 });
      }
    }
    if (s.plan.features.includes('verify')) await this.#connectAgain(m);
    if (diskStateOf(m) === Disk.diskless) {
      s.busy.delete(m);
      await s.attach(m);
    }
  }
}
