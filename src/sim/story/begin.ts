// SPDX-License-Identifier: GPL-2.0-or-later
/** How a story begins: nodes up, links as it says, data in sync, Primaries promoted. */
import { Repl } from '../../state/states.ts';
import { inSync } from './checks.ts';
import type { Story } from './story.ts';

/** What all disks of a fresh cluster say that they hold: nothing written yet, so all are the same. */
export const DAY_0 = 0xda_0000_0000_0000n;

export async function begin(story: Story): Promise<void> {
  const { start = 'worn', links } = story.options;
  if (start === 'down') return;
  if (start !== 'created') for (const { name, diskless } of story.cast) if (!diskless) story.recreateAt(name, DAY_0);
  for (const { name } of story.cast) await story.up(name);
  await story.until('all are connected', () => story.pairs().every((link) => story.joined(link)));
  if (start !== 'created') await story.until('all are in sync', () => inSync(story));
  if (start === 'worn') await wear(story);
  const primary = story.cast.find((p) => p.primary);
  if (primary) await story.promote(primary.name);
  await story.pass(20);
  await restrict(story, links);
}

/** A generation with a past: something was written, and every node knows of it. */
async function wear(story: Story): Promise<void> {
  const { name } = story.cast.find((p) => !p.diskless)!;
  await story.promote(name);
  for (const v of story.volumes) await story.w(name, undefined, { vnr: v });
  await story.demote(name);
  await story.until('in sync', () => inSync(story));
}

async function restrict(story: Story, links: string | undefined): Promise<void> {
  if (links === undefined) return;
  const wanted = new Set(links.split(' ').filter((l) => l !== '').flatMap((l) => [l, [...l].reverse().join('')]));
  for (const link of story.pairs()) {
    if (wanted.has(link)) continue;
    await story.disc(link);
    story.sever(link);
  }
  await story.until('links are as told', () => story.pairs().every((link) => wanted.has(link) || story.peer(link).repl === Repl.off));
}
