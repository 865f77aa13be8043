// SPDX-License-Identifier: GPL-2.0-or-later
import { Role } from '../state/states.ts';
import type { ConnectionIo } from './connection-io.ts';
import { isOfOurKind, speaks } from './flush-requests.ts';
import { Cmd } from './packet-out.ts';
import { NODES_MAX } from './request-pool.ts';
import type { ResourceIo } from './resource-io.ts';

/** From this sequence on a P_FLUSH_REQUESTS is of a source: it is answered behind what is queued for it, and waits for no peer ack. */
const FIRST = 2 ** 40;

/**
 * A source asks the Primaries that it is connected to: what they have sent to anybody before their answer has come here then.
 * Only those of our kind are asked; genuine ones would answer after peer acks, which may wait for the very target.
 */
export class SourceQuestions {
  private readonly resource: ResourceIo;
  private sequence = FIRST;
  /** As source: the last question that each node has answered, or was not asked. */
  private readonly heard = new Float64Array(NODES_MAX);
  /** As Primary: the last question of each node that is not answered, 0: none; and what it waits for. */
  private readonly open = new Float64Array(NODES_MAX);
  private readonly dagtag = new Float64Array(NODES_MAX);

  constructor(resource: ResourceIo) {
    this.resource = resource;
  }

  /** The question's number. */
  ask(): number {
    const { connectionList } = this.resource;
    const asked = connectionList.filter(isPrimaryOfOurKind);
    const before = asked.map((c) => this.heard[c.nodeId]);
    this.heard.fill(++this.sequence);
    asked.forEach((c, i) => {
      this.heard[c.nodeId] = before[i]!;
      c.notify(Cmd.FLUSH_REQUESTS, null, this.sequence, 0);
    });
    return this.sequence;
  }

  /** Have all answered, but for that node? */
  answered(sequence: number, but: ConnectionIo): boolean {
    return this.resource.connectionList.every((c) => c === but || !isPrimaryOfOurKind(c) || this.heard[c.nodeId] >= sequence);
  }

  isOurs(sequence: number): boolean {
    return sequence >= FIRST;
  }

  /** P_FLUSH_REQUESTS_ACK; one to a question that was never asked answers none. */
  answer(from: number, sequence: number): void {
    if (sequence > this.sequence) return;
    this.heard[from] = Math.max(this.heard[from], sequence);
    this.wake();
  }

  /** P_FLUSH_REQUESTS, at the Primary. */
  requested(from: ConnectionIo, sequence: number): void {
    this.open[from.nodeId] = sequence;
    this.dagtag[from.nodeId] = this.resource.requests.lastWriteDagtag;
    this.sent(from);
  }

  /** More of what is for that node is on its stream. */
  sent(to: ConnectionIo): void {
    const sequence = this.open[to.nodeId];
    if (sequence === 0 || this.resource.requests.awaitsSending(to.nodeId, this.dagtag[to.nodeId])) return;
    this.open[to.nodeId] = 0;
    to.notify(Cmd.FLUSH_REQUESTS_ACK, null, sequence, this.resource.nodeId);
  }

  /** The connection is gone, with all that was on its way. */
  forgetNode(node: number): void {
    this.open[node] = 0;
    this.heard[node] = this.sequence;
    this.wake();
  }

  /** Who waits for a Primary that has answered, or is none any more. */
  wake(): void {
    for (const c of this.resource.connectionList) c.source.primariesHeard();
  }
}

const isPrimaryOfOurKind = (c: ConnectionIo): boolean => speaks(c) && c.facts.peerRole === Role.primary && isOfOurKind(c);
