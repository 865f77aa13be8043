// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import { EngineLife } from '../../../src/sim/clock.ts';
import { Cstate } from '../../../src/state/states.ts';
import { PSizes } from '../../../src/wire/packets/sizes.ts';
import { PConnStChgReq } from '../../../src/wire/packets/state.ts';
import { addressOf, Cluster, NET_CONF, type Peer } from './peer.ts';

function connected(seed: number, conf = {}): { cluster: Cluster; a: Peer; b: Peer } {
  const cluster = new Cluster(seed);
  const [a, b] = cluster.pair(conf);
  a.connect();
  b.connect();
  expect(cluster.until(() => a.connected && b.connected)).toBe(true);
  return { cluster, a, b };
}

describe('connecting', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('two nodes find each other (seed %i)', (seed) => {
    const { cluster, a, b } = connected(seed);
    expect(a.lines.slice(0, 4)).toEqual([
      'conn( StandAlone -> Unconnected ) [connect]',
      'conn( Unconnected -> Connecting ) [connecting]',
      'Handshake to peer 1 successful: Agreed network protocol version 124',
      'Feature flags enabled on protocol level: 0x4000007f TRIM THIN_RESYNC WRITE_SAME WRITE_ZEROES RESYNC_DAGTAG 2PC_V2 RS_SKIP_UUID RECONCILE_BITS',
    ]);
    expect(b.has('Handshake to peer 0 successful')).toBe(true);
    expect([a.established, b.established]).toEqual([[true], [true]]);
    expect(a.links[0].resolveConflicts).toBe(!b.links[0].resolveConflicts);
    expect(a.states).toEqual([[0, 0x1001]]);
    expect(cluster.world.waiting().filter((name) => /incoming|connect|first packet/.test(name))).toEqual([]);
  });

  it('the other node comes later, and in any order of features and first packets', () => {
    for (let seed = 1; seed <= 30; seed++) {
      const cluster = new Cluster(seed);
      const [a, b] = cluster.pair();
      cluster.fabric.link(a.path.local.address, b.path.local.address).latencyMs = seed * 7;
      a.connect();
      cluster.world.runFor(seed * 977);
      b.connect();
      expect(cluster.until(() => a.connected && b.connected, 30_000), `seed ${seed}: ${cluster.world.waiting().join('; ')}`).toBe(true);
    }
  });

  it('the features packet comes while this end still watches its sockets', () => {
    for (const [own, peers] of [[100, 900], [900, 100]]) {
      const cluster = new Cluster(9);
      const a = cluster.node(0, 1, { socketCheckTimeoutMs: own });
      const b = cluster.node(1, 0, { socketCheckTimeoutMs: peers });
      a.connect();
      b.connect();
      expect(cluster.until(() => a.connected && b.connected, 5_000)).toBe(true);
      expect(a.count('timeout') + b.count('timeout')).toBe(0);
    }
  });

  it('ping time-outs of the two ends may differ', () => {
    const cluster = new Cluster(9);
    const a = cluster.node(0, 1, { pingTimeoutMs: 100 });
    const b = cluster.node(1, 0, { pingTimeoutMs: 3_000 });
    a.connect();
    b.connect();
    expect(cluster.until(() => a.connected && b.connected, 5_000)).toBe(true);
    expect(a.count('timeout') + b.count('timeout')).toBe(0);
  });

  it('the node with the larger address opens the data stream', () => {
    const { a, b } = connected(3);
    // Data from b, control from a: a is the one that accepted no control stream.
    expect([a.links[0].resolveConflicts, b.links[0].resolveConflicts]).toEqual([false, true]);
  });

  it('a port in use is told once, and tried again until it is free', () => {
    const cluster = new Cluster(5);
    const [a, b] = cluster.pair();
    const squatter = { address: a.path.local, life: new EngineLife(cluster.world), accepted: () => {} };
    cluster.fabric.listening.set('10.0.0.1:7000', squatter);
    a.connect();
    b.connect();
    cluster.world.runFor(35_000);
    expect(a.cstate()).toBe(Cstate.connecting);
    expect(a.count('Failed to listen on ipv4:10.0.0.1:7000, retrying every 10 sec, err=-98')).toBe(1);
    cluster.fabric.listening.delete('10.0.0.1:7000');
    expect(cluster.until(() => a.connected && b.connected, 40_000)).toBe(true);
  });

  it('a second path is taken when the first one is dead', () => {
    const cluster = new Cluster(6);
    const [a, b] = cluster.pair();
    const second = (own: string, peer: string) => ({
      local: { family: 'ipv4' as const, address: own, port: 7001 }, peer: { family: 'ipv4' as const, address: peer, port: 7001 }, netns: 0,
    });
    cluster.fabric.cut('10.0.0.1', '10.0.0.2', true);
    cluster.fabric.cut('10.0.0.2', '10.0.0.1', true);
    a.turn(() => { a.conn.addPath(a.path); a.conn.addPath(second('10.1.0.1', '10.1.0.2')); });
    b.turn(() => { b.conn.addPath(b.path); b.conn.addPath(second('10.1.0.2', '10.1.0.1')); });
    a.connect();
    b.connect();
    expect(cluster.until(() => a.connected && b.connected, 200_000)).toBe(true);
    expect(a.links[0].path.local.address).toBe('10.1.0.1');
  });

  it('a stranger, and a socket that says nothing, do no harm', () => {
    const cluster = new Cluster(7);
    const [a, b] = cluster.pair();
    const stranger = cluster.node(7, 0);
    a.connect();
    stranger.connect();
    cluster.world.runFor(15_000);
    expect(a.cstate()).toBe(Cstate.connecting);
    b.connect();
    expect(cluster.until(() => a.connected && b.connected)).toBe(true);
  });
});

