// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { Arena } from '../host/arena.ts';
import { BioFlag, BioOp, type BlockDevice } from '../host/block.ts';
import { LogLevel } from '../host/log.ts';
import { type LowerHandler, LowerOp } from '../host/lower.ts';
import { MAX_BIO_BYTES, MAX_DISCARD_BYTES } from '../wire/limits.ts';
import { Disk, Role } from '../state/states.ts';
import { ConflictQueue } from './conflict-queue.ts';
import { DeviceBits } from './device-bits.ts';
import { submitDiscard } from './discard.ts';
import { DiskTimer } from './disk-timer.ts';
import { type DeviceParts, deviceFacts, EOPNOTSUPP, ErrorKind, EXTENT_SECTORS, type IoDisk } from './env.ts';
import { Intervals, IvFlag, IvType } from './intervals.ts';
import { Rq, RqEvent } from './mod.ts';
import { PeerFlag, PeerReq } from './peer-request-pool.ts';
import { ReadBalance } from './read-path.ts';
import { SlotQueue } from './request-pool.ts';
import type { ResourceIo } from './resource-io.ts';
import { sendAndSubmit } from './submit.ts';

const EIO = 5;
/** How often a detach looks whether what was promised is on the disk. */
const PROMISE_MS = 20;
/** Whose operation a cookie of the disk, or a token of the activity log, names: cookie = id * 4 + owner. */
export const Owner = { request: 0, peer: 1, flush: 2 } as const;
const LOWER_FLAGS = BioFlag.preflush | BioFlag.fua | BioFlag.sync | BioFlag.meta | BioFlag.unmap;

/** Application I/O of one volume, and what all I/O of it shares: disk, intervals, bits. @spec io.md 1 */
export class DeviceIo implements LowerHandler {
  readonly resource: ResourceIo;
  readonly index: number;
  readonly vnr: number;
  readonly block: BlockDevice;
  readonly arena: Arena;
  readonly facts = deviceFacts();
  readonly intervals = new Intervals();
  readonly conflicts: ConflictQueue;
  readonly bits: DeviceBits;
  readonly balance = new ReadBalance();
  readonly diskTimer: DiskTimer;
  disk: IoDisk | null = null;
  /** Capacity of /dev/drbdN; set by the control layer. */
  sectors = 0;
  removed = false;
  flushFailed = false;
  /** Bitmaps that wait for the end of all writes, or are being sent: new I/O waits. */
  bitmapWork = 0;
  /** References on the disk: local_cnt. */
  lowerPending = 0;
  /** dev_read and dev_write, in sectors. */
  readSectors = 0;
  writtenSectors = 0;
  /** What of both was resync or verify, and reads that the front end served without us. */
  resyncSectors = 0;
  bypassedSectors: () => number = () => 0;
  /** Application writes and peer writes that wait for the activity log. */
  alWaiting = 0;
  alWantedExtents = 0;
  private readonly gate: SlotQueue;
  private readonly apBioCount = new Int32Array(2);
  private uuidAsked = false;
  /** A write that a disk refused is held back, or what was frozen still is. */
  private holding = false;
  private idleTold = false;
  private wasErrIo = false;

  constructor(resource: ResourceIo, index: number, parts: DeviceParts) {
    this.resource = resource;
    this.index = index;
    this.vnr = parts.vnr;
    this.block = parts.block;
    this.arena = parts.arena;
    this.gate = new SlotQueue(resource.requests.pool);
    this.conflicts = new ConflictQueue(this);
    this.bits = new DeviceBits(this);
    this.diskTimer = new DiskTimer(this);
  }

  /** A disk is there, its bitmap read, its activity log empty or taken over. */
  attach(disk: IoDisk): void {
    assert(this.disk === null, 'attached twice');
    this.disk = disk;
    this.readSectors = this.writtenSectors = this.resyncSectors = 0;
    this.flushFailed = false;
    this.diskTimer.attached();
  }

