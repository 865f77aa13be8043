// SPDX-License-Identifier: GPL-2.0-or-later
import { LowerOp } from '../host/lower.ts';
import { type DeviceIo, Owner } from './device-io.ts';
import type { IoDisk } from './env.ts';
import { PeerFlag } from './peer-request-pool.ts';

/** The block of a peer request to or from the own disk, one operation. Its end comes with Owner.peer. */
export function submitPeerBlock(device: DeviceIo, disk: IoDisk, slot: number, op: typeof LowerOp.read | typeof LowerOp.write): void {
  const { peerRequests: p, env } = device.resource;
  p.flags[slot] |= PeerFlag.SUBMITTED;
  p.submitMs[slot] = env.clock.nowMs();
  p.parts[slot] = 1;
  device.lowerPending++;
  disk.lower.submit(op, 0, p.sector[slot], p.size[slot], device.arena, p.offset[slot], slot * 4 + Owner.peer, -1);
}

/** Room in the arena for its data; false: there is none now. */
export function takeRoom(device: DeviceIo, slot: number): boolean {
  const { peerRequests: p } = device.resource;
  p.offset[slot] = device.arena.alloc(p.size[slot]);
  return p.offset[slot] >= 0;
}

/** Reads it into the arena; false: no room there now. */
export function readPeerBlock(device: DeviceIo, disk: IoDisk, slot: number): boolean {
  if (!takeRoom(device, slot)) return false;
  submitPeerBlock(device, disk, slot, LowerOp.read);
  return true;
}
