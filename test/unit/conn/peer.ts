// SPDX-License-Identifier: GPL-2.0-or-later
/** Ends of a connection in one process: a small state engine above ConnConnection, on the simulated network or a real one. */
import type { NetConf } from '../../../src/conn/config.ts';
import { ConnConnection } from '../../../src/conn/connection.ts';
import type { ConnEnv } from '../../../src/conn/env.ts';
import { PacketHandlers, TAKEN } from '../../../src/conn/handlers.ts';
import type { ConnLink } from '../../../src/conn/link.ts';
import { type Path, TransportRegistry } from '../../../src/conn/transport-class.ts';
import type { Clock } from '../../../src/host/clock.ts';
import type { Crypto } from '../../../src/host/crypto.ts';
import type { Address, Net } from '../../../src/host/net.ts';
import type { Random } from '../../../src/host/random.ts';
import { EngineLife } from '../../../src/sim/clock.ts';
import { SimCrypto } from '../../../src/sim/crypto.ts';
import { SimFabric, SimNet } from '../../../src/sim/net.ts';
import { World } from '../../../src/sim/world.ts';
import { Cstate, cstateNames } from '../../../src/state/states.ts';
import { TcpTransportClass } from '../../../src/transport/tcp.ts';
import type { PProtocol } from '../../../src/wire/packets/protocol.ts';
import { PState } from '../../../src/wire/packets/state.ts';
import { PTwopcCommit } from '../../../src/wire/packets/twopc.ts';
import { ownOffer } from '../../../src/wire/versions.ts';

export const NET_CONF: NetConf = {
  transport: 'tcp', wireProtocol: 3, afterSb0p: 0, afterSb1p: 0, afterSb2p: 0, twoPrimaries: false,
  integrityAlg: '', cramHmacAlg: '', sharedSecret: '', connectIntMs: 10_000, pingIntMs: 10_000, pingTimeoutMs: 500,
  timeoutMs: 6_000, koCount: 7, socketCheckTimeoutMs: 0, sndbufBytes: 0, rcvbufBytes: 0,
};

export class Cluster {
  readonly world: World;
  readonly fabric: SimFabric;

  constructor(seed: number) {
    this.world = new World(seed);
    this.fabric = new SimFabric(this.world);
  }

  node(id: number, peerId: number, conf: Partial<NetConf> = {}): Peer {
    const life = new EngineLife(this.world);
    const net = new SimNet(this.fabric, life);
    const machine = { clock: life, net, random: this.world.random, crypto: new SimCrypto(), turn: (run: () => void) => life.turn(run) };
    return new Peer(machine, id, peerId, { ...NET_CONF, ...conf }, addressOf(id), addressOf(peerId));
  }

  pair(conf: Partial<NetConf> = {}): [Peer, Peer] {
    return [this.node(0, 1, conf), this.node(1, 0, conf)];
  }

  until(done: () => boolean, limitMs = 60_000): boolean {
    return this.world.runUntil(done, limitMs);
  }
}

export const addressOf = (nodeId: number, port = 7000): Address => ({ family: 'ipv4', address: `10.0.0.${nodeId + 1}`, port });

/** What one end has of the world. */
export interface Machine {
  readonly clock: Clock;
  readonly net: Net;
  readonly random: Random;
  readonly crypto: Crypto;
  /** Each call into the engine is a turn. */
  turn(run: () => void): void;
}

/** "Connected" comes with the first P_STATE here, "Disconnecting" is announced by a P_TWOPC_COMMIT as in real life. */
export class Peer implements ConnEnv {
  readonly machine: Machine;
  readonly conn: ConnConnection;
  readonly path: Path;
  readonly lines: string[] = [];
  readonly states: Array<readonly [vnr: number, state: number]> = [];
  readonly handlers = new PacketHandlers();
  readonly established: boolean[] = [];
  links: ConnLink[] = [];
  updates: PProtocol[] = [];
  discardMyData = false;
  expected = false;
  sentPosition = 0;
  #cstate: Cstate = Cstate.standAlone;

