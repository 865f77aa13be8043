// SPDX-License-Identifier: GPL-2.0-or-later
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { PRINTED, reprinted } from '../../../src/genl/doc.ts';

const path = new URL('../../../docs/reference/netlink.md', import.meta.url);

test('docs/reference/netlink.md shows the tables of the schemas (UPDATE_DOCS=1 rewrites it)', () => {
  const text = readFileSync(path, 'utf8');
  const right = reprinted(text);
  if (process.env.UPDATE_DOCS) writeFileSync(path, right);
  else expect(text).toBe(right);
  for (const section of Object.keys(PRINTED)) expect(right).toContain(`<!-- printed: ${section} -->`);
});
