// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { Job, Timer } from '../host/clock.ts';
import type { PeerLink } from '../host/link.ts';
import { Disk, Repl } from '../state/states.ts';
import { AckReceiver } from './ack-receiver.ts';
import type { DeviceIo } from './device-io.ts';
import { HashWork } from './hash-work.ts';
import { connectionFacts, type LinkFailure } from './env.ts';
import { Net, Rq, RqEvent } from './mod.ts';
import { OutQueue } from './out-queue.ts';
import { Cmd } from './packet-out.ts';
import { packetIn } from './packet-in.ts';
import type { PeerDeviceIo } from './peer-device-io.ts';
import { PeerReq } from './peer-request-pool.ts';
import { PeerWrites } from './peer-writes.ts';
import type { ResourceIo } from './resource-io.ts';
import { ResyncSource } from './resync-source.ts';
import { isSourceFor } from './routing.ts';
import { VerifyTarget } from './verify-target.ts';
import { Sender } from './sender.ts';

/** How often the oldest request is looked at. */
const TIMER_MS = 1000;

/**
 * I/O over one connection. Life: up(link) when the connect transaction has committed and facts.connected is set;
 * then packets; disconnected(done) in the clean-up of a lost connection (cstate already changed, streams closed).
 */
export class ConnectionIo {
  readonly resource: ResourceIo;
  readonly nodeId: number;
  readonly facts = connectionFacts();
  /** By device index. */
  readonly peers: PeerDeviceIo[] = [];
  readonly sender: Sender;
  readonly acks: AckReceiver;
  readonly writes: PeerWrites;
  readonly source: ResyncSource;
  readonly verifyTarget: VerifyTarget;
  readonly hashes: HashWork;
  link: PeerLink | null = null;
  /** ap_in_flight, rs_in_flight: sectors. */
  apInFlight = 0;
  rsInFlight = 0;
  lastPeerAckDagtag = 0;
  upSinceMs = 0;
  /** CONN_CONGESTED. */
  congested = false;
  private failed = false;
  private failure: LinkFailure = 'ProtocolError';
  private failureText = '';
  private readonly failJob: Job;
  private timer: Timer | null = null;
  private wasConnected = false;
  /** While I/O is frozen: its resync may overwrite what it has of our writes. It has done so, for all we know. */
  private overwritable = false;
  private overwritten = false;
  /** Small packets of the data stream that are no requests: out-of-sync notices, flush packets. */
  private readonly notices = new OutQueue();

  constructor(resource: ResourceIo, nodeId: number) {
    this.resource = resource;
    this.nodeId = nodeId;
    this.sender = new Sender(this);
    this.acks = new AckReceiver(this);
    this.writes = new PeerWrites(this);
    this.source = new ResyncSource(this);
    this.verifyTarget = new VerifyTarget(this);
    this.hashes = new HashWork(this);
    this.failJob = { name: 'connection failed', queued: false, run: () => this.tellFailure() };
  }

  /** Packets may be sent: Connected, with streams. */
  get up(): boolean {
    return this.connected && !this.failed;
  }

  /** As the state has it, also while it is failing: what is for the peer then waits for the state change. */
  get connected(): boolean {
    return this.link !== null && this.facts.connected;
  }

  /** The peer owes an answer to a request. */
  get awaitsAcks(): boolean {
    const { peers } = this;
    for (let i = 0; i < peers.length; i++) if (peers[i].apPending > 0) return true;
    return false;
  }

  /** BARRIER_ACK_PENDING, or writes that no barrier was sent for yet. */
  get barrierOutstanding(): boolean {
    return this.link !== null && this.sender.barrierOutstanding;
  }

  /** The streams are there and agreed upon. Packets follow as soon as facts.connected says so. */
  linkUp(link: PeerLink): void {
    assert(this.link === null, 'connected twice');
    this.link = link;
    this.failed = this.congested = this.overwritable = this.overwritten = false;
    this.apInFlight = this.rsInFlight = 0;
    this.lastPeerAckDagtag = this.resource.requests.settledDagtag(this.nodeId);
    this.upSinceMs = this.resource.env.clock.nowMs();
    this.notices.clear();
    this.sender.reset();
    this.writes.reset();
    for (const peer of this.peers) peer.connectionUp();
    this.armTimer();
  }

