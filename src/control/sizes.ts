// SPDX-License-Identifier: GPL-2.0-or-later
/** Sizes and limits of a volume: the rules of src/state/size-agreement.ts applied to disk, bitmap and block device. */
import type { DeviceLimits } from '../host/block.ts';
import { LogLevel } from '../host/log.ts';
import type { Effect } from '../state/effects.ts';
import {
  agreedInTwopc, DdsFlag, determineDevSize, min0, newDevSize, receiveSizes as judge, resizeResyncSide, sizesOfPeer,
} from '../state/size-agreement.ts';
import type { DetermineView, Determined, PeerSize, ReceivedSizes } from '../state/size-agreement.ts';
import { Cstate, Disk, PeerFlag, Repl } from '../state/states.ts';
import { Feature } from '../wire/features.ts';
import type { PSizes } from '../wire/packets/sizes.ts';
import { run } from './admin/steps.ts';
import type { Device } from './device.ts';
import { keyOf } from './journal.ts';
import type { PeerDevice } from './peer-device.ts';
import { rewriteMetaData } from './rewrite-md.ts';
import * as send from './send.ts';
import { logLines, peerDevicesOf } from './uuids.ts';

const SECTOR = 512;
const maxBioBytes = 1 << 20;
const discardSectorsMax = 128 * 2048;
/** A peer without WSAME takes no larger ones. */
const discardSectorsOld = 4 * 2048;

/** Own part of P_SIZES. `userSize`: u_size to tell. @spec wire.md 5.5, io.md 10.1 */
export function ownSizes(device: Device, ddsFlags = 0): PSizes {
  const { disk, capacity } = device;
  const limits = disk?.lower.limits;
  return {
    dSize: disk ? min0(disk.usable, ...peerSizes(device).filter((p) => p.haveSizes).map((p) => p.dSize)) : 0,
    uSize: disk?.conf.diskSize ?? 0, cSize: capacity, maxBioSize: device.conf.maxBioSize, queueOrderType: 0, ddsFlags,
    qlim: {
      physicalBlockSize: limits?.physicalBlockBytes ?? SECTOR, logicalBlockSize: limits?.logicalBlockBytes ?? SECTOR,
      alignmentOffset: 0, ioMin: limits?.physicalBlockBytes ?? SECTOR, ioOpt: 0,
      discardEnabled: (limits?.maxDiscardSectors ?? 0) > 0 ? 1 : 0, discardZeroesData: 0, writeSameCapable: 0,
      bmBlockShift: 0,
    },
  };
}

/** Every node that counts: configured peers, and slots of the super block that had a disk once. */
function peerSizes(device: Device): PeerSize[] {
  const slots = device.disk?.meta.superBlock.peers ?? [];
  const seen = (nodeId: number): boolean => ((slots[nodeId]?.flags ?? 0) & PeerFlag.deviceSeen) !== 0;
  const configured = new Map(peerDevicesOf(device).map((pd) => [pd.connection.nodeId, sizeOf(pd, seen(pd.connection.nodeId))]));
  for (let nodeId = 0; nodeId < slots.length; nodeId++) {
    if (nodeId === device.resource.nodeId || configured.has(nodeId) || !seen(nodeId)) continue;
    configured.set(nodeId, { nodeId, haveSizes: false, dSize: 0, uSize: 0, cSize: 0, maxSize: 0, deviceSeen: true });
  }
  return [...configured.values()];
}

function sizeOf(pd: PeerDevice, deviceSeen: boolean): PeerSize {
  const { nodeId } = pd.connection;
  const { haveSizes } = pd.device.resource.peerDeviceRow(pd.device.vnr, nodeId);
  return { nodeId, haveSizes, dSize: pd.peerDiskSectors, uSize: pd.peerUserSectors, cSize: pd.peerCurrentSectors,
    maxSize: pd.peerMaxSectors, deviceSeen };
}

