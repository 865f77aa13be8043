// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * What nothing else would ever look at again, after a while: bits that are left between two UpToDate disks of one generation,
 * say of the last writes of a lost Primary; and an own disk that is not good beside one that is, say after a resync whose
 * source was not stable. The blocks are synced by bitmap, as by invalidate-remote --reset-bitmap=no, so any peer knows how to
 * take part. docs/differences.md, hazards.md Z-01, Z-07, Z-11
 */
import type { Timer } from '../host/clock.ts';
import { deviceStable, hasShownOther, isSuspended } from '../state/facts.ts';
import { calcQuorum } from '../state/quorum.ts';
import { Cs, Cstate, Disk, Repl, Role, UuidFlag, isSyncSource, isSyncTarget } from '../state/states.ts';
import { deviceIndex, findConnection, findDevice, findPeerDevice, sameUuid } from '../state/view.ts';
import type { PeerDevice } from './peer-device.ts';
import { resyncBecause } from './reevaluate.ts';
import type { Resource } from './resource.ts';
import { knowsBitmapResync } from './resync.ts';
import { maySyncNow } from './resync-after.ts';
import * as send from './send.ts';

/** What is merely late is over by then. Up to twice as long at random: two nodes with one period would stay in each other's way. */
const LEFT_MS = 10_000;

export class Drain {
  readonly #resource: Resource;
  #timer: Timer | null = null;

  constructor(resource: Resource) { this.#resource = resource; }

  /** After each change of the view, and where bits come up without one. */
  look(): void {
    if (this.#timer !== null || (!this.#some(isLeft) && !this.#some(isBehind))) return;
    const { clock, random } = this.#resource.engine.host;
    this.#timer = clock.timer(`${this.#resource.name}: bits that are left`, LEFT_MS + random.below(LEFT_MS), () => this.#sync());
  }

  close(): void { this.#timer?.cancel(); }

  #some(is: (pd: PeerDevice) => boolean): PeerDevice | undefined {
    for (const connection of this.#resource.connections.values()) {
      for (const pd of connection.peerDevices.values()) if (is(pd)) return pd;
    }
    return undefined;
  }

  #sync(): void {
    this.#timer = null;
    const resource = this.#resource;
    const mayCatchUp = (pd: PeerDevice): boolean => isBehind(pd) && mayStart(pd);
    const behind = this.#some((pd) => mayCatchUp(pd) && isPrimary(pd)) ?? this.#some(mayCatchUp);
    const left = this.#some((pd) => isLeft(pd) && isIdle(pd) && mayStart(pd) && mayCost(pd));
    if (resource.view.twopc === null && behind) this.#catchUp(behind);
    else if (resource.view.twopc === null && left) {
      left.log.info(`${left.io.bitsOutOfSync} blocks are left out of sync between UpToDate disks, syncing them`);
      this.#byBitmap(left, 'bits-left', isAhead(left) ? Repl.wfBitMapT : Repl.wfBitMapS);
    }
    this.look();
  }

  /** Of one generation the bitmaps say what differs; else the generations do. */
  #catchUp(pd: PeerDevice): void {
    const { device: { resource, vnr }, connection: { nodeId } } = pd;
    pd.log.info('Own disk is behind one that is good, syncing it');
    if (sameUuid(resource.deviceRow(vnr).currentUuid, resource.peerDeviceRow(vnr, nodeId).peerCurrentUuid)) {
      return this.#byBitmap(pd, 'left-behind', Repl.wfBitMapT);
    }
    send.uuids(pd, UuidFlag.resync);
    resyncBecause(pd, 'after-unstable');
  }

  #byBitmap({ device: { vnr }, connection: { nodeId } }: PeerDevice, tag: string, repl: Repl): void {
    this.#resource.request((request) => ({ kind: 'clusterChange', request, tag, transient: false,
      flags: Cs.verbose | Cs.serialize | Cs.clusterWide, change: { what: 'repl', nodeId, vnr, repl } }), () => this.look());
  }
}

const isPrimary = ({ device: { resource }, connection: { nodeId } }: PeerDevice): boolean =>
  resource.connectionRow(nodeId).peerRole === Role.primary;

/** Whose data stay, one order for all: else each resync could undo the last one, in a circle for ever. */
function isAhead(pd: PeerDevice): boolean {
  const { device: { resource }, connection: { nodeId } } = pd;
  return isPrimary(pd) || (resource.view.resource.role !== Role.primary && nodeId < resource.nodeId);
}

