// SPDX-License-Identifier: GPL-2.0-or-later
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
let folder: string;
let launcher: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'launcher-'));
  launcher = join(folder, 'drbdd');
  const sources = ['main.c', 'spawner.c'].map((name) => join(root, 'native/launcher', name));
  execFileSync('gcc', ['-O1', '-Wall', '-Wextra', '-Werror', '-o', launcher, ...sources]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** CAP_SYS_RESOURCE; a container's root lacks it. */
function mayRaiseLimits(): boolean {
  const capabilities = /CapEff:\s*([0-9a-f]+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]!;
  return (BigInt(`0x${capabilities}`) >> 24n & 1n) === 1n;
}

function mayWriteKernelLog(): boolean {
  try {
    accessSync('/dev/kmsg', constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Runs a script the way the daemon is run; what it prints as JSON on descriptor 1. `closed`: without descriptors 0 and 2. */
function underLauncher(body: string, closed = false): Promise<Record<string, unknown>> {
  const script = join(folder, 'engine.ts');
  writeFileSync(script, `
    import { readFileSync, readlinkSync } from 'node:fs';
    import { SpawnerHelper } from '${root}/src/linux/helper.ts';
    const lines: string[] = [];
    const helper = new SpawnerHelper(Number(process.env['DRBDD_SPAWNER_FD']), (line) => lines.push(line));
    const run = (argv: string[], env: string[] = []) => new Promise<number>((resolve) => helper.run(argv, env, resolve));
    const out: Record<string, unknown> = {};
    ${body}
    process.stdout.write(JSON.stringify({ ...out, lines }));
    process.exit(0);
  `);
  const command = closed ? ['bash', '-c', 'exec "$@" <&- 2>&-', 'start', launcher] : [launcher];
  const child: ChildProcess = spawn(command[0]!, [...command.slice(1), '--no-cgroup', '--node', process.execPath, '--script', script, '--', 'argument'],
    { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout!.on('data', (chunk) => { text += chunk; });
  return new Promise((resolve, reject) => {
    child.on('exit', (code) => (code === 0 ? resolve(JSON.parse(text)) : reject(new Error(`exit ${code}: ${text}`))));
  });
}

describe('the launcher and its spawner', () => {
  it('give raw wait statuses, output and errnos', async () => {
    const out = await underLauncher(`
      out.ok = await run(['/bin/true']);
      out.seven = await run(['/bin/sh', '-c', 'exit 7']);
      out.killed = await run(['/bin/sh', '-c', 'kill -9 $$']);
      out.missing = await run(['/no/such/program']);
      out.notExecutable = await run(['/etc/passwd']);
      out.many = await run(Array.from({ length: 300 }, () => '/bin/true'));
      out.long = await run(['/bin/echo', 'x'.repeat(70000)]);
      await run(['/bin/sh', '-c', 'echo to stdout; echo to stderr >&2']);
    `);
    expect(out).toMatchObject({ ok: 0, seven: 7 << 8, killed: 9, missing: -2, notExecutable: -13, many: -7, long: -7 });
    expect(out['lines']).toEqual(['to stdout', 'to stderr']);
  });

  it('run helpers side by side, with exactly the arguments and environment given', async () => {
    const out = await underLauncher(`
      const began = Date.now();
      out.statuses = await Promise.all([3, 1, 2].map((n) => run(['/bin/sh', '-c', \`sleep 0.3; exit \${n}\`])));
      out.took = Date.now() - began;
      await run(['/usr/bin/env'], ['DRBD_MINOR=0', 'HOME=/']);
      await run(['/bin/sh', '-c', 'readlink /proc/self/cwd; cat /proc/self/oom_score_adj; readlink /proc/self/fd/0'], ['PATH=/usr/bin:/bin']);
      await run(['/bin/sh', '-c', 'cat /proc/self/cmdline | tr "\\\\0" "|"', 'a b', ''], ['PATH=/usr/bin:/bin']);
    `);
    expect(out['statuses']).toEqual([3 << 8, 1 << 8, 2 << 8]);
    expect(out['took']).toBeLessThan(850);
    const lines = out['lines'] as string[];
    expect(lines.slice(0, 2)).toEqual(['DRBD_MINOR=0', 'HOME=/']);
    expect(lines.slice(2, 5)).toEqual(['/', '0', '/dev/null']);
  });

  it('make the engine what the write-back path needs', async () => {
    const out = await underLauncher(`
      out.name = readFileSync('/proc/self/cmdline', 'utf8').split('\\0')[0];
      out.argument = process.argv[2];
      out.oom = readFileSync('/proc/self/oom_score_adj', 'utf8').trim();
      out.files = /Max open files +(\\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))![1];
      out.cwd = process.cwd();
      out.stdin = readlinkSync('/proc/self/fd/0');
      out.flags = Number(readFileSync('/proc/self/stat', 'utf8').split(') ')[1]!.split(' ')[6]);
    `);
    expect(out).toMatchObject({ name: '@drbdd', argument: 'argument', cwd: '/', stdin: '/dev/null' });
    if (mayRaiseLimits()) {
      expect(out).toMatchObject({ oom: '-1000', files: '65536' });
      // PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE: an I/O flusher.
      expect((out['flags'] as number) & 0x00080000).not.toBe(0);
    }
  });

  it('leave no standard descriptor closed, and let last words reach the kernel log', async () => {
    const out = await underLauncher('out.files = [0, 2].map((fd) => readlinkSync(`/proc/self/fd/${fd}`));', true);
    expect(out['files']).toEqual(['/dev/null', mayWriteKernelLog() ? '/dev/kmsg' : '/dev/null']);
  });

  it('end helpers with an error when the spawner dies', async () => {
    const out = await underLauncher(`
      const pid = readFileSync('/proc/self/task/' + process.pid + '/children', 'utf8').trim().split(' ')[0];
      const waiting = run(['/bin/sleep', '5']);
      process.kill(Number(pid), 'SIGKILL');
      out.status = await waiting;
      out.after = await run(['/bin/true']);
    `);
    expect(out).toMatchObject({ status: -32, after: -32 });
  });
});
