// SPDX-License-Identifier: GPL-2.0-or-later
import { LogLevel } from '../host/log.ts';
import { Disk } from '../state/states.ts';
import type { ConnectionIo } from './connection-io.ts';
import { Net, NET_MASK, Rq, RqEvent } from './mod.ts';
import { Cmd } from './packet-out.ts';
import type { PeerDeviceIo } from './peer-device-io.ts';

/** What a block ack does to its request. */
const eventOfAck = new Map<number, number>([
  [Cmd.RECV_ACK, RqEvent.RECV_ACKED_BY_PEER],
  [Cmd.WRITE_ACK, RqEvent.WRITE_ACKED_BY_PEER],
  [Cmd.RS_WRITE_ACK, RqEvent.WRITE_ACKED_BY_PEER_AND_SIS],
  [Cmd.WRITE_ACK_IN_SYNC, RqEvent.WRITE_ACKED_BY_PEER_AND_SIS],
]);

/** Acks for our own requests. @spec io.md 2.4, 3.4 */
export class AckReceiver {
  private readonly connection: ConnectionIo;
  /** Oldest write of the transfer log that may not be done for this peer; a hint, -1: look from the start. */
  private notDone = -1;

  constructor(connection: ConnectionIo) {
    this.connection = connection;
  }

  gone(slot: number, _next: number): void {
    if (this.notDone === slot) this.notDone = -1;
  }

  /** P_RECV_ACK, P_WRITE_ACK and their like, for a write of ours. */
  blockAck(peer: PeerDeviceIo, cmd: number, sector: number, idHigh: number, idLow: number): string {
    const slot = this.find(peer, sector, idHigh, idLow, true);
    if (slot < 0) return 'failed to find request';
    const { requests, facts, flushRequests } = this.connection.resource;
    requests.mod(slot, eventOfAck.get(cmd) as number, this.connection.nodeId);
    if (facts.suspended) flushRequests.tellTargets();
    return '';
  }

  /** P_NEG_ACK: a request that is over already (A, B) still leaves its mark. */
  negAck(peer: PeerDeviceIo, sector: number, idHigh: number, idLow: number, size: number): string {
    const { env, requests } = this.connection.resource;
    if (peer.facts.pdisk === Disk.upToDate) peer.gotNegAck = true;
    const slot = this.find(peer, sector, idHigh, idLow, true);
    if (slot >= 0) {
      peer.device.refused(slot);
      requests.mod(slot, RqEvent.NEG_ACKED, this.connection.nodeId);
    } else peer.device.bits.set(peer, sector, size);
    env.gotNegAck(peer.device.vnr, this.connection.nodeId);
    return '';
  }

  /** P_NEG_DREPLY. */
  negDataReply(peer: PeerDeviceIo, sector: number, idHigh: number, idLow: number, size: number): string {
    const slot = this.find(peer, sector, idHigh, idLow, false);
    if (slot < 0) return 'failed to find request';
    this.connection.resource.env.log(LogLevel.warning,
      `Got NegDReply; Sector ${sector}s, len ${size}.`);
    this.connection.resource.requests.mod(slot, RqEvent.NEG_ACKED, this.connection.nodeId);
    return '';
  }

  /** P_DATA_REPLY: the bio ends with the payload where it lies; it is free afterwards. */
  dataReply(peer: PeerDeviceIo, sector: number, idHigh: number, idLow: number, payload: number, size: number): string {
    const { requests } = this.connection.resource;
    const { pool } = requests;
    const { device } = peer;
    const slot = this.find(peer, sector, idHigh, idLow, false);
    if (slot < 0 || payload < 0 || pool.size[slot] !== size) {
      if (payload >= 0) device.arena.free(payload, size);
      return slot < 0 ? 'failed to find request' : 'reply of another size than requested';
    }
    peer.received += size / 512;
    pool.offset[slot] = payload;
    requests.mod(slot, RqEvent.DATA_RECEIVED, this.connection.nodeId);
    device.arena.free(payload, size);
    return '';
  }

  /** P_BARRIER_ACK. @spec io.md 3.4 */
  barrierAck(barrier: number, setSize: number): string {
    const { sender } = this.connection;
    const first = this.oldestNotDone();
    const { pool } = this.connection.resource.requests;
    if (first < 0 || sender.barriersUnacked === 0) return `BAD! BarrierAck #${barrier} received, expected nothing!`;
    if (pool.epoch[first] !== barrier) {
      return `BAD! BarrierAck #${barrier} received, expected #${pool.epoch[first]}!`;
    }
    const count = this.countEpoch(first, -1);
    if (count !== setSize) {
      return `BAD! BarrierAck #${barrier} received with n_writes=${setSize}, expected n_writes=${count}!`;
    }
    this.release(first, count);
    sender.barriersUnacked--;
    this.connection.resource.checkDrained();
    return '';
  }

