// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../../../src/assert.ts';
import type { Cluster } from './cluster.ts';
import {
  diskDigest, dumpMetaData, enginePids, isHealthy, outOfSyncKiB, resourceFile, resourceStatus, takeDown,
  waitConnection, waitHealthy, type ResourceStatus,
} from './drbd.ts';
import type { Guest, Stream } from './guest.ts';
import { waitFor } from './wait.ts';

/** Where a story tells how far it is: the demo prints it, the test keeps quiet. */
export interface Teller {
  say(text: string): void;
  show(text: string): void;
  progress(label: string, percent: number): void;
}

export interface Scene {
  cluster: Cluster;
  n1: Guest;
  n2: Guest;
  tell: Teller;
}

export interface Step {
  title: string;
  run(scene: Scene): Promise<void>;
}

const LONG = { timeoutMs: 300_000 };
const FILE = resourceFile();
const SUMS = '/run/sums';

function check(condition: boolean, what: string, seen?: unknown): asserts condition {
  if (!condition) throw new Error(`${what}${seen === undefined ? '' : `; seen: ${JSON.stringify(seen)}`}`);
}

/** The least percentage in sync over all volumes; 100 when nothing is out of sync. */
function percentInSync(status: ResourceStatus): number {
  const peers = status.connections.flatMap((connection) => connection.peer_devices);
  return Math.min(100, ...peers.map((peer) => peer['percent-in-sync'] ?? 100));
}

async function mount(guest: Guest): Promise<void> {
  await guest.run('mkdir -p /mnt/r0 && mount /dev/drbd0 /mnt/r0', LONG);
}

const writeFiles = (guest: Guest, prefix: string, count: number): Promise<string> =>
  guest.run(
    `cd /mnt/r0 && for i in $(seq ${count}); do head -c 1M /dev/urandom > ${prefix}$i; done && sync -f . && sha256sum $(find . -type f | sort)`,
    LONG,
  );

/** Reads from the disk, not from the cache, and compares with what was noted on the host. */
async function checkFiles(guest: Guest, sums: string): Promise<void> {
  await guest.writeFile(SUMS, sums);
  await guest.run(`cd /mnt/r0 && echo 3 > /proc/sys/vm/drop_caches && sha256sum --quiet -c ${SUMS}`, LONG);
}

async function watched(guest: Guest): Promise<Stream> {
  const events = guest.stream('drbdsetup events2 --statistics r0');
  await events.line(/^exists -$/);
  return events;
}

async function loadAndUnload({ n1, tell }: Scene): Promise<void> {
  await n1.run('modprobe drbd');
  tell.show((await n1.run('cat /proc/drbd')).trim());
  check((await enginePids(n1)).length === 0, 'no engine runs before it is needed');
  tell.say('Loaded; no engine runs yet. An admin request starts it, the last resource ends it.');
  const events = n1.stream('drbdsetup events2');
  await events.line(/^exists -$/);
  await n1.run('drbdsetup new-resource demo 0');
  check((await enginePids(n1)).length > 0, 'the engine runs once a resource exists');
  await n1.run('drbdsetup status demo');
  await n1.run('drbdsetup down demo');
  const start = Date.now();
  await takeDown(n1);
  tell.say(`down, rmmod in ${Date.now() - start} ms, although a drbdsetup events2 still listens.`);
  check((await enginePids(n1)).length === 0, 'the engine has gone with the last resource');
  await events.stop();
}