describe('handshake', () => {
  it('authenticates with CRAM-HMAC', () => {
    const { a } = connected(11, { cramHmacAlg: 'sha256', sharedSecret: 'the-wire-secret' });
    expect(a.has('Peer authenticated using 32 bytes HMAC')).toBe(true);
  });

  it.each([
    ['another secret', { cramHmacAlg: 'sha256', sharedSecret: 'a' }, { cramHmacAlg: 'sha256', sharedSecret: 'b' },
      'Authentication of peer failed'],
    ['another protocol', { wireProtocol: 3 }, { wireProtocol: 1 }, 'incompatible protocol settings'],
    ['other policies', { afterSb1p: 1 }, { afterSb1p: 2 }, 'incompatible after-sb-1pri settings'],
    ['two primaries', { twoPrimaries: true }, {}, 'incompatible allow-two-primaries settings'],
    ['integrity', { integrityAlg: 'crc32c' }, { integrityAlg: 'md5' }, 'incompatible data-integrity-alg settings'],
    ['unknown integrity', { integrityAlg: 'xyz' }, { integrityAlg: 'xyz' }, 'peer data-integrity-alg xyz not supported'],
  ])('%s: StandAlone, not tried again', (_name, own, peers, text) => {
    for (let seed = 1; seed <= 20; seed++) {
      const cluster = new Cluster(seed);
      const a = cluster.node(0, 1, own);
      const b = cluster.node(1, 0, peers);
      a.connect();
      b.connect();
      const both = (): boolean => a.cstate() === Cstate.standAlone && b.cstate() === Cstate.standAlone;
      expect(cluster.until(both), [...a.lines, ...b.lines].join('\n')).toBe(true);
      expect(a.has(text) && b.has(text)).toBe(true);
    }
  });

  it('local and remote policies are each other\'s counterpart', () => {
    const cluster = new Cluster(13);
    const a = cluster.node(0, 1, { afterSb0p: 5 });
    const b = cluster.node(1, 0, { afterSb0p: 6 });
    a.connect();
    b.connect();
    expect(cluster.until(() => a.connected && b.connected)).toBe(true);
  });

  it('authentication on one end only', () => {
    const cluster = new Cluster(14);
    const a = cluster.node(0, 1, { cramHmacAlg: 'sha256', sharedSecret: 'x' });
    const b = cluster.node(1, 0);
    a.connect();
    b.connect();
    expect(cluster.until(() => a.cstate() === Cstate.standAlone)).toBe(true);
    expect(a.has('expected AuthChallenge packet, received: P_PROTOCOL (0x000b)')).toBe(true);
  });

  it('both with --discard-my-data', () => {
    const cluster = new Cluster(15);
    const [a, b] = cluster.pair();
    a.discardMyData = b.discardMyData = true;
    a.connect();
    b.connect();
    expect(cluster.until(() => a.cstate() === Cstate.standAlone)).toBe(true);
    expect(a.has('incompatible discard-my-data settings')).toBe(true);
  });

  it('a wrong node id is tried again', () => {
    const cluster = new Cluster(16);
    const a = cluster.node(0, 1);
    const b = cluster.node(1, 5);
    (b.path.peer as any).address = '10.0.0.1';
    a.connect();
    b.connect();
    cluster.world.runFor(10_000);
    expect(a.cstate()).toBeGreaterThanOrEqual(Cstate.unconnected);
    expect(a.has('Peer expects me to have a node_id of 5 instead of 0') || b.has('Peer presented a node_id of 0 instead of 5')).toBe(true);
  });
});

