// SPDX-License-Identifier: GPL-2.0-or-later
import type { Job, Timer } from '../host/clock.ts';
import { LogLevel } from '../host/log.ts';
import { LowerOp } from '../host/lower.ts';
import { Disk, Repl, Role } from '../state/states.ts';
import { OvResult } from '../wire/packets/ov-result.ts';
import type { ConnectionIo } from './connection-io.ts';
import { endLongWaits, getsWrites, mustWaitFor } from './dagtag.ts';
import type { DeviceIo } from './device-io.ts';
import { ErrorKind } from './env.ts';
import { grown, grownF, IvFlag, IvType } from './intervals.ts';
import { Cmd, lastCommit, sendBlock } from './packet-out.ts';
import { submitPeerBlock, takeRoom } from './peer-block.ts';
import type { PeerDeviceIo } from './peer-device-io.ts';
import { PeerFlag, PeerList, PeerReq } from './peer-request-pool.ts';
import { SlotQueue } from './request-pool.ts';

/** What c-min-rate costs a request of a target. */
const THROTTLE_MS = 100;

/** Reads that a peer asks for: application reads (P_DATA_REQUEST) and resync reads. @spec io.md 12.6, 12.7 */
export class ResyncSource {
  /** All that are not over; resync reads stay until their write ack. */
  readonly list: PeerList;
  private readonly connection: ConnectionIo;
  /** Wait their turn because of c-min-rate; for memory; for room in the stream. */
  private readonly throttled: SlotQueue;
  private throttle: Timer | null = null;
  private readonly starved: SlotQueue;
  private readonly answers: SlotQueue;
  private readonly roomJob: Job;
  private flightSlot = new Int32Array(64);
  private flightPosition = new Float64Array(64);
  private flightHead = 0;
  private flightCount = 0;
  /** What the Primaries were asked since the target went without their dagtags; 0: not yet. */
  private asked = 0;

  constructor(connection: ConnectionIo) {
    this.connection = connection;
    const pool = connection.resource.peerRequests;
    this.list = new PeerList(pool);
    this.throttled = new SlotQueue(pool);
    this.starved = new SlotQueue(pool);
    this.answers = new SlotQueue(pool);
    this.roomJob = { name: 'read for a peer', queued: false, run: () => this.feed() };
  }

  /** P_DATA_REQUEST, already checked. */
  read(peer: PeerDeviceIo, sector: number, size: number, idHigh: number, idLow: number): string {
    const { resource } = this.connection;
    if (peer.facts.repl === Repl.ahead) return 'read request while Ahead';
    if (!peer.device.diskUsable || peer.device.facts.disk < Disk.upToDate) {
      resource.env.log(LogLevel.err, "Can not satisfy peer's read request, no local data.");
      this.connection.writes.send(Cmd.NEG_DREPLY, peer, sector, size, idHigh, idLow);
      return '';
    }
    const slot = this.take(peer, PeerReq.READ, sector, size, idHigh, idLow);
    if (slot < 0) return 'too many reads at once';
    this.beginRead(peer.device, slot);
    return '';
  }

  private beginRead(device: DeviceIo, slot: number): void {
    if (this.room(device, slot)) this.start(device, slot);
  }

  /** P_RS_DATA_REQUEST and its like; a thin request is served as a plain one. `digest`: where one lies, -1 without. */
  resync(peer: PeerDeviceIo, sector: number, size: number, idHigh: number, idLow: number, dagtagNode: number,
    dagtag: number, view: DataView, digest: number, digestBytes: number): string {
    if (digest >= 0 && digestBytes !== this.connection.digestBytes(this.connection.facts.csumsAlg)) {
      return `checksum of ${digestBytes} bytes`;
    }
    const refusal = this.refusal(peer);
    if (refusal !== 0) {
      this.connection.writes.send(refusal, peer, sector, size, idHigh, idLow);
      return '';
    }
    const slot = this.take(peer, PeerReq.RS_READ, sector, size, idHigh, idLow);
    if (slot < 0) return 'too many resync requests at once';
    const p = this.connection.resource.peerRequests;
    p.dagtagNode[slot] = dagtagNode;
    p.dagtag[slot] = dagtag;
    if (digest >= 0) p.keepDigest(slot, view, digest, digestBytes);
    this.admit(slot);
    return '';
  }

