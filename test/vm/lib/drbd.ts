// SPDX-License-Identifier: GPL-2.0-or-later
import { Cluster } from './cluster.ts';
import { engineDisk } from './engine-disk.ts';
import type { Guest, GuestOptions } from './guest.ts';
import { waitFor } from './wait.ts';

export { installed, STAGE } from './stage.ts';

export interface PeerDeviceStatus {
  volume: number;
  'replication-state': string;
  'peer-disk-state': string;
  'out-of-sync': number;
  'percent-in-sync'?: number;
  received: number;
  sent: number;
}

export interface ResourceStatus {
  name: string;
  role: string;
  devices: { volume: number; minor: number; 'disk-state': string }[];
  connections: {
    'peer-node-id': number;
    name: string;
    'connection-state': string;
    'peer-role': string;
    peer_devices: PeerDeviceStatus[];
  }[];
}

export interface ResourceFileOptions {
  name?: string;
  /** Disks of volume 0, 1, … on both nodes. */
  disks?: string[];
  /** Whole sections or options at the resource's level. */
  options?: string;
  net?: string;
  firstMinor?: number;
  port?: number;
}

/** A resource on n1 and n2 as an administrator writes it. */
export function resourceFile(options: ResourceFileOptions = {}): string {
  const { name = 'r0', disks = ['/dev/vda', '/dev/vdb'], firstMinor = 0, port = 7789 } = options;
  const volumes = disks.map((disk, i) =>
    `    volume ${i} { device minor ${firstMinor + i}; disk ${disk}; meta-disk internal; }`,
  );
  const on = (node: number) =>
    [`  on n${node} {`, `    node-id ${node - 1};`, `    address 10.99.0.${node}:${port};`, ...volumes, '  }'].join('\n');
  const net = `  net { protocol C; ${options.net ?? ''} }`;
  return `resource ${name} {\n${options.options ?? ''}\n${net}\n${on(1)}\n${on(2)}\n}\n`;
}

export interface PairOptions {
  /** Own and peer's address. */
  r0: readonly [string, string];
  r1: readonly [string, string];
  net?: { r0: string; r1: string };
}

/** Two resources of n1, one on /dev/vda and one on /dev/vdb, that are each other's peers. */
export function pairOnOneNode({ r0, r1, net }: PairOptions): string {
  const one = (name: 'r0' | 'r1', minor: number, disk: string, [own, peer]: readonly [string, string]) => {
    const on = (host: string, id: number, address: string) =>
      `  on ${host} { node-id ${id}; address ${address}:7789; volume 0 { device minor ${minor}; disk ${disk}; meta-disk internal; } }\n`;
    return `resource ${name} {\n  net { protocol C; connect-int 2; ${net?.[name] ?? ''} }\n` +
      `${on('n1', minor, own)}${on(`peer-of-${name}`, 1 - minor, peer)}}\n`;
  };
  return one('r0', 0, '/dev/vda', r0) + one('r1', 1, '/dev/vdb', r1);
}

/**
 * drbdadm gives drbdsetup 5 s, the module gives an engine 10 s to come. An emulated CPU on a busy machine may need longer
 * to start a program of 120 MB, most of all for the very first time.
 */
export const SETUP = [
  '/usr/lib/drbdd/node /usr/lib/drbdd/start.cjs --help > /dev/null',
  "sed -i 's/^global {/global { cmd-timeout-short 60;/' /etc/drbd.d/global_common.conf",
  "echo 'options drbd engine_wait=60' > /etc/modprobe.d/drbd-engine-wait.conf",
].join(' && ');

/** Guests with the installation over their root. */
export function bootInstalled(count: 1 | 2, options: GuestOptions = {}): Promise<Cluster> {
  const layer = { image: engineDisk() };
  return Cluster.boot(count, { layer, disksMiB: [128, 64], memoryMiB: 768, setup: SETUP, ...options });
}

/** Process ids of the engine in a guest; empty when none runs. */
export async function enginePids(guest: Guest): Promise<number[]> {
  const { stdout } = await guest.exec(`pgrep -f '^@drbdd'`);
  return stdout.split('\n').filter(Boolean).map(Number);
}

/** The resource's status, or undefined when it does not exist. */
export async function resourceStatus(guest: Guest, name = 'r0'): Promise<ResourceStatus | undefined> {
  const { stdout, code } = await guest.exec(`drbdsetup status ${name} --json --statistics`);
  if (code !== 0) return undefined;
  return (JSON.parse(stdout) as ResourceStatus[]).find((resource) => resource.name === name);
}

/** All disks here and at the peer UpToDate, all volumes Established. */
export function isHealthy(status: ResourceStatus | undefined): boolean {
  if (!status || !status.connections.length) return false;
  const devices = status.devices.every((device) => device['disk-state'] === 'UpToDate');
  const peers = status.connections.flatMap((connection) => connection.peer_devices);
  return devices && peers.length >= status.devices.length && peers.every(
    (peer) => peer['peer-disk-state'] === 'UpToDate' && peer['replication-state'] === 'Established',
  );
}

