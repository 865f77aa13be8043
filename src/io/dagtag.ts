// SPDX-License-Identifier: GPL-2.0-or-later
import type { Timer } from '../host/clock.ts';
import { Disk, Role } from '../state/states.ts';
import type { ConnectionIo } from './connection-io.ts';
import type { DeviceIo } from './device-io.ts';
import { PeerFlag } from './peer-request-pool.ts';
import type { PeerList, PeerRequestPool } from './peer-request-pool.ts';
import type { ResourceIo } from './resource-io.ts';

/** Half of the longest wait. */
const PATIENCE_MS = 10_000;

/** The Primary whose newest write we know: whoever reads for us must have that first. -1: none. @spec uuid.md 7.5 */
export function dagtagNode(connection: ConnectionIo): number {
  const { resource } = connection;
  if (resource.facts.role === Role.primary) return resource.nodeId;
  let node = -1;
  for (const other of resource.connectionList) {
    if (!other.up || other.facts.peerRole !== Role.primary) continue;
    if (node >= 0) {
      connection.fail('Disconnecting', 'Refusing to resync due to multiple remote primaries');
      return -1;
    }
    node = other.nodeId;
  }
  return node >= 0 && resource.connections[node]!.writes.receivedDagtag ? node : -1;
}

export function dagtagOf(connection: ConnectionIo, node: number): number {
  const { resource } = connection;
  if (node < 0) return 0;
  return node === resource.nodeId ? resource.requests.dagtag : resource.connections[node]!.writes.lastDagtag;
}

/** Are writes of that node up to the dagtag still on their way to us? */
export function mustWaitFor(connection: ConnectionIo, nodeId: number, dagtag: number): boolean {
  const { resource } = connection;
  if (dagtag === 0 || nodeId === resource.nodeId || nodeId < 0 || nodeId > 31) return false;
  const node = resource.connections[nodeId];
  return node !== null && node.up && node.writes.lastDagtag < dagtag;
}

/** An Outdated disk only hears that writes happened: they never come, and what is there instead may be older. */
export const getsWrites = (device: DeviceIo): boolean => device.facts.disk !== Disk.outdated;

/** Of a list's requests that wait: those that did so before end, the others have been seen; true: there are such. */
export function endLongWaits(list: PeerList, pool: PeerRequestPool, end: (slot: number) => void): boolean {
  let left = false;
  for (let slot = list.head; slot >= 0;) {
    const next = pool.next[slot];
    const waits = pool.flags[slot] & (PeerFlag.WAITS_DAGTAG | PeerFlag.WAITS_LONG);
    if (waits === PeerFlag.WAITS_DAGTAG) {
      pool.flags[slot] |= PeerFlag.WAITS_LONG;
      left = true;
    } else if (waits === (PeerFlag.WAITS_DAGTAG | PeerFlag.WAITS_LONG)) end(slot);
    slot = next;
  }
  return left;
}

/**
 * Requests that wait for a dagtag, which may never come: it may be of an engine that is gone, while the next one, which counts
 * from less, is connected here already; who named it has not noticed yet. So each waits for 10 to 20 s; then it is over, and
 * may be asked again with what is known by then.
 */
export class DagtagWaits {
  private readonly resource: ResourceIo;
  private timer: Timer | null = null;

  constructor(resource: ResourceIo) {
    this.resource = resource;
  }

  /** A request waits from now on. */
  began(slot: number): void {
    this.resource.peerRequests.flags[slot] |= PeerFlag.WAITS_DAGTAG;
    this.arm();
  }

  private arm(): void {
    this.timer ??= this.resource.env.clock.timer('dagtag', PATIENCE_MS, () => {
      this.timer = null;
      let left = false;
      for (const connection of this.resource.connectionList) left = connection.dagtagLate() || left;
      if (left) this.arm();
    });
  }
}