function determineView(device: Device): DetermineView {
  const { disk, resource, vnr, capacity } = device;
  return {
    localMax: disk?.usable ?? 0, effectiveSize: disk?.meta.superBlock.effectiveSize ?? 0, peers: peerSizes(device), capacity,
    userSize: disk?.conf.diskSize ?? 0, disk: resource.deviceRow(vnr).disk,
    upToDatePeer: peerDevicesOf(device).some((pd) =>
      resource.peerDeviceRow(vnr, pd.connection.nodeId).pdsk === Disk.upToDate),
    newLayout: false, mdMoved: false,
  };
}

/** Another layout of the activity log, as `resize` may ask for. */
export interface AlStripes { readonly alStripes: number; readonly alStripeSize4k: number }

/** The size that all nodes have agreed on; the backing devices may have grown, and the meta-data with them. */
export interface Agreed { readonly size: number; readonly stripes: AlStripes | null }

/**
 * drbd_determine_dev_size with a disk. What is in memory has changed when this returns; the meta-data on disk follow, and
 * application I/O waits for them. `written` is called then.
 * @spec uuid.md 5.3
 */
export function determineDeviceSize(device: Device, ddsFlags: number, agreed: Agreed | null = null,
  written: () => void = () => {}): Determined {
  const { disk } = device;
  if (!disk) return 'unchanged';
  const now = agreed ? disk.layoutNow(agreed.stripes?.alStripes, agreed.stripes?.alStripeSize4k)
    : { layout: disk.meta.layout, usable: disk.usable };
  const moves = now.layout !== disk.meta.layout;
  const view = { ...determineView(device), localMax: now.usable, newLayout: (agreed?.stripes ?? null) !== null, mdMoved: moves };
  const plan = determineDevSize(view, ddsFlags, agreed?.size);
  logLines(device, plan.log);
  if (plan.result === 'error-shrink' || plan.result === 'error-space-md') return plan.result;
  disk.usable = now.usable;
  const changes = disk.bitmap.sectors !== plan.size;
  if (changes) disk.bitmap.resize(plan.size, plan.setNewBits);
  disk.storeEffectiveSize(plan.effectiveSize);
  device.setCapacity(plan.size);
  if (plan.rewriteMd && device.resource.deviceRow(device.vnr).disk >= Disk.inconsistent) {
    const why = moves ? changes ? 'size changed and md moved' : 'md moved' : 'size changed';
    run(rewriteMetaData(device, disk, now.layout, why), () => {
      if (agreed?.stripes) tellStripes(device, agreed.stripes);
      written();
    });
    return plan.result;
  }
  if (changes) disk.writeBitmap(() => {});
  if (plan.rewriteMd) disk.meta.sync({ done: () => {} });
  written();
  return plan.result;
}

function tellStripes(device: Device, { alStripes, alStripeSize4k }: AlStripes): void {
  device.log.line(LogLevel.info, `Changed AL layout to al-stripes = ${alStripes}, al-stripe-size-kB = ${alStripeSize4k * 4}`);
}

/** Largest device that this node can serve now; a diskless one sets no limit. @spec state.md 6.11 */
export function localMaxSize(device: Device | undefined): number {
  if (!device?.disk) return Infinity;
  const { disk, wantedStripes } = device;
  return disk.layoutNow(wantedStripes?.alStripes, wantedStripes?.alStripeSize4k).usable;
}

/** What the nodes of `reached` have agreed to: drbd_new_dev_size of the one that asked them. 0: nobody has a disk. */
export function sizeAfterResize(device: Device, userSize: number, ddsFlags: number, maxPossible: number, reached: bigint): number {
  const nodes = new Set(peerSizes(device).map((peer) => peer.nodeId).filter((n) => (reached >> BigInt(n)) % 2n === 1n));
  const peers = peerSizes(device).map((peer) => (nodes.has(peer.nodeId) ? agreedInTwopc(peer, maxPossible) : peer));
  const view = { localMax: Math.min(localMaxSize(device), maxPossible), peers,
    effectiveSize: device.disk?.meta.superBlock.effectiveSize ?? 0 };
  const { size, log } = newDevSize(view, userSize, ddsFlags | DdsFlag.twopc, nodes);
  logLines(device, log);
  return size;
}

