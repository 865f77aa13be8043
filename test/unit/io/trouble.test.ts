// SPDX-License-Identifier: GPL-2.0-or-later
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BioOp } from '../../../src/host/block.ts';
import { IO_COMMANDS } from '../../../src/io/index.ts';
import { IvFlag, IvType } from '../../../src/io/intervals.ts';
import { Cmd } from '../../../src/io/packet-out.ts';
import { Disk, Repl, Role } from '../../../src/state/states.ts';
import { Pair, runs } from './pair.ts';

const disk = (pair: Pair, side: 'a' | 'b') => pair[side].node.disks.get('/dev/d')!;
const disconnected = (pair: Pair, n: number): boolean =>
  [pair.a, pair.b].every((s) => s.events.filter((e) => e === 'disconnected').length >= n);

describe('diskless Primary', () => {
  const diskless = (seed: number): Pair => {
    const pair = new Pair({ seed });
    pair.a.turn(() => {
      pair.a.set(() => { pair.a.device.facts.disk = Disk.diskless; });
      pair.a.device.detach();
    });
    pair.connectInSync();
    pair.b.turn(() => pair.b.set(() => { pair.b.peer.facts.pdisk = Disk.diskless; }));
    return pair;
  };

  test('writes and reads go to the peer; bits for the Primary are set there', () => {
    const pair = diskless(21);
    const tags = pair.write(64, 16);
    pair.run(() => pair.settled());
    let got: Float64Array | null = null;
    pair.read(64, 16, (errno, t) => { expect(errno).toBe(0); got = t; });
    pair.run(() => got !== null);
    expect([...got!]).toEqual([...tags]);
    pair.run(() => pair.settled());
    expect(pair.b.peer.bitsOutOfSync).toBe(2);
    expect(pair.arenaUsed()).toEqual([0, 0]);
  });

  test('with no peer left: EIO, for reads and writes', () => {
    const pair = diskless(22);
    pair.run(() => pair.b.received.length > 0);
    pair.dropLink();
    pair.run(() => disconnected(pair, 1));
    const errnos: number[] = [];
    pair.write(0, 8, 0, (e) => { errnos.push(e); });
    pair.read(0, 8, (e) => { errnos.push(e); });
    pair.run(() => errnos.length === 2);
    expect(errnos).toEqual([5, 5]);
    pair.run(() => pair.settled());
  });
});

test('a failed local read is read from the peer', () => {
  const pair = new Pair({ seed: 23 });
  pair.connectInSync();
  const tags = pair.write(0, 8);
  pair.run(() => pair.settled());
  pair.a.onIoError = () => pair.a.set(() => { pair.a.device.facts.disk = Disk.failed; });
  disk(pair, 'a').faults.readErrorChance = 1;
  let got: Float64Array | null = null;
  pair.read(0, 8, (errno, t) => { expect(errno).toBe(0); got = t; });
  pair.run(() => got !== null);
  expect([...got!]).toEqual([...tags]);
  expect(pair.a.events).toContain('ioError 0');
  expect(pair.a.events.filter((e) => e === 'diskIdle').length).toBe(1);
});

test('a failed local write still counts when the peer has it', () => {
  const pair = new Pair({ seed: 24 });
  pair.connectInSync();
  pair.a.onIoError = () => pair.a.set(() => { pair.a.device.facts.disk = Disk.inconsistent; });
  disk(pair, 'a').faults.writeErrorChance = 1;
  let errno = -1;
  pair.write(0, 8, 0, (e) => { errno = e; });
  pair.run(() => pair.settled());
  expect(errno).toBe(0);
  expect(pair.a.peer.bitsOutOfSync).toBe(1);
});