  /** Only when lowerPending is 0 and the disk fact is Diskless (or will be with the next factsChanged). */
  detach(): void {
    assert(this.lowerPending === 0, 'detached under I/O');
    const { disk } = this;
    this.disk = null;
    disk?.al.abandon();
    this.diskTimer.stop();
    // What is not settled yet holds nothing of the next disk's activity log.
    this.resource.requests.forgetExtents(this.index);
    for (const connection of this.resource.connectionList) connection.writes.forgetExtents(this.index);
    this.readSectors = this.writtenSectors = this.resyncSectors = 0;
    this.bits.assignSlots();
  }

  /** Nothing is in flight, waiting or remembered. */
  get idle(): boolean {
    return this.lowerPending === 0 && this.gate.length === 0 && this.apBioCount[0] + this.apBioCount[1] === 0 &&
      this.intervals.count === 0;
  }

  /** The disk may be used now. */
  get diskUsable(): boolean {
    return this.disk !== null && this.facts.disk >= Disk.inconsistent;
  }

  /** Sectors read and written that are not resync: for c-min-rate. */
  get otherSectors(): number {
    return this.readSectors + this.writtenSectors + this.bypassedSectors() - this.resyncSectors;
  }

  /** ap_bio_cnt: 0 reads, 1 writes. */
  apBio(direction: 0 | 1): number {
    return this.apBioCount[direction];
  }

  /** A bio of BlockHandler. @spec io.md 1.1 */
  bio(tag: number, op: BioOp, flags: number, sector: number, size: number, offset: number): void {
    const errno = this.entryError(op, sector, size);
    if (errno !== 0 || (op === BioOp.read && size === 0)) {
      this.block.complete(tag, errno, offset);
      return;
    }
    const { pool } = this.resource.requests;
    const slot = pool.take();
    if (slot < 0) {
      this.resource.env.log(LogLevel.err, 'no room for another request');
      this.block.complete(tag, EIO, offset);
      return;
    }
    pool.tag[slot] = tag;
    pool.op[slot] = op;
    pool.flags[slot] = flags;
    pool.sector[slot] = sector;
    pool.size[slot] = size;
    pool.offset[slot] = offset;
    pool.device[slot] = this.index;
    pool.startMs[slot] = this.resource.env.clock.nowMs();
    pool.local[slot] = kindBits(op, flags, size);
    this.enterGate(slot);
  }

  /** inc_ap_bio. @spec io.md 1.2 */
  enterGate(slot: number): void {
    if (this.gate.length === 0 && this.mayPass(slot)) this.pass(slot);
    else {
      this.gate.push(slot);
      this.askForUuid();
    }
  }

  /** The request is answered, or put back. */
  leaveGate(slot: number): void {
    const write = (this.resource.requests.pool.local[slot] & Rq.WRITE) !== 0 ? 1 : 0;
    this.apBioCount[write]--;
    assert(this.apBioCount[write] >= 0, 'more requests ended than begun');
    if (write === 1 && this.apBioCount[1] === 0) {
      if (this.bitmapWork > 0) this.startBitmapSends();
      if (this.facts.blocked > 0) this.resource.env.writesDrained(this.vnr);
      this.resource.checkDrained();
    }
    if (this.gate.length > 0) this.resource.schedule();
  }

  /**
   * A disk, here or at a peer, has refused this write: it is answered when it is known who counts as good without that one,
   * and in a generation of its own. Else it may be on one disk only, and quorum goes on without that.
   */
  refused(slot: number): void {
    const { requests } = this.resource;
    // A flush is in no log, and has no data.
    if (!this.holdsBack || (requests.pool.local[slot] & Rq.IN_TL) === 0) return;
    this.holding = true;
    requests.mod(slot, RqEvent.REFUSED, -1);
    this.askForUuid();
  }

  private get holdsBack(): boolean {
    const { facts, resource, index } = this;
    return !facts.errIo && (resource.facts.suspended || facts.newCurUuid || facts.makingUuid
      || resource.connectionList.some((c) => c.peers[index].gotNegAck));
  }