export interface WaitOptions {
  name?: string;
  timeoutMs?: number;
  onStatus?(status: ResourceStatus): void;
}

async function statusWhere(guest: Guest, what: string, wanted: (s: ResourceStatus) => boolean, options: WaitOptions) {
  let seen = 'no status yet';
  try {
    return await waitFor(what, async () => {
      const status = await resourceStatus(guest, options.name);
      seen = JSON.stringify(status);
      if (status) options.onStatus?.(status);
      return status && wanted(status) ? status : undefined;
    }, { timeoutMs: options.timeoutMs ?? 240_000, intervalMs: 300 });
  } catch (error) {
    throw new Error(`${(error as Error).message}\nlast status: ${seen}\n${guest.logTail(40)}`);
  }
}

export const waitHealthy = (guest: Guest, options: WaitOptions = {}): Promise<ResourceStatus> =>
  statusWhere(guest, `${guest.name} UpToDate with its peer`, isHealthy, options);

export const waitConnection = (guest: Guest, state: string, options: WaitOptions = {}): Promise<ResourceStatus> =>
  statusWhere(guest, `${guest.name} ${state}`, (status) =>
    status.connections.length > 0 && status.connections.every((c) => c['connection-state'] === state), options);

/** Sum over volumes, KiB, of what the peer is known to lack. */
export function outOfSyncKiB(status: ResourceStatus): number {
  const peers = status.connections.flatMap((connection) => connection.peer_devices);
  return peers.reduce((sum, peer) => sum + peer['out-of-sync'], 0);
}

/** From two blank guests to all volumes UpToDate without a first sync, n1 Primary. */
export async function bringUp(cluster: Cluster, file: string, volumes: number): Promise<void> {
  const guests = cluster.guests;
  await Promise.all(guests.map(async (guest) => {
    await guest.writeFile('/etc/drbd.d/r0.res', file);
    await guest.run('modprobe drbd && drbdadm --force create-md r0 && drbdadm up r0', { timeoutMs: 120_000 });
  }));
  await Promise.all(guests.map((guest) => waitConnection(guest, 'Connected')));
  for (let volume = 0; volume < volumes; volume++) {
    await guests[0]!.run(`drbdadm new-current-uuid --clear-bitmap r0/${volume}`);
  }
  await Promise.all(guests.map((guest) => waitHealthy(guest)));
  await guests[0]!.run('drbdadm primary r0');
}

/** Down, unloaded, nothing left behind. */
export async function takeDown(guest: Guest): Promise<void> {
  await guest.run('drbdadm down all; rmmod drbd_transport_tcp 2> /dev/null; rmmod drbd', { timeoutMs: 120_000 });
  await guest.run('test ! -e /proc/drbd');
}

export interface DumpedMetaData {
  currentUuid: bigint;
  /** Of the slot of the other node. */
  bitmapUuid: bigint;
  sizeSectors: number;
  /** Over all bitmaps. */
  bitsSet: number;
}

/** `apply-al` (which every attach needs, also after a clean down) and `dump-md` of a disk that is not attached. */
export async function dumpMetaData(guest: Guest, minor: number, disk: string): Promise<DumpedMetaData> {
  const meta = `drbdmeta ${minor} v09 ${disk} internal`;
  const text = await guest.run(`${meta} apply-al >&2 && ${meta} dump-md`);
  const field = (pattern: RegExp): string => {
    const found = pattern.exec(text)?.[1];
    if (found === undefined) throw new Error(`dump-md has no ${pattern}:\n${text}`);
    return found;
  };
  const peer = 2 - guest.node;
  return {
    currentUuid: BigInt(field(/current-uuid (0x[0-9A-Fa-f]+);/)),
    bitmapUuid: BigInt(field(new RegExp(`peer\\[${peer}\\] \\{[^}]*bitmap-uuid (0x[0-9A-Fa-f]+);`))),
    sizeSectors: Number(field(/la-size-sect (\d+);/)),
    bitsSet: [...text.matchAll(/# bits-set (\d+);/g)].reduce((sum, match) => sum + Number(match[1]), 0),
  };
}

/** Digest of what a volume holds, read past every cache from the disk below it. */
export async function diskDigest(guest: Guest, disk: string, sectors: number): Promise<string> {
  const mib = Math.floor(sectors / 2048);
  const restKiB = Math.floor((sectors % 2048) / 2);
  const read = (bs: string, count: number, skip: number) =>
    `dd if=${disk} iflag=direct bs=${bs} count=${count} skip=${skip} status=none`;
  const command = `{ ${read('1M', mib, 0)}; ${read('4k', restKiB / 4, mib * 256)}; } | sha256sum`;
  return (await guest.run(`set -o pipefail; ${command}`, { timeoutMs: 300_000 })).slice(0, 64);
}