describe('ends', () => {
  it.each([true, false])('an orderly disconnect (announced: %s) is TearDown at the peer, which goes on connecting', (announced) => {
    for (let seed = 20; seed < 40; seed++) {
      const { cluster, a, b } = connected(seed);
      b.expected = announced;
      a.disconnect();
      expect(cluster.until(() => a.cstate() === Cstate.standAlone && b.cstate() === Cstate.connecting)).toBe(true);
      expect(b.has('conn( Connected -> TearDown ) [remote]'), b.lines.join('\n')).toBe(true);
      expect(b.lines.filter((line) => /BrokenPipe|NetworkFailure|shut down/.test(line))).toEqual([]);
      expect(b.lines.indexOf('Connection closed')).toBeGreaterThan(0);
      expect(a.established).toEqual([true, false]);
      b.expected = false;
      a.connect();
      expect(cluster.until(() => a.connected && b.connected)).toBe(true);
    }
  });

  it('a silent peer is noticed after ping-int and ping-timeout', () => {
    const { cluster, a, b } = connected(41);
    cluster.fabric.cut('10.0.0.1', '10.0.0.2', true);
    cluster.fabric.cut('10.0.0.2', '10.0.0.1', true);
    const before = cluster.world.nowMs;
    expect(cluster.until(() => !a.connected)).toBe(true);
    expect(cluster.world.nowMs - before).toBeLessThan(11_000);
    expect(a.has('PingAck did not arrive in time.')).toBe(true);
    expect(a.has('conn( Connected -> NetworkFailure )')).toBe(true);
    cluster.fabric.cut('10.0.0.1', '10.0.0.2', false);
    cluster.fabric.cut('10.0.0.2', '10.0.0.1', false);
    expect(cluster.until(() => a.connected && b.connected, 120_000)).toBe(true);
  });

  it('idle connections live on pings', () => {
    const { cluster, a, b } = connected(42);
    cluster.world.runFor(300_000);
    expect(a.connected && b.connected).toBe(true);
    expect(a.count('->')).toBe(3);
  });

  it('a ping on request is answered, and says so when the connection is lost before', () => {
    const { cluster, a } = connected(43);
    const answers: boolean[] = [];
    a.turn(() => a.conn.ping((alive) => answers.push(alive)));
    expect(cluster.until(() => answers.length === 1)).toBe(true);
    cluster.fabric.cut('10.0.0.1', '10.0.0.2', true);
    a.turn(() => a.conn.ping((alive) => answers.push(alive)));
    expect(cluster.until(() => answers.length === 2, 1000)).toBe(true);
    expect(answers).toEqual([true, false]);
    expect(a.has('PingAck did not arrive in time')).toBe(true);
  });

  it('a reset is BrokenPipe or NetworkFailure at both, and they meet again', () => {
    const { cluster, a, b } = connected(44);
    cluster.fabric.resetBetween('10.0.0.1', '10.0.0.2');
    expect(cluster.until(() => !a.connected && !b.connected)).toBe(true);
    expect(cluster.until(() => a.connected && b.connected, 120_000)).toBe(true);
  });

  it('disconnect while connecting', () => {
    const cluster = new Cluster(45);
    const [a] = cluster.pair();
    a.connect();
    cluster.world.runFor(3_000);
    a.disconnect();
    expect(cluster.until(() => a.cstate() === Cstate.standAlone, 1_000)).toBe(true);
    expect(cluster.fabric.listening.size).toBe(0);
  });

  it('destroyed connections are silent', () => {
    const { cluster, a, b } = connected(46);
    const lines = a.lines.length;
    a.turn(() => a.conn.destroy());
    cluster.world.runFor(20_000);
    expect(a.lines.length).toBe(lines);
    expect(b.connected).toBe(false);
  });
});