  /** P_CONFIRM_STABLE: the oldest requests of the open epoch; our peer acks then free the peer's extents. */
  confirmStable(oldHigh: number, oldLow: number, youngHigh: number, youngLow: number, setSize: number): string {
    const { requests, peerAcks } = this.connection.resource;
    const first = this.oldestNotDone();
    const youngest = requests.pool.find(youngHigh, youngLow);
    if (first < 0 || first !== requests.pool.find(oldHigh, oldLow) || youngest < 0) {
      return 'BAD! ConfirmedStable names another request than the oldest';
    }
    const count = this.countEpoch(first, youngest);
    if (count !== setSize) return `BAD! ConfirmedStable with n_writes=${setSize}, expected n_writes=${count}!`;
    this.release(first, count);
    peerAcks.flush();
    return '';
  }

  /** Why the connection has timed out, '' if it has not. @spec io.md 11.4 */
  overdue(): string {
    const { facts, resource, sender, nodeId } = this.connection;
    const limitMs = facts.koCount * facts.timeout * 100;
    if (limitMs === 0) return '';
    const { pool, tlHead } = resource.requests;
    const now = resource.env.clock.nowMs();
    const words = pool.net[nodeId] as Uint16Array;
    const sent = pool.sentMs[nodeId] as Float64Array;
    for (let slot = tlHead; slot >= 0; slot = pool.tlNext[slot]) {
      if ((words[slot] & (Net.SENT | Net.DONE)) !== Net.SENT) continue;
      if (now <= sent[slot] + limitMs) return '';
      if ((words[slot] & Net.PENDING) !== 0) {
        return `Remote failed to finish a request within ${Math.floor(now - sent[slot])}ms > ko-count (${facts.koCount}) ` +
          `* timeout (${facts.timeout} * 0.1s)`;
      }
      const barrierSent = pool.epoch[slot] !== sender.epoch && sender.barriersUnacked > 0;
      return barrierSent && now > sender.lastBarrierMs + limitMs
        ? `Remote failed to answer a P_BARRIER (sent at ${Math.floor(sender.lastBarrierMs)} ms) within ` +
          `${Math.floor(now - sender.lastBarrierMs)}ms > ko-count (${facts.koCount}) * timeout (${facts.timeout} * 0.1s)` : '';
    }
    return '';
  }

  /**
   * A block_id is only believed if it is alive, of this volume, at this sector, of this kind and concerns this peer. A read
   * must have been sent; of a write we may not know yet that it was.
   */
  private find(peer: PeerDeviceIo, sector: number, idHigh: number, idLow: number, write: boolean): number {
    const { requests } = this.connection.resource;
    const { pool } = requests;
    const slot = pool.find(idHigh, idLow);
    if (slot < 0 || pool.device[slot] !== peer.device.index || pool.sector[slot] !== sector) return -1;
    if (((pool.local[slot] & Rq.WRITE) !== 0) !== write) return -1;
    if (!write && ((pool.net[this.connection.nodeId] as Uint16Array)[slot] & Net.SENT) === 0) return -1;
    return requests.concerns(slot, this.connection.nodeId) ? slot : -1;
  }

  /** Oldest write that concerns the peer and is not done; out-of-sync-only ones expect no barrier ack. */
  private oldestNotDone(): number {
    const { requests } = this.connection.resource;
    const { pool } = requests;
    const words = pool.net[this.connection.nodeId] as Uint16Array;
    for (let slot = this.notDone >= 0 ? this.notDone : requests.writeHead; slot >= 0; slot = pool.writeNext[slot]) {
      if (!expectsBarrier(words[slot])) continue;
      this.notDone = slot;
      return slot;
    }
    this.notDone = -1;
    return -1;
  }

  /** Writes of first's epoch from it on; up to and including `last`, if that is of the epoch. */
  private countEpoch(first: number, last: number): number {
    const { pool } = this.connection.resource.requests;
    const words = pool.net[this.connection.nodeId] as Uint16Array;
    let count = 0;
    for (let slot = first; slot >= 0 && pool.epoch[slot] === pool.epoch[first]; slot = pool.writeNext[slot]) {
      if (expectsBarrier(words[slot])) count++;
      if (slot === last) return count;
    }
    return last < 0 ? count : -1;
  }

  private release(first: number, count: number): void {
    const { requests } = this.connection.resource;
    const { pool } = requests;
    const words = pool.net[this.connection.nodeId] as Uint16Array;
    requests.beginWalk();
    let left = count;
    for (let slot = first; left > 0; slot = pool.writeNext[slot]) {
      if (!expectsBarrier(words[slot])) continue;
      requests.mod(slot, RqEvent.BARRIER_ACKED, this.connection.nodeId);
      left--;
    }
    this.notDone = -1;
    requests.endWalk();
  }
}

const expectsBarrier = (word: number): boolean =>
  (word & NET_MASK) !== 0 && (word & (Net.EXP_BARR_ACK | Net.DONE)) === Net.EXP_BARR_ACK;
