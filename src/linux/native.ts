// SPDX-License-Identifier: GPL-2.0-or-later
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { BitmapPrimitives } from '../host/bitmap.ts';
import type { Address } from '../host/net.ts';

/** What native/addon.cc exports. Errors of calls are negative errnos. */
export interface Native {
  readonly Turn: new (head: Float64Array, events: Int32Array, ops: Int32Array) => NativeTurn;
  readonly constants: {
    readonly events: Record<string, number>;
    readonly ops: Record<string, number>;
  } & Record<string, number>;
  crc32c(seed: number, bytes: Uint8Array, from: number, to: number): number;
  crc32cTable(seed: number, bytes: Uint8Array, from: number, to: number): number;
  readonly bitmap: BitmapPrimitives;
  /** Handle of a digest algorithm, -1 when unknown. */
  digestFind(name: string): number;
  digestBytes(algorithm: number): number;
  digest(algorithm: number, bytes: Uint8Array, from: number, count: number, out: Uint8Array, at: number): void;
  hmac(algorithm: number, key: Uint8Array, data: Uint8Array, out: Uint8Array): void;
  /** Descriptor (O_RDWR, O_DIRECT) of `path` inside the root directory `root`. */
  openBacking(root: string, path: string): number;
  statBacking(fd: number): BackingStat | number;
  /** Writes at most 4096 bytes, and only when that can't block; false when nothing was written. */
  writeNow(fd: number, bytes: Uint8Array): boolean;
  /** Page-aligned memory for an arena without the module. */
  pageMemory(bytes: number): ArrayBuffer;
  /** Reads the program's code and keeps it in memory, its data from when they are touched; goes on by itself. */
  lockProgram(): void;
}

export interface BackingStat {
  readonly block: boolean;
  readonly size: number;
  readonly logical: number;
  readonly physical: number;
  readonly major: number;
  readonly minor: number;
}

export interface StreamInfo {
  readonly input: ArrayBuffer;
  readonly output: ArrayBuffer;
  readonly queue: ArrayBuffer;
  readonly local: Address;
  readonly remote: Address;
}

export interface NativeTurn {
  /** Calls `script` once a turn; a turn longer than `watchdogMs` (0: never) ends the process. */
  start(script: () => void, watchdogMs: number): number;
  stop(): void;
  flushOps(): void;
  addArena(bytes: Uint8Array, pagesOffset: number, map: Int32Array, splice: boolean): number;
  removeArena(id: number): void;
  streamInfo(slot: number): StreamInfo;
  streamFraming(slot: number, format: number, fixed: Int32Array, maxFixed: number, maxPayload: number,
    start: boolean): void;
  streamBind(slot: number, volume: number, arena: number): void;
  streamPause(slot: number, paused: boolean): void;
  /** Takes the events of the stream from index `first` of this turn's array on back. */
  streamRecut(slot: number, first: number): void;
  streamClose(slot: number, lingerMs: number): void;
  streamUnacked(slot: number): number;
  connect(netnsFd: number, ipv6: boolean, local: string, remote: string, remotePort: number, sndbuf: number,
    rcvbuf: number, tos: number): number;
  cancelConnect(id: number): void;
  listen(netnsFd: number, ipv6: boolean, local: string, port: number, sndbuf: number, rcvbuf: number,
    tos: number): number;
  closeListener(id: number): void;
  /** Takes the descriptor over. */
  addLower(fd: number, block: boolean): number;
  removeLower(id: number): boolean;
  shimOpen(path: string): number;
  shimMapRings(): ArrayBuffer | number;
  shimMap(offset: number, bytes: number): ArrayBuffer | number;
  unmap(memory: ArrayBuffer): void;
  /** `field`: where the structure has the address of `data`, -1 for none. */
  shimIoctl(request: number, argument: Uint8Array, field: number, data: Uint8Array | null): number;
  shimRead(into: Uint8Array): number;
  shimDoorbell(): void;
  shimClose(rings: ArrayBuffer | null): void;
}

/** Beside the installed program, or where node-gyp puts it. */
function findAddon(): string {
  const candidates = [process.env['DRBDD_NATIVE'] ?? '', fileURLToPath(new URL('./drbdd.node', import.meta.url)),
    fileURLToPath(new URL('../../build/Release/drbdd.node', import.meta.url))];
  const found = candidates.find((path) => path !== '' && existsSync(path));
  if (found === undefined) throw new Error(`the addon is not built: none of ${candidates.join(' ')} exists`);
  return found;
}

export const native: Native = createRequire(import.meta.url)(findAddon()) as Native;
