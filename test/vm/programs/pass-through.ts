// SPDX-License-Identifier: GPL-2.0-or-later
// A smallest engine over the real ports: /dev/drbd0 hands everything down to a disk. Run in a guest by shim-channel.test.ts.
// Arguments: the disk. Prints one JSON object with what it saw; exit status 0 when nothing failed.
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { promisify } from 'node:util';
import { BioOp } from '../../../src/host/block.ts';
import type { BlockHandler } from '../../../src/host/block.ts';
import { LowerOp } from '../../../src/host/lower.ts';
import type { LowerDevice } from '../../../src/host/lower.ts';
import type { AdminRequest } from '../../../src/host/admin.ts';
import type { Address, Stream } from '../../../src/host/net.ts';
import type { ShimBlockDevice } from '../../../src/linux/block-device.ts';
import { attachHost, defaultArenas, defaultHostOptions } from '../../../src/linux/host.ts';

const run = promisify(execFile);
const sh = async (command: string) => {
  process.stderr.write(`${(process.uptime()).toFixed(1)} ${command}\n`);
  return (await run('/bin/sh', ['-c', command], { timeout: 30_000 })).stdout;
};
const disk = process.argv[2]!;
const seen = { bios: 0, writes: 0, reads: 0, opens: [] as string[], lastCloses: 0, bypassClosed: 0, gone: 0 };
const out: Record<string, unknown> = { seen };

const host = attachHost({ ...defaultHostOptions, spawnerFd: Number(process.env['DRBDD_SPAWNER_FD']), arenas: defaultArenas, logToStderr: false, watchdogMs: 30_000 });
const device = host.block.create(0);
if (typeof device === 'number') throw new Error(`create: errno ${device}`);
const file = host.block.openBacking(disk, process.pid);
if (typeof file === 'number') throw new Error(`openBacking: errno ${file}`);
let lower: LowerDevice;

/** Each bio is one LOWER in its own room; the cookie is its tag. */
class PassThrough implements BlockHandler {
  private readonly device: ShimBlockDevice;
  private readonly room = new Float64Array(4096);
  onWrite: (room: number, sizeBytes: number) => void = () => undefined;
  constructor(device: ShimBlockDevice) { this.device = device; }
  bio(tag: number, op: number, flags: number, sector: number, sizeBytes: number, arenaOffset: number): void {
    seen.bios++;
    if (op === BioOp.read) seen.reads++;
    if (op === BioOp.write) seen.writes++;
    if (op === BioOp.write) this.onWrite(arenaOffset, sizeBytes);
    this.room[tag] = arenaOffset;
    const data = op === LowerOp.read || op === LowerOp.write;
    lower.submit(op as LowerOp, flags & 0x1f, sector, sizeBytes, data ? this.device.data : null, data ? arenaOffset : 0, tag, tag);
  }
  lowerDone(cookie: number, errno: number): void { this.device.complete(cookie, errno, this.room[cookie]!); }
  open(openId: number, write: boolean, _exclusive: boolean, _ndelay: boolean, _pid: number, comm: string): void {
    seen.opens.push(`${comm}${write ? ' w' : ''}`);
    this.device.answerOpen(openId, comm === 'wc' ? 30 : 0);
  }
  openGone(): void { seen.gone++; }
  openCount(): void { /* not needed here */ }
  lastClose(): void { seen.lastCloses++; this.device.drained(); }
  bypassClosed(): void { seen.bypassClosed++; }
}

const handler = new PassThrough(device);
device.setHandler(handler);
const claimed = device.claim(file, 'data', handler);
if (typeof claimed === 'number') throw new Error(`claim: errno ${claimed}`);
lower = claimed;
file.close();
out['limits'] = lower.limits;
const { limits } = lower;
device.setLimits({ logicalBlockBytes: limits.logicalBlockBytes, physicalBlockBytes: limits.physicalBlockBytes,
  maxBioBytes: 1 << 20, maxDiscardSectors: 0, discardGranularityBytes: 0, maxWriteZeroesSectors: 0, rotational: false,
  writeCache: true });
