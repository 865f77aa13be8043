// SPDX-License-Identifier: GPL-2.0-or-later
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Cluster } from './lib/cluster.ts';
import { bringUp, enginePids, installed, resourceFile, SETUP, takeDown, waitHealthy } from './lib/drbd.ts';
import { engineDisk } from './lib/engine-disk.ts';
import type { Guest, Stream } from './lib/guest.ts';
import { sleep } from './lib/wait.ts';

/** Many times of what is left: each page of it must be written back, and come free, to go on. */
const WRITTEN_MIB = 1024;
const DISK_MIB = 1300;
/** Without a sector written for so long it is stuck, however slow the machine. */
const STUCK_MS = 90_000;
const LOOK_MS = 5_000;

/** MiB that the other process leaves available. Pages that wait for their disk count among them: with less the kernel gives up on it. */
const AVAILABLE = { least: 36, most: 64 };
const program = join(dirname(fileURLToPath(import.meta.url)), 'programs/hog.c');

/** What runs while memory is low lies in memory: the root is a network file system, whose pages would be the first to go. */
const TOOL = '/run/busybox';
/** Prints the count of sectors written, and says once to the kernel log what waits when it stands still. */
const WATCH = `last=; same=0; while :; do
  read -r a b c d e f now rest < /sys/block/drbd0/stat; echo $now
  if [ "$now" = "$last" ]; then same=$((same + 1)); else same=0; fi
  [ $same = ${STUCK_MS / LOOK_MS - 3} ] && { echo w > /proc/sysrq-trigger; echo m > /proc/sysrq-trigger; }
  last=$now; sleep ${LOOK_MS / 1000}
done`;

/** Runs a command that writes; slow is all right, standing still is not. */
async function runWriter(guest: Guest, watch: Stream, command: string): Promise<void> {
  const writer = guest.stream(command);
  let code: number | undefined;
  void writer.done.then((status) => { code = status; });
  let sectors: string | undefined;
  let moved = Date.now();
  while (code === undefined) {
    await sleep(LOOK_MS);
    const now = watch.lines.at(-1);
    if (now !== sectors) moved = Date.now();
    sectors = now;
    if (Date.now() - moved > STUCK_MS) throw new Error(`nothing written for ${STUCK_MS} ms, ${sectors} sectors are\n${guest.logTail(300)}`);
  }
  expect(code, writer.lines.join('\n')).toBe(0);
}

describe.skipIf(!installed)('little memory', { sequential: true, timeout: 1_800_000 }, () => {
  let cluster: Cluster;

  beforeAll(async () => {
    const layer = { image: engineDisk() };
    cluster = await Cluster.boot(2, (node) => ({ disksMiB: [DISK_MIB], memoryMiB: node === 1 ? 384 : 1024, layer, setup: SETUP }));
  });
  afterAll(() => cluster?.destroy());

  test(`${WRITTEN_MIB} MiB are written buffered on a Primary of 384 MiB while another process leaves it ${AVAILABLE.most}`, async () => {
    const [n1, n2] = cluster.guests;
    await Promise.all(cluster.guests.map((guest) => guest.startOfTest('little memory')));
    await n1!.run(`gcc -O1 -static -o /run/hog ${program}`, { timeoutMs: 120_000 });
    await bringUp(cluster, resourceFile({ disks: ['/dev/vda'] }), 1);
    await n1!.run('mkfs.ext4 -q /dev/drbd0 && mkdir -p /mnt/r0 && mount /dev/drbd0 /mnt/r0', { timeoutMs: 120_000 });
    const engine = await enginePids(n1!);
    await n1!.run('echo 90 > /proc/sys/vm/dirty_ratio; echo 80 > /proc/sys/vm/dirty_background_ratio');
    await n1!.run(`cp $(command -v busybox) ${TOOL}`);
    const watch = n1!.stream(`exec ${TOOL} sh -c '${WATCH}'`);
    const hog = n1!.stream(`exec /run/hog ${AVAILABLE.least} ${AVAILABLE.most}`);
    await hog.line(/low/, { timeoutMs: 120_000 });
    await runWriter(n1!, watch, `exec ${TOOL} dd if=/dev/zero of=/mnt/r0/big bs=1M count=${WRITTEN_MIB} conv=fsync`);
    await hog.stop();
    await watch.stop();
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
