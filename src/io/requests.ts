// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import { BioOp } from '../host/block.ts';
import { LogLevel } from '../host/log.ts';
import { Disk } from '../state/states.ts';
import { matchRow, Net, NET_MASK, Rq, RqEvent } from './mod.ts';
import { NODES_MAX, RequestPool, SlotQueue } from './request-pool.ts';
import type { ResourceIo } from './resource-io.ts';

/** unflushed: it has acknowledged all, but some of it may be in its memory only. */
export const Lack = { nothing: 0, unflushed: 1, unreceived: 2 } as const;
export type Lack = (typeof Lack)[keyof typeof Lack];

const EIO = 5;
const localRefs = (word: number): number =>
  ((word & (Rq.LOCAL_PENDING | Rq.LOCAL_ABORTED)) === Rq.LOCAL_PENDING ? 1 : 0) +
  ((word & Rq.COMPLETION_SUSP) !== 0 ? 1 : 0);
const netRefs = (word: number): number =>
  ((word & Net.PENDING) !== 0 ? 1 : 0) + ((word & Net.QUEUED) !== 0 ? 1 : 0);
/** What is written to such a disk may be overwritten by its resync. */
const isToBeSynced = (disk: number): boolean => disk === Disk.inconsistent || disk === Disk.outdated;
const pending = (word: number): number => ((word & Net.PENDING) !== 0 ? 1 : 0);
const inFlight = (word: number): number => ((word & (Net.SENT | Net.DONE)) === Net.SENT ? 1 : 0);
const barrierRefs = (word: number): number => ((word & (Net.EXP_BARR_ACK | Net.DONE)) === Net.EXP_BARR_ACK ? 1 : 0);

/**
 * All requests of a resource: event table, transfer log, epochs, completion, destruction. Reference counts are what the
 * words say, so that they cannot drift apart. @spec io.md 2, 3.1, 3.2
 */
export class Requests {
  readonly pool = new RequestPool();
  /** Requests put back while I/O is suspended. */
  readonly suspended: SlotQueue;
  tlHead = -1;
  tlTail = -1;
  writeHead = -1;
  writeTail = -1;
  /** Writes in the transfer log, completed or not. */
  writes = 0;
  /** current_tle_nr, current_tle_writes, dagtag_sector. */
  epoch = 0;
  epochWrites = 0;
  dagtag = 0;
  /** Of the newest write; an attach may raise `dagtag` above it. */
  lastWriteDagtag = 0;
  private readonly resource: ResourceIo;
  private reapHold = 0;

  constructor(resource: ResourceIo) {
    this.resource = resource;
    this.suspended = new SlotQueue(this.pool);
  }

  /** __req_mod: applies an event, then completes and destroys what is ready. node -1: a local event. */
  mod(slot: number, event: number, node: number): void {
    const p = this.pool;
    const connection = node < 0 ? null : this.resource.connections[node];
    const words = node < 0 ? null : p.net[node];
    const net = words === null ? 0 : words[slot];
    const local = p.local[slot];
    const row = matchRow(event, local, net, connection === null ? 0 : connection.facts.protocol);
    if (row === null) return;
    if (row.row.warn !== undefined) this.resource.env.log(LogLevel.err, row.row.warn);
    const localNow = (local & row.localKeep) | row.localSet;
    p.local[slot] = localNow;
    let refs = localRefs(localNow) - localRefs(local);
    if (words !== null && connection !== null) {
      const netNow = (net & row.netKeep) | row.netSet;
      words[slot] = netNow;
      refs += netRefs(netNow) - netRefs(net);
      p.barrierRef[slot] += barrierRefs(netNow) - barrierRefs(net);
      const peer = connection.peers[p.device[slot]];
      peer.apPending += pending(netNow) - pending(net);
      const flight = inFlight(netNow) - inFlight(net);
      if (flight !== 0) connection.addInFlight(flight * this.payload(slot));
      if ((netNow & Net.DONE) !== 0 && (net & Net.DONE) === 0) connection.requestDone();
    }
    p.completionRef[slot] += refs;
    this.settle(slot);
  }

  /** The submitter is through with the request. */
  dropSubmitterRef(slot: number): void {
    this.pool.completionRef[slot]--;
    this.settle(slot);
  }

