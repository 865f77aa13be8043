// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { Job, Timer } from '../host/clock.ts';
import { LowerOp } from '../host/lower.ts';
import { BitScan } from '../meta/bitmap.ts';
import { Disk, isSync, isSyncTarget, Repl } from '../state/states.ts';
import { Feature } from '../wire/features.ts';
import { bestRequestBlocks } from './controller.ts';
import { dagtagNode, dagtagOf } from './dagtag.ts';
import { ErrorKind, EXTENT_SECTORS } from './env.ts';
import { Find, IvFlag, IvType } from './intervals.ts';
import { Pace, ROUND_MS } from './pace.ts';
import { Cmd, sendAck, sendDagtagRequest, sendDigestRequest } from './packet-out.ts';
import { readPeerBlock, submitPeerBlock } from './peer-block.ts';
import type { PeerDeviceIo } from './peer-device-io.ts';
import { PeerFlag, PeerList, PeerReq } from './peer-request-pool.ts';
import { SlotQueue } from './request-pool.ts';
import { isSourceFor } from './routing.ts';

const SECTORS_PER_BLOCK = 8;
/** Words of the bitmap that one look for the next set bit may pass. */
const SCAN_WORDS = 1 << 18;
/** Bytes waiting in the data stream above which no new requests are made. */
const QUEUED_MAX = 131072;

/** The target of a resync: asks for blocks, writes them, acks them. @spec uuid.md 7.5, io.md 12.8 */
export class ResyncTarget {
  /** Requests of ours that are not over, in order. */
  readonly list: PeerList;
  readonly pace: Pace;
  private readonly peer: PeerDeviceIo;
  /** Ready, and without room in the stream so far. */
  private readonly unsent: SlotQueue;
  private position = 0;
  private lastPosition = 0;
  private timer: Timer | null = null;
  private doneTold = false;
  private toBehind = false;
  /** Bits are being written before the first block is asked for. */
  private keeping: object | null = null;
  /** Some bit was set since then. */
  private unkept = false;
  /** This resync sends digests of the own blocks. */
  private csums = false;
  private readonly job: Job;
  private readonly doneJob: Job;
  private readonly idleJob: Job;
  private readonly onTimer = (): void => {
    this.timer = null;
    this.round();
  };

  constructor(peer: PeerDeviceIo) {
    this.peer = peer;
    this.pace = new Pace(peer);
    this.list = new PeerList(peer.device.resource.peerRequests);
    this.unsent = new SlotQueue(peer.device.resource.peerRequests);
    this.job = { name: 'resync', queued: false, run: () => this.round() };
    this.doneJob = { name: 'resync done', queued: false, run: () => this.tellDone() };
    this.idleJob = { name: 'resync idle', queued: false, run: () => this.tellIdle() };
  }

  /** Nothing is on its way: resync_active may be dropped. */
  get idle(): boolean {
    return this.list.length === 0;
  }

  replChanged(before: number, now: number): void {
    if (isSyncTarget(now as Repl) && !isSyncTarget(before as Repl)) this.begin();
    if (now !== Repl.syncTarget) {
      this.keeping = null;
      this.stopTimer();
      if (before === Repl.syncTarget && this.idle) this.idleSoon();
      if (!isSync(now as Repl)) this.pace.forget();
      if (isSyncTarget(before as Repl) && now === Repl.established && this.doneTold) this.peer.inSync.finish(this.peer.device.sectors);
      return;
    }
    this.position = this.lastPosition = 0;
    this.doneTold = this.toBehind = false;
    if (before === Repl.pausedSyncT) this.keepBits();
    else this.soon();
  }

  private keepBits(): void {
    const { device, connection } = this.peer;
    const kept = this.keeping = {};
    this.unkept = false;
    device.resource.env.keepBits(device.vnr, connection.nodeId, () => {
      if (this.keeping !== kept) return;
      this.keeping = null;
      this.soon();
    });
  }

  /** Block became out of sync again, at the latest moment. */
  rewind(sector: number): void {
    if (this.peer.facts.repl !== Repl.syncTarget) return;
    this.doneTold = false;
    this.position = Math.min(this.position, Math.floor(sector / SECTORS_PER_BLOCK));
    this.arm(1);
  }

  /** Whatever set it, behind the scan nobody would look at it again. */
  bitSet(sector: number): void {
    this.unkept = true;
    if (sector / SECTORS_PER_BLOCK < this.position) this.rewind(sector);
  }