describe('suspended I/O', () => {
  test('waits at the gate, goes on after', () => {
    const pair = new Pair({ seed: 25 });
    pair.connectInSync();
    pair.a.turn(() => pair.a.set(() => { pair.a.io.facts.suspended = true; }));
    let done = false;
    pair.write(0, 8, 0, () => { done = true; });
    pair.world.runFor(200);
    expect(done).toBe(false);
    expect(pair.a.device.gateReason).toBe('I/O is suspended');
    pair.a.turn(() => pair.a.set(() => { pair.a.io.facts.suspended = false; }));
    pair.run(() => done);
    pair.run(() => pair.settled());
  });

  /** Connection lost while suspended: B/C writes stay, and are sent again on a connect without resync. */
  test.each([2, 3])('protocol %i: frozen writes are resent', (protocol) => {
    const pair = new Pair({ seed: 26, protocol });
    pair.connectInSync();
    pair.write(512, 8);
    pair.run(() => pair.settled());
    disk(pair, 'b').faults.stopped = protocol === 3;
    let done = 0;
    for (let i = 0; i < 10; i++) pair.write(i * 8, 8, 0, (e) => { expect(e).toBe(0); done++; });
    pair.run(() => pair.a.io.requests.writes === 10 && pair.a.peer.apPending > 0);
    pair.a.turn(() => pair.a.set(() => { pair.a.io.facts.suspended = true; }));
    pair.dropLink();
    pair.world.runFor(20);
    disk(pair, 'b').resume();
    pair.run(() => disconnected(pair, 1));
    const before = done;
    pair.world.runFor(100);
    expect(done).toBe(before);
    expect(pair.a.io.requests.writes).toBeGreaterThan(0);
    pair.b.disk.bitmap.clearAll(0);
    pair.connectInSync();
    pair.a.turn(() => pair.a.set(() => { pair.a.io.facts.suspended = false; }));
    pair.run(() => done === 10);
    pair.run(() => pair.settled());
    expect(pair.difference()).toBe(-1);
    expect([...pair.a.failures, ...pair.b.failures]).toEqual([]);
  });

  test('frozen writes complete and are marked when I/O is resumed without the peer', () => {
    const pair = new Pair({ seed: 27 });
    pair.connectInSync();
    disk(pair, 'b').faults.stopped = true;
    let done = 0;
    for (let i = 0; i < 4; i++) pair.write(i * 8, 8, 0, () => { done++; });
    pair.run(() => pair.a.peer.apPending === 4 && pair.a.device.lowerPending === 0 && pair.a.connection.apInFlight > 0);
    pair.a.turn(() => pair.a.set(() => { pair.a.io.facts.suspended = true; }));
    pair.dropLink();
    pair.world.runFor(50);
    expect(done).toBe(0);
    pair.a.turn(() => pair.a.set(() => { pair.a.io.facts.suspended = false; }));
    pair.run(() => done === 4);
    expect(pair.a.peer.bitsOutOfSync).toBe(4);
    disk(pair, 'b').resume();
    pair.run(() => pair.settled());
  });
});

test('new data generation is made once, before the first I/O', () => {
  const pair = new Pair({ seed: 28 });
  pair.a.turn(() => pair.a.set(() => { pair.a.device.facts.newCurUuid = true; }));
  let done = 0;
  pair.write(0, 8, 0, () => { done++; });
  pair.write(8, 8, 0, () => { done++; });
  pair.world.runFor(100);
  expect(done).toBe(0);
  expect(pair.a.events.filter((e) => e === 'newCurrentUuid').length).toBe(1);
  pair.a.turn(() => pair.a.set(() => { pair.a.device.facts.newCurUuid = false; }));
  pair.run(() => done === 2);
});

test('a Secondary refuses writes', () => {
  const pair = new Pair({ seed: 29 });
  pair.a.turn(() => pair.a.set(() => { pair.a.io.facts.role = Role.secondary; }));
  let errno = -1;
  pair.write(0, 8, 0, (e) => { errno = e; });
  pair.run(() => errno >= 0);
  expect(errno).toBe(5);
  expect(pair.a.lines).toContain('Rejected WRITE request, not in Primary role.');
});

test('a peer that does not answer for ko-count * timeout is dropped', () => {
  const pair = new Pair({ seed: 30 });
  pair.connectInSync();
  disk(pair, 'b').faults.stopped = true;
  let done = false;
  pair.write(0, 8, 0, () => { done = true; });
  pair.run(() => done, 60000);
  expect(pair.a.failures.some((f) => f.startsWith('Timeout: Remote failed to finish a request within'))).toBe(true);
  expect(pair.world.nowMs).toBeGreaterThan(42000);
  expect(pair.world.nowMs).toBeLessThan(45000);
});

