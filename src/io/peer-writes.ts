// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { Job } from '../host/clock.ts';
import { LogLevel } from '../host/log.ts';
import { LowerFlag, LowerOp } from '../host/lower.ts';
import { Disk, Repl } from '../state/states.ts';
import { Feature } from '../wire/features.ts';
import { DpFlag } from '../wire/packets/data.ts';
import type { ConnectionIo } from './connection-io.ts';
import { type DeviceIo, Owner } from './device-io.ts';
import { submitDiscard } from './discard.ts';
import { EOPNOTSUPP, ErrorKind, EXTENT_SECTORS, Ordering } from './env.ts';
import { Find, IvFlag, IvType } from './intervals.ts';
import { OutQueue } from './out-queue.ts';
import { Cmd } from './packet-out.ts';
import type { PeerDeviceIo } from './peer-device-io.ts';
import { PeerFlag, PeerList, PeerReq } from './peer-request-pool.ts';
import { ReceiveEpochs } from './receive-epochs.ts';
import { isSourceFor } from './routing.ts';

/** Discards and write-zeroes of a peer at once: they need no memory that would limit them, and each may be many operations. */
const DISCARDS_MAX = 64;
/** Why the receiver stands still. */
const Hold = { none: 0, barrier: 1, outOfSync: 2, room: 3, discards: 4 } as const;

/** Writes that a peer sends us: epochs, disk, acks, and memory of them until the peer ack. @spec io.md 12.2 to 12.5 */
export class PeerWrites {
  readonly control = new OutQueue();
  /** Every received write until its peer ack, in order. */
  readonly list: PeerList;
  /** Position in the peer's stream of writes; survives a disconnect. */
  lastDagtag = 0;
  /** P_DAGTAG or a write has come since the connect. */
  receivedDagtag = false;
  /** Received and not yet over on the disk. */
  active = 0;
  /** Of these, discards and write-zeroes. */
  private discards = 0;
  /** Of these, on the disk now. */
  private onDisk = 0;
  private readonly connection: ConnectionIo;
  private readonly epochs = new ReceiveEpochs();
  private hold: number = Hold.none;
  private holdBarrier = 0;
  private holdSlot = -1;
  private holdPeer: PeerDeviceIo | null = null;
  private holdSector = 0;
  private holdSize = 0;
  private flushesLeft = 0;
  private flushMs = 0;
  private flushStarted = false;
  private drained: (() => void) | null = null;
  private readonly epochJob: Job = { name: 'barrier acks', queued: false, run: () => this.onDisk === 0 && this.finishEpochs() };

  constructor(connection: ConnectionIo) {
    this.connection = connection;
    this.list = new PeerList(connection.resource.peerRequests);
  }

  reset(): void {
    assert(this.active === 0 && this.list.length === 0, 'connected with writes of the last connection');
    this.epochs.reset();
    this.control.clear();
    this.hold = Hold.none;
    this.receivedDagtag = false;
  }

  /** Since when cache flushes are on the way, Infinity: none are. */
  get flushSinceMs(): number {
    return this.flushesLeft > 0 ? this.flushMs : Infinity;
  }

  /** Is the data stream held? No packet of it may come then. */
  get held(): boolean {
    return this.hold !== Hold.none;
  }

  /** P_DATA, P_TRIM, P_ZEROES, already checked for range and size. */
  write(peer: PeerDeviceIo, cmd: number, sector: number, size: number, idHigh: number, idLow: number, seq: number,
    dpFlags: number, payload: number): string {
    const { resource, link } = this.connection;
    const p = resource.peerRequests;
    const { device } = peer;
    const slot = p.take();
    if (slot < 0) {
      if (payload >= 0) device.arena.free(payload, size);
      return 'too many writes without a peer ack';
    }
    p.kind[slot] = PeerReq.WRITE;
    p.node[slot] = this.connection.nodeId;
    p.device[slot] = device.index;
    p.sector[slot] = sector;
    p.size[slot] = size;
    p.offset[slot] = payload;
    p.idHigh[slot] = idHigh;
    p.idLow[slot] = idLow;
    p.flags[slot] = peerFlags(cmd, dpFlags, link !== null && (link.features & Feature.wzeroes) !== 0);
    p.dagtag[slot] = this.lastDagtag + size / 512;
    peer.sawSeq(seq);
    if (!device.diskUsable) return this.writeWithoutDisk(peer, slot);
    if (payload >= 0) peer.received += size / 512;
    p.epoch[slot] = this.epochs.join();
    if ((p.flags[slot] & PeerFlag.SEND_WRITE_ACK) !== 0) peer.unacked++;
    if ((dpFlags & DpFlag.sendReceiveAck) !== 0) {
      p.flags[slot] |= PeerFlag.PROMISED;
      this.ack(peer, Cmd.RECV_ACK, slot);
    }
    this.joined(slot);
    this.list.push(slot);
    if (this.mustMakeRoom(device, slot)) {
      this.startHold(Hold.room);
      this.holdSlot = slot;
      this.checkHold();
      return '';
    }
    return this.accept(slot);
  }

