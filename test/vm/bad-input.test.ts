// SPDX-License-Identifier: GPL-2.0-or-later
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Cluster } from './lib/cluster.ts';
import {
  bootInstalled, enginePids, installed, pairOnOneNode, resourceStatus, takeDown, waitConnection, type ResourceStatus,
} from './lib/drbd.ts';
import type { Guest } from './lib/guest.ts';
import { waitFor } from './lib/wait.ts';

interface RawExchange {
  label: string;
  request: string;
  replies: string[];
}

const REPOSITORY = join(import.meta.dirname, '../..');
const FIXTURE = join(REPOSITORY, 'test/fixtures/genl/genuine-9.2.18.json.gz');
/** The guest has this machine's files. */
const NODE = process.execPath;
const BAD_PEER = join(REPOSITORY, 'test/vm/programs/bad-peer.py');
const { raw: RAW } = JSON.parse(gunzipSync(readFileSync(FIXTURE)).toString()) as { raw: RawExchange[] };
/** Length, type, flags, sequence number and port of a netlink message differ from run to run. */
const NL_HEADER_DIGITS = 32;
const NL_HEADER_BYTES = 16;
const REQUEST_HEADER_BYTES = 28;
const NLMSG_ERROR = 2;
const NO_ERROR = 101;

/** Genuine DRBD repeats the error of such a dump for ever; one is enough. */
const firstOnly = ({ label, replies }: RawExchange) => (label.endsWith('unknown-resource') ? replies.slice(0, 1) : replies);

/** errno (negative) or DRBD's code of an answer. */
function codeOf(answer: string): number {
  const message = Buffer.from(answer, 'hex');
  if (message.readUInt16LE(4) === NLMSG_ERROR) return message.readInt32LE(NL_HEADER_BYTES);
  return message.readInt32LE(REQUEST_HEADER_BYTES - 4);
}

/** The family's id differs from boot to boot; an error carries the request with it. */
function withoutFamily(answer: string): string {
  const message = Buffer.from(answer, 'hex');
  if (message.readUInt16LE(4) === NLMSG_ERROR) message.writeUInt16LE(0, NL_HEADER_BYTES + 8);
  return message.toString('hex');
}

function withLength(message: Buffer, bytes: number): Buffer {
  message.writeUInt32LE(bytes, 0);
  return message;
}

