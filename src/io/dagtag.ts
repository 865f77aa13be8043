// SPDX-License-Identifier: GPL-2.0-or-later
import { Role } from '../state/states.ts';
import type { ConnectionIo } from './connection-io.ts';

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