  /**
   * The connection is lost, its streams closed, its facts changed: everything of io.md 3.9 steps 4 to 9. `done` comes
   * when nothing of the peer is on a disk any more; the requests that missed the peer end right before it. `prepare`
   * comes before that and calls its argument, at once or later: a new data generation is made there, with the super
   * block written, so that no write completes without the peer in the old generation.
   */
  disconnected(done: () => void, prepare: (next: () => void) => void = (next) => next()): void {
    if (this.link === null) {
      done();
      return;
    }
    this.link = null;
    this.timer?.cancel();
    this.timer = null;
    this.resource.requests.cancelQueued(this.nodeId);
    this.sender.reset();
    this.hashes.cancel();
    this.source.cancel();
    for (const peer of this.peers) peer.connectionDown();
    this.resource.dagtagMoved(this.nodeId);
    this.writes.drainForDisconnect(() => prepare(() => this.finishDisconnect(done)));
  }

  /**
   * A packet of IO_PACKETS, from the data or the control stream. '' when taken, else why it is a protocol error. The
   * payload is ours from now on whatever the answer.
   */
  readonly packet = (command: number, vnr: number, view: DataView, at: number, bytes: number, payload: number,
    payloadBytes: number): string => packetIn(this, command, vnr, view, at, bytes, payload, payloadBytes);

  /** Positions and room of the streams, from the connection's StreamHandlers. */
  dataSent(position: number): void {
    if (this.link === null) return;
    this.sender.handedOver(position);
    this.resource.questions.sent(this);
    this.source.handedOver(position);
  }

  dataWritable(): void {
    this.resource.wakeSenders();
  }

  controlWritable(): void {
    if (!this.up) return;
    this.writes.flushAcks();
  }

  /** End of a turn: everything that is to be sent. */
  pump(): void {
    if (!this.up || this.link === null) return;
    this.writes.flushAcks();
    const { peers } = this;
    for (let i = 0; i < peers.length; i++) {
      if (peers[i].bitmapExchange.exclusive && !peers[i].bitmapExchange.pump()) return;
    }
    if (!this.notices.flush(this.link.data)) return;
    for (let i = 0; i < peers.length; i++) if (!peers[i].bitmapExchange.pump()) return;
    this.sender.pump();
    this.source.pump();
    for (let i = 0; i < peers.length; i++) peers[i].target.pump();
    this.hashes.resume();
  }

  entryQueued(slot: number): void {
    this.sender.queued(slot);
  }

  entryGone(slot: number, next: number): void {
    this.sender.gone(slot, next);
    this.acks.gone(slot, next);
  }

  get comes(): boolean { return this.facts.connected && !this.wasConnected; }

  get receives(): boolean { return this.peers.some((p) => !p.device.removed && p.receives); }

  announceDagtag(): void {
    this.sender.dagtagDue = true;
  }

  addInFlight(sectors: number): void {
    this.apInFlight = Math.max(0, this.apInFlight + sectors);
  }

  /** A request of ours needs nothing more from this peer. */
  requestDone(): void {
    if (this.apInFlight === 0 && this.peers.some((p) => p.facts.repl === 22)) this.resource.env.aheadDrained(this.nodeId);
  }

  anyDisk(atLeast: number): boolean {
    return this.peers.some((p) => !p.device.removed && p.facts.pdisk >= atLeast && p.facts.pdisk !== 7);
  }

  factsChanged(): void {
    for (const peer of this.peers) if (!peer.device.removed) peer.factsChanged();
    // Also to a disk that gets no writes: as a source it is asked for what was before.
    if (this.comes) this.announceDagtag();
    this.wasConnected = this.facts.connected;
    this.overwritable = this.resource.facts.suspended && (this.overwritable || this.syncsFromOthers());
  }

  /** It is not good, and not by us it gets so, but maybe by a node that does not get our writes. */
  private syncsFromOthers(): boolean {
    const away = this.resource.connectionList.some((other) => other !== this && !other.facts.connected);
    return away && this.facts.connected && this.peers.some(({ device, facts }) => !device.removed
      && facts.pdisk === Disk.inconsistent && !isSourceFor(facts.repl));
  }

