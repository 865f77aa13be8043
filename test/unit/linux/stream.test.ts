// SPDX-License-Identifier: GPL-2.0-or-later
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Address, ClosedCause, Framing, HeaderFormat, Listener, Stream, StreamHandler } from '../../../src/host/net.ts';
import { LinuxArena } from '../../../src/linux/arena.ts';
import { LinuxNet } from '../../../src/linux/net.ts';
import { LinuxTurn } from '../../../src/linux/turn.ts';

const tuning = { sndbufBytes: 0, rcvbufBytes: 0, tos: -1 };
const anyPort: Address = { family: 'ipv4', address: '127.0.0.1', port: 0 };
const P_DATA = 0, fixedOfData = 24;

let turn: LinuxTurn;
let net: LinuxNet;

beforeAll(() => {
  turn = new LinuxTurn();
  turn.start(20_000);
  net = new LinuxNet(turn, { fd: () => -1 });
});

afterAll(() => turn.stop());

function framing(header: HeaderFormat, change: Partial<Framing> = {}): Framing {
  const fixedBytes = new Int32Array(256).fill(-1);
  fixedBytes[P_DATA] = fixedOfData;
  return { header, fixedBytes, maxFixedBytes: 4096, maxPayloadBytes: 1 << 20, ...change };
}

function h100(command: number, volume: number, body: Buffer): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32BE(0x8620ec20, 0);
  header.writeUInt16BE(volume, 4);
  header.writeUInt16BE(command, 6);
  header.writeUInt32BE(body.length, 8);
  return Buffer.concat([header, body]);
}

function h80(command: number, body: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(0x83740267, 0);
  header.writeUInt16BE(command, 4);
  header.writeUInt16BE(body.length, 6);
  return Buffer.concat([header, body]);
}

function pattern(bytes: number, seed: number): Buffer {
  const out = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i++) out[i] = (i * 7 + seed * 31 + (i >> 8)) & 255;
  return out;
}

interface Packet { command: number; volume: number; fixed: Buffer; payload: number; payloadBytes: number }

/** Collects what a stream delivers; waits by condition. */
class Recorder implements StreamHandler {
  readonly packets: Packet[] = [];
  end: { cause: ClosedCause; errno: number } | null = null;
  position = 0;
  writables = 0;
  onPacket: (packet: Packet) => void = () => undefined;
  private readonly stream: Stream;
  private waiters: { holds: () => boolean; resolve: () => void }[] = [];

  constructor(stream: Stream) { this.stream = stream; }

  packet(command: number, volume: number, fixed: number, fixedBytes: number, payload: number, payloadBytes: number): void {
    const { input } = this.stream;
    const copy = Buffer.from(input.buffer.slice(fixed, fixed + fixedBytes) as ArrayBuffer);
    const packet = { command, volume, fixed: copy, payload, payloadBytes };
    this.packets.push(packet);
    this.onPacket(packet);
    this.wake();
  }
  sent(position: number): void { this.position = position; this.wake(); }
  writable(): void { this.writables++; this.wake(); }
  closed(cause: ClosedCause, errno: number): void { this.end = { cause, errno }; this.wake(); }

  until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => { this.waiters.push({ holds, resolve }); this.wake(); });
  }
  private wake(): void {
    this.waiters = this.waiters.filter(({ holds, resolve }) => {
      if (!holds()) return true;
      resolve();
      return false;
    });
  }
}

/** A stream of ours whose other end is a plain socket of Node.js. */
async function pair(): Promise<{ stream: Stream; recorder: Recorder; peer: Socket }> {
  const before = ownListeningPorts();
  const accepted: Promise<Stream> = new Promise((resolve, reject) => {
    const listener = net.listen(0, { ...anyPort, port: 0 }, tuning, (stream) => {
      (listener as Listener).close();
      resolve(stream);
    });
    if (typeof listener === 'number') reject(new Error(`errno ${listener}`));
  });
  const port = ownListeningPorts().find((candidate) => !before.includes(candidate))!;
  const peer = createConnection({ host: '127.0.0.1', port });
  const stream = await accepted;
  return { stream, recorder: new Recorder(stream), peer };
}

