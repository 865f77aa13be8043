// SPDX-License-Identifier: GPL-2.0-or-later
/** Which size a device gets. All numbers are sectors; 0 = no information. @spec uuid.md 5, metadata.md 9 */
import { LogLevel } from '../host/log.ts';
import { Cstate, Disk, Repl, Role } from './states.ts';
import type { LogLine } from './uuid-types.ts';

export const deviceSectorsMax = 2 ** 41;

/** dds_flags of P_SIZES and P_TWOPC_PREP_RSZ. */
export const DdsFlag = { assumePeerHasSpace: 1, noResync: 2, twopc: 4 } as const;

/** Minimum ignoring zeros. */
export function min0(...values: readonly number[]): number {
  const told = values.filter((value) => value !== 0);
  return told.length === 0 ? 0 : Math.min(...told);
}

/** Of every other node id that has a slot in the meta-data or a connection. */
export interface PeerSize {
  readonly nodeId: number;
  /** HAVE_SIZES: it is connected and has told its sizes. */
  readonly haveSizes: boolean;
  readonly dSize: number;
  readonly uSize: number;
  readonly cSize: number;
  readonly maxSize: number;
  /** MDF_PEER_DEVICE_SEEN: it has had a disk at some time. */
  readonly deviceSeen: boolean;
}

export interface SizeView {
  /** Usable size of the own disk (metadata.md 1.2); 0 without one. */
  readonly localMax: number;
  readonly effectiveSize: number;
  readonly peers: readonly PeerSize[];
}

export interface SizeResult {
  readonly size: number;
  readonly log: readonly LogLine[];
}

const kib = (sectors: number): number => Math.floor(sectors / 2);

/** min0 over what the disks of the visible partition could take. */
export function partitionCapacity({ localMax, peers }: SizeView): number {
  return min0(localMax, ...peers.filter((peer) => peer.haveSizes).map((peer) => peer.dSize));
}

/** A node that the running two-phase commit reached has agreed to `maxPossible`: its older figures are raised. */
export function agreedInTwopc(peer: PeerSize, maxPossible: number): PeerSize {
  return {
    ...peer, dSize: peer.dSize !== 0 ? Math.max(peer.dSize, maxPossible) : 0,
    maxSize: Math.max(peer.maxSize, maxPossible),
  };
}

/** Nodes that count although they are silent make all_known false. `reached`: agreed in the running 2PC. */
function maxAgreeable(peers: readonly PeerSize[], reached: ReadonlySet<number>): { allKnown: boolean; size: number } {
  let allKnown = true;
  let size = 0;
  for (const peer of peers) {
    if (reached.has(peer.nodeId)) continue;
    if (peer.haveSizes) size = min0(size, peer.maxSize);
    else if (peer.deviceSeen) allKnown = false;
  }
  return { allKnown, size };
}

/**
 * The largest size that the disk of a known peer is used with: all have agreed to that, say while this node lost power before
 * it was in the meta-data. Waiting for nodes that are silent it would never meet the others: their bitmaps are longer.
 */
const agreedWithout = (peers: readonly PeerSize[]): number =>
  Math.max(0, ...peers.filter((peer) => peer.haveSizes && peer.dSize !== 0).map((peer) => peer.cSize));

/** drbd_new_dev_size. `peers` with twopc are already passed through agreedInTwopc. @spec uuid.md 5.2 */
export function newDevSize(view: SizeView, userSize: number, ddsFlags: number,
  reached: ReadonlySet<number> = new Set()): SizeResult {
  const log: LogLine[] = [];
  const capacity = partitionCapacity(view);
  const agreeable = maxAgreeable(view.peers, reached);
  let size = agreeable.size;
  if (agreeable.allKnown) {
    size = min0(size, capacity);
  } else if ((ddsFlags & DdsFlag.assumePeerHasSpace) !== 0) {
    size = min0(size, capacity);
    if (size > view.effectiveSize) {
      log.push({ level: LogLevel.warning, text: 'Resize forced while not fully connected!' });
    }
  } else {
    size = min0(size, view.effectiveSize === 0 ? 0 : Math.max(view.effectiveSize, agreedWithout(view.peers)));
  }
  size = min0(size, capacity);
  if (size === 0) log.push({ level: LogLevel.err, text: 'All nodes diskless!' });
  if (userSize > size) {
    log.push({
      level: LogLevel.err, text: `Requested disk size is too big (${kib(userSize)} > ${kib(size)})kiB`,
    });
  } else if (userSize !== 0) {
    size = userSize;
  }
  return { size, log };
}

export type Determined =
  'error-shrink' | 'error-space-md' | 'unchanged' | 'shrunk' | 'grew' | 'grew-from-zero';

export interface DetermineView extends SizeView {
  readonly capacity: number;
  /** disk-conf disk_size. */
  readonly userSize: number;
  readonly disk: Disk;
  readonly upToDatePeer: boolean;
  /** Another AL layout is asked for (resize command). */
  readonly newLayout: boolean;
  /** The super block or the bitmap are at another place with the present backing capacity. */
  readonly mdMoved: boolean;
}

