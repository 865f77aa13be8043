// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Transport class tcp: both ends listen and connect until each has a data and a control stream. @spec wire.md 1
 *
 * An attempt does one of three things at a time: dial, wait for an incoming socket, or watch both sockets for a moment
 * before it calls them good. Incoming sockets are taken whatever it does.
 */
import { assert } from '../assert.ts';
import type { Clock, Timer } from '../host/clock.ts';
import type { Cancel, Net, SocketTuning, Stream } from '../host/net.ts';
import type { Random } from '../host/random.ts';
import type { Path, Transport, TransportClass, TransportConf, TransportEvents } from '../conn/transport-class.ts';
import { compareSocketAddress, showAddress } from './address.ts';
import { announce, classify, type FirstPacket, type Kind, type Socket } from './first-packet.ts';
import { ListenerPool, type Waiting } from './listeners.ts';

export interface TcpHost {
  readonly net: Net;
  readonly clock: Clock;
  readonly random: Random;
}

/** One an engine. */
export class TcpTransportClass implements TransportClass {
  readonly name = 'tcp';
  readonly #host: TcpHost;
  readonly #listeners: ListenerPool;

  constructor(host: TcpHost) {
    this.#host = host;
    this.#listeners = new ListenerPool(host.net);
  }

  create(): Transport {
    return new TcpTransport(this.#host, this.#listeners);
  }
}

/** A peer that opens sockets without ever sending on them gets no further ones. */
const UNCLASSIFIED_MAX = 8;
/** Of the first packet, in ping-timeouts. */
const FIRST_PACKET_PING_TIMEOUTS = 4;
/** Data interactive bulk, control interactive: the kernel's priorities follow from the type of service. */
const TOS_DEFAULT = -1;

const EADDRNOTAVAIL = 99;

type Step =
  | { readonly is: 'dialing'; readonly path: Path; readonly cancel: Cancel }
  | { readonly is: 'waiting'; readonly timer: Timer }
  | { readonly is: 'checking'; readonly timer: Timer }
  /** No path that can be used: something must be configured first. */
  | { readonly is: 'stuck' };

class TcpTransport implements Transport {
  readonly #host: TcpHost;
  readonly #listeners: ListenerPool;
  readonly #paths: Path[] = [];
  #attempt: Attempt | null = null;

  constructor(host: TcpHost, listeners: ListenerPool) {
    this.#host = host;
    this.#listeners = listeners;
  }