test('drain: the last close ends when barriers are acked', () => {
  const pair = new Pair({ seed: 31, protocol: 1 });
  pair.connectInSync();
  let done = 0;
  for (let i = 0; i < 5; i++) pair.write(i * 8, 8, 0, () => { done++; });
  pair.run(() => done === 5);
  pair.a.turn(() => pair.a.io.drain());
  pair.run(() => pair.a.events.includes('drained'));
  expect(pair.difference()).toBe(-1);
  expect(pair.a.connection.apInFlight).toBe(0);
});

/** al-extents 67 at the peer, one epoch over far more extents: P_CONFIRM_STABLE makes room. */
test('an epoch larger than the peer\'s activity log does not lock up', () => {
  const pair = new Pair({ seed: 32, sectors: 8192 * 200, alExtents: 200, alExtentsB: 67 });
  pair.connectInSync();
  let done = 0;
  for (let i = 0; i < 200; i++) pair.write(i * 8192, 8, 0, () => { done++; });
  pair.run(() => done === 200, 60000);
  pair.run(() => pair.settled(), 60000);
  expect([...pair.a.failures, ...pair.b.failures]).toEqual([]);
  expect(pair.a.received).toContain(Cmd.CONFIRM_STABLE);
  expect(pair.b.disk.al.used).toBe(0);
});