  /** P_BARRIER. @spec io.md 3.5 */
  barrier(number: number): string {
    const { epochs } = this;
    if (epochs.size[epochs.current] === 0) return '';
    if (epochs.full) this.finishEpochs();
    const stable = this.connection.resource.writeOrdering === Ordering.none || (this.active === 0 && !this.flushNeeded());
    if (stable && !epochs.full) {
      epochs.close(number, true);
      // Behind it comes a write, mostly: one packet less if the acks of both go together. Of what waits for anything but
      // the disk it must not wait: that may be for what the peer does when it has this ack.
      this.connection.resource.env.clock.atTurnEnd(this.epochJob);
    } else {
      this.startHold(Hold.barrier);
      this.holdBarrier = number;
      this.checkHold();
    }
    return '';
  }

  /** P_OUT_OF_SYNC: after all writes that came before it. @spec io.md 9.3 */
  outOfSync(peer: PeerDeviceIo, sector: number, size: number): string {
    this.startHold(Hold.outOfSync);
    this.holdPeer = peer;
    this.holdSector = sector;
    this.holdSize = size;
    this.checkHold();
    return '';
  }

  /** P_DAGTAG. */
  dagtag(dagtag: number): string {
    this.lastDagtag = dagtag;
    this.receivedDagtag = true;
    this.connection.resource.dagtagMoved(this.connection.nodeId);
    return '';
  }

  /** P_PEER_ACK. @spec io.md 4.3 */
  peerAck(mask: number, dagtag: number): string {
    const p = this.connection.resource.peerRequests;
    let last = this.list.head;
    while (last >= 0 && p.dagtag[last] !== dagtag) last = p.next[last];
    if (last < 0) return `peer request with dagtag ${dagtag} not found`;
    for (let slot = this.list.head; slot >= 0; slot = p.next[slot]) {
      if ((p.flags[slot] & PeerFlag.DONE) === 0) return `peer request with dagtag ${dagtag} acked before it was written`;
      if (slot === last) break;
    }
    const senderHas = (mask & (1 << this.connection.nodeId)) !== 0;
    for (;;) {
      const slot = this.list.head;
      const lost = (p.flags[slot] & (PeerFlag.FAILED | PeerFlag.OVERWRITTEN)) !== 0;
      this.settle(slot, lost ? 0 : mask, senderHas || this.mayBeSynced(slot));
      if (slot === last) return '';
    }
  }

  /** It was marked as missing at the sender, which has a disk again: that mark has done, or will do, what its late peer ack would. */
  private mayBeSynced(slot: number): boolean {
    const p = this.connection.resource.peerRequests;
    return (p.flags[slot] & PeerFlag.SET_OUT_OF_SYNC) !== 0 && this.connection.peers[p.device[slot]].facts.pdisk >= Disk.inconsistent;
  }

  /** The newest write of the device that was acknowledged as received, and is not over; -1: none. */
  newestPromised(device: number): number {
    const p = this.connection.resource.peerRequests;
    for (let slot = this.list.tail; slot >= 0; slot = p.prev[slot]) {
      if (p.device[slot] === device && (p.flags[slot] & (PeerFlag.PROMISED | PeerFlag.DONE)) === PeerFlag.PROMISED) return slot;
    }
    return -1;
  }

  /** A resync writes over this range: whatever the peer ack will say, what it covers is not here any more. */
  overwritten(device: number, sector: number, sectors: number): void {
    const p = this.connection.resource.peerRequests;
    for (let slot = this.list.head; slot >= 0; slot = p.next[slot]) {
      const covers = p.sector[slot] < sector + sectors && p.sector[slot] + p.size[slot] / 512 > sector;
      if (covers && p.device[slot] === device && (p.flags[slot] & PeerFlag.DONE) !== 0) p.flags[slot] |= PeerFlag.OVERWRITTEN;
    }
  }