  get paths(): readonly Path[] { return this.#paths; }

  addPath(path: Path): void {
    assert(!this.#paths.includes(path), 'a path is added once');
    this.#paths.push(path);
    this.#attempt?.pathAdded(path);
  }

  removePath(path: Path): void {
    const at = this.#paths.indexOf(path);
    if (at < 0) return;
    this.#paths.splice(at, 1);
    this.#attempt?.pathRemoved(path);
  }

  connect(conf: TransportConf, events: TransportEvents): void {
    assert(this.#attempt === null, 'one attempt at a time');
    const attempt = new Attempt(this.#host, this.#listeners, this.#paths, conf, {
      connected: (streams) => {
        this.#attempt = null;
        events.connected(streams);
      },
      trouble: (text) => events.trouble(text),
    });
    this.#attempt = attempt;
    attempt.start();
  }

  cancel(): void {
    this.#attempt?.end();
    this.#attempt = null;
  }
}

/** A path while an attempt runs. */
interface Listening extends Waiting {
  listens: boolean;
  /** errno of the trouble that was told last; 0: none. */
  told: number;
  retry: Timer | null;
}

class Attempt {
  readonly #host: TcpHost;
  readonly #listeners: ListenerPool;
  readonly #paths: readonly Path[];
  readonly #conf: TransportConf;
  readonly #events: TransportEvents;
  readonly #listening = new Map<Path, Listening>();
  readonly #unclassified = new Set<FirstPacket>();
  #step: Step = { is: 'stuck' };
  #data: Socket | null = null;
  #control: Socket | null = null;
  #resolveConflicts = false;
  #nextPath = 0;
  #started = false;
  #over = false;

  constructor(host: TcpHost, listeners: ListenerPool, paths: readonly Path[], conf: TransportConf, events: TransportEvents) {
    this.#host = host;
    this.#listeners = listeners;
    this.#paths = paths;
    this.#conf = conf;
    this.#events = events;
  }

  start(): void {
    for (const path of this.#paths) this.#listen(path);
    this.#started = true;
    this.#dial();
  }

  /** Gives everything back, and closes the sockets unless they were handed over. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#stopStep();
    for (const listening of this.#listening.values()) this.#unlisten(listening);
    this.#listening.clear();
    for (const first of this.#unclassified) first.cancel();
    this.#unclassified.clear();
    this.#dropSockets();
  }

  pathAdded(path: Path): void {
    this.#listen(path);
    if (this.#step.is === 'stuck') this.#dial();
  }

  pathRemoved(path: Path): void {
    const listening = this.#listening.get(path);
    if (listening) this.#unlisten(listening);
    this.#listening.delete(path);
    const used = this.#data?.path === path || this.#control?.path === path;
    if (used) this.#dropSockets();
    this.#stopStep();
    this.#dial();
  }

  #tuning(): SocketTuning {
    return { sndbufBytes: this.#conf.sndbufBytes, rcvbufBytes: this.#conf.rcvbufBytes, tos: TOS_DEFAULT };
  }

  // --- listening

  #listen(path: Path): void {
    const listening: Listening = {
      path, listens: false, told: 0, retry: null, accepted: (stream) => this.#accepted(stream, path),
    };
    this.#listening.set(path, listening);
    this.#tryListen(listening);
  }

  #tryListen(listening: Listening): void {
    listening.retry = null;
    const errno = this.#listeners.join(listening, this.#tuning());
    listening.listens = errno === 0;
    if (errno !== 0 && errno !== listening.told) this.#events.trouble(this.#listenTrouble(listening.path, errno));
    listening.told = errno;
    if (errno !== 0) {
      const name = `listen on ${showAddress(listening.path.local)}`;
      listening.retry = this.#host.clock.timer(name, this.#conf.connectIntMs, () => this.#tryListen(listening));
    } else if (this.#started && this.#step.is === 'stuck') {
      this.#dial();
    }
  }

  #listenTrouble({ local }: Path, errno: number): string {
    const every = `retrying every ${Math.round(this.#conf.connectIntMs / 1000)} sec, err=-${errno}`;
    if (errno === EADDRNOTAVAIL) return `Configured local address not found, ${every} (${showAddress(local)})`;
    return `Failed to listen on ${showAddress(local)}, ${every}`;
  }

  #unlisten(listening: Listening): void {
    listening.retry?.cancel();
    if (listening.listens) this.#listeners.leave(listening);
  }

  #accepted(stream: Stream, path: Path): void {
    if (this.#unclassified.size >= UNCLASSIFIED_MAX) return stream.close(0);
    const timeoutMs = FIRST_PACKET_PING_TIMEOUTS * this.#conf.pingTimeoutMs;
    const first: FirstPacket = classify(this.#host.clock, stream, path, timeoutMs, (socket, kind, trouble) => {
      this.#unclassified.delete(first);
      if (trouble !== '') this.#events.trouble(`Error receiving initial packet from ${showAddress(stream.remote)}: ${trouble}`);
      if (kind !== null) this.#incoming(socket, kind);
    });
    this.#unclassified.add(first);
  }

  // --- the loop

  /** One connect, on the path whose turn it is; a path that cannot listen is not dialed either. */
  #dial(): void {
    this.#dropDead();
    if (this.#data && this.#control) return this.#check();
    const path = this.#pathToDial();
    if (!path) {
      this.#step = { is: 'stuck' };
      return;
    }
    const cancel = this.#host.net.connect(
      {
        netns: path.netns, local: { ...path.local, port: 0 }, remote: path.peer,
        timeoutMs: this.#conf.connectIntMs, tuning: this.#tuning(),
      },
      (stream) => this.#outgoing(stream, path),
      () => {
        this.#nextPath++;
        this.#wait();
      },
    );
    this.#step = { is: 'dialing', path, cancel };
  }

  /** Both streams must be on one path: with one there, only its path is dialed. */
  #pathToDial(): Path | null {
    const used = this.#data?.path ?? this.#control?.path;
    if (used) return this.#listening.get(used)?.listens ? used : null;
    const usable = this.#paths.filter((path) => this.#listening.get(path)?.listens);
    return usable.length > 0 ? usable[this.#nextPath % usable.length] : null;
  }

  #outgoing(stream: Stream, path: Path): void {
    this.#dropDead();
    if (this.#data && this.#control) {
      stream.close(0);
      return this.#check();
    }
    const kind = this.#kindToOpen(path);
    if (kind === 'control') this.#resolveConflicts = false;
    this.#adopt(announce(stream, path, kind), kind);
    if (this.#data && this.#control) this.#check();
    else this.#wait();
  }

  #kindToOpen(path: Path): Kind {
    if (this.#data) return 'control';
    if (this.#control) return 'data';
    return compareSocketAddress(path.local, path.peer) > 0 ? 'data' : 'control';
  }

  #incoming(socket: Socket, kind: Kind): void {
    this.#dropDead();
    if (kind === 'control') this.#resolveConflicts = true;
    const crossed = this.#adopt(socket, kind);
    const waitOn = crossed && this.#host.random.below(2) === 0;
    if (this.#data && this.#control) {
      this.#stopStep();
      this.#check();
    } else if (this.#step.is !== 'dialing' || this.#step.path !== socket.path) {
      this.#stopStep();
      if (waitOn) this.#wait();
      else this.#dial();
    }
  }

  /** Takes a socket in; true when it replaces one. Sockets of another path give way to it. */
  #adopt(socket: Socket, kind: Kind): boolean {
    const other = kind === 'data' ? this.#control : this.#data;
    const old = kind === 'data' ? this.#data : this.#control;
    if ((old && old.path !== socket.path) || (other && other.path !== socket.path)) this.#dropSockets();
    else old?.close();
    if (kind === 'data') this.#data = socket;
    else this.#control = socket;
    return old !== null;
  }

  #wait(): void {
    const seventh = this.#conf.connectIntMs / 7;
    const waitMs = this.#conf.connectIntMs + (this.#host.random.below(2) === 0 ? seventh : -seventh);
    this.#step = { is: 'waiting', timer: this.#host.clock.timer('incoming connection', waitMs, () => this.#dial()) };
  }

