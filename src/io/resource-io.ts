// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { Job } from '../host/clock.ts';
import { LogLevel } from '../host/log.ts';
import { Role } from '../state/states.ts';
import { ConnectionIo } from './connection-io.ts';
import { DagtagWaits } from './dagtag.ts';
import { DeviceIo } from './device-io.ts';
import { type DeviceParts, type IoEnv, Ordering, resourceFacts } from './env.ts';
import { FlushRequests } from './flush-requests.ts';
import { RqEvent } from './mod.ts';
import { PeerAcks } from './peer-acks.ts';
import { PeerDeviceIo } from './peer-device-io.ts';
import { PeerRequestPool } from './peer-request-pool.ts';
import { NODES_MAX } from './request-pool.ts';
import { Requests } from './requests.ts';
import { SourceQuestions } from './source-questions.ts';

/** Completed requests that may wait for barrier acks; above it new ones stay at the gate. */
const SETTLING_MAX = 32768;
const orderingNames = ['none', 'drain', 'flush', 'barrier'];

/**
 * I/O of one resource: its requests in one transfer log, its devices, its connections.
 *
 * Above: change `facts` of it, its devices, connections and peer devices, then call factsChanged() once per transaction.
 */
export class ResourceIo {
  readonly env: IoEnv;
  readonly nodeId: number;
  readonly facts = resourceFacts();
  readonly requests: Requests;
  readonly peerAcks: PeerAcks;
  readonly peerRequests = new PeerRequestPool();
  readonly flushRequests: FlushRequests;
  readonly questions: SourceQuestions;
  readonly dagtagWaits: DagtagWaits;
  /** By device index; a removed one leaves a hole that is used again. */
  readonly devices: DeviceIo[] = [];
  readonly byVnr = new Map<number, DeviceIo>();
  readonly connections: (ConnectionIo | null)[] = new Array<ConnectionIo | null>(NODES_MAX).fill(null);
  readonly connectionList: ConnectionIo[] = [];
  /** Ordering.*: res_stat_write_ordering. */
  writeOrdering: number = Ordering.flush;
  private readonly job: Job;
  private sendersAwake = false;
  private wasSuspended = false;
  private wasPrimary = false;

  constructor(env: IoEnv, nodeId: number) {
    assert(nodeId >= 0 && nodeId < NODES_MAX, 'bad node id');
    this.env = env;
    this.nodeId = nodeId;
    this.requests = new Requests(this);
    this.requests.pool.limit = SETTLING_MAX;
    this.peerAcks = new PeerAcks(this);
    this.flushRequests = new FlushRequests(this);
    this.questions = new SourceQuestions(this);
    this.dagtagWaits = new DagtagWaits(this);
    this.job = { name: 'io', queued: false, run: () => this.run() };
  }

  addDevice(parts: DeviceParts): DeviceIo {
    assert(!this.byVnr.has(parts.vnr), 'volume added twice');
    let index = this.devices.findIndex((d) => d.removed);
    if (index < 0) index = this.devices.length;
    const device = new DeviceIo(this, index, parts);
    this.devices[index] = device;
    this.requests.pool.limit += parts.block.maxTags;
    this.byVnr.set(parts.vnr, device);
    for (const connection of this.connectionList) connection.peers[index] = new PeerDeviceIo(connection, device);
    return device;
  }

  /** Only when nothing of it is in flight and no bio can come any more. */
  removeDevice(device: DeviceIo): void {
    assert(device.idle, 'device removed while busy');
    device.removed = true;
    this.requests.pool.limit -= device.block.maxTags;
    this.byVnr.delete(device.vnr);
  }

  addConnection(nodeId: number): ConnectionIo {
    assert(this.connections[nodeId] === null && nodeId !== this.nodeId, 'node added twice');
    const connection = new ConnectionIo(this, nodeId);
    this.requests.pool.addNode(nodeId);
    for (const device of this.devices) connection.peers[device.index] = new PeerDeviceIo(connection, device);
    this.connections[nodeId] = connection;
    this.connectionList.push(connection);
    return connection;
  }

  /** Only after disconnected(). */
  removeConnection(connection: ConnectionIo): void {
    assert(connection.link === null, 'connection removed while up');
    this.requests.walk(RqEvent.CANCEL_SUSPENDED_IO, connection.nodeId, -1);
    this.connectionList.splice(this.connectionList.indexOf(connection), 1);
    this.connections[connection.nodeId] = null;
    this.requests.pool.removeNode(connection.nodeId);
  }