describe('hostile packets', () => {
  const ack = (sector: number, high: number, low: number, size: number): DataView => {
    const view = new DataView(new ArrayBuffer(4096));
    view.setUint32(4, sector);
    view.setUint32(8, high);
    view.setUint32(12, low);
    view.setUint32(16, size);
    return view;
  };

  test.each([Cmd.WRITE_ACK, Cmd.RECV_ACK, Cmd.WRITE_ACK_IN_SYNC, Cmd.NEG_DREPLY, Cmd.RS_WRITE_ACK, Cmd.RS_NEG_ACK,
    Cmd.RS_IS_IN_SYNC, Cmd.RS_CANCEL, Cmd.NEG_RS_DREPLY])('stale id in 0x%x', (cmd) => {
    const pair = new Pair({ seed: 33 });
    pair.connectInSync();
    pair.a.turn(() => expect(pair.a.connection.packet(cmd, 0, ack(0, 1, 1, 4096), 0, 24, -1, 0)).not.toBe(''));
  });

  /** Its data would lie in memory that is free again when the request is really sent and ends. */
  test('an answer to a read that was not sent yet is refused', () => {
    const pair = new Pair({ seed: 40 });
    pair.connectInSync();
    pair.a.turn(() => pair.a.set(() => { pair.a.device.facts.readBalancing = 1; }));
    Object.assign(pair.a.connection.sender, { pump: () => {} });
    pair.read(8, 8, () => {});
    pair.run(() => pair.a.peer.apPending === 1);
    const { pool } = pair.a.io.requests;
    pair.a.turn(() => {
      const payload = pair.a.device.arena.alloc(4096);
      expect(pair.a.connection.packet(Cmd.DATA_REPLY, 0, ack(8, pool.generation[0], 1, 0), 0, 24, payload, 4096)).not.toBe('');
    });
    expect(pair.a.peer.apPending).toBe(1);
    // The application's own room is the shim's.
    expect(pair.arenaUsed()).toEqual([0, 0]);
  });

  test.each([Cmd.DATA, Cmd.TRIM, Cmd.DATA_REQUEST, Cmd.RS_DATA_REQUEST])('0x%x that is not in blocks of the disk is refused', (cmd) => {
    const pair = new Pair({ seed: 34 });
    pair.connectInSync();
    Object.assign(pair.b.disk.lower.limits, { logicalBlockBytes: 4096 });
    pair.b.turn(() => {
      const view = ack(8, 1, 1, 512);
      view.setUint32(24, 512);
      const payload = cmd === Cmd.DATA ? pair.b.device.arena.alloc(512) : -1;
      expect(pair.b.connection.packet(cmd, 0, view, 0, 28, payload, cmd === Cmd.DATA ? 512 : 0)).toContain('not in blocks of 4096');
    });
    expect(pair.arenaUsed()).toEqual([0, 0]);
    expect(pair.b.device.lowerPending).toBe(0);
  });

  test('anything of the right size is refused or taken, never an assertion, and the next connection works', () => {
    const sizes = new Map<number, number>([[Cmd.TRIM, 28], [Cmd.ZEROES, 28], [Cmd.BARRIER, 8], [Cmd.BARRIER_ACK, 8],
      [Cmd.DAGTAG, 8], [Cmd.FLUSH_REQUESTS, 8], [Cmd.FLUSH_REQUESTS_ACK, 12], [Cmd.FLUSH_FORWARD, 12], [Cmd.PEER_ACK, 16],
      [Cmd.OUT_OF_SYNC, 16], [Cmd.RS_DAGTAG_REQ, 32], [Cmd.RS_THIN_DAGTAG_REQ, 32], [Cmd.RS_CSUM_DAGTAG_REQ, 36],
      [Cmd.OV_DAGTAG_REQ, 32], [Cmd.CSUM_RS_REQUEST, 28], [Cmd.OV_REPLY, 28], [Cmd.OV_DAGTAG_REPLY, 36], [Cmd.OV_RESULT_ID, 32], [Cmd.UNPLUG_REMOTE, 0], [Cmd.BITMAP, 256], [Cmd.COMPRESSED_BITMAP, 100]]);
    const word = fc.oneof(fc.nat(64), fc.constantFrom(0, 512, 4096, 0xffffffff, 0x7fffffff, 131072), fc.integer({ min: 0, max: 0xffffffff }));
    const one = fc.record({ cmd: fc.constantFrom(...IO_COMMANDS), vnr: fc.constantFrom(0, 0, 0, 0, -1, 7),
      words: fc.array(word, { minLength: 9, maxLength: 9 }), payload: fc.nat(8) });
    fc.assert(fc.property(fc.integer({ min: 1, max: 1 << 30 }), fc.array(one, { minLength: 1, maxLength: 30 }), (seed, packets) => {
      const pair = new Pair({ seed });
      pair.connectInSync();
      for (let i = 0; i < 5; i++) pair.write(i * 8, 8);
      pair.world.runFor(0.5);
      for (const side of [pair.a, pair.b]) {
        side.connection.facts.verifyAlg = side.connection.facts.csumsAlg = 'crc32c';
        for (const p of packets) {
          if (side.connection.writes.held || side.streams === null) break;
          const view = new DataView(new ArrayBuffer(4096));
          p.words.forEach((w, i) => view.setUint32(i * 4, w));
          const isData = p.cmd === Cmd.DATA || p.cmd === Cmd.DATA_REPLY || p.cmd === Cmd.RS_DATA_REPLY;
          side.turn(() => {
            const bytes = isData && p.vnr === 0 ? p.payload * 512 : 0;
            const payload = bytes > 0 ? side.device.arena.alloc(bytes) : -1;
            const error = side.connection.packet(p.cmd, p.vnr, view, 0, sizes.get(p.cmd) ?? 24, payload, bytes);
            if (error !== '') side.linkFailed(0, 'ProtocolError', error);
          });
        }
      }
      pair.world.runFor(50);
      if (pair.a.streams !== null) pair.dropLink();
      pair.run(() => disconnected(pair, 1));
      pair.run(() => pair.settled(), 60000);
      expect(pair.arenaUsed()).toEqual([0, 0]);
      pair.a.turn(() => { pair.a.disk.bitmap.setAll(0); });
      pair.connectForResync();
      pair.run(() => pair.b.peer.facts.repl === Repl.established && pair.settled(), 60000);
      expect(pair.difference()).toBe(-1);
    }), { numRuns: runs(60) });
  });
});