  /** The peer has lost its disk: what it has sent until then may not have got there, and no activity log may tell so. */
  senderLostDisk(peer: PeerDeviceIo): void {
    const p = this.connection.resource.peerRequests;
    for (let slot = this.list.head; slot >= 0; slot = p.next[slot]) {
      if (p.device[slot] !== peer.device.index || (p.flags[slot] & PeerFlag.NO_DISK) !== 0) continue;
      p.flags[slot] = (p.flags[slot] & ~PeerFlag.MAY_SET_IN_SYNC) | PeerFlag.SET_OUT_OF_SYNC;
      peer.device.bits.set(peer, p.sector[slot], p.size[slot]);
    }
  }

  /** Another way to ack something on the control stream, in order. */
  send(cmd: number, peer: PeerDeviceIo | null, a: number, b: number, idHigh: number, idLow: number): void {
    const { link } = this.connection;
    if (link === null) return;
    if (!this.control.send(link.control, cmd, peer, a, b, idHigh, idLow)) {
      this.connection.fail('NetworkFailure', 'control stream does not move: too many acks wait');
    }
  }

  flushAcks(): void {
    if (this.connection.link !== null) this.control.flush(this.connection.link.control);
  }

  alActive(slot: number): void {
    const p = this.connection.resource.peerRequests;
    p.flags[slot] = (p.flags[slot] & ~PeerFlag.WAITS_AL) | PeerFlag.IN_ACT_LOG;
    this.toDisk(slot);
  }

  /** Again each time an overlapping interval was released. */
  conflictSubmit(slot: number): void {
    const { resource } = this.connection;
    const p = resource.peerRequests;
    const device = resource.devices[p.device[slot]];
    if (device.intervals.findConflict(p.interval[slot], 0) >= 0) {
      device.intervals.wait(p.interval[slot]);
      return;
    }
    device.intervals.flags[p.interval[slot]] |= IvFlag.SUBMITTED;
    if (device.facts.alSuspended || !device.diskUsable) this.toDisk(slot);
    else if (device.alBegin(p.sector[slot], p.size[slot], Owner.peer, slot)) {
      p.flags[slot] |= PeerFlag.IN_ACT_LOG;
      this.toDisk(slot);
    } else p.flags[slot] |= PeerFlag.WAITS_AL;
  }

  /**
   * A disk that failed it may have lost what it had called written: it is no better than one that failed a write. The epoch is
   * never acknowledged, so the sender marks what is in it when it loses us.
   */
  flushDone(device: DeviceIo, errno: number): void {
    const { resource } = this.connection;
    this.flushesLeft--;
    if (errno !== 0) resource.env.log(LogLevel.err, `local disk FLUSH FAILED with status ${errno}`);
    if (errno === EOPNOTSUPP) {
      device.flushFailed = true;
      resource.chooseOrdering(Ordering.drain);
    } else if (errno !== 0) {
      if (device.diskUsable) resource.env.ioError(device.vnr, ErrorKind.write);
      this.connection.fail('NetworkFailure', 'an epoch can not be made stable; connecting again');
    }
    if (this.flushesLeft > 0) return;
    if (this.connection.up) this.checkHold();
    this.checkDrained();
  }

  /** The activity log of this device is gone. */
  forgetExtents(device: number): void {
    const p = this.connection.resource.peerRequests;
    for (let slot = this.list.head; slot >= 0; slot = p.next[slot]) {
      if (p.device[slot] === device) p.flags[slot] &= ~PeerFlag.IN_ACT_LOG;
    }
  }

  /**
   * The link is gone: what is not on the disk yet is dropped as if it had never come, also for the dagtag, unless it was
   * acknowledged as received: then it may need the extents of what is over. @spec io.md 12.4
   */
  drainForDisconnect(done: () => void): void {
    assert(this.drained === null, 'drained twice');
    const p = this.connection.resource.peerRequests;
    const held = this.hold === Hold.room ? this.holdSlot : -1;
    this.hold = Hold.none;
    let promised = false;
    for (let slot = this.list.head; slot >= 0;) {
      const next = p.next[slot];
      if ((p.flags[slot] & (PeerFlag.DONE | PeerFlag.SUBMITTED)) === 0) {
        if ((p.flags[slot] & PeerFlag.PROMISED) !== 0) promised = true;
        else {
          this.lastDagtag = Math.min(this.lastDagtag, p.dagtag[slot] - p.size[slot] / 512);
          this.withdraw(slot);
        }
      }
      slot = next;
    }
    if (promised) this.releaseExtents();
    if (held >= 0 && held === this.list.tail) this.accept(held);
    this.drained = done;
    this.checkDrained();
  }

