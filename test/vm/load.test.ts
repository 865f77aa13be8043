// SPDX-License-Identifier: GPL-2.0-or-later
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Cluster } from './lib/cluster.ts';
import { bootInstalled, enginePids, installed, takeDown } from './lib/drbd.ts';
import type { Guest, Stream } from './lib/guest.ts';
import { waitFor } from './lib/wait.ts';

const ROUNDS = 20;

describe.skipIf(!installed)('loading and unloading', { sequential: true }, () => {
  let cluster: Cluster;
  let guest: Guest;

  beforeAll(async () => {
    cluster = await bootInstalled(1, { memoryMiB: 512 });
    guest = cluster.guests[0]!;
  });
  afterAll(() => cluster?.destroy());
  beforeEach(({ task }) => guest.startOfTest(task.name));

  test('what tools look at', async () => {
    await guest.run('modprobe drbd');
    expect(await guest.run('cat /proc/drbd')).toMatch(
      /^version: 9\.2\.18-drbdd\.\d+\.\d+\.\d+ \(api:2\/proto:118-124\)\nGIT-hash: [0-9a-f]+/,
    );
    expect(await guest.run('cat /sys/module/drbd/version')).toMatch(/^9\.2\.18/);
    await guest.run('test -e /sys/module/drbd/parameters/usermode_helper');
    expect(await guest.run('grep drbd /proc/devices')).toMatch(/^\s*147 drbd/m);
    expect(await guest.run('drbdadm --version')).toMatch(/DRBD_KERNEL_VERSION_CODE=0x090212/);
    expect(await guest.run('drbdsetup status')).toBe('# No currently configured DRBD found.\n');
    expect(await enginePids(guest)).toEqual([]);
    await takeDown(guest);
    await guest.expectCleanKernelLog();
  });

  test('only root talks to it', async () => {
    await guest.run('modprobe drbd');
    const nobody = 'setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all';
    expect((await guest.exec(`${nobody} drbdsetup new-resource r0 0`)).code).not.toBe(0);
    expect((await guest.exec(`${nobody} cat /dev/drbd-control`)).stderr).toMatch(/Permission denied|not permitted/);
    expect((await guest.exec('unshare -Un cat /dev/drbd-control')).code).not.toBe(0);
    expect(await enginePids(guest)).toEqual([]);
    await takeDown(guest);
    await guest.expectCleanKernelLog();
  });

  test('it answers in every network namespace', async () => {
    await guest.run('modprobe drbd && unshare -n drbdsetup new-resource elsewhere 0');
    expect(await guest.run('unshare -n drbdsetup status')).toMatch(/^elsewhere role:Secondary/);
    await guest.run('drbdsetup down elsewhere');
    await takeDown(guest);
    await guest.expectCleanKernelLog();
  });

  test('an engine that cannot be started gives a clear error', async () => {
    await guest.run('modprobe drbd engine=/nonexistent');
    const { code, stderr } = await guest.exec('drbdsetup new-resource r0 0', { timeoutMs: 30_000 });
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/engine/);
    expect((await guest.exec('drbdsetup status')).code).toBe(0);
    await takeDown(guest);
    await guest.expectCleanKernelLog();
  });

  test('requests that wait do not block others, and a caller may die', async () => {
    await guest.run('modprobe drbd engine=/bin/false');
    const waiting = guest.stream('exec drbdsetup new-resource r0 0');
    expect((await guest.exec('timeout 5 drbdsetup status')).code).toBe(0);
    await waiting.stop();
    await takeDown(guest);
    await guest.expectCleanKernelLog();
  });

  test(`${ROUNDS} rounds of load, use, unload, while the listeners of all rounds stay`, async () => {
    const listeners: Stream[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      await guest.run('modprobe drbd');
      const events = guest.stream('exec drbdsetup events2');
      listeners.push(events);
      await events.line(/^exists -$/);
      expect(await guest.run('drbdsetup new-resource r0 0 && drbdsetup status')).toMatch(/^r0 role:Secondary/);
      await guest.run('drbdsetup down r0');
      await takeDown(guest);
      await events.line(/^destroy resource name:r0/);
      expect(await enginePids(guest)).toEqual([]);
    }
    for (const events of listeners) await events.stop();
    await guest.expectCleanKernelLog();
  });

  test('the engine leaves no process and no file of its own behind', async () => {
    await waitFor('no engine', async () => (await enginePids(guest)).length === 0);
    expect(await guest.run('ls -A /run/drbdd 2> /dev/null || true')).toBe('');
  });
});