device.setCapacity(limits.sectors);
host.log.line(6, 'drbd test: pass-through runs');

const chunk = 65_536;

interface Unread {
  readonly stream: Stream;
  /** Nothing is read there before resume(). */
  readonly socket: Socket;
  /** One payload, by the page. */
  send(offset: number, sizeBytes: number): void;
  /** TCP has it. */
  readonly sent: Promise<void>;
}

/** A connection to ourselves. */
async function unreadConnection(device: ShimBlockDevice): Promise<Unread> {
  const server = createServer({ pauseOnConnect: true });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const local: Address = { family: 'ipv4', address: '127.0.0.1', port: 0 };
  const remote = { ...local, port: (server.address() as AddressInfo).port };
  const stream = await new Promise<Stream>((resolve, reject) => {
    host.net.connect({ netns: 0, local, remote, timeoutMs: 5000, tuning: { sndbufBytes: 0, rcvbufBytes: 0, tos: -1 } }, resolve,
      (errno) => reject(new Error(`connect: errno ${errno}`)));
  });
  const socket = await accepted;
  let position = Infinity;
  const sent = new Promise<void>((resolve) => {
    const nothing = () => undefined;
    stream.start({ header: 'any', fixedBytes: new Int32Array(256).fill(-1), maxFixedBytes: 4096, maxPayloadBytes: 0 },
      { packet: nothing, writable: nothing, closed: nothing, sent: (to) => { if (to >= position) resolve(); } });
  });
  server.close();
  const send = (offset: number, sizeBytes: number) => {
    position = stream.commit(stream.reserve(16), 16, device.data, offset, sizeBytes, true);
  };
  return { stream, socket, send, sent };
}

/** The first of several equal writes goes to a socket by the page: rooms that they get while nobody reads there, and after. */
async function splice(device: ShimBlockDevice): Promise<{ unread: number; usedAgain: boolean; intact: boolean }> {
  const { stream, socket, send, sent } = await unreadConnection(device);
  const rooms: number[] = [];
  handler.onWrite = (room, sizeBytes) => {
    rooms.push(room);
    if (rooms.length === 1) send(room, sizeBytes);
  };
  const write = (from: string) => sh(`dd if=${from} of=/dev/drbd0 bs=${chunk} count=1 oflag=direct 2>/dev/null`);
  await write('/tmp/data');
  await sent;
  for (let i = 0; i < 3; i++) await write('/dev/zero');
  const unread = rooms.length;
  const other = rooms.slice(1).every((room) => Math.abs(room - rooms[0]!) >= chunk);
  const got: Buffer[] = [];
  socket.on('data', (data) => got.push(data));
  socket.resume();
  stream.close(5000);
  await new Promise((resolve) => socket.once('end', resolve));
  socket.destroy();
  const intact = Buffer.concat(got).subarray(16).equals(readFileSync('/tmp/data').subarray(0, chunk));
  // Which free room a write gets is not promised: small and large ones look from the start, the large ones reach further.
  let usedAgain = false;
  handler.onWrite = (room, sizeBytes) => {
    usedAgain ||= room < rooms[0]! + chunk && room + sizeBytes > rooms[0]!;
  };
  for (let i = 0; i < 200 && !usedAgain; i++) await sh(`dd if=/dev/zero of=/dev/drbd0 bs=${i % 2 === 0 ? chunk : 1 << 20} count=1 oflag=direct 2>/dev/null`);
  handler.onWrite = () => undefined;
  return { unread: other ? unread : 0, usedAgain, intact };
}