/** drbd_reconsider_queue_parameters. @spec io.md 10.1 */
export function reconsiderLimits(device: Device): void {
  const { disk, resource, vnr, conf } = device;
  const own = disk?.lower.limits;
  const told = peerDevicesOf(device).filter((pd) => resource.peerDeviceRow(vnr, pd.connection.nodeId).haveSizes);
  const connected = resource.view.connections.filter((row) => row.cstate === Cstate.connected);
  const all = (feature: number): boolean => connected.every((row) => (row.agreedFeatures & feature) !== 0);
  const canDiscard = (!own || own.maxDiscardSectors > 0) && all(Feature.trim);
  const discards = all(Feature.wsame) ? discardSectorsMax : discardSectorsOld;
  const logical = Math.max(conf.blockSize, own?.logicalBlockBytes ?? SECTOR, ...told.map((pd) => pd.peerLogicalBlockBytes));
  const limits: DeviceLimits = {
    logicalBlockBytes: logical,
    physicalBlockBytes: Math.max(logical, own?.physicalBlockBytes ?? SECTOR),
    maxBioBytes: Math.min(maxBioBytes, conf.maxBioSize, ...told.map((pd) => pd.peerMaxBioBytes).filter((bytes) => bytes > 0)),
    maxDiscardSectors: canDiscard ? Math.min(discards, own?.maxDiscardSectors ?? discards) : 0,
    discardGranularityBytes: canDiscard ? Math.max(SECTOR, own?.discardGranularityBytes ?? SECTOR) : 0,
    maxWriteZeroesSectors: all(Feature.wzeroes) ? discardSectorsMax : 0,
    rotational: own?.rotational ?? true,
    writeCache: true,
  };
  device.block.setLimits(limits);
}

/** P_SIZES received. '' or why the connection must end. @spec uuid.md 5.4 */
export function receiveSizes(pd: PeerDevice, p: PSizes): string {
  const { device, connection } = pd;
  const { resource, vnr } = device;
  const { nodeId } = connection;
  keepSizes(pd, p);
  resource.dispatch({ kind: 'peerDeviceFacts', vnr, nodeId, facts: { haveSizes: true } });
  const row = resource.peerDeviceRow(vnr, nodeId);
  const others = peerDevicesOf(device).filter((other) => other !== pd
    && resource.peerDeviceRow(vnr, other.connection.nodeId).pdsk >= Disk.inconsistent).map((other) => other.peerDiskSectors);
  const verdict = judge({
    ...determineView(device), repl: row.repl, pdsk: row.pdsk, cstate: connection.cstate(),
    role: resource.view.resource.role, otherDiskSizes: others,
  }, p);
  for (const { level, text } of verdict.log) pd.log.line(level as LogLevel, text);
  if (verdict.kind === 'refuse') {
    pd.peerMaxSectors = 0;
    return verdict.log.at(-1)?.text ?? 'sizes do not fit';
  }
  const before = device.capacity;
  if (verdict.kind === 'capacity') device.setCapacity(verdict.size);
  let grew: Determined = 'unchanged';
  if (verdict.kind === 'determine' && device.disk) {
    device.disk.conf = { ...device.disk.conf, diskSize: verdict.userSize };
    grew = determineDeviceSize(device, verdict.ddsFlags);
    if (grew === 'error-shrink' || grew === 'error-space-md') return 'the device can not have that size';
  }
  reconsiderLimits(device);
  if (device.capacity !== before) tellAll(pd);
  if (grew === 'grew' && row.repl === Repl.established && (p.ddsFlags & DdsFlag.noResync) !== 0) {
    pd.log.line(LogLevel.info, 'Resync of new storage suppressed with --assume-clean');
  }
  return '';
}

function keepSizes(pd: PeerDevice, p: ReceivedSizes & PSizes): void {
  const kept = sizesOfPeer(sizeOf(pd, true), p);
  pd.peerDiskSectors = kept.dSize;
  pd.peerUserSectors = kept.uSize;
  pd.peerCurrentSectors = kept.cSize;
  pd.peerMaxSectors = kept.maxSize;
  pd.peerMaxBioBytes = Math.min(p.maxBioSize, maxBioBytes);
  pd.peerLogicalBlockBytes = p.qlim?.logicalBlockSize ?? SECTOR;
}

