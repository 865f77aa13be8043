// SPDX-License-Identifier: GPL-2.0-or-later
import type { NetConf } from '../genl/config-attrs.ts';
import { ConnConnection } from '../conn/connection.ts';
import type { ConnectFlags } from '../conn/config.ts';
import type { ConnEnv } from '../conn/env.ts';
import { PacketHandlers } from '../conn/handlers.ts';
import type { ConnLink } from '../conn/link.ts';
import type { Path } from '../conn/transport-class.ts';
import type { LogLevel } from '../host/log.ts';
import type { ConnectionIo } from '../io/connection-io.ts';
import { Cstate, Repl, isSyncSource } from '../state/states.ts';
import { findPeerDevice } from '../state/view.ts';
import type { TwopcPrepare, TwopcPrepareResize } from '../state/twopc-types.ts';
import type { PProtocol } from '../wire/packets/protocol.ts';
import { ownOffer } from '../wire/versions.ts';
import { keyOf } from './journal.ts';
import { connectionPrefix, Prefixed } from './log.ts';
import { connConf, connectionOptions } from './options.ts';
import type { PeerDevice } from './peer-device.ts';
import { registerReceivers } from './receive.ts';
import type { Resource } from './resource.ts';
import * as send from './send.ts';
import * as uuids from './uuids.ts';

/** A path with the addresses as netlink gave them, and whether it carries the connection now. */
export interface NamedPath {
  readonly path: Path;
  readonly myAddr: Uint8Array;
  readonly peerAddr: Uint8Array;
  established: boolean;
}

/** A peer node of a resource. */
export class Connection implements ConnEnv {
  readonly resource: Resource;
  readonly nodeId: number;
  netConf: NetConf;
  readonly conn: ConnConnection;
  readonly io: ConnectionIo;
  /** By volume number, ascending. */
  readonly peerDevices = new Map<number, PeerDevice>();
  paths: NamedPath[] = [];
  /** The last PREPARE that was sent to it: what a COMMIT means for a peer depends on it. */
  prepared: TwopcPrepare | TwopcPrepareResize | null = null;
  /** At the end of the resync that runs, this much of a lost Primary's writes is here. @spec uuid.md 7.9 step 12 */
  afterReconciliation: { readonly lostNodeId: number; readonly dagtag: number } | null = null;
  /** Which Primary it was told last to be lost here; -1: none. */
  toldLoss = -1;
  /** Nothing behind a PREPARE that waits is taken: a connect's initial packets belong to it. */
  #heldByPrepare: ConnLink | null = null;

  constructor(resource: Resource, nodeId: number, netConf: NetConf) {
    const { engine } = resource;
    this.resource = resource;
    this.nodeId = nodeId;
    this.netConf = netConf;
    this.io = resource.io.addConnection(nodeId);
    const handlers = new PacketHandlers();
    this.conn = new ConnConnection(engine.host, engine.transports,
      { ownNodeId: resource.nodeId, peerNodeId: nodeId, offer: ownOffer }, connConf(netConf), this, handlers);
    registerReceivers(this, handlers);
  }

  /** The peer's host name. */
  get name(): string { return this.netConf.name; }
  get logger(): Prefixed {
    return new Prefixed(this.resource.engine.host.log, connectionPrefix(this.resource.name, this.name));
  }

