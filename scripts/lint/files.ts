// SPDX-License-Identifier: GPL-2.0-or-later
import { importsOf, lineOf, withoutComments } from './imports.ts';
import type { Finding, SourceFile } from './types.ts';

const FILE_LINES = 600;
const LINE_CHARACTERS = 140;
/** What the shim may have at most, and what it must never grow beyond until it is there. */
const KMOD_LINES = 2000;
const KMOD_LINES_NOW = 2123;
const SOURCE = /\.(ts|c|h|cc|sh)$|^scripts\/[^/.]+$|^\.ci\/|Makefile$|Kbuild$/;
const CODE = /\.(ts|c|h|cc)$/;
/** Counted apart: what differs between kernels, and the empty transport modules. */
const KMOD_APART = /^kmod\/(compat|drbd_transport_)/;
/** Folders of machines on which somebody happens to work; spelled so that this file does not meet itself. */
const MACHINE_PATH = new RegExp(['work', 'home', 'Users'].map((folder) => `(?<![\\w.~-])/${folder}/\\w`).join('|'));
/** Run by a person or by make, so nobody imports them. */
const ENTRIES = [/^src\/daemon\/main\.ts$/, /^scripts\/[\w-]+\.ts$/, /^vitest\.config\.ts$/, /^test\/reporter\.ts$/,
  /^test\/vm\/(lib\/(cli|raw-genl)|programs\/.*)\.ts$/, /^test\/(demo\/demo|bench\/bench)\.ts$/, /^test\/\w+\/cli\.ts$/, /\.test\.ts$/];
const REGISTERED_TEST = /^test\/(unit|sim|vm)\//;

function checkText(file: SourceFile): Finding[] {
  const findings: Finding[] = [];
  const { path, text } = file;
  const lines = text.split('\n');
  const say = (line: number, what: string, warning = false) => findings.push({ path, line, text: what, warning });
  if (SOURCE.test(path) && !lines.slice(0, 3).some((line) => line.includes('SPDX-License-Identifier: GPL-2.0'))) {
    say(1, 'no SPDX-License-Identifier line');
  }
  if (CODE.test(path) && lines.length > FILE_LINES) say(1, `${lines.length} lines: is this one thing? (over ${FILE_LINES})`, true);
  lines.forEach((line, i) => {
    if (CODE.test(path) && line.length > LINE_CHARACTERS) say(i + 1, `line of ${line.length} characters`, true);
    if (path !== 'scripts/lint/files.ts' && MACHINE_PATH.test(line)) say(i + 1, 'a path of one machine');
  });
  if (path.endsWith('.ts')) {
    for (const match of withoutComments(text).matchAll(/^\s*(?:export\s+)?(?:declare\s+)?(?:const\s+)?(enum|namespace)\s+\w/gm)) {
      say(lineOf(text, match.index), `${match[1]}: types are stripped, use 'as const' objects and modules`);
    }
  }
  return findings;
}

function checkKmod(files: readonly SourceFile[]): Finding[] {
  const counted = files.filter(({ path }) => /^kmod\/[^/]+\.c$/.test(path) && !KMOD_APART.test(path));
  const lines = counted.reduce((sum, { text }) => sum + text.split('\n').length - 1, 0);
  if (lines <= KMOD_LINES) return [];
  const text = `${lines} lines in kmod/*.c, over ${KMOD_LINES}: the shim decides nothing`;
  return [{ path: 'kmod', line: 1, text, warning: lines <= KMOD_LINES_NOW }];
}

/** Files that nothing imports, and tests that no project of vitest.config.ts runs. */
function checkDead(files: readonly SourceFile[]): Finding[] {
  const code = files.filter(({ path }) => path.endsWith('.ts'));
  const used = new Set(code.flatMap((file) => importsOf(file).map((item) => item.target)));
  const findings: Finding[] = [];
  for (const { path } of code) {
    if (path.endsWith('.test.ts') && !REGISTERED_TEST.test(path)) {
      findings.push({ path, line: 1, text: 'no project of vitest.config.ts runs this test' });
    } else if (!used.has(path) && !ENTRIES.some((entry) => entry.test(path))) {
      findings.push({ path, line: 1, text: 'nothing imports this file', warning: true });
    }
  }
  return findings;
}

/** What holds for each file by itself, the kernel module's size, and dead files. */
export function checkFiles(files: readonly SourceFile[]): Finding[] {
  return [...files.flatMap(checkText), ...checkKmod(files), ...checkDead(files)];
}
