// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * One connection to one peer, from `connect` to StandAlone: connecting, handshake, receiving, tearing down, again.
 * @spec uuid.md 4, wire.md 1, 3, 4, 12, 13
 */
import { assert } from '../assert.ts';
import type { Arena } from '../host/arena.ts';
import type { Clock, Job, Timer } from '../host/clock.ts';
import type { Crypto } from '../host/crypto.ts';
import { LogLevel } from '../host/log.ts';
import type { Random } from '../host/random.ts';
import { Cstate } from '../state/states.ts';
import { PDelayProbe } from '../wire/packets/delay-probe.ts';
import { PDisconnect } from '../wire/packets/empty.ts';
import { ConnFlag, PProtocol, PProtocolUpdate } from '../wire/packets/protocol.ts';
import type { Packet } from '../wire/schema.ts';
import type { ConnIdentity, NetConf } from './config.ts';
import type { ConnEnv } from './env.ts';
import { Handshake, type HandshakeFailure } from './handshake.ts';
import { PacketHandlers, TAKEN, type Verdict } from './handlers.ts';
import { Incarnation, type Loss } from './incarnation.ts';
import type { ConnLink } from './link.ts';
import { adopted, incompatibleSettings, protocolChanged, protocolPacket, updateSeenFromHere } from './protocol-check.ts';
import type { Path, Transport, TransportRegistry, TransportStreams } from './transport-class.ts';

export interface ConnHost {
  readonly clock: Clock;
  readonly random: Random;
  readonly crypto: Crypto;
}

/** After a failed handshake, before the next attempt. */
const RETRY_DELAY_MS = 1000;
/** Receive time-outs of the data stream, in ping-timeouts. */
const FEATURES_PING_TIMEOUTS = 4;
/** The peer looks at its sockets first, for its own ping-timeout: that may be longer than ours. */
const FEATURES_MIN_MS = 5_000;
const HANDSHAKE_PING_TIMEOUTS = 10;

type Phase =
  /** StandAlone or Unconnected: waits for connConnect(). */
  | { readonly is: 'idle' }
  /** Unconnected, waits before the next attempt. */
  | { readonly is: 'retrying'; readonly timer: Timer }
  /** Connecting: the transport makes two streams. */
  | { readonly is: 'transport' }
  /** Connecting: features and authentication. */
  | { readonly is: 'handshake'; readonly incarnation: Incarnation; readonly handshake: Handshake }
  /** Connecting until the connect transaction commits, then Connected: packets go to their handlers. */
  | { readonly is: 'receiving'; readonly incarnation: Incarnation }
  /** The sockets are dead; clean-up is under way (conn_disconnect). */
  | { readonly is: 'ending' }
  | { readonly is: 'destroyed' };

const LOSS: { readonly [K in Loss]: Cstate } = {
  brokenPipe: Cstate.brokenPipe, networkFailure: Cstate.networkFailure, protocolError: Cstate.protocolError,
};

export class ConnConnection {
  readonly identity: ConnIdentity;
  readonly #host: ConnHost;
  readonly #env: ConnEnv;
  readonly #handlers: PacketHandlers;
  readonly #own: PacketHandlers;
  readonly #transport: Transport;
  readonly #arenas = new Map<number, Arena>();
  readonly #endJob: Job;
  #conf: NetConf;
  #phase: Phase = { is: 'idle' };
  #retryDelayMs = 0;
  /** What is left of an incarnation between its loss and the end of the turn. */
  #dying: Incarnation | null = null;

  /** conf.transport must be registered. */
  constructor(host: ConnHost, transports: TransportRegistry, identity: ConnIdentity, conf: NetConf, env: ConnEnv,
    handlers: PacketHandlers) {
    const transportClass = transports.find(conf.transport);
    assert(transportClass, 'the transport class exists');
    this.#host = host;
    this.#env = env;
    this.#conf = conf;
    this.#handlers = handlers;
    this.#own = this.#ownHandlers();
    this.#transport = transportClass.create();
    this.identity = identity;
    this.#endJob = { name: 'end of a connection', queued: false, run: () => this.#endIncarnation() };
  }

