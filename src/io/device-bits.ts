// SPDX-License-Identifier: GPL-2.0-or-later
import type { DeviceIo } from './device-io.ts';
import { EXTENT_SECTORS } from './env.ts';
import type { PeerDeviceIo } from './peer-device-io.ts';

const SLOTS_MAX = 32;
/** Of them, each for many extents: who looks there may take a bit for newer than it is. */
const STAMPS = 4096;

/** Bits of a device's slots by what writes did. All are no-ops while the own disk is below Inconsistent. @spec io.md 9.2 */
export class DeviceBits {
  private readonly device: DeviceIo;
  /** Peer device of each slot, null: nobody's ("day 0"). */
  private readonly peerOf: (PeerDeviceIo | null)[] = new Array<PeerDeviceIo | null>(SLOTS_MAX).fill(null);

  /** When a bit was last set in an extent of a slot, or of another one with the same place here. */
  private readonly setMs = new Float64Array(STAMPS).fill(-1);

  constructor(device: DeviceIo) {
    this.device = device;
  }

  /** After bitmapIndex facts changed. */
  assignSlots(): void {
    this.peerOf.fill(null);
    for (const connection of this.device.resource.connectionList) {
      const peer = connection.peers[this.device.index];
      if (peer.facts.bitmapIndex >= 0) this.peerOf[peer.facts.bitmapIndex] = peer;
    }
  }

  /** A finished write: nodes in okMask have it (untouched; cleared if in inSyncMask), all others miss it. */
  settle(sector: number, size: number, okMask: number, inSyncMask: number): void {
    const { disk } = this.device;
    if (disk === null || !this.device.diskUsable) return;
    for (let slot = 0; slot < disk.bitmap.slots; slot++) {
      const peer = this.peerOf[slot];
      const bit = peer === null ? 0 : 1 << peer.connection.nodeId;
      if ((okMask & bit) === 0) this.setSlot(slot, sector, size);
      else if ((inSyncMask & bit) !== 0) this.clearSlot(slot, sector, size);
    }
  }

  /** A peer ack: nodes in okMask have it (cleared), others not (set); the slot of `sender` may stay as it is. @spec io.md 4.3 */
  settlePeerAck(sector: number, size: number, okMask: number, sender: number, senderStays = true): void {
    const { disk } = this.device;
    if (disk === null || !this.device.diskUsable) return;
    for (let slot = 0; slot < disk.bitmap.slots; slot++) {
      const peer = this.peerOf[slot];
      if (senderStays && peer !== null && peer.connection.nodeId === sender) continue;
      const has = peer !== null && (okMask & (1 << peer.connection.nodeId)) !== 0;
      if (has) this.clearSlot(slot, sector, size);
      else this.setSlot(slot, sector, size);
    }
  }

  setAll(sector: number, size: number): void {
    const { disk } = this.device;
    if (disk === null || !this.device.diskUsable) return;
    for (let slot = 0; slot < disk.bitmap.slots; slot++) this.setSlot(slot, sector, size);
  }

  /** Bits newly set for a peer. */
  set(peer: PeerDeviceIo, sector: number, size: number): number {
    return peer.facts.bitmapIndex < 0 || !this.device.diskUsable ? 0 : this.setSlot(peer.facts.bitmapIndex, sector, size);
  }

  /** Bits newly cleared for a peer. */
  clear(peer: PeerDeviceIo, sector: number, size: number): number {
    return peer.facts.bitmapIndex < 0 || !this.device.diskUsable ? 0 : this.clearSlot(peer.facts.bitmapIndex, sector, size);
  }

  /** May a bit have been set there for a peer at this time or later? */
  setSince(peer: PeerDeviceIo, sector: number, size: number, ms: number): boolean {
    const last = extentOf(sector + size / 512 - 1);
    for (let extent = extentOf(sector); extent <= last; extent++) if (this.setMs[stampOf(peer.facts.bitmapIndex, extent)] >= ms) return true;
    return false;
  }

  /** Bits set there now for a peer. */
  count(peer: PeerDeviceIo, sector: number, size: number): number {
    const { disk } = this.device;
    return disk === null || peer.facts.bitmapIndex < 0 || !this.device.diskUsable ? 0
      : disk.bitmap.countOutOfSync(peer.facts.bitmapIndex, sector, size);
  }

  /** Local reads of an Inconsistent disk: no slot of a known peer has a bit there, and there is such a slot. */
  cleanEverywhere(sector: number, size: number): boolean {
    const { disk } = this.device;
    if (disk === null) return false;
    let seen = false;
    for (let slot = 0; slot < disk.bitmap.slots; slot++) {
      if (this.peerOf[slot] === null) continue;
      seen = true;
      if (disk.bitmap.countOutOfSync(slot, sector, size) > 0) return false;
    }
    return seen;
  }

  private setSlot(slot: number, sector: number, size: number): number {
    const now = this.device.resource.env.clock.nowMs();
    const last = extentOf(sector + size / 512 - 1);
    for (let extent = extentOf(sector); extent <= last; extent++) this.setMs[stampOf(slot, extent)] = now;
    const changed = this.device.disk!.bitmap.setOutOfSync(slot, sector, size);
    const peer = this.peerOf[slot];
    if (changed > 0 && peer !== null) {
      peer.bitsSet(changed);
      peer.target.bitSet(sector);
    }
    return changed;
  }

  private clearSlot(slot: number, sector: number, size: number): number {
    const changed = this.device.disk!.bitmap.setInSync(slot, sector, size);
    const peer = this.peerOf[slot];
    if (changed > 0 && peer !== null) peer.bitsCleared();
    return changed;
  }
}

const extentOf = (sector: number): number => Math.floor(sector / EXTENT_SECTORS);
const stampOf = (slot: number, extent: number): number => (extent * SLOTS_MAX + slot) % STAMPS;