test('discards of any alignment leave equal disks', () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 1000 }), fc.array(fc.record({ sector: fc.nat(2000), sectors: fc.integer({ min: 1, max: 300 }),
    zero: fc.boolean() }), { minLength: 1, maxLength: 10 }), (seed, ops) => {
    const pair = new Pair({ seed });
    pair.connectInSync();
    for (let i = 0; i < 10; i++) pair.write(i * 256, 256);
    pair.run(() => pair.settled());
    for (const o of ops) pair.bio(o.zero ? BioOp.writeZeroes : BioOp.discard, o.sector, o.sectors, 0, (e) => expect(e).toBe(0));
    pair.run(() => pair.settled());
    expect(pair.difference()).toBe(-1);
    expect(disk(pair, 'b').tag(ops[0].sector)).toBe(0);
  }), { numRuns: 20 });
});

test('a peer\'s discards are not all on the disk at once', () => {
  const pair = new Pair({ seed: 35 });
  pair.connectInSync();
  disk(pair, 'b').faults.stopped = true;
  let done = 0;
  for (let i = 0; i < 1000; i++) pair.bio(BioOp.discard, i * 16, 8, 0, (e) => { expect(e).toBe(0); done++; });
  pair.world.runFor(100);
  expect(pair.b.device.lowerPending).toBe(64);
  disk(pair, 'b').resume();
  pair.run(() => done === 1000 && pair.settled());
  expect([...pair.a.failures, ...pair.b.failures]).toEqual([]);
});

test('a write that waits for the activity log goes on when the disk goes', () => {
  const pair = new Pair({ seed: 36, sectors: 8192 * 200, alExtents: 67, alExtentsB: 200 });
  pair.connectInSync();
  disk(pair, 'b').faults.stopped = true;
  const errnos: number[] = [];
  const tags = Array.from({ length: 70 }, (_, i) => pair.write(i * 8192, 8, 0, (e) => { errnos.push(e); }));
  pair.run(() => pair.a.device.alWaiting === 3 && pair.a.device.lowerPending === 0);
  pair.a.turn(() => pair.a.set(() => { pair.a.device.facts.disk = Disk.failed; }));
  pair.run(() => pair.a.events.includes('diskIdle'));
  pair.a.turn(() => {
    pair.a.set(() => { pair.a.device.facts.disk = Disk.diskless; });
    pair.a.device.detach();
  });
  disk(pair, 'b').resume();
  pair.run(() => errnos.length === 70 && pair.settled());
  expect(errnos.every((e) => e === 0)).toBe(true);
  expect(pair.a.device.alWaiting).toBe(0);
  expect(disk(pair, 'b').tag(69 * 8192)).toBe(tags[69][0]);
});

/** The next disk's activity log does not know what was referenced in the last one's. */
test('a write that waits for a conflict while the disk goes and comes', () => {
  const pair = new Pair({ seed: 37 });
  pair.connectInSync();
  const { device } = pair.a;
  const other = device.intervals.insert(IvType.RESYNC_READ, 7, 0, 8, -1);
  device.intervals.flags[other] |= IvFlag.SUBMITTED;
  let errno = -1;
  pair.write(0, 8, 0, (e) => { errno = e; });
  pair.run(() => device.intervals.waiting === 1);
  const next = pair.a.newDisk();
  pair.a.turn(() => {
    pair.a.set(() => { device.facts.disk = Disk.diskless; });
    device.detach();
    device.attach(next);
    pair.a.set(() => { device.facts.disk = Disk.upToDate; });
    device.intervals.remove(other);
    device.conflicts.release(0, 8);
  });
  pair.run(() => errno === 0 && pair.settled());
  expect(next.al.used).toBe(0);
});