/** The size of the device is another one since this peer told its own. */
function tellAll(told: PeerDevice): void {
  const { device, device: { resource, vnr } } = told;
  for (const pd of peerDevicesOf(device)) {
    const { connection, connection: { nodeId } } = pd;
    if (connection.cstate() === Cstate.connected) send.sizes(pd);
    else if (pd !== told && resource.peerDeviceRow(vnr, nodeId).holdingUuidLock) {
      // It was told the old size: its bitmap would not be as long as ours.
      pd.log.info('The size of the device changed during the connect, connecting again');
      resource.dispatch({ kind: 'lost', nodeId, cstate: Cstate.networkFailure, tag: 'resized' });
    }
    if (pd.peerMaxSectors < device.capacity) pd.peerMaxSectors = 0;
  }
}

/** A diskless Primary works with the data of this disk: its size is ours. @spec uuid.md 4.6 item 13 */
export function adoptPeerSize(pd: PeerDevice): void {
  pd.peerMaxSectors = pd.peerCurrentSectors;
  determineDeviceSize(pd.device, 0);
}

type CommitSize = Extract<Effect, { kind: 'commitSize' }>;

/**
 * Effect commitSize: all nodes have agreed. `start` is called for each peer that is to be synced, once the own meta-data
 * are there; its packets wait until then. @spec uuid.md 5.5
 */
export function commit(device: Device, e: CommitSize, start: (side: ResizeSide) => void): void {
  for (const pd of peerDevicesOf(device)) {
    pd.peerCurrentSectors = pd.peerMaxSectors = e.newSizeSectors;
    pd.peerUserSectors = e.userSizeSectors;
    if (pd.peerDiskSectors !== 0) pd.peerDiskSectors = e.newSizeSectors;
  }
  const { disk, resource } = device;
  if (!disk) {
    device.setCapacity(e.newSizeSectors);
    return;
  }
  if (disk.conf.diskSize !== e.userSizeSectors) device.log.line(LogLevel.info, `New u_size ${e.userSizeSectors} sectors`);
  disk.conf = { ...disk.conf, diskSize: e.userSizeSectors };
  resource.engine.journal.put(keyOf.disk(resource.name, device.vnr), disk.conf);
  let sides: readonly ResizeSide[] = [];
  const links = peerDevicesOf(device).map((pd) => pd.connection.conn.link).filter((link) => link !== null);
  for (const link of links) link.wait(true);
  device.resized = determineDeviceSize(device, e.ddsFlags | DdsFlag.twopc, { size: e.newSizeSectors, stripes: device.wantedStripes },
    () => {
      for (const side of sides) start(side);
      for (const link of links) link.wait(false);
      sides = [];
    });
  device.wantedStripes = null;
  if (device.resized.startsWith('error-')) for (const link of links) link.wait(false);
  if (device.resized === 'grew' && (e.ddsFlags & DdsFlag.noResync) === 0) sides = resyncSides(device, e);
}

function resyncSides(device: Device, e: CommitSize): readonly ResizeSide[] {
  const { resource, vnr } = device;
  return peerDevicesOf(device).flatMap((pd): ResizeSide[] => {
    const { nodeId } = pd.connection;
    const row = resource.peerDeviceRow(vnr, nodeId);
    if (row.repl !== Repl.established || row.pdsk < Disk.inconsistent || row.pdsk === Disk.unknown) return [];
    const bit = 1n << BigInt(nodeId);
    const side = resizeResyncSide({
      diskfulPrimaries: e.diskfulPrimaryNodes, nodeId: resource.nodeId, peerNodeId: nodeId, initiator: e.parents === 0n,
      peerIsParent: (e.parents & bit) !== 0n, peerReachedAtPrepare: (e.children & bit) !== 0n,
    });
    const { disk } = resource.deviceRow(vnr);
    const worse = side === 'source' ? disk < row.pdsk : row.pdsk < disk;
    return side === null || worse ? [] : [{ pd, side }];
  });
}

export interface ResizeSide {
  readonly pd: PeerDevice;
  readonly side: 'source' | 'target';
}
