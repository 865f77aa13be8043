// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * P_PEERS_IN_SYNC: nodes that have the same data in a range tell each other, so that none of them keeps bits there for
 * another. @spec uuid.md 7.8, io.md 9.2, wire.md 10.7
 */
import type { Job, Timer } from '../host/clock.ts';
import type { PeerLink } from '../host/link.ts';
import { Feature } from '../wire/features.ts';
import { Disk, isSyncSource, isSyncTarget, Repl } from '../state/states.ts';
import { IvFlag, IvType } from './intervals.ts';
import { Cmd } from './packet-out.ts';
import type { PeerDeviceIo } from './peer-device-io.ts';
import { whoAnswers } from './who-answers.ts';

/** A packet's range: an extent of the activity log. */
const STEP_SECTORS = 8192;
/** Steps a turn. */
const SLICE_STEPS = 64;
/** Numbers in a list of ranges at most, two a range; what does not fit is not told, which costs a few blocks of a later resync. */
const RANGES = 2048;
/** Until a range is looked at again in which something was being written. */
const BUSY_MS = 1_000;

/** One step or less, aligned, of the nodes that are known to be up. False: something is being written there, to be told later. */
function tellPeersInSync(source: PeerDeviceIo, sector: number, sectors: number, alive: ReadonlySet<PeerLink>): boolean {
  const { device } = source;
  const size = sectors * 512;
  if (device.disk === null || !device.diskUsable || sectors <= 0 || device.bits.count(source, sector, size) > 0) return true;
  const first = Math.floor(sector / STEP_SECTORS);
  if (device.disk.al.isActive(first, Math.floor((sector + sectors - 1) / STEP_SECTORS)) || busy(source, sector, sectors)) return false;
  const same = sameNodes(source, sector, size) | 1 << source.connection.nodeId;
  const told = device.resource.connectionList.filter(({ nodeId, link, up }) => up && alive.has(link!) && (same & (1 << nodeId)) !== 0);
  const mask = told.reduce((nodes, { nodeId }) => nodes | 1 << nodeId, 0);
  for (const connection of told) {
    connection.writes.send(Cmd.PEERS_IN_SYNC, connection.peers[device.index], sector, size, mask, 0);
  }
  return true;
}

function sameNodes({ device }: PeerDeviceIo, sector: number, size: number): number {
  let mask = 0;
  for (const { nodeId, peers } of device.resource.connectionList) if (hasSame(peers[device.index], sector, size)) mask |= 1 << nodeId;
  return mask;
}

/** No bit here says so unless the peer has some that we do not know of: it may still get blocks from others, or has got some. */
function hasSame(peer: PeerDeviceIo, sector: number, size: number): boolean {
  const { repl, pdisk, bitmapIndex } = peer.facts;
  const compared = isRunning(repl) || (repl === Repl.established && !peer.inSync.peerHasBits
    && pdisk >= Disk.consistent && peer.device.facts.disk >= Disk.consistent);
  return compared && bitmapIndex >= 0 && pdisk >= Disk.inconsistent
    && pdisk !== Disk.unknown && peer.device.bits.count(peer, sector, size) === 0;
}

const isRunning = (repl: number): boolean => repl === Repl.syncSource || repl === Repl.syncTarget;

function busy({ device, connection }: PeerDeviceIo, sector: number, sectors: number): boolean {
  const lock = device.intervals.insert(IvType.PEERS_IN_SYNC_LOCK, connection.nodeId, sector, sectors, -1);
  device.intervals.flags[lock] |= IvFlag.SUBMITTED;
  const conflict = device.intervals.findConflict(lock, 0) >= 0;
  device.intervals.remove(lock);
  return conflict;
}

/**
 * The packet was received: the nodes in `mask` have what the sender has there. Unless bits here say that we have not: what we
 * got from others we have marked on our side alone. Then our bits for the other nodes tell it for them as well. Nor where the
 * packet may have been passed by a write that another node missed.
 */
export function peersInSync(sender: PeerDeviceIo, sector: number, size: number, mask: number): void {
  const { device } = sender;
  if (device.bits.count(sender, sector, size) > 0) return;
  let cleared = 0;
  for (const { nodeId, peers } of device.resource.connectionList) {
    if ((mask & (1 << nodeId)) === 0) continue;
    const peer = peers[device.index];
    if (passed(sender, peer, sector, size)) continue;
    const bits = device.bits.clear(peer, sector, size);
    if (bits > 0 && peer.bitsOutOfSync === 0) device.resource.env.noBitsLeft(device.vnr, nodeId);
    cleared += bits;
  }
  const told = mask | 1 << sender.connection.nodeId;
  const knowsMore = sender.inSync.fromUs && (sameNodes(sender, sector, size) & ~told) !== 0;
  if (cleared > 0 || sender.facts.repl === Repl.syncSource || knowsMore) sender.inSync.tell(sector, sector + size / 512);
}