  /** Into the transfer log, at the end. */
  append(slot: number): void {
    const p = this.pool;
    p.local[slot] |= Rq.IN_TL;
    p.tlPrev[slot] = this.tlTail;
    p.tlNext[slot] = -1;
    if (this.tlTail < 0) this.tlHead = slot;
    else p.tlNext[this.tlTail] = slot;
    this.tlTail = slot;
    if ((p.local[slot] & Rq.WRITE) === 0) return;
    p.writeNext[slot] = -1;
    if (this.writeTail < 0) this.writeHead = slot;
    else p.writeNext[this.writeTail] = slot;
    this.writeTail = slot;
    this.writes++;
  }

  /** The activity log of this device is gone; also what waits for a conflict may have held references. */
  forgetExtents(device: number): void {
    const p = this.pool;
    for (let slot = 0; slot < p.capacity; slot++) if (p.device[slot] === device) p.local[slot] &= ~Rq.IN_ACT_LOG;
  }

  /** start_new_tl_epoch. @spec io.md 3.2 */
  closeEpoch(): void {
    if (this.epochWrites === 0) return;
    this.epochWrites = 0;
    this.epoch = (this.epoch + 1) % 4294967296;
    this.resource.wakeSenders();
  }

  /** One event for every request of the transfer log (of one device, or -1 of all) towards a node, or -1 locally. */
  walk(event: number, node: number, device: number): void {
    this.reapHold++;
    for (let slot = this.tlHead; slot >= 0;) {
      const next = this.pool.tlNext[slot];
      if (device < 0 || this.pool.device[slot] === device) this.mod(slot, event, node);
      slot = next;
    }
    this.reapHold--;
    this.reapWrites();
  }

  /** SEND_CANCELED for all that is still queued for the node. */
  cancelQueued(node: number): void {
    this.reapHold++;
    const words = this.wordsOf(node);
    for (let slot = this.tlHead; slot >= 0;) {
      const next = this.pool.tlNext[slot];
      if ((words[slot] & Net.QUEUED) !== 0) this.mod(slot, RqEvent.SEND_CANCELED, node);
      slot = next;
    }
    this.reapHold--;
    this.reapWrites();
  }

  /** Is a write up to this dagtag still queued for the node? */
  awaitsSending(node: number, dagtag: number): boolean {
    const p = this.pool;
    const words = this.wordsOf(node);
    for (let slot = this.writeHead; slot >= 0 && p.dagtag[slot] <= dagtag; slot = p.writeNext[slot]) {
      if ((words[slot] & Net.QUEUED) !== 0) return true;
    }
    return false;
  }

  /** Up to this dagtag nothing is for the node any more; what is frozen is sent to it when it comes. */
  settledDagtag(node: number): number {
    const p = this.pool;
    const words = this.wordsOf(node);
    for (let slot = this.writeHead; slot >= 0; slot = p.writeNext[slot]) {
      const again = (p.local[slot] & Rq.MASTER_DONE) === 0 && (words[slot] & Net.OK) !== 0;
      if ((words[slot] & NET_MASK) !== 0 && (again || (words[slot] & Net.DONE) === 0)) return p.dagtag[slot] - p.size[slot] / 512;
    }
    return this.dagtag;
  }

  /** Has the node been sent a write that nobody was answered for? */
  hasUnanswered(node: number): boolean {
    const p = this.pool;
    const words = this.wordsOf(node);
    for (let slot = this.writeHead; slot >= 0; slot = p.writeNext[slot]) {
      if ((p.local[slot] & Rq.MASTER_DONE) === 0 && (words[slot] & Net.SENT) !== 0) return true;
    }
    return false;
  }

  /** What may a lost node lack of the writes of this device that were answered? */
  lackOfAnswered(node: number, device: number): Lack {
    const p = this.pool;
    const words = this.wordsOf(node);
    let lack: Lack = Lack.nothing;
    for (let slot = this.writeHead; slot >= 0; slot = p.writeNext[slot]) {
      const word = words[slot];
      const durable = (word & (Net.OK | Net.DONE)) === (Net.OK | Net.DONE);
      if ((p.local[slot] & Rq.MASTER_DONE) === 0 || p.device[slot] !== device || (word & NET_MASK) === 0 || durable) continue;
      const acked = (word & Net.OK) !== 0 && (word & (Net.EXP_RECEIVE_ACK | Net.EXP_WRITE_ACK)) !== 0;
      if (!acked) return Lack.unreceived;
      lack = Lack.unflushed;
    }
    return lack;
  }

