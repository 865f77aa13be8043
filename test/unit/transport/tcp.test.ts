// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import type { Path, Transport, TransportConf, TransportStreams } from '../../../src/conn/transport-class.ts';
import type { Address, ConnectOptions, Stream } from '../../../src/host/net.ts';
import { EngineLife } from '../../../src/sim/clock.ts';
import { SimFabric, SimNet } from '../../../src/sim/net.ts';
import { World } from '../../../src/sim/world.ts';
import { TcpTransportClass } from '../../../src/transport/tcp.ts';
import { fixedBytesTable } from '../../../src/wire/packets.ts';

const CONF: TransportConf = { connectIntMs: 10_000, pingTimeoutMs: 500, socketCheckTimeoutMs: 0, sndbufBytes: 0, rcvbufBytes: 0 };
const address = (host: number, port = 7000): Address => ({ family: 'ipv4', address: `10.0.0.${host}`, port });
const path = (own: Address, peer: Address): Path => ({ local: own, peer, netns: 0 });

/** From that host to host 1. */
const dial = (host: number): ConnectOptions => ({
  netns: 0, local: address(host, 0), remote: address(1), timeoutMs: 1000, tuning: { sndbufBytes: 0, rcvbufBytes: 0, tos: -1 },
});

class Engine {
  readonly life: EngineLife;
  readonly net: SimNet;
  readonly transportClass: TcpTransportClass;
  readonly troubles: string[] = [];

  constructor(world: World, fabric: SimFabric) {
    this.life = new EngineLife(world);
    this.net = new SimNet(fabric, this.life);
    this.transportClass = new TcpTransportClass({ net: this.net, clock: this.life, random: world.random });
  }

  connect(...paths: Path[]): { transport: Transport; streams: TransportStreams[] } {
    const transport = this.transportClass.create();
    const streams: TransportStreams[] = [];
    this.life.turn(() => {
      for (const each of paths) transport.addPath(each);
      transport.connect(CONF, { connected: (both) => streams.push(both), trouble: (text) => this.troubles.push(text) });
    });
    return { transport, streams };
  }
}

function setup(seed = 1): { world: World; fabric: SimFabric; engine: () => Engine } {
  const world = new World(seed);
  const fabric = new SimFabric(world);
  return { world, fabric, engine: () => new Engine(world, fabric) };
}

describe('listeners', () => {
  it('are shared by connections with one local address, and told apart by the peer\'s address', () => {
    const { world, fabric, engine } = setup();
    const [server, one, two] = [engine(), engine(), engine()];
    const toOne = server.connect(path(address(1), address(2)));
    const toTwo = server.connect(path(address(1), address(3)));
    expect([...fabric.listening.keys()]).toEqual(['10.0.0.1:7000']);
    const fromTwo = two.connect(path(address(3), address(1)));
    expect(world.runUntil(() => toTwo.streams.length === 1 && fromTwo.streams.length === 1, 30_000)).toBe(true);
    expect(toTwo.streams[0].data.remote.address).toBe('10.0.0.3');
    expect(toOne.streams).toEqual([]);
    expect(fabric.listening.has('10.0.0.1:7000')).toBe(true);
    const fromOne = one.connect(path(address(2), address(1)));
    expect(world.runUntil(() => toOne.streams.length === 1 && fromOne.streams.length === 1, 30_000)).toBe(true);
    expect(fabric.listening.size).toBe(0);
    expect(server.troubles).toEqual([]);
  });

  it('close a stranger\'s socket at once', () => {
    const { world, engine } = setup();
    const [server, stranger] = [engine(), engine()];
    server.connect(path(address(1), address(2)));
    const ended: string[] = [];
    stranger.life.turn(() => {
      stranger.net.connect(dial(9),
        (stream) => stream.start(framing(), handler(ended)), () => ended.push('refused'));
    });
    expect(world.runUntil(() => ended.length > 0, 1000)).toBe(true);
    expect(ended).toEqual(['eof']);
  });
});

