// SPDX-License-Identifier: GPL-2.0-or-later
import type { Job, Timer } from '../host/clock.ts';
import { Disk, Repl } from '../state/states.ts';
import { Feature } from '../wire/features.ts';
import { OvResult } from '../wire/packets/ov-result.ts';
import { dagtagNode, dagtagOf, endLongWaits, getsWrites, mustWaitFor } from './dagtag.ts';
import { ErrorKind, EXTENT_SECTORS } from './env.ts';
import { IvFlag, IvType } from './intervals.ts';
import { Pace, ROUND_MS } from './pace.ts';
import { Cmd, sendAck, sendDagtagRequest } from './packet-out.ts';
import { readPeerBlock } from './peer-block.ts';
import type { PeerDeviceIo } from './peer-device-io.ts';
import { PeerFlag, PeerList, PeerReq } from './peer-request-pool.ts';
import { SlotQueue } from './request-pool.ts';

const SECTORS_PER_BLOCK = 8;
const QUEUED_MAX = 131072;
/** Without dagtags activity in this area around a block makes its result worthless: 128 MiB. */
const AREA_EXTENTS = 32;
/** First code of P_OV_RESULT, up to version 121: skipped, in sync, out of sync. */
const CODE_SKIPPED = 4710;

/** VerifyS: asks for digests block by block, compares them with its own, tells the results. @spec uuid.md 8, wire.md 10.5 */
export class VerifySource {
  readonly list: PeerList;
  readonly pace: Pace;
  /** Replies that wait for writes of a third node. */
  waiting = 0;
  private readonly peer: PeerDeviceIo;
  private readonly starved: SlotQueue;
  private readonly job: Job;
  private readonly roomJob: Job;
  private timer: Timer | null = null;
  private askedAny = false;
  private stopReached = false;
  private doneTold = false;

  constructor(peer: PeerDeviceIo) {
    this.peer = peer;
    const pool = peer.device.resource.peerRequests;
    this.list = new PeerList(pool);
    this.starved = new SlotQueue(pool);
    this.pace = new Pace(peer);
    this.job = { name: 'verify', queued: false, run: () => this.round() };
    this.roomJob = { name: 'read to verify', queued: false, run: () => this.feed() };
  }

  /** The peer is VerifyT: requests may go out. */
  start(): void {
    this.askedAny = this.stopReached = this.doneTold = false;
    this.pace.begin();
    this.peer.minRate.begin();
    this.soon();
  }

  replChanged(now: number): void {
    if (now !== Repl.verifyS) this.stopTimer();
  }

  /** P_OV_REPLY, P_OV_DAGTAG_REPLY: the target's digest. */
  reply(sector: number, size: number, idHigh: number, idLow: number, node: number, dagtag: number, view: DataView, at: number,
    bytes: number): string {
    const { device, connection } = this.peer;
    const p = device.resource.peerRequests;
    if (bytes !== connection.digestBytes(connection.facts.verifyAlg)) return `verify digest of ${bytes} bytes`;
    const slot = this.find(sector, size, idHigh, idLow);
    if (slot < 0) return 'verify reply without a request';
    this.peer.rsPending--;
    this.peer.unacked++;
    p.flags[slot] |= PeerFlag.ANSWERED;
    if (!device.diskUsable || device.facts.disk < Disk.outdated) {
      this.result(slot, OvResult.skipped);
      return '';
    }
    p.keepDigest(slot, view, at, bytes);
    p.dagtagNode[slot] = node;
    p.dagtag[slot] = dagtag;
    if (!mustWaitFor(connection, node, dagtag)) this.read(slot);
    else if (getsWrites(device)) this.wait(slot);
    else this.result(slot, OvResult.skipped);
    return '';
  }

  /** P_RS_CANCEL and its like, if they name a request of ours. */
  canceled(sector: number, size: number, idHigh: number, idLow: number): boolean {
    const slot = this.find(sector, size, idHigh, idLow);
    if (slot < 0) return false;
    this.peer.rsPending--;
    this.peer.verify.counted(sector, size, OvResult.skipped);
    this.over(slot);
    return true;
  }

  /** What waits for long is skipped; true: others wait on. */
  dagtagLate(): boolean {
    return endLongWaits(this.list, this.peer.device.resource.peerRequests, (slot) => {
      this.stopWaiting(slot);
      this.result(slot, OvResult.skipped);
    });
  }

  /** A node's position moved, or its connection was lost. */
  dagtagMoved(nodeId: number): void {
    const { connection, device } = this.peer;
    const p = device.resource.peerRequests;
    for (let slot = this.list.head; slot >= 0 && this.waiting > 0;) {
      const next = p.next[slot];
      if ((p.flags[slot] & PeerFlag.WAITS_DAGTAG) !== 0 && p.dagtagNode[slot] === nodeId) {
        const node = device.resource.connections[nodeId];
        const lost = node === null || !node.up;
        if (lost || !mustWaitFor(connection, nodeId, p.dagtag[slot])) {
          this.stopWaiting(slot);
          if (lost) this.result(slot, OvResult.skipped);
          else this.read(slot);
        }
      }
      slot = next;
    }
  }

