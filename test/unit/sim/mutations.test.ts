// SPDX-License-Identifier: GPL-2.0-or-later
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { mutations, unnoticed } from '../../../src/sim/mutations.ts';

const ROOT = join(import.meta.dirname, '../../..');
const names = mutations.map(({ name }) => name);

it.each(mutations)('$name: its text stands once in $file', ({ file, from }) => {
  expect(readFileSync(join(ROOT, file), 'utf8').split(from)).toHaveLength(2);
});

it('at least 25 rules can be switched off, each under a name of its own', () => {
  expect(new Set(names).size).toBe(names.length);
  expect(names.length).toBeGreaterThanOrEqual(25);
});

it('the document has them all: as noticed, or as open', () => {
  const rows = readFileSync(join(ROOT, 'docs/simulation.md'), 'utf8').split('\n').flatMap((line) => {
    const [, name, runs] = /^\| ([a-z-]+: [^|]*) \| (\d+|not in 34, open) \| (?:[a-z]+:\S+|–) \|/.exec(line) ?? [];
    return name ? [{ name, noticed: Number(runs) > 0 }] : [];
  });
  expect(rows).toEqual(names.map((name) => ({ name, noticed: !unnoticed.has(name) })));
});