  /** Extents of what is over, once its bits are set. It is settled in its turn, with the bits again. */
  private releaseExtents(): void {
    const { resource, nodeId } = this.connection;
    const p = resource.peerRequests;
    for (let slot = this.list.head; slot >= 0; slot = p.next[slot]) {
      const releasable = PeerFlag.DONE | PeerFlag.IN_ACT_LOG;
      if ((p.flags[slot] & releasable) !== releasable) continue;
      const device = resource.devices[p.device[slot]];
      device.bits.settlePeerAck(p.sector[slot], p.size[slot], 0, nodeId);
      device.alComplete(p.sector[slot], p.size[slot]);
      p.flags[slot] &= ~PeerFlag.IN_ACT_LOG;
    }
  }

  /** After a lost connection: nobody will tell who has these writes. @spec io.md 3.9 step 8 */
  settleUnacked(): void {
    while (this.list.head >= 0) this.settle(this.list.head, 0);
  }

  /** Before a bitmap is sent: bits as settleUnacked would set them; the writes stay. @spec io.md 4.4 */
  applyUnacked(device: DeviceIo): void {
    const p = this.connection.resource.peerRequests;
    for (let slot = this.list.head; slot >= 0; slot = p.next[slot]) {
      if (p.device[slot] !== device.index) continue;
      device.bits.settlePeerAck(p.sector[slot], p.size[slot], 0, this.connection.nodeId);
    }
  }

  /** A target of ours is to have what no peer ack has come for, as if one had said that it misses that. */
  tellUnacked(target: ConnectionIo): void {
    const p = this.connection.resource.peerRequests;
    for (let slot = this.list.head; slot >= 0; slot = p.next[slot]) {
      const peer = target.peers[p.device[slot]];
      if (!isSourceFor(peer.facts.repl) || (p.flags[slot] & PeerFlag.NO_DISK) !== 0) continue;
      peer.device.bits.set(peer, p.sector[slot], p.size[slot]);
      target.queueOutOfSync(peer, p.sector[slot], p.size[slot]);
    }
  }

  /** Counts in the barrier ack, has a dagtag for the peer ack, and is a failure. @spec io.md 12.2 step 2, 16 */
  private writeWithoutDisk(peer: PeerDeviceIo, slot: number): string {
    const p = this.connection.resource.peerRequests;
    p.epoch[slot] = this.epochs.joinDone();
    p.flags[slot] |= PeerFlag.NO_DISK | PeerFlag.DONE | PeerFlag.FAILED;
    this.freePayload(slot);
    this.list.push(slot);
    this.ack(peer, Cmd.NEG_ACK, slot);
    this.advanceDagtag(slot);
    return '';
  }

  private accept(slot: number): string {
    const { resource, facts, nodeId } = this.connection;
    const p = resource.peerRequests;
    const device = resource.devices[p.device[slot]];
    const peer = this.connection.peers[device.index];
    if (peer.facts.pdisk < Disk.inconsistent) {
      p.flags[slot] = (p.flags[slot] & ~PeerFlag.MAY_SET_IN_SYNC) | PeerFlag.SET_OUT_OF_SYNC;
    }
    p.interval[slot] = device.intervals.insert(IvType.PEER_WRITE, nodeId, p.sector[slot], p.size[slot] / 512, slot);
    if (facts.twoPrimaries && device.intervals.findConflict(p.interval[slot], Find.APPLICATION_ONLY) >= 0) {
      resource.env.log(LogLevel.alert, `Concurrent writes detected: remote=${p.sector[slot]}s +${p.size[slot]}`);
      this.withdraw(slot);
      return 'Concurrent writes detected';
    }
    this.conflictSubmit(slot);
    // Reads that waited for it find its interval.
    this.advanceDagtag(slot);
    if (this.discards >= DISCARDS_MAX && this.connection.link !== null) this.startHold(Hold.discards);
    return '';
  }