  /** Completions that were held back; `resumed`: of frozen I/O as well. */
  releaseCompletions(resumed: boolean): void {
    this.holding ||= resumed;
    if (!this.holding || this.holdsBack) return;
    this.holding = false;
    this.resource.requests.walk(RqEvent.COMPLETION_RESUMED, -1, this.index);
  }

  /** Lets through what may pass now. */
  openGate(): void {
    while (this.gate.head >= 0 && this.mayPass(this.gate.head)) this.pass(this.gate.shift());
    if (this.gate.length > 0 || this.holding) this.askForUuid();
  }

  /** Why a request has to wait at the gate; '' when it would not. blocked:upper of the statistics. */
  get gateReason(): string {
    const { facts } = this;
    if (facts.errIo) return '';
    if (this.resource.facts.suspended) return 'I/O is suspended';
    if (facts.blocked > 0) return 'device is suspended for an administrative operation';
    if (this.bitmapWork > 0) return 'bitmap is being sent';
    if (facts.unstable) return 'state is unstable';
    if (facts.newCurUuid || facts.makingUuid) return 'new data generation is being made';
    return this.resource.settlingRoom ? '' : 'too many writes wait for barrier acks';
  }

  factsChanged(): void {
    this.bits.assignSlots();
    this.wasErrIo = this.facts.errIo;
    if (this.facts.disk === Disk.failed || this.facts.disk === Disk.detaching) this.disk?.al.freeze();
    if (!this.facts.newCurUuid) this.uuidAsked = false;
    if (this.bitmapWork > 0) this.startBitmapSends();
    this.diskTimer.factsChanged();
    this.openGate();
    this.diskReleased(0);
  }

  /** cached_err_io was set since the last look. */
  becameErrIo(): boolean {
    return this.facts.errIo && !this.wasErrIo;
  }

  /** done() when all writes of peers that are acknowledged as received by now are over: they are in memory only until then. */
  whenPromisedWritten(done: () => void): void {
    const { peerRequests: p, connectionList, env } = this.resource;
    const slots = connectionList.map((c) => c.writes.newestPromised(this.index)).filter((slot) => slot >= 0);
    const generations = slots.map((slot) => p.generation[slot]);
    const look = (): void => {
      const waits = slots.some((slot, i) => p.generation[slot] === generations[i] && p.kind[slot] === PeerReq.WRITE
        && (p.flags[slot] & PeerFlag.DONE) === 0);
      if (waits && this.diskUsable) env.clock.timer('writes before a detach', PROMISE_MS, look);
      else done();
    };
    look();
  }

  /** Turn-end work: conflicts resolved, gate. */
  runWork(): void {
    this.conflicts.run();
    this.openGate();
  }

  /** The activity log has the extents of a waiting request. */
  alActive(token: number, _errno: number): void {
    const id = Math.floor(token / 4);
    this.alWaiting--;
    if (token % 4 === Owner.request) {
      this.alWantedExtents -= this.extentsOf(this.resource.requests.pool.sector[id], this.resource.requests.pool.size[id]);
      this.resource.requests.pool.local[id] |= Rq.IN_ACT_LOG;
      this.conflictSubmit(id);
    } else {
      const peers = this.resource.peerRequests;
      this.alWantedExtents -= this.extentsOf(peers.sector[id], peers.size[id]);
      const connection = this.resource.connections[peers.node[id]];
      assert(connection !== null, 'peer request of a removed connection');
      connection.writes.alActive(id);
    }
  }

  extentsOf(sector: number, size: number): number {
    return Math.floor((sector + size / 512 - 1) / EXTENT_SECTORS) - Math.floor(sector / EXTENT_SECTORS) + 1;
  }