  /** Both sockets are there: good when both still are after a moment. */
  #check(): void {
    const waitMs = this.#conf.socketCheckTimeoutMs > 0 ? this.#conf.socketCheckTimeoutMs : this.#conf.pingTimeoutMs;
    const timer = this.#host.clock.timer('both streams up', waitMs, () => {
      this.#dropDead();
      if (this.#data && this.#control) this.#established(this.#data, this.#control);
      else this.#dial();
    });
    this.#step = { is: 'checking', timer };
  }

  #established(data: Socket, control: Socket): void {
    this.#data = null;
    this.#control = null;
    this.end();
    data.stream.pause(true);
    control.stream.pause(true);
    this.#events.connected({
      path: data.path,
      data: data.stream,
      control: control.stream,
      dataEarly: data.early,
      controlEarly: control.early,
      resolveConflicts: this.#resolveConflicts,
    });
  }

  #stopStep(): void {
    if (this.#step.is === 'dialing') this.#step.cancel.cancel();
    if (this.#step.is === 'waiting' || this.#step.is === 'checking') this.#step.timer.cancel();
    this.#step = { is: 'stuck' };
  }

  #dropDead(): void {
    if (this.#data && !this.#data.alive) {
      this.#data.close();
      this.#data = null;
    }
    if (this.#control && !this.#control.alive) {
      this.#control.close();
      this.#control = null;
    }
  }

  #dropSockets(): void {
    this.#data?.close();
    this.#control?.close();
    this.#data = null;
    this.#control = null;
  }
}
