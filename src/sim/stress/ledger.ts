// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Who wrote what, who may go on with it, and what may be lost by whose power failure. One line of history: nobody is
 * promoted beside or behind it (by quorum, or since the manager looks first).
 */
import type { SimMember } from '../cluster.ts';
import type { Application } from './application.ts';
import { History } from './history.ts';

export class Ledger {
  readonly history = new History();
  /** Whose reads must be true. */
  holder: Application | null = null;
  /** The last one. */
  lastWriter: SimMember | null = null;
  /** Asked to become Primary, for an application that may not come to run there. */
  promoted: SimMember | null = null;
  /** That the last writers are known to have had. */
  readonly #generations: bigint[] = [];
  readonly #replicated: boolean;
  /** The holder's machine lost power and is not back; others: one more of them lost power. */
  #crashed: { member: SimMember; others: boolean } | null = null;
  /** Lost power, and have not got what that took since. */
  readonly #weak = new Set<SimMember>();
  /** Lost power while the holder relied on others; it may not know yet. */
  readonly #unnoticed = new Set<SimMember>();

  /** replicated: acknowledged is what the peers have as well (protocol C). */
  constructor(replicated: boolean) { this.#replicated = replicated; }

  get generation(): bigint { return this.#generations.at(-1) ?? 0n; }
  set generation(made: bigint) { if (made !== this.generation) this.#generations.push(made); }

  /** No write is taken in a generation that nobody has stored: one that was told to peers that were gone is nowhere. */
  newestOf(stored: ReadonlySet<bigint>): bigint {
    return this.#generations.findLast((made) => stored.has(made)) ?? this.generation;
  }

  opened(app: Application): void {
    const { member } = app;
    const old = this.holder;
    if (old && old !== app) this.history.never(old.writes);
    if (this.#crashed) this.#comesBack(this.#crashed.others ? 'unsettled' : null);
    if (!this.#replicated && this.lastWriter !== null && this.lastWriter !== member) this.history.handedOver();
    // Its disk never got back what its power failure took: only what had been flushed here had to outlive that.
    if (this.#weak.has(member)) this.history.powerLost(this.lastWriter === member ? 'unflushed' : 'unsettled');
    this.holder = app;
    this.lastWriter = member;
  }

  /**
   * The holder's engine waits for nothing; `reached`: it has a good disk, or a peer with one; `shared`: such a peer has all, or
   * nobody else has its generation.
   */
  idle(reached: boolean, shared: boolean): void {
    // Without a disk: what was under way to peers that are gone is nowhere, or marked nowhere.
    if (!reached && !this.#replicated) this.outOfReach();
    // And with one, only here: a peer that goes on in this generation has not confirmed it, and may have lost it with its power.
    if (this.#replicated && !shared) this.history.cutAdrift();
    if (this.#replicated ? reached : !reached || shared) this.history.settle();
  }

  /** Protocol A: the last good disk is gone from a holder without one; what had not got there is nowhere. */
  outOfReach(): void { this.history.unconfirmedLost(); }

  engineDied(member: SimMember): void {
    if (this.holder?.member === member) this.history.cutAdrift();
  }

  /** A Primary has made one: also when its application is gone already, or never came to run. */
  made(member: SimMember, generation: bigint): void {
    if (member === this.promoted || member === (this.holder?.member ?? this.lastWriter)) this.generation = generation;
  }

  closed(app: Application): void {
    if (this.holder === app) this.holder = null;
  }

  powerLost(member: SimMember, holderIsGood: boolean): void {
    if (this.holder?.member === member) {
      this.history.never(this.holder.writes);
      this.holder = null;
      this.#crashed = { member, others: this.#weak.size > 0 };
    } else if (this.#crashed) this.#crashed.others = true;
    else if (!holderIsGood) {
      this.history.powerLost('unsettled', true);
      this.#unnoticed.add(member);
    }
    this.#weak.add(member);
  }

  /** The holder takes nothing from it any more: acks that were on their way told of what is lost. */
  noticed(member: SimMember): void {
    if (this.#unnoticed.delete(member)) this.history.powerLost('unsettled', true);
  }

  /** It has what the holder has. */
  synced(member: SimMember): void { this.#weak.delete(member); }

  /** A machine is up again: a crashed Primary may become the source with what it has. */
  back(member: SimMember): void {
    if (this.#crashed?.member === member) this.#comesBack(this.#crashed.others ? 'unsettled' : 'unflushed');
  }

  #comesBack(lost: 'unsettled' | 'unflushed' | null): void {
    this.#crashed = null;
    // What is safe here is not yet safe where another one goes on.
    if (lost) this.history.powerLost(this.#replicated ? lost : 'unsettled');
  }
}
