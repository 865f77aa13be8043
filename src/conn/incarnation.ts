// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Two TCP connections and everything that lives and dies with them: streams, what is agreed, pings, send time-outs.
 * An incarnation speaks to its connection until `kill`, never after, so that nothing of a dead one can hurt the next.
 * @spec wire.md 12, 13, hazards.md H-210, H-212
 */
import type { Arena } from '../host/arena.ts';
import type { Clock, Timer } from '../host/clock.ts';
import type { ClosedCause, Framing, StreamHandler } from '../host/net.ts';
import { MAX_BIO_BYTES, MAX_FIXED_BYTES } from '../wire/limits.ts';
import { PPing, PPingAck } from '../wire/packets/empty.ts';
import { fixedBytesTable, packetName } from '../wire/packets.ts';
import type { Packet } from '../wire/schema.ts';
import type { Agreed } from '../wire/versions.ts';
import type { NetConf } from './config.ts';
import { ConnStream } from './conn-stream.ts';
import { NOT_AGREED } from './handshake.ts';
import { PacketHandlers, TAKEN, type Verdict } from './handlers.ts';
import { Keepalive } from './keepalive.ts';
import type { ConnLink } from './link.ts';
import { Receiver } from './receiver.ts';
import { SendWatch } from './send-watch.ts';
import type { EarlyPacket, Path, TransportStreams } from './transport-class.ts';

/** Why an incarnation ends by itself. @spec uuid.md 4.8 */
export type Loss = 'brokenPipe' | 'networkFailure' | 'protocolError';

export interface IncarnationEvents {
  /** Called once at most. text: for the log. */
  lost(loss: Loss, text: string): void;
  /** A packet of the data stream before `receive`. */
  handshakePacket(command: number, view: DataView, at: number, bytes: number): void;
  /** Nothing came on the data stream for the time given to expect(). */
  dataSilent(): void;
  /** The stream's end is no surprise now. */
  disconnectExpected(): boolean;
  /** Send time-outs count against ko-count only while Connected. */
  connected(): boolean;
  warn(text: string): void;
  dataSent(position: number): void;
  dataWritable(): void;
  controlSent(position: number): void;
  controlWritable(): void;
}

export class Incarnation implements ConnLink {
  readonly path: Path;
  readonly data: ConnStream;
  readonly control: ConnStream;
  readonly resolveConflicts: boolean;
  integrityAlg: string;
  peerIntegrityAlg = '';
  readonly #clock: Clock;
  readonly #events: IncarnationEvents;
  readonly #keepalive: Keepalive;
  readonly #dataWatch: SendWatch;
  readonly #controlWatch: SendWatch;
  readonly #early: { data: EarlyPacket | null; control: EarlyPacket | null };
  readonly #arenas = new Map<number, Arena>();
  #conf: NetConf;
  #agreed: Agreed = NOT_AGREED;
  #dataReceiver: Receiver | null = null;
  #controlReceiver: Receiver;
  #koLeft: number;
  #expectTimer: Timer | null = null;
  /** One stream has ended, the other one is heard out. */
  #endTimer: Timer | null = null;
  #ending: { readonly loss: Loss; readonly text: string } = { loss: 'networkFailure', text: '' };
  #dead = false;
  pingedMs = 0;