  constructor(machine: Machine, id: number, peerId: number, conf: NetConf, local: Address, peer: Address) {
    this.machine = machine;
    const transports = new TransportRegistry();
    transports.register(new TcpTransportClass(machine));
    this.handlers.on(PState, (vnr, { state }) => {
      this.states.push([vnr, state]);
      if (this.#cstate === Cstate.connecting) this.becomeConnected();
      return state === 0xbad ? 'a state that cannot be' : TAKEN;
    });
    this.handlers.on(PTwopcCommit, () => {
      this.changeCstate(Cstate.tearDown, 'remote');
      return TAKEN;
    });
    this.conn = new ConnConnection(machine, transports, { ownNodeId: id, peerNodeId: peerId, offer: ownOffer }, conf, this,
      this.handlers);
    this.path = { local, peer, netns: 0 };
  }

  turn(run: () => void): void { this.machine.turn(run); }

  connect(): void {
    this.turn(() => {
      if (!this.conn.paths.includes(this.path)) this.conn.addPath(this.path);
      this.#set(Cstate.unconnected, 'connect');
      this.conn.connConnect();
    });
  }

  /** Orderly: the peer hears of it before the streams end. */
  disconnect(): void {
    this.turn(() => {
      if (this.#cstate === Cstate.connected) {
        this.conn.send(PTwopcCommit, -1, {
          tid: 1, flags: 0, initiatorNodeId: 0, targetNodeId: 1, nodesToReach: 0n, primaryNodes: 0n, reachableNodes: 0n,
        });
      }
      this.changeCstate(Cstate.disconnecting, 'down');
    });
  }

  sendState(state: number): void { this.turn(() => { this.conn.send(PState, 0, { state }); }); }

  get connected(): boolean { return this.#cstate === Cstate.connected; }
  has(text: string): boolean { return this.lines.some((line) => line.includes(text)); }
  count(text: string): number { return this.lines.filter((line) => line.includes(text)).length; }

  becomeConnected(): void {
    this.#set(Cstate.connected, 'connected');
    this.conn.handshakeFinished();
  }

  // --- ConnEnv
  log(_level: number, text: string): void { this.lines.push(text); }
  cstate(): Cstate { return this.#cstate; }

  changeCstate(to: Cstate, tag: string): boolean {
    const from = this.#cstate;
    if (from === Cstate.standAlone || from === Cstate.disconnecting) return false;
    if (from > Cstate.disconnecting && from <= Cstate.tearDown && to > Cstate.unconnected && to <= Cstate.tearDown) return false;
    if (to === Cstate.connecting && from !== Cstate.unconnected) return false;
    this.#set(to, tag);
    if (to < Cstate.connecting) this.conn.connDisconnect();
    return true;
  }

  disconnectExpected(): boolean { return this.expected; }
  peerDryRun(): void {}
  connectFlags() { return { discardMyData: this.discardMyData, dryRun: false }; }
  featuresAgreed(): void {}

  handshakeDone(link: ConnLink): void {
    this.links.push(link);
    this.conn.send(PState, 0, { state: 0x1000 + this.links.length });
  }

  protocolUpdate(packet: PProtocol): void { this.updates.push(packet); }
  cleanUp(done: () => void): void { this.machine.clock.timer('clean-up', 3, done); }
  afterClosed(done: () => void): void { this.machine.clock.timer('helper disconnected', 5, done); }

  tornDown(): void {
    if (this.#cstate === Cstate.disconnecting) return this.#set(Cstate.standAlone, 'disconnected');
    this.#set(Cstate.unconnected, 'disconnected');
    this.conn.connConnect();
  }

  pathEstablished(_path: Path, established: boolean): void { this.established.push(established); }
  dataSent(position: number): void { this.sentPosition = position; }
  dataWritable(): void {}
  controlSent(): void {}
  controlWritable(): void {}

  #set(to: Cstate, tag: string): void {
    this.lines.push(`conn( ${cstateNames[this.#cstate]} -> ${cstateNames[to]} ) [${tag}]`);
    this.#cstate = to;
  }
}