test('a peer\'s write that waits for the activity log when disk and connection go', () => {
  const pair = new Pair({ seed: 38, sectors: 8192 * 200, alExtents: 200, alExtentsB: 67 });
  pair.connectInSync();
  const { al } = pair.b.disk;
  pair.a.io.facts.peerAckDelayMs = 1e6;
  for (let i = 0; i < 67; i++) pair.write(i * 8192, 8);
  pair.run(() => al.used === 67 && pair.a.io.requests.pool.live === 0);
  // Room seems to be there: the write is not held, but waits in the log.
  Object.defineProperty(al, 'used', { value: 0 });
  let errno = -1;
  pair.write(67 * 8192, 8, 0, (e) => { errno = e; });
  pair.run(() => pair.b.device.alWaiting === 1);
  pair.b.turn(() => {
    pair.b.set(() => { pair.b.device.facts.disk = Disk.diskless; });
    pair.b.device.detach();
  });
  pair.dropLink();
  pair.run(() => errno === 0 && disconnected(pair, 1) && pair.settled());
  expect(pair.b.device.alWaiting).toBe(0);
});

test('without write ordering, more epochs than the receiver can count make the sender wait', () => {
  const pair = new Pair({ seed: 39, protocol: 1 });
  pair.b.turn(() => pair.b.set(() => {
    pair.b.device.facts.diskFlushes = false;
    pair.b.device.facts.diskDrain = false;
  }));
  pair.connectInSync();
  disk(pair, 'b').faults.stopped = true;
  let done = 0;
  const next = (): void => {
    done++;
    if (done < 600) pair.write(done * 8, 8, 0, next);
  };
  pair.write(0, 8, 0, next);
  pair.world.runFor(2000);
  expect(done).toBe(600);
  disk(pair, 'b').resume();
  pair.run(() => pair.settled());
  expect([...pair.a.failures, ...pair.b.failures]).toEqual([]);
  expect(pair.difference()).toBe(-1);
});

/** A resource of many volumes: no bio that the shim can hand over ends for lack of room while I/O is suspended. */
test('every bio finds room', () => {
  const pair = new Pair({ seed: 51 });
  const { io } = pair.a;
  const ended: number[] = [];
  const block = { ...pair.a.device.block, maxTags: 1024, complete: (_tag: number, errno: number) => { ended.push(errno); } };
  pair.a.turn(() => {
    pair.a.set(() => { io.facts.suspended = true; });
    for (let vnr = 1; vnr <= 80; vnr++) {
      const device = io.addDevice({ vnr, block: block as never, arena: pair.a.device.arena });
      device.sectors = 8;
      for (let tag = 0; tag < 1024; tag++) device.bio(tag, BioOp.write, 0, 0, 4096, 0);
    }
  });
  expect(ended).toEqual([]);
  expect(io.requests.pool.live).toBe(80 * 1024);
});

/** The number that an attach brings has no write behind it that a peer ack could be for. */
test('P_FLUSH_REQUESTS is answered after an attach, without another write', () => {
  const pair = new Pair({ seed: 52 });
  pair.connectInSync();
  pair.write(0, 8);
  pair.run(() => pair.settled());
  pair.a.turn(() => { pair.a.io.requests.dagtag += 10000; });
  pair.b.turn(() => pair.b.connection.notify(Cmd.FLUSH_REQUESTS, null, 1, 0));
  pair.run(() => pair.b.received.includes(Cmd.FLUSH_REQUESTS_ACK));
});

test.each([false, true])('suspended I/O that is to fail: also what waits behind the gate (put back later: %s)', (later) => {
  const pair = new Pair({ seed: 54 });
  const { device } = pair.a;
  const other = device.intervals.insert(IvType.RESYNC_READ, 7, 0, 8, -1);
  device.intervals.flags[other] |= IvFlag.SUBMITTED;
  const errnos: number[] = [];
  pair.write(0, 8, 0, (e) => { errnos.push(e); });
  pair.run(() => device.intervals.waiting === 1);
  const release = (): void => {
    device.intervals.remove(other);
    device.conflicts.release(0, 8);
  };
  pair.a.turn(() => {
    pair.a.set(() => { pair.a.io.facts.suspended = true; });
    if (!later) release();
  });
  pair.write(8, 8, 0, (e) => { errnos.push(e); });
  pair.world.runFor(10);
  expect(errnos).toEqual([]);
  pair.a.turn(() => {
    pair.a.set(() => { device.facts.errIo = true; });
    if (later) release();
  });
  pair.run(() => errnos.length === 2);
  expect(errnos).toEqual([5, 5]);
});
