// SPDX-License-Identifier: GPL-2.0-or-later
/** What a decision about UUIDs does to bitmap slots, with application I/O kept off. @spec uuid.md 2.4, io.md 9.6 */
import { LogLevel } from '../host/log.ts';
import { BitmapTask } from '../meta/bitmap-task.ts';
import type { SlotWork } from '../meta/bitmap-task.ts';
import { Disk as State } from '../state/states.ts';
import { bitmapModAfterHandshake } from '../state/uuid-bitmap-mod.ts';
import type { BitmapChange } from '../state/uuid-bitmap-mod.ts';
import { setBitmapUuid } from '../state/uuid-generation.ts';
import { uuidsText } from '../state/uuid-resync.ts';
import type { Strategy } from '../state/uuid-strategy.ts';
import { until } from './admin/steps.ts';
import type { Steps } from './admin/steps.ts';
import type { Device } from './device.ts';
import type { PeerDevice } from './peer-device.ts';
import { applyUuids, deviceContext, peerContext, pushMd } from './uuids.ts';

/** bitmap_mod_after_handshake. False: the disk failed on the way. */
export function* modifyBitmap(pd: PeerDevice, strategy: Strategy, peerNodeId: number): Steps<boolean> {
  const { device, connection: { nodeId } } = pd;
  const { disk } = device;
  if (!disk) return true;
  const { change, log, bitmapUuid } = bitmapModAfterHandshake(deviceContext(device), peerContext(pd), strategy, peerNodeId);
  if (log !== null) pd.log.line(LogLevel.info, log.text);
  if (change.kind === 'setFullSync') yield* fullSync(device, nodeId, true);
  const work = workOf(change, disk.bitmapIndex(nodeId), disk.nodesWithBitmap().map((n) => disk.bitmapIndex(n)));
  if (work !== null) yield* changeSlots(device, work);
  if (change.kind === 'setFullSync') yield* fullSync(device, nodeId, false);
  if (device.disk !== disk || device.resource.deviceRow(device.vnr).disk < State.negotiating) return false;
  if (bitmapUuid === null) return true;
  applyUuids(device, setBitmapUuid(deviceContext(device), nodeId, bitmapUuid));
  pd.log.info(`updated bitmap UUID ${uuidsText(deviceContext(device).uuids, nodeId)}`);
  return (yield* synced(device)) === 0;
}

function workOf(change: BitmapChange, slot: number, allocated: readonly number[]): SlotWork | null {
  switch (change.kind) {
    case 'none': return null;
    case 'setAllocated': return { kind: 'set', slots: allocated };
    case 'copy':
    case 'join': return slot < 0 ? null : { kind: change.kind, slots: [slot], from: change.from };
    case 'set':
    case 'setFullSync': return slot < 0 ? null : { kind: 'set', slots: [slot] };
  }
}

/** A crash between the bits and their write must not look like "in sync". */
function* fullSync(device: Device, nodeId: number, on: boolean): Steps<void> {
  device.disk?.setPeerFullSync(nodeId, on);
  pushMd(device);
  yield* synced(device);
}

function* synced({ disk }: Device): Steps<number> {
  return disk ? yield* until<number>((resume) => disk.meta.sync({ done: resume })) : 0;
}

/** Whole slots have changed: resyncs that are on would not look behind them again. */
export function scanAgain({ resource, vnr }: Device): void {
  for (const { peerDevices } of resource.connections.values()) peerDevices.get(vnr)?.io.target.bitSet(0);
}

/** Whole slots, then their write; no application write is in flight meanwhile, and the disk stays. */
export function* changeSlots(device: Device, work: SlotWork): Steps<void> {
  const { disk, resource } = device;
  if (!disk) return;
  disk.hold();
  yield* until<void>((resume) => device.suspendIo(() => resume()));
  const task = new BitmapTask(disk.bitmap, resource.engine.host.clock);
  yield* until<void>((resume) => task.start(work, () => resume()));
  scanAgain(device);
  yield* until<void>((resume) => disk.writeBitmap(() => resume()));
  device.resumeIo();
  disk.unhold();
}
