// SPDX-License-Identifier: GPL-2.0-or-later
/** A scenario of docs/hazards.md as a test: the story is told, then everything heals and the checkers look. */
import { it } from 'vitest';
import { begin } from '../../../src/sim/story/begin.ts';
import { finale } from '../../../src/sim/story/checks.ts';
import { Story } from '../../../src/sim/story/story.ts';
import type { StoryOptions } from '../../../src/sim/story/story.ts';

export interface HazardOptions extends StoryOptions {
  /** How it ends: healed and in sync, or as the story leaves it. */
  readonly end?: 'in sync' | 'as told';
}

/** HAZARD_MIRRORED=1: node ids in the opposite order; HAZARD_SEED: other times. */
const MIRRORED = process.env.HAZARD_MIRRORED === '1';
const SEED = Number(process.env.HAZARD_SEED ?? 1);

export interface Hazard {
  readonly id: string;
  readonly run: () => Promise<void>;
}

/** All that have been loaded, for who tells them without vitest: mutations. */
export const hazards: Hazard[] = [];

export function hazard(id: string, title: string, cast: string, options: HazardOptions, tell: (s: Story) => Promise<void>): void {
  const run = async (): Promise<void> => {
    const story = new Story(cast, { seed: SEED, mirrored: MIRRORED, ...options });
    try {
      await begin(story);
      await tell(story);
      if (options.end !== 'as told') await finale(story);
    } catch (error) {
      if (process.env.DUMP) console.log(story.log());
      throw new Error(`${(error as Error).message}\n  ${story.shown()}`, { cause: error });
    }
  };
  hazards.push({ id, run });
  if (process.env.VITEST) it(`${id} ${title}`, run);
}
