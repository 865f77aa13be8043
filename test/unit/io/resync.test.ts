// SPDX-License-Identifier: GPL-2.0-or-later
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Stream } from '../../../src/host/net.ts';
import type { ConnectionIo } from '../../../src/io/index.ts';
import { IvFlag, IvType } from '../../../src/io/intervals.ts';
import { Cmd } from '../../../src/io/packet-out.ts';
import { Disk, Repl, Role } from '../../../src/state/states.ts';
import { Pair, runs } from './pair.ts';

const inSync = (pair: Pair): boolean => pair.a.peer.facts.repl === Repl.established &&
  pair.b.peer.facts.repl === Repl.established && pair.a.peer.bitsOutOfSync === 0 && pair.b.peer.bitsOutOfSync === 0;

/** Waits until both ends have forgotten the old connection. */
function afterDrop(pair: Pair): void {
  const before = [pair.a, pair.b].map((s) => s.events.filter((e) => e === 'disconnected').length);
  pair.dropLink();
  pair.run(() => [pair.a, pair.b].every((s, i) => s.events.filter((e) => e === 'disconnected').length > before[i]));
}

test('a bitmap that comes before the end of our attach is kept for the resync that follows', () => {
  const pair = new Pair({ seed: 1 });
  pair.a.turn(() => pair.a.disk.bitmap.setAll(0));
  pair.connect(Repl.wfBitMapS, Repl.established, Disk.negotiating);
  pair.run(() => pair.b.disk.bitmap.weight[0] > 0);
  pair.world.runFor(100);
  expect(pair.a.peer.facts.repl).toBe(Repl.wfBitMapS);
  pair.b.turn(() => pair.b.set(() => {
    pair.b.device.facts.disk = Disk.inconsistent;
    pair.b.peer.facts.repl = Repl.wfBitMapT;
  }));
  pair.a.turn(() => pair.a.set(() => { pair.a.peer.facts.pdisk = Disk.inconsistent; }));
  pair.run(() => inSync(pair), 60_000);
  expect(pair.b.events).toContain('bitmap target');
});

test('full sync: bitmap exchange, resync, both disks equal', () => {
  const pair = new Pair({ seed: 11 });
  for (let i = 0; i < 64; i++) pair.write(i * 256, 128);
  pair.run(() => pair.settled());
  pair.a.turn(() => { pair.a.disk.bitmap.setAll(0); });
  pair.connectForResync();
  pair.run(() => pair.b.events.includes('resyncDone'), 60000);
  pair.run(() => inSync(pair) && pair.settled());
  expect(pair.difference()).toBe(-1);
  expect(pair.a.events).toContain('bitmap source');
  expect(pair.b.events).toContain('bitmap target');
  expect(pair.arenaUsed()).toEqual([0, 0]);
  expect(pair.a.peer.rsPending + pair.b.peer.rsPending).toBe(0);
  expect(pair.a.connection.rsInFlight).toBe(0);
});

test('a source that had to pause is asked for nothing before the bits that its blocks need are on the disk', () => {
  const pair = new Pair({ seed: 13 });
  pair.a.turn(() => { pair.a.disk.bitmap.setAll(0); });
  pair.connectForResync();
  pair.run(() => pair.b.events.includes('bitmap target'));
  const both = (target: Repl, source: Repl): void => {
    pair.b.turn(() => pair.b.set(() => { pair.b.peer.facts.repl = target; }));
    pair.a.turn(() => pair.a.set(() => { pair.a.peer.facts.repl = source; }));
    pair.world.runFor(1_000);
  };
  both(Repl.pausedSyncT, Repl.pausedSyncS);
  const { received } = pair.b.peer;
  let kept = (): void => {};
  pair.b.onKeepBits = (done) => { kept = done; };
  both(Repl.syncTarget, Repl.syncSource);
  expect(pair.b.peer.received).toBe(received);
  pair.b.turn(() => kept());
  pair.run(() => inSync(pair), 60_000);
});