  /** References the extents of a range; false: alActive(token) follows. */
  alBegin(sector: number, size: number, owner: number, id: number): boolean {
    assert(this.disk !== null, 'activity log without a disk');
    this.disk.written = true;
    if (this.disk.unused) this.resource.env.useGeneration(this.vnr);
    const last = Math.floor((sector + size / 512 - 1) / EXTENT_SECTORS);
    if (this.disk.al.begin(Math.floor(sector / EXTENT_SECTORS), last, id * 4 + owner)) return true;
    this.alWaiting++;
    this.alWantedExtents += this.extentsOf(sector, size);
    this.resource.wakeSenders();
    return false;
  }

  /** A request that waits for its extents gives up. */
  alCancel(sector: number, size: number, owner: number, id: number): void {
    assert(this.disk !== null && this.disk.al.cancel(id * 4 + owner), 'request does not wait for the activity log');
    this.alWaiting--;
    this.alWantedExtents -= this.extentsOf(sector, size);
  }

  /** Gives them back; true: an extent became idle while someone waits. */
  alComplete(sector: number, size: number): boolean {
    if (this.disk === null) return false;
    const { al } = this.disk;
    const used = al.used;
    al.complete(Math.floor(sector / EXTENT_SECTORS), Math.floor((sector + size / 512 - 1) / EXTENT_SECTORS));
    return al.used < used && this.alWaiting > 0;
  }

  /** drbd_conflict_submit_write: again each time an overlapping interval was released. @spec io.md 1.5 */
  conflictSubmit(slot: number): void {
    const { pool } = this.resource.requests;
    if (pool.interval[slot] < 0) {
      pool.interval[slot] = this.intervals.insert(IvType.LOCAL_WRITE, -1, pool.sector[slot], pool.size[slot] / 512, slot);
    }
    const iv = pool.interval[slot];
    if (this.intervals.findConflict(iv, 0) >= 0) {
      this.intervals.wait(iv);
      return;
    }
    this.intervals.flags[iv] |= IvFlag.SUBMITTED;
    sendAndSubmit(this, slot);
  }

  /** The local part goes to the disk. */
  submitLocal(slot: number): void {
    const { pool } = this.resource.requests;
    assert(this.disk !== null, 'local part without a disk');
    pool.submitMs[slot] = this.resource.env.clock.nowMs();
    this.lowerPending++;
    const cookie = slot * 4 + Owner.request;
    const op = pool.op[slot];
    if (op === BioOp.discard || op === BioOp.writeZeroes) {
      pool.parts[slot] = submitDiscard(this.disk.lower, pool.sector[slot], pool.size[slot] / 512,
        op === BioOp.discard || (pool.flags[slot] & BioFlag.unmap) !== 0, op === BioOp.writeZeroes, cookie,
        pool.tag[slot]);
      return;
    }
    pool.parts[slot] = 1;
    const data = op === BioOp.flush ? null : this.arena;
    this.disk.lower.submit(op === BioOp.flush ? LowerOp.flush : op === BioOp.read ? LowerOp.read : LowerOp.write,
      pool.flags[slot] & LOWER_FLAGS, pool.sector[slot], pool.size[slot], data, data === null ? 0 : pool.offset[slot],
      cookie, pool.tag[slot]);
  }

  lowerDone(cookie: number, errno: number): void {
    const id = Math.floor(cookie / 4);
    if (cookie % 4 === Owner.request) this.requestDone(id, errno);
    else if (cookie % 4 === Owner.peer) this.peerRequestDone(id, errno);
    else {
      this.diskReleased(1);
      const connection = this.resource.connections[id];
      if (connection !== null) connection.writes.flushDone(this, errno);
    }
  }

  /** The master bio of a request ends. */
  masterDone(slot: number, errno: number): void {
    const { pool } = this.resource.requests;
    this.block.complete(pool.tag[slot], errno, pool.offset[slot]);
    this.endInterval(slot, IvFlag.COMPLETED);
    this.leaveGate(slot);
  }