  private joined(slot: number): void {
    this.active++;
    if (this.isDiscard(slot)) this.discards++;
  }

  private left(slot: number): void {
    this.active--;
    if (this.isDiscard(slot)) this.discards--;
  }

  private isDiscard(slot: number): boolean {
    return (this.connection.resource.peerRequests.flags[slot] & (PeerFlag.TRIM | PeerFlag.ZEROOUT)) !== 0;
  }

  private advanceDagtag(slot: number): void {
    this.dagtag(this.connection.resource.peerRequests.dagtag[slot]);
  }

  private toDisk(slot: number): void {
    const { resource } = this.connection;
    const p = resource.peerRequests;
    const device = resource.devices[p.device[slot]];
    const flags = p.flags[slot];
    if (device.disk === null || !device.diskUsable) {
      p.flags[slot] |= PeerFlag.FAILED;
      this.ended(device, slot);
      return;
    }
    if ((flags & PeerFlag.SET_OUT_OF_SYNC) !== 0) {
      device.bits.set(this.connection.peers[device.index], p.sector[slot], p.size[slot]);
    }
    p.flags[slot] |= PeerFlag.SUBMITTED;
    this.onDisk++;
    p.submitMs[slot] = resource.env.clock.nowMs();
    device.lowerPending++;
    const cookie = slot * 4 + Owner.peer;
    if ((flags & (PeerFlag.TRIM | PeerFlag.ZEROOUT)) !== 0) {
      const zeroout = (flags & PeerFlag.ZEROOUT) !== 0 || !device.facts.discardZeroesIfAligned;
      p.parts[slot] = submitDiscard(device.disk.lower, p.sector[slot], p.size[slot] / 512,
        (flags & PeerFlag.TRIM) !== 0, zeroout, cookie, -1);
      return;
    }
    p.parts[slot] = 1;
    device.disk.lower.submit(LowerOp.write, lowerFlags(flags), p.sector[slot], p.size[slot], device.arena,
      p.offset[slot], cookie, -1);
  }

  /** drbd_endio_write_sec_final and e_end_block. @spec io.md 12.3 */
  ended(device: DeviceIo, slot: number): void {
    const { resource } = this.connection;
    const p = resource.peerRequests;
    const peer = this.connection.peers[device.index];
    const failed = (p.flags[slot] & PeerFlag.FAILED) !== 0;
    const wanted = (p.flags[slot] & PeerFlag.SEND_WRITE_ACK) !== 0;
    device.writtenSectors += p.size[slot] / 512;
    if (failed) {
      device.bits.set(peer, p.sector[slot], p.size[slot]);
      if (device.diskUsable) resource.env.ioError(device.vnr, ErrorKind.write);
    }
    const inSync = (p.flags[slot] & PeerFlag.MAY_SET_IN_SYNC) !== 0 && peer.inSyncState;
    if (!failed && inSync) device.bits.clear(peer, p.sector[slot], p.size[slot]);
    if ((wanted || failed) && this.connection.up && peer.facts.repl >= Repl.established) {
      this.ack(peer, failed ? Cmd.NEG_ACK : inSync ? this.inSyncAck() : Cmd.WRITE_ACK, slot);
    }
    if (wanted) peer.unacked = Math.max(0, peer.unacked - 1);
    if ((p.flags[slot] & PeerFlag.SUBMITTED) !== 0) this.onDisk--;
    p.flags[slot] = (p.flags[slot] | PeerFlag.DONE) & ~PeerFlag.SUBMITTED;
    this.freePayload(slot);
    this.dropInterval(device, slot);
    this.left(slot);
    this.epochs.left(p.epoch[slot]);
    this.finishEpochs();
    this.checkHold();
    this.checkDrained();
  }

  private inSyncAck(): number {
    const { link } = this.connection;
    return link !== null && link.version >= 122 ? Cmd.WRITE_ACK_IN_SYNC : Cmd.RS_WRITE_ACK;
  }

  private ack(peer: PeerDeviceIo, cmd: number, slot: number): void {
    const p = this.connection.resource.peerRequests;
    this.send(cmd, peer, p.sector[slot], p.size[slot], p.idHigh[slot], p.idLow[slot]);
  }