test('a read for a target that waits for memory does not hold up writes', () => {
  const pair = new Pair({ seed: 12 });
  const { arena } = pair.a.device;
  pair.a.turn(() => pair.a.disk.bitmap.setAll(0));
  const pages: number[] = [];
  for (let at = arena.alloc(4096); at >= 0; at = arena.alloc(4096)) pages.push(at);
  pair.connectForResync();
  pair.run(() => pair.a.io.peerRequests.live > 0);
  pair.world.runFor(100);
  let written = false;
  pair.write(0, 8, 0, (errno) => { written = errno === 0; });
  pair.run(() => written);
  expect(pair.b.events).not.toContain('resyncDone');
  for (const at of pages) arena.free(at, 4096);
  pair.run(() => inSync(pair) && pair.settled(), 60_000);
  expect(pair.difference()).toBe(-1);
  expect(pair.arenaUsed()).toEqual([0, 0]);
});

test('after an outage only the changed blocks travel', () => {
  const pair = new Pair({ seed: 12 });
  pair.connectInSync();
  for (let i = 0; i < 32; i++) pair.write(i * 256, 64);
  pair.run(() => pair.settled());
  afterDrop(pair);
  pair.write(800, 8);
  pair.write(8000, 24);
  pair.run(() => pair.settled());
  expect(pair.a.peer.bitsOutOfSync).toBe(4);
  pair.connectForResync();
  pair.run(() => inSync(pair) && pair.settled(), 30000);
  expect(pair.difference()).toBe(-1);
  expect(pair.b.peer.received).toBe(32);
});

test.each([13, 131, 132])('application writes during a resync are neither lost nor overtaken (%i)', (seed) => {
  const pair = new Pair({ seed });
  for (let i = 0; i < 64; i++) pair.write(i * 256, 256);
  pair.run(() => pair.settled());
  for (const side of [pair.a, pair.b]) side.node.disks.get('/dev/d')!.faults.maxMs = 8;
  pair.a.turn(() => { pair.a.disk.bitmap.setAll(0); });
  pair.connectForResync();
  let errors = 0;
  for (let i = 0; i < 1500; i++) {
    pair.world.at(i * 0.2, 'write', () => pair.write((i * 331) % 16000, 8 + (i % 5) * 8, 0, (e) => { errors += e; }));
  }
  pair.world.runFor(300);
  pair.run(() => inSync(pair) && pair.settled(), 60000);
  expect(errors).toBe(0);
  expect(pair.difference()).toBe(-1);
});

test('entering WFBitMapS marks the writes that the peer has not acknowledged', () => {
  const pair = new Pair({ seed: 16 });
  pair.connectInSync();
  pair.b.node.disks.get('/dev/d')!.faults.stopped = true;
  pair.write(0, 8);
  pair.run(() => pair.a.connection.apInFlight === 8 && pair.a.device.lowerPending === 0);
  expect(pair.a.peer.bitsOutOfSync).toBe(0);
  pair.a.turn(() => pair.a.set(() => { pair.a.peer.facts.repl = Repl.wfBitMapS; }));
  expect(pair.a.peer.bitsOutOfSync).toBe(1);
});

test('a lost Primary leaves its unsettled writes marked towards everybody else', () => {
  const pair = new Pair({ seed: 17 });
  pair.connectInSync();
  pair.write(0, 8);
  pair.run(() => pair.b.connection.writes.list.length === 1 && pair.b.connection.writes.active === 0);
  afterDrop(pair);
  expect(pair.b.disk.bitmap.weight[0]).toBe(0);
  expect(pair.b.disk.bitmap.weight[1]).toBe(1);
  expect(pair.b.disk.al.used).toBe(0);
});

test('an unassigned slot keeps track of all writes ("day 0")', () => {
  const pair = new Pair({ seed: 18 });
  pair.connectInSync();
  pair.write(0, 16);
  pair.run(() => pair.settled());
  expect([...pair.a.disk.bitmap.weight]).toEqual([0, 2]);
  expect([...pair.b.disk.bitmap.weight]).toEqual([0, 2]);
});