  get conf(): NetConf { return this.#conf; }
  get phase(): Phase['is'] { return this.#phase.is; }
  get paths(): readonly Path[] { return this.#transport.paths; }
  /** The streams in use; null before the handshake is done and after the loss. */
  get link(): ConnLink | null { return this.#phase.is === 'receiving' ? this.#phase.incarnation : null; }

  addPath(path: Path): void { this.#transport.addPath(path); }

  /** A path in use takes its connection along. */
  removePath(path: Path): void {
    this.#transport.removePath(path);
    if (this.#incarnation?.path === path) this.fail(Cstate.networkFailure, '', 'The path in use was removed');
  }

  /** cstate is Unconnected: connect, for as long as it takes. */
  connConnect(): void {
    if (this.#phase.is !== 'idle') return;
    if (this.#retryDelayMs === 0) return this.#begin();
    const timer = this.#host.clock.timer('connect again', this.#retryDelayMs, () => this.#begin());
    this.#phase = { is: 'retrying', timer };
  }

  /** cstate is a loss reason, TearDown or Disconnecting: end what there is, then env.tornDown(). */
  connDisconnect(): void {
    switch (this.#phase.is) {
      case 'ending':
      case 'destroyed':
        return;
      case 'retrying':
        this.#phase.timer.cancel();
        break;
      case 'transport':
        this.#transport.cancel();
        break;
      case 'handshake':
      case 'receiving':
        this.#dying = this.#phase.incarnation;
        this.#dying.kill();
        break;
    }
    this.#phase = { is: 'ending' };
    this.#host.clock.atTurnEnd(this.#endJob);
  }

  /** Hard change to a loss reason or Disconnecting; ends the incarnation. text '' logs nothing. */
  fail(to: Cstate, tag: string, text: string): void {
    if (this.#phase.is === 'ending' || this.#phase.is === 'destroyed') return;
    if (text !== '') this.#env.log(LogLevel.err, text);
    this.#env.changeCstate(to, tag);
    this.connDisconnect();
  }

  /** The last P_STATE of the handshake is here: the data stream may be silent from now on. */
  handshakeFinished(): void {
    if (this.#phase.is === 'receiving') this.#phase.incarnation.expect(0);
  }

  /** False: there are no streams (any more), nothing was sent. Asserts that the agreed version and features permit it. */
  send<T>(definition: Packet<T>, vnr: number, value: T): boolean {
    if (this.#phase.is === 'ending' && this.#dying) {
      this.#dying.sendLast(definition, vnr, value);
      return true;
    }
    if (this.#phase.is !== 'receiving') return false;
    assert(definition.permitted(this.#phase.incarnation.agreed), 'the packet is permitted between these peers');
    this.#phase.incarnation.send(definition, vnr, value);
    return true;
  }


  /** done(true) when the peer has processed everything sent before on the control stream; done(false): it is lost. */
  ping(done: (alive: boolean) => void): void {
    const incarnation = this.#incarnation;
    if (incarnation) incarnation.ping(done);
    else done(false);
  }

  /** Adopts changed net options; tells the peer where it must know. */
  configure(conf: NetConf): void {
    const before = this.#conf;
    this.#conf = conf;
    this.#incarnation?.configure(conf);
    if (this.#phase.is !== 'receiving' || !protocolChanged(before, conf)) return;
    this.#phase.incarnation.send(PProtocolUpdate, -1, protocolPacket(conf, this.#env.connectFlags()));
    this.#phase.incarnation.integrityAlg = conf.integrityAlg;
  }

  /** Where block data of this volume goes; null: nowhere. */
  bindVolume(vnr: number, arena: Arena | null): void {
    if (arena) this.#arenas.set(vnr, arena);
    else this.#arenas.delete(vnr);
    this.#incarnation?.bindVolume(vnr, arena);
  }

  /** The object goes away; no callback follows. */
  destroy(): void {
    if (this.#phase.is === 'retrying') this.#phase.timer.cancel();
    this.#transport.cancel();
    this.#incarnation?.close(0);
    this.#dying?.close(0);
    this.#dying = null;
    this.#phase = { is: 'destroyed' };
  }

  get #incarnation(): Incarnation | null {
    return this.#phase.is === 'handshake' || this.#phase.is === 'receiving' ? this.#phase.incarnation : null;
  }

  #begin(): void {
    this.#retryDelayMs = 0;
    this.#phase = { is: 'transport' };
    if (!this.#env.changeCstate(Cstate.connecting, 'connecting')) {
      if (this.#phase.is === 'transport') this.#phase = { is: 'idle' };
      return;
    }
    if (this.#phase.is !== 'transport') return;
    this.#transport.connect(this.#conf, {
      connected: (streams) => this.#connected(streams),
      trouble: (text) => this.#env.log(LogLevel.err, text),
    });
  }

  #connected(streams: TransportStreams): void {
    const incarnation: Incarnation = new Incarnation(this.#host.clock, this.#conf, streams, {
      lost: (loss, text) => this.#lost(loss, text),
      handshakePacket: (command, view, at, bytes) => this.#handshakePacket(command, view, at, bytes),
      dataSilent: () => this.#dataSilent(),
      disconnectExpected: () => this.#env.disconnectExpected(),
      connected: () => this.#env.cstate() >= Cstate.connected,
      warn: (text) => this.#env.log(LogLevel.warning, text),
      dataSent: (position) => this.#env.dataSent(position),
      dataWritable: () => this.#env.dataWritable(),
      controlSent: (position) => this.#env.controlSent(position),
      controlWritable: () => this.#env.controlWritable(),
    });
    const handshake = new Handshake(this.#conf, this.identity, this.#host.crypto, this.#host.random, {
      send: (definition, value) => incarnation.send(definition, -1, value),
      log: (level, text) => this.#env.log(level, text),
      agreed: (agreed) => {
        incarnation.setAgreed(agreed);
        this.#env.featuresAgreed(agreed.version, agreed.features);
      },
      done: () => this.#handshakeDone(incarnation),
      failed: (failure) => this.#handshakeFailed(failure),
    });
    this.#phase = { is: 'handshake', incarnation, handshake };
    for (const [vnr, arena] of this.#arenas) incarnation.bindVolume(vnr, arena);
    this.#env.pathEstablished(streams.path, true);
    incarnation.expect(Math.max(FEATURES_MIN_MS, FEATURES_PING_TIMEOUTS * this.#conf.pingTimeoutMs));
    handshake.start();
    incarnation.start();
  }

  #handshakePacket(command: number, view: DataView, at: number, bytes: number): void {
    if (this.#phase.is !== 'handshake') return;
    this.#phase.handshake.packet(command, view, at, bytes, this.#phase.incarnation.agreed);
  }

  #dataSilent(): void {
    if (this.#phase.is === 'handshake') this.#phase.handshake.silent();
    // Without volumes no P_STATE ends the handshake; Connected does.
    else if (this.#env.cstate() < Cstate.connected) this.#lost('brokenPipe', 'sock_recvmsg returned -11');
  }

  #handshakeFailed({ is, text }: HandshakeFailure): void {
    this.#retryDelayMs = RETRY_DELAY_MS;
    this.fail(is === 'abort' ? Cstate.disconnecting : Cstate.networkFailure, is === 'abort' ? '' : 'disconnected', text);
  }

  #handshakeDone(incarnation: Incarnation): void {
    if (this.#phase.is !== 'handshake') return;
    incarnation.receive(this.#own, this.#handlers);
    this.#phase = { is: 'receiving', incarnation };
    incarnation.expect(HANDSHAKE_PING_TIMEOUTS * this.#conf.pingTimeoutMs);
    incarnation.send(PProtocol, -1, protocolPacket(this.#conf, this.#env.connectFlags()));
    this.#env.handshakeDone(incarnation);
    incarnation.startControl();
  }

  #ownHandlers(): PacketHandlers {
    return new PacketHandlers()
      .on(PProtocol, (_vnr, packet) => this.#peerProtocol(packet))
      .on(PProtocolUpdate, (_vnr, packet) => this.#peerProtocolUpdate(packet))
      .on(PDisconnect, () => {
        this.fail(Cstate.disconnecting, 'receive-disconnect', '');
        return TAKEN;
      })
      .on(PDelayProbe, () => TAKEN);
  }

  #peerProtocol(packet: PProtocol): Verdict {
    const text = incompatibleSettings(protocolPacket(this.#conf, this.#env.connectFlags()), packet);
    if (text !== '') {
      this.fail(Cstate.disconnecting, '', text);
      return TAKEN;
    }
    if ((packet.connFlags & ConnFlag.dryRun) !== 0) this.#env.peerDryRun();
    this.#adoptIntegrity(packet.integrityAlg);
    return TAKEN;
  }

  #peerProtocolUpdate(packet: PProtocol): Verdict {
    this.#adoptIntegrity(packet.integrityAlg);
    if (this.#phase.is !== 'receiving') return TAKEN;
    const update = updateSeenFromHere(packet);
    this.#conf = adopted(this.#conf, update);
    this.#env.protocolUpdate(update);
    return TAKEN;
  }

  #adoptIntegrity(algorithm: string): void {
    const digestBytes = algorithm === '' ? 0 : this.#host.crypto.digestBytes(algorithm);
    if (algorithm !== '' && digestBytes === 0) {
      this.fail(Cstate.disconnecting, '', `peer data-integrity-alg ${algorithm} not supported`);
    } else if (this.#phase.is === 'receiving') {
      this.#phase.incarnation.setPeerIntegrity(algorithm, digestBytes);
    }
  }

  #lost(loss: Loss, text: string): void {
    if (this.#env.cstate() < Cstate.connected) this.#retryDelayMs = RETRY_DELAY_MS;
    this.fail(LOSS[loss], '', text);
  }

  /** Steps of conn_disconnect, uuid.md 4.9; what is above this layer happens in the env's callbacks. */
  #endIncarnation(): void {
    if (this.#phase.is !== 'ending') return;
    this.#env.changeCstate(Cstate.networkFailure, 'disconnected');
    const incarnation = this.#dying;
    this.#dying = null;
    if (incarnation) {
      incarnation.close(this.#orderly() ? this.#conf.pingTimeoutMs : 0);
      this.#env.pathEstablished(incarnation.path, false);
    }
    this.#env.cleanUp(() => {
      if (this.#phase.is !== 'ending') return;
      this.#env.log(LogLevel.info, 'Connection closed');
      this.#env.afterClosed(() => {
        if (this.#phase.is !== 'ending') return;
        this.#phase = { is: 'idle' };
        this.#env.tornDown();
      });
    });
  }

  /** The peer must still hear what was sent last. */
  #orderly(): boolean {
    const cstate = this.#env.cstate();
    return cstate === Cstate.disconnecting || cstate === Cstate.tearDown;
  }
}
