// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Two nodes that are both Primary, under load and trouble, from one seed. With fencing they never write apart. Without they
 * do: then the policies or an administrator throw away what one of them wrote, and only that.
 */
import { newCUuidParms } from '../../genl/command-attrs.ts';
import { Cmd } from '../../genl/ops.ts';
import { Cstate, Disk, Repl, Role } from '../../state/states.ts';
import { Actors } from '../actors.ts';
import { applyActivityLog } from '../apply-al.ts';
import { SimCluster } from '../cluster.ts';
import type { SimDisk } from '../disk.ts';
import type { SimRandom } from '../random.ts';
import { uncovered } from '../stress/checks.ts';
import { Exit } from '../stress/features.ts';
import { cstateOf, describe, diskStateOf, isHealthy, replOf, roleOf, viewOf } from '../stress/look.ts';
import { Violation } from '../stress/stress.ts';
import { planOf } from './plan.ts';
import type { Plan, Wanted } from './plan.ts';
import { Side } from './side.ts';
import type { Pair } from './side.ts';
import { troubles } from './troubles.ts';

const BEGIN_MS = 60_000;
const CHECK_MS = 1_000;
const LINGER_MS = 60_000;
const HEALED_MS = 600_000;
const DRAIN_MS = 10_000;
/** Apart for so long, somebody looks into it. */
const APART_MS = 20_000;
const SPLIT = /Split-Brain detected|Unrelated data/;
const CONNECTED = /conn\( \S+ -> Connected/;
const SYNCING = /repl\( \S+ -> (WFBitMapT|SyncTarget|PausedSyncT)/;
const SYNCED = /disk\( \S+ -> UpToDate \) \[resync-finished\]/;
const NOT_SYNCING = /repl\( \S+ -> (WFBitMapS|SyncSource|PausedSyncS|Off)/;

export class TwoPrimaries {
  readonly plan: Plan;
  readonly cluster: SimCluster;
  readonly actors: Actors;
  readonly pair: Pair;
  readonly sides: readonly [Side, Side];
  readonly history: string[] = [];
  readonly #busy = new Set<Side>();
  #apartSinceMs = 0;
  /** Whose data were given up the last time. */
  #victim: Side | null = null;
  #healing = false;
  /** The first word of a split brain. */
  split = '';

  constructor(wanted: Wanted) {
    const plan = planOf(wanted);
    this.plan = plan;
    this.cluster = new SimCluster(wanted.seed, { nodes: 2, volumes: 1, wireProtocol: 3, ...plan });
    this.actors = new Actors(this.cluster.world);
    const [a, b] = this.cluster.members as [Side['member'], Side['member']];
    const ends = (): boolean[] => [cstateOf(a, b) === Cstate.connected, cstateOf(b, a) === Cstate.connected];
    this.pair = { random: this.random, plan, locks: new Set(), careless: false, tag: 0, writes: 0, reads: 0, wrong: '', meetings: 0,
      connected: (both) => (both ? ends().every(Boolean) : ends().some(Boolean)) };
    this.sides = [new Side(this.pair, a), new Side(this.pair, b)];
    for (const side of this.sides) side.peer = this.sides[side === this.sides[0] ? 1 : 0];
  }

  get random(): SimRandom { return this.cluster.world.random; }

  async run(): Promise<void> {
    const { actors, plan } = this;
    await this.#begin();
    actors.spawn('administrator', () => this.#administer());
    actors.spawn('checker', () => this.#check());
    for (const side of this.sides) actors.spawn(`application on ${side.member.node.name}`, () => this.#work(side));
    actors.spawn('trouble', () => this.#trouble());
    await actors.run(() => this.#healing, plan.troubleMs * 2);
    await actors.run(() => !this.#troubled(), LINGER_MS);
    await this.#heal();
    this.#compare();
  }

  async #begin(): Promise<void> {
    const { cluster, plan } = this;
    for (const side of this.sides) {
      const { member } = side;
      member.node.handler = (name, _peer) => this.#handler(side, name);
      member.node.log.heard = (text) => {
        if (SPLIT.test(text)) this.split ||= `${member.node.name}: ${text}`;
        const connected = CONNECTED.test(text);
        if (connected) this.pair.meetings++;
        // Without data of its own it goes on with those of the other one.
        if (SYNCING.test(text) || connected && side.device && !side.good) side.syncing = true;
        else if (NOT_SYNCING.test(text)) side.syncing = false;
        if (side.syncing && SYNCED.test(text)) side.takeOver();
      };
      await cluster.up(member.id);
    }
    const [a, b] = this.sides;
    await cluster.until('connected', () => replOf(a.member, b.member) === Repl.established, BEGIN_MS);
    await cluster.admin(a.member.setup.with(Cmd.NEW_C_UUID, {}, newCUuidParms, { clearBm: true }, cluster.minor(0, 0)));
    await cluster.until('healthy', () => isHealthy(cluster), BEGIN_MS);
    for (const side of this.sides) {
      this.diskOf(side).faults.maxMs = plan.diskMaxMs;
      this.#soundLink(side);
      await cluster.admin(side.member.setup.peerDeviceOptions('r0', side.peer.member.id, 0, plan.peerDevice));
    }
  }

  async #trouble(): Promise<void> {
    const { plan, random, actors, sides } = this;
    for (let i = 0; i < plan.events; i++) {
      await actors.sleep(random.between(0, 2 * plan.troubleMs / plan.events));
      const name = plan.troubles[random.below(plan.troubles.length)]!;
      const side = sides[random.below(2)]!;
      this.note(`${name} ${side.member.node.name}`);
      actors.spawn(`trouble ${name}`, () => troubles[name](this, side));
    }
    this.#healing = true;
  }

  async #work(side: Side): Promise<void> {
    const { random, actors } = this;
    for (;;) {
      await actors.sleep(random.between(1, 60));
      side.look();
      if (side.device === null && !this.pair.connected(false)) side.buried();
      if (this.sides.every(({ member }) => member.engine?.resources.get('r0')?.io.requests.writes === 0)) {
        for (const { history } of this.sides) history.settle();
      }
      if (this.#healing || side.stopping || side.device === null) continue;
      if (random.below(2) === 1) side.step();
    }
  }

  async #check(): Promise<void> {
    for (;;) {
      await this.actors.sleep(CHECK_MS);
      demand('a read on a Primary returns what was acknowledged, or newer', this.pair.wrong);
      if (this.plan.fenced) demand('who is fenced never writes apart', this.split);
      const [a, b] = this.sides;
      demand('what differs is out of sync, active or under way', uncovered(a.member, b.member, a.history.written,
        (sector) => a.history.quiet(sector) && b.history.quiet(sector)));
    }
  }

  // --- what administrators and cluster managers do
  async #administer(): Promise<void> {
    for (;;) {
      await this.actors.sleep(this.random.between(200, 1_000));
      for (const side of this.sides) {
        if (this.#busy.has(side)) continue;
        if (viewOf(side.member) && diskStateOf(side.member) === Disk.diskless && this.#healing) await this.#attachApart(side);
        if (side.device === null && isHealthy(this.cluster)) await this.#open(side);
      }
      await this.#reunite();
      await this.#force();
    }
  }

  /** They gave up the good data for older ones, and are left with disks that nobody calls good. */
  async #force(): Promise<void> {
    const [{ member }] = this.sides;
    if (!this.sides.every((side) => diskStateOf(side.member) === Disk.outdated
      && replOf(side.member, side.peer.member) === Repl.established)) return;
    for (const side of this.sides) {
      if (!await this.stop(side)) return;
      if (roleOf(side.member) === Role.primary) await side.member.setup.secondary('r0');
    }
    this.note(`both are Outdated: primary --force ${member.node.name}`);
    await member.setup.primary('r0', true);
  }

  async #open(side: Side): Promise<void> {
    const { member } = side;
    const { lives } = member.node;
    const { code } = await member.setup.primary('r0');
    this.note(`primary ${member.node.name}: ${code}`);
    const device = member.node.devices.get(this.cluster.minor(member.id, 0));
    if (code < 0 || member.node.lives !== lives || !device || device.dead) return;
    let errno = -1;
    const id = device.open(true, (e) => { errno = e; });
    if (!await this.actors.until(() => errno >= 0, 30_000)) device.openGone(id);
    if (errno !== 0 || member.node.lives !== lives) return;
    if (!isHealthy(this.cluster)) return device.close(() => {});
    side.opened(device);
  }

  /** The application ends, if its bios do. */
  async stop(side: Side): Promise<boolean> {
    const { device, member } = side;
    if (!device) return true;
    if (this.#busy.has(side)) return false;
    const { lives } = member.node;
    side.stopping = true;
    const drained = await this.actors.until(() => side.device !== device || side.pending === 0, DRAIN_MS);
    if (side.device !== device) return true;
    side.stopping = false;
    if (!drained) return false;
    side.device = null;
    let closed = false;
    device.close(() => { closed = true; });
    await this.actors.until(() => closed || member.node.lives !== lives, DRAIN_MS);
    await member.setup.secondary('r0');
    return true;
  }

  /** They do not come together by themselves: one of them gives up what it has. */
  async #reunite(): Promise<void> {
    const { actors, random, cluster } = this;
    const [a, b] = this.sides;
    const now = cluster.world.nowMs;
    const alone = (side: Side): boolean => cstateOf(side.member, side.peer.member) === Cstate.standAlone;
    if (this.pair.connected(true) || this.sides.some((side) => !viewOf(side.member) || this.#busy.has(side))) { this.#apartSinceMs = now; return; }
    if (now - this.#apartSinceMs < (alone(a) || alone(b) ? APART_MS / 4 : APART_MS)) return;
    this.#apartSinceMs = now;
    const may = this.sides.filter((side) => side.peer.good && side !== this.#victim);
    const victim = may[random.below(may.length)] ?? this.sides.find((side) => side.peer.good);
    if (!victim) return void await this.#connect(a, false).then(() => this.#connect(b, false));
    this.#victim = victim;
    this.note(`${victim.member.node.name} discards its data`);
    if (!await this.stop(victim)) await this.powerCycle(victim);
    if (random.chance(0.3)) await this.stop(victim.peer);
    await victim.member.setup.disconnect('r0', victim.peer.member.id);
    await this.#connect(victim, random.chance(0.8));
    await this.#connect(victim.peer, false);
    await actors.until(() => this.pair.connected(true), APART_MS);
  }

  async #connect(side: Side, discard: boolean): Promise<void> {
    if (cstateOf(side.member, side.peer.member) === Cstate.standAlone) await side.member.setup.connect('r0', side.peer.member.id, discard);
  }

  #handler(side: Side, name: string): Promise<number> | null {
    if (name === 'fence-peer') return this.#shoot(side);
    if (name !== 'pri-lost-after-sb') return null;
    this.note(`${side.member.node.name} reboots: it lost after a split brain`);
    this.actors.spawn('command reboot', () => this.powerCycle(side));
    return this.actors.sleep(0).then(() => 0);
  }

  async #shoot(side: Side): Promise<number> {
    const { lives } = side.member.node;
    await this.actors.sleep(this.random.between(1, 3_000));
    if (side.member.node.lives !== lives || !side.good || this.#busy.has(side)) return Exit.broken;
    this.note(`${side.member.node.name} shoots ${side.peer.member.node.name}`);
    this.actors.spawn('command boot', () => this.powerCycle(side.peer));
    return Exit.shot;
  }

  /** Power off, and on again; not of who alone has good data. */
  async powerCycle(side: Side): Promise<void> {
    if (this.#busy.has(side) || !side.peer.good || this.#busy.has(side.peer)) return;
    this.#busy.add(side);
    side.lost();
    side.member.node.crash();
    await this.actors.sleep(this.random.between(1, 8_000));
    for (const { name, run } of this.cluster.upSteps(side.member.id)) {
      const answer = await run();
      if (answer && answer.code !== 101 && answer.code !== 1) this.note(`${name} ${side.member.node.name}: ${answer.code} ${answer.text}`);
    }
    this.#busy.delete(side);
  }

  async attach(side: Side): Promise<void> {
    const disk = this.diskOf(side);
    const { lives } = side.member.node;
    const free = await this.actors.until(() => disk.claimedBy === null || side.member.node.lives !== lives, 5_000);
    if (!free || this.#busy.has(side) || side.member.node.lives !== lives || diskStateOf(side.member) !== Disk.diskless) return;
    applyActivityLog(disk);
    await side.member.setup.attach(this.cluster.minor(side.member.id, 0), '/dev/disk0', this.plan.disk);
  }

  /** While connected to a peer with other data no disk is taken. */
  async #attachApart(side: Side): Promise<void> {
    await side.member.setup.disconnect('r0', side.peer.member.id);
    await this.attach(side);
    await side.member.setup.connect('r0', side.peer.member.id);
  }

  // --- the end
  async #heal(): Promise<void> {
    const { cluster, sides } = this;
    this.note('heal');
    this.pair.careless = false;
    for (const side of sides) {
      this.#soundLink(side);
      cluster.fabric.cut(side.member.node.address, side.peer.member.node.address, false);
      side.member.node.slow(1);
      this.diskOf(side).faults.maxMs = this.plan.diskMaxMs;
    }
    const settled = (): boolean => isHealthy(cluster) && !this.#troubled() && sides.every(({ member, device, pending }) => device !== null
      && pending === 0 && roleOf(member) === Role.primary && member.resource.io.requests.writes === 0);
    if (await this.actors.run(settled, HEALED_MS)) return;
    throw new Violation('two Primaries come together again', `${sides.map(({ member, pending }) =>
      `${describe(cluster, member)}; application waits for ${pending}`).join('\n    ')}\n    running: ${[...this.actors.running.keys()].join(', ')}`);
  }

  #compare(): void {
    const [x, y] = this.sides.map((side) => this.diskOf(side)) as [SimDisk, SimDisk];
    for (const { history } of this.sides) {
      for (const sector of history.written) {
        const [mine, other] = [x.tag(sector), y.tag(sector)];
        demand('both disks are equal', mine === other ? '' : `sector ${sector} is ${mine} here and ${other} there`);
        demand('each disk holds what was acknowledged', history.refuse(sector, mine));
      }
    }
  }

  #troubled(): boolean { return [...this.actors.running.keys()].some((name) => name.startsWith('trouble') || name.startsWith('command')); }

  #soundLink(side: Side): void {
    const link = this.cluster.fabric.link(side.member.node.address, side.peer.member.node.address);
    link.bytesPerMs = this.plan.bytesPerMs;
    link.latencyMs = this.plan.latencyMs;
  }

  diskOf(side: Side): SimDisk { return side.member.node.disks.get('/dev/disk0')!; }

  note(text: string): void {
    const line = `${this.cluster.world.nowMs.toFixed(3)} == ${text}`;
    this.cluster.world.note(line);
    this.history.push(line);
  }
}

function demand(rule: string, why: string): void { if (why !== '') throw new Violation(rule, why); }