  /**
   * The state change that ran had I/O suspended before it. What a resync from here carries need not be sent again; as target
   * it must be, for the resync would overwrite it. What a lost peer had acknowledged is no longer known to be there: it may have
   * been in its memory only, or overwritten by a resync from who has never got it. @spec io.md 2.9
   */
  afterSuspension(released: boolean): void {
    const { requests } = this.resource;
    if (this.overwritable && this.facts.connected && (released || this.resource.somebodyCame) && requests.hasUnanswered(this.nodeId)) {
      this.overwritten = true;
      // Now as well: what only this peer has would be answered in this very transaction.
      requests.walk(RqEvent.OVERWRITTEN, this.nodeId, -1);
      this.fail('NetworkFailure', 'Its resync may have overwritten what was frozen; connecting again');
      return;
    }
    if (released && !this.facts.connected) requests.walk(RqEvent.CANCEL_SUSPENDED_IO, this.nodeId, -1);
    else if (this.comes && !this.overwritten) {
      this.markMissingHere();
      for (const { facts, device } of this.peers) {
        if (facts.repl !== Repl.wfBitMapS) requests.walk(RqEvent.FORGOTTEN, this.nodeId, device.index);
        requests.walk(facts.repl === Repl.wfBitMapS ? RqEvent.CANCEL_SUSPENDED_IO : RqEvent.RESEND, this.nodeId, device.index);
      }
      this.sender.restart();
    }
  }

  /** Frozen writes from when this peer was away, or not good: it has become good without them, by a node that lacks them as well. */
  sendMissed(): void {
    if (!this.up) return;
    const { requests } = this.resource;
    for (const { facts, device } of this.peers) {
      if (!device.removed && facts.pdisk === Disk.upToDate && facts.repl >= Repl.established) requests.walk(RqEvent.MISSED, this.nodeId, device.index);
    }
    this.sender.restart();
  }

  /** Writes from before this node attached its disk, which is to be synced: what is sent again now goes to the peers alone. */
  private markMissingHere(): void {
    const { requests, devices } = this.resource;
    const { pool } = requests;
    for (let slot = requests.writeHead; slot >= 0; slot = pool.writeNext[slot]) {
      if ((pool.local[slot] & (Rq.LOCAL_PENDING | Rq.LOCAL_COMPLETED)) !== 0 || pool.size[slot] === 0) continue;
      const { facts, bits } = devices[pool.device[slot]];
      if (facts.disk < Disk.upToDate) bits.setAll(pool.sector[slot], pool.size[slot]);
    }
  }

  /**
   * While I/O was frozen the node has been restarted: what it acknowledged may have been in its memory only, and is marked. The
   * handshake has to see that. Its own activity log may not tell: with one peer it has none.
   */
  restarted(): void {
    const { requests } = this.resource;
    if (this.failed || !requests.hasUndurable(this.nodeId)) return;
    this.overwritten = true;
    this.fail('NetworkFailure', 'It may have lost what no barrier ack covers; connecting again');
  }

  sendPeerAck(mask: number, dagtag: number): void {
    this.writes.send(Cmd.PEER_ACK, null, dagtag, mask >>> 0, 0, 0);
  }

  /** A third node's write that the peer misses. */
  queueOutOfSync(peer: PeerDeviceIo, sector: number, size: number): void {
    this.notify(Cmd.OUT_OF_SYNC, peer, sector, size);
  }

  /** A packet without payload on the data stream, in order with its like. */
  notify(cmd: number, peer: PeerDeviceIo | null, a: number, b: number): void {
    if (this.link === null) return;
    const hold = this.peers.some((p) => p.bitmapExchange.exclusive);
    if (!this.notices.send(this.link.data, cmd, peer, a, b, 0, 0, hold)) {
      this.fail('NetworkFailure', 'data stream does not move: too many notices wait');
    }
  }

  /**
   * Entering WFBitMapS: unfinished writes that the peer has not acknowledged count as missing there, and what other
   * Primaries have not settled yet too, before the bitmap goes out: also one that is lost, and is being cleaned up.
   * @spec io.md 4.4
   */
  enteringBitmapSource(peer: PeerDeviceIo): void {
    const { requests, connectionList } = this.resource;
    const { pool } = requests;
    const words = pool.net[this.nodeId] as Uint16Array;
    for (let slot = requests.writeHead; slot >= 0; slot = pool.writeNext[slot]) {
      if (pool.device[slot] !== peer.device.index || isWritten(words[slot])) continue;
      if ((pool.local[slot] & Rq.IN_TL) !== 0) peer.device.bits.set(peer, pool.sector[slot], pool.size[slot]);
    }
    for (const other of connectionList) if (other.facts.peerRole === 1 || other.link === null) other.writes.applyUnacked(peer.device);
  }