  /** Has the node acknowledged writes, answered since, that no barrier ack covers? */
  hasUndurable(node: number): boolean {
    const p = this.pool;
    const words = this.wordsOf(node);
    for (let slot = this.writeHead; slot >= 0; slot = p.writeNext[slot]) {
      if ((p.local[slot] & Rq.MASTER_DONE) !== 0 && (words[slot] & (Net.OK | Net.DONE)) === Net.OK) return true;
    }
    return false;
  }

  /** May a write up to this dagtag still be on its way to the node? Of protocol A only the barrier ack tells. */
  awaitsReceipt(node: number, dagtag: number): boolean {
    const p = this.pool;
    const words = this.wordsOf(node);
    for (let slot = this.writeHead; slot >= 0 && p.dagtag[slot] <= dagtag; slot = p.writeNext[slot]) {
      const word = words[slot];
      const acked = (word & (Net.EXP_RECEIVE_ACK | Net.EXP_WRITE_ACK)) !== 0 && (word & (Net.QUEUED | Net.PENDING)) === 0;
      if ((word & NET_MASK) !== 0 && (word & Net.DONE) === 0 && !acked) return true;
    }
    return false;
  }

  private wordsOf(node: number) {
    const words = this.pool.net[node];
    assert(words !== null, 'node without words');
    return words;
  }

  /** Walks that apply events one by one wrap themselves in these two, so that no entry goes away under them. */
  beginWalk(): void {
    this.reapHold++;
  }

  endWalk(): void {
    this.reapHold--;
    this.reapWrites();
  }

  /** Gives a request that never reached the transfer log, or a read that left it, back to its gate. @spec io.md 2.7 */
  putBack(slot: number): void {
    const p = this.pool;
    const device = this.resource.devices[p.device[slot]];
    p.local[slot] &= Rq.WRITE | Rq.UNMAP | Rq.ZEROES | Rq.RAHEAD | Rq.FLUSH;
    p.generation[slot] = (p.generation[slot] + 1) & 0x7fffffff;
    p.completionRef[slot] = p.barrierRef[slot] = p.errno[slot] = 0;
    for (let node = 0; node < NODES_MAX; node++) {
      const words = p.net[node];
      if (words !== null) words[slot] = 0;
    }
    device.leaveGate(slot);
    if (this.resource.facts.suspended && !device.facts.errIo) this.suspended.push(slot);
    else device.enterGate(slot);
  }

  /** ap_in_flight counts a discard as one sector. */
  payload(slot: number): number {
    return (this.pool.local[slot] & (Rq.UNMAP | Rq.ZEROES)) !== 0 ? 1 : this.pool.size[slot] / 512;
  }

  private settle(slot: number): void {
    const p = this.pool;
    assert(p.completionRef[slot] >= 0 && p.barrierRef[slot] >= 0, 'request reference below zero');
    if (p.completionRef[slot] > 0) return;
    if ((p.local[slot] & Rq.MASTER_DONE) === 0 && !this.complete(slot)) return;
    if (!this.finished(slot)) return;
    if ((p.local[slot] & (Rq.WRITE | Rq.IN_TL)) === (Rq.WRITE | Rq.IN_TL)) this.reapWrites();
    else this.destroy(slot);
  }

  /** drbd_req_complete; false: it was put back. @spec io.md 2.5 */
  private complete(slot: number): boolean {
    const p = this.pool;
    const device = this.resource.devices[p.device[slot]];
    const write = (p.local[slot] & Rq.WRITE) !== 0;
    const isHere = (p.local[slot] & Rq.LOCAL_OK) !== 0 && !(write && isToBeSynced(device.facts.disk));
    let ok = isHere || (write ? this.keptByPeer(slot) : this.nodesWith(slot, Net.OK) !== 0);
    if (write && p.size[slot] > 0 && (p.local[slot] & Rq.IN_TL) !== 0 && p.epoch[slot] === this.epoch) {
      this.closeEpoch();
    }
    if (device.facts.errIo) ok = false;
    else if (!ok && !write && (p.local[slot] & (Rq.RAHEAD | Rq.IN_TL)) === Rq.IN_TL) {
      this.unlink(slot);
      this.putBack(slot);
      return false;
    }
    const errno = ok && this.resource.facts.completionQuorum ? 0 : p.errno[slot] !== 0 ? p.errno[slot] : EIO;
    p.local[slot] |= Rq.MASTER_DONE;
    if (write && errno === 0 && p.size[slot] > 0 && (p.local[slot] & Rq.LOCAL_OK) === 0) this.resource.env.answeredElsewhere(device.vnr);
    device.masterDone(slot, errno);
    return true;
  }