  /** A write leaves the transfer log; true: an extent was freed while requests wait. @spec io.md 2.8 */
  writeDestroyed(slot: number, okMask: number, inSyncMask: number): boolean {
    const { pool } = this.resource.requests;
    const local = pool.local[slot];
    const failedHere = (local & (Rq.LOCAL_COMPLETED | Rq.LOCAL_OK)) === Rq.LOCAL_COMPLETED;
    if (this.diskUsable) {
      this.bits.settle(pool.sector[slot], pool.size[slot], failedHere ? 0 : okMask, failedHere ? 0 : inSyncMask);
    }
    return (local & Rq.IN_ACT_LOG) !== 0 && this.alComplete(pool.sector[slot], pool.size[slot]);
  }

  /** Forced detach: writes on the disk are given up; their extents stay in the activity log. @spec io.md 7.3 */
  abortDiskIo(): void {
    const { requests } = this.resource;
    requests.beginWalk();
    for (let slot = requests.tlHead; slot >= 0;) {
      const next = requests.pool.tlNext[slot];
      const wanted = Rq.LOCAL_PENDING | Rq.WRITE;
      if (requests.pool.device[slot] === this.index && (requests.pool.local[slot] & wanted) === wanted) {
        requests.mod(slot, RqEvent.ABORT_DISK_IO, -1);
      }
      slot = next;
    }
    requests.endWalk();
  }

  /** A reference on the disk goes. */
  diskReleased(references: number): void {
    this.lowerPending -= references;
    assert(this.lowerPending >= 0, 'disk released too often');
    const leaving = this.disk !== null && (this.facts.disk === Disk.failed || this.facts.disk === Disk.detaching);
    if (this.lowerPending > 0 || !leaving) {
      this.idleTold = false;
      return;
    }
    if (this.idleTold) return;
    this.idleTold = true;
    this.resource.env.diskIdle(this.vnr);
  }

  /** Local part of the interval over, or the whole request. */
  endInterval(slot: number, flag: number): void {
    const { pool } = this.resource.requests;
    const iv = pool.interval[slot];
    if (iv < 0) return;
    const { intervals } = this;
    intervals.flags[iv] |= flag;
    const sector = intervals.sector[iv];
    const sectors = intervals.sectors[iv];
    const both = IvFlag.COMPLETED | IvFlag.BACKING_COMPLETED;
    if ((intervals.flags[iv] & both) === both) {
      intervals.remove(iv);
      pool.interval[slot] = -1;
    }
    this.conflicts.release(sector, sectors);
  }

  private entryError(op: BioOp, sector: number, size: number): number {
    if (op !== BioOp.read && this.resource.facts.role !== Role.primary) {
      if (size > 0) this.resource.env.log(LogLevel.err, 'Rejected WRITE request, not in Primary role.');
      return EIO;
    }
    if (this.facts.errIo) return EIO;
    const max = op === BioOp.discard || op === BioOp.writeZeroes ? MAX_DISCARD_BYTES : MAX_BIO_BYTES;
    if (size < 0 || size > max || size % 512 !== 0 || (op === BioOp.flush) !== (size === 0 && op !== BioOp.read)) {
      return EIO;
    }
    return sector >= 0 && sector + size / 512 <= this.sectors ? 0 : EIO;
  }

  private mayPass(slot: number): boolean {
    if (this.facts.errIo) return true;
    const write = (this.resource.requests.pool.local[slot] & Rq.WRITE) !== 0 ? 1 : 0;
    return this.apBioCount[write] < this.resource.facts.nrRequests && this.gateReason === '';
  }

  private askForUuid(): void {
    const { facts } = this;
    if (!facts.newCurUuid || this.uuidAsked || this.resource.facts.suspended || facts.blocked > 0 || facts.unstable) return;
    this.uuidAsked = true;
    this.resource.env.needNewCurrentUuid(this.vnr);
  }

