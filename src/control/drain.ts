// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Bits that are left between two UpToDate disks of one generation, say of the last writes of a lost Primary: nothing else
 * would ever look at them. After a while the blocks are synced by bitmap, as by invalidate-remote --reset-bitmap=no, so any
 * peer knows how to take part. docs/differences.md, hazards.md Z-01, Z-07, Z-11
 */
import type { Timer } from '../host/clock.ts';
import { deviceStable, isSuspended, resyncSuspended } from '../state/facts.ts';
import { calcQuorum } from '../state/quorum.ts';
import { Cs, Cstate, Disk, Repl, Role, UuidFlag } from '../state/states.ts';
import { deviceIndex, findConnection, findDevice, findPeerDevice, sameUuid } from '../state/view.ts';
import type { PeerDevice } from './peer-device.ts';
import type { Resource } from './resource.ts';
import { BITMAP_RESYNC_PROTOCOL } from './resync.ts';
import { maySyncNow } from './resync-after.ts';

/** What is merely late is over by then. */
const LEFT_MS = 10_000;

export class Drain {
  readonly #resource: Resource;
  #timer: Timer | null = null;

  constructor(resource: Resource) { this.#resource = resource; }

  /** After each change of the view. */
  look(): void {
    if (this.#timer !== null || this.#left().length === 0) return;
    this.#timer = this.#resource.engine.host.clock.timer(`${this.#resource.name}: bits that are left`, LEFT_MS, () => this.#sync());
  }

  close(): void { this.#timer?.cancel(); }

  #left(): PeerDevice[] {
    const found: PeerDevice[] = [];
    for (const connection of this.#resource.connections.values()) {
      for (const pd of connection.peerDevices.values()) if (isLeft(pd)) found.push(pd);
    }
    return found;
  }

  #sync(): void {
    this.#timer = null;
    const resource = this.#resource;
    const pd = this.#left().find(maySync);
    if (pd && resource.view.twopc === null) {
      const { device: { vnr }, connection: { nodeId } } = pd;
      const target = resource.connectionRow(nodeId).peerRole === Role.primary;
      pd.log.info(`${pd.io.bitsOutOfSync} blocks are left out of sync between UpToDate disks, syncing them`);
      resource.request((request) => ({ kind: 'clusterChange', request, tag: 'bits-left', transient: false,
        flags: Cs.verbose | Cs.serialize | Cs.clusterWide, change: { what: 'repl', nodeId, vnr, repl: target ? Repl.wfBitMapT : Repl.wfBitMapS } }),
      () => this.look());
    }
    this.look();
  }
}

/** What an online verify found is for the administrator to decide. */
function isLeft({ device: { resource, vnr, disk }, connection: { nodeId }, io }: PeerDevice): boolean {
  if (disk === null || io.bitsOutOfSync === 0 || io.verify.found) return false;
  const device = findDevice(resource.view, vnr);
  const row = findPeerDevice(resource.view, vnr, nodeId);
  return device?.disk === Disk.upToDate && row?.pdsk === Disk.upToDate && row.repl === Repl.established
    && findConnection(resource.view, nodeId)?.cstate === Cstate.connected && sameUuid(device.currentUuid, row.peerCurrentUuid);
}

/** Nothing runs, nobody would be without quorum for it, and neither of the two sees a Primary that the other does not see. */
function maySync({ device, connection: { nodeId } }: PeerDevice): boolean {
  const { resource, vnr } = device;
  const { view } = resource;
  const row = resource.peerDeviceRow(vnr, nodeId);
  const { agreedVersion, peerRole } = resource.connectionRow(nodeId);
  const idle = view.peerDevices.every((pd) => pd.vnr !== vnr || pd.repl <= Repl.established);
  const primaries = Number(view.resource.role === Role.primary) + Number(peerRole === Role.primary);
  const alike = primaries === 1 || (primaries === 0 && deviceStable(view) === ((row.uuidFlags & UuidFlag.stable) !== 0));
  const paused = resyncSuspended(row, Disk.upToDate) || !maySyncNow(device);
  const { votes, minRedundancyAt } = calcQuorum(view, view, deviceIndex(view, vnr));
  const redundant = view.resource.options.quorum === 0 || votes.upToDate > minRedundancyAt;
  return agreedVersion >= BITMAP_RESYNC_PROTOCOL && idle && alike && !paused && redundant && !isSuspended(view);
}