  /** Facts were changed by one transaction: finish_state_change of the I/O side. @spec io.md 2.9, 3.2, 3.8, 4.4 */
  factsChanged(): void {
    const resumed = this.wasSuspended && !this.facts.suspended;
    const unfreeze = this.wasSuspended && this.devices.some((d) => d.becameErrIo());
    let receiversChanged = false;
    for (const connection of this.connectionList) {
      for (const peer of connection.peers) if (peer.receiverChanged()) receiversChanged = true;
    }
    if (receiversChanged) this.requests.closeEpoch();
    if (this.wasSuspended) {
      // All of them first: what a connection has settled is answered.
      for (const c of this.connectionList) c.sendMissed();
      for (const c of this.connectionList) c.afterSuspension(resumed || unfreeze);
    }
    this.wasSuspended = this.facts.suspended;
    for (const connection of this.connectionList) connection.factsChanged();
    this.flushRequests.factsChanged();
    this.questions.wake();
    if (resumed || unfreeze) this.releaseSuspended();
    for (const device of this.devices) if (!device.removed) device.releaseCompletions(resumed || unfreeze);
    const primary = this.facts.role === Role.primary;
    if (this.wasPrimary && !primary) this.peerAcks.flush();
    this.wasPrimary = primary;
    this.chooseOrdering(Ordering.barrier);
    for (const device of this.devices) if (!device.removed) device.factsChanged();
    this.flushRequests.recheck();
    this.wakeSenders();
  }

  /** drbd_bump_write_ordering. @spec io.md 3.6 */
  chooseOrdering(wanted: number): void {
    let method = wanted === Ordering.barrier ? Ordering.flush : Math.min(this.writeOrdering, wanted);
    for (const device of this.devices) {
      if (device.removed || device.disk === null) continue;
      if (method === Ordering.flush && (!device.facts.diskFlushes || device.flushFailed)) method = Ordering.drain;
      if (method === Ordering.drain && !device.facts.diskDrain) method = Ordering.none;
    }
    if (method === this.writeOrdering) return;
    this.writeOrdering = method;
    this.env.log(LogLevel.info, `Method to ensure write ordering: ${orderingNames[method]}`);
  }

  /** Every sender looks at the end of the turn what it has to do. */
  wakeSenders(): void {
    this.sendersAwake = true;
    this.schedule();
  }

  schedule(): void {
    if (!this.job.queued) this.env.clock.atTurnEnd(this.job);
  }

  /** The transaction that is being told connects a peer. */
  get somebodyCame(): boolean { return this.connectionList.some((c) => c.comes); }

  /** May another request leave its gate? */
  get settlingRoom(): boolean {
    return this.requests.writes < SETTLING_MAX;
  }

  requestGone(): void {
    if (this.requests.writes === SETTLING_MAX - 1) for (const device of this.devices) device.openGate();
    this.checkDrained();
  }

  /** All epochs closed and acked, peer acks out, for the last close: env.drained() follows. @spec io.md 13.7 */
  drain(): void {
    this.requests.closeEpoch();
    this.draining = true;
    this.wakeSenders();
  }
  private draining = false;

  checkDrained(): void {
    if (!this.draining) return;
    if (this.connectionList.some((c) => c.barrierOutstanding || c.peers.some((p) => p.gotNegAck))) return;
    for (const device of this.devices) if (device.apBio(1) > 0) return;
    this.draining = false;
    this.peerAcks.flush();
    this.env.drained();
  }

  /** Somebody waits for barrier acks: a last close, or writes that find no room in the activity log. */
  get barriersUrgent(): boolean {
    const { devices } = this;
    for (let i = 0; i < devices.length; i++) if (devices[i].alWaiting > 0) return true;
    return this.draining;
  }

  flushForwards(): void {
    this.flushRequests.tellTargets();
  }

  /** A disk that is attached has newer writes than this node has counted so far: who gets our writes hears of it. */
  raiseDagtag(dagtag: number): void {
    if (dagtag <= this.requests.dagtag) return;
    this.requests.dagtag = dagtag;
    for (const connection of this.connectionList) if (connection.receives) connection.announceDagtag();
    this.wakeSenders();
  }

  /** A dagtag of a lost or advanced Primary: resync reads that waited for it. */
  dagtagMoved(nodeId: number): void {
    const { connectionList } = this;
    for (let i = 0; i < connectionList.length; i++) connectionList[i].dagtagMoved(nodeId);
  }

  private releaseSuspended(): void {
    const { suspended, pool } = this.requests;
    for (let slot = suspended.shift(); slot >= 0; slot = suspended.shift()) {
      this.devices[pool.device[slot]].enterGate(slot);
    }
  }

  private run(): void {
    const { devices, connectionList } = this;
    for (let i = 0; i < devices.length; i++) if (!devices[i].removed) devices[i].runWork();
    if (!this.sendersAwake) return;
    this.sendersAwake = false;
    for (let i = 0; i < connectionList.length; i++) connectionList[i].pump();
    if (this.facts.suspended) this.flushRequests.tellTargets();
    this.checkDrained();
  }
}
