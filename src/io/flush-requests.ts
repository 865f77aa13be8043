// SPDX-License-Identifier: GPL-2.0-or-later
import { Disk, Role } from '../state/states.ts';
import { Feature } from '../wire/features.ts';
import type { ConnectionIo } from './connection-io.ts';
import type { DeviceIo } from './device-io.ts';
import { Cmd } from './packet-out.ts';
import { NODES_MAX } from './request-pool.ts';
import type { ResourceIo } from './resource-io.ts';

const VERSION = 123;

/**
 * P_FLUSH_REQUESTS: a new sync target may end only when all writes that Primaries had sent before have met the bitmaps.
 * @spec io.md 4.5, uuid.md 7.3
 */
export class FlushRequests {
  private readonly resource: ResourceIo;
  /** As target: current sequence, and per Primary the nodes whose answer for it is missing. */
  private sequence = 0;
  private readonly pending = new Int32Array(NODES_MAX);
  /** As Primary, per target: dagtag to pass, its sequence, whom we have told; sequence 0: nothing to do. */
  private readonly waitDagtag = new Float64Array(NODES_MAX);
  private readonly waitSequence = new Float64Array(NODES_MAX);
  private readonly toldMask = new Int32Array(NODES_MAX);

  constructor(resource: ResourceIo) {
    this.resource = resource;
  }

  /** We became SyncTarget or PausedSyncT of somebody: who is connected with good data now has to answer. */
  ask(): void {
    this.sequence++;
    this.pending.fill(0);
    const upToDate = this.nodes((c) => c.anyDisk(Disk.upToDate));
    for (const c of this.resource.connectionList) {
      if (!speaks(c) || c.facts.peerRole !== Role.primary) continue;
      this.pending[c.nodeId] = upToDate | 1 << c.nodeId;
      c.notify(Cmd.FLUSH_REQUESTS, null, this.sequence, 0);
    }
  }

  /** Is an answer missing for the end of this device's resync? */
  outstanding(device: DeviceIo): boolean {
    for (const primary of this.resource.connectionList) {
      if (this.pending[primary.nodeId] === 0) continue;
      // Lost: its clean-up sets the bits of what it left unsettled, and then forgets it here.
      if (!primary.up) return true;
      if (primary.facts.peerRole !== Role.primary) continue;
      const due = this.nodes((c) => c === primary || c.peers[device.index].facts.pdisk === Disk.upToDate);
      if ((this.pending[primary.nodeId] & due) !== 0) return true;
    }
    return false;
  }

  /** P_FLUSH_REQUESTS_ACK from `from`, about `primary`. */
  answer(from: number, sequence: number, primary: number): string {
    if (primary >= NODES_MAX) return 'no such node';
    const { questions } = this.resource;
    if (questions.isOurs(sequence)) questions.answer(from, sequence);
    if (sequence !== this.sequence) return '';
    this.pending[primary] &= ~(1 << from);
    this.recheck();
    return '';
  }

  /** Who is no good source any more owes no answer, also when it becomes one again: it has lost what it was told. */
  factsChanged(): void {
    const upToDate = this.nodes((c) => c.anyDisk(Disk.upToDate));
    let fewer = false;
    for (const c of this.resource.connectionList) {
      const left = this.pending[c.nodeId] & (upToDate | 1 << c.nodeId);
      fewer ||= left !== this.pending[c.nodeId];
      this.pending[c.nodeId] = left;
    }
    if (fewer) this.recheck();
    // Who is connected anew has no peer ack to wait for, and a target that goes on may wait for its answer.
    for (let target = 0; target < NODES_MAX; target++) if (this.isSyncing(target)) this.tell(target);
  }

  /** Fewer answers may be missing than before: resyncs that waited for them end. */
  recheck(): void {
    for (const c of this.resource.connectionList) for (const peer of c.peers) if (!peer.device.removed) peer.target.checkDone();
  }