  /** RS_DONE: nothing left, nothing being flushed by a Primary. @spec io.md 9.2 */
  checkDone(): void {
    const { peer } = this;
    const { resource } = peer.device;
    if (this.doneTold || !isSyncTarget(peer.facts.repl as Repl)) return;
    if (!this.complete()) return;
    this.doneTold = true;
    this.stopTimer();
    // In a turn of its own: the acks that led here are queued first.
    resource.env.clock.soon(this.doneJob);
  }

  /** Bits may go by news of others while the source itself is a target and pauses: from that one nothing good can come yet. */
  private complete(): boolean {
    const { peer } = this;
    return peer.facts.pdisk > Disk.inconsistent && this.list.length === 0 && peer.bitsOutOfSync <= peer.progress.failed &&
      !peer.device.resource.flushRequests.outstanding(peer.device);
  }

  /** A write may have undone it meanwhile. */
  private tellDone(): void {
    const { peer } = this;
    if (!this.doneTold || !isSyncTarget(peer.facts.repl as Repl) || !peer.connection.up) return;
    if (this.complete()) peer.device.resource.env.resyncDone(peer.device.vnr, peer.connection.nodeId);
    else {
      this.doneTold = false;
      this.soon();
    }
  }

  /** Its end has been told, but bits were set since: it is not at its end. */
  goesOn(): boolean {
    const { peer } = this;
    if (peer.bitsOutOfSync <= peer.progress.failed) return false;
    this.doneTold = false;
    this.soon();
    return true;
  }

  /** Requests that waited for room in the stream, at the end of a turn. */
  pump(): void {
    while (this.unsent.head >= 0) {
      if (!this.sendOne(this.unsent.head)) return;
      this.unsent.shift();
    }
  }

  /** P_RS_DATA_REPLY. @spec io.md 12.8 */
  data(sector: number, size: number, idHigh: number, idLow: number, payload: number): string {
    const { device } = this.peer;
    const p = device.resource.peerRequests;
    const slot = this.find(sector, size, idHigh, idLow);
    if (slot < 0 || payload < 0 || (device.intervals.flags[p.interval[slot]] & IvFlag.RECEIVED) !== 0) {
      if (payload >= 0) device.arena.free(payload, size);
      return 'resync reply without a request';
    }
    this.peer.received += size / 512;
    p.offset[slot] = payload;
    if (!device.diskUsable) {
      this.answer(slot, true);
      return '';
    }
    device.intervals.flags[p.interval[slot]] |= IvFlag.RECEIVED;
    this.conflictSubmit(slot);
    return '';
  }

  /** P_RS_IS_IN_SYNC, P_RS_CANCEL, P_RS_CANCEL_AHEAD, P_NEG_RS_DREPLY. */
  otherReply(cmd: number, sector: number, size: number, idHigh: number, idLow: number): string {
    const { peer } = this;
    const { device } = peer;
    const slot = this.find(sector, size, idHigh, idLow);
    if (slot < 0) return 'resync reply without a request';
    if (cmd === Cmd.RS_IS_IN_SYNC) {
      peer.progress.sameCsum += device.bits.clear(peer, sector, size);
    } else if (cmd === Cmd.NEG_RS_DREPLY) peer.progress.failed += device.bits.count(peer, sector, size);
    else this.position = Math.min(this.position, Math.floor(sector / SECTORS_PER_BLOCK));
    this.over(slot);
    if (cmd === Cmd.RS_CANCEL) this.arm(ROUND_MS);
    if (cmd === Cmd.RS_CANCEL_AHEAD && !this.toBehind) {
      this.toBehind = true;
      device.resource.env.syncTargetToBehind(device.vnr, peer.connection.nodeId);
    }
    this.checkDone();
    return '';
  }

  /** An interval that ours waited for is gone: before sending, or before writing. */
  conflictSubmit(slot: number): void {
    const { device } = this.peer;
    const p = device.resource.peerRequests;
    const iv = p.interval[slot];
    const received = (device.intervals.flags[iv] & IvFlag.RECEIVED) !== 0;
    if (device.intervals.findConflict(iv, received ? 0 : Find.IGNORE_SAME_PEER) >= 0) {
      device.intervals.wait(iv);
      return;
    }
    device.intervals.flags[iv] |= received ? IvFlag.SUBMITTED : IvFlag.READY_TO_SEND;
    if (!received && this.csums && this.readOwn(slot)) return;
    if (!received) this.send(slot);
    else if (!device.diskUsable || device.disk === null) this.answer(slot, true);
    else {
      this.outdateOthers(p.sector[slot], p.size[slot]);
      this.overwriteWrites(p.sector[slot], p.size[slot] / 512);
      submitPeerBlock(device, device.disk, slot, LowerOp.write);
    }
  }

