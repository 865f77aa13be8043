// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * P_PEERS_IN_SYNC: nodes that have the same data in a range tell each other, so that none of them keeps bits there for
 * another. @spec uuid.md 7.8, io.md 9.2, wire.md 10.7
 */
import type { Job } from '../host/clock.ts';
import { Disk, isSync, Repl } from '../state/states.ts';
import { IvFlag, IvType } from './intervals.ts';
import { Cmd } from './packet-out.ts';
import type { PeerDeviceIo } from './peer-device-io.ts';

/** A packet's range: an extent of the activity log. */
const STEP_SECTORS = 8192;
/** Steps a turn. */
const SLICE_STEPS = 64;

/** One step or less, aligned: told only if nothing is being written there. */
export function tellPeersInSync(source: PeerDeviceIo, sector: number, sectors: number): void {
  const { device } = source;
  const size = sectors * 512;
  if (device.disk === null || !device.diskUsable || sectors <= 0 || device.bits.count(source, sector, size) > 0) return;
  const first = Math.floor(sector / STEP_SECTORS);
  if (device.disk.al.isActive(first, Math.floor((sector + sectors - 1) / STEP_SECTORS)) || busy(source, sector, sectors)) return;
  let mask = 0;
  for (const { peers } of device.resource.connectionList) {
    const peer = peers[device.index];
    if (peer === source || hasSame(peer, sector, size)) mask |= 1 << peer.connection.nodeId;
  }
  for (const connection of device.resource.connectionList) {
    if ((mask & (1 << connection.nodeId)) === 0 || !connection.up) continue;
    connection.writes.send(Cmd.PEERS_IN_SYNC, connection.peers[device.index], sector, size, mask, 0);
  }
}

function hasSame(peer: PeerDeviceIo, sector: number, size: number): boolean {
  const { repl, pdisk, bitmapIndex } = peer.facts;
  return (repl === Repl.established || isSync(repl as Repl)) && bitmapIndex >= 0 && pdisk >= Disk.inconsistent
    && pdisk !== Disk.unknown && peer.device.bits.count(peer, sector, size) === 0;
}

function busy({ device, connection }: PeerDeviceIo, sector: number, sectors: number): boolean {
  const lock = device.intervals.insert(IvType.PEERS_IN_SYNC_LOCK, connection.nodeId, sector, sectors, -1);
  device.intervals.flags[lock] |= IvFlag.SUBMITTED;
  const conflict = device.intervals.findConflict(lock, 0) >= 0;
  device.intervals.remove(lock);
  return conflict;
}

/** The packet was received: the nodes in `mask` have what the sender has there. */
export function peersInSync(sender: PeerDeviceIo, sector: number, size: number, mask: number): void {
  const { device } = sender;
  let cleared = 0;
  for (const { nodeId, peers } of device.resource.connectionList) {
    if ((mask & (1 << nodeId)) !== 0) cleared += device.bits.clear(peers[device.index], sector, size);
  }
  if (cleared > 0 || sender.facts.repl === Repl.syncSource) sender.inSync.tell(sector, sector + size / 512);
}

/** What one resync has finished, told step by step. */
export class PeersInSync {
  private readonly peer: PeerDeviceIo;
  /** Ranges that are still to be told, in pairs. */
  private ranges: number[] = [];
  private from = 0;
  private readonly job: Job;

  constructor(peer: PeerDeviceIo) {
    this.peer = peer;
    this.job = { name: 'peers in sync', queued: false, run: () => this.run() };
  }

  /** A resync starts. */
  begin(): void { this.from = 0; }

  /** Everything before this sector is done. */
  progress(sector: number): void {
    const to = Math.floor(sector / STEP_SECTORS) * STEP_SECTORS;
    this.from = Math.min(this.from, to);
    if (to > this.from) this.finish(to);
  }

  /** The end, or what the last steps left over. */
  finish(sector: number): void {
    this.tell(this.from, sector);
    this.from = sector;
  }

  tell(from: number, to: number): void {
    if (to <= from) return;
    const { ranges } = this;
    // Neighbours become one; what does not fit is not told, which costs a few blocks of a later resync at most.
    if (ranges.length > 0 && ranges[ranges.length - 1] === from) ranges[ranges.length - 1] = to;
    else if (ranges.length < 2048) ranges.push(from, to);
    if (!this.job.queued) this.peer.device.resource.env.clock.soon(this.job);
  }

  stop(): void { this.ranges = []; }

  private run(): void {
    const { ranges, peer } = this;
    for (let steps = 0; steps < SLICE_STEPS && ranges.length > 0; steps++) {
      const from = ranges[0];
      const to = Math.min(ranges[1], (Math.floor(from / STEP_SECTORS) + 1) * STEP_SECTORS, peer.device.sectors);
      if (to > from) tellPeersInSync(peer, from, to - from);
      if (to >= ranges[1] || to <= from) ranges.splice(0, 2);
      else ranges[0] = to;
    }
    if (ranges.length > 0 && !this.job.queued) peer.device.resource.env.clock.soon(this.job);
  }
}
