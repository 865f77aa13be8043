// SPDX-License-Identifier: GPL-2.0-or-later
import { Disk, isSyncOrVerify, isSyncTarget, Repl } from '../state/states.ts';
import { BitmapExchange } from './bitmap-exchange.ts';
import type { ConnectionIo } from './connection-io.ts';
import type { DeviceIo } from './device-io.ts';
import { peerDeviceFacts } from './env.ts';
import { MinRate } from './min-rate.ts';
import { PeersInSync } from './peers-in-sync.ts';
import { Progress } from './progress.ts';
import { ResyncTarget } from './resync-target.ts';
import { Route, routeWrite } from './routing.ts';
import { Verify } from './verify.ts';
import { VerifySource } from './verify-source.ts';

/** One volume of one connection. */
export class PeerDeviceIo {
  readonly connection: ConnectionIo;
  readonly device: DeviceIo;
  readonly facts = peerDeviceFacts();
  readonly progress: Progress;
  readonly minRate: MinRate;
  readonly target: ResyncTarget;
  readonly verify: Verify;
  readonly verifySource: VerifySource;
  readonly bitmapExchange: BitmapExchange;
  readonly inSync: PeersInSync;
  /** Statistics, io.md 14.1: requests, requests, answers owed; sectors. */
  apPending = 0;
  rsPending = 0;
  unacked = 0;
  sent = 0;
  received = 0;
  /** The peer failed a write while its disk counts as UpToDate: its P_STATE is on the way. */
  gotNegAck = false;
  /** Out-of-sync information was the last thing sent. */
  wasAhead = false;
  /** The policy for congestion is being applied. */
  handlingCongestion = false;
  private seq = 0;
  private peerSeq = 0;
  private lastRepl: number = Repl.off;
  private lastPdisk: number = Disk.unknown;
  /** Blocks out of sync before a lost peer's last writes were marked as well. */
  bitsBeforeLoss = 0;
  /** drbd_should_do_remote: it gets the data of our writes. */
  receives = false;

  constructor(connection: ConnectionIo, device: DeviceIo) {
    this.connection = connection;
    this.device = device;
    this.progress = new Progress(this);
    this.minRate = new MinRate(this);
    this.target = new ResyncTarget(this);
    this.verify = new Verify(this);
    this.verifySource = new VerifySource(this);
    this.bitmapExchange = new BitmapExchange(this);
    this.inSync = new PeersInSync(this);
  }

  /** Next sequence number of this direction. @spec wire.md 7.2 */
  nextSeq(): number {
    this.seq = (this.seq + 1) >>> 0;
    return this.seq;
  }

  /** The packet was not queued after all. */
  undoSeq(): void {
    this.seq = (this.seq - 1) >>> 0;
  }

  /** seq_num of a packet from the peer: the highest seen counts. */
  sawSeq(seq: number): void {
    if (((seq - this.peerSeq) | 0) > 0) this.peerSeq = seq >>> 0;
  }

  /** Out-of-sync bits of the peer. */
  get bitsOutOfSync(): number {
    const { disk } = this.device;
    return disk === null || this.facts.bitmapIndex < 0 || !this.device.diskUsable ? 0
      : disk.bitmap.weight[this.facts.bitmapIndex];
  }

  /** May finished writes of the peer clear bits? SyncSource..PausedSyncT. */
  get inSyncState(): boolean {
    return isSyncOrVerify(this.facts.repl as Repl);
  }

  /** drbd_should_do_remote changed its value. */
  receiverChanged(): boolean {
    const receiver = this.connection.facts.connected && routeWrite(this.facts.pdisk, this.facts.repl) === Route.data;
    if (receiver === this.receives) return false;
    this.receives = receiver;
    if (receiver) this.connection.announceDagtag();
    return true;
  }

  /** After each transaction. */
  factsChanged(): void {
    const { repl, pdisk } = this.facts;
    if (pdisk < Disk.upToDate) this.gotNegAck = false;
    if (pdisk < Disk.inconsistent && this.lastPdisk >= Disk.inconsistent) this.connection.writes.senderLostDisk(this);
    this.lastPdisk = pdisk;
    const before = this.lastRepl;
    this.lastRepl = repl;
    if (before === repl) {
      this.bitmapExchange.diskChanged(this.device.facts.disk);
      return;
    }
    if (repl === Repl.wfBitMapS) this.connection.enteringBitmapSource(this);
    if (repl === Repl.syncSource) this.connection.source.started();
    this.bitmapExchange.replChanged(repl);
    this.progress.replChanged(before, repl);
    this.inSync.replChanged(before, repl);
    this.verify.replChanged(before, repl);
    this.verifySource.replChanged(repl);
    this.target.replChanged(before, repl);
  }

  /** Queued behind the announcement of WFBitMapS; nothing happens in another state. */
  sendBitmap(): void { this.bitmapExchange.send(); }

  bitsSet(count: number): void {
    if (this.inSyncState) this.progress.total += count;
    else if (this.facts.repl === Repl.established && this.facts.pdisk === Disk.upToDate) this.device.resource.env.bitsOfGoodPeer();
  }

  /** End-of-resync check and progress. @spec io.md 9.2 */
  bitsCleared(): void {
    this.progress.advance();
    if (isSyncTarget(this.facts.repl as Repl)) this.target.checkDone();
  }

  connectionUp(): void {
    this.seq = this.peerSeq = 0;
    this.wasAhead = false;
    this.apPending = Math.max(0, this.apPending);
  }

  connectionDown(): void {
    this.bitmapExchange.cancel();
    this.target.cancel();
    this.verifySource.cancel();
    this.inSync.stop();
    this.sent = this.received = this.unacked = 0;
    this.lastRepl = Repl.off;
  }
}
