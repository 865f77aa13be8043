// SPDX-License-Identifier: GPL-2.0-or-later
import type { Timer } from '../host/clock.ts';
import { Disk } from '../state/states.ts';
import type { ResourceIo } from './resource-io.ts';

/** Which nodes have the writes up to a dagtag: the Primary tells its peers, a batch at a time. @spec io.md 4.1, 4.2 */
export class PeerAcks {
  private readonly resource: ResourceIo;
  private has = false;
  private dagtag = 0;
  private okMask = 0;
  private sentMask = 0;
  private localOk = false;
  private lastDagtag = 0;
  private timer: Timer | null = null;
  private dueMs = 0;
  private readonly fire = (): void => this.onTimer();

  constructor(resource: ResourceIo) {
    this.resource = resource;
  }

  /** A write was destroyed. */
  written(dagtag: number, okMask: number, sentMask: number, localOk: boolean, freedExtent: boolean): void {
    const window = this.resource.facts.peerAckWindow;
    if (!this.has) this.lastDagtag = dagtag;
    else if (okMask !== this.okMask || freedExtent || dagtag >= this.lastDagtag + window) {
      this.send();
      this.lastDagtag = dagtag;
    }
    this.has = true;
    this.dagtag = dagtag;
    this.okMask = okMask;
    this.sentMask = sentMask;
    this.localOk = localOk;
    this.dueMs = this.resource.env.clock.nowMs() + this.resource.facts.peerAckDelayMs;
    if (this.timer === null) this.arm(this.resource.facts.peerAckDelayMs);
  }

  /** The candidate goes out now. */
  flush(): void {
    if (this.has) this.send();
  }

  /** A peer that lost its connection knows nothing of the candidate any more. */
  forgetNode(node: number): void {
    this.sentMask &= ~(1 << node);
  }

  private send(): void {
    this.has = false;
    const mask = (this.localOk ? 1 << this.resource.nodeId : 0) | this.okMask;
    for (const connection of this.resource.connectionList) {
      // Also while it is still connecting: later it is not told of this any more.
      connection.lastPeerAckDagtag = Math.max(connection.lastPeerAckDagtag, this.dagtag);
      if (!connection.up) continue;
      const bit = 1 << connection.nodeId;
      const known = (this.sentMask & bit) !== 0 &&
        ((this.okMask & bit) !== 0 || connection.anyDisk(Disk.inconsistent));
      if (known) connection.sendPeerAck(mask, this.dagtag);
    }
    this.resource.flushForwards();
  }

  private arm(delayMs: number): void {
    this.timer = this.resource.env.clock.timer('peer-ack', delayMs, this.fire);
  }

  /** The timer is not moved for each write: it looks again when it fires. */
  private onTimer(): void {
    this.timer = null;
    if (!this.has) return;
    const left = this.dueMs - this.resource.env.clock.nowMs();
    if (left > 0.5) this.arm(left);
    else this.send();
  }
}
