// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Two nodes under load and trouble, from one seed. Safety first: everything may break, nothing acknowledged may be lost.
 * Then liveness: all is healed, and both must become UpToDate with equal disks.
 */
import { assert } from '../../assert.ts';
import { newCUuidParms } from '../../genl/command-attrs.ts';
import { Cmd } from '../../genl/ops.ts';
import { Cstate, Disk, Repl } from '../../state/states.ts';
import { SimCluster } from '../cluster.ts';
import type { SimMember } from '../cluster.ts';
import type { SimDisk } from '../disk.ts';
import type { SimRandom } from '../random.ts';
import { Load } from './load.ts';
import { profileOf } from './profile.ts';
import type { Profile, Wanted } from './profile.ts';
import { everyTrouble, troubles } from './troubles.ts';
import type { Trouble } from './troubles.ts';

const LIMIT_MS = 300_000;
const TROUBLES = 12;

export interface PairOptions extends Wanted {
  readonly seed: number;
  /** Default: all of them. */
  readonly troubles?: readonly Trouble[];
}

export class PairStress {
  readonly cluster: SimCluster;
  readonly profile: Profile;
  readonly load: Load;
  readonly history: string[] = [];
  readonly #troubles: readonly Trouble[];
  #primary: SimMember;

  constructor(options: PairOptions) {
    const profile = profileOf(options.seed, options);
    this.profile = profile;
    // A fail-over may lose what protocol A has acknowledged.
    const unsafe: readonly Trouble[] = profile.wireProtocol === 1 ? ['failOver', 'detachPrimary'] : [];
    this.#troubles = (options.troubles ?? everyTrouble).filter((trouble) => !unsafe.includes(trouble));
    this.cluster = new SimCluster(options.seed, { nodes: 2, volumes: 1, ...profile });
    this.load = new Load(this.random, profile);
    this.#primary = this.cluster.members[0]!;
    this.load.sound = () => this.upToDate(this.#primary);
  }

  get random(): SimRandom { return this.cluster.world.random; }

  async run(): Promise<void> {
    await this.#begin();
    const every = Math.max(1, Math.floor(this.profile.writes / TROUBLES));
    for (let i = 1; i <= this.profile.writes; i++) {
      this.load.step();
      if (i % every === 0 && this.#troubles.length > 0) await this.#trouble();
      if (this.random.chance(0.3)) await this.pass(this.random.between(0.1, 3));
    }
    await this.#heal();
    this.#compare();
  }

  async #begin(): Promise<void> {
    const { members } = this.cluster;
    for (const { id } of members) await this.cluster.up(id);
    await this.#until('connected', () => members.every((m) => repl(m) === Repl.established));
    await this.ok(members[0]!.setup.with(Cmd.NEW_C_UUID, {}, newCUuidParms, { clearBm: true }, this.cluster.minor(0, 0)));
    await this.untilHealthy('at the start');
    for (const m of members) {
      this.diskOf(m).faults.maxMs = this.profile.diskMaxMs;
      await this.ok(m.setup.peerDeviceOptions('r0', 1 - m.id, 0, this.profile.peerDevice));
      const link = this.cluster.fabric.link(m.node.address, members[1 - m.id]!.node.address);
      link.bytesPerMs = this.profile.bytesPerMs;
      link.latencyMs = this.profile.latencyMs;
    }
    await this.promote(members[0]!);
  }

  async #trouble(): Promise<void> {
    const trouble = this.#troubles[this.random.below(this.#troubles.length)]!;
    this.#note(trouble);
    await troubles[trouble](this, this.#primary, this.cluster.members[1 - this.#primary.id]!);
  }

  async #heal(): Promise<void> {
    this.#note('heal');
    await this.#until('every bio is answered', () => this.load.pending === 0);
    await this.untilHealthy('at the end');
    await this.#until('every write is settled', () => this.#primary.resource.io.requests.writes === 0);
  }

  #compare(): void {
    const [a, b] = this.cluster.members.map((m) => this.diskOf(m)) as [SimDisk, SimDisk];
    for (const sector of this.load.history.written) {
      const [x, y] = [a.tag(sector), b.tag(sector)];
      assert(x === y, `sector ${sector} is ${x} here and ${y} there`);
      const why = this.load.history.refuse(sector, x);
      assert(why === '', why);
    }
  }

  // --- for troubles
  diskOf(m: SimMember): SimDisk { return m.node.disks.get('/dev/disk0')!; }

  async work(steps: number): Promise<void> {
    for (let i = 0; i < steps; i++) {
      if (this.load.device !== null) this.load.step();
      await this.pass(this.random.between(0.1, 2));
    }
  }

  async pass(ms: number): Promise<void> {
    const end = this.cluster.world.nowMs + ms;
    while (this.cluster.world.nowMs < end && this.cluster.world.step()) await Promise.resolve();
    this.#check();
  }

  upToDate(m: SimMember): boolean { return m.engine?.resources.get('r0')?.view.devices[0]?.disk === Disk.upToDate; }

  healthy(): boolean {
    return this.cluster.members.every((m) => {
      const view = m.engine?.resources.get('r0')?.view;
      return m.node.life !== null && view?.devices[0]?.disk === Disk.upToDate && view.peerDevices[0]?.pdsk === Disk.upToDate
        && view.peerDevices[0].repl === Repl.established && bits(m) === 0;
    });
  }

  /** Whoever has given up connecting is told to go on, as an administrator would. */
  async untilHealthy(when: string): Promise<void> {
    for (const m of this.cluster.members) {
      if (cstate(m) === Cstate.standAlone) await this.cluster.admin(m.setup.connect('r0', 1 - m.id));
    }
    await this.#until(`both UpToDate ${when}`, () => this.healthy());
  }

  untilDisconnected(m: SimMember): Promise<void> {
    return this.#until('the survivor knows', () => cstate(m) !== Cstate.connected);
  }

  async promote(m: SimMember): Promise<void> {
    await this.ok(m.setup.primary('r0'));
    this.#primary = m;
    const device = m.node.devices.get(this.cluster.minor(m.id, 0))!;
    let errno = -1;
    device.open(true, (e) => { errno = e; });
    await this.#until('open', () => errno >= 0);
    assert(errno === 0, `open: ${errno}`);
    this.load.device = device;
  }

  async closeDevice(): Promise<void> {
    await this.#until('every bio is answered', () => this.load.pending === 0);
    const { device } = this.load;
    this.load.device = null;
    let closed = false;
    device!.close(() => { closed = true; });
    await this.#until('closed', () => closed);
  }

  async ok(answer: ReturnType<SimMember['setup']['down']>): Promise<void> {
    const { code, text } = await this.cluster.admin(answer);
    assert(code > 0, `refused: ${code} ${text}`);
  }

  async #until(what: string, holds: () => boolean): Promise<void> {
    await this.cluster.until(what, holds, LIMIT_MS);
    this.#check();
  }

  #check(): void { assert(this.load.wrong === '', this.load.wrong); }
  #note(text: string): void { this.history.push(`${this.cluster.world.nowMs.toFixed(1)} ${text}`); }
}

const cstate = (m: SimMember): number => m.engine?.resources.get('r0')?.view.connections[0]?.cstate ?? -1;
const repl = (m: SimMember): number => m.engine?.resources.get('r0')?.view.peerDevices[0]?.repl ?? -1;
const bits = (m: SimMember): number => {
  const disk = m.resource.devices.get(0)?.disk;
  return disk ? disk.bitmap.weight[0]! : -1;
};
