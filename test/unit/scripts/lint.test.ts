// SPDX-License-Identifier: GPL-2.0-or-later
import { expect, test } from 'vitest';
import { checkFiles } from '../../../scripts/lint/files.ts';
import { checkLayers } from '../../../scripts/lint/layers.ts';

const SPDX = '// SPDX-License-Identifier: GPL-2.0-or-later\n';
const layers = (path: string, text: string) => checkLayers([{ path, text: SPDX + text }]).map((f) => `${f.line}: ${f.text}`);
const errors = (path: string, text: string) =>
  checkFiles([{ path, text }]).filter((f) => !f.warning).map((f) => f.text);

test.each([
  ['src/io/a.ts', `import { x } from '../conn/b.ts';`, /src\/io may not import src\/conn/],
  ['src/wire/a.ts', `export type { X } from '../state/view.ts';`, /src\/wire may not import src\/state/],
  ['src/genl/a.ts', `import { X } from '../state/view.ts';`, /types only/],
  ['src/state/a.ts', `import fs from 'node:fs';`, /node:fs in the core/],
  ['src/genl/a.ts', `import { x } from 'netlink/dist/structs';`, /in src\/genl\/netlink.ts only/],
  ['src/meta/a.ts', `import pino from 'pino';`, /may not import the package pino/],
  ['src/conn/a.ts', `const now = Date.now();`, /use host.clock/],
  ['src/sim/a.ts', `\nconst n = Math.random();`, /^3: .*use host.random/],
  ['src/io/a.ts', `setTimeout(() => {}, 1);`, /use host.clock timers/],
  ['src/other/a.ts', ``, /not in the table/],
])('%s: %s is refused', (path, text, message) => {
  const found = layers(path, text);
  expect(found).toHaveLength(1);
  expect(found[0]).toMatch(message);
});

test.each([
  ['src/genl/a.ts', `import type { X } from '../state/view.ts';`],
  ['src/io/a.ts', `import { assert } from '../assert.ts';\nimport { y } from './b.ts';`],
  ['src/linux/a.ts', `import fs from 'node:fs';\nconst now = Date.now();`],
  ['src/io/a.ts', `// Date.now() is not for us\n/* Math.random() */`],
  ['src/io/a.ts', `this.clock.setTimeout(1);`],
])('%s: %s is allowed', (path, text) => {
  expect(layers(path, text)).toEqual([]);
});

test('files: licence line, enums, paths of a machine, tests that nobody runs, size of the module', () => {
  expect(errors('src/io/a.ts', 'const a = 1;')).toEqual(['no SPDX-License-Identifier line']);
  expect(errors('src/io/a.ts', `${SPDX}export const enum E { A }`)).toHaveLength(1);
  expect(errors('docs/a.md', `see ${'/'}home/someone/x`)).toEqual(['a path of one machine']);
  expect(errors('test/a.test.ts', SPDX)).toEqual(['no project of vitest.config.ts runs this test']);
  expect(errors('kmod/a.c', SPDX + '\n'.repeat(2500))[0]).toMatch(/over 2000/);
  expect(errors('kmod/compat.c', SPDX + '\n'.repeat(2000))).toEqual([]);
});