  /** P_OV_REQUEST, P_OV_DAGTAG_REQ: a block that is not read counts as skipped on both ends. @spec uuid.md 8 */
  verify(peer: PeerDeviceIo, sector: number, size: number, idHigh: number, idLow: number, dagtagNode: number,
    dagtag: number): string {
    if (this.connection.digestBytes(this.connection.facts.verifyAlg) === 0) return 'verify request without verify-alg';
    peer.verify.startAt(sector);
    const ahead = peer.facts.repl === Repl.ahead;
    if (ahead || !peer.device.diskUsable || peer.device.facts.disk < Disk.outdated) {
      peer.verify.counted(sector, size, OvResult.skipped);
      this.connection.writes.send(ahead ? Cmd.RS_CANCEL_AHEAD : Cmd.RS_CANCEL, peer, sector, size, idHigh, idLow);
      this.connection.verifyTarget.checkDone(peer);
      return '';
    }
    const slot = this.take(peer, PeerReq.OV_TARGET, sector, size, idHigh, idLow);
    if (slot < 0) return 'too many verify requests at once';
    const p = this.connection.resource.peerRequests;
    p.dagtagNode[slot] = dagtagNode;
    p.dagtag[slot] = dagtag;
    this.admit(slot);
    return '';
  }

  /** A verify request that gets no digest. */
  skip(slot: number): void {
    this.refuse(slot, Cmd.RS_CANCEL);
  }

  /** One by one: while applications keep the disk busy each waits its time first, and nothing else on the stream does. */
  private admit(slot: number): void {
    this.throttled.push(slot);
    if (this.throttle === null) this.admitNext();
  }

  private admitNext(): void {
    const { resource, facts, peers } = this.connection;
    const p = resource.peerRequests;
    while (this.throttled.head >= 0) {
      if (facts.peerRole !== Role.primary && peers[p.device[this.throttled.head]].minRate.throttles()) {
        this.throttle = resource.env.clock.timer('resync request', THROTTLE_MS, () => {
          this.throttle = null;
          this.admitted(this.throttled.shift());
          this.admitNext();
        });
        return;
      }
      this.admitted(this.throttled.shift());
    }
  }

  private admitted(slot: number): void {
    const { peerRequests: p, devices, dagtagWaits } = this.connection.resource;
    if (this.isBlind(slot)) p.flags[slot] |= PeerFlag.WAITS_PRIMARY;
    else if (!this.mustWait(slot)) this.begin(slot);
    else if (getsWrites(devices[p.device[slot]])) dagtagWaits.began(slot);
    else this.refuse(slot, Cmd.RS_CANCEL);
  }

  /** A resync from here begins or goes on. */
  started(): void {
    this.asked = 0;
  }

  /**
   * A target that is connected to no Primary names no dagtag, and may have writes of ours to come all the same: it got them
   * before it lost the Primary, or was down. What it would get from here is older, and the Primary would not know. So all that
   * Primaries have sent before its resync began comes first.
   */
  private isBlind(slot: number): boolean {
    const { connection } = this;
    const { peerRequests: p, questions } = connection.resource;
    if (p.kind[slot] !== PeerReq.RS_READ) return false;
    if (p.dagtag[slot] > 0) {
      this.asked = 0;
      return false;
    }
    if (questions.answered(Infinity, connection)) return false;
    if (this.asked === 0) this.asked = questions.ask();
    return !questions.answered(this.asked, connection);
  }

  /** A Primary has answered, or is none any more. */
  primariesHeard(): void {
    const p = this.connection.resource.peerRequests;
    for (let slot = this.list.head; slot >= 0;) {
      const next = p.next[slot];
      if ((p.flags[slot] & PeerFlag.WAITS_PRIMARY) !== 0 && !this.isBlind(slot)) {
        p.flags[slot] &= ~PeerFlag.WAITS_PRIMARY;
        this.admitted(slot);
      }
      slot = next;
    }
  }

  /** A node's position moved, or its connection was lost: then what waits for it is cancelled. */
  dagtagMoved(nodeId: number): void {
    const { resource } = this.connection;
    const p = resource.peerRequests;
    for (let slot = this.list.head; slot >= 0;) {
      const next = p.next[slot];
      if ((p.flags[slot] & PeerFlag.WAITS_DAGTAG) !== 0 && p.dagtagNode[slot] === nodeId) {
        const node = resource.connections[nodeId];
        if (node === null || !node.up) this.refuse(slot, Cmd.RS_CANCEL);
        else if (node.writes.lastDagtag >= p.dagtag[slot]) this.begin(slot);
      }
      slot = next;
    }
  }