/** What drbd_determine_dev_size is to do, in this order. @spec uuid.md 5.3 */
export interface SizePlan {
  readonly result: Determined;
  readonly size: number;
  /** Resize the bitmap; new bits set in all slots, or clear. */
  readonly resizeBitmap: boolean;
  readonly setNewBits: boolean;
  /** New effective_size of the super block. */
  readonly effectiveSize: number;
  /** The PEER_FULL_SYNC and AL_DISABLED sequence: super block, AL ring, bitmap (all of it if moved), super block. */
  readonly rewriteMd: boolean;
  readonly writeAllBitmap: boolean;
  readonly log: readonly LogLine[];
}

function sizeText(sectors: number): string {
  const units = ['KB', 'MB', 'GB', 'TB', 'PB', 'EB'];
  let size = kib(sectors);
  let unit = 0;
  while (size >= 10000 && unit < units.length - 1) {
    size = Math.floor((size + 512) / 1024);
    unit++;
  }
  return `${size} ${units[unit]} (${kib(sectors)} KB)`;
}

/** `agreed`: the size that all nodes have committed to. */
export function determineDevSize(view: DetermineView, ddsFlags: number, agreed?: number): SizePlan {
  const { size, log: sizeLog } = agreed === undefined ? newDevSize(view, view.userSize, ddsFlags) : { size: agreed, log: [] };
  const log = [...sizeLog];
  const failed = (result: Determined, text?: string): SizePlan => {
    if (text !== undefined) log.push({ level: LogLevel.warning, text });
    return {
      result, size: view.capacity, resizeBitmap: false, setNewBits: false, effectiveSize: view.effectiveSize,
      rewriteMd: false, writeAllBitmap: false, log,
    };
  };
  if (size < view.effectiveSize) {
    if (view.newLayout && view.userSize === 0) {
      return failed('error-shrink', `Implicit shrink not allowed. Use --size=${size}s for explicit shrink.`);
    }
    if (view.userSize > size) return failed('error-space-md');
  }
  if (size > view.localMax) return failed('error-space-md');
  const changes = size !== view.capacity;
  if (changes) log.push({ level: LogLevel.info, text: `size = ${sizeText(size)}` });
  const determined = view.effectiveSize !== 0 || view.disk === Disk.upToDate || view.upToDatePeer;
  const effectiveSize = determined ? size : view.effectiveSize;
  if (effectiveSize !== view.effectiveSize) {
    log.push({ level: LogLevel.info, text: `persisting effective size = ${sizeText(effectiveSize)}` });
  }
  const rewriteMd = effectiveSize !== view.effectiveSize || view.mdMoved || view.newLayout;
  return {
    result: !changes ? 'unchanged' : size < view.capacity ? 'shrunk' : view.capacity === 0 ? 'grew-from-zero' : 'grew',
    size, resizeBitmap: changes, setNewBits: (ddsFlags & DdsFlag.noResync) === 0, effectiveSize, rewriteMd,
    writeAllBitmap: view.mdMoved || view.newLayout, log,
  };
}

/** Bits of the new region at attach may be clear. @spec uuid.md 5.6 */
export interface NewRegion {
  readonly discardZeroesIfAligned: boolean;
  readonly justCreated: boolean;
  readonly wasUpToDate: boolean;
  readonly rsDiscardGranularity: number;
  readonly allUuidsZero: boolean;
}

export function newRegionIsZero(v: NewRegion): boolean {
  return v.discardZeroesIfAligned && !v.justCreated
    && (v.wasUpToDate || (v.rsDiscardGranularity !== 0 && v.allUuidsZero));
}

export interface ResyncAfterGrow {
  readonly role: Role;
  readonly peerRole: Role;
  readonly nodeId: number;
  readonly peerNodeId: number;
}

/** Which side sends the grown part: the Primary, else the lower node id. @spec uuid.md 5.4 */
export function sourceAfterGrow(v: ResyncAfterGrow): boolean {
  if (v.role !== v.peerRole) return v.role === Role.primary;
  return v.nodeId < v.peerNodeId;
}

/** Side of the resync after a committed cluster-wide resize; null: none. @spec uuid.md 5.5 */
export function resizeResyncSide(v: {
  readonly diskfulPrimaries: bigint; readonly nodeId: number; readonly peerNodeId: number;
  readonly initiator: boolean; readonly peerIsParent: boolean; readonly peerReachedAtPrepare: boolean;
}): 'source' | 'target' | null {
  const self = (v.diskfulPrimaries >> BigInt(v.nodeId)) & 1n;
  const peer = (v.diskfulPrimaries >> BigInt(v.peerNodeId)) & 1n;
  if (v.diskfulPrimaries !== 0n) {
    if (self === 1n && peer === 1n) return v.peerNodeId < v.nodeId ? 'target' : 'source';
    return self === 1n ? 'source' : peer === 1n ? 'target' : null;
  }
  if (v.peerIsParent) return 'target';
  return v.initiator && v.peerReachedAtPrepare ? 'source' : null;
}

