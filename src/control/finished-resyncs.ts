// SPDX-License-Identifier: GPL-2.0-or-later
/** The end of a resync that this node did not take part in, or missed, shows in the UUIDs of others. @spec uuid.md 1.11 */
import type { LogLevel } from '../host/log.ts';
import { Repl } from '../state/states.ts';
import { detectFinishedResyncs } from '../state/uuid-resync.ts';
import type { FinishedAction } from '../state/uuid-resync.ts';
import { findConnection } from '../state/view.ts';
import { run } from './admin/steps.ts';
import type { Steps } from './admin/steps.ts';
import { changeSlots } from './bitmap-mod.ts';
import type { Device } from './device.ts';
import type { PeerDevice } from './peer-device.ts';
import * as send from './send.ts';
import { applyUuids, deviceContext, peerContext, peerDevicesOf } from './uuids.ts';

/** detect_finished_resyncs, with an attached disk. */
export function detectFinished(pd: PeerDevice): void {
  const { device, connection } = pd;
  const { resource, vnr, disk } = device;
  if (!disk) return;
  const finished = detectFinishedResyncs({
    device: deviceContext(device), peer: peerContext(pd), agreedVersion: resource.connectionRow(connection.nodeId).agreedVersion,
    cstateOf: (nodeId) => findConnection(resource.view, nodeId)?.cstate,
  });
  if (finished.missedEnd !== 'none') pd.missedEnd = finished.missedEnd;
  applyUuids(device, finished.uuids);
  for (const [nodeId, bitmapUuid] of finished.commBitmapUuid) {
    const other = resource.connections.get(nodeId)?.peerDevices.get(vnr);
    if (other?.sent) other.sent = { ...other.sent, bitmapUuid };
  }
  run(slots(pd, finished.actions), () => {});
  if (finished.tell === 'none') return;
  for (const other of peerDevicesOf(device)) {
    const { repl } = resource.peerDeviceRow(vnr, other.connection.nodeId);
    if (repl >= Repl.established && (other !== pd || finished.tell === 'all')) send.uuids(other, 0);
  }
}

function* slots(pd: PeerDevice, actions: readonly FinishedAction[]): Steps<void> {
  const { device } = pd;
  for (const action of actions) {
    if (action.kind === 'log') pd.log.line(action.line.level as LogLevel, action.line.text);
    else yield* join(device, action.from, action.to);
  }
}

const slotOf = (device: Device, nodeId: number): number => device.disk?.bitmapIndex(nodeId) ?? -1;

/** Added to the own bits: a resync of the other peer may have cleared some of its slot already. */
function* join(device: Device, fromNode: number, toNode: number): Steps<void> {
  const from = slotOf(device, fromNode);
  const to = slotOf(device, toNode);
  if (from >= 0 && to >= 0) yield* changeSlots(device, { kind: 'join', slots: [to], from });
}