/** A stream that we connect to a socket of this machine. */
function connected(port: number): Promise<Stream> {
  return new Promise((resolve, reject) => {
    net.connect({ netns: 0, local: anyPort, remote: { ...anyPort, port }, timeoutMs: 1000, tuning }, resolve,
      (errno) => reject(new Error(String(errno))));
  });
}

/** Where this process listens on loopback. */
function ownListeningPorts(): number[] {
  const inodes = new Set(ownSockets());
  return readFileSync('/proc/self/net/tcp', 'utf8').split('\n').slice(1)
    .map((line) => line.trim().split(/\s+/)).filter((f) => f[3] === '0A' && f[1]!.startsWith('0100007F') && inodes.has(f[9]!))
    .map((f) => parseInt(f[1]!.split(':')[1]!, 16));
}
function ownSockets(): string[] {
  const found: string[] = [];
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      const match = /socket:\[(\d+)\]/.exec(readlinkSync(`/proc/self/fd/${fd}`));
      if (match) found.push(match[1]!);
    } catch { /* closed meanwhile */ }
  }
  return found;
}

function arenaOf(pages: number): LinuxArena {
  return new LinuxArena(turn, new Uint8Array(pages * 4096), 0);
}

describe('packets that are received', () => {
  it('are the same however the bytes are split', async () => {
    const packets = [h100(0x13, 0xffff, Buffer.alloc(0)), h100(0x0e, 1, pattern(4, 1)), h100(0x22, 2, pattern(3000, 2)),
      h100(0x15, 0, pattern(24, 3))];
    const all = Buffer.concat(packets);
    for (const step of [1, 3, 16, 17, 500, all.length]) {
      const { stream, recorder, peer } = await pair();
      stream.start(framing('h100'), recorder);
      peer.setNoDelay(true);
      const small = step < 16 ? all.subarray(0, 60) : all;
      for (let at = 0; at < small.length; at += step) {
        peer.write(small.subarray(at, at + step));
        if (step < 16) await new Promise((resolve) => setTimeout(resolve, 1));
      }
      const expected = step < 16 ? 2 : 4;
      await recorder.until(() => recorder.packets.length === expected);
      expect(recorder.packets.map((p) => p.command)).toEqual([0x13, 0x0e, 0x22, 0x15].slice(0, expected));
      expect(recorder.packets[1]!.fixed).toEqual(pattern(4, 1));
      expect(recorder.packets[0]!.volume).toBe(0xffff);
      if (expected === 4) expect(recorder.packets[2]!.fixed).toEqual(pattern(3000, 2));
      stream.close(0);
      peer.destroy();
    }
  });

  it('have their payload in the arena of their volume, small and large, split anyhow', async () => {
    const arena = arenaOf(1024);
    for (const sizes of [[512, 4096, 4608], [1 << 20, 4096, 1 << 20], [300_000, 300_001]]) {
      const { stream, recorder, peer } = await pair();
      stream.bindVolume(3, arena);
      stream.start(framing('h100'), recorder);
      const bodies = sizes.map((bytes, i) => Buffer.concat([pattern(fixedOfData, i), pattern(bytes, i + 9)]));
      peer.write(Buffer.concat(bodies.map((body) => h100(P_DATA, 3, body))));
      await recorder.until(() => recorder.packets.length === sizes.length);
      recorder.packets.forEach((packet, i) => {
        expect(packet.fixed).toEqual(pattern(fixedOfData, i));
        expect(packet.payloadBytes).toBe(sizes[i]);
        const data = Buffer.from(arena.bytes.subarray(packet.payload, packet.payload + packet.payloadBytes));
        expect(data.equals(pattern(sizes[i]!, i + 9))).toBe(true);
        arena.free(packet.payload, packet.payloadBytes);
      });
      expect(arena.freeBytes()).toBe(arena.sizeBytes);
      stream.close(0);
      peer.destroy();
    }
    arena.remove();
  });

  it('wait for room in the arena, and the peer waits with them', async () => {
    const arena = arenaOf(4);
    const { stream, recorder, peer } = await pair();
    stream.bindVolume(0, arena);
    stream.start(framing('h100'), recorder);
    const one = h100(P_DATA, 0, Buffer.concat([pattern(fixedOfData, 0), pattern(8192, 1)]));
    for (let i = 0; i < 6; i++) peer.write(one);
    await recorder.until(() => recorder.packets.length === 2);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(recorder.packets.length).toBe(2);
    for (let i = 0; i < 6; i++) {
      await recorder.until(() => recorder.packets.length > i);
      arena.free(recorder.packets[i]!.payload, 8192);
    }
    expect(recorder.packets.length).toBe(6);
    stream.close(0);
    peer.destroy();
    arena.remove();
  });

  it('skip payload of a volume that is not bound', async () => {
    const { stream, recorder, peer } = await pair();
    stream.start(framing('h100'), recorder);
    peer.write(Buffer.concat([h100(P_DATA, 5, pattern(fixedOfData + 600_000, 1)), h100(0x13, 0xffff, Buffer.alloc(0))]));
    await recorder.until(() => recorder.packets.length === 2);
    expect(recorder.packets[0]).toMatchObject({ payload: -1, payloadBytes: 600_000 });
    expect(recorder.packets[1]!.command).toBe(0x13);
    stream.close(0);
    peer.destroy();
  });

  it('obey a framing set in the callback from the very next packet on', async () => {
    const arena = arenaOf(64);
    const { stream, recorder, peer } = await pair();
    stream.bindVolume(0, arena);
    stream.start(framing('h80'), recorder);
    recorder.onPacket = (packet) => {
      if (packet.command === 0xfffe) stream.setFraming(framing('h100'));
      if (packet.command !== 0x0b) return;
      const next = framing('h100');
      next.fixedBytes[P_DATA] = fixedOfData + 20;
      stream.setFraming(next);
    };
    const data = h100(P_DATA, 0, pattern(fixedOfData + 20 + 4096, 7));
    peer.write(Buffer.concat([h80(0xfffe, pattern(72, 1)), h100(0x0b, 0xffff, pattern(24, 2)), data, data, data.subarray(0, 90)]));
    await recorder.until(() => recorder.packets.length === 4);
    peer.write(data.subarray(90));
    await recorder.until(() => recorder.packets.length === 5);
    expect(recorder.packets.map((p) => p.command)).toEqual([0xfffe, 0x0b, 0, 0, 0]);
    for (const packet of recorder.packets.slice(2)) {
      expect(packet.fixed).toEqual(pattern(fixedOfData + 20 + 4096, 7).subarray(0, fixedOfData + 20));
      expect(Buffer.from(arena.bytes.subarray(packet.payload, packet.payload + 4096))
        .equals(pattern(fixedOfData + 20 + 4096, 7).subarray(fixedOfData + 20))).toBe(true);
      arena.free(packet.payload, packet.payloadBytes);
    }
    expect(arena.freeBytes()).toBe(arena.sizeBytes);
    stream.close(0);
    peer.destroy();
    arena.remove();
  });

  it('stop at pause, packets that are here already too, and the end comes after them', async () => {
    const { stream, recorder, peer } = await pair();
    stream.start(framing('h100'), recorder);
    recorder.onPacket = () => stream.pause(true);
    peer.end(Buffer.concat([1, 2, 3].map((n) => h100(n, 0, pattern(10, n)))));
    for (const count of [1, 2, 3]) {
      await recorder.until(() => recorder.packets.length === count);
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(recorder.packets.length).toBe(count);
      expect(recorder.end).toBeNull();
      stream.pause(false);
    }
    await recorder.until(() => recorder.end !== null);
    expect(recorder.end).toEqual({ cause: 'eof', errno: 0 });
    peer.destroy();
  });

  it.each([
    ['a wrong magic', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['one byte that no header starts with', Buffer.from([0x47])],
    ['a fixed part over its limit', h100(0x10, 0, Buffer.alloc(0)).fill(0xff, 8, 12)],
    ['a payload over its limit', (() => { const b = h100(P_DATA, 0, Buffer.alloc(0)); b.writeUInt32BE((1 << 20) + 25, 8); return b; })()],
    ['a payload packet shorter than its fixed part', h100(P_DATA, 0, Buffer.alloc(23))],
    ['padding that is not zero', h100(0x13, 0, Buffer.alloc(0)).fill(1, 15)],
    ['a header form that was not agreed', h80(0x13, Buffer.alloc(0))],
  ])('end the stream with cause protocol: %s', async (_name, bytes) => {
    const { stream, recorder, peer } = await pair();
    stream.start(framing('h100'), recorder);
    peer.write(Buffer.concat([h100(0x13, 0xffff, Buffer.alloc(0)), bytes]));
    await recorder.until(() => recorder.end !== null);
    expect(recorder.packets.length).toBe(1);
    expect(recorder.end!.cause).toBe('protocol');
    peer.destroy();
  });

  // H-213
  it.each([
    ['a header', 8], ['a fixed part', 16 + 8], ['a payload that lies in the input', 16 + fixedOfData + 100],
    ['a payload that is received by itself', 16 + fixedOfData + 700_000],
  ])('end with the stream when it ends in the middle of %s, and give their room back', async (_what, bytes) => {
    const arena = arenaOf(1024);
    const { stream, recorder, peer } = await pair();
    stream.bindVolume(0, arena);
    stream.start(framing('h100'), recorder);
    const whole = h100(P_DATA, 0, pattern(fixedOfData + 1_000_000, 1));
    peer.end(Buffer.concat([h100(0x13, 0xffff, Buffer.alloc(0)), whole.subarray(0, bytes)]));
    await recorder.until(() => recorder.end !== null);
    expect(recorder.end).toEqual({ cause: 'eof', errno: 0 });
    expect(recorder.packets.length).toBe(1);
    expect(arena.freeBytes()).toBe(arena.sizeBytes);
    stream.close(0);
    peer.destroy();
    arena.remove();
  });

  it('come in every header form where any is allowed', async () => {
    const { stream, recorder, peer } = await pair();
    stream.start(framing('any'), recorder);
    const h95 = Buffer.from([0x83, 0x5a, 0, 0x10, 0, 0, 0, 2, 9, 9]);
    peer.write(Buffer.concat([h80(0x11, pattern(1, 1)), h95, h100(0x12, 4, pattern(3, 1))]));
    await recorder.until(() => recorder.packets.length === 3);
    expect(recorder.packets.map((p) => [p.command, p.volume, p.fixed.length])).toEqual([[0x11, 0, 1], [0x10, 0, 2], [0x12, 4, 3]]);
    stream.close(0);
    peer.destroy();
  });
});

describe('packets that are sent', () => {
  function send(stream: Stream, bytes: Buffer, arena: LinuxArena | null = null, payload = 0, payloadBytes = 0, lasting = false): number {
    const at = stream.reserve(bytes.length);
    if (at < 0) return -1;
    new Uint8Array(stream.output.buffer).set(bytes, at);
    return stream.commit(at, bytes.length, arena, payload, payloadBytes, lasting);
  }

  /** All of it comes, and then the end. */
  async function comesWhole(stream: Stream, recorder: Recorder, peer: Socket, position: number, got: Buffer[], want: Buffer[]): Promise<void> {
    await recorder.until(() => recorder.position === position);
    expect(stream.queuedBytes()).toBe(0);
    stream.close(1000);
    await new Promise((resolve) => peer.once('end', resolve));
    expect(Buffer.concat(got).equals(Buffer.concat(want))).toBe(true);
    peer.destroy();
  }

  it('go out whole and in order, with payload from the arena, and sent() tells how far', async () => {
    const arena = arenaOf(512);
    const { stream, recorder, peer } = await pair();
    stream.start(framing('h100'), recorder);
    const got: Buffer[] = [];
    peer.on('data', (chunk) => got.push(chunk));
    const want: Buffer[] = [];
    let position = 0;
    for (let i = 0; i < 40; i++) {
      const header = pattern(40, i);
      const bytes = i % 3 === 0 ? 0 : 4096 * (i % 7) + 512;
      const payload = bytes === 0 ? -1 : arena.alloc(bytes);
      if (bytes !== 0) arena.bytes.set(pattern(bytes, i), payload);
      want.push(header, bytes === 0 ? Buffer.alloc(0) : pattern(bytes, i));
      position = send(stream, header, arena, payload, bytes);
    }
    expect(position).toBe(Buffer.concat(want).length);
    await comesWhole(stream, recorder, peer, position, got, want);
    arena.remove();
  });

  it('are the same where large payloads go by the page, past a peer that does not read for a while', async () => {
    const pages = 2048;
    const arena = new LinuxArena(turn, new Uint8Array(pages * 4096), pages * 4096, undefined, () => true);
    arena.bytes.set(pattern(arena.sizeBytes, 3));
    const { stream, recorder, peer } = await pair();
    stream.start(framing('h100'), recorder);
    peer.pause();
    const got: Buffer[] = [];
    peer.on('data', (chunk) => got.push(chunk));
    const want: Buffer[] = [];
    let position = 0, payload = 0;
    for (const bytes of [16_384, 4096, 1 << 20, 1 << 20, 0, 131_072, 15_872, 20_992, 1 << 20, 512, 1 << 20]) {
      const header = pattern(40, payload);
      want.push(header, Buffer.from(arena.bytes.subarray(payload, payload + bytes)));
      position = send(stream, header, bytes === 0 ? null : arena, payload, bytes, true);
      payload += Math.ceil(bytes / 4096) * 4096;
    }
    await recorder.until(() => recorder.position > 0);
    expect(stream.queuedBytes()).toBeGreaterThan(0);
    peer.resume();
    await comesWhole(stream, recorder, peer, position, got, want);
    arena.remove();
  });

  it('are not copied there, which is why such memory must not be used anew before the socket gives it back', async () => {
    const arena = new LinuxArena(turn, new Uint8Array(65_536), 65_536, undefined, () => true);
    // Memory that nobody wrote to is the kernel's one page of zeros, and a page of its own only from the first write on.
    arena.bytes.fill(1);
    // Nothing is read before resume(), not even ahead.
    const server = createServer({ pauseOnConnect: true });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
    const stream = await connected((server.address() as { port: number }).port);
    const recorder = new Recorder(stream);
    const peer = await accepted;
    stream.start(framing('h100'), recorder);
    const position = send(stream, pattern(40, 1), arena, 0, 65_536, true);
    await recorder.until(() => recorder.position === position);
    arena.bytes.fill(0xee);
    let changed = 0;
    peer.on('data', (chunk) => { changed += chunk.filter((byte) => byte === 0xee).length; });
    peer.resume();
    stream.close(1000);
    await new Promise((resolve) => peer.once('end', resolve));
    expect(changed).toBeGreaterThan(60_000);
    peer.destroy();
    server.close();
    arena.remove();
  });

  it('are refused when the queue is full, and writable() tells when it is not', async () => {
    const { stream, recorder, peer } = await pair();
    stream.start(framing('h100'), recorder);
    peer.pause();
    let committed = 0, bytes = 0;
    const one = pattern(8000, 1);
    for (let rounds = 0; rounds < 2000; rounds++) {
      const position = send(stream, one);
      if (position < 0) {
        if (stream.unackedBytes() > 1 << 20 && committed > 200) break;
        await new Promise((resolve) => setTimeout(resolve, 1));
        continue;
      }
      committed++;
      bytes = position;
    }
    expect(stream.reserve(8000)).toBe(-1);
    let read = 0;
    const writables = recorder.writables;
    peer.on('data', (chunk) => { read += chunk.length; });
    peer.resume();
    await recorder.until(() => recorder.writables > writables);
    await recorder.until(() => recorder.position === bytes);
    stream.close(1000);
    await new Promise((resolve) => peer.once('end', resolve));
    expect(read).toBe(bytes);
    peer.destroy();
  });

  it('reach the peer when the stream is closed behind them, though their memory is used anew', async () => {
    const arena = arenaOf(1024);
    const { stream, recorder, peer } = await pair();
    stream.start(framing('h100'), recorder);
    peer.pause();
    const size = 3 << 20;
    const payload = arena.alloc(size);
    const data = pattern(size, 5);
    arena.bytes.set(data, payload);
    send(stream, pattern(16, 1), arena, payload, size);
    await new Promise((resolve) => setTimeout(resolve, 20));
    peer.write(h100(0x13, 0, Buffer.alloc(0)));
    stream.close(5000);
    arena.bytes.fill(0xee);
    arena.free(payload, size);
    const got: Buffer[] = [];
    peer.on('data', (chunk) => got.push(chunk));
    const errors: unknown[] = [];
    peer.on('error', (error) => errors.push(error));
    peer.resume();
    await new Promise((resolve) => peer.once('end', resolve));
    expect(Buffer.concat(got).equals(Buffer.concat([pattern(16, 1), data]))).toBe(true);
    expect(errors).toEqual([]);
    peer.destroy();
    arena.remove();
  });

  it('end with an error when the peer resets', async () => {
    const { stream, recorder, peer } = await pair();
    stream.start(framing('h100'), recorder);
    peer.resetAndDestroy();
    await recorder.until(() => recorder.end !== null);
    expect(recorder.end!.cause).toBe('error');
    expect(recorder.end!.errno).toBe(104);
  });
});

describe('connecting', () => {
  it('meets a listener and both ends know their addresses', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const stream = await connected(port);
    expect(stream.remote).toEqual({ family: 'ipv4', address: '127.0.0.1', port });
    expect(stream.local.address).toBe('127.0.0.1');
    stream.close(0);
    server.close();
  });

  it('tells refusal, wrong addresses and time-outs by errno, and nothing after cancel()', async () => {
    const fails = (remote: Address, local = anyPort, timeoutMs = 500) => new Promise<number>((resolve) => {
      net.connect({ netns: 0, local, remote, timeoutMs, tuning }, () => resolve(0), resolve);
    });
    expect(await fails({ ...anyPort, port: 1 })).toBe(111);
    expect(await fails({ ...anyPort, port: 1 }, { ...anyPort, address: '192.0.2.77' })).toBe(99);
    let called = false;
    const cancel = net.connect({ netns: 0, local: anyPort, remote: { ...anyPort, port: 1 }, timeoutMs: 500, tuning },
      () => { called = true; }, () => { called = true; });
    cancel.cancel();
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(called).toBe(false);
  });

  it('says EADDRINUSE for a port that is taken, and can listen once it is free', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    expect(net.listen(0, { ...anyPort, port }, tuning, () => undefined)).toBe(98);
    expect(net.listen(0, { ...anyPort, address: '192.0.2.77' }, tuning, () => undefined)).toBe(99);
    await new Promise((resolve) => server.close(resolve));
    const listener = net.listen(0, { ...anyPort, port }, tuning, () => undefined);
    expect(listener).not.toBeTypeOf('number');
    (listener as Listener).close();
    const again = net.listen(0, { ...anyPort, port }, tuning, () => undefined);
    expect(again).not.toBeTypeOf('number');
    (again as Listener).close();
  });
});

it('a stream that was closed at once leaves its place to the next one', async () => {
  const inputs = new Set<ArrayBuffer>();
  for (let round = 0; round < 20; round++) {
    const { stream, peer } = await pair();
    inputs.add(stream.input.buffer as ArrayBuffer);
    stream.close(0);
    peer.destroy();
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
  expect(inputs.size).toBeLessThan(10);
});

it('a closed stream says nothing about the one that has its place now', async () => {
  const old = await pair();
  const { stream } = old;
  stream.close(0);
  old.peer.destroy();
  const before = stream.lastReceivedMs();
  const others = [];
  do {
    others.push(await pair());
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  } while (others.at(-1)!.stream.input.buffer !== stream.input.buffer && others.length < 10);
  const next = others.at(-1)!.stream;
  expect(next.input.buffer).toBe(stream.input.buffer);
  next.commit(next.reserve(64), 64, null, 0, 0);
  expect(next.queuedBytes()).toBe(64);
  expect(stream.queuedBytes()).toBe(0);
  expect(stream.reserve(64)).toBe(-1);
  expect(stream.lastReceivedMs()).toBe(before);
  for (const other of others) {
    other.stream.close(0);
    other.peer.destroy();
  }
});
