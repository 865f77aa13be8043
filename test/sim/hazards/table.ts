// SPDX-License-Identifier: GPL-2.0-or-later
/** The rows, the scenarios that show them, and docs/hazards.md, which is printed from both. */
import { readdirSync, readFileSync } from 'node:fs';
import { assert } from '../../../src/assert.ts';
import { elsewhere, waiting } from './waiting.ts';

const FOLDER = 'test/sim/hazards';
const ROW = /^([HZ]-\d+) (C|-)(N|-) (.*)$/;
const SCENARIO = /^ *hazard\('([HZ]-\d+)',\s*(['"`])(.*?)\2,/gms;

export interface HazardRow {
  readonly id: string;
  readonly core: boolean;
  /** Better than 9.2.18. */
  readonly newer: boolean;
  readonly text: string;
  /** Files; '' when there is none. */
  readonly shownBy: string;
  readonly elsewhere: boolean;
  /** Why there is none; '' of a row outside the core set that nobody has scripted yet. */
  readonly waitsFor: string;
}

/** Titles by id, and the files they stand in. */
function scenarios(): ReadonlyMap<string, { title: string; file: string }> {
  const found = new Map<string, { title: string; file: string }>();
  for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.test.ts')).sort()) {
    for (const [, id, , title] of readFileSync(`${FOLDER}/${file}`, 'utf8').matchAll(SCENARIO)) {
      if (!found.has(id!)) found.set(id!, { title: title!.replace(/\$\{[^}]*\}/g, '…'), file: `${FOLDER}/${file}` });
    }
  }
  return found;
}

export function hazardRows(): readonly HazardRow[] {
  const shown = scenarios();
  const rows = readFileSync(`${FOLDER}/rows.txt`, 'utf8').split('\n').flatMap((line) => {
    const [, id, core, newer, text] = ROW.exec(line) ?? [];
    if (id === undefined) return [];
    const scenario = shown.get(id);
    const other = elsewhere[id];
    if (other !== undefined) assert(readFileSync(other, 'utf8').includes(id), 'a file that is said to show a hazard names it');
    return [{ id, core: core === 'C', newer: newer === 'N', text: scenario?.title ?? text!, shownBy: scenario?.file ?? other ?? '',
      elsewhere: scenario === undefined && other !== undefined, waitsFor: scenario ? '' : waiting[id] ?? '' }];
  });
  const known = new Set(rows.map(({ id }) => id));
  for (const id of [...shown.keys(), ...Object.keys(waiting), ...Object.keys(elsewhere)]) assert(known.has(id), 'every id is a row');
  for (const row of rows) assert(!row.core || row.shownBy !== '' || row.waitsFor !== '', 'a core row is shown or says why not');
  return rows;
}

export function countOf(rows: readonly HazardRow[], green: (row: HazardRow) => boolean): string {
  const core = rows.filter((row) => row.core);
  const others = rows.filter((row) => !row.core);
  const reasons = new Map<string, number>();
  for (const { waitsFor } of core.filter((row) => row.shownBy === '')) reasons.set(waitsFor, (reasons.get(waitsFor) ?? 0) + 1);
  return [
    `core: ${core.filter(green).length} of ${core.length} green, ${core.filter((row) => row.shownBy === '').length} waiting`,
    ...[...reasons].map(([reason, n]) => `  ${n} for ${reason}`),
    `others: ${others.filter(green).length} of ${others.length} green`,
  ].join('\n');
}

export function documentOf(rows: readonly HazardRow[]): string {
  const line = (row: HazardRow): string => {
    const mark = `${row.core ? '●' : ''}${row.newer ? ' N' : ''}`.trim();
    const where = row.shownBy.replace(/^test\//, '') || (row.waitsFor === '' ? 'not scripted' : `waits: ${row.waitsFor}`);
    return `| ${row.id} ${mark} | ${row.text.replaceAll('|', '/')} | ${where} |`;
  };
  return `<!-- Printed by npm run sim:hazards from test/sim/hazards; a test checks it. -->
# Hazards

How replicated block devices have lost data, diverged or stood still, collected from DRBD's change logs; and the scenario that
shows that drbdd does not. ● = core set; N = 9.2.18 itself is wrong there, drbdd does as 9.2.19/9.3 do. H rows were fixed in
some release of DRBD, Z rows are reported and not solved there.

A scenario is a script of a few lines (\`src/sim/story\`) that drives whole simulated engines; each ends with all faults healed
and the checkers: L acknowledged writes are there, D disks are the same or the difference is known by a bit, S nothing stands
still, R nobody is refused or called split without a reason, G nothing else is read than was written.

\`\`\`
${countOf(rows, (row) => row.shownBy !== '')}
\`\`\`

| id | scenario, or what would happen | shown by (in test/) |
| --- | --- | --- |
${rows.map(line).join('\n')}
`;
}