  prepareWaits(waits: boolean): void {
    if (waits === (this.#heldByPrepare !== null)) return;
    this.#heldByPrepare?.wait(false);
    this.#heldByPrepare = waits ? this.conn.link : null;
    this.#heldByPrepare?.wait(true);
  }

  /** Changed net options take effect. */
  configure(netConf: NetConf): void {
    this.netConf = netConf;
    this.resource.dispatch({ kind: 'connectionOptions', nodeId: this.nodeId, options: connectionOptions(netConf) });
    this.conn.configure(connConf(netConf));
    if (this.conn.link !== null && this.cstate() === Cstate.connected) {
      for (const peerDevice of this.peerDevices.values()) send.syncParam(peerDevice);
    }
  }

  // --- ConnEnv
  log(level: LogLevel, text: string): void { this.logger.line(level, text); }
  cstate(): Cstate { return this.resource.connectionRow(this.nodeId).cstate; }

  changeCstate(to: Cstate, tag: string): boolean {
    const { resource, nodeId } = this;
    const before = this.cstate();
    if (to === Cstate.connecting) {
      const changes = [{ set: 'cstate', nodeId, cstate: to }] as const;
      resource.dispatch({ kind: 'change', request: 0, tag, flags: 0, changes });
    } else {
      resource.dispatch({ kind: 'lost', nodeId, cstate: to, tag, through: this.#mayBeThrough() });
    }
    const after = this.cstate();
    return after === to && (after !== before || to === Cstate.connecting);
  }

  /** Sync targets that lack nothing any more: they tell that they are good when a helper has run, and may be so already. */
  #mayBeThrough(): number[] {
    const { resource, nodeId } = this;
    return [...this.peerDevices].filter(([vnr, { io }]) => isSyncSource(findPeerDevice(resource.view, vnr, nodeId)?.repl ?? Repl.off)
      && io.bitsOutOfSync === 0).map(([vnr]) => vnr);
  }

  disconnectExpected(): boolean { return this.resource.connectionRow(this.nodeId).disconnectExpected; }

  connectFlags(): ConnectFlags {
    const { discardMyData, dryRun } = this.resource.connectionRow(this.nodeId);
    return { discardMyData, dryRun };
  }

  peerDryRun(): void {
    this.resource.dispatch({ kind: 'connectionFacts', nodeId: this.nodeId, facts: { dryRun: true } });
  }

  featuresAgreed(agreedVersion: number, agreedFeatures: number): void {
    this.resource.dispatch({ kind: 'connectionFacts', nodeId: this.nodeId, facts: { agreedVersion, agreedFeatures } });
  }

  handshakeDone(link: ConnLink): void {
    for (const { device } of this.peerDevices.values()) this.conn.bindVolume(device.vnr, device.block.data);
    this.io.linkUp(link);
    this.resource.dispatch({ kind: 'handshakeStart', nodeId: this.nodeId });
  }

  /** What the peer changed by net-options there holds here too. @spec uuid.md 4.5 */
  protocolUpdate(p: PProtocol): void {
    this.netConf = { ...this.netConf, wireProtocol: p.protocol, afterSb0p: p.afterSb0p, afterSb1p: p.afterSb1p,
      afterSb2p: p.afterSb2p, twoPrimaries: p.twoPrimaries !== 0, integrityAlg: p.integrityAlg };
    this.resource.engine.journal.put(keyOf.peer(this.resource.name, this.nodeId), this.netConf);
    this.resource.dispatch({ kind: 'connectionOptions', nodeId: this.nodeId, options: connectionOptions(this.netConf) });
  }

  cleanUp(done: () => void): void {
    this.resource.dispatch({ kind: 'connectionFacts', nodeId: this.nodeId, facts: { dryRun: false } });
    this.afterReconciliation = null;
    this.prepared = null;
    this.io.disconnected(() => {
      for (const peerDevice of this.peerDevices.values()) {
        peerDevice.peerFinishedEarly = false;
      }
      done();
    }, (next) => uuids.afterConnectionLost(this, next));
  }

  afterClosed(done: () => void): void {
    this.resource.dispatch({ kind: 'fencePeer', nodeId: this.nodeId });
    const { resource } = this;
    // Behind the events of the loss.
    resource.worker.flush(() => resource.engine.helpers.run(resource, 'disconnected', { connection: this }, () => done()));
  }

  tornDown(): void { this.resource.dispatch({ kind: 'tornDown', nodeId: this.nodeId }); }

  pathEstablished(path: Path, established: boolean): void {
    const named = this.paths.find((p) => p.path === path);
    if (!named || named.established === established) return;
    named.established = established;
    this.resource.engine.notifier.pathChanged(this, named);
  }

  dataSent(position: number): void { this.io.dataSent(position); }
  dataWritable(): void { this.io.dataWritable(); }
  controlSent(_position: number): void {}
  controlWritable(): void { this.io.controlWritable(); }
}
