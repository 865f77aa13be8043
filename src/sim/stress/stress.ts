// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * N nodes under load, faults and commands, from one seed. Safety first: everything may break, nothing acknowledged may be
 * lost. Then liveness: all is healed, and all must become UpToDate with equal disks.
 */
import { newCUuidParms } from '../../genl/command-attrs.ts';
import { Cmd } from '../../genl/ops.ts';
import { Cstate, Disk, Role } from '../../state/states.ts';
import { Actors } from '../actors.ts';
import { applyActivityLog } from '../apply-al.ts';
import type { KernelDevice } from '../block.ts';
import { SimCluster } from '../cluster.ts';
import type { SimMember } from '../cluster.ts';
import type { SimDisk } from '../disk.ts';
import { SimRandom } from '../random.ts';
import { isGood, LoadState } from './application.ts';
import type { Application } from './application.ts';
import { compareDisks, rules } from './checks.ts';
import { commandNamed } from './commands.ts';
import { rowsOf } from './features.ts';
import { Healer } from './heal.ts';
import { Ledger } from './ledger.ts';
import { cstateOf, describe, diskStateOf, goodPeers, isHealthy, isSynced, roleOf, storedGeneration, viewOf, writtenGeneration } from './look.ts';
import { Manager } from './manager.ts';
import { planOf } from './plan.ts';
import type { Plan, Wanted } from './plan.ts';
import { troubles } from './troubles.ts';

const BEGIN_MS = 60_000;
const CHECK_MS = 2_000;
/** After the last fault: time for what is still going on to end by itself. */
const LINGER_MS = 120_000;
const HEALED_MS = 600_000;
/**
 * Genuine DRBD refuses as well, and says why: the Primary has the older data, or too few good disks for the peers to be synced,
 * or for its own: attached, but not good yet, that is a vote more for the redundancy.
 */
