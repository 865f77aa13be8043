// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';

/** Options of the resync controller, in the units of the configuration. */
export interface ControllerOptions {
  /** c-plan-ahead, 0.1 s; 0: fixed rate. */
  readonly planAhead: number;
  /** c-fill-target, sectors; 0: use the delay target. */
  readonly fillTarget: number;
  /** c-delay-target, 0.1 s. */
  readonly delayTarget: number;
  /** c-max-rate, KiB/s; 0: no limit. */
  readonly maxRate: number;
  /** resync-rate, KiB/s: the fixed rate and the first guess. */
  readonly resyncRate: number;
  /** max-buffers, pages. */
  readonly maxBuffers: number;
}

/** The plan: corrections of the next steps of 100 ms, a ring. */
export interface Plan {
  readonly ring: Int32Array;
  head: number;
  total: number;
}

export const makePlan = (planAhead: number): Plan => ({ ring: new Int32Array(planAhead), head: 0, total: 0 });

const STEP_MS = 100;
const SECTORS_PER_BLOCK = 8;

/**
 * Blocks of 4 KiB to request in this round. `sectorsIn` came back since the last call, `inFlight` sectors are still
 * out (the ones that came back taken off), `durationMs` since the last call. Changes the plan, nothing else.
 * @spec uuid.md 7.6
 */
export function controllerRound(plan: Plan, o: ControllerOptions, sectorsIn: number, inFlight: number,
  durationMs: number): number {
  assert(sectorsIn >= 0 && inFlight >= 0, 'resync controller: counters below zero');
  const blocks = plan.ring.length === 0
    ? Math.trunc(o.resyncRate / 10 / 4)
    : plannedBlocks(plan, o, sectorsIn, inFlight, durationMs);
  return Math.max(0, Math.min(blocks, o.maxBuffers - Math.trunc(inFlight / SECTORS_PER_BLOCK)));
}

function plannedBlocks(plan: Plan, o: ControllerOptions, sectorsIn: number, inFlight: number,
  durationMs: number): number {
  const steps = plan.ring.length;
  const duration = Math.min(1000, Math.max(1, durationMs));
  const scaledIn = duration < STEP_MS ? Math.trunc(sectorsIn * STEP_MS / duration) : sectorsIn;
  const want = wantedInFlight(o, steps, scaledIn, inFlight, duration);
  const perStep = Math.trunc((want - inFlight - plan.total) / steps);
  for (let i = 0; i < steps; i++) plan.ring[i] += perStep;
  plan.total += perStep * steps;
  const now = plan.ring[plan.head];
  plan.ring[plan.head] = 0;
  plan.head = (plan.head + 1) % steps;
  plan.total -= now;
  let request = Math.max(0, scaledIn + now);
  if (o.maxRate > 0) request = Math.min(request, Math.trunc(o.maxRate * 2 / 10));
  return Math.trunc(request / SECTORS_PER_BLOCK);
}

function wantedInFlight(o: ControllerOptions, steps: number, sectorsIn: number, inFlight: number,
  durationMs: number): number {
  if (inFlight + sectorsIn === 0) return Math.trunc(o.resyncRate * 2 / 10) * steps;
  if (o.fillTarget !== 0) return o.fillTarget;
  return Math.trunc(sectorsIn * o.delayTarget * STEP_MS / durationMs);
}

/** Rate to show, KiB/s, for a round that asked for `blocks`. */
export const shownRate = (blocks: number): number => blocks * 40;

/**
 * c-min-rate: must resync give way? `busy`: applications use the disk. `kibPerSecond` is the rate since the mark
 * before last, negative when more is out of sync than then: that never throttles.
 * @spec uuid.md 7.7
 */
export const mustThrottle = (minRate: number, busy: boolean, kibPerSecond: number): boolean =>
  minRate > 0 && busy && kibPerSecond > minRate;

/**
 * Blocks of the largest well aligned request that starts at `bit`: a power of two, at most 256 (1 MiB), at most what
 * `left` blocks of this round allow (rounded to the nearest power of two, ties up).
 * @spec uuid.md 7.5 f
 */
export function bestRequestBlocks(bit: number, left: number): number {
  const inMiB = bit % 256;
  const alignment = inMiB === 0 ? 256 : inMiB & -inMiB;
  return Math.min(alignment, roundPowerOfTwo(left));
}

function roundPowerOfTwo(n: number): number {
  if (n <= 1) return 1;
  const down = 2 ** Math.floor(Math.log2(n));
  return n - down >= 2 * down - n ? 2 * down : down;
}