  constructor(clock: Clock, conf: NetConf, streams: TransportStreams, events: IncarnationEvents) {
    this.#clock = clock;
    this.#conf = conf;
    this.#events = events;
    this.path = streams.path;
    this.resolveConflicts = streams.resolveConflicts;
    this.integrityAlg = conf.integrityAlg;
    this.data = new ConnStream(streams.data);
    this.control = new ConnStream(streams.control);
    this.#early = { data: streams.dataEarly, control: streams.controlEarly };
    this.#koLeft = conf.koCount;
    this.#keepalive = new Keepalive(clock, conf.pingIntMs, conf.pingTimeoutMs, {
      sendPing: () => this.send(PPing, -1, {}),
      lastReceivedMs: () => this.control.lastReceivedMs(),
      silent: (explicit) => this.#lost('networkFailure',
        explicit || events.connected() ? `PingAck did not arrive in time${explicit ? '' : '.'}` : ''),
    });
    this.#dataWatch = new SendWatch(clock, 'send on data stream', conf.timeoutMs, {
      queuedBytes: () => this.data.queuedBytes(), expired: () => this.#dataExpired(),
    });
    this.#controlWatch = new SendWatch(clock, 'send on control stream', conf.timeoutMs, {
      queuedBytes: () => this.control.queuedBytes(), expired: () => this.#controlExpired(),
    });
    this.#controlReceiver = new Receiver('control', NOT_AGREED, this.#pings());
    this.data.setFraming(this.#framing('h80', 0));
    this.control.setFraming(this.#framing('any', 0));
    this.data.setHandler(this.#dataHandler());
    this.control.setHandler(this.#controlHandler());
  }

  get version(): number { return this.#agreed.version; }
  get features(): number { return this.#agreed.features; }
  get agreed(): Agreed { return this.#agreed; }
  get dead(): boolean { return this.#dead; }

  /** The data stream delivers from now on, its early packet at once. */
  start(): void {
    this.#keepalive.start();
    this.#dataWatch.start();
    this.#controlWatch.start();
    const { data } = this.#early;
    if (data) this.#dataPacket(data.command, data.volume, data.body, 0, data.body.byteLength, -1, 0);
    if (!this.#dead) this.data.hold(false);
  }

  /**
   * The control stream too, after the handshake: a peer that is done with it may already have sent what only an agreed
   * connection can take.
   */
  startControl(): void {
    if (this.#dead) return;
    const { control } = this.#early;
    if (control) this.#controlPacket(control.command, control.volume, control.body, 0, control.body.byteLength, -1, 0);
    if (!this.#dead) this.control.hold(false);
  }

  /** Everything from the next packet on has the form of these. */
  setAgreed(agreed: Agreed): void {
    this.#agreed = agreed;
    this.data.setFraming(this.#framing('h100', 0));
  }

  /** The handshake is over: packets go to their handlers. */
  receive(own: PacketHandlers, above: PacketHandlers): void {
    this.#dataReceiver = new Receiver('data', this.#agreed, own, above);
    this.#controlReceiver = new Receiver('control', this.#agreed, this.#pings(), own, above);
    this.#dataReceiver.setDigestBytes(0);
  }

  /** What the peer said it puts behind the fixed part of block data. */
  setPeerIntegrity(algorithm: string, digestBytes: number): void {
    this.peerIntegrityAlg = algorithm;
    this.data.setFraming(this.#framing('h100', digestBytes));
    this.#dataReceiver?.setDigestBytes(digestBytes);
  }

  bindVolume(vnr: number, arena: Arena | null): void {
    if (arena) this.#arenas.set(vnr, arena);
    else this.#arenas.delete(vnr);
    if (!this.#dead) this.data.bindVolume(vnr, arena);
  }

  exclusive(on: boolean): boolean { return this.data.exclusive(on); }
  wait(on: boolean): void { this.data.wait(on); }

  configure(conf: NetConf): void {
    this.#conf = conf;
    this.#keepalive.setTimes(conf.pingIntMs, conf.pingTimeoutMs);
    this.#dataWatch.setTimeout(conf.timeoutMs);
    this.#controlWatch.setTimeout(conf.timeoutMs);
    this.#koLeft = conf.koCount;
  }

  send<T>(definition: Packet<T>, vnr: number, value: T): void {
    if (this.#dead) return;
    const stream = definition.stream === 'data' ? this.data : this.control;
    if (!stream.send(definition, vnr, value, this.#agreed)) {
      this.#lost('networkFailure', `too many packets wait to be sent, among them ${definition.name}`);
    }
  }

  ping(done: (alive: boolean) => void): void { this.#keepalive.ping(done); }

  /** The data stream must bring something every timeoutMs, else dataSilent; 0 ends that. */
  expect(timeoutMs: number): void {
    this.#expectTimer?.cancel();
    this.#expectTimer = null;
    if (timeoutMs > 0 && !this.#dead) this.#armExpect(timeoutMs, this.#clock.nowMs());
  }

  /** No callback after this; what is queued may still leave within lingerMs once close() is called. */
  kill(): void {
    if (this.#dead) return;
    this.#dead = true;
    this.#expectTimer?.cancel();
    this.#endTimer?.cancel();
    this.#dataWatch.stop();
    this.#controlWatch.stop();
    this.#keepalive.stop();
  }

  close(lingerMs: number): void {
    this.kill();
    this.data.close(lingerMs);
    this.control.close(lingerMs);
  }

  /** Packets that a dying connection still has to tell: they leave with close(). */
  sendLast<T>(definition: Packet<T>, vnr: number, value: T): void {
    const stream = definition.stream === 'data' ? this.data : this.control;
    stream.send(definition, vnr, value, this.#agreed);
  }

  #framing(header: Framing['header'], digestBytes: number): Framing {
    return {
      header, fixedBytes: fixedBytesTable(digestBytes), maxFixedBytes: MAX_FIXED_BYTES, maxPayloadBytes: MAX_BIO_BYTES,
    };
  }

  #pinged(): Verdict {
    this.pingedMs = this.#clock.nowMs();
    this.send(PPingAck, -1, {});
    return TAKEN;
  }

  #pings(): PacketHandlers {
    return new PacketHandlers()
      .on(PPing, () => this.#pinged())
      .on(PPingAck, () => { this.#keepalive.acked(); return TAKEN; });
  }

  #dataHandler(): StreamHandler {
    return {
      packet: (command, volume, at, bytes, payload, payloadBytes) =>
        this.#dataPacket(command, volume, this.data.input, at, bytes, payload, payloadBytes),
      sent: (position) => {
        this.#dataWatch.sent(position);
        this.#koLeft = this.#conf.koCount;
        this.#events.dataSent(position);
      },
      writable: () => { if (this.data.drain()) this.#events.dataWritable(); },
      closed: (cause, errno) => this.#dataClosed(cause, errno),
    };
  }

  #controlHandler(): StreamHandler {
    return {
      packet: (command, volume, at, bytes, payload, payloadBytes) =>
        this.#controlPacket(command, volume, this.control.input, at, bytes, payload, payloadBytes),
      sent: (position) => {
        this.#controlWatch.sent(position);
        this.#events.controlSent(position);
      },
      writable: () => { if (this.control.drain()) this.#events.controlWritable(); },
      closed: (cause, errno) => this.#controlClosed(cause, errno),
    };
  }

  #dataPacket(command: number, volume: number, view: DataView, at: number, bytes: number, payload: number,
    payloadBytes: number): void {
    if (this.#dead) return this.#drop(volume, payload, payloadBytes);
    const receiver = this.#dataReceiver;
    if (receiver === null) {
      this.#drop(volume, payload, payloadBytes);
      return this.#events.handshakePacket(command, view, at, bytes);
    }
    const refused = receiver.check(command, volume, bytes);
    if (refused !== TAKEN) {
      this.#drop(volume, payload, payloadBytes);
      return this.#lost('protocolError', refused);
    }
    const verdict = receiver.dispatch(command, volume, view, at, bytes, payload, payloadBytes);
    if (verdict !== TAKEN) {
      this.#lost('protocolError', `error receiving ${packetName(command)}, e: -5 l: ${bytes + payloadBytes}! ${verdict}`);
    }
  }

  #controlPacket(command: number, volume: number, view: DataView, at: number, bytes: number, payload: number,
    payloadBytes: number): void {
    if (this.#dead) return this.#drop(volume, payload, payloadBytes);
    const receiver = this.#controlReceiver;
    const refused = receiver.check(command, volume, bytes);
    if (refused !== TAKEN) {
      this.#drop(volume, payload, payloadBytes);
      return this.#lost('networkFailure', refused);
    }
    const verdict = receiver.dispatch(command, volume, view, at, bytes, payload, payloadBytes);
    if (verdict !== TAKEN) this.#lost('protocolError', `error receiving ${packetName(command)}, e: -5 l: ${bytes}! ${verdict}`);
  }

  #drop(volume: number, payload: number, payloadBytes: number): void {
    if (payload >= 0) this.#arenas.get(volume)?.free(payload, payloadBytes);
  }

  #dataClosed(cause: ClosedCause, errno: number): void {
    if (this.#dead) return;
    if (this.#endTimer) return this.#bothEnded();
    if (cause === 'protocol') return this.#lost('protocolError', WRONG_HEADER);
    if (cause === 'eof' && this.#events.disconnectExpected()) return this.#awaitEnd('brokenPipe', '');
    this.#lost('brokenPipe', cause === 'eof' ? 'sock was shut down by peer' : socketError(errno));
  }

  /** A peer that ends closes both streams: what it said last on the other one, a commit perhaps, is heard first. */
  #controlClosed(cause: ClosedCause, errno: number): void {
    if (this.#dead) return;
    if (this.#endTimer) return this.#bothEnded();
    if (cause === 'protocol') return this.#lost('protocolError', WRONG_HEADER);
    const text = cause === 'eof' ? 'meta connection shut down by peer.' : socketError(errno);
    this.#awaitEnd('networkFailure', this.#events.disconnectExpected() ? '' : text);
  }

  #awaitEnd(loss: Loss, text: string): void {
    this.#keepalive.rest();
    this.#ending = { loss, text };
    this.#endTimer = this.#clock.timer('end of the other stream', this.#conf.pingTimeoutMs, () => this.#lost(loss, text));
  }

  /** An announced disconnect may still come by way of a third node. */
  #bothEnded(): void {
    if (!this.#events.disconnectExpected()) this.#lost(this.#ending.loss, this.#ending.text);
  }

  #dataExpired(): boolean {
    if (!this.#events.connected()) return this.#expired('sock');
    if (this.#conf.koCount === 0) return true;
    this.#koLeft--;
    this.#events.warn(`[data] sending time expired, ko = ${this.#koLeft}`);
    if (this.#koLeft > 0) {
      this.#keepalive.sendPing();
      return true;
    }
    return this.#expired('sock');
  }

  #controlExpired(): boolean {
    return this.#expired('meta sock');
  }

  #expired(name: string): false {
    this.#lost('networkFailure', `${name} send timed out`);
    return false;
  }

  #armExpect(timeoutMs: number, sinceMs: number): void {
    const waitMs = Math.max(1, Math.max(sinceMs, this.data.lastReceivedMs()) + timeoutMs - this.#clock.nowMs());
    this.#expectTimer = this.#clock.timer('packet on data stream', waitMs, () => {
      this.#expectTimer = null;
      const nowMs = this.#clock.nowMs();
      if (this.data.busy) this.#armExpect(timeoutMs, nowMs);
      else if (nowMs - Math.max(sinceMs, this.data.lastReceivedMs()) < timeoutMs) this.#armExpect(timeoutMs, sinceMs);
      else this.#events.dataSilent();
    });
  }

  #lost(loss: Loss, text: string): void {
    if (this.#dead) return;
    this.kill();
    this.#events.lost(loss, text);
  }
}

const WRONG_HEADER = 'Wrong magic value or size in a packet header';

const ECONNRESET = 104;
const socketError = (errno: number): string =>
  (errno === ECONNRESET ? 'sock was reset by peer' : `sock_recvmsg returned -${errno}`);
