// SPDX-License-Identifier: GPL-2.0-or-later
/** How every story ends: all faults off, everything healed, and the checkers. Letters as in hazards.md 17. */
import { Repl } from '../../state/states.ts';
import type { Story } from './story.ts';

const HEAL_MS = 240_000;
/** What two nodes of one story call each other only when the story wants it. */
const REFUSALS = ['Split-Brain detected', 'Unrelated data', 'does not match my exposed UUID'];

/** Faults end; whoever is down comes up, whoever has given up connecting tries again. */
export async function heal(story: Story): Promise<void> {
  story.holds.releaseAll();
  for (const { name } of story.cast) for (const v of story.volumes) story.flow(name, v);
  for (const link of story.pairs()) story.heal(link);
  for (const { name } of story.cast) if (!story.alive(name)) await story.up(name);
  for (const link of story.pairs()) await story.joining(link);
}

/** S: everything ends in sync, or the message says who stands where. */
export async function settles(story: Story, limitMs = HEAL_MS): Promise<void> {
  try {
    await story.until('in sync', () => inSync(story), limitMs);
  } catch (error) {
    throw new Error(`S: it does not settle: ${story.shown()}`, { cause: error });
  }
}

export function inSync(story: Story): boolean {
  if (story.pending > 0) return false;
  for (const { name, diskless } of story.cast) {
    if (!story.alive(name) || !diskless && !story.upToDate(name)) return false;
    if (story.resource(name).io.requests.writes > 0 || story.frozen(name)) return false;
    for (const peer of story.cast) {
      if (peer.name === name) continue;
      const link = `${name}>${peer.name}`;
      for (const v of story.volumes) {
        const wanted = peer.diskless ? 'Diskless' : 'UpToDate';
        if (story.peer(link, v).repl !== Repl.established || story.pdsk(link, v) !== wanted || story.bits(link, v) > 0) return false;
      }
    }
  }
  return true;
}

/** L, D, G: every disk holds what the book allows, and all of them the same. */
export function disksAreGood(story: Story): void {
  const diskful = story.cast.filter((p) => !p.diskless);
  for (const v of story.volumes) {
    for (const { name } of diskful) {
      const why = story.ledger.refuse(v, story.backing(name, v));
      if (why !== '') throw new Error(`L: disk of ${name}: ${why}`);
    }
    for (const { name } of diskful.slice(1)) story.expectSame(diskful[0]!.name, name);
  }
}

/** R: nobody was called unrelated or split without a reason; nobody has two generations under one name. */
export function refusalsAreRight(story: Story): void {
  const wrong = REFUSALS.filter((text) => !story.options.expected?.some((e) => text.includes(e) || e.includes(text)));
  for (const { name } of story.cast) {
    for (const text of wrong) if (story.logged(name, text) > 0) throw new Error(`R: ${name} says ${text}`);
  }
}

/** At any time: of two UpToDate disks of one generation, a block that differs is known to differ by a bit of one of them. */
export function differencesAreKnown(story: Story, pair: string): void {
  const [a, b] = pair.split('-') as [string, string];
  for (const v of story.volumes) {
    if (story.bits(`${a}>${b}`, v) > 0 || story.bits(`${b}>${a}`, v) > 0 || story.uuid(a, v) !== story.uuid(b, v)) continue;
    for (const sector of story.ledger.history(v).written) {
      if (story.backing(a, v).tag(sector) !== story.backing(b, v).tag(sector)) throw new Error(`D: sector ${sector} differs between ${a} and ${b}, and no bit says so`);
    }
  }
}

export async function finale(story: Story): Promise<void> {
  await heal(story);
  await settles(story);
  disksAreGood(story);
  refusalsAreRight(story);
}
