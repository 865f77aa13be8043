// SPDX-License-Identifier: GPL-2.0-or-later
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { featureTable, packetTable, versionTable } from '../../../src/wire/doc.ts';

const FILE = new URL('../../../docs/reference/wire.md', import.meta.url);

it.each([
  ['packets', packetTable()], ['features', featureTable()], ['versions', versionTable()],
])('the table of %s in docs/reference/wire.md is the schemas\'', (name, printed) => {
  const text = readFileSync(FILE, 'utf8');
  const [open, close] = [`<!-- ${name} -->\n`, `\n<!-- /${name} -->`];
  const from = text.indexOf(open) + open.length;
  const to = text.indexOf(close);
  expect(from).toBeGreaterThan(open.length - 1);
  if (process.env.UPDATE_DOCS === '1') writeFileSync(FILE, text.slice(0, from) + printed + text.slice(to));
  else expect(text.slice(from, to)).toBe(printed);
});