/** Memory of the engine's part that was given back while a socket held it: kept while nobody reads there, and free after. */
async function givenBack(device: ShimBlockDevice): Promise<{ keptBytes: number; free: boolean }> {
  const { stream, socket, send, sent } = await unreadConnection(device);
  const free = device.data.freeBytes();
  const at = device.data.alloc(chunk);
  send(at, chunk);
  await sent;
  device.data.freeSent(at, chunk);
  await new Promise((resolve) => { setTimeout(resolve, 100); });
  const keptBytes = free - device.data.freeBytes();
  stream.close(0);
  socket.destroy();
  for (let i = 0; i < 500 && device.data.freeBytes() !== free; i++) await new Promise((resolve) => { setTimeout(resolve, 10); });
  return { keptBytes, free: device.data.freeBytes() === free };
}

mkdirSync('/tmp/mnt');
await sh('mkfs.ext4 -q /dev/drbd0 && mount /dev/drbd0 /tmp/mnt');
await sh('dd if=/dev/urandom of=/tmp/data bs=64k count=300 2>/dev/null; cp /tmp/data /tmp/mnt/copy && sync -f /tmp/mnt');
await sh('umount /tmp/mnt && mount /dev/drbd0 /tmp/mnt && cmp /tmp/data /tmp/mnt/copy && umount /tmp/mnt');
// Else what was received may wait on another CPU, pages and all, until something comes in there.
await sh('sysctl -qw net.core.skb_defer_max=0');
out['splice'] = await splice(device);
out['givenBack'] = await givenBack(device);
out['refusedOpen'] = await sh('wc -c /dev/drbd0').catch((error: { stderr: string }) => error.stderr.trim());
const readsBefore = seen.reads;
device.setReadBypass(true);
await sh('dd if=/dev/drbd0 of=/dev/null bs=1M count=16 iflag=direct 2>/dev/null');
out['bypassedReads'] = device.bypassed().reads;
out['readsThroughEngine'] = seen.reads - readsBefore;
device.setReadBypass(false);
await sh('sleep 0.1');

const state = device.stateArena(1, 10_000);
state.bytes[9999] = 7;
out['state'] = { fresh: state.fresh, again: device.stateArena(1, 10_000).fresh, byte: device.stateArena(1, 10_000).bytes[9999] };

/** Every request is answered with -EINVAL; the last one when we are gone. */
const requests: AdminRequest[] = [];
let arrived: () => void = () => undefined;
host.admin.setHandler({
  request: (request) => { requests.push(request); arrived(); },
  requesterGone: () => { seen.gone++; },
});
const request = () => new Promise<AdminRequest>((resolve) => {
  arrived = () => { const next = requests.shift(); if (next) resolve(next); };
  arrived();
});
function invalid(to: AdminRequest): Uint8Array {
  const answer = Buffer.alloc(36);
  answer.writeUInt32LE(36, 0);
  answer.writeUInt16LE(2, 4);
  answer.writeUInt32LE(new DataView(to.message.buffer).getUint32(8, true), 8);
  answer.writeUInt32LE(to.port, 12);
  answer.writeInt32LE(-22, 16);
  Buffer.from(to.message.buffer).copy(answer, 20, 0, 16);
  return answer;
}
const setup = (name: string) => sh(`drbdsetup new-resource ${name} 1 2>&1`).catch((error: { code: number; stdout: string }) => `${error.code} ${error.stdout.trim()}`);
const first = setup('r0');
const one = await request();
out['request'] = { dump: one.dump, capable: one.capable, netns: one.netns, type: new DataView(one.message.buffer).getUint16(4, true) === host.admin.family };
host.admin.reply(one.id, invalid(one));
out['answer'] = await first;

lower.release();
device.destroy();
out['claimedAfterRelease'] = await sh(`blockdev --getsz ${disk} >/dev/null && dd if=/dev/zero of=${disk} bs=4k count=1 oflag=direct,excl 2>&1 | tail -1`).then(() => false, () => true);
const last = setup('r1');
const two = await request();
host.admin.leave(two.id, invalid(two));
out['lastAnswer'] = await last;
out['rmmod'] = await sh('rmmod drbd 2>&1; lsmod | grep -c ^drbd').catch((error: { stdout: string }) => error.stdout.trim());
host.turn.stop();
process.stdout.write(`${JSON.stringify(out)}\n`, () => process.exit(0));
