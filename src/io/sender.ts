// SPDX-License-Identifier: GPL-2.0-or-later
import { BioFlag, BioOp } from '../host/block.ts';
import type { Timer } from '../host/clock.ts';
import type { PeerLink } from '../host/link.ts';
import { Feature } from '../wire/features.ts';
import { VNR_NONE } from '../wire/header.ts';
import { DpFlag } from '../wire/packets/data.ts';
import type { ConnectionIo } from './connection-io.ts';
import { grown, grownF } from './intervals.ts';
import { Net, Rq, RqEvent } from './mod.ts';
import { Cmd, lastCommit, sendAck, sendBlock, sendEmpty, sendNumber, sendRange, sendTrim, sendWords } from './packet-out.ts';
import type { PeerDeviceIo } from './peer-device-io.ts';

/** send.current_dagtag after connect: no next write can start there. @spec io.md 3.8 */
const DAGTAG_GAP = 2049;

/** A barrier with no write behind it waits so long for one to ride with: its ack only tells what to forget. */
const BARRIER_DELAY_MS = 5;

/** The sender of one connection: walks the transfer log in order. @spec io.md 1.7, 3.3 */
export class Sender {
  /** First entry that may be queued for this peer, -1: all was seen. */
  next = -1;
  /** It begins anew at the head of the transfer log once nothing is on its way. */
  private restartDue = false;
  /** send.current_epoch_nr, current_epoch_writes, seen_any_write_yet, current_dagtag. */
  epoch = 0;
  epochWrites = 0;
  seenAnyWrite = false;
  dagtag = -1;
  /** Writes sent since the last unplug hint. */
  private batch = 0;
  /** The newest dagtag is to be told: a volume's peer became a receiver, or an older one went out last. */
  dagtagDue = false;
  /** Barriers not yet acked, and when the last one went out. */
  barriersUnacked = 0;
  lastBarrierMs = 0;
  /** A barrier waits for company; it has waited long enough. */
  private barrierTimer: Timer | null = null;
  private barrierDue = false;
  private readonly connection: ConnectionIo;
  /** Requests whose payload is on its way, in order. */
  private flightSlot = new Int32Array(256);
  private flightPosition = new Float64Array(256);
  private flightHead = 0;
  private flightCount = 0;

  constructor(connection: ConnectionIo) {
    this.connection = connection;
  }

  reset(): void {
    this.next = -1;
    this.epochWrites = this.barriersUnacked = this.flightCount = this.batch = 0;
    this.seenAnyWrite = this.dagtagDue = this.barrierDue = this.restartDue = false;
    this.barrierTimer?.cancel();
    this.barrierTimer = null;
    this.dagtag = this.connection.resource.requests.dagtag - DAGTAG_GAP;
  }

  get barrierOutstanding(): boolean {
    return this.barriersUnacked > 0 || this.epochWrites > 0 || this.next >= 0 || this.restartDue;
  }

  /** Requests were marked queued again anywhere in the transfer log: so is what is on its way, until it is out. */
  restart(): void {
    this.restartDue = true;
    this.connection.resource.wakeSenders();
  }

  queued(slot: number): void {
    if (this.next < 0) this.next = slot;
  }

  gone(slot: number, next: number): void {
    if (this.next === slot) this.next = next;
  }

  /** Sends what is queued, then closes epochs that are over. */
  pump(): void {
    const { link, resource, nodeId } = this.connection;
    if (link === null) return;
    const { requests } = resource;
    if (this.restartDue) {
      if (this.flightCount > 0) return;
      this.restartDue = false;
      this.next = requests.tlHead;
    }
    for (let slot = this.next; slot >= 0; slot = this.next) {
      const words = requests.pool.net[nodeId] as Uint16Array;
      if ((words[slot] & Net.QUEUED) === 0) {
        this.next = requests.pool.tlNext[slot];
        continue;
      }
      if (!this.send(link, slot)) return;
      // The event may have taken the entry out of the log, and then moved `next` already.
      if (this.next === slot) this.next = requests.pool.tlNext[slot];
    }
    this.unplug(link);
    if (this.dagtagDue && !this.sendDagtag(link, requests.dagtag)) return;
    if (this.seenAnyWrite && this.epoch !== requests.epoch) this.endOfEpoch(link, requests.epoch);
  }

  /**
   * Nothing follows for now. Whoever waits for what a barrier ack sets free does not wait for company as well; and with
   * writes on their way a barrier in front of others would make the peer stop in the middle of a batch.
   */
  private endOfEpoch(link: PeerLink, epoch: number): void {
    const { resource } = this.connection;
    const atOnce = this.epochWrites === 0 || this.barrierDue || resource.barriersUrgent || this.connection.awaitsAcks;
    if (atOnce) this.closeEpoch(link, epoch);
    else this.barrierTimer ??= resource.env.clock.timer('P_BARRIER', BARRIER_DELAY_MS, this.barrierTimeout);
  }