  conflictSubmit(slot: number): void {
    const { resource } = this.connection;
    const p = resource.peerRequests;
    const device = resource.devices[p.device[slot]];
    if (device.intervals.findConflict(p.interval[slot], 0) >= 0) {
      device.intervals.wait(p.interval[slot]);
      return;
    }
    device.intervals.flags[p.interval[slot]] |= IvFlag.SUBMITTED;
    this.start(device, slot);
  }

  localDone(device: DeviceIo, slot: number, failed: boolean): void {
    const { resource } = this.connection;
    const p = resource.peerRequests;
    p.flags[slot] &= ~PeerFlag.SUBMITTED;
    device.readSectors += p.size[slot] / 512;
    if (p.kind[slot] !== PeerReq.READ) device.resyncSectors += p.size[slot] / 512;
    if ((p.flags[slot] & PeerFlag.GONE) !== 0) {
      this.drop(slot);
      return;
    }
    if (p.kind[slot] === PeerReq.OV_TARGET) {
      if (failed) resource.env.ioError(device.vnr, ErrorKind.read);
      this.connection.verifyTarget.readDone(slot, failed);
      return;
    }
    if (!failed) {
      if ((p.flags[slot] & PeerFlag.HAS_DIGEST) !== 0) this.connection.hashes.push(slot);
      else this.answer(slot);
      return;
    }
    resource.env.ioError(device.vnr, ErrorKind.read);
    const peer = this.connection.peers[device.index];
    if (p.kind[slot] === PeerReq.RS_READ) peer.progress.failed += device.bits.count(peer, p.sector[slot], p.size[slot]);
    this.refuse(slot, noDataReply(p.kind[slot]));
  }

  private answer(slot: number): void {
    this.answers.push(slot);
    this.connection.resource.wakeSenders();
  }

  /** The digest of our block: the same as the target's, and it is in sync; else it gets the data. */
  hashed(slot: number, digest: Uint8Array): boolean {
    const { resource, peers, facts, writes } = this.connection;
    const p = resource.peerRequests;
    const peer = peers[p.device[slot]];
    const unusable = peer.facts.repl === Repl.ahead || peer.facts.pdisk < Disk.inconsistent;
    if (unusable || !p.sameDigest(slot, digest, this.connection.digestBytes(facts.csumsAlg))) {
      this.answer(slot);
      return true;
    }
    const { sector, size } = p;
    peer.progress.sameCsum += peer.device.bits.clear(peer, sector[slot], size[slot]);
    writes.send(Cmd.RS_IS_IN_SYNC, peer, sector[slot], size[slot], p.idHigh[slot], p.idLow[slot]);
    this.over(slot);
    return true;
  }

  /** Answers with data, while the stream has room. */
  pump(): void {
    const { link, resource } = this.connection;
    if (link === null) return;
    const p = resource.peerRequests;
    while (this.answers.head >= 0) {
      const slot = this.answers.head;
      const peer = this.connection.peers[p.device[slot]];
      const resync = p.kind[slot] === PeerReq.RS_READ;
      if (resync && (peer.facts.repl === Repl.ahead || peer.facts.pdisk < Disk.inconsistent)) {
        this.answers.shift();
        this.refuse(slot, Cmd.RS_CANCEL);
        continue;
      }
      if (!sendBlock(link.data, resource.env.crypto, resync ? Cmd.RS_DATA_REPLY : Cmd.DATA_REPLY, peer.device.vnr,
        p.sector[slot], p.idHigh[slot], p.idLow[slot], 0, 0, peer.device.arena, p.offset[slot], p.size[slot],
        link.integrityAlg, resync)) return;
      this.answers.shift();
      peer.sent += p.size[slot] / 512;
      this.pushFlight(slot, lastCommit.position);
      if (!resync) continue;
      peer.rsPending++;
      this.connection.rsInFlight += p.size[slot] / 512;
    }
  }