const connected = ({ device: { resource }, connection: { nodeId } }: PeerDevice): boolean =>
  findConnection(resource.view, nodeId)?.cstate === Cstate.connected;

/** What an online verify found is for the administrator to decide. */
function isLeft(pd: PeerDevice): boolean {
  const { device: { resource, vnr, disk }, connection: { nodeId }, io } = pd;
  if (disk === null || io.bitsOutOfSync === 0 || io.verify.found) return false;
  const device = findDevice(resource.view, vnr);
  const row = findPeerDevice(resource.view, vnr, nodeId);
  return device?.disk === Disk.upToDate && row?.pdsk === Disk.upToDate && row.repl === Repl.established
    && connected(pd) && sameUuid(device.currentUuid, row.peerCurrentUuid);
}

function isBehind(pd: PeerDevice): boolean {
  const { device: { resource, vnr, disk }, connection: { nodeId }, uuids } = pd;
  const device = findDevice(resource.view, vnr);
  const row = findPeerDevice(resource.view, vnr, nodeId);
  return disk !== null && uuids !== null
    && device !== undefined && isOld(pd, device.disk)
    && row?.pdsk === Disk.upToDate && row.repl === Repl.established && connected(pd) && hasNoBetter(pd) && mayShow(pd);
}

/** Also what a Primary's users have gone on from while it was no more than Consistent. */
function isOld(pd: PeerDevice, disk: Disk): boolean {
  const { resource: { view }, vnr } = pd.device;
  return disk === Disk.inconsistent || disk === Disk.outdated || (disk === Disk.upToDate && isOvertaken(pd))
    || (disk === Disk.consistent && hasShownOther(view, deviceIndex(view, vnr)));
}

/** It was not good yet when the others got the generation that they are in now. */
function isOvertaken(pd: PeerDevice): boolean {
  const { device: { resource, vnr }, uuids } = pd;
  const { currentUuid } = resource.deviceRow(vnr);
  return resource.view.resource.role === Role.secondary && !sameUuid(uuids!.currentUuid, currentUuid)
    && uuids!.historyUuids.some((old) => sameUuid(old, currentUuid)) && mayCost(pd);
}

/** A Primary's users have seen data: nothing else may come below them. */
function mayShow({ device: { resource, vnr }, connection: { nodeId } }: PeerDevice): boolean {
  const { exposedUuid } = resource.deviceRow(vnr);
  return resource.view.resource.role !== Role.primary || exposedUuid === 0n
    || sameUuid(exposedUuid, resource.peerDeviceRow(vnr, nodeId).peerCurrentUuid);
}

const isIdle = ({ device: { resource, vnr } }: PeerDevice): boolean =>
  resource.view.peerDevices.every((pd) => pd.vnr !== vnr || pd.repl <= Repl.established);

/** At most resyncs are on that cannot make the own disk good: from one that is not good itself, or waiting for us to be. */
const hasNoBetter = ({ device: { resource, vnr } }: PeerDevice): boolean => resource.view.peerDevices.every((pd) => pd.vnr !== vnr
  || pd.repl <= Repl.established || isSyncSource(pd.repl) || (isSyncTarget(pd.repl) && pd.pdsk <= Disk.outdated));

/** Neither of the two sees a Primary that the other does not see. */
function mayStart(pd: PeerDevice): boolean {
  const { device, connection } = pd;
  const { nodeId } = connection;
  const { resource, vnr } = device;
  const { view } = resource;
  const row = resource.peerDeviceRow(vnr, nodeId);
  const { peerRole } = resource.connectionRow(nodeId);
  const primaries = Number(view.resource.role === Role.primary) + Number(peerRole === Role.primary);
  const alike = primaries === 1 || (primaries === 0 && deviceStable(view) === ((row.uuidFlags & UuidFlag.stable) !== 0));
  const paused = row.suspUser || row.suspPeer || row.suspDependency || !maySyncNow(device);
  return knowsBitmapResync(connection) && alike && !paused;
}

/** Nobody would be without quorum for it. */
function mayCost({ device: { resource, vnr } }: PeerDevice): boolean {
  const { view } = resource;
  const { votes, minRedundancyAt } = calcQuorum(view, view, deviceIndex(view, vnr));
  return !isSuspended(view) && (view.resource.options.quorum === 0 || votes.upToDate > minRedundancyAt);
}