describe('packets', () => {
  it('a handler that refuses: one line, ProtocolError, Connecting again', () => {
    const { cluster, a, b } = connected(51);
    a.sendState(0xbad);
    expect(cluster.until(() => !b.connected)).toBe(true);
    expect(b.has('error receiving P_STATE, e: -5 l: 4! a state that cannot be')).toBe(true);
    expect(b.has('conn( Connected -> ProtocolError )')).toBe(true);
    expect(cluster.until(() => a.connected && b.connected, 120_000)).toBe(true);
  });

  it('no handler: unexpected packet', () => {
    const { cluster, a, b } = connected(52);
    a.turn(() => {
      a.conn.send(PSizes, 0, {
        dSize: 1, uSize: 2, cSize: 3, maxBioSize: 4, queueOrderType: 0, ddsFlags: 0,
        qlim: {
          physicalBlockSize: 512, logicalBlockSize: 512, alignmentOffset: 0, ioMin: 512, ioOpt: 0, discardEnabled: 0,
          discardZeroesData: 0, writeSameCapable: 0, bmBlockShift: 0,
        },
      });
    });
    expect(cluster.until(() => !b.connected)).toBe(true);
    expect(b.has('Unexpected data packet P_SIZES (0x000d)')).toBe(true);
  });

  it('what the agreed version does not know is never sent', () => {
    const { a } = connected(53);
    expect(() => a.conn.send(PConnStChgReq, -1, { mask: 1, val: 1 })).toThrow('permitted');
  });

  it('changed settings are told and adopted', () => {
    const { cluster, a, b } = connected(54);
    a.turn(() => a.conn.configure({ ...NET_CONF, wireProtocol: 1, afterSb0p: 5 }));
    expect(cluster.until(() => b.updates.length === 1)).toBe(true);
    expect(b.updates[0]).toMatchObject({ protocol: 1, afterSb0p: 6 });
    expect(b.conn.conf).toMatchObject({ wireProtocol: 1, afterSb0p: 6 });
    cluster.world.runFor(1000);
    expect(a.updates).toEqual([]);
  });
});

describe('garbage', () => {
  /** A peer that passes the handshake and then writes what it likes. */
  function garbage(seed: number, stream: 'data' | 'control', bytes: number[]): { cluster: Cluster; a: Peer; b: Peer } {
    const { cluster, a, b } = connected(seed);
    a.turn(() => {
      const out = a.conn.link![stream];
      const at = out.reserve(bytes.length);
      bytes.forEach((byte, i) => out.output.setUint8(at + i, byte));
      out.commit(at, bytes.length, null, 0, 0);
    });
    return { cluster, a, b };
  }

  const h100 = (command: number, volume: number, length: number, body: number[] = []): number[] =>
    [0x86, 0x20, 0xec, 0x20, volume >> 8, volume & 255, command >> 8, command & 255, 0, 0, length >> 8, length & 255, 0, 0, 0, 0, ...body];

  it.each([
    ['no header', 'data', [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16], 'ProtocolError'],
    ['an unknown command', 'data', h100(0x99, 0, 0), 'ProtocolError'],
    ['a command of the other stream', 'data', h100(0x13, 0xffff, 0), 'ProtocolError'],
    ['a features packet again', 'data', h100(0xfffe, 0xffff, 72, new Array(72).fill(0)), 'ProtocolError'],
    ['authentication again', 'data', h100(0x10, 0xffff, 64, new Array(64).fill(0)), 'ProtocolError'],
    ['a short packet', 'data', h100(0x0e, 0, 3, [0, 0, 0]), 'ProtocolError'],
    ['a volume packet without a volume', 'data', h100(0x0d, 0xffff, 56, new Array(56).fill(0)), 'ProtocolError'],
    ['an unknown command', 'control', h100(0x37, 0, 0), 'NetworkFailure'],
    ['a long ping', 'control', h100(0x13, 0xffff, 4, [0, 0, 0, 0]), 'NetworkFailure'],
    ['no header', 'control', [0, 0, 0, 0, 0, 0, 0, 0], 'ProtocolError'],
  ] as const)('%s on %s', (_name, stream, bytes, cstate) => {
    const { cluster, a, b } = garbage(60, stream, [...bytes]);
    const before = b.lines.length;
    expect(cluster.until(() => !b.connected, 5_000)).toBe(true);
    expect(b.lines.slice(before).filter((line) => !line.startsWith('conn(')).length).toBe(1);
    expect(b.has(`conn( Connected -> ${cstate} )`), b.lines.join('\n')).toBe(true);
    expect(cluster.until(() => a.connected && b.connected, 120_000)).toBe(true);
  });

  it('an answer to a ping that nobody sent is ignored', () => {
    const { cluster, b } = garbage(61, 'control', h100(0x14, 0xffff, 0));
    cluster.world.runFor(30_000);
    expect(b.connected).toBe(true);
  });

  it('a peer that connects and says nothing', () => {
    const cluster = new Cluster(62);
    const [a, b] = cluster.pair();
    a.connect();
    b.connect();
    cluster.until(() => a.conn.phase === 'handshake' || b.conn.phase === 'handshake');
    cluster.fabric.cut('10.0.0.2', '10.0.0.1', true);
    expect(cluster.until(() => a.has('timeout while waiting for feature packet'), 20_000)).toBe(true);
    cluster.fabric.cut('10.0.0.2', '10.0.0.1', false);
    expect(cluster.until(() => a.connected && b.connected, 120_000)).toBe(true);
    expect(addressOf(0).port).toBe(7000);
  });
});
