// SPDX-License-Identifier: GPL-2.0-or-later
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Cluster } from './lib/cluster.ts';
import { bootInstalled, installed, resourceFile, resourceStatus, takeDown, waitConnection } from './lib/drbd.ts';
import type { Guest } from './lib/guest.ts';
import { waitFor } from './lib/wait.ts';

interface RawExchange {
  label: string;
  request: string;
  replies: string[];
}

const REPOSITORY = join(import.meta.dirname, '../..');
const FIXTURE = join(REPOSITORY, 'test/fixtures/genl/genuine-9.2.18.json.gz');
const NODE = join(REPOSITORY, 'node_modules/.bin/node');
/** Length, type, flags, sequence number and port of a netlink message differ from run to run. */
const NL_HEADER_DIGITS = 32;

/** Genuine DRBD repeats the error of such a dump for ever; one is enough. */
const firstOnly = ({ label, replies }: RawExchange) => (label.endsWith('unknown-resource') ? replies.slice(0, 1) : replies);

describe.skipIf(!installed)('bad input', { sequential: true }, () => {
  let cluster: Cluster;
  let n1: Guest;
  let n2: Guest;

  beforeAll(async () => {
    cluster = await bootInstalled(2, { disksMiB: [64, 64, 1], memoryMiB: 512 });
    [n1, n2] = cluster.guests as [Guest, Guest];
  });
  afterAll(() => cluster?.destroy());
  beforeEach(({ task }) => Promise.all(cluster.guests.map((guest) => guest.startOfTest(task.name))));

  const sendRaw = async (requests: { request: string; replies: number }[]): Promise<string[][]> => {
    const script = join(REPOSITORY, 'test/vm/lib/raw-genl.ts');
    return JSON.parse(await n1.run([NODE, script], { input: JSON.stringify(requests), timeoutMs: 300_000 }));
  };
  const unload = async (guests: Guest[]) => {
    for (const guest of guests) {
      await takeDown(guest);
      await guest.expectCleanKernelLog();
    }
  };

  test('hand-made requests are answered as genuine DRBD answers them', async () => {
    const { raw } = JSON.parse(gunzipSync(readFileSync(FIXTURE)).toString()) as { raw: RawExchange[] };
    await n1.run('modprobe drbd');
    const answers = await sendRaw(raw.map((item) => ({ request: item.request, replies: firstOnly(item).length })));
    const body = (message: string) => message.slice(NL_HEADER_DIGITS);
    const seen = raw.map((item, i) => `${item.label}: ${answers[i]!.map(body).join(' ')}`);
    expect(seen).toEqual(raw.map((item) => `${item.label}: ${firstOnly(item).map(body).join(' ')}`));
    await unload([n1]);
  });

  test('truncated and oversized attributes change nothing', async () => {
    await n1.run('modprobe drbd && drbdsetup new-resource r0 0');
    const { raw } = JSON.parse(gunzipSync(readFileSync(FIXTURE)).toString()) as { raw: RawExchange[] };
    const source = Buffer.from(raw.find(({ label }) => label === 'new-minor-raw')!.request, 'hex');
    const requests = [];
    for (let cut = 28; cut < source.length; cut += 4) {
      const message = Buffer.from(source.subarray(0, cut));
      message.writeUInt32LE(cut, 0);
      requests.push({ request: message.toString('hex'), replies: 1 });
    }
    const attribute = source.readUInt16LE(28);
    for (const length of [0, 3, attribute + 4, 0x7fff, 0xffff]) {
      const message = Buffer.from(source);
      message.writeUInt16LE(length, 28);
      requests.push({ request: message.toString('hex'), replies: 1 });
    }
    const answers = await sendRaw(requests);
    expect(answers.filter((list) => list.length !== 1)).toEqual([]);
    expect((await resourceStatus(n1))?.devices).toEqual([]);
    await n1.run('drbdsetup down r0');
    await unload([n1]);
  });

  test('attach of what cannot be attached', async () => {
    await n1.run('modprobe drbd && drbdsetup new-resource r0 0 && drbdsetup new-minor r0 0 0 && drbdsetup new-minor r0 1 1');
    const attach = (minor: number, disk: string) => n1.exec(`drbdsetup attach ${minor} ${disk} ${disk} internal`);
    expect((await attach(0, '/dev/nosuchdisk')).stderr).toMatch(/Can not open device/);
    expect((await attach(0, '/dev/vda')).stderr).toMatch(/\(119\) No valid meta-data signature found/);
    await n1.run('dd if=/dev/urandom of=/dev/vda bs=4096 seek=$(($(blockdev --getsize64 /dev/vda) / 4096 - 1)) count=1');
    expect((await attach(0, '/dev/vda')).stderr).toMatch(/\(119\) No valid meta-data signature found/);
    expect((await attach(0, '/dev/vdc')).stderr).toMatch(/\((111|112|119)\)/);
    await n1.run('drbdmeta --force 0 v09 /dev/vda internal create-md 1');
    expect((await attach(0, '/dev/vda')).code).toBe(0);
    expect((await attach(0, '/dev/vda')).stderr).toMatch(/\(124\)/);
    expect((await attach(1, '/dev/vda')).stderr).toMatch(/\(10[45]\)|\(11[56]\)/);
    await n1.run('mkfs.ext4 -q /dev/vdb && mkdir -p /mnt/busy && mount /dev/vdb /mnt/busy');
    expect((await attach(1, '/dev/vdb')).stderr).toMatch(/\(104\) Can not open backing device/);
    await n1.run('umount /mnt/busy; drbdsetup down r0');
    await n1.run('drbdmeta 0 v09 /dev/vda internal apply-al');
    await unload([n1]);
  });

  const upBoth = async (files: [string, string]) => {
    for (const [i, guest] of cluster.guests.entries()) {
      await guest.writeFile('/etc/drbd.d/r0.res', files[i]!);
      await guest.run('modprobe drbd && drbdadm --force create-md r0 && drbdadm up r0', { timeoutMs: 120_000 });
    }
  };

  test('a wrong shared secret', async () => {
    const secret = (word: string) => resourceFile({ disks: ['/dev/vda'], net: `cram-hmac-alg sha256; shared-secret ${word};` });
    await upBoth([secret('one'), secret('two')]);
    await Promise.all(cluster.guests.map((guest) =>
      waitFor('a refusal in the log', () => guest.kernelLog.lines.some((line) => /Authentication of peer failed/.test(line)))));
    await n2.writeFile('/etc/drbd.d/r0.res', secret('one'));
    await n2.run('drbdadm adjust r0');
    await n1.run('drbdadm adjust r0');
    await Promise.all(cluster.guests.map((guest) => waitConnection(guest, 'Connected')));
    await unload(cluster.guests);
  });

  test('a peer that speaks garbage', async () => {
    await n1.writeFile('/etc/drbd.d/r0.res', resourceFile({ disks: ['/dev/vda'] }));
    await n1.run('modprobe drbd && drbdadm --force create-md r0 && drbdadm up r0', { timeoutMs: 120_000 });
    const before = n1.kernelLog.lines.length;
    for (const source of ['/dev/urandom', '/dev/zero']) {
      await n2.exec(`timeout 5 dd if=${source} bs=64k count=16 status=none > /dev/tcp/10.99.0.1/7789`);
    }
    await waitConnection(n1, 'Connecting');
    await n1.mark('garbage is over');
    expect(n1.kernelLog.lines.slice(before).filter((line) => /drbd/.test(line)).length).toBeLessThan(20);
    expect((await resourceStatus(n1))?.devices[0]?.['disk-state']).toBe('Inconsistent');
    await n2.writeFile('/etc/drbd.d/r0.res', resourceFile({ disks: ['/dev/vda'] }));
    await n2.run('modprobe drbd && drbdadm --force create-md r0 && drbdadm up r0', { timeoutMs: 120_000 });
    await Promise.all(cluster.guests.map((guest) => waitConnection(guest, 'Connected')));
    await unload(cluster.guests);
  });

  test('a port that is in use', async () => {
    const listen = "import socket, time; s = socket.create_server(('n1', 7789)); print('taken'); time.sleep(600)";
    const squatter = n1.stream(`exec python3 -uc "${listen}"`);
    await squatter.line(/taken/);
    await upBoth([resourceFile({ disks: ['/dev/vda'] }), resourceFile({ disks: ['/dev/vda'] })]);
    await waitConnection(n1, 'Connecting');
    await waitFor('address and errno in the log', () =>
      n1.kernelLog.lines.some((line) => /10\.99\.0\.1:7789.*(-98|EADDRINUSE)|(-98|EADDRINUSE).*10\.99\.0\.1:7789/.test(line)));
    await squatter.stop();
    await Promise.all(cluster.guests.map((guest) => waitConnection(guest, 'Connected')));
    await unload(cluster.guests);
  });
});
