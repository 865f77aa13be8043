// SPDX-License-Identifier: GPL-2.0-or-later
/** What an observer sees of a node, dead or alive. */
import { mdLayout } from '../../meta/layout.ts';
import { sectorsPerBlock } from '../../meta/limits.ts';
import { decodeSuperBlock } from '../../meta/super-block.ts';
import { Cstate, cstateNames, Disk, diskNames, Repl, replNames, Role, roleNames } from '../../state/states.ts';
import type { PeerDeviceRow, View } from '../../state/types.ts';
import type { SimCluster, SimMember } from '../cluster.ts';

const INTERNAL = -1;

export const viewOf = (m: SimMember): View | null =>
  (m.node.life === null ? null : m.engine?.resources.get('r0')?.view ?? null);
export const roleOf = (m: SimMember): Role => viewOf(m)?.resource.role ?? Role.unknown;
export const diskStateOf = (m: SimMember): Disk => viewOf(m)?.devices[0]?.disk ?? Disk.unknown;
export const cstateOf = (m: SimMember, peer: SimMember): Cstate =>
  viewOf(m)?.connections.find((c) => c.nodeId === peer.id)?.cstate ?? Cstate.standAlone;
export const peerDeviceOf = (m: SimMember, peer: SimMember): PeerDeviceRow | undefined =>
  viewOf(m)?.peerDevices.find((p) => p.nodeId === peer.id);
export const replOf = (m: SimMember, peer: SimMember): Repl => peerDeviceOf(m, peer)?.repl ?? Repl.off;
/** The engine's own picture of a disk that is attached. */
export const attachedDisk = (m: SimMember) => (viewOf(m) ? m.engine!.resources.get('r0')!.devices.get(0)?.disk ?? null : null);

/** Blocks that are out of sync towards a peer. */
export function bitsOf(m: SimMember, peer: SimMember): number {
  const disk = attachedDisk(m);
  const slot = disk?.bitmapIndex(peer.id) ?? -1;
  return disk && slot >= 0 ? disk.bitmap.weight[slot]! : 0;
}

/** How many, and where to look. */
function shownBits(m: SimMember, peer: SimMember): string {
  const count = bitsOf(m, peer);
  if (count === 0) return 'bits=0';
  const { bitmap } = attachedDisk(m)!;
  const slot = attachedDisk(m)!.bitmapIndex(peer.id);
  let block = 0;
  while (!bitmap.test(slot, block)) block++;
  return `bits=${count} from sector ${block * sectorsPerBlock}`;
}

const withoutRole = (uuid: bigint): bigint => uuid & ~1n;

/** Of the attached disk; 0 without one. A detached one's stays to be seen in the view. */
export const generationOf = (m: SimMember): bigint =>
  (diskStateOf(m) > Disk.failed ? withoutRole(viewOf(m)?.devices[0]?.currentUuid ?? 0n) : 0n);

/** A new one is on its way to its disk. */
export const makesGeneration = (m: SimMember): boolean =>
  viewOf(m) !== null && m.engine!.resources.get('r0')!.devices.get(0)?.makingUuid === true;

/** What a Primary's generation is, with a good disk or without. */
export function writtenGeneration(m: SimMember): bigint {
  const own = diskStateOf(m) >= Disk.consistent ? generationOf(m) : 0n;
  return own || withoutRole(viewOf(m)?.devices[0]?.exposedUuid ?? 0n);
}

/** As the super block on the disk has it. */
export function storedGeneration(cluster: SimCluster, m: SimMember): bigint {
  const disk = m.node.disks.get('/dev/disk0');
  if (!disk) return 0n;
  const { sectors } = disk.limits;
  const layout = mdLayout({ metaDevIdx: INTERNAL, mdCapacity: sectors, bmMaxPeers: cluster.options.nodes, alStripes: 1, alStripeSize4k: 8 });
  return withoutRole(decodeSuperBlock(disk.readBytes(layout.superBlockSector, sectorsPerBlock)).currentUuid);
}

/** Those with an UpToDate disk that m is connected to. */
export function goodPeers(cluster: SimCluster, m: SimMember): SimMember[] {
  return cluster.members.filter((o) => o !== m && peerDeviceOf(m, o)?.pdsk === Disk.upToDate && cstateOf(m, o) === Cstate.connected);
}

/** Has m all that this Primary has? */
export const isSynced = (m: SimMember, primary: SimMember): boolean =>
  m === primary || (diskStateOf(m) === Disk.upToDate && replOf(m, primary) === Repl.established);

/** Everybody connected to everybody, all disks UpToDate and without differences. */
export function isHealthy(cluster: SimCluster): boolean {
  return cluster.members.every((m) => diskStateOf(m) === (cluster.isDiskless(m.id) ? Disk.diskless : Disk.upToDate)
    && cluster.members.every((o) => o === m || (replOf(m, o) === Repl.established && bitsOf(m, o) === 0
      && peerDeviceOf(m, o)!.pdsk === (cluster.isDiskless(o.id) ? Disk.diskless : Disk.upToDate))));
}

/** Who is how, and waits for what: what a person needs first. */
export function describe(cluster: SimCluster, m: SimMember): string {
  const view = viewOf(m);
  if (!view) return `${m.node.name}: ${m.node.life ? 'no resource' : 'no engine'}`;
  const { resource } = view;
  const device = view.devices[0];
  const susp = (['suspUser', 'suspNod', 'suspQuorum', 'suspUuid'] as const).filter((s) => resource[s]);
  const io = m.engine!.resources.get('r0')!.io;
  const peers = view.connections.map((c) => {
    const pd = view.peerDevices.find((p) => p.nodeId === c.nodeId);
    const paused = pd ? (['suspUser', 'suspPeer', 'suspDependency', 'suspOtherC'] as const).filter((s) => pd[s]) : [];
    const peer = cluster.members[c.nodeId]!;
    return `n${c.nodeId} ${cstateNames[c.cstate]}/${pd ? `${replNames[pd.repl]}/${diskNames[pd.pdsk]}` : '-'}`
      + ` ${shownBits(m, peer)}${paused.length ? ` paused by ${paused.join('+')}` : ''}`;
  });
  return `${m.node.name}: ${roleNames[resource.role]} ${device ? diskNames[device.disk] : 'no device'}`
    + `${device && !device.haveQuorum ? ' no-quorum' : ''}${susp.length ? ` suspended by ${susp.join('+')}` : ''}`
    + `${view.twopc ? ' in a 2PC' : ''}${device?.newCurUuid ? ' wants a new UUID' : ''}; uuid ${(device?.currentUuid ?? 0n).toString(16)}`
    + ` exposed ${(device?.exposedUuid ?? 0n).toString(16)}; writes=${io.requests.writes}`
    + ` gate: ${io.devices[0]?.gateReason || 'open'}; ${peers.join(', ')}`;
}
