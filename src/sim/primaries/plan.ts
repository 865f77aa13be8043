// SPDX-License-Identifier: GPL-2.0-or-later
/** What a seed decides of a pair of Primaries: how they guard against each other, policies, hardware, load, troubles. */
import { AFTER_SB } from '../../genl/enums.ts';
import { Fencing } from '../../state/states.ts';
import { SimRandom } from '../random.ts';
import type { Shape } from '../shape.ts';
import { everyTrouble } from './troubles.ts';
import type { Trouble } from './troubles.ts';

const MINUTE_MS = 60_000;

export interface Wanted {
  readonly seed: number;
  /** Of trouble. */
  readonly minutes?: number;
  readonly troubles?: readonly Trouble[];
}

export interface Plan extends Shape {
  /** Who loses the other one freezes, and shoots it: they never write apart. */
  readonly fenced: boolean;
  readonly troubleMs: number;
  readonly events: number;
  readonly troubles: readonly Trouble[];
}

const policy = (name: (typeof AFTER_SB)[number]): number => AFTER_SB.indexOf(name);

export function planOf(wanted: Wanted): Plan {
  const random = new SimRandom(wanted.seed ^ 0x6a09e667);
  const pick = <T>(...values: readonly T[]): T => values[random.below(values.length)]!;
  const minutes = wanted.minutes ?? 1;
  const fenced = random.chance(0.5);
  const chance = random.between(0.3, 1);
  const some = everyTrouble.filter(() => random.chance(chance));
  return {
    fenced, troubleMs: minutes * MINUTE_MS, events: Math.ceil(minutes * 22),
    troubles: wanted.troubles ?? (some.length > 0 ? some : everyTrouble),
    diskSectors: 40_960, regions: 1, regionSectors: pick(16_000, 4_000, 600),
    net: {
      twoPrimaries: true, fencingPolicy: fenced ? Fencing.resourceAndStonith : Fencing.dontCare,
      pingTimeo: pick(5, 30), timeout: pick(60, 20), pingInt: pick(10, 3), maxEpochSize: pick(2048, 20), connectInt: pick(10, 3),
      maxBuffers: pick(2048, 64),
      afterSb0p: policy(pick('disconnect', 'discard-younger-primary', 'discard-older-primary', 'discard-zero-changes', 'discard-least-changes')),
      afterSb1p: policy(pick('disconnect', 'consensus', 'discard-secondary', 'call-pri-lost-after-sb')),
      afterSb2p: policy(pick('disconnect', 'disconnect', 'call-pri-lost-after-sb')),
    },
    resource: { nrRequests: pick(8000, 64, 8), peerAckDelay: pick(100, 10, 1000), onNoData: pick(0, 1) },
    disk: { alExtents: pick(1237, 67), onIoError: 2, readBalancing: pick(0, 0, 1) },
    peerDevice: { resyncRate: pick(100_000, 4_000), cPlanAhead: pick(20, 0), cMaxRate: pick(102_400, 4_000) },
    bytesPerMs: pick(100_000, 100_000, 10_000), latencyMs: pick(0.1, 0.1, 2), diskMaxMs: pick(0.5, 0.5, 10),
  };
}
