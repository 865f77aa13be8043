// SPDX-License-Identifier: GPL-2.0-or-later
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { documentOf, hazardRows } from '../../sim/hazards/table.ts';

it('docs/hazards.md says what the scenarios show', () => {
  expect(readFileSync('docs/hazards.md', 'utf8')).toBe(documentOf(hazardRows()));
});

it('every core row is shown or says what it waits for', () => {
  const core = hazardRows().filter((row) => row.core);
  expect(core).toHaveLength(135);
  for (const row of core) expect(row.shownBy !== '' || row.waitsFor !== '', row.id).toBe(true);
});
