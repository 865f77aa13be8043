// SPDX-License-Identifier: GPL-2.0-or-later
import { Repl } from '../state/states.ts';
import { Feature } from '../wire/features.ts';
import type { ConnectionIo } from './connection-io.ts';
import { dagtagNode, dagtagOf } from './dagtag.ts';
import { IvFlag } from './intervals.ts';
import { Cmd, sendDigestRequest } from './packet-out.ts';
import type { PeerDeviceIo } from './peer-device-io.ts';
import { PeerFlag, PeerReq } from './peer-request-pool.ts';

/** VerifyT: answers with digests. Reading and memory are ResyncSource's, as for every read for a peer. @spec uuid.md 8 */
export class VerifyTarget {
  private readonly connection: ConnectionIo;

  constructor(connection: ConnectionIo) {
    this.connection = connection;
  }

  /** The block is read; a read error is told as a digest of zeros. */
  readDone(slot: number, failed: boolean): void {
    const { source, hashes } = this.connection;
    if (this.disturbed(slot)) source.skip(slot);
    else {
      if (failed) source.freePayload(slot);
      hashes.push(slot);
    }
  }

  /** False: no room in the stream. */
  hashed(slot: number, digest: Uint8Array): boolean {
    const { link, resource, peers, facts, source } = this.connection;
    const p = resource.peerRequests;
    if (link === null || this.disturbed(slot)) {
      source.skip(slot);
      return true;
    }
    const peer = peers[p.device[slot]];
    const plain = (link.features & Feature.resyncDagtag) === 0;
    const node = plain ? -1 : dagtagNode(this.connection);
    if (!sendDigestRequest(link.data, plain ? Cmd.OV_REPLY : Cmd.OV_DAGTAG_REPLY, peer.device.vnr, p.sector[slot], p.idHigh[slot],
      p.idLow[slot], p.size[slot], Math.max(0, node), plain ? -1 : dagtagOf(this.connection, node), digest,
      this.connection.digestBytes(facts.verifyAlg))) return false;
    source.freePayload(slot);
    p.flags[slot] |= PeerFlag.ANSWERED;
    peer.unacked = Math.max(0, peer.unacked - 1);
    peer.rsPending++;
    return true;
  }

  /** P_OV_RESULT, P_OV_RESULT_ID. */
  result(peer: PeerDeviceIo, sector: number, size: number, idHigh: number, idLow: number, result: number): string {
    const { resource, link, source } = this.connection;
    const p = resource.peerRequests;
    const ids = link !== null && link.version >= 122;
    let slot = source.list.head;
    while (slot >= 0 && !(p.kind[slot] === PeerReq.OV_TARGET && (p.flags[slot] & PeerFlag.ANSWERED) !== 0 &&
      p.device[slot] === peer.device.index && p.sector[slot] === sector && p.size[slot] === size &&
      (!ids || (p.idHigh[slot] === (idHigh | 0) && p.idLow[slot] === (idLow | 0))))) slot = p.next[slot];
    if (slot < 0) return 'verify result without a reply';
    peer.rsPending--;
    peer.verify.counted(sector, size, result);
    source.drop(slot);
    this.checkDone(peer);
    return '';
  }

  /** Every block has its result. */
  checkDone(peer: PeerDeviceIo): void {
    const { resource, nodeId } = this.connection;
    if (peer.facts.repl === Repl.verifyT && peer.verify.left === 0) resource.env.verifyDone(peer.device.vnr, nodeId);
  }

  private disturbed(slot: number): boolean {
    const { resource } = this.connection;
    const { device, interval } = resource.peerRequests;
    return (resource.devices[device[slot]].intervals.flags[interval[slot]] & IvFlag.CONFLICT) !== 0;
  }
}
