// SPDX-License-Identifier: GPL-2.0-or-later
/** Random commands and deaths of engines under an application: no error above, and equal disks at the end. */
import { describe, expect, it } from 'vitest';
import { netConf } from '../../../src/genl/config-attrs.ts';
import { Cmd } from '../../../src/genl/ops.ts';
import { applyActivityLog } from '../../../src/sim/apply-al.ts';
import type { SimMember } from '../../../src/sim/cluster.ts';
import { SimRandom } from '../../../src/sim/random.ts';
import { Cstate } from '../../../src/state/states.ts';
import { Pair, Writers } from './pair.ts';

const STEPS = 40;
const SEEDS = Number(process.env.SEEDS ?? 6);
const FIRST = Number(process.env.SEED ?? 1);

class Story {
  readonly pair: Pair;
  readonly random: SimRandom;
  readonly told: string[] = [];

  constructor(seed: number) {
    this.pair = new Pair(seed);
    this.random = new SimRandom(seed * 7919);
  }

  #member(): SimMember { return this.random.below(2) === 0 ? this.pair.a : this.pair.b; }

  /** Anything that may be answered with a refusal, but must be answered. */
  readonly actions: readonly (() => Promise<unknown>)[] = [
    () => this.#ask('disconnect', (m) => m.setup.disconnect('r0', 1 - m.id, this.random.below(4) === 0)),
    () => this.#ask('connect', (m) => m.setup.connect('r0', 1 - m.id)),
    () => this.#ask('connect', (m) => m.setup.connect('r0', 1 - m.id)),
    () => this.#ask('pause-sync', (m) => m.setup.plain(Cmd.PAUSE_SYNC, this.#peer(m))),
    () => this.#ask('resume-sync', (m) => m.setup.plain(Cmd.RESUME_SYNC, this.#peer(m))),
    () => this.#ask('primary', (m) => m.setup.primary('r0')),
    // Settings that both ends must share are changed where both hear of it.
    () => this.#ask('net-options', (m) => m.setup.with(Cmd.CHG_NET_OPTS, { resourceName: 'r0', peerNodeId: 1 - m.id }, netConf,
      { maxEpochSize: 1 + this.random.below(100), ...(this.#connected() && { wireProtocol: 1 + this.random.below(3) }) })),
    () => this.#ask('invalidate-remote', () => this.pair.a.setup.plain(Cmd.INVAL_PEER, this.#peer(this.pair.a))),
    () => this.#ask('invalidate', () => this.pair.b.setup.plain(Cmd.INVALIDATE, {}, this.#minor(this.pair.b))),
    async () => {
      await this.#ask('suspend-io', () => this.pair.a.setup.plain(Cmd.SUSPEND_IO, {}, 0));
      await this.pair.pause(this.random.below(200));
      await this.#ask('resume-io', () => this.pair.a.setup.plain(Cmd.RESUME_IO, {}, 0));
    },
    async () => {
      const { b } = this.pair;
      await this.#ask('detach', () => b.setup.plain(Cmd.DETACH, {}, this.#minor(b)));
      if (this.#diskless(b)) await this.#attach(b);
    },
    async () => { const m = this.#member(); this.#tell(`kill engine of n${m.id}`); m.node.killEngine(); },
    async () => { const m = this.#member(); this.#tell(`kill engine of n${m.id}`); m.node.killEngine(); },
    async () => { await this.pair.pause(1 + this.random.below(3_000)); },
    async () => { await this.pair.pause(1 + this.random.below(100)); },
  ];

  #tell(text: string): void { this.told.push(`${this.pair.cluster.world.nowMs.toFixed(2)} ${text}`); }
  #minor(m: SimMember): number { return this.pair.cluster.minor(m.id, 0); }
  #peer(m: SimMember) { return { resourceName: 'r0', peerNodeId: 1 - m.id, volume: 0 }; }
  #connected(): boolean {
    return [this.pair.a, this.pair.b].every((m) => m.engine?.resources.get('r0')?.view.connections[0]?.cstate === Cstate.connected);
  }
  #diskless(m: SimMember): boolean { return m.engine?.resources.get('r0')?.view.devices[0]?.disk === 0; }

  async #attach(m: SimMember): Promise<void> {
    const disk = m.node.disks.get('/dev/disk0')!;
    await this.pair.until('the disk is free', () => disk.claimedBy === null);
    applyActivityLog(disk);
    await this.#ask('attach', () => m.setup.attach(this.#minor(m), '/dev/disk0'));
  }

  async #ask(what: string, build: (m: SimMember) => Promise<{ code: number; text: string }>): Promise<void> {
    const m = this.#member();
    this.#tell(`${what} (n${m.id})`);
    const { code, text } = await this.pair.cluster.admin(build(m));
    this.#tell(`-> ${code} ${text}`);
  }

  async run(): Promise<void> {
    const { pair } = this;
    await pair.upToDate();
    expect(await pair.open(pair.a, true)).toBe(0);
    const writers = new Writers(pair, pair.a, 3);
    for (let i = 0; i < STEPS; i++) await this.actions[this.random.below(this.actions.length)]!();
    this.#tell('settle');
    await pair.until('engines', () => [pair.a, pair.b].every((m) => m.engine?.resources.has('r0')));
    // It may have been promoted while it was alone; nobody wrote there.
    await pair.cluster.admin(pair.b.setup.secondary('r0'));
    if (this.#diskless(pair.b)) await this.#attach(pair.b);
    for (const m of [pair.a, pair.b]) {
      await pair.cluster.admin(m.setup.plain(Cmd.RESUME_SYNC, this.#peer(m)));
    }
    // A peer that died with an update unread has other settings.
    for (const m of [pair.a, pair.b]) {
      await pair.cluster.admin(m.setup.with(Cmd.CHG_NET_OPTS, { resourceName: 'r0', peerNodeId: 1 - m.id }, netConf, { wireProtocol: 3 }));
    }
    for (const m of [pair.a, pair.b]) await pair.patient(() => m.setup.connect('r0', 1 - m.id));
    const before = writers.done;
    await pair.until('writes go on', () => writers.done > before + 5);
    writers.stopped = true;
    await pair.until('the last write', () => writers.idle);
    await pair.until('in sync', () => pair.inSync());
    expect(writers.errors).toEqual([]);
    expect(pair.difference()).toBe(-1);
    for (const m of [pair.b, pair.a]) {
      if (m === pair.a) pair.kernel(m).close();
      await pair.until('closed', () => m.resource.view.devices[0]!.openCount === 0);
      expect(await pair.patient(() => m.setup.down('r0'))).toBe(101);
    }
  }
}

describe('random commands and deaths', () => {
  it.each(Array.from({ length: SEEDS }, (_, i) => FIRST + i))('seed %i', async (seed) => {
    const story = new Story(seed);
    try {
      await story.run();
    } catch (error) {
      console.log(story.told.join('\n'));
      console.log(story.pair.log());
      throw error;
    }
  }, 60_000);
});
