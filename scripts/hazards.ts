// SPDX-License-Identifier: GPL-2.0-or-later
/** npm run sim:hazards: runs the hazard scenarios and counts; writes docs/hazards.md. --check: only looks whether that is true. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { countOf, documentOf, hazardRows } from '../test/sim/hazards/table.ts';

const DOC = 'docs/hazards.md';
const rows = hazardRows();
const text = documentOf(rows);

function greenIds(): ReadonlySet<string> {
  const dir = mkdtempSync(join(tmpdir(), 'hazards-'));
  const out = join(dir, 'result.json');
  try {
    execFileSync('npx', ['vitest', 'run', '--project', 'sim', '--reporter=json', `--outputFile=${out}`, 'test/sim/hazards'], { stdio: 'ignore' });
  } catch { /* Red ones are counted below. */ }
  const { testResults } = JSON.parse(readFileSync(out, 'utf8')) as
    { testResults: { assertionResults: { title: string; status: string; failureMessages: string[] }[] }[] };
  rmSync(dir, { recursive: true });
  const results = testResults.flatMap((file) => file.assertionResults).filter(({ title }) => /^[HZ]-\d+ /.test(title));
  const red = results.filter(({ status }) => status !== 'passed');
  for (const { title, failureMessages } of red) console.log(`RED ${title}\n    ${failureMessages[0]?.split('\n')[0]}`);
  const redIds = new Set(red.map(({ title }) => title.split(' ')[0]!));
  return new Set(results.map(({ title }) => title.split(' ')[0]!).filter((id) => !redIds.has(id)));
}

if (process.argv.includes('--check')) {
  if (readFileSync(DOC, 'utf8') !== text) {
    console.log(`${DOC} is out of date: npm run sim:hazards`);
    process.exitCode = 1;
  }
} else {
  writeFileSync(DOC, text);
  const green = greenIds();
  const shown = rows.filter((row) => row.shownBy !== '');
  console.log(countOf(rows, (row) => green.has(row.id) || row.elsewhere));
  process.exitCode = shown.some((row) => !row.elsewhere && !green.has(row.id)) ? 1 : 0;
}
