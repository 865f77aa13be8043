// SPDX-License-Identifier: GPL-2.0-or-later
// kmod/uapi/drbd_shim.h in numbers: structures with the offsets of their fields, ioctls, ring entries.

export const shimPath = '/dev/drbd-control';
export const shimAbi = 2;

/** Places in the mapped rings, in bytes; entries are 64 bytes. */
export const Ring = {
  entryBytes: 64, events: 8192, ops: 8192, requestsWord: 80, opHeadWord: 48,
  eventsAt: 4096, opsAt: 4096 + 8192 * 64, refusedWord: 49, refusedIndexWord: 50, refusedErrnoWord: 51,
} as const;

export const ShimEvent = {
  bio: 1, lowerDone: 2, open: 3, openGone: 4, openCount: 5, lastClose: 6, policyClosed: 7, requestGone: 8,
  backingQuiet: 9,
} as const;

/** Int32 words of an event; the first packs type, op << 8 and flags << 16. */
export const EventWord = {
  type: 0, device: 1, tag: 2, error: 3, sector: 4, offset: 6, bytes: 8, local: 9, id: 10, comm: 12,
} as const;

export const ShimOp = { complete: 1, lower: 2, policy: 3, openAnswer: 4, drained: 5, free: 6 } as const;

/** Int32 words of an op; the first packs type, op << 8 and flags << 16, `role` packs role and arena << 8. */
export const OpWord = { type: 0, device: 1, tag: 2, error: 3, sector: 4, offset: 6, bytes: 8, cookie: 9, role: 10 } as const;

export const Policy = { readBypass: 1 } as const;
export const LowerDoneFlag = { stable: 128 } as const;
export const OpenFlag = { write: 1, excl: 2, ndelay: 4 } as const;
export const RequestFlag = { dump: 1, capable: 2 } as const;
export const ReplyFlag = { more: 1, atClose: 2 } as const;
export const HelloFlag = { pinned: 1 } as const;
export const ArenaFlag = { splice: 1 } as const;
export const DeviceFlag = { writers: 1, data: 2, meta: 4, started: 8 } as const;
export const LimitFlag = { rotational: 1, writeCache: 2 } as const;
export const Role = { data: 0, meta: 1 } as const;
export const shimMaxMessage = 64 << 10;
export const shimMaxDump = 64 << 20;
export const shimMaxIo = 1 << 20;
export const shimMaxLower = 8192;
export const dataArena = 0;

/** An ioctl: number, size of its structure and direction, as _IOC does it. */
export interface Ioctl { readonly request: number; readonly bytes: number }

function iow(nr: number, bytes: number): Ioctl { return { request: 0x40000000 + bytes * 65536 + 0x4400 + nr, bytes }; }
function iowr(nr: number, bytes: number): Ioctl { return { request: 0xc0000000 + bytes * 65536 + 0x4400 + nr, bytes }; }

export const Ioctls = {
  hello: iowr(0x01, 40),
  reply: iow(0x02, 24),
  dump: iow(0x03, 24),
  multicast: iow(0x04, 16),
  pin: iow(0x05, 8),
  leaving: iow(0x06, 8),
  log: iow(0x07, 16),
  transport: iow(0x08, 32),
  debugfs: iow(0x09, 24),
  deviceCreate: iowr(0x10, 40),
  deviceAdopt: iowr(0x11, 40),
  deviceStart: iow(0x12, 8),
  deviceDestroy: iow(0x13, 8),
  deviceInfo: iowr(0x14, 144),
  setCapacity: iow(0x15, 16),
  setLimits: iow(0x16, 40),
  stateArena: iowr(0x17, 32),
  backingClaim: iowr(0x18, 104),
  backingInfo: iowr(0x19, 104),
  backingRelease: iowr(0x1a, 104),
  held: iowr(0x1b, 24),
} as const;
