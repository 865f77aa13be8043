// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * The life of one block in a simulated cluster, line by line, beside the log: bios, operations of the disks, packets that
 * name it, bits, activity log extents. For looking into a failing seed only: it patches the classes it watches.
 */
import { ActivityLog } from '../meta/activity-log.ts';
import { Bitmap } from '../meta/bitmap.ts';
import { BioOp } from '../host/block.ts';
import { LowerOp } from '../host/lower.ts';
import { KernelDevice } from './block.ts';
import type { SimCluster, SimMember } from './cluster.ts';
import { SimDisk } from './disk.ts';
import { parseHeader } from './header.ts';
import { SimStream } from './net.ts';

const SECTORS = 8;
const BITS_PER_EXTENT = 1024;
const bioNames = Object.fromEntries(Object.entries(BioOp).map(([name, value]) => [value, name]));
const lowerNames = Object.fromEntries(Object.entries(LowerOp).map(([name, value]) => [value, name]));
/** Packets whose body begins with a sector. */
const byName: Record<number, string> = {
  0x00: 'P_DATA', 0x01: 'P_DATA_REPLY', 0x02: 'P_RS_DATA_REPLY', 0x08: 'P_DATA_REQUEST', 0x09: 'P_RS_DATA_REQUEST',
  0x15: 'P_RECV_ACK', 0x16: 'P_WRITE_ACK', 0x17: 'P_RS_WRITE_ACK', 0x1a: 'P_NEG_ACK', 0x1b: 'P_NEG_DREPLY',
  0x1c: 'P_NEG_RS_DREPLY', 0x28: 'P_OUT_OF_SYNC', 0x31: 'P_TRIM', 0x36: 'P_ZEROES', 0x27: 'P_RS_IS_IN_SYNC',
  0x22: 'P_CSUM_RS_REQUEST', 0x29: 'P_RS_CANCEL', 0x59: 'P_WRITE_ACK_IN_SYNC', 0x33: 'P_RS_DEALLOCATED',
};

/** What a block holds: several values where a power failure has torn a write. */
const held = (disk: SimDisk, from: number): string =>
  [...new Set(Array.from({ length: SECTORS }, (_, n) => disk.tag(from + n)))].join('/');

/** Wraps a method: `seen` runs before it. */
function before<T extends object>(type: { prototype: T }, name: string, seen: (self: any, ...args: any[]) => void): void {
  const prototype = type.prototype as Record<string, (...args: unknown[]) => unknown>;
  const original = prototype[name]!;
  prototype[name] = function traced(this: unknown, ...args: unknown[]) {
    seen(this, ...args);
    return original.apply(this, args);
  };
}