describe('disconnects at any moment', () => {
  test.each([1, 2, 3])('protocol %i: after bitmap resync the disks are identical', (protocol) => {
    fc.assert(fc.property(
      fc.integer({ min: 1, max: 1 << 30 }),
      fc.array(fc.record({ at: fc.integer({ min: 0, max: 600 }), sector: fc.integer({ min: 0, max: 16000 }),
        sectors: fc.integer({ min: 1, max: 256 }) }), { minLength: 1, maxLength: 80 }),
      fc.array(fc.integer({ min: 1, max: 600 }), { minLength: 1, maxLength: 3 }),
      (seed, writes, cuts) => {
        const pair = new Pair({ seed, protocol });
        pair.connectInSync();
        let left = writes.length;
        for (const w of writes) {
          const sectors = Math.min(w.sectors, 16384 - w.sector);
          pair.world.at(w.at / 10, 'write', () => pair.write(w.sector, sectors, 0, (errno) => {
            expect(errno).toBe(0);
            left--;
          }));
        }
        for (const cut of [...cuts].sort((x, y) => x - y)) {
          pair.run(() => pair.world.nowMs >= cut / 10 || pair.settled());
          afterDrop(pair);
          pair.connectForResync();
          pair.world.runFor(5);
        }
        pair.run(() => left === 0 && inSync(pair) && pair.settled(), 60000);
        expect(pair.difference()).toBe(-1);
        expect(pair.arenaUsed()).toEqual([0, 0]);
        expect([...pair.a.failures, ...pair.b.failures]).toEqual([]);
      }), { numRuns: runs(40) });
  });
});

test('a write error on the target leaves the block marked on both ends', () => {
  const pair = new Pair({ seed: 14 });
  pair.connectInSync();
  pair.write(0, 8);
  pair.run(() => pair.settled());
  pair.b.onIoError = () => pair.b.set(() => { pair.b.peer.facts.repl = Repl.established; });
  pair.b.node.disks.get('/dev/d')!.faults.writeErrorChance = 1;
  let errno = -1;
  pair.write(16, 8, 0, (e) => { errno = e; });
  pair.run(() => pair.a.events.includes('gotNegAck') && pair.a.device.lowerPending === 0);
  // Not before its disk state has come: who counts may decide whether it is answered at all.
  expect(errno).toBe(-1);
  for (const pdisk of [Disk.failed, Disk.upToDate]) pair.a.turn(() => pair.a.set(() => { pair.a.peer.facts.pdisk = pdisk; }));
  pair.run(() => pair.settled());
  expect(errno).toBe(0);
  expect(pair.a.peer.bitsOutOfSync).toBe(1);
  expect(pair.b.peer.bitsOutOfSync).toBe(1);
  expect(pair.a.events).toContain('gotNegAck');
});

test('a diskless peer disk gets no data; all is marked', () => {
  const pair = new Pair({ seed: 15 });
  pair.connect(Repl.established, Repl.established, Disk.diskless);
  pair.write(0, 8);
  pair.run(() => pair.settled());
  expect(pair.a.peer.bitsOutOfSync).toBe(1);
  expect(pair.b.received.filter((c) => c === 0)).toEqual([]);
});

test('a bitmap that is given up while it is worked in does not hold the data stream', () => {
  const pair = new Pair({ seed: 19, sectors: 2 ** 27 });
  pair.a.turn(() => { pair.a.disk.bitmap.setAll(0); });
  pair.connectForResync();
  pair.run(() => pair.b.received.includes(Cmd.COMPRESSED_BITMAP));
  expect(pair.b.events).not.toContain('bitmap target');
  for (const side of [pair.b, pair.a]) side.turn(() => side.set(() => { side.peer.facts.repl = Repl.established; }));
  const tags = pair.write(0, 8);
  pair.run(() => pair.settled());
  expect(pair.b.node.disks.get('/dev/d')!.tag(0)).toBe(tags[0]);
});

test('a request that becomes ready while later ones wait for room in the stream is sent', () => {
  const pair = new Pair({ seed: 20 });
  pair.write(0, 8);
  pair.write(8000, 8);
  pair.run(() => pair.settled());
  pair.a.turn(() => { for (const bit of [0, 1000]) pair.a.disk.bitmap.set(0, bit, bit); });
  const { device } = pair.b;
  const other = device.intervals.insert(IvType.RESYNC_READ, 7, 0, 8, -1);
  device.intervals.flags[other] |= IvFlag.SUBMITTED;
  pair.connectForResync();
  const { data } = pair.b.streams!;
  const reserve = data.reserve.bind(data);
  let full = false;
  Object.assign(data, { reserve: (bytes: number) => (full ? -1 : reserve(bytes)) });
  pair.run(() => pair.b.events.includes('bitmap target'));
  full = true;
  pair.run(() => pair.b.peer.target.list.length === 2);
  pair.b.turn(() => {
    device.intervals.remove(other);
    device.conflicts.release(0, 8);
  });
  pair.world.runFor(10);
  full = false;
  pair.b.turn(() => pair.b.connection.dataWritable());
  pair.run(() => inSync(pair) && pair.settled(), 60000);
  expect(pair.difference()).toBe(-1);
});