  localDone(slot: number, failed: boolean): void {
    const { device, connection } = this.peer;
    const { env, peerRequests: p } = device.resource;
    p.flags[slot] &= ~PeerFlag.SUBMITTED;
    device.readSectors += p.size[slot] / 512;
    device.resyncSectors += p.size[slot] / 512;
    if ((p.flags[slot] & PeerFlag.GONE) !== 0) {
      this.drop(slot);
      return;
    }
    if (failed) {
      env.ioError(device.vnr, ErrorKind.read);
      this.result(slot, this.disturbed(slot) ? OvResult.skipped : OvResult.outOfSync);
    } else connection.hashes.push(slot);
  }

  hashed(slot: number, digest: Uint8Array): boolean {
    const { device, connection } = this.peer;
    const p = device.resource.peerRequests;
    const same = p.sameDigest(slot, digest, connection.digestBytes(connection.facts.verifyAlg));
    this.result(slot, this.disturbed(slot) ? OvResult.skipped : same ? OvResult.inSync : OvResult.outOfSync);
    return true;
  }

  /** Connection lost. What is on the disk ends by itself. */
  cancel(): void {
    const { peer } = this;
    const p = peer.device.resource.peerRequests;
    this.stopTimer();
    while (this.starved.shift() >= 0);
    for (let slot = this.list.head; slot >= 0;) {
      const next = p.next[slot];
      if ((p.flags[slot] & PeerFlag.WAITS_DAGTAG) !== 0) this.stopWaiting(slot);
      if ((p.flags[slot] & PeerFlag.ANSWERED) === 0) peer.rsPending--;
      if ((p.flags[slot] & PeerFlag.SUBMITTED) !== 0) p.flags[slot] |= PeerFlag.GONE;
      else this.drop(slot);
      slot = next;
    }
    this.pace.forget();
  }

  private get mayRequest(): boolean {
    const { facts, connection, device } = this.peer;
    return facts.repl === Repl.verifyS && connection.up && device.diskUsable;
  }

  private round(): void {
    const { peer } = this;
    const { verify, connection, device } = peer;
    this.stopTimer();
    if (!this.mayRequest || connection.link === null) return;
    if (connection.link.data.queuedBytes() > QUEUED_MAX) {
      this.arm(ROUND_MS);
      return;
    }
    const wanted = this.pace.round();
    let asked = 0;
    while (asked < wanted && verify.position < device.sectors) {
      if (this.askedAny && verify.position >= verify.stopSector) {
        this.stopReached = true;
        break;
      }
      if (peer.minRate.throttles() || !this.request(verify.position)) break;
      this.askedAny = true;
      verify.position += SECTORS_PER_BLOCK;
      asked++;
    }
    if (this.stopReached || verify.position >= device.sectors) this.checkDone();
    else this.arm(asked > 0 && wanted > 0 ? ROUND_MS * Math.min(1, asked / wanted) : ROUND_MS);
  }

  /** A write that is under way, or comes before the result, makes the block skipped. */
  private request(sector: number): boolean {
    const { device, connection } = this.peer;
    const { resource, link } = connection;
    const p = resource.peerRequests;
    const slot = p.take();
    if (slot < 0 || link === null) return false;
    const sectors = Math.min(SECTORS_PER_BLOCK, device.sectors - sector);
    p.kind[slot] = PeerReq.OV_SOURCE;
    p.node[slot] = connection.nodeId;
    p.device[slot] = device.index;
    p.sector[slot] = sector;
    p.size[slot] = sectors * 512;
    this.list.push(slot);
    const iv = device.intervals.insert(IvType.OV_READ_SOURCE, connection.nodeId, sector, sectors, slot);
    p.interval[slot] = iv;
    device.intervals.flags[iv] |= IvFlag.SUBMITTED | IvFlag.SENT;
    if (device.intervals.findConflict(iv, 0) >= 0) device.intervals.flags[iv] |= IvFlag.CONFLICT;
    if (!this.send(slot)) {
      this.drop(slot);
      return false;
    }
    this.peer.rsPending++;
    this.pace.asked(sectors);
    return true;
  }

  private send(slot: number): boolean {
    const { device, connection } = this.peer;
    const { link } = connection;
    const p = device.resource.peerRequests;
    if (link === null) return false;
    const high = link.version < 122 ? -1 : p.generation[slot];
    const low = link.version < 122 ? -1 : slot + 1;
    if ((link.features & Feature.resyncDagtag) === 0) {
      return sendAck(link.data, Cmd.OV_REQUEST, device.vnr, p.sector[slot], high, low, p.size[slot], 0);
    }
    const node = dagtagNode(connection);
    return sendDagtagRequest(link.data, Cmd.OV_DAGTAG_REQ, device.vnr, p.sector[slot], high, low, p.size[slot],
      Math.max(0, node), dagtagOf(connection, node));
  }

