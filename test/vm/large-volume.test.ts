// SPDX-License-Identifier: GPL-2.0-or-later
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Cluster } from './lib/cluster.ts';
import { bootInstalled, installed, outOfSyncKiB, pairOnOneNode, resourceStatus, takeDown, waitConnection, waitHealthy } from './lib/drbd.ts';
import type { Guest } from './lib/guest.ts';
import { waitFor } from './lib/wait.ts';

const MIB = 1 << 20;
const KIB_OF_MOST = 0.99 * 2 ** 30;
/** Both ends in one engine: what one of them does keeps the other from its pings. */
const net = 'ping-int 1; ping-timeout 20;';

describe.skipIf(!installed)('volumes of 1 TiB', { sequential: true }, () => {
  let cluster: Cluster;
  let guest: Guest;

  beforeAll(async () => {
    cluster = await bootInstalled(1, { disksMiB: [MIB, MIB], memoryMiB: 1024 });
    guest = cluster.guests[0]!;
    await guest.run('for i in 2 3; do ip addr add 127.0.0.$i/8 dev lo; done');
    await guest.startOfTest('large volumes');
  });
  afterAll(() => cluster?.destroy());

  test('H-220: pings are answered while whole bitmaps are set, written, sent and compared', async () => {
    await guest.writeFile('/etc/drbd.d/r.res', pairOnOneNode({ r0: ['127.0.0.2', '127.0.0.3'], r1: ['127.0.0.3', '127.0.0.2'], net: { r0: net, r1: net } }));
    await guest.run('modprobe drbd && drbdadm --force create-md all && drbdadm up all', { timeoutMs: 300_000 });
    const both = async (wait: (name: string) => Promise<unknown>): Promise<void> => { await Promise.all(['r0', 'r1'].map(wait)); };
    const marked = (name: string): Promise<unknown> =>
      waitFor(`${name} has most of it out of sync`, async () => outOfSyncKiB((await resourceStatus(guest, name))!) > KIB_OF_MOST, { timeoutMs: 120_000 });
    await both((name) => waitConnection(guest, 'Connected', { name }));
    await guest.run('drbdadm new-current-uuid --clear-bitmap r0/0');
    await both((name) => waitHealthy(guest, { name }));
    await guest.run('drbdadm pause-sync r0 && drbdadm invalidate r0/0', { timeoutMs: 120_000 });
    await both(marked);
    await guest.run('drbdadm disconnect r0');
    await both((name) => waitFor(`${name} is alone`, async () =>
      (await resourceStatus(guest, name))!.connections[0]!['connection-state'] !== 'Connected'));
    await guest.run('drbdadm connect r0');
    await both((name) => waitConnection(guest, 'Connected', { name }));
    await both(marked);
    await guest.run('drbdadm resume-sync r0');
    await waitFor('something is synced', async () => (await resourceStatus(guest, 'r0'))!.connections[0]!.peer_devices[0]!.received > 0);
    expect((await guest.run('dmesg | grep "PingAck did not arrive" || true')).trim()).toBe('');
    await takeDown(guest);
    await guest.expectCleanKernelLog();
  });
});
