// SPDX-License-Identifier: GPL-2.0-or-later
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { mutations, noticed } from '../../../src/sim/mutations.ts';

const ROOT = join(import.meta.dirname, '../../..');

it.each(mutations)('$name: its text stands once in $file', ({ file, from }) => {
  expect(readFileSync(join(ROOT, file), 'utf8').split(from)).toHaveLength(2);
});

it('what is drawn from exists', () => {
  const names = mutations.map(({ name }) => name);
  expect([...noticed].filter((name) => !names.includes(name))).toEqual([]);
});