  private readonly barrierTimeout = (): void => {
    this.barrierTimer = null;
    this.barrierDue = true;
    this.connection.resource.wakeSenders();
  };

  /** Behind the last of several writes: a hint only, left out without room. @spec io.md 3.7 */
  private unplug(link: PeerLink): void {
    if (this.batch > 1) sendEmpty(link.data, Cmd.UNPLUG_REMOTE, VNR_NONE);
    this.batch = 0;
  }

  /** All up to this position left our memory. */
  handedOver(position: number): void {
    const { requests } = this.connection.resource;
    requests.beginWalk();
    while (this.flightCount > 0 && this.flightPosition[this.flightHead] <= position) {
      const slot = this.flightSlot[this.flightHead];
      this.flightHead = (this.flightHead + 1) % this.flightSlot.length;
      this.flightCount--;
      requests.mod(slot, RqEvent.HANDED_OVER_TO_NETWORK, this.connection.nodeId);
    }
    requests.endWalk();
    if (this.restartDue) this.connection.resource.wakeSenders();
  }

  private send(link: PeerLink, slot: number): boolean {
    const { pool } = this.connection.resource.requests;
    if ((pool.local[slot] & Rq.WRITE) === 0) return this.sendRead(link, slot);
    const words = pool.net[this.connection.nodeId] as Uint16Array;
    return (words[slot] & Net.EXP_BARR_ACK) !== 0 ? this.sendWrite(link, slot) : this.sendOutOfSync(link, slot);
  }

  private sendWrite(link: PeerLink, slot: number): boolean {
    const { resource, nodeId, peers } = this.connection;
    const { pool } = resource.requests;
    const peer = peers[pool.device[slot]];
    const before = pool.dagtag[slot] - pool.size[slot] / 512;
    if (!this.seenAnyWrite) {
      this.seenAnyWrite = true;
      this.epoch = pool.epoch[slot];
      this.epochWrites = 0;
    }
    if (!this.closeEpoch(link, pool.epoch[slot])) return false;
    if (before !== this.dagtag && !this.sendDagtag(link, before)) return false;
    if (peer.wasAhead) {
      peer.wasAhead = false;
      resource.env.sendState(peer.device.vnr, nodeId);
    }
    if (!this.sendData(link, peer, slot)) return false;
    if (!this.isHere(slot)) peer.device.bits.set(peer, pool.sector[slot], pool.size[slot]);
    this.epochWrites++;
    this.batch++;
    this.wasTold(pool.dagtag[slot]);
    const sentMs = pool.sentMs[nodeId] as Float64Array;
    sentMs[slot] = resource.env.clock.nowMs();
    return true;
  }

  private sendData(link: PeerLink, peer: PeerDeviceIo, slot: number): boolean {
    const { resource, nodeId } = this.connection;
    const { pool } = resource.requests;
    const flags = this.dpFlags(link, peer, slot);
    const { vnr } = peer.device;
    const op = pool.op[slot];
    const seq = peer.nextSeq();
    if (op === BioOp.discard || op === BioOp.writeZeroes) {
      const cmd = (flags & DpFlag.zeroes) !== 0 ? Cmd.ZEROES : Cmd.TRIM;
      if (!sendTrim(link.data, cmd, vnr, pool.sector[slot], pool.generation[slot], slot + 1, seq, flags, pool.size[slot])) {
        peer.undoSeq();
        return false;
      }
      resource.requests.mod(slot, RqEvent.HANDED_OVER_TO_NETWORK, nodeId);
      return true;
    }
    // With protocol A the write may be over, and its memory used anew, while the socket still sends.
    const lasting = ((pool.net[nodeId] as Uint16Array)[slot] & (Net.EXP_RECEIVE_ACK | Net.EXP_WRITE_ACK)) !== 0;
    if (!sendBlock(link.data, resource.env.crypto, Cmd.DATA, vnr, pool.sector[slot], pool.generation[slot], slot + 1,
      seq, flags, peer.device.arena, pool.offset[slot], pool.size[slot], link.integrityAlg, lasting)) {
      peer.undoSeq();
      return false;
    }
    peer.sent += pool.size[slot] / 512;
    this.pushFlight(slot, lastCommit.position);
    return true;
  }

  /** Not what was frozen while the own disk was away, and goes out when another one is there: nobody else knows. */
  private isHere(slot: number): boolean {
    return (this.connection.resource.requests.pool.local[slot] & (Rq.LOCAL_PENDING | Rq.LOCAL_OK)) !== 0;
  }