  /** Not before our turn: the ack of what a peer got from us before would clear its bit again. */
  private outdateOthers(sector: number, size: number): void {
    const { device, connection } = this.peer;
    device.bits.setAll(sector, size);
    for (const other of device.resource.connectionList) {
      const peer = other.peers[device.index];
      if (other !== connection && isSourceFor(peer.facts.repl)) other.queueOutOfSync(peer, sector, size);
    }
  }

  /**
   * Writes of a Primary that no peer ack has come for: the source may never have got them, unless it is good, and of the
   * generation that the Primary is in. Each such write holds its extents in the activity log.
   */
  private overwriteWrites(sector: number, sectors: number): void {
    const { facts, device, connection: source } = this.peer;
    const { connectionList, env } = device.resource;
    const active = device.facts.alSuspended
      || device.disk!.al.isActive(Math.floor(sector / EXTENT_SECTORS), Math.floor((sector + sectors - 1) / EXTENT_SECTORS));
    for (let i = 0; active && i < connectionList.length; i++) {
      const { writes, nodeId } = connectionList[i];
      if (connectionList[i] === source || writes.list.length === 0) continue;
      if (facts.pdisk === Disk.upToDate && env.sameGeneration(device.vnr, nodeId, source.nodeId)) continue;
      writes.overwritten(device.index, sector, sectors);
    }
  }

  localDone(slot: number, failed: boolean): void {
    const { device } = this.peer;
    const p = device.resource.peerRequests;
    p.flags[slot] &= ~PeerFlag.SUBMITTED;
    device.resyncSectors += p.size[slot] / 512;
    if ((p.flags[slot] & PeerFlag.READS_OWN) !== 0) {
      this.ownRead(slot, failed);
      return;
    }
    device.writtenSectors += p.size[slot] / 512;
    if (failed) device.resource.env.ioError(device.vnr, ErrorKind.write);
    this.answer(slot, failed);
  }

  /** Connection lost: what is not on the disk goes; the rest ends by itself, unanswered. */
  cancel(): void {
    const p = this.peer.device.resource.peerRequests;
    this.stopTimer();
    this.keeping = null;
    while (this.unsent.shift() >= 0);
    for (let slot = this.list.head; slot >= 0;) {
      const next = p.next[slot];
      if ((p.flags[slot] & PeerFlag.SUBMITTED) === 0) this.over(slot);
      else p.flags[slot] |= PeerFlag.GONE;
      slot = next;
    }
    this.pace.forget();
  }

  private begin(): void {
    this.pace.begin();
    this.peer.minRate.begin();
    this.peer.inSync.begin();
    this.doneTold = false;
    this.csums = this.peer.facts.useCsums;
    this.peer.device.resource.flushRequests.ask();
  }

  /** make_resync_request. @spec uuid.md 7.5 */
  private round(): void {
    const { peer } = this;
    const { device, connection } = peer;
    const { link } = connection;
    this.stopTimer();
    if (peer.facts.repl !== Repl.syncTarget || link === null || !connection.up || this.toBehind || this.keeping !== null) return;
    if (device.disk === null || !device.diskUsable) return;
    this.checkDone();
    if (this.doneTold) return;
    if (this.unkept) return this.keepBits();
    const jumpedBack = this.position <= this.lastPosition && this.pace.outstanding && this.position > 0;
    if (link.data.queuedBytes() > QUEUED_MAX || this.unsent.length > 0 || jumpedBack) {
      this.arm(ROUND_MS);
      return;
    }
    const wanted = this.pace.round();
    const requested = this.requestBlocks(wanted);
    this.armNext(requested, wanted);
  }

  /** Requests up to `wanted` blocks from the position on; returns how many it asked for. */
  private requestBlocks(wanted: number): number {
    const { device, facts } = this.peer;
    const bitmap = device.disk!.bitmap;
    let left = wanted;
    while (left > 0) {
      const bit = bitmap.next(facts.bitmapIndex, this.position, 1, SCAN_WORDS);
      if (bit === BitScan.more) {
        this.position = bitmap.scanNext;
        break;
      }
      if (bit === BitScan.end) {
        this.position = bitmap.bits;
        break;
      }
      if (this.peer.minRate.throttles()) {
        this.position = bit;
        break;
      }
      const blocks = this.extend(bit, bestRequestBlocks(bit, left));
      this.lastPosition = this.position;
      this.position = bit + blocks;
      if (!this.request(bit, blocks)) {
        this.position = bit;
        break;
      }
      left -= blocks;
    }
    return wanted - left;
  }

