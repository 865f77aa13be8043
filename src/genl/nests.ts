// SPDX-License-Identifier: GPL-2.0-or-later
import * as command from './command-attrs.ts';
import * as config from './config-attrs.ts';
import * as info from './info-attrs.ts';
import type { Nest } from './schema.ts';

/** Every top-level attribute of 9.2.18, by number. */
export const NESTS: readonly Nest[] = [...Object.values(command), ...Object.values(config), ...Object.values(info)]
  .sort((a, b) => a.nr - b.nr);

const BY_NR: ReadonlyMap<number, Nest> = new Map(NESTS.map((nest) => [nest.nr, nest]));
export const nestOf = (nr: number): Nest | undefined => BY_NR.get(nr);
