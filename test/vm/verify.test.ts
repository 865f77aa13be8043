// SPDX-License-Identifier: GPL-2.0-or-later
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Cluster } from './lib/cluster.ts';
import {
  bootInstalled, bringUp, diskDigest, dumpMetaData, enginePids, installed, resourceFile, takeDown, waitConnection, waitHealthy,
} from './lib/drbd.ts';
import type { Guest } from './lib/guest.ts';
import { waitFor } from './lib/wait.ts';

/** Of one run; it is repeated until all troubles have happened. */
const SECONDS = process.env.TEST_ALL ? 60 : 15;
const FIO = [
  'fio --name=verify --filename=/dev/drbd0 --ioengine=libaio --direct=1 --rw=randwrite --bsrange=4k-1M',
  `--size=96M --time_based --runtime=${SECONDS} --verify=crc32c --verify_backlog=256 --verify_fatal=1`,
  '--iodepth=32 --iodepth_batch_submit=1 --iodepth_low=1 --output-format=json',
].join(' ');

async function killEngine(guest: Guest, other: Guest): Promise<void> {
  const before = await enginePids(guest);
  expect(before.length).toBeGreaterThan(0);
  await guest.run(`kill -9 ${before.join(' ')}`);
  await waitFor('a new engine', async () => (await enginePids(guest)).some((pid) => !before.includes(pid)));
  await waitConnection(guest, 'Connected');
  await waitConnection(other, 'Connected');
}

async function partAndMeet(guest: Guest): Promise<void> {
  await guest.run('drbdadm disconnect r0');
  await waitConnection(guest, 'StandAlone');
  await guest.run('drbdadm connect r0');
  await waitConnection(guest, 'Connected');
}

describe.skipIf(!installed)('data under trouble', { sequential: true }, () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await bootInstalled(2, { disksMiB: [128], memoryMiB: 768 });
    await Promise.all(cluster.guests.map((guest) => guest.startOfTest('verify')));
  });
  afterAll(() => cluster?.destroy());

  test('fio verifies through disconnects and the death of each engine; the disks end up equal', async () => {
    const [n1, n2] = cluster.guests as [Guest, Guest];
    await bringUp(cluster, resourceFile({ disks: ['/dev/vda'], net: 'connect-int 2;' }), 1);
    let troubled = false;
    const load = (async () => {
      do {
        const { stdout, stderr, code } = await n1.exec(FIO, { timeoutMs: 600_000 });
        if (code !== 0) throw new Error(`fio: ${code}\n${stderr}${stdout.slice(-2000)}\n${n1.logTail()}`);
      } while (!troubled);
    })();
    const troubles = async () => {
      await partAndMeet(n1);
      await killEngine(n1, n2);
      await partAndMeet(n2);
      await killEngine(n2, n1);
      await partAndMeet(n1);
    };
    await Promise.all([load, troubles().finally(() => { troubled = true; })]);
    await Promise.all(cluster.guests.map((guest) => waitHealthy(guest)));
    for (const guest of cluster.guests) await takeDown(guest);
    const { sizeSectors } = await dumpMetaData(n1, 0, '/dev/vda');
    const digests = await Promise.all(cluster.guests.map((guest) => diskDigest(guest, '/dev/vda', sizeSectors)));
    expect(digests[0]).toBe(digests[1]);
    for (const guest of cluster.guests) await guest.expectCleanKernelLog();
  });
});
