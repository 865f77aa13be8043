// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import { PState } from '../../../src/wire/packets/state.ts';
import { PBitmap } from '../../../src/wire/packets/bitmap.ts';
import { HEADER_BYTES, putHeader } from '../../../src/wire/header.ts';
import type { NetConf } from '../../../src/conn/config.ts';
import { TAKEN } from '../../../src/conn/handlers.ts';
import { Cluster, NET_CONF, type Peer } from './peer.ts';

function connected(seed: number, conf = {}): { cluster: Cluster; a: Peer; b: Peer; order: string[] } {
  const cluster = new Cluster(seed);
  const [a, b] = cluster.pair(conf);
  const order: string[] = [];
  b.handlers.onRaw(PBitmap, (_command, vnr, _view, _at, bytes) => {
    order.push(`bitmap ${vnr} ${bytes}`);
    return TAKEN;
  });
  a.connect();
  b.connect();
  expect(cluster.until(() => a.connected && b.connected)).toBe(true);
  return { cluster, a, b, order };
}

const configure = (a: Peer, conf: Partial<NetConf>): void => a.turn(() => a.conn.configure({ ...NET_CONF, ...conf }));

/** As src/io sends: header and body in place. */
function raw(a: Peer, bodyBytes: number): boolean {
  const { data } = a.conn.link!;
  const at = data.reserve(HEADER_BYTES.h100 + bodyBytes);
  if (at < 0) return false;
  putHeader(data.output, at, 'h100', PBitmap.command, 3, bodyBytes);
  data.commit(at, HEADER_BYTES.h100 + bodyBytes, null, 0, 0);
  return true;
}

/** Until there is no room, then cold packets on top. */
function overfill(a: Peer, packets: number): void {
  a.turn(() => {
    while (raw(a, 4000));
    for (let i = 0; i < packets; i++) a.conn.send(PState, 7, { state: 0x10000 + i });
    expect(a.conn.link!.data.reserve(100)).toBe(-1);
  });
}

describe('cold packets without room', () => {
  it('wait, and come in order, before anything later', () => {
    const { cluster, a, b } = connected(8);
    overfill(a, 5000);
    expect(cluster.until(() => b.states.length === 5001, 120_000)).toBe(true);
    expect(b.states.slice(1).every(([vnr, state], i) => vnr === 7 && state === 0x10000 + i)).toBe(true);
    expect(a.connected && b.connected).toBe(true);
    a.turn(() => expect(raw(a, 8)).toBe(true));
  });
});

describe('exclusive use of the data stream', () => {
  it('keeps cold packets back, in order, until it ends', () => {
    const { cluster, a, b, order } = connected(1);
    a.turn(() => {
      expect(a.conn.link!.exclusive(true)).toBe(true);
      expect(raw(a, 8)).toBe(true);
      a.conn.send(PState, 0, { state: 0x42 });
      expect(raw(a, 16)).toBe(true);
    });
    cluster.world.runFor(1000);
    expect(order).toEqual(['bitmap 3 8', 'bitmap 3 16']);
    expect(b.states.some(([, state]) => state === 0x42)).toBe(false);
    a.turn(() => { a.conn.link!.exclusive(false); });
    expect(cluster.until(() => b.states.some(([, state]) => state === 0x42))).toBe(true);
  });

  it('waits for what was sent before', () => {
    const { cluster, a, b } = connected(2);
    overfill(a, 100);
    a.turn(() => expect(a.conn.link!.exclusive(true)).toBe(false));
    expect(cluster.until(() => b.states.length === 101, 120_000)).toBe(true);
    a.turn(() => expect(a.conn.link!.exclusive(true)).toBe(true));
  });
});

describe('a stream that takes nothing', () => {
  /** The peer's end is full: the simulated line is so slow that nothing counts as sent. */
  const clog = (cluster: Cluster): void => { cluster.fabric.link('10.0.0.1', '10.0.0.2').bytesPerMs = 1e-6; };

  it('counts ko-count down while Connected, a ping each time, and gives up at 0', () => {
    const { cluster, a } = connected(3);
    configure(a, { koCount: 3, timeoutMs: 2000, pingIntMs: 600_000, pingTimeoutMs: 400_000 });
    // Slow enough for a large packet to count as stuck, fast enough for pings.
    cluster.fabric.link('10.0.0.1', '10.0.0.2').bytesPerMs = 0.05;
    const before = cluster.world.nowMs;
    a.turn(() => { raw(a, 4000); });
    expect(cluster.until(() => !a.connected, 30_000)).toBe(true);
    expect(a.lines.filter((line) => line.includes('sending time expired'))).toEqual([
      '[data] sending time expired, ko = 2', '[data] sending time expired, ko = 1', '[data] sending time expired, ko = 0',
    ]);
    expect(a.has('conn( Connected -> NetworkFailure )')).toBe(true);
    expect(cluster.world.nowMs - before).toBeGreaterThanOrEqual(6000);
  });

  it('ko-count 0 never gives up', () => {
    const { cluster, a } = connected(4, { koCount: 0, timeoutMs: 2000, pingIntMs: 600_000 });
    clog(cluster);
    a.sendState(1);
    cluster.world.runFor(60_000);
    expect(a.connected).toBe(true);
  });

  it('on the control stream the first time-out is the end', () => {
    const { cluster, a } = connected(5);
    configure(a, { timeoutMs: 2000, pingIntMs: 600_000, pingTimeoutMs: 400_000 });
    clog(cluster);
    a.turn(() => a.conn.ping(() => {}));
    expect(cluster.until(() => !a.connected, 4_000)).toBe(true);
    expect(a.has('meta sock send timed out')).toBe(true);
  });

  it('a backlog without end fails the connection instead of taking all memory', () => {
    const { cluster, a } = connected(6);
    clog(cluster);
    a.turn(() => { for (let i = 0; i < 400_000 && a.connected; i++) a.conn.send(PState, 0, { state: i }); });
    expect(a.connected).toBe(false);
    expect(a.has('too many packets wait to be sent, among them P_STATE')).toBe(true);
  });
});

describe('an engine that stood still', () => {
  it('looks at what came meanwhile before it calls the peer silent', () => {
    const { cluster, a, b } = connected(7, { pingIntMs: 2000 });
    const link = cluster.fabric.link('10.0.0.2', '10.0.0.1');
    // The answer arrives in the very millisecond in which the wait ends.
    link.latencyMs = 499.9;
    link.jitterMs = 0;
    cluster.world.runFor(60_000);
    expect(a.connected && b.connected).toBe(true);
    expect(NET_CONF.pingTimeoutMs).toBe(500);
  });
});