async function configure({ cluster, n1, n2, tell }: Scene): Promise<void> {
  for (const guest of cluster.guests) {
    await guest.writeFile('/etc/drbd.d/r0.res', FILE);
    await guest.run('modprobe drbd && drbdadm --force create-md r0', LONG);
  }
  tell.say('create-md r0 on both (v09, internal), then up r0');
  await Promise.all(cluster.guests.map((guest) => guest.run('drbdadm up r0', LONG)));
  await Promise.all(cluster.guests.map((guest) => guest.run('drbdadm wait-connect r0', LONG)));
  await n1.run('drbdadm primary --force r0');
  tell.show((await n1.run('drbdadm status r0 --verbose && drbdsetup status r0 --verbose --statistics')).trim());
  check(/exists resource name:r0/.test(await n1.run('drbdsetup events2 --now')), 'events2 --now shows the resource');
  const shown = await n1.run('drbdsetup show r0');
  check(shown.includes('node-id') && shown.includes('10.99.0.2'), 'drbdsetup show prints the configuration', shown);
  check((await resourceStatus(n1))?.role === 'Primary', 'status --json says Primary');
  await n2.writeFile('/etc/drbd.d/r0.res', resourceFile({ net: 'max-buffers 9000;' }));
  await n2.run('drbdadm adjust r0');
  check(/max-buffers\s+9000;/.test(await n2.run('drbdsetup show r0')), 'adjust has changed max-buffers');
  await n2.writeFile('/etc/drbd.d/r0.res', FILE);
  await n2.run('drbdadm adjust r0');
}

async function fullSync({ n1, n2, tell }: Scene): Promise<void> {
  const onStatus = (status: ResourceStatus) => tell.progress('first full sync', percentInSync(status));
  await waitHealthy(n1, { timeoutMs: 240_000, onStatus });
  await n2.run('drbdadm wait-sync r0', LONG);
  // Not lazily: a file system that goes on writing by itself would count as changed later.
  await n1.run('mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 /dev/drbd0', LONG);
  await mount(n1);
  sums = await writeFiles(n1, 'first', 6);
  tell.say('Both disks UpToDate; ext4 on /dev/drbd0, six files of 1 MiB written and checksummed.');
}

/** Checksums of all files on the volume, by sha256sum. */
let sums = '';

async function partialSync({ n1, tell }: Scene): Promise<void> {
  await n1.run('drbdadm disconnect r0');
  await waitConnection(n1, 'StandAlone');
  sums = await writeFiles(n1, 'apart', 4);
  const status = await resourceStatus(n1);
  assert(status !== undefined, 'the resource is there');
  const apart = outOfSyncKiB(status);
  check(apart >= 4096 && apart < 32_768, 'what was written is out of sync, and little more', apart);
  const events = await watched(n1);
  await n1.run('drbdadm connect r0');
  await waitHealthy(n1);
  const counts = events.lines.flatMap((line) => {
    const [, count] = /peer-device name:r0 .*replication:SyncSource.* out-of-sync:(\d+)/.exec(line) ?? [];
    return count ? [Number(count)] : [];
  });
  await events.stop();
  check(counts.length > 0, 'events2 has shown the resync', events.lines.slice(-20));
  check(Math.max(...counts) <= apart + 1024, 'no more than what changed is resynced', counts);
  tell.say(`${apart} KiB changed while disconnected; resynced from the bitmap: at most ${Math.max(...counts)} KiB.`);
}

async function handOver(from: Guest, to: Guest): Promise<void> {
  await from.run('umount /mnt/r0 && drbdadm secondary r0', LONG);
  await to.run('drbdadm primary r0');
  await mount(to);
  await checkFiles(to, sums);
}

/** Waits on the events of `guest`, which came back, for SyncTarget and then for UpToDate. */
async function returnAsTarget(guest: Guest): Promise<void> {
  await guest.boot();
  await guest.startOfTest('another boot');
  await guest.writeFile('/etc/drbd.d/r0.res', FILE);
  await guest.run('modprobe drbd');
  const events = guest.stream('drbdsetup events2 --statistics');
  await events.line(/^exists -$/);
  await guest.run('drbdadm up r0', LONG);
  await events.line(/replication:SyncTarget/, LONG);
  await waitHealthy(guest);
  await events.stop();
}