  /** All up to this position is with TCP; pages of a resync reply stay ours until the write ack. */
  handedOver(position: number): void {
    const p = this.connection.resource.peerRequests;
    while (this.flightCount > 0 && this.flightPosition[this.flightHead] <= position) {
      const slot = this.flightSlot[this.flightHead];
      this.flightHead = (this.flightHead + 1) % this.flightSlot.length;
      this.flightCount--;
      p.flags[slot] |= PeerFlag.ANSWERED;
      if (p.kind[slot] === PeerReq.READ || (p.flags[slot] & PeerFlag.ACKED) !== 0) this.over(slot);
    }
  }

  /** P_RS_WRITE_ACK, P_RS_NEG_ACK. @spec uuid.md 7.8 */
  writeAck(peer: PeerDeviceIo, ok: boolean, sector: number, size: number, idHigh: number, idLow: number): string {
    const p = this.connection.resource.peerRequests;
    let slot = this.list.head;
    while (slot >= 0 && !(p.sector[slot] === sector && p.size[slot] === size && p.idHigh[slot] === (idHigh | 0) &&
      p.idLow[slot] === (idLow | 0) && p.device[slot] === peer.device.index && this.awaitsAck(slot))) slot = p.next[slot];
    if (slot < 0) return 'Unexpected resync write ack';
    if (ok) peer.device.bits.clear(peer, sector, size);
    else peer.progress.failed += peer.device.bits.count(peer, sector, size);
    peer.rsPending--;
    this.connection.rsInFlight = Math.max(0, this.connection.rsInFlight - size / 512);
    p.flags[slot] |= PeerFlag.ACKED;
    if ((p.flags[slot] & PeerFlag.ANSWERED) !== 0) this.over(slot);
    return '';
  }

  /** Connection lost. What is on the disk ends by itself. */
  cancel(): void {
    const p = this.connection.resource.peerRequests;
    this.flightCount = 0;
    this.throttle?.cancel();
    this.throttle = null;
    while (this.throttled.shift() >= 0);
    while (this.answers.shift() >= 0);
    while (this.starved.shift() >= 0);
    for (let slot = this.list.head; slot >= 0;) {
      const next = p.next[slot];
      const peer = this.connection.peers[p.device[slot]];
      if (this.awaitsAck(slot)) peer.rsPending--;
      if (p.kind[slot] === PeerReq.OV_TARGET && (p.flags[slot] & PeerFlag.ANSWERED) !== 0) peer.rsPending--;
      if ((p.flags[slot] & PeerFlag.SUBMITTED) !== 0) p.flags[slot] |= PeerFlag.GONE;
      else this.drop(slot);
      slot = next;
    }
  }

  /** Why a resync request is not served: the command that says so, 0: it is. @spec io.md 12.7 items 2 to 4 */
  private refusal(peer: PeerDeviceIo): number {
    const { repl } = peer.facts;
    if (repl === Repl.wfBitMapS || repl === Repl.startingSyncS) return Cmd.RS_CANCEL;
    if (!peer.device.diskUsable || peer.device.facts.disk < Disk.outdated) {
      return repl === Repl.pausedSyncS ? Cmd.RS_CANCEL : Cmd.NEG_RS_DREPLY;
    }
    return repl === Repl.ahead ? Cmd.RS_CANCEL_AHEAD : 0;
  }

  private take(peer: PeerDeviceIo, kind: number, sector: number, size: number, idHigh: number, idLow: number): number {
    const p = this.connection.resource.peerRequests;
    const slot = p.take();
    if (slot < 0) return -1;
    p.kind[slot] = kind;
    p.node[slot] = this.connection.nodeId;
    p.device[slot] = peer.device.index;
    p.sector[slot] = sector;
    p.size[slot] = size;
    p.idHigh[slot] = idHigh;
    p.idLow[slot] = idLow;
    this.list.push(slot);
    peer.unacked++;
    return slot;
  }

  /** Writes that the target knows of must be here before the block is read. */
  private mustWait(slot: number): boolean {
    const p = this.connection.resource.peerRequests;
    return mustWaitFor(this.connection, p.dagtagNode[slot], p.dagtag[slot]);
  }

  /** What waits for long is cancelled; true: others wait on. */
  dagtagLate(): boolean {
    return endLongWaits(this.list, this.connection.resource.peerRequests, (slot) => this.refuse(slot, Cmd.RS_CANCEL));
  }

