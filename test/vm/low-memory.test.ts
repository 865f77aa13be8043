// SPDX-License-Identifier: GPL-2.0-or-later
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Cluster } from './lib/cluster.ts';
import { bringUp, enginePids, installed, resourceFile, takeDown, waitHealthy } from './lib/drbd.ts';
import { engineDisk } from './lib/engine-disk.ts';

/** Takes and gives back anonymous memory so that what is available stays below 40 MiB. */
const HOG = `
import time
held = []
def available():
    for line in open('/proc/meminfo'):
        if line.startswith('MemAvailable'): return int(line.split()[1]) // 1024
low = 0
while True:
    now = available()
    if now > 38: held.append(bytearray(b'x') * (1 << 20))
    elif now < 16 and held: held.pop()
    else: time.sleep(0.02)
    if now < 40 and not low: low = 1; print('low', flush=True)
`;

describe.skipIf(!installed || !process.env.TEST_ALL)('little memory (with TEST_ALL=1)', { sequential: true }, () => {
  let cluster: Cluster;

  beforeAll(async () => {
    const layer = { image: engineDisk() };
    cluster = await Cluster.boot(2, (node) => ({ disksMiB: [1400], memoryMiB: node === 1 ? 384 : 1024, layer }));
  });
  afterAll(() => cluster?.destroy());

  test('1 GiB is written buffered on a Primary of 384 MiB while another process holds the rest', async () => {
    const [n1, n2] = cluster.guests;
    await Promise.all(cluster.guests.map((guest) => guest.startOfTest('little memory')));
    await bringUp(cluster, resourceFile({ disks: ['/dev/vda'] }), 1);
    await n1!.run('mkfs.ext4 -q /dev/drbd0 && mkdir -p /mnt/r0 && mount /dev/drbd0 /mnt/r0', { timeoutMs: 120_000 });
    const engine = await enginePids(n1!);
    await n1!.run('echo 90 > /proc/sys/vm/dirty_ratio; echo 80 > /proc/sys/vm/dirty_background_ratio');
    await n1!.writeFile('/run/hog.py', HOG);
    const hog = n1!.stream('exec python3 /run/hog.py');
    await hog.line(/low/, { timeoutMs: 120_000 });
    await n1!.run('dd if=/dev/zero of=/mnt/r0/big bs=1M count=1024 status=none && sync -f /mnt/r0', { timeoutMs: 900_000 });
    await hog.stop();
    expect(await enginePids(n1!)).toEqual(engine);
    expect(n1!.kernelLog.lines.filter((line) => /Out of memory|oom-kill|Killed process/.test(line))).toEqual([]);
    await waitHealthy(n1!);
    await n1!.run('umount /mnt/r0', { timeoutMs: 120_000 });
    for (const guest of [n1!, n2!]) {
      await takeDown(guest);
      await guest.expectCleanKernelLog();
    }
  });
});
