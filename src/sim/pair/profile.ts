// SPDX-License-Identifier: GPL-2.0-or-later
/** What a seed decides before anything runs: options of the cluster, the load, the hardware. */
import { SimRandom } from '../random.ts';
import type { Shape } from '../shape.ts';

export const WireProtocol = { A: 1, B: 2, C: 3 } as const;

export interface Profile extends Shape {
  readonly wireProtocol: number;
  readonly writes: number;
}

const EXTENT_SECTORS = 8192;

export interface Wanted { readonly wireProtocol?: number; readonly writes?: number; readonly wide?: boolean }

export function profileOf(seed: number, wanted: Wanted): Profile {
  const random = new SimRandom(seed ^ 0x5eed);
  const pick = <T>(...values: readonly T[]): T => values[random.below(values.length)]!;
  const wireProtocol = pick(WireProtocol.C, WireProtocol.C, WireProtocol.C, WireProtocol.B, WireProtocol.A);
  const writes = 300 + random.below(700);
  const wide = random.chance(0.15);
  const nrRequests = pick(8000, 8000, 64, 8, 4);
  const wideDisk = wanted.wide ?? wide;
  return {
    wireProtocol: wanted.wireProtocol ?? wireProtocol, writes: wanted.writes ?? writes,
    ...(wideDisk ? { diskSectors: 140 * EXTENT_SECTORS, regions: 130, regionSectors: 512 }
      : { diskSectors: 40_960, regions: 1, regionSectors: pick(16_000, 16_000, 600) }),
    net: { pingTimeo: 30, maxEpochSize: pick(2048, 2048, 20), sndbufSize: 0 },
    resource: { nrRequests, peerAckDelay: pick(100, 10, 1000) },
    disk: { alExtents: pick(1237, 67) },
    peerDevice: { resyncRate: wideDisk ? 400_000 : pick(100_000, 4_000), cPlanAhead: pick(20, 0), cMaxRate: wideDisk ? 400_000 : pick(102_400, 4_000) },
    bytesPerMs: Math.max(wideDisk ? 20_000 : 0, pick(100_000, 100_000, 10_000, 2_000)), latencyMs: pick(0.1, 0.1, 2), diskMaxMs: pick(0.5, 0.5, 10),
  };
}