  /** drbd_may_finish_epoch: acks in order, oldest first. */
  private finishEpochs(): void {
    for (let barrier = this.epochs.takeFinished(); barrier >= 0; barrier = this.epochs.takeFinished()) {
      this.send(Cmd.BARRIER_ACK, null, barrier, this.epochs.ackSize, 0, 0);
    }
  }

  private startHold(kind: number): void {
    assert(this.hold === Hold.none, 'a packet came while the receiver is held');
    this.hold = kind;
    this.flushStarted = false;
    this.connection.link?.data.pause(true);
  }

  /** Goes on with what the receiver waits for, as far as possible. */
  private checkHold(): void {
    if (this.hold === Hold.none || this.flushesLeft > 0) return;
    if (this.hold === Hold.discards ? this.discards >= DISCARDS_MAX : this.active > (this.hold === Hold.room ? 1 : 0)) return;
    const flush = this.hold === Hold.barrier || this.hold === Hold.room;
    if (flush && !this.flushStarted && this.startFlush()) return;
    const kind = this.hold;
    this.hold = Hold.none;
    this.connection.link?.data.pause(false);
    if (kind === Hold.discards) return;
    if (kind === Hold.barrier) {
      this.epochs.close(this.holdBarrier, true);
      this.finishEpochs();
    } else if (kind === Hold.room) this.roomMade();
    else this.applyOutOfSync();
  }

  private flushNeeded(): boolean {
    const { devices, writeOrdering } = this.connection.resource;
    if (writeOrdering < Ordering.flush) return false;
    for (let i = 0; i < devices.length; i++) if (wantsFlush(devices[i])) return true;
    return false;
  }

  /** A cache flush on every volume's disk that may need one; false: nothing to wait for. */
  private startFlush(): boolean {
    const { resource, nodeId } = this.connection;
    this.flushStarted = true;
    this.flushMs = resource.env.clock.nowMs();
    if (resource.writeOrdering < Ordering.flush) return false;
    for (const device of resource.devices) {
      if (!wantsFlush(device) || device.disk === null) continue;
      this.flushesLeft++;
      device.lowerPending++;
      device.disk.lower.submit(LowerOp.flush, 0, 0, 0, null, 0, nodeId * 4 + Owner.flush, -1);
    }
    return this.flushesLeft > 0;
  }

  private applyOutOfSync(): void {
    const peer = this.holdPeer;
    assert(peer !== null, 'out of sync without a peer');
    this.holdPeer = null;
    peer.device.bits.set(peer, this.holdSector, this.holdSize);
    peer.target.rewind(this.holdSector);
  }

  /** Would this write fit into the activity log with all that wait already? @spec io.md 8.5 */
  private mustMakeRoom(device: DeviceIo, slot: number): boolean {
    const p = this.connection.resource.peerRequests;
    assert(device.disk !== null, 'write without a disk');
    const { al } = device.disk;
    const first = Math.floor(p.sector[slot] / EXTENT_SECTORS);
    const last = Math.floor((p.sector[slot] + p.size[slot] / 512 - 1) / EXTENT_SECTORS);
    if (first === last && al.isActive(first, last)) return false;
    return device.alWantedExtents + last - first + 1 > al.slots.count - al.used;
  }

  /** Everything before the held write is stable: the sender may forget it, its peer acks free our extents. */
  private roomMade(): void {
    const { resource } = this.connection;
    const p = resource.peerRequests;
    const slot = this.holdSlot;
    const epoch = p.epoch[slot];
    const count = this.epochs.size[epoch] - this.epochs.confirmed[epoch] - 1;
    if (count > 0) this.confirm(slot, count);
    const error = this.accept(slot);
    if (error !== '') this.connection.fail('ProtocolError', error);
  }

  private confirm(held: number, count: number): void {
    this.finishEpochs();
    const p = this.connection.resource.peerRequests;
    const youngest = p.prev[held];
    let oldest = youngest;
    for (let n = 1; n < count && p.prev[oldest] >= 0; n++) oldest = p.prev[oldest];
    this.epochs.confirmed[p.epoch[held]] += count;
    this.send(Cmd.CONFIRM_STABLE, null, p.idHigh[youngest] >>> 0, count * 4294967296 + (p.idLow[youngest] >>> 0),
      p.idHigh[oldest], p.idLow[oldest]);
  }