  /** @spec io.md 1.8 */
  private dpFlags(link: PeerLink, peer: PeerDeviceIo, slot: number): number {
    const { pool } = this.connection.resource.requests;
    const bio = pool.flags[slot];
    const op = pool.op[slot];
    const net = (pool.net[this.connection.nodeId] as Uint16Array)[slot];
    const inSync = peer.inSyncState && this.isHere(slot) ? DpFlag.maySetInSync : 0;
    let flags = inSync;
    if ((bio & BioFlag.sync) !== 0) flags |= DpFlag.rwSync;
    if ((bio & BioFlag.fua) !== 0) flags |= DpFlag.fua;
    if ((bio & BioFlag.preflush) !== 0) flags |= DpFlag.flush;
    if (op === BioOp.discard) flags |= DpFlag.discard;
    if (op === BioOp.writeZeroes) {
      const zeroes = (link.features & Feature.wzeroes) !== 0;
      flags |= zeroes ? DpFlag.zeroes : DpFlag.discard;
      if (zeroes && (bio & BioFlag.unmap) !== 0) flags |= DpFlag.discard;
    }
    if ((net & Net.EXP_RECEIVE_ACK) !== 0) flags |= DpFlag.sendReceiveAck;
    if ((net & Net.EXP_WRITE_ACK) !== 0 || inSync !== 0) flags |= DpFlag.sendWriteAck;
    return flags;
  }

  /** The own bit is set before the peer is told; told unless it was set already and nothing older is on its way. */
  private sendOutOfSync(link: PeerLink, slot: number): boolean {
    const { resource, nodeId, peers } = this.connection;
    const { requests } = resource;
    const { pool } = requests;
    const peer = peers[pool.device[slot]];
    if (this.seenAnyWrite && !this.closeEpoch(link, pool.epoch[slot])) return false;
    if (!peer.wasAhead) {
      peer.wasAhead = true;
      resource.env.sendState(peer.device.vnr, nodeId);
    }
    const sector = pool.sector[slot];
    const size = pool.size[slot];
    if (!sendRange(link.data, Cmd.OUT_OF_SYNC, peer.device.vnr, sector, size)) return false;
    peer.device.bits.set(peer, sector, size);
    requests.mod(slot, RqEvent.OOS_HANDED_TO_NETWORK, nodeId);
    return true;
  }

  private sendRead(link: PeerLink, slot: number): boolean {
    const { resource, nodeId, peers } = this.connection;
    const { pool } = resource.requests;
    const { vnr } = peers[pool.device[slot]].device;
    if (this.seenAnyWrite && !this.closeEpoch(link, pool.epoch[slot])) return false;
    if (!sendAck(link.data, Cmd.DATA_REQUEST, vnr, pool.sector[slot], pool.generation[slot], slot + 1,
      pool.size[slot], 0)) return false;
    const sentMs = pool.sentMs[nodeId] as Float64Array;
    sentMs[slot] = resource.env.clock.nowMs();
    resource.requests.mod(slot, RqEvent.HANDED_OVER_TO_NETWORK, nodeId);
    return true;
  }

  /** Goes over to another epoch, with P_BARRIER if the old one had writes. */
  private closeEpoch(link: PeerLink, epoch: number): boolean {
    if (this.epoch === epoch) return true;
    if (this.epochWrites > 0) {
      if (!sendWords(link.data, Cmd.BARRIER, this.epoch, 0)) return false;
      this.epochWrites = 0;
      this.barriersUnacked++;
      this.lastBarrierMs = this.connection.resource.env.clock.nowMs();
    }
    this.epoch = epoch;
    this.barrierDue = false;
    return true;
  }

  private sendDagtag(link: PeerLink, dagtag: number): boolean {
    if (!sendNumber(link.data, Cmd.DAGTAG, dagtag, -1)) return false;
    this.wasTold(dagtag);
    return true;
  }

  /** Not the newest: one that is sent again, or this peer needs nothing of what follows. The newest is due then. */
  private wasTold(dagtag: number): void {
    this.dagtag = dagtag;
    this.dagtagDue = dagtag !== this.connection.resource.requests.dagtag;
  }

  private pushFlight(slot: number, position: number): void {
    if (this.flightCount === this.flightSlot.length) this.growFlight();
    const at = (this.flightHead + this.flightCount++) % this.flightSlot.length;
    this.flightSlot[at] = slot;
    this.flightPosition[at] = position;
  }

  private growFlight(): void {
    const { flightSlot, flightPosition, flightHead } = this;
    this.flightSlot = grown(flightSlot);
    this.flightPosition = grownF(flightPosition);
    for (let i = 0; i < this.flightCount; i++) {
      this.flightSlot[i] = flightSlot[(flightHead + i) % flightSlot.length];
      this.flightPosition[i] = flightPosition[(flightHead + i) % flightSlot.length];
    }
    this.flightHead = 0;
  }
}

