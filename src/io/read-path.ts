// SPDX-License-Identifier: GPL-2.0-or-later
import { Disk } from '../state/states.ts';
import type { ConnectionIo } from './connection-io.ts';
import type { DeviceIo } from './device-io.ts';

/** read-balancing. @spec io.md 6.1 */
export const Balancing = {
  preferLocal: 0, preferRemote: 1, roundRobin: 2, leastPending: 3, whenCongestedRemote: 4, striping32K: 5,
  striping1M: 10,
} as const;

/** Where the reads of a device go. */
export class ReadBalance {
  private readNodes = 0;
  private flip = 0;

  /** 'local', a connection, or null: no data anywhere. @spec io.md 6.1 */
  choose(device: DeviceIo, sector: number, size: number): ConnectionIo | 'local' | null {
    const local = mayReadLocally(device, sector, size);
    const policy = device.facts.disk > Disk.diskless ? device.facts.readBalancing : Balancing.preferRemote;
    if (local && policy === Balancing.preferLocal) return 'local';
    const remote = this.nextRemote(device);
    if (remote === null) return local ? 'local' : null;
    if (local && !this.wantsRemote(device, policy, remote, sector)) return 'local';
    return remote;
  }

  /** Rotates through the UpToDate peers of the strongest protocol, by node id. */
  private nextRemote(device: DeviceIo): ConnectionIo | null {
    const now = candidates(device);
    this.readNodes &= now;
    if (this.readNodes === 0) this.readNodes = now;
    if (now === 0) return null;
    const node = 31 - Math.clz32(this.readNodes & -this.readNodes);
    this.readNodes &= this.readNodes - 1;
    return device.resource.connections[node];
  }

  private wantsRemote(device: DeviceIo, policy: number, remote: ConnectionIo, sector: number): boolean {
    switch (policy) {
      case Balancing.preferRemote: return true;
      case Balancing.roundRobin:
        this.flip ^= 1;
        return this.flip === 0;
      case Balancing.leastPending: {
        const peer = remote.peers[device.index];
        return device.lowerPending > peer.apPending + peer.rsPending;
      }
      default:
        return policy >= Balancing.striping32K && policy <= Balancing.striping1M &&
          Math.floor(sector / 2 ** (15 + policy - Balancing.striping32K - 9)) % 2 === 1;
    }
  }
}

function mayReadLocally(device: DeviceIo, sector: number, size: number): boolean {
  if (!device.diskUsable) return false;
  if (device.facts.disk === Disk.upToDate) return true;
  return device.facts.disk === Disk.inconsistent && device.bits.cleanEverywhere(sector, size);
}

function usable(connection: ConnectionIo, device: DeviceIo): boolean {
  const { facts } = connection.peers[device.index];
  return connection.connected && facts.pdisk === Disk.upToDate && facts.allowRemoteRead;
}

function candidates(device: DeviceIo): number {
  let mask = 0;
  let strongest = 0;
  for (const connection of device.resource.connectionList) {
    if (!usable(connection, device) || connection.facts.protocol < strongest) continue;
    if (connection.facts.protocol > strongest) mask = 0;
    strongest = connection.facts.protocol;
    mask |= 1 << connection.nodeId;
  }
  return mask;
}
