// SPDX-License-Identifier: GPL-2.0-or-later
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { mutations } from '../../../src/sim/mutations.ts';

const ROOT = join(import.meta.dirname, '../../..');
const names = mutations.map(({ name }) => name);

it.each(mutations)('$name: its text stands once in $file', ({ file, from }) => {
  expect(readFileSync(join(ROOT, file), 'utf8').split(from)).toHaveLength(2);
});

it('at least 25 rules can be switched off, each under a name of its own', () => {
  expect(new Set(names).size).toBe(names.length);
  expect(names.length).toBeGreaterThanOrEqual(25);
});

it('the document has them all', () => {
  const rows = readFileSync(join(ROOT, 'docs/simulation.md'), 'utf8').split('\n')
    .flatMap((line) => /^\| ([a-z-]+: [^|]*) \| \d+ \| [a-z]+:\S+ \|/.exec(line)?.[1] ?? []);
  expect(rows).toEqual(names);
});