  private begin(slot: number): void {
    const { resource, nodeId } = this.connection;
    const p = resource.peerRequests;
    const device = resource.devices[p.device[slot]];
    const verify = p.kind[slot] === PeerReq.OV_TARGET;
    p.flags[slot] &= ~PeerFlag.WAITS_DAGTAG;
    if (!this.room(device, slot)) return;
    p.interval[slot] = device.intervals.insert(verify ? IvType.OV_READ_TARGET : IvType.RESYNC_READ, nodeId, p.sector[slot],
      p.size[slot] / 512, slot);
    if (verify) this.verifyRead(device, slot);
    else this.conflictSubmit(slot);
  }

  /** Before the range is locked: writes that wait for the range may be what fills the memory. */
  private room(device: DeviceIo, slot: number): boolean {
    if (takeRoom(device, slot)) return true;
    this.starved.push(slot);
    device.arena.onRoom(this.roomJob);
    return false;
  }

  /** Read at once: a write that is under way, or comes before the result, only makes it worthless. */
  private verifyRead(device: DeviceIo, slot: number): void {
    const iv = this.connection.resource.peerRequests.interval[slot];
    device.intervals.flags[iv] |= IvFlag.SUBMITTED;
    if (device.intervals.findConflict(iv, 0) >= 0) device.intervals.flags[iv] |= IvFlag.CONFLICT;
    this.start(device, slot);
  }

  private start(device: DeviceIo, slot: number): void {
    const p = this.connection.resource.peerRequests;
    if (device.disk === null || !device.diskUsable) this.refuse(slot, noDataReply(p.kind[slot]));
    else submitPeerBlock(device, device.disk, slot, LowerOp.read);
  }

  /** Memory came back. */
  private feed(): void {
    const p = this.connection.resource.peerRequests;
    for (let n = this.starved.length; n > 0; n--) {
      const slot = this.starved.shift();
      if (p.kind[slot] === PeerReq.READ) this.beginRead(this.connection.resource.devices[p.device[slot]], slot);
      else this.begin(slot);
    }
  }

  private refuse(slot: number, cmd: number): void {
    const p = this.connection.resource.peerRequests;
    const peer = this.connection.peers[p.device[slot]];
    const verify = p.kind[slot] === PeerReq.OV_TARGET;
    if (verify) peer.verify.counted(p.sector[slot], p.size[slot], OvResult.skipped);
    this.connection.writes.send(cmd, peer, p.sector[slot], p.size[slot], p.idHigh[slot], p.idLow[slot]);
    this.over(slot);
    if (verify) this.connection.verifyTarget.checkDone(peer);
  }

  private over(slot: number): void {
    const peer = this.connection.peers[this.connection.resource.peerRequests.device[slot]];
    peer.unacked = Math.max(0, peer.unacked - 1);
    this.drop(slot);
  }

  drop(slot: number): void {
    const { resource } = this.connection;
    const p = resource.peerRequests;
    const device = resource.devices[p.device[slot]];
    const iv = p.interval[slot];
    this.freePayload(slot);
    if (iv >= 0) {
      device.intervals.remove(iv);
      device.conflicts.release(p.sector[slot], p.size[slot] / 512);
    }
    this.list.remove(slot);
    p.release(slot);
    this.connection.writes.checkDrained();
  }

  freePayload(slot: number): void {
    const { resource } = this.connection;
    const p = resource.peerRequests;
    const { arena } = resource.devices[p.device[slot]];
    if (p.offset[slot] >= 0 && this.awaitsAck(slot)) arena.freeSent(p.offset[slot], p.size[slot]);
    else if (p.offset[slot] >= 0) arena.free(p.offset[slot], p.size[slot]);
    p.offset[slot] = -1;
  }

  /** A resync reply that the peer has not answered. */
  private awaitsAck(slot: number): boolean {
    const p = this.connection.resource.peerRequests;
    return p.kind[slot] === PeerReq.RS_READ && (p.flags[slot] & (PeerFlag.DONE | PeerFlag.ACKED)) === PeerFlag.DONE;
  }

  private pushFlight(slot: number, position: number): void {
    const p = this.connection.resource.peerRequests;
    p.flags[slot] |= PeerFlag.DONE;
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

/** How a read that finds no data is answered. */
const noDataReply = (kind: number): number =>
  kind === PeerReq.READ ? Cmd.NEG_DREPLY : kind === PeerReq.OV_TARGET ? Cmd.RS_CANCEL : Cmd.NEG_RS_DREPLY;