  /** Set bits from `bit` on, at most `most`. */
  private extend(bit: number, most: number): number {
    const { device, facts } = this.peer;
    const { bitmap } = device.disk!;
    let blocks = 1;
    while (blocks < most && bit + blocks < bitmap.bits && bitmap.test(facts.bitmapIndex, bit + blocks)) blocks++;
    return blocks;
  }

  private request(bit: number, blocks: number): boolean {
    const { device, connection } = this.peer;
    const { peerRequests: p } = device.resource;
    const slot = p.take();
    if (slot < 0) return false;
    const sector = bit * SECTORS_PER_BLOCK;
    const sectors = Math.min(blocks * SECTORS_PER_BLOCK, device.disk!.bitmap.sectors - sector);
    p.kind[slot] = PeerReq.RS_WRITE;
    p.node[slot] = connection.nodeId;
    p.device[slot] = device.index;
    p.sector[slot] = sector;
    p.size[slot] = sectors * 512;
    this.list.push(slot);
    this.peer.rsPending++;
    this.pace.asked(sectors);
    p.interval[slot] = device.intervals.insert(IvType.RESYNC_WRITE, connection.nodeId, sector, sectors, slot);
    this.conflictSubmit(slot);
    return true;
  }

  /** Checksum resync: the own block first. False: no memory, so the data are asked for without a digest. */
  private readOwn(slot: number): boolean {
    const { device } = this.peer;
    const { peerRequests: p } = device.resource;
    if (device.disk === null || !device.diskUsable) return false;
    if (!readPeerBlock(device, device.disk, slot)) return false;
    p.flags[slot] |= PeerFlag.READS_OWN;
    return true;
  }

  /** Without a digest, after a read error, the data come. */
  private ownRead(slot: number, failed: boolean): void {
    const { device, connection } = this.peer;
    const { env, peerRequests: p } = device.resource;
    device.readSectors += p.size[slot] / 512;
    if (failed) env.ioError(device.vnr, ErrorKind.read);
    if ((p.flags[slot] & PeerFlag.GONE) !== 0) this.over(slot);
    else if (failed) this.sendPlain(slot);
    else connection.hashes.push(slot);
  }

  private sendPlain(slot: number): void {
    const { peerRequests: p } = this.peer.device.resource;
    this.freePayload(slot);
    p.flags[slot] &= ~(PeerFlag.READS_OWN | PeerFlag.FAILED);
    this.send(slot);
  }

  /** The digest of the own block; false: no room in the stream. */
  hashed(slot: number, digest: Uint8Array): boolean {
    const { device, connection } = this.peer;
    const { link, resource } = connection;
    const p = resource.peerRequests;
    const bytes = resource.env.crypto.digestBytes(connection.facts.csumsAlg);
    if (link === null || bytes === 0) {
      this.sendPlain(slot);
      return true;
    }
    const node = (link.features & Feature.resyncDagtag) === 0 ? -1 : dagtagNode(connection);
    const dagtag = (link.features & Feature.resyncDagtag) === 0 ? -1 : dagtagOf(connection, node);
    if (!sendDigestRequest(link.data, dagtag < 0 ? Cmd.CSUM_RS_REQUEST : Cmd.RS_CSUM_DAGTAG_REQ, device.vnr, p.sector[slot],
      p.generation[slot], slot + 1, p.size[slot], Math.max(0, node), dagtag, digest, bytes)) return false;
    this.freePayload(slot);
    p.flags[slot] &= ~PeerFlag.READS_OWN;
    device.intervals.flags[p.interval[slot]] |= IvFlag.SENT;
    return true;
  }

  private freePayload(slot: number): void {
    const { device } = this.peer;
    const p = device.resource.peerRequests;
    if (p.offset[slot] >= 0) device.arena.free(p.offset[slot], p.size[slot]);
    p.offset[slot] = -1;
  }

  private send(slot: number): void {
    if (this.unsent.length === 0 && this.sendOne(slot)) return;
    this.unsent.push(slot);
    this.peer.device.resource.wakeSenders();
  }

  private sendOne(slot: number): boolean {
    const { device, connection } = this.peer;
    const { link } = connection;
    const p = device.resource.peerRequests;
    if (link === null) return false;
    const syncer = link.version < 122;
    const high = syncer ? -1 : p.generation[slot];
    const low = syncer ? -1 : slot + 1;
    const { vnr } = device;
    const sector = p.sector[slot];
    const size = p.size[slot];
    if ((link.features & Feature.resyncDagtag) === 0) {
      if (!sendAck(link.data, Cmd.RS_DATA_REQUEST, vnr, sector, high, low, size, 0)) return false;
    } else {
      const node = dagtagNode(connection);
      if (!sendDagtagRequest(link.data, Cmd.RS_DAGTAG_REQ, vnr, sector, high, low, size, Math.max(0, node),
        dagtagOf(connection, node))) return false;
    }
    device.intervals.flags[p.interval[slot]] |= IvFlag.SENT;
    return true;
  }