  /** What only a disk that is not good has is overwritten by its resync, from a disk that may be this one, which has failed to write it. */
  private keptByPeer(slot: number): boolean {
    const device = this.pool.device[slot];
    const nodes = this.nodesWith(slot, Net.OK);
    const { connectionList } = this.resource;
    for (let i = 0; nodes !== 0 && i < connectionList.length; i++) {
      const { nodeId, peers } = connectionList[i];
      if ((nodes & (1 << nodeId)) !== 0 && !isToBeSynced(peers[device].facts.pdisk)) return true;
    }
    return false;
  }

  private finished(slot: number): boolean {
    const p = this.pool;
    return (p.local[slot] & (Rq.MASTER_DONE | Rq.LOCAL_PENDING)) === Rq.MASTER_DONE &&
      p.completionRef[slot] === 0 && p.barrierRef[slot] === 0;
  }

  /** Writes go in the order of the transfer log. @spec io.md 2.8 */
  private reapWrites(): void {
    if (this.reapHold > 0) return;
    const p = this.pool;
    while (this.writeHead >= 0 && this.finished(this.writeHead)) {
      const slot = this.writeHead;
      this.writeHead = p.writeNext[slot];
      if (this.writeHead < 0) this.writeTail = -1;
      this.writes--;
      const device = this.resource.devices[p.device[slot]];
      const ok = this.nodesWith(slot, Net.OK);
      const freed = device.writeDestroyed(slot, ok, this.nodesWith(slot, Net.SIS) & ok);
      this.resource.peerAcks.written(p.dagtag[slot], ok, this.knownTo(slot),
        (p.local[slot] & Rq.LOCAL_OK) !== 0, freed);
      this.destroy(slot);
    }
  }

  private destroy(slot: number): void {
    if ((this.pool.local[slot] & Rq.IN_TL) !== 0) this.unlink(slot);
    this.pool.release(slot);
    this.resource.requestGone();
  }

  private unlink(slot: number): void {
    const p = this.pool;
    const next = p.tlNext[slot];
    const prev = p.tlPrev[slot];
    if (prev < 0) this.tlHead = next;
    else p.tlNext[prev] = next;
    if (next < 0) this.tlTail = prev;
    else p.tlPrev[next] = prev;
    p.local[slot] &= ~Rq.IN_TL;
    const { connectionList } = this.resource;
    for (let i = 0; i < connectionList.length; i++) connectionList[i].entryGone(slot, next);
  }

  /** Mask of the nodes with all these bits. */
  nodesWith(slot: number, bits: number): number {
    let mask = 0;
    const { connectionList } = this.resource;
    for (let i = 0; i < connectionList.length; i++) {
      const { nodeId } = connectionList[i];
      if (((this.pool.net[nodeId] as Uint16Array)[slot] & bits) === bits) mask |= 1 << nodeId;
    }
    return mask;
  }

  /** Nodes that got the write on their present connection: a peer forgets all of the one before. */
  private knownTo(slot: number): number {
    let mask = this.nodesWith(slot, Net.SENT);
    const { connectionList } = this.resource;
    for (let i = 0; i < connectionList.length; i++) {
      const connection = connectionList[i];
      const sentMs = this.pool.sentMs[connection.nodeId] as Float64Array;
      if (connection.link === null || sentMs[slot] < connection.upSinceMs) mask &= ~(1 << connection.nodeId);
    }
    return mask;
  }

  /** Does the request concern the node and wait for anything? For the check of acks. */
  concerns(slot: number, node: number): boolean {
    const words = this.pool.net[node];
    return words !== null && (words[slot] & NET_MASK) !== 0;
  }

  isRead(slot: number): boolean {
    return this.pool.op[slot] === BioOp.read;
  }
}
