// SPDX-License-Identifier: GPL-2.0-or-later
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
let folder: string;
let launcher: string;
let script: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'spare-'));
  launcher = join(folder, 'drbdd');
  const sources = ['main.c', 'spare.c', 'spawner.c'].map((name) => join(root, 'native/launcher', name));
  execFileSync('gcc', ['-O1', '-Wall', '-Wextra', '-Werror', '-o', launcher, ...sources]);
  script = join(folder, 'engine.ts');
  writeFileSync(script, `
    import { whenWoken } from '${root}/src/daemon/spare.ts';
    if (!process.env.DRBDD_SPARE) throw new Error('not told to be the spare');
    whenWoken(process.env.DRBDD_SPARE, () => process.stdout.write('awake\\n', () => setTimeout(() => process.exit(0), 500)));
    process.stdout.write('ready\\n');
  `);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** As spare.c names it. */
function socketPath(): string {
  const { ino, mtimeNs } = statSync(script, { bigint: true });
  return `/run/drbdd-spare.${ino.toString(16)}.${(mtimeNs / 1_000_000_000n).toString(16)}.${(mtimeNs % 1_000_000_000n).toString(16)}`;
}

const spareArguments = () => ['--spare', '--no-cgroup', '--node', process.execPath, '--script', script];

it.skipIf(process.getuid?.() !== 0)('a spare engine waits under another name, is woken once, and is the only one', async () => {
  const spare = spawn(launcher, spareArguments(), { stdio: ['ignore', 'pipe', 'inherit'] });
  const [ready] = await once(spare.stdout, 'data') as [Buffer];
  expect(ready.toString()).toBe('ready\n');
  expect(readFileSync(`/proc/${spare.pid}/cmdline`, 'latin1')).toMatch(/^drbdd-spare\0/);
  expect(statSync(socketPath()).mode & 0o777).toBe(0o700);
  expect(spawnSync(launcher, spareArguments(), { stdio: 'ignore', timeout: 30_000 }).status).toBe(1);

  const awake = once(spare.stdout, 'data') as Promise<[Buffer]>;
  const waker = connect(socketPath());
  const [byte] = await once(waker, 'data') as [Buffer];
  expect(byte.length).toBe(1);
  expect((await awake)[0].toString()).toBe('awake\n');
  expect(readFileSync(`/proc/${spare.pid}/cmdline`, 'latin1')).toMatch(/^@drbdd\0/);
  waker.destroy();
  expect((await once(spare, 'exit'))[0]).toBe(0);
  // Who wakes it removes the name.
  rmSync(socketPath());
  expect(existsSync(socketPath())).toBe(false);
});