/** A third node that B is connected to, and that never says anything. */
function silentPrimary({ b }: Pair): ConnectionIo {
  const primary = b.io.addConnection(2);
  const stream = { reserve: () => -1, pause: () => {} } as unknown as Stream;
  b.turn(() => {
    primary.linkUp({ version: 124, features: 0x7f, data: stream, control: stream, integrityAlg: '', peerIntegrityAlg: '',
      resolveConflicts: false, pingedMs: 0, exclusive: () => true });
    primary.peers[0].facts.pdisk = Disk.upToDate;
    primary.peers[0].facts.repl = Repl.established;
    b.set(() => { primary.facts.connected = true; });
  });
  return primary;
}

test('a target fetches what a lost Primary left unsettled, also behind its position', () => {
  const pair = new Pair({ seed: 50 });
  pair.connectInSync();
  pair.write(0, 8);
  pair.write(8000, 8);
  pair.run(() => pair.settled());
  afterDrop(pair);
  pair.a.turn(() => { pair.a.disk.bitmap.set(0, 1000, 1000); });
  const { b } = pair;
  const primary = silentPrimary(pair);
  pair.a.node.disks.get('/dev/d')!.faults.stopped = true;
  pair.connectForResync();
  pair.run(() => b.peer.target.list.length === 1);
  pair.world.runFor(50);
  b.turn(() => {
    const view = new DataView(new ArrayBuffer(32));
    view.setUint32(12, 1);
    const payload = b.device.arena.alloc(4096);
    expect(primary.packet(Cmd.DATA, 0, view, 0, 24, payload, 4096)).toBe('');
  });
  pair.run(() => b.device.lowerPending === 0 && primary.writes.active === 0);
  b.turn(() => {
    b.set(() => { primary.facts.connected = false; });
    primary.disconnected(() => {});
  });
  expect(b.peer.bitsOutOfSync).toBe(2);
  pair.a.node.disks.get('/dev/d')!.resume();
  pair.run(() => inSync(pair) && pair.settled(), 60000);
  expect(pair.difference()).toBe(-1);
});

test('a Primary that is lost before it has flushed does not hold up the end of a resync', () => {
  const pair = new Pair({ seed: 53 });
  pair.connectInSync();
  pair.run(() => pair.settled());
  afterDrop(pair);
  pair.write(0, 8);
  const { b } = pair;
  const primary = silentPrimary(pair);
  b.turn(() => b.set(() => { primary.facts.peerRole = Role.primary; }));
  pair.connectForResync();
  b.turn(() => b.set(() => { b.connection.facts.peerRole = Role.secondary; }));
  pair.run(() => b.events.includes('bitmap target') && b.peer.bitsOutOfSync === 0);
  pair.world.runFor(1000);
  expect(b.events).not.toContain('resyncDone');
  b.turn(() => {
    b.set(() => {
      primary.facts.connected = false;
      primary.facts.peerRole = Role.unknown;
      primary.peers[0].facts.pdisk = Disk.unknown;
    });
    primary.disconnected(() => {});
  });
  pair.run(() => inSync(pair) && pair.settled());
});

test('a request that names writes which the source never gets is cancelled, and asked again with what is known by then', () => {
  const pair = new Pair({ seed: 62 });
  pair.connectInSync();
  const both = (target: Repl, source: Repl): void => {
    pair.b.turn(() => pair.b.set(() => { pair.b.peer.facts.repl = source; pair.b.peer.facts.pdisk = Disk.inconsistent; }));
    pair.a.turn(() => pair.a.set(() => {
      Object.assign(pair.a.peer.facts, { repl: target, pdisk: Disk.upToDate });
      pair.a.device.facts.disk = Disk.inconsistent;
    }));
  };
  for (const side of [pair.a, pair.b]) side.turn(() => side.disk.bitmap.setAll(0));
  pair.a.io.requests.dagtag = 10_000;
  both(Repl.syncTarget, Repl.syncSource);
  pair.world.runFor(9_000);
  pair.a.io.requests.dagtag = 0;
  expect(pair.a.received.filter((cmd) => cmd === Cmd.RS_CANCEL || cmd === Cmd.RS_DATA_REPLY)).toEqual([]);
  pair.run(() => pair.a.peer.bitsOutOfSync + pair.b.peer.bitsOutOfSync === 0, 60_000);
  expect(pair.a.received).toContain(Cmd.RS_CANCEL);
});