export function traceBlock(cluster: SimCluster, block: number, out: (line: string) => void): void {
  const from = block * SECTORS;
  const covers = (sector: number, sizeBytes: number): boolean => sector < from + SECTORS && from * 512 < sector * 512 + sizeBytes;
  const say = (who: string, text: string): void => out(`${cluster.world.nowMs.toFixed(3)} ${who} * ${text}`);
  const memberOf = (found: (m: SimMember) => boolean): string => {
    const m = cluster.members.find((each) => { try { return found(each); } catch { return false; } });
    return m ? m.node.name : '?';
  };
  const deviceOf = (m: SimMember) => m.engine?.resources.get('r0')?.devices.get(0);
  const byBitmap = (bitmap: Bitmap): string => memberOf((m) => deviceOf(m)?.disk?.bitmap === bitmap);

  before(KernelDevice, 'submit', (self: KernelDevice, bio) => {
    if (!covers(bio.sector, bio.sizeBytes)) return;
    const who = memberOf((m) => m.node.devices.get(self.minor) === self);
    say(who, `bio ${bioNames[bio.op]} ${bio.sector}+${bio.sizeBytes} tag ${bio.tags?.[0]}`);
    const { done } = bio;
    bio.done = (errno: number): void => { say(who, `bio ${bioNames[bio.op]} ${bio.sector} tag ${bio.tags?.[0]} ends ${errno}`); done(errno); };
  });
  const original = SimDisk.prototype.submit;
  SimDisk.prototype.submit = function traced(this: SimDisk, op, flags, sector, sizeBytes, arena, offset, done) {
    if (op === LowerOp.flush || !covers(sector, sizeBytes)) return original.call(this, op, flags, sector, sizeBytes, arena, offset, done);
    const who = memberOf((m) => m.node.disks.get(this.path) === this);
    say(who, `LOWER ${lowerNames[op]} ${sector}+${sizeBytes} begins`);
    return original.call(this, op, flags, sector, sizeBytes, arena, offset, (errno) => {
      say(who, `LOWER ${lowerNames[op]} ${sector} ends ${errno}; disk has ${held(this, from)}`);
      done(errno);
    });
  };
  before(SimDisk, 'powerFailure', (self: SimDisk) => {
    say(memberOf((m) => m.node.disks.get(self.path) === self), `power failure; disk has ${held(self, from)} before`);
  });
  before(SimStream, 'commit', (self: SimStream, at: number, bytes: number, _arena, _payload, payloadBytes: number) => {
    const packet = new Uint8Array(self.output.buffer, at, bytes);
    const header = parseHeader(packet, 'any');
    if (!header) return;
    const who = memberOf((m) => m.node.address === self.local.address);
    const name = byName[header.command];
    const body = new DataView(packet.buffer, at + header.headerBytes, bytes - header.headerBytes);
    if (name === undefined) {
      if ([0x03, 0x19].includes(header.command)) say(who, `sends ${header.command.toString(16)} ${body.getUint32(0)}`);
      else if (![0x14, 0x13].includes(header.command)) say(who, `sends ${header.command.toString(16)}`);
      return;
    }
    const sector = body.getUint32(0) * 2 ** 32 + body.getUint32(4);
    const size = payloadBytes > 0 ? payloadBytes : body.byteLength >= 20 ? body.getUint32(16) : 4096;
    if (covers(sector, Math.max(size, 512))) say(who, `sends ${name} ${sector}+${size}`);
  });
  for (const [name, word] of [['set', 'set'], ['clear', 'cleared']] as const) {
    before(Bitmap, name, (self: Bitmap, slot: number, first: number, last: number) => {
      if (first <= block && block <= last) say(byBitmap(self), `bit ${word} in slot ${slot} (${first}..${last}), was ${self.test(slot, block)} ${stack()}`);
    });
  }
  before(Bitmap, 'fillWords', (self: Bitmap, slot: number, _from, _count, value) => say(byBitmap(self), `slot ${slot} filled with ${value}`));
  before(Bitmap, 'mergeWords', (self: Bitmap, slot: number, word: number, source: Uint32Array) => {
    const n = Math.floor(block / 32) - word;
    if (n >= 0 && n < source.length && (source[n]! >>> (block % 32)) & 1) say(byBitmap(self), `bit merged into slot ${slot}`);
  });
  before(SimDisk, 'submit', (self: SimDisk, op, flags, sector, sizeBytes) => {
    if (op !== LowerOp.flush && sector > 40880) say(memberOf((m) => m.node.disks.get(self.path) === self), `META ${lowerNames[op]} ${sector}+${sizeBytes}`);
  });
  const extent = Math.floor(block / BITS_PER_EXTENT);
  for (const name of ['begin', 'complete'] as const) {
    before(ActivityLog, name, (self: ActivityLog, first: number, last: number, token: number) => {
      if (first <= extent && extent <= last) {
        say(memberOf((m) => deviceOf(m)?.disk?.al === self), `al ${name} ${first}..${last} ${token ?? ''}`);
      }
    });
  }
}

const stack = (): string => new Error().stack!.split('\n').slice(4, 10).map((l) => l.trim().split(' ')[1]).join('<');
