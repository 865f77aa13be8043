// SPDX-License-Identifier: GPL-2.0-or-later
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Cluster } from './lib/cluster.ts';
import type { Guest } from './lib/guest.ts';
import { waitFor } from './lib/wait.ts';

let cluster: Cluster;
let n1: Guest;
let n2: Guest;

beforeAll(async () => {
  cluster = await Cluster.boot(2, { disksMiB: [64, 32], memoryMiB: 512, cpus: 1 });
  [n1, n2] = cluster.guests as [Guest, Guest];
});
afterAll(() => cluster?.destroy());

test('commands give output, errors and status, many at once', async () => {
  const results = await Promise.all([
    n1.exec('echo out; echo err >&2; exit 7'),
    n1.exec('sleep 0.5; hostname'),
    n1.exec('wc -c', { input: 'x'.repeat(300_000) }),
    n1.exec('head -c 3000000 /dev/zero | tr "\\0" y'),
    n1.exec('kill -9 $$'),
  ]);
  expect(results[0]).toEqual({ stdout: 'out\n', stderr: 'err\n', code: 7 });
  expect(results[1]!.stdout).toBe('n1\n');
  expect(results[2]!.stdout).toBe('300000\n');
  expect(results[3]!.stdout).toHaveLength(3_000_000);
  expect(results[4]!.code).toBe(-9);
});

test('a command that does not end is killed and named', async () => {
  await expect(n1.exec('echo before; sleep 1000', { timeoutMs: 500 })).rejects.toThrow(/500 ms.*sleep 1000[^]*before/);
  expect((await n1.exec('pgrep sleep')).code).toBe(1);
});

test('a stream is read while it goes on', async () => {
  const stream = n1.stream('i=0; while true; do echo line $((i++)); sleep 0.1; done');
  expect(await stream.line(/line 3/)).toBe('line 3');
  await stream.stop();
});

test('the guests reach each other by name', async () => {
  const server = n1.exec(`python3 -c "import socket; c, _ = socket.create_server(('n1', 7000)).accept(); print(c.recv(9))"`);
  await waitFor('a connection', async () => (await n2.exec('echo -n hello > /dev/tcp/n1/7000')).code === 0);
  expect((await server).stdout).toBe("b'hello'\n");
});

test('disks outlive a power failure, the rest does not', async () => {
  expect(await n2.run('cat /sys/block/vda/size /sys/block/vdb/size')).toBe('131072\n65536\n');
  await n2.run('touch /etc/mark; echo kept | dd of=/dev/vda oflag=direct conv=sync bs=4096 status=none');
  const running = n2.exec('sleep 1000');
  running.catch(() => {});
  await n2.kill();
  await expect(running).rejects.toThrow(/gone/);
  await n2.boot();
  expect(await n2.run('head -c 4 /dev/vda; ls /etc/mark 2>&1 || true')).toMatch(/^kept.*No such file/);
});

test('trouble in the kernel log is found, but only after the marker', async () => {
  await n1.run('echo "<4>WARNING: from before" > /dev/kmsg');
  await n1.startOfTest('kernel log');
  await n1.expectCleanKernelLog();
  await n1.run('echo "<4>BUG: that is one" > /dev/kmsg');
  await expect(n1.expectCleanKernelLog()).rejects.toThrow(/BUG: that is one/);
});