export interface ReceivedSizes {
  readonly dSize: number;
  readonly uSize: number;
  readonly cSize: number;
  readonly ddsFlags: number;
}

export interface ReceiveSizesView extends DetermineView {
  readonly repl: Repl;
  readonly cstate: Cstate;
  readonly pdsk: Disk;
  readonly role: Role;
  /** d_size of other peers with pdsk ≥ Inconsistent, 0: unknown. */
  readonly otherDiskSizes: readonly number[];
}

export type SizesVerdict =
  /** max_size of the peer := 0; SS_HANDSHAKE_DISCONNECT in a 2PC, else ProtocolError. */
  | { readonly kind: 'refuse'; readonly log: readonly LogLine[] }
  /** With a disk: disk_size := userSize, then determineDevSize with these flags. */
  | { readonly kind: 'determine'; readonly userSize: number; readonly ddsFlags: number;
    readonly log: readonly LogLine[] }
  /** Diskless: the capacity becomes this and P_SIZES is answered. */
  | { readonly kind: 'capacity'; readonly size: number; readonly log: readonly LogLine[] }
  | { readonly kind: 'ignore'; readonly log: readonly LogLine[] };

function differs(what: string, a: number, b: number): LogLine[] {
  if (a === 0 || b === 0) return [];
  const gap = Math.abs(a - b);
  return gap > Math.min(a, b) / 8
    ? [{ level: LogLevel.warning, text: `Considerable difference in ${what}: ${a}s vs. ${b}s` }] : [];
}

/** Steps 1 to 4 of receive_sizes; `view.peers` has the sender's new values (sizesOfPeer). @spec uuid.md 5.4 */
export function receiveSizes(view: ReceiveSizesView, p: ReceivedSizes): SizesVerdict {
  const refuse = (text: string): SizesVerdict => ({ kind: 'refuse', log: [{ level: LogLevel.err, text }] });
  if ((p.dSize !== 0 && p.cSize > p.dSize) || (p.uSize !== 0 && p.cSize > p.uSize)) {
    return refuse('Peer sent bogus sizes, disconnecting');
  }
  return view.disk >= Disk.inconsistent || view.disk === Disk.negotiating
    ? receiveWithDisk(view, p, refuse) : receiveDiskless(view, p, refuse);
}

type Refuse = (text: string) => SizesVerdict;

function receiveWithDisk(view: ReceiveSizesView, p: ReceivedSizes, refuse: Refuse): SizesVerdict {
  const handshake = view.repl === Repl.off;
  const log = [
    ...differs('lower level device sizes', p.dSize, view.localMax),
    ...differs('user requested size', p.uSize, view.userSize),
  ];
  let userSize = handshake ? min0(view.userSize, p.uSize) : p.uSize;
  if (userSize === 0 && p.dSize === 0) userSize = view.userSize;
  const { size } = newDevSize(view, userSize, p.ddsFlags);
  const attached = view.disk >= Disk.outdated;
  if (size < view.capacity && attached && (view.repl < Repl.established || view.pdsk === Disk.diskless)) {
    return refuse(`The peer's disk size is too small! (${size} < ${view.capacity} sectors)`);
  }
  if (view.localMax < p.cSize && !handshake) {
    return refuse(`Peer's size larger than my maximum capacity (${view.localMax} < ${p.cSize} sectors)`);
  }
  if (userSize !== view.userSize) {
    log.push({ level: LogLevel.info, text: `Peer sets u_size to ${userSize} sectors (old: ${view.userSize})` });
  }
  const ddsFlags = p.ddsFlags | (view.effectiveSize === 0 ? DdsFlag.noResync : 0);
  return { kind: 'determine', userSize, ddsFlags, log };
}

function receiveDiskless(view: ReceiveSizesView, p: ReceivedSizes, refuse: Refuse): SizesVerdict {
  const ignore: SizesVerdict = { kind: 'ignore', log: [] };
  const size = min0(p.cSize, p.uSize, p.dSize);
  if (size === 0 || size === view.capacity || (view.capacity !== 0 && p.dSize === 0)) return ignore;
  if (size < view.capacity && view.role === Role.primary) {
    return refuse(`The peer's device size is too small! (${size} < ${view.capacity} sectors); demote me first!`);
  }
  // A diskless node grows only if all attached peers can.
  if (view.otherDiskSizes.some((other) => other > 0 && other < size)) return ignore;
  return { kind: 'capacity', size, log: [{ level: LogLevel.info, text: `size = ${sizeText(size)}` }] };
}

/** Values of a peer device from P_SIZES; max_size is kept when the peer became diskless. @spec uuid.md 5.1 */
export function sizesOfPeer(old: PeerSize, p: ReceivedSizes): PeerSize {
  return {
    ...old, haveSizes: true, dSize: p.dSize, uSize: p.uSize, cSize: p.cSize,
    maxSize: p.dSize !== 0 ? p.dSize : old.maxSize,
  };
}