  /** The own block, once the target's digest is here. */
  private read(slot: number): void {
    const { device } = this.peer;
    if (device.disk === null || !device.diskUsable) {
      this.result(slot, OvResult.skipped);
      return;
    }
    if (readPeerBlock(device, device.disk, slot)) return;
    this.starved.push(slot);
    device.arena.onRoom(this.roomJob);
  }

  private feed(): void {
    for (let n = this.starved.length; n > 0; n--) this.read(this.starved.shift());
  }

  private disturbed(slot: number): boolean {
    const { device, connection } = this.peer;
    const p = device.resource.peerRequests;
    if ((device.intervals.flags[p.interval[slot]] & IvFlag.CONFLICT) !== 0) return true;
    if (connection.link === null || (connection.link.features & Feature.resyncDagtag) !== 0 || device.disk === null) return false;
    const first = Math.floor(p.sector[slot] / EXTENT_SECTORS / AREA_EXTENTS) * AREA_EXTENTS;
    return device.disk.al.isActive(first, first + AREA_EXTENTS - 1);
  }

  private result(slot: number, result: number): void {
    const { peer } = this;
    const { connection, device, verify } = peer;
    const p = device.resource.peerRequests;
    const { sector, size } = p;
    verify.counted(sector[slot], size[slot], result);
    const old = connection.link !== null && connection.link.version < 122;
    if (old) connection.writes.send(Cmd.OV_RESULT, peer, sector[slot], size[slot], 0, CODE_SKIPPED + result);
    else connection.writes.send(Cmd.OV_RESULT_ID, peer, sector[slot], size[slot] + result * 4294967296, p.generation[slot], slot + 1);
    peer.unacked = Math.max(0, peer.unacked - 1);
    this.over(slot);
  }

  private over(slot: number): void {
    const { device, verify, facts } = this.peer;
    const { sector, size } = device.resource.peerRequests;
    const sectors = size[slot] / 512;
    if (sector[slot] + sectors >= verify.stopSector) this.stopReached = true;
    this.drop(slot);
    if (this.pace.cameBack(sectors) && facts.repl === Repl.verifyS) this.allCameBack();
    this.checkDone();
  }

  private allCameBack(): void {
    const ms = this.pace.earlyMs();
    if (ms === 0) this.soon();
    else if (ms < ROUND_MS) this.arm(ms);
  }

  private checkDone(): void {
    const { facts, verify, device, connection } = this.peer;
    if (this.doneTold || facts.repl !== Repl.verifyS || this.list.length > 0) return;
    if (verify.left > 0 && !this.stopReached) return;
    this.doneTold = true;
    this.stopTimer();
    device.resource.env.verifyDone(device.vnr, connection.nodeId);
  }

  private drop(slot: number): void {
    const { device } = this.peer;
    const p = device.resource.peerRequests;
    if (p.offset[slot] >= 0) device.arena.free(p.offset[slot], p.size[slot]);
    device.intervals.remove(p.interval[slot]);
    device.conflicts.release(p.sector[slot], p.size[slot] / 512);
    this.list.remove(slot);
    p.release(slot);
    this.peer.connection.writes.checkDrained();
  }

  private wait(slot: number): void {
    this.waiting++;
    this.peer.device.resource.dagtagWaits.began(slot);
  }

  private stopWaiting(slot: number): void {
    this.peer.device.resource.peerRequests.flags[slot] &= ~PeerFlag.WAITS_DAGTAG;
    this.waiting--;
  }

  /** A request that has no answer yet. */
  private find(sector: number, size: number, idHigh: number, idLow: number): number {
    const { device, connection } = this.peer;
    const p = device.resource.peerRequests;
    let slot = p.find(PeerReq.OV_SOURCE, idHigh, idLow);
    if (connection.link !== null && connection.link.version < 122) {
      slot = this.list.head;
      while (slot >= 0 && (p.sector[slot] !== sector || (p.flags[slot] & PeerFlag.ANSWERED) !== 0)) slot = p.next[slot];
    }
    if (slot < 0 || p.sector[slot] !== sector || p.size[slot] !== size || p.device[slot] !== device.index) return -1;
    return p.node[slot] === connection.nodeId && (p.flags[slot] & (PeerFlag.ANSWERED | PeerFlag.GONE)) === 0 ? slot : -1;
  }

  private soon(): void {
    if (!this.job.queued) this.peer.device.resource.env.clock.soon(this.job);
  }

  private arm(delayMs: number): void {
    this.timer ??= this.peer.device.resource.env.clock.timer('verify', Math.max(1, delayMs), () => {
      this.timer = null;
      this.round();
    });
  }

  private stopTimer(): void {
    this.timer?.cancel();
    this.timer = null;
  }
}