const framing = () => ({ header: 'any' as const, fixedBytes: fixedBytesTable(0), maxFixedBytes: 256, maxPayloadBytes: 0 });
const handler = (ended: string[]) => ({
  packet: () => {}, sent: () => {}, writable: () => {}, closed: (cause: string) => { ended.push(cause); },
});

describe('first packets', () => {
  const garbage = (stream: Stream, bytes: number[]): void => {
    const at = stream.reserve(bytes.length);
    bytes.forEach((byte, i) => stream.output.setUint8(at + i, byte));
    stream.commit(at, bytes.length, null, 0, 0);
  };

  it.each([
    ['garbage', [1, 2, 3, 4, 5, 6, 7, 8], ['wrong magic value or length']],
    ['a ping', [0x83, 0x74, 0x02, 0x67, 0, 0x13, 0, 0], ['unexpected P_PING (0x0013)']],
    ['nothing', [], []],
  ])('%s: that socket is closed and told of once, the attempt goes on', (_name, bytes, told) => {
    const { world, fabric, engine } = setup(2);
    const [server, peer] = [engine(), engine()];
    const { streams } = server.connect(path(address(1), address(2)));
    const ended: string[] = [];
    peer.life.turn(() => {
      peer.net.connect(dial(2),
        (stream) => {
          stream.start(framing(), handler(ended));
          if (bytes.length > 0) garbage(stream, bytes);
        }, () => ended.push('refused'));
    });
    world.runFor(3000);
    expect([...fabric.streams].filter((stream) => stream.local.address === '10.0.0.1')).toEqual([]);
    expect(server.troubles.map((text) => text.replace(/^Error receiving initial packet from ipv4:10\.0\.0\.2:\d+: /, ''))).toEqual(told);
    const both = peer.connect(path(address(2), address(1)));
    expect(world.runUntil(() => streams.length === 1 && both.streams.length === 1, 40_000)).toBe(true);
  });

  it('hundreds of silent sockets take no more than a few', () => {
    const { world, fabric, engine } = setup(3);
    const [server, peer] = [engine(), engine()];
    server.connect(path(address(1), address(2)));
    peer.life.turn(() => {
      for (let i = 0; i < 300; i++) {
        peer.net.connect(dial(2),
          (stream) => stream.start(framing(), handler([])), () => {});
      }
    });
    world.runFor(1000);
    expect([...fabric.streams].filter((stream) => stream.local.address === '10.0.0.1').length).toBeLessThanOrEqual(8);
    world.runFor(3000);
    expect([...fabric.streams].filter((stream) => stream.local.address === '10.0.0.1').length).toBe(0);
  });
});

describe('an attempt', () => {
  it('is over without a trace when cancelled, at any moment', () => {
    for (let ms = 0; ms < 1500; ms += 50) {
      const { world, fabric, engine } = setup(ms + 1);
      const [a, b] = [engine(), engine()];
      const mine = a.connect(path(address(1), address(2)));
      b.connect(path(address(2), address(1)));
      world.runFor(ms);
      if (mine.streams.length > 0) continue;
      a.life.turn(() => mine.transport.cancel());
      world.runFor(100);
      expect(fabric.listening.has('10.0.0.1:7000')).toBe(false);
      expect([...fabric.streams].filter((stream) => stream.local.address === '10.0.0.1')).toEqual([]);
      expect(mine.streams).toEqual([]);
    }
  });

  it('takes a path along that is added later, and stops using a removed one', () => {
    const { world, engine } = setup(5);
    const [a, b] = [engine(), engine()];
    const mine = a.connect();
    world.runFor(5000);
    const theirs = b.connect(path(address(2), address(1)));
    const good = path(address(1), address(2));
    a.life.turn(() => mine.transport.addPath(good));
    expect(world.runUntil(() => mine.streams.length === 1 && theirs.streams.length === 1, 60_000)).toBe(true);
    expect(mine.streams[0].path).toBe(good);
    a.life.turn(() => mine.transport.removePath(good));
    expect(mine.transport.paths).toEqual([]);
  });
});