  /** Not executed: as if it had never come. */
  private withdraw(slot: number): void {
    const { resource } = this.connection;
    const p = resource.peerRequests;
    const device = resource.devices[p.device[slot]];
    if ((p.flags[slot] & PeerFlag.WAITS_AL) !== 0) device.alCancel(p.sector[slot], p.size[slot], Owner.peer, slot);
    this.dropInterval(device, slot);
    if ((p.flags[slot] & PeerFlag.IN_ACT_LOG) !== 0) device.alComplete(p.sector[slot], p.size[slot]);
    this.freePayload(slot);
    this.epochs.withdrawn(p.epoch[slot]);
    this.left(slot);
    this.list.remove(slot);
    p.release(slot);
  }

  /** Who has a write is known: bits, extents, news for those whom we sync; of a lost node, more to fetch for ourselves. */
  private settle(slot: number, mask: number, senderStays = true): void {
    const { resource, nodeId } = this.connection;
    const p = resource.peerRequests;
    const device = resource.devices[p.device[slot]];
    const sector = p.sector[slot];
    const size = p.size[slot];
    if ((p.flags[slot] & PeerFlag.NO_DISK) === 0) {
      device.bits.settlePeerAck(sector, size, mask, nodeId, senderStays);
      if ((p.flags[slot] & PeerFlag.IN_ACT_LOG) !== 0) device.alComplete(sector, size);
      const { connectionList } = resource;
      for (let i = 0; i < connectionList.length; i++) {
        const other = connectionList[i];
        if (other === this.connection || (mask & (1 << other.nodeId)) !== 0) continue;
        const peer = other.peers[device.index];
        if (isSourceFor(peer.facts.repl)) other.queueOutOfSync(peer, sector, size);
        else if (this.connection.link === null) peer.target.rewind(sector);
      }
    }
    this.list.remove(slot);
    p.release(slot);
  }

  private dropInterval(device: DeviceIo, slot: number): void {
    const p = this.connection.resource.peerRequests;
    const iv = p.interval[slot];
    if (iv < 0) return;
    p.interval[slot] = -1;
    const sector = device.intervals.sector[iv];
    const sectors = device.intervals.sectors[iv];
    device.intervals.remove(iv);
    device.conflicts.release(sector, sectors);
  }

  private freePayload(slot: number): void {
    const { resource } = this.connection;
    const p = resource.peerRequests;
    if (p.offset[slot] >= 0) resource.devices[p.device[slot]].arena.free(p.offset[slot], p.size[slot]);
    p.offset[slot] = -1;
  }

  /** The clean-up goes on once nothing of the lost connection is on a disk any more. */
  checkDrained(): void {
    const { drained } = this;
    if (drained === null || this.active > 0 || this.flushesLeft > 0 || this.connection.resyncOnDisk) return;
    this.drained = null;
    drained();
  }
}

function wantsFlush(device: DeviceIo): boolean {
  return !device.removed && device.disk !== null && device.diskUsable && device.disk.lower.unflushed;
}

function peerFlags(cmd: number, dpFlags: number, wzeroes: boolean): number {
  let flags = 0;
  if ((dpFlags & DpFlag.sendWriteAck) !== 0) flags |= PeerFlag.SEND_WRITE_ACK;
  if ((dpFlags & DpFlag.maySetInSync) !== 0) flags |= PeerFlag.MAY_SET_IN_SYNC;
  if ((dpFlags & DpFlag.fua) !== 0) flags |= PeerFlag.FUA;
  if ((dpFlags & DpFlag.flush) !== 0) flags |= PeerFlag.PREFLUSH;
  if ((dpFlags & DpFlag.rwSync) !== 0) flags |= PeerFlag.SYNC;
  if (cmd === Cmd.TRIM) flags |= wzeroes ? PeerFlag.TRIM : PeerFlag.TRIM | PeerFlag.ZEROOUT;
  if (cmd === Cmd.ZEROES) flags |= PeerFlag.ZEROOUT | ((dpFlags & DpFlag.discard) !== 0 ? PeerFlag.TRIM : 0);
  return flags;
}

const lowerFlags = (flags: number): number =>
  ((flags & PeerFlag.FUA) !== 0 ? LowerFlag.fua : 0) | ((flags & PeerFlag.PREFLUSH) !== 0 ? LowerFlag.preflush : 0) |
  ((flags & PeerFlag.SYNC) !== 0 ? LowerFlag.sync : 0);