/**
 * The sender has pinged us before it looked. What this node has missed since then it may not have missed yet there; and whose
 * connection is younger than that may have told us what it has lost. A genuine sender looks without a ping.
 */
function passed({ connection: { link } }: PeerDeviceIo, peer: PeerDeviceIo, sector: number, size: number): boolean {
  if (link === null || (link.features & Feature.reconcileBits) === 0) return false;
  return (peer.connection.link !== null && peer.connection.upSinceMs >= link.pingedMs)
    || peer.device.bits.setSince(peer, sector, size, link.pingedMs);
}

/** Ranges in pairs, and who has answered since they were done; null: not yet known. */
interface Round { readonly ranges: number[]; alive: ReadonlySet<PeerLink> | null }

/** What one resync has finished, told step by step. */
export class PeersInSync {
  private readonly peer: PeerDeviceIo;
  /** Ranges that are still to be told, in pairs. */
  private ranges: number[] = [];
  /** Something was being written there, in pairs. */
  private busy: number[] = [];
  private timer: Timer | null = null;
  /** Being told, once those who answer are known. */
  private round: Round | null = null;
  private from = 0;
  /** The last resync with this peer was from us: of ranges that it told late it does not know who else has the same. */
  fromUs = false;
  /** As it told last, and no resync from it has ended since: what it got from others it has marked on its own side alone. */
  peerHasBits = false;
  private readonly job: Job;

  constructor(peer: PeerDeviceIo) {
    this.peer = peer;
    this.job = { name: 'peers in sync', queued: false, run: () => this.run() };
  }

  replChanged(before: number, repl: number): void {
    // A target tells its UUIDs before its end, which may be that of a resync from another source.
    if (repl === Repl.established && before === Repl.syncTarget) this.peerHasBits = false;
    if (isSyncSource(repl as Repl)) this.fromUs = true;
    else if (isSyncTarget(repl as Repl)) this.fromUs = false;
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
    add(this.ranges, from, to);
    this.soon();
  }

  stop(): void {
    this.ranges = [];
    this.busy = [];
    this.round = null;
    this.fromUs = false;
    this.timer?.cancel();
    this.timer = null;
  }

  private soon(): void {
    if (!this.job.queued) this.peer.device.resource.env.clock.soon(this.job);
  }

  /**
   * Only nodes that answer a ping after the range was done are named. One that has lost power, and unflushed writes with
   * it, may be back already without our having noticed, and bits that others have set for it since are right.
   */
  private ask(): Round {
    const round: Round = { ranges: this.ranges, alive: null };
    this.ranges = [];
    whoAnswers(this.peer.device, (alive) => {
      round.alive = alive;
      if (this.round === round) this.soon();
    });
    return round;
  }

  private run(): void {
    if (this.round === null && this.ranges.length === 0) return;
    this.round ??= this.ask();
    const { ranges, alive } = this.round;
    if (alive === null) return;
    this.tellSlice(ranges, alive);
    if (ranges.length === 0) this.round = null;
    if (this.round !== null || this.ranges.length > 0) this.soon();
    else if (this.busy.length > 0) {
      this.timer ??= this.peer.device.resource.env.clock.timer('peers in sync', BUSY_MS, () => {
        this.timer = null;
        this.ranges = [...this.ranges, ...this.busy].slice(0, RANGES);
        this.busy = [];
        this.soon();
      });
    }
  }

  private tellSlice(ranges: number[], alive: ReadonlySet<PeerLink>): void {
    const { peer } = this;
    for (let steps = 0; steps < SLICE_STEPS && ranges.length > 0; steps++) {
      const from = ranges[0];
      const to = Math.min(ranges[1], (Math.floor(from / STEP_SECTORS) + 1) * STEP_SECTORS, peer.device.sectors);
      if (to > from && !tellPeersInSync(peer, from, to - from, alive)) add(this.busy, from, to);
      if (to >= ranges[1] || to <= from) ranges.splice(0, 2);
      else ranges[0] = to;
    }
  }
}

/** Neighbours become one. */
function add(ranges: number[], from: number, to: number): void {
  if (ranges.length > 0 && ranges[ranges.length - 1] === from) ranges[ranges.length - 1] = to;
  else if (ranges.length < RANGES) ranges.push(from, to);
}
