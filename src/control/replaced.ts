// SPDX-License-Identifier: GPL-2.0-or-later
/** What a diskless node has replaced by newer generations, for its next engine: who may be behind is no stranger. */
import type { Sticky } from '../state/effects.ts';
import { Disk } from '../state/states.ts';
import { mayFollow } from '../state/uuid-diskless.ts';
import { uuidEq } from '../state/uuid-types.ts';
import type { DeviceContext } from '../state/uuid-types.ts';
import { findDevice, findPeerDevice } from '../state/view.ts';
import type { Device } from './device.ts';
import type { PeerDevice } from './peer-device.ts';
import type { Resource } from './resource.ts';
import { deviceContext } from './uuids.ts';

export type Replaced = Sticky & { readonly kind: 'replaced' };

/** The peer is behind this generation, of 0 not any more. */
export function overtake(pd: PeerDevice, uuid: bigint): void {
  if (pd.overtaken === uuid) return;
  pd.overtaken = uuid;
  journalReplaced(pd.device);
}

/** With the engine all peers are lost at once: only who was the one with the data then is known to be the last. */
export function journalReplaced(device: Device): void {
  const { resource, vnr, replaced, journaled } = device;
  // A peer comes or goes: the step that follows has both, the object and its row.
  if (replaced.length === 0 || !hasRows(device)) return;
  const context = withoutDisk(deviceContext(device));
  const behind = context.peers.filter((peer) => mayFollow(context, peer));
  const [nodeId, overtaken] = behind.length === 1 ? [behind[0]!.nodeId, behind[0]!.overtaken] : [-1, 0n];
  const { exposedUuid: exposed } = context;
  if (journaled?.exposed === exposed && journaled.nodeId === nodeId && journaled.overtaken === overtaken) return;
  device.journaled = { kind: 'replaced', vnr, exposed, nodeId, overtaken, uuids: [...replaced] };
  resource.engine.journal.sticky(resource, device.journaled);
}

/** The next engine attaches no disk that is on its way out or in. */
const withoutDisk = (context: DeviceContext): DeviceContext =>
  context.disk < Disk.inconsistent ? { ...context, disk: Disk.diskless } : context;

const hasRows = ({ resource: { view, connections }, vnr }: Device): boolean => findDevice(view, vnr) !== undefined
  && [...connections.values()].every(({ nodeId, peerDevices }) => !peerDevices.has(vnr) || findPeerDevice(view, vnr, nodeId) !== undefined);

/** After the rows: nobody is behind a generation that the dead engine had not come to, or had left again. */
export function restoreReplaced(resource: Resource, facts: readonly Sticky[]): void {
  for (const fact of facts) {
    if (fact.kind !== 'replaced') continue;
    const device = resource.devices.get(fact.vnr);
    if (!device) continue;
    device.replaced.push(...fact.uuids);
    const peer = resource.connections.get(fact.nodeId)?.peerDevices.get(fact.vnr);
    if (peer && uuidEq(fact.exposed, resource.deviceRow(fact.vnr).exposedUuid)) peer.overtaken = fact.overtaken;
    journalReplaced(device);
  }
}