  /** drbd_request_prepare. @spec io.md 1.3 */
  private pass(slot: number): void {
    const { requests } = this.resource;
    const { pool } = requests;
    const write = (pool.local[slot] & Rq.WRITE) !== 0;
    this.apBioCount[write ? 1 : 0]++;
    pool.completionRef[slot] = 1;
    if (this.facts.errIo) {
      pool.errno[slot] = EIO;
      requests.dropSubmitterRef(slot);
    } else if (!write || pool.size[slot] === 0) sendAndSubmit(this, slot);
    else if (!this.diskUsable || this.facts.alSuspended) this.conflictSubmit(slot);
    else if (this.alBegin(pool.sector[slot], pool.size[slot], Owner.request, slot)) {
      pool.local[slot] |= Rq.IN_ACT_LOG;
      this.conflictSubmit(slot);
    }
  }

  /** drbd_request_endio. @spec io.md 2.3, 6.3, 7.1 */
  private requestDone(slot: number, errno: number): void {
    const { requests, env } = this.resource;
    const { pool } = requests;
    if (errno !== 0 && pool.errno[slot] === 0) pool.errno[slot] = errno;
    if (--pool.parts[slot] > 0) return;
    const failed = pool.errno[slot] !== 0;
    const op = pool.op[slot];
    if ((pool.local[slot] & Rq.LOCAL_ABORTED) !== 0) {
      env.log(LogLevel.emerg, 'delayed completion of aborted local request; disk-timeout may be too aggressive');
    }
    let event = RqEvent.COMPLETED_OK;
    if (!failed) this.countLocal(op, pool.size[slot]);
    else if (op === BioOp.read) event = this.localReadFailed(slot);
    else if (op === BioOp.discard && pool.errno[slot] === EOPNOTSUPP) event = RqEvent.DISCARD_COMPLETED_NOTSUPP;
    else {
      // Of a discard or zeroes as well, as on the peers, which have done it: what is read here would be old.
      env.ioError(this.vnr, ErrorKind.write);
      const zeroes = op === BioOp.discard || op === BioOp.writeZeroes;
      event = zeroes ? RqEvent.DISCARD_COMPLETED_WITH_ERROR : RqEvent.WRITE_COMPLETED_WITH_ERROR;
      this.refused(slot);
    }
    this.endInterval(slot, IvFlag.BACKING_COMPLETED);
    requests.mod(slot, event, -1);
    this.diskReleased(1);
  }

  private localReadFailed(slot: number): number {
    const { pool } = this.resource.requests;
    if ((pool.local[slot] & Rq.RAHEAD) !== 0) return RqEvent.READ_AHEAD_COMPLETED_WITH_ERROR;
    this.resource.env.ioError(this.vnr, ErrorKind.read);
    if (this.diskUsable) this.bits.setAll(pool.sector[slot], pool.size[slot]);
    return RqEvent.READ_COMPLETED_WITH_ERROR;
  }

  private peerRequestDone(id: number, errno: number): void {
    const peers = this.resource.peerRequests;
    if (errno !== 0) peers.flags[id] |= PeerFlag.FAILED;
    if (--peers.parts[id] > 0) return;
    const connection = this.resource.connections[peers.node[id]];
    assert(connection !== null, 'peer request of a removed connection');
    connection.peerRequestDone(this, id, (peers.flags[id] & PeerFlag.FAILED) !== 0);
    this.diskReleased(1);
  }

  private countLocal(op: number, size: number): void {
    if (op === BioOp.read) this.readSectors += size / 512;
    else this.writtenSectors += size / 512;
  }

  /** The bitmaps go out once no write is in flight; suspended ones would never end. @spec uuid.md 6.1, io.md 9.6 */
  private startBitmapSends(): void {
    if (this.apBioCount[1] > 0 && !this.resource.facts.suspended) return;
    for (const connection of this.resource.connectionList) connection.peers[this.index].bitmapExchange.writesEnded();
  }
}

function kindBits(op: BioOp, flags: number, size: number): number {
  if (op === BioOp.read) return (flags & BioFlag.rahead) !== 0 ? Rq.RAHEAD : 0;
  if (op === BioOp.discard) return Rq.WRITE | Rq.UNMAP;
  if (op === BioOp.writeZeroes) return Rq.WRITE | Rq.ZEROES;
  return size === 0 ? Rq.WRITE | Rq.FLUSH : Rq.WRITE;
}
