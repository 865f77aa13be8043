// SPDX-License-Identifier: GPL-2.0-or-later
/** The checker itself: with a safety rule switched off it must shout. Three drawn by the commit, all with TEST_ALL=1. */
import { execFileSync, spawn } from 'node:child_process';
import { expect, it } from 'vitest';

const ALL = process.env.TEST_ALL === '1';
const root = new URL('../..', import.meta.url).pathname;

function commit(): string {
  try { return execFileSync('git', ['rev-parse', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim(); } catch { return 'no commit'; }
}

it(ALL ? 'each mutation is noticed' : 'three mutations drawn by the commit are noticed', async () => {
  const args = ['scripts/sim-mutations.ts', '--parallel', '2', ...ALL ? [] : ['--draw', '3', '--by', commit()]];
  let told = '';
  const code = await new Promise((resolve) => {
    const child = spawn(process.execPath, args, { cwd: root });
    child.stdout.on('data', (text) => { told += text; });
    child.stderr.on('data', (text) => { told += text; });
    child.on('exit', resolve);
  });
  console.log(told);
  expect(code, told).toBe(0);
}, ALL ? 3_600_000 : 900_000);