async function failOver({ n1, n2, tell }: Scene): Promise<void> {
  await handOver(n1, n2);
  tell.say('n2 took over as Primary: all checksums match.');
  await n1.kill();
  await writeFiles(n2, 'alone', 3);
  await waitFor('n2 to notice', async () => !isHealthy(await resourceStatus(n2)));
  sums = await writeFiles(n2, 'later', 2);
  tell.say('n1 (Secondary) lost its power; n2 goes on writing.');
  await returnAsTarget(n1);
  tell.say('n1 is back: SyncTarget, then UpToDate.');
  await n2.kill();
  await waitFor('n1 to notice', async () => !isHealthy(await resourceStatus(n1)));
  await n1.run('drbdadm primary r0', LONG);
  await mount(n1);
  await checkFiles(n1, sums);
  sums = await writeFiles(n1, 'promoted', 2);
  tell.say('n2 (Primary) lost its power; n1 was promoted: the checksums of all that was synced match.');
  await returnAsTarget(n2);
  await waitHealthy(n1);
}

async function killEngine({ n1, tell }: Scene): Promise<void> {
  const busy = n1.stream(
    'cd /mnt/r0; i=0; while [ ! -e /run/enough ]; do head -c 256K /dev/urandom > busy$((i % 8)) && sync busy$((i % 8)) ' +
      '|| { echo "error at $i"; exit 1; }; echo "file $((i++))"; done; echo done',
  );
  await busy.line(/^file 5$/);
  const before = await enginePids(n1);
  check(before.length > 0, 'an engine runs');
  await n1.run(`kill -9 ${before.join(' ')}`);
  const after = await waitFor('a new engine', async () => {
    const pids = await enginePids(n1);
    return pids.length > 0 && pids.every((pid) => !before.includes(pid)) ? pids : undefined;
  });
  const at = busy.lines.length;
  await waitFor('writes to go on', () => busy.lines.length >= at + 10, LONG);
  await n1.run('touch /run/enough');
  check((await busy.done) === 0, 'the file system saw no error', busy.lines.slice(-3));
  await waitHealthy(n1);
  sums = await n1.run('cd /mnt/r0 && sync -f . && sha256sum $(find . -type f | sort)', LONG);
  tell.say(`Engine ${before[0]} killed with -9 under a busy ext4; ${after[0]} took over, no error was seen.`);
}

async function takeApart({ cluster, n1, n2, tell }: Scene): Promise<void> {
  await checkFiles(n1, sums);
  await n1.run('umount /mnt/r0', LONG);
  for (const guest of cluster.guests) await takeDown(guest);
  for (const [minor, disk] of ['/dev/vda', '/dev/vdb'].entries()) {
    const [one, two] = await Promise.all([dumpMetaData(n1, minor, disk), dumpMetaData(n2, minor, disk)]);
    check((one.currentUuid | 1n) === (two.currentUuid | 1n), `volume ${minor}: same current UUID on both nodes`);
    for (const dump of [one, two]) {
      check(dump.bitmapUuid === 0n && dump.bitsSet === 0, `volume ${minor}: nothing out of sync on disk`, dump.bitsSet);
    }
    const digests = await Promise.all([n1, n2].map((guest) => diskDigest(guest, disk, one.sizeSectors)));
    check(digests[0] === digests[1], `volume ${minor}: the disks are equal`, digests);
    tell.say(`volume ${minor}: current-uuid ${one.currentUuid.toString(16)} on both, bitmaps clear, disks equal`);
  }
  for (const guest of cluster.guests) await guest.expectCleanKernelLog();
}

/** The whole path once, with unmodified drbd-utils; the demo shows it, a test runs it. */
export const STORY: readonly Step[] = [
  { title: 'modprobe is all; the engine comes and goes', run: loadAndUnload },
  { title: 'a resource with two volumes, by drbdadm', run: configure },
  { title: 'first full sync, then a file system', run: fullSync },
  { title: 'disconnect, write, connect: only what changed is resynced', run: partialSync },
  { title: 'fail-over, and the power failure of either node', run: failOver },
  { title: 'the engine is killed under a busy file system', run: killEngine },
  { title: 'down, unload, and what is on the disks', run: takeApart },
];