const PRIMARY_IN_THE_WAY = /I shall become SyncTarget, but I am primary!|Failure to connect: No quorum|No quorum \(-25\) \[attach\]|The source would be a crashed Primary that is Inconsistent itself/;
const TOO_SMALL = /The peer's disk size is too small!/;
const GENERATION_MADE = /(?<!received )new current UUID: ([0-9A-F]{16})/;
const PEER_DATA_LOST = /pdsk\( UpToDate -> /;
const FALSE_REFUSAL = /Split-Brain detected|Unrelated data/;

/** A rule of the checker does not hold. */
export class Violation extends Error {
  readonly rule: string;
  constructor(rule: string, text: string) {
    super(text);
    this.rule = rule;
  }
}

export class Stress {
  readonly plan: Plan;
  readonly cluster: SimCluster;
  readonly actors: Actors;
  /** As the configuration files have it now, on all nodes. */
  readonly diskConf: { diskSize?: number } & Plan['disk'];
  readonly ledger: Ledger;
  readonly load: LoadState;
  readonly manager: Manager;
  readonly applications = new Set<Application>();
  /** What happened to the cluster from outside. */
  readonly events: string[] = [];
  /** Machines in the midst of going down or coming up. */
  readonly busy = new Set<SimMember>();
  /** How often a connection was refused because it is Primary, since the healing began. */
  readonly inTheWay = new Map<SimMember, number>();
  /** How often others were too small for a node. */
  readonly tooSmall = new Map<SimMember, number>();
  badDisk = false;
  healing = false;
  /** Faults and commands that took place. */
  happened = 0;
  refusal = '';

  constructor(wanted: Wanted) {
    const plan = planOf(wanted);
    this.plan = plan;
    this.diskConf = { ...plan.disk };
    this.cluster = new SimCluster(wanted.seed, { volumes: 1, ...plan, disk: this.diskConf });
    this.actors = new Actors(this.cluster.world);
    this.ledger = new Ledger(plan.wireProtocol === 3);
    this.load = new LoadState(this.random, plan, this.ledger);
    this.manager = new Manager(this);
    const random = new SimRandom(wanted.seed ^ 0x3c6ef372);
    for (const row of rowsOf(plan.features)) row.begin?.(this, random);
  }

  get random(): SimRandom { return this.cluster.world.random; }
  get digest(): string { return this.cluster.world.digest; }

  async run(): Promise<void> {
    const { actors } = this;
    await this.#begin();
    const end = this.cluster.world.nowMs + this.plan.troubleMs;
    actors.spawn('manager', () => this.manager.run());
    actors.spawn('trouble', () => this.#trouble(end));
    actors.spawn('checker', () => this.#checker());
    await actors.run(() => this.healing, this.plan.troubleMs + CHECK_MS);
    await actors.run(() => !this.#troubled(), LINGER_MS);
    await this.#heal();
    this.#demand('each disk holds what was acknowledged', compareDisks(this));
  }

  async #begin(): Promise<void> {
    const { cluster } = this;
    for (const m of cluster.members) {
      m.node.log.heard = (text) => {
        if (FALSE_REFUSAL.test(text)) this.refusal ||= `n${m.id}: ${text}`;
        const made = GENERATION_MADE.exec(text);
        if (made) this.ledger.made(m, BigInt(`0x${made[1]}`) & ~1n);
        if (PEER_DATA_LOST.test(text) && m === this.ledger.holder?.member && this.plan.wireProtocol !== 3
          && !isGood(m) && goodPeers(cluster, m).length === 0) this.ledger.outOfReach();
        if (this.healing && PRIMARY_IN_THE_WAY.test(text)) this.inTheWay.set(m, (this.inTheWay.get(m) ?? 0) + 1);
        if (this.healing && TOO_SMALL.test(text)) this.tooSmall.set(m, (this.tooSmall.get(m) ?? 0) + 1);
      };
      await cluster.up(m.id);
    }
    const first = cluster.members.find((m) => !cluster.isDiskless(m.id))!;
    await cluster.until('connected', () => cluster.members.every((m) => viewOf(m)!.connections.every((c) => c.cstate === 9)), BEGIN_MS);
    await cluster.admin(first.setup.with(Cmd.NEW_C_UUID, {}, newCUuidParms, { clearBm: true }, cluster.minor(first.id, 0)));
    await cluster.until('healthy at the start', () => isHealthy(cluster), BEGIN_MS);
    for (const a of cluster.members) {
      if (!cluster.isDiskless(a.id)) this.diskOf(a).faults.maxMs = this.plan.diskMaxMs;
      for (const b of cluster.members) {
        if (a === b) continue;
        this.soundLink(a, b);
        if (!cluster.isDiskless(b.id)) await cluster.admin(a.setup.peerDeviceOptions('r0', b.id, 0, this.plan.peerDevice));
      }
    }
  }

  /** Faults and commands, evenly at random over the time. */
  async #trouble(end: number): Promise<void> {
    const { plan, random, cluster, actors } = this;
    const every = plan.troubleMs / plan.events;
    while (cluster.world.nowMs < end) {
      await actors.sleep(random.between(0, 2 * every * 0.95));
      const fault = plan.troubles[random.below(plan.troubles.length)];
      if (fault) {
        this.note(fault);
        actors.spawn(`trouble ${fault}`, () => troubles[fault](this));
      }
      if (plan.commands.length > 0) this.#command();
    }
    this.healing = true;
  }

  #command(): void {
    const { plan, random, cluster, actors } = this;
    const { members } = cluster;
    const name = plan.commands[random.below(plan.commands.length)]!;
    const m = members[random.below(members.length)]!;
    const peer = members[(m.id + 1 + random.below(members.length - 1)) % members.length]!;
    if (this.busy.has(m)) return;
    this.note(`${name} n${m.id} n${peer.id}`);
    actors.spawn(`command ${name}`, async () => {
      const answer = await commandNamed[name](this, m, peer);
      if (answer) this.note(`${name} n${m.id}: ${answer.code}${answer.text ? ` ${answer.text.trim()}` : ''}`, false);
    });
  }

  async #checker(): Promise<void> {
    for (;;) {
      await this.actors.sleep(CHECK_MS);
      for (const [rule, check] of Object.entries(rules)) this.#demand(rule, check(this));
    }
  }

  #demand(rule: string, why: string): void { if (why !== '') throw new Violation(rule, why); }

  #troubled(): boolean {
    return [...this.actors.running.keys()].some((name) => name.startsWith('trouble') || name.startsWith('command'));
  }

  async #heal(): Promise<void> {
    this.note('heal', false);
    const healer = new Healer(this);
    this.actors.spawn('healer', () => healer.run());
    const settled = (): boolean => {
      const app = this.ledger.holder;
      return !this.#troubled() && isHealthy(this.cluster) && app !== null && app.alive && app.pending === 0
        && this.applications.size === 1 && app.member.resource.io.requests.writes === 0;
    };
    if (await this.actors.run(settled, HEALED_MS)) return;
    const waiting = this.cluster.world.waiting().filter((w) => !w.startsWith('sleeper')).slice(0, 12);
    throw new Violation('a healed cluster becomes UpToDate',
      `${this.cluster.members.map((m) => describe(this.cluster, m)).join('\n    ')}\n    applications: ${[...this.applications]
        .map((a) => `n${a.member.id} waits for ${a.pending}`).join(', ') || 'none'}; busy: ${[...this.actors.running.keys()].join(', ')}`
      + `\n    next: ${waiting.join('; ')}`);
  }

  // --- what an application does
  async work(app: Application): Promise<void> {
    const { plan, random, actors, load, cluster } = this;
    const started = cluster.world.nowMs;
    for (;;) {
      await actors.sleep(random.between(1, 60));
      if (!app.alive || !this.applications.has(app)) return;
      const generation = writtenGeneration(app.member);
      if (this.ledger.holder === app) {
        if (generation !== 0n) this.ledger.generation = generation;
        // Also by its own word: a disk that has just failed acknowledged as received what it has not.
        const mirrored = goodPeers(cluster, app.member).some((m) => diskStateOf(m) === Disk.upToDate);
        const alone = cluster.members.every((m) => m === app.member || storedGeneration(cluster, m) !== generation);
        if (app.member.engine?.resources.get('r0')?.io.requests.writes === 0) this.ledger.idle(isGood(app.member) || mirrored, mirrored || alone);
        for (const m of cluster.members) {
          if (isSynced(m, app.member)) this.ledger.synced(m);
          if (cstateOf(app.member, m) !== Cstate.connected) this.ledger.noticed(m);
        }
        if (isHealthy(cluster)) this.ledger.history.landed();
      }
      if (this.healing || app.stopping) continue;
      const share = Math.min(1, (cluster.world.nowMs - (this.#loadFromMs ??= started)) / (plan.troubleMs * 0.93));
      const due = plan.writes * share - load.writes;
      const burst = due <= 0 ? 0 : Math.min(random.below(Math.ceil(due) * 2) + 1, 100);
      for (let i = 0; i < burst && !app.full; i++) app.step();
    }
  }
  #loadFromMs: number | undefined;

  // --- for the manager, troubles and commands
  note(text: string, counts = true): void {
    if (counts) this.happened++;
    const line = `${this.cluster.world.nowMs.toFixed(3)} == ${text}`;
    this.cluster.world.note(line);
    this.events.push(line);
  }

  diskOf(m: SimMember): SimDisk { return m.node.disks.get('/dev/disk0')!; }

  anyUp(): SimMember | undefined { return this.#any((m) => viewOf(m) !== null && !this.busy.has(m)); }
  anyWithDisk(): SimMember | undefined { return this.#any((m) => !this.cluster.isDiskless(m.id)); }
  #any(is: (m: SimMember) => boolean): SimMember | undefined {
    const some = this.cluster.members.filter(is);
    return some[this.random.below(some.length)];
  }

  otherGoodDisk(m: SimMember): boolean { return this.cluster.members.some((o) => o !== m && isGood(o)); }

  /** Of the line: 0 before there was any. */
  get newestGeneration(): bigint {
    return this.ledger.newestOf(new Set(this.cluster.members.map((m) => storedGeneration(this.cluster, m))));
  }

  /** Its data may be thrown away: a Primary elsewhere has all. */
  expendable(m: SimMember): boolean {
    const writer = this.ledger.holder?.member;
    return writer !== undefined && writer !== m && roleOf(m) !== Role.primary && isGood(writer);
  }

  soundLink(a: SimMember, b: SimMember): void {
    const link = this.cluster.fabric.link(a.node.address, b.node.address);
    link.bytesPerMs = this.plan.bytesPerMs;
    link.latencyMs = this.plan.latencyMs;
  }

  cut(from: SimMember, to: SimMember, cut: boolean): void { this.cluster.fabric.cut(from.node.address, to.node.address, cut); }

  isCut(a: SimMember, b: SimMember): boolean {
    const { fabric } = this.cluster;
    return fabric.link(a.node.address, b.node.address).cut || fabric.link(b.node.address, a.node.address).cut;
  }

  kill(m: SimMember): void {
    if (m.node.life === null) return;
    this.ledger.engineDied(m);
    m.node.killEngine();
  }

  /** The machine loses power. */
  crash(m: SimMember): void {
    const { holder } = this.ledger;
    const good = holder !== null && holder.alive && isGood(holder.member);
    const attached = viewOf(m) ? diskStateOf(m) >= Disk.consistent : this.diskOf(m)?.claimedBy != null;
    const written = writtenGeneration(m) || this.ledger.generation;
    this.#configure();
    m.node.crash();
    for (const app of [...this.applications]) if (app.member === m) { app.lost = true; this.applications.delete(app); }
    // What the writer has on its disk if that is good, with what was under way; else what it wrote to others.
    if (holder?.member === m) this.ledger.generation = attached ? storedGeneration(this.cluster, m) : written;
    this.ledger.powerLost(m, good);
  }

  /** Power off, and on again after a while. */
  async powerCycle(m: SimMember): Promise<void> {
    const awayMs = this.random.between(1, 12_000);
    if (this.busy.has(m)) return;
    this.busy.add(m);
    this.crash(m);
    await this.actors.sleep(awayMs);
    await this.bringUp(m);
    this.busy.delete(m);
  }

  /** As drbdadm up at boot: goes on after refusals, gives up when the machine dies. */
  async bringUp(m: SimMember): Promise<void> {
    const { lives } = m.node;
    this.ledger.back(m);
    for (const { name, run } of this.cluster.upSteps(m.id)) {
      this.#configure();
      const answer = run();
      if (!answer) continue;
      const { code, text } = await answer;
      if (code !== 101 && code !== 1) this.note(`${name} n${m.id}: ${code} ${text.trim()}`, false);
      if (m.node.lives !== lives) return;
    }
  }

  /** A size that some device has grown to is in the configuration, whoever lived to answer the command. */
  #configure(): void {
    const { diskConf, cluster } = this;
    if (diskConf.diskSize === undefined) return;
    const sizes = cluster.members.map((m) => m.node.devices.get(cluster.minor(m.id, 0))?.capacity ?? 0);
    diskConf.diskSize = Math.max(diskConf.diskSize, ...sizes);
  }

  /** As drbdadm attach, where there is none. */
  async attach(m: SimMember): Promise<void> {
    if (this.cluster.isDiskless(m.id) || this.busy.has(m)) return;
    const { lives } = m.node;
    const free = await this.actors.until(() => this.diskOf(m).claimedBy === null || m.node.lives !== lives, 5_000);
    if (!free || m.node.lives !== lives || diskStateOf(m) !== Disk.diskless) return;
    applyActivityLog(this.diskOf(m));
    this.#configure();
    const { code, text } = await m.setup.attach(this.cluster.minor(m.id, 0), '/dev/disk0', this.diskConf);
    if (code !== 101 && code !== 1) this.note(`attach n${m.id}: ${code} ${text.trim()}`, false);
  }

  /** open(2) for writing: its errno. */
  async open(device: KernelDevice): Promise<number> {
    let errno = -1;
    const id = device.open(true, (e) => { errno = e; });
    if (await this.actors.until(() => errno >= 0, 30_000)) return errno;
    device.openGone(id);
    return -1;
  }

  async close(app: Application): Promise<void> {
    let closed = false;
    app.device.close(() => { closed = true; });
    await this.actors.until(() => closed || !app.alive, 30_000);
  }
}