  peerRequestDone(device: DeviceIo, id: number, failed: boolean): void {
    switch (this.resource.peerRequests.kind[id]) {
      case PeerReq.WRITE: this.writes.ended(device, id); break;
      case PeerReq.RS_WRITE: this.peers[device.index].target.localDone(id, failed); break;
      case PeerReq.OV_SOURCE: this.peers[device.index].verifySource.localDone(id, failed); break;
      default: this.source.localDone(device, id, failed);
    }
  }

  /**
   * After a loss: resync writes and reads, and reads to verify, that are still on a disk; their bits must not change under the
   * next resync, and the connection must not go before they end.
   */
  get resyncOnDisk(): boolean {
    return this.source.list.length > 0 || this.peers.some((p) => !p.target.idle || p.verifySource.list.length > 0);
  }

  /** 0: no such algorithm, or none. */
  digestBytes(algorithm: string): number {
    return algorithm === '' ? 0 : this.resource.env.crypto.digestBytes(algorithm);
  }

  /** Which digest of a peer request's block is wanted. */
  hashAlgorithm(slot: number): string {
    return this.resource.peerRequests.kind[slot] >= PeerReq.OV_SOURCE ? this.facts.verifyAlg : this.facts.csumsAlg;
  }

  /** It lies in hashes.digest. False: once more when the stream has room. */
  hashed(slot: number): boolean {
    const { kind, device } = this.resource.peerRequests;
    const { digest } = this.hashes;
    const peer = this.peers[device[slot]];
    switch (kind[slot]) {
      case PeerReq.RS_WRITE: return peer.target.hashed(slot, digest);
      case PeerReq.OV_SOURCE: return peer.verifySource.hashed(slot, digest);
      case PeerReq.OV_TARGET: return this.verifyTarget.hashed(slot, digest);
      default: return this.source.hashed(slot, digest);
    }
  }

  /** Writes of a node have come, or will not come any more: who waits for them. */
  dagtagMoved(nodeId: number): void {
    this.source.dagtagMoved(nodeId);
    const { peers } = this;
    for (let i = 0; i < peers.length; i++) if (peers[i].verifySource.waiting > 0) peers[i].verifySource.dagtagMoved(nodeId);
  }

  /** Some time has passed; true: requests wait on. */
  dagtagLate(): boolean {
    let left = this.source.dagtagLate();
    for (const peer of this.peers) if (peer.verifySource.waiting > 0) left = peer.verifySource.dagtagLate() || left;
    return left;
  }

  /** Writes of the peer are on the disk, on their way to it, or wait for the peer ack: PRIMARY_IND must stay. */
  peerRequestsInFlight(): boolean {
    return this.writes.list.length > 0;
  }

  /** Once a link: the connection must go. */
  fail(failure: LinkFailure, text: string): void {
    if (this.failed || this.link === null) return;
    this.failed = true;
    this.failure = failure;
    this.failureText = text;
    // In a turn of its own: the clean-up must not run under the code that found the failure.
    this.resource.env.clock.soon(this.failJob);
  }

  private tellFailure(): void {
    if (this.link !== null && this.failed) this.resource.env.linkFailed(this.nodeId, this.failure, this.failureText);
  }

  private armTimer(): void {
    this.timer = this.resource.env.clock.timer('request time-out', TIMER_MS, () => {
      this.timer = null;
      if (this.link === null) return;
      const reason = this.acks.overdue();
      if (reason !== '') this.fail('Timeout', reason);
      else this.armTimer();
    });
  }

  private finishDisconnect(done: () => void): void {
    const { requests, facts, peerAcks } = this.resource;
    if (this.overwritten) requests.walk(RqEvent.OVERWRITTEN, this.nodeId, -1);
    requests.walk(facts.suspended ? RqEvent.CONNECTION_LOST_WHILE_SUSPENDED : RqEvent.CONNECTION_LOST, this.nodeId, -1);
    for (const other of this.resource.connectionList) for (const peer of other.peers) peer.bitsBeforeLoss = peer.bitsOutOfSync;
    this.writes.settleUnacked();
    peerAcks.forgetNode(this.nodeId);
    this.resource.flushRequests.forgetNode(this.nodeId);
    this.resource.questions.forgetNode(this.nodeId);
    this.resource.checkDrained();
    done();
  }
}

/** Has the peer said that it wrote it? A and B call a write good before: its P_NEG_ACK may still be on the way. */
const isWritten = (word: number): boolean =>
  (word & (Net.OK | Net.EXP_WRITE_ACK)) === (Net.OK | Net.EXP_WRITE_ACK) || (word & (Net.OK | Net.DONE)) === (Net.OK | Net.DONE);
