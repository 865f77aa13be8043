// SPDX-License-Identifier: GPL-2.0-or-later
import { controllerRound, makePlan, type Plan, shownRate } from './controller.ts';
import type { PeerDeviceIo } from './peer-device-io.ts';

export const ROUND_MS = 100;

/** How much a target asks for, or verify reads, in each round: the controller with its counters. @spec uuid.md 7.6 */
export class Pace {
  /** c_sync_rate shown, KiB/s. */
  rate = 0;
  /** Sectors asked for that have not come back, but for those that did since the last round. */
  private inFlight = 0;
  private sectorsIn = 0;
  private plan: Plan = makePlan(0);
  private roundMs = 0;
  private readonly peer: PeerDeviceIo;

  constructor(peer: PeerDeviceIo) {
    this.peer = peer;
  }

  begin(): void {
    this.plan = makePlan(this.peer.facts.cPlanAhead);
    this.forget();
    this.roundMs = this.peer.device.resource.env.clock.nowMs();
  }

  forget(): void {
    this.inFlight = this.sectorsIn = 0;
  }

  asked(sectors: number): void {
    this.inFlight += sectors;
  }

  /** True: with these, all that was asked for came back. */
  cameBack(sectors: number): boolean {
    this.sectorsIn += sectors;
    return this.sectorsIn >= this.inFlight;
  }

  get outstanding(): boolean {
    return this.inFlight > this.sectorsIn;
  }

  /** Blocks of 4 KiB for this round. */
  round(): number {
    const now = this.peer.device.resource.env.clock.nowMs();
    const { sectorsIn } = this;
    this.sectorsIn = 0;
    this.inFlight = Math.max(0, this.inFlight - sectorsIn);
    const { facts, connection } = this.peer;
    const blocks = controllerRound(this.plan, {
      planAhead: facts.cPlanAhead, fillTarget: facts.cFillTarget, delayTarget: facts.cDelayTarget,
      maxRate: facts.cMaxRate, resyncRate: facts.resyncRate, maxBuffers: connection.facts.maxBuffers,
    }, sectorsIn, this.inFlight, now - this.roundMs);
    this.roundMs = now;
    this.rate = shownRate(blocks);
    return blocks;
  }

  /** All came back: milliseconds until the next round may start early, as far as c-max-rate allows. @spec uuid.md 7.6 last */
  earlyMs(): number {
    const latency = this.peer.device.resource.env.clock.nowMs() - this.roundMs;
    const receivedKiB = Math.max(1, this.sectorsIn / 2);
    const { cMaxRate } = this.peer.facts;
    const kickstart = receivedKiB < cMaxRate / 20 && latency < 50;
    const interval = cMaxRate === 0 ? 0
      : receivedKiB * Math.max(1, Math.floor(1024 / receivedKiB)) * 1000 / cMaxRate;
    return kickstart || interval <= latency ? 0 : interval < ROUND_MS ? interval - latency : Infinity;
  }
}