  private nodes(which: (c: ConnectionIo) => boolean): number {
    let mask = 0;
    for (const c of this.resource.connectionList) if (speaks(c) && which(c)) mask |= 1 << c.nodeId;
    return mask;
  }

  /** P_FLUSH_REQUESTS at a Primary. */
  requested(target: number, sequence: number): string {
    if (!(sequence >= 1)) return 'flush sequence 0';
    const { questions } = this.resource;
    if (questions.isOurs(sequence)) {
      questions.requested(this.resource.connections[target]!, sequence);
      return '';
    }
    this.waitSequence[target] = sequence;
    this.waitDagtag[target] = this.resource.requests.lastWriteDagtag;
    this.toldMask[target] = 0;
    this.resource.peerAcks.flush();
    this.tellTargets();
    return '';
  }

  /**
   * P_FLUSH_FORWARD: the peer acks before it are processed; the target hears so behind what they caused. A frozen Primary sends
   * none before this target is good: what it has none of yet the target gets from us anyway, if we are its source.
   */
  forwarded(primary: number, sequence: number, initiator: number): string {
    if (initiator >= NODES_MAX) return 'no such node';
    const target = this.resource.connections[initiator];
    if (target === null || !target.up) return '';
    this.resource.connections[primary]!.writes.tellUnacked(target);
    target.notify(Cmd.FLUSH_REQUESTS_ACK, null, sequence, primary);
    return '';
  }

  /** Peer acks went out up to each connection's lastPeerAckDagtag, or writes: who may be told now. */
  tellTargets(): void {
    for (let target = 0; target < NODES_MAX; target++) {
      if (this.waitSequence[target] !== 0) this.tell(target);
    }
  }

  /** The connection is gone, with all that it waited for. */
  forgetNode(node: number): void {
    this.waitSequence[node] = 0;
    this.pending[node] = 0;
    for (let other = 0; other < NODES_MAX; other++) {
      this.pending[other] &= ~(1 << node);
      if (this.isSyncing(other)) this.toldMask[other] &= ~(1 << node);
    }
    this.recheck();
  }

  /**
   * What is frozen has no peer ack before this target is UpToDate, if its quorum needs it. The bitmap that it got has these
   * writes, or it was told of them since.
   */
  private onlyFrozen(target: number): boolean {
    return this.resource.facts.suspended && !this.resource.requests.awaitsSending(target, this.waitDagtag[target]);
  }

  /** It has the peer acks that the target waits for, or is the target, or lets it have what is frozen without them. */
  private isThrough(c: ConnectionIo, target: number): boolean {
    const dagtag = this.waitDagtag[target];
    if (c.lastPeerAckDagtag >= dagtag) return true;
    if (!this.onlyFrozen(target)) return false;
    return c.nodeId === target || (isOfOurKind(c) && !this.resource.requests.awaitsReceipt(c.nodeId, dagtag));
  }

  /** A target that has asked, and may still wait for answers. */
  private isSyncing(target: number): boolean {
    const c = this.resource.connections[target];
    return this.waitSequence[target] !== 0 && c !== null && c.peers.some((peer) => peer.facts.pdisk === Disk.inconsistent);
  }

  private tell(target: number): void {
    const { resource } = this;
    for (const c of resource.connectionList) {
      const bit = 1 << c.nodeId;
      if (!speaks(c) || (this.toldMask[target] & bit) !== 0) continue;
      if (!this.isThrough(c, target)) continue;
      this.toldMask[target] |= bit;
      if (c.nodeId === target) c.notify(Cmd.FLUSH_REQUESTS_ACK, null, this.waitSequence[target], resource.nodeId);
      else c.writes.send(Cmd.FLUSH_FORWARD, null, this.waitSequence[target], target, 0, 0);
    }
  }
}

/** Of our kind: genuine DRBD answers only after the peer acks. */
export const isOfOurKind = ({ link }: ConnectionIo): boolean => ((link?.features ?? 0) & Feature.reconcileBits) !== 0;

export const speaks = (c: ConnectionIo): boolean => c.up && c.link !== null && c.link.version >= VERSION;