  /** The block's data are on the disk, or will never be. */
  private answer(slot: number, failed: boolean): void {
    const { peer } = this;
    const { device, connection } = peer;
    const p = device.resource.peerRequests;
    const sector = p.sector[slot];
    const size = p.size[slot];
    const syncer = connection.link !== null && connection.link.version < 122;
    if (failed) peer.progress.failed += device.bits.count(peer, sector, size);
    else device.bits.clear(peer, sector, size);
    if (connection.up && peer.facts.repl >= Repl.established && (p.flags[slot] & PeerFlag.GONE) === 0) {
      const cmd = !failed ? Cmd.RS_WRITE_ACK : syncer ? Cmd.NEG_ACK : Cmd.RS_NEG_ACK;
      connection.writes.send(cmd, peer, sector, size, syncer ? -1 : p.generation[slot], syncer ? -1 : slot + 1);
    }
    this.over(slot);
    this.checkDone();
  }

  private over(slot: number): void {
    const { device } = this.peer;
    const p = device.resource.peerRequests;
    const iv = p.interval[slot];
    const sectors = p.size[slot] / 512;
    this.freePayload(slot);
    this.list.remove(slot);
    if (this.idle && this.peer.facts.repl !== Repl.syncTarget) this.idleSoon();
    device.intervals.remove(iv);
    device.conflicts.release(p.sector[slot], sectors);
    p.release(slot);
    this.peer.rsPending--;
    assert(this.peer.rsPending >= 0, 'more resync replies than requests');
    const all = this.pace.cameBack(sectors);
    if (this.peer.facts.repl === Repl.syncTarget) this.peer.inSync.progress(this.finishedSector());
    if (all) this.allCameBack();
    this.peer.connection.writes.checkDrained();
  }

  /** All requests before it are over. */
  private finishedSector(): number {
    const { head } = this.list;
    return head < 0 ? this.position * SECTORS_PER_BLOCK : this.peer.device.resource.peerRequests.sector[head];
  }

  private allCameBack(): void {
    if (this.peer.facts.repl !== Repl.syncTarget || this.position <= this.lastPosition) return;
    const ms = this.pace.earlyMs();
    if (ms === 0) this.soon();
    else if (ms < ROUND_MS) this.arm(ms);
  }

  private armNext(requested: number, wanted: number): void {
    const { bitmap } = this.peer.device.disk!;
    if (this.position >= bitmap.bits) {
      this.checkDone();
      return;
    }
    this.arm(requested > 0 && wanted > 0 ? ROUND_MS * Math.min(1, requested / wanted) : ROUND_MS);
  }

  private find(sector: number, size: number, idHigh: number, idLow: number): number {
    const { device, connection } = this.peer;
    const p = device.resource.peerRequests;
    let slot = p.find(PeerReq.RS_WRITE, idHigh, idLow);
    if (connection.link !== null && connection.link.version < 122) {
      for (slot = this.list.head; slot >= 0; slot = p.next[slot]) {
        if (p.sector[slot] === sector && p.size[slot] === size) break;
      }
    }
    if (slot < 0 || p.sector[slot] !== sector || p.size[slot] !== size || p.device[slot] !== device.index ||
      p.node[slot] !== connection.nodeId) return -1;
    return (device.intervals.flags[p.interval[slot]] & IvFlag.SENT) !== 0 ? slot : -1;
  }

  private idleSoon(): void {
    if (!this.idleJob.queued) this.peer.device.resource.env.clock.soon(this.idleJob);
  }

  private tellIdle(): void {
    const { device, connection, facts } = this.peer;
    if (this.idle && facts.repl !== Repl.syncTarget && !device.removed) device.resource.env.resyncIdle(device.vnr, connection.nodeId);
  }

  private soon(): void {
    if (!this.job.queued) this.peer.device.resource.env.clock.soon(this.job);
  }

  private arm(delayMs: number): void {
    if (this.timer === null) this.timer = this.peer.device.resource.env.clock.timer('resync', Math.max(1, delayMs), this.onTimer);
  }

  private stopTimer(): void {
    this.timer?.cancel();
    this.timer = null;
  }
}
