// SPDX-License-Identifier: GPL-2.0-or-later
/** What a seed decides before anything runs: the cluster, its options, the hardware, the load, and what may go wrong (swarm). */
import { Quorum } from '../../state/states.ts';
import { SimRandom } from '../random.ts';
import type { Shape } from '../shape.ts';
import { usualCommands } from './commands.ts';
import type { Command } from './commands.ts';
import { everyFeature, featureCommands, rowsOf } from './features.ts';
import type { Feature, FeatureCommand } from './features.ts';
import { everyTrouble } from './troubles.ts';
import type { Trouble } from './troubles.ts';
import { workloads } from './workloads.ts';
import type { Workload } from './workloads.ts';

const EXTENT_SECTORS = 8192;
const SMALL_DISK = 40_960;
const MINUTE_MS = 60_000;

export interface Wanted {
  readonly seed: number;
  readonly nodes?: number;
  readonly minutes?: number;
  readonly writes?: number;
  /** Default: a random part of all of them. */
  readonly troubles?: readonly Trouble[];
  readonly commands?: readonly Command[];
  readonly features?: readonly Feature[];
}

export interface Plan extends Shape {
  readonly nodes: number;
  readonly diskless: readonly number[];
  readonly wireProtocol: number;
  readonly quorum: boolean;
  /** Anybody may be asked to become Primary, for the engines must refuse: each two majorities share a good disk. */
  readonly blind: boolean;
  readonly troubleMs: number;
  /** Faults and commands. */
  readonly events: number;
  readonly writes: number;
  readonly workload: Workload;
  readonly troubles: readonly Trouble[];
  readonly commands: readonly Command[];
  readonly features: readonly Feature[];
  /** Of each device, when it is new. */
  readonly usedSectors: number;
}

/** By the seed alone. */
export type Drawn = Omit<Plan, 'features' | 'usedSectors'>;

export function planOf(wanted: Wanted): Plan {
  const random = new SimRandom(wanted.seed ^ 0x9e3779b9);
  const pick = <T>(...values: readonly T[]): T => values[random.below(values.length)]!;
  const swarm = <T>(all: readonly T[]): T[] => {
    const chance = random.between(0.2, 1);
    const some = all.filter(() => random.chance(chance));
    return some.length > 0 ? some : [...all];
  };
  const nodes = wanted.nodes ?? pick(2, 3, 3, 5);
  const disklessMax = nodes < 3 ? 0 : nodes - 2;
  const diskless = random.chance(0.35) ? random.below(disklessMax + 1) : 0;
  const firstDiskless = random.below(nodes);
  const quorum = nodes > 2 && random.chance(0.7);
  const blind = quorum && diskless === 0 && random.chance(0.6);
  const wide = random.chance(0.15);
  const minutes = wanted.minutes ?? 2;
  const plan: Drawn = {
    nodes, quorum, blind,
    diskless: Array.from({ length: diskless }, (_, i) => (firstDiskless + i) % nodes),
    wireProtocol: pick(3, 3, 3, 3, 2, 1),
    troubleMs: minutes * MINUTE_MS, events: Math.ceil(minutes * 22),
    writes: wanted.writes ?? Math.ceil(minutes * 1050),
    workload: pick(...Object.keys(workloads) as Workload[]),
    troubles: wanted.troubles ?? swarm(everyTrouble), commands: wanted.commands ?? swarm<Command>(usualCommands),
    ...wide ? { diskSectors: 140 * EXTENT_SECTORS, regions: 130, regionSectors: 512 }
      : { diskSectors: SMALL_DISK, regions: 1, regionSectors: pick(16_000, 4_000, 600) },
    net: { pingTimeo: pick(5, 30), timeout: pick(60, 60, 20), pingInt: pick(10, 3), maxEpochSize: pick(2048, 2048, 20),
      koCount: pick(7, 2), maxBuffers: pick(2048, 2048, 64), connectInt: pick(10, 3) },
    resource: { nrRequests: pick(8000, 8000, 64, 8), peerAckDelay: pick(100, 10, 1000), quorum: quorum ? Quorum.majority : Quorum.off,
      quorumMinRedundancy: blind ? Quorum.majority : Quorum.off,
      onNoQuorum: pick(0, 1, 1), onNoData: pick(0, 1), autoPromoteTimeout: 20 },
    disk: { alExtents: pick(1237, 67), onIoError: 2, readBalancing: pick(0, 0, 0, 1) },
    peerDevice: { resyncRate: wide ? 400_000 : pick(100_000, 4_000), cPlanAhead: pick(20, 0), cMaxRate: wide ? 400_000 : pick(102_400, 4_000) },
    bytesPerMs: Math.max(wide ? 20_000 : 0, pick(100_000, 100_000, 10_000, 2_000)), latencyMs: pick(0.1, 0.1, 2), diskMaxMs: pick(0.5, 0.5, 10),
  };
  return withFeatures(plan, wanted);
}

/** Each in a third of the runs. */
function withFeatures(plan: Drawn, wanted: Wanted): Plan {
  const random = new SimRandom(wanted.seed ^ 0x2545f491);
  const features = wanted.features ?? everyFeature.filter(() => random.chance(0.33));
  const isCommand = (name: Feature): name is Feature & FeatureCommand => name in featureCommands;
  return { ...plan, features, commands: wanted.commands ?? [...plan.commands, ...features.filter(isCommand)],
    net: rowsOf(features).reduce((net, row) => ({ ...net, ...row.net?.(random, plan) }), plan.net),
    usedSectors: plan.diskSectors / (features.includes('resize') ? 2 : 1) };
}