/** A line that finds fault; a changed state whose name says "Error" is none. */
const FAULT = /magic|[Ee]rror|[Uu]nexpected|[Ff]ailed|[Rr]efus/;
const STATE_CHANGE = /conn\( /;

describe.skipIf(!installed)('bad input', { sequential: true }, () => {
  let cluster: Cluster;
  let guest: Guest;

  beforeAll(async () => {
    cluster = await bootInstalled(1, { disksMiB: [64, 64, 1], memoryMiB: 768 });
    guest = cluster.guests[0]!;
    await guest.run('for i in 2 3 4; do ip addr add 127.0.0.$i/8 dev lo; done');
  });
  afterAll(() => cluster?.destroy());
  beforeEach(({ task }) => guest.startOfTest(task.name));
  /** Only after a failure there is something to do. */
  afterEach(() => guest.run('test ! -e /proc/drbd || ' +
    '{ for r in r0 r1 r9; do drbdsetup down $r; done; rmmod drbd_transport_tcp; rmmod drbd; }'));

  const sendRaw = async (requests: { request: string; replies: number }[]): Promise<string[][]> => {
    const script = join(REPOSITORY, 'test/vm/lib/raw-genl.ts');
    return JSON.parse(await guest.run([NODE, script], { input: JSON.stringify(requests), timeoutMs: 300_000 }));
  };
  const unload = async () => {
    await takeDown(guest);
    await guest.expectCleanKernelLog();
  };

  test('hand-made requests are answered as genuine DRBD answers them', async () => {
    await guest.run('modprobe drbd');
    const answers = await sendRaw(RAW.map((item) => ({ request: item.request, replies: firstOnly(item).length })));
    const body = (message: string) => withoutFamily(message).slice(NL_HEADER_DIGITS);
    const seen = RAW.map((item, i) => `${item.label}: ${answers[i]!.map(body).join(' ')}`);
    expect(seen).toEqual(RAW.map((item) => `${item.label}: ${firstOnly(item).map(body).join(' ')}`));
    await unload();
  });

  test('truncated and oversized attributes change nothing', async () => {
    await guest.run('modprobe drbd && drbdsetup new-resource r0 0');
    const source = Buffer.from(RAW.find(({ label }) => label === 'new-minor-raw')!.request, 'hex');
    const messages: Buffer[] = [];
    for (let cut = NL_HEADER_BYTES + 4; cut < source.length; cut += 4) {
      messages.push(withLength(Buffer.from(source.subarray(0, cut)), cut));
    }
    const attribute = source.readUInt16LE(REQUEST_HEADER_BYTES);
    const attributeLengths: [number, number][] = [0, 3, attribute + 4, 0x7fff, 0xffff].map((length) => [REQUEST_HEADER_BYTES, length]);
    for (const length of [0, 3, 0x7fff, 0xffff]) attributeLengths.push([REQUEST_HEADER_BYTES + 4, length]);
    for (const [at, length] of attributeLengths) {
      const message = Buffer.from(source);
      message.writeUInt16LE(length, at);
      messages.push(message);
    }
    for (const bytes of [0xfff0, 0x30000]) {
      const message = Buffer.concat([source.subarray(0, REQUEST_HEADER_BYTES), Buffer.alloc(bytes, 'a')]);
      message.writeUInt16LE(Math.min(bytes, 0xfff0), REQUEST_HEADER_BYTES);
      message.writeUInt16LE(0x8002, REQUEST_HEADER_BYTES + 2);
      messages.push(withLength(message, message.length));
    }
    const answers = await sendRaw(messages.map((message) => ({ request: message.toString('hex'), replies: 1 })));
    const codes = answers.map((list) => list.map(codeOf));
    expect(codes.filter((list) => list.length !== 1 || list[0] === 0 || list[0] === NO_ERROR), JSON.stringify(codes)).toEqual([]);
    expect((await resourceStatus(guest))?.devices).toEqual([]);
    await guest.run('drbdsetup down r0');
    await unload();
  });

  test('attach of what cannot be attached', async () => {
    await guest.run('modprobe drbd && drbdsetup new-resource r0 0 && drbdsetup new-minor r0 0 0 && drbdsetup new-minor r0 1 1');
    const attach = async (minor: number, disk: string, options = '') =>
      (await guest.exec(`drbdsetup attach ${minor} ${disk} ${disk} internal ${options}`)).stderr;
    const createMd = (disk: string, version = 'v09', peers = '1') =>
      guest.run(`drbdmeta --force 0 ${version} ${disk} internal create-md ${peers}`, { timeoutMs: 120_000 });
    const lastBlock = (disk: string) => `$(($(blockdev --getsize64 ${disk}) / 4096 - 1))`;

    expect(await attach(0, '/dev/nosuchdisk')).toMatch(/Can not open device/);
    for (const blank of ['/dev/vda', '/dev/vdc']) {
      expect(await attach(0, blank)).toMatch(/\(119\) No valid meta-data signature found.*Meta data magic not found/s);
    }
    await guest.run(`dd if=/dev/urandom of=/dev/vda bs=4096 seek=${lastBlock('/dev/vda')} count=1 status=none`);
    expect(await attach(0, '/dev/vda')).toMatch(/\(119\).*Meta data magic not found/s);
    await createMd('/dev/vda', 'v08', '');
    expect(await attach(0, '/dev/vda')).toMatch(/\(119\).*Found old meta data magic/s);

    await guest.run('wipefs -qa /dev/vda; dd if=/dev/zero of=/dev/vda bs=1M status=none 2> /dev/null; true');
    await createMd('/dev/vda');
    expect(await attach(0, '/dev/vda', '--size=1G')).toMatch(/\(111\) Low\.dev\. smaller than requested DRBD-dev\. size/);
    expect(await attach(0, '/dev/vda')).toBe('');
    expect(await attach(0, '/dev/vda')).toMatch(/\(124\) Device is attached to a disk/);
    expect(await attach(1, '/dev/vda')).toMatch(/\(104\) Can not open backing device/);
    await guest.run(`dd if=/dev/vda of=/dev/vdb bs=4096 iflag=direct skip=${lastBlock('/dev/vda')} seek=${lastBlock('/dev/vdb')} count=1`);
    expect(await attach(1, '/dev/vdb')).toMatch(/\(165\).*Found unclean meta data/s);
    await guest.run('mkfs.ext4 -qF /dev/vdb && mkdir -p /mnt/busy && mount /dev/vdb /mnt/busy');
    expect(await attach(1, '/dev/vdb')).toMatch(/\(104\) Can not open backing device/);
    await guest.run('umount /mnt/busy && wipefs -qa /dev/vdb');
    const disks = (await resourceStatus(guest))?.devices.map((device) => device['disk-state']);
    expect(disks).toEqual(['Inconsistent', 'Diskless']);
    await guest.run('drbdsetup down r0 && drbdmeta 0 v09 /dev/vda internal apply-al');

    await guest.run('drbdsetup new-resource r9 9 && drbdsetup new-minor r9 0 0');
    expect(await attach(0, '/dev/vda')).toMatch(/\(119\).*ambiguous node id/s);
    await guest.run('drbdsetup down r9 && drbdmeta 0 v09 /dev/vda internal apply-al');
    await unload();
  });

  const up = async (addresses: Parameters<typeof pairOnOneNode>[0]) => {
    await guest.writeFile('/etc/drbd.d/pair.res', pairOnOneNode(addresses));
    await guest.run('modprobe drbd && drbdadm --force create-md all && drbdadm up all', { timeoutMs: 120_000 });
  };
  const waitBoth = (state: string) => Promise.all(['r0', 'r1'].map((name) => waitConnection(guest, state, { name })));
  const DIRECT = { r0: ['127.0.0.1', '127.0.0.2'], r1: ['127.0.0.2', '127.0.0.1'] } as const;

  test('a wrong shared secret', async () => {
    await up({ ...DIRECT, net: { r0: 'cram-hmac-alg sha256; shared-secret one;', r1: 'cram-hmac-alg sha256; shared-secret two;' } });
    await waitBoth('StandAlone');
    await guest.mark('refused');
    expect(guest.kernelLog.lines.filter((line) => /Authentication of peer failed/.test(line)).length).toBeGreaterThan(0);
    const right = 'cram-hmac-alg sha256; shared-secret one;';
    await guest.writeFile('/etc/drbd.d/pair.res', pairOnOneNode({ ...DIRECT, net: { r0: right, r1: right } }));
    await guest.run('drbdadm adjust all');
    await waitBoth('Connected');
    await unload();
  });

  const disksAndRoles = (status: ResourceStatus | undefined) => ({ role: status?.role, devices: status?.devices });
  const complaints = (from: number) =>
    guest.kernelLog.lines.slice(from).filter((line) => /drbd r0/.test(line) && FAULT.test(line) && !STATE_CHANGE.test(line));

  test('a peer that speaks garbage', async () => {
    await up({ r0: ['127.0.0.1', '127.0.0.2'], r1: ['127.0.0.4', '127.0.0.3'] });
    await waitBoth('Connecting');
    const engine = await enginePids(guest);
    const before = disksAndRoles(await resourceStatus(guest));
    const settled = async (from: number, lines: RegExp[]) => {
      await waitConnection(guest, 'Connecting', { name: 'r0' });
      await guest.mark('garbage is over');
      const said = complaints(from);
      expect(said, said.join('\n')).toHaveLength(lines.length);
      said.forEach((line, i) => expect(line).toMatch(lines[i]!));
      expect(disksAndRoles(await resourceStatus(guest))).toEqual(before);
      expect(await enginePids(guest)).toEqual(engine);
    };

    let from = guest.kernelLog.lines.length;
    await guest.run(`python3 ${BAD_PEER} first`);
    const wrong = /Error receiving initial packet from ipv4:127\.0\.0\.2:\d+: wrong magic value or length/;
    await settled(from, [wrong, wrong, wrong, /Error receiving initial packet .*unexpected P_PING/]);

    from = guest.kernelLog.lines.length;
    await guest.run(`python3 ${BAD_PEER} features`);
    await settled(from, [/[Ww]rong magic value/]);

    await guest.run('mkfifo /run/garbage');
    const between = guest.stream(`exec python3 ${BAD_PEER} between <> /run/garbage`);
    await between.line(/ready/);
    for (const stream of ['data', 'control']) {
      await waitBoth('Connected');
      from = guest.kernelLog.lines.length;
      const events = guest.stream('exec drbdsetup events2 r0');
      await events.line(/exists -/);
      await guest.run(`echo ${stream} > /run/garbage`);
      await events.line(/change connection .*connection:ProtocolError/);
      await events.line(/change connection .*connection:Connecting/);
      await events.stop();
      const said = complaints(from);
      expect(said, said.join('\n')).toHaveLength(1);
      expect(said[0]).toMatch(/[Ww]rong magic value/);
    }
    await waitBoth('Connected');
    await between.stop();
    expect(disksAndRoles(await resourceStatus(guest))).toEqual(before);
    expect(await enginePids(guest)).toEqual(engine);
    await unload();
  });

  test('a port that is in use', async () => {
    const listen = "import socket, time; s = socket.create_server(('127.0.0.1', 7789)); print('taken'); time.sleep(600)";
    const squatter = guest.stream(`exec python3 -uc "${listen}"`);
    await squatter.line(/taken/);
    const from = guest.kernelLog.lines.length;
    await up(DIRECT);
    await waitBoth('Connecting');
    await waitFor('address and errno in the log', () =>
      complaints(from).some((line) => /Failed to listen on ipv4:127\.0\.0\.1:7789.*err=-98/.test(line)));
    await squatter.stop();
    await waitBoth('Connected');
    expect(complaints(from).filter((line) => /Failed to listen/.test(line))).toHaveLength(1);
    await unload();
  });
});
