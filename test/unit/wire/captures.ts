// SPDX-License-Identifier: GPL-2.0-or-later
/** Reads captures of genuine nodes (test/fixtures/wire/README.md): TCP streams put together, cut into packets. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { getHeader, type HeaderFormat, newHeader } from '../../../src/wire/header.ts';
import type { Agreed } from '../../../src/wire/versions.ts';

export interface Captured {
  readonly format: HeaderFormat;
  readonly command: number;
  readonly volume: number;
  readonly header: Uint8Array;
  readonly body: DataView;
  readonly bodyBytes: number;
}

export interface CapturedStream {
  /** From the connecting end, or back. */
  readonly from: string;
  readonly to: string;
  readonly packets: Captured[];
}

/** All captures when DRBD_WIRE_CAPTURES names a directory with the whole collection. */
const ROOT = process.env.DRBD_WIRE_CAPTURES ?? join(import.meta.dirname, '../../fixtures/wire');

export const RELEASES: ReadonlyArray<readonly [directory: string, agreed: Agreed]> = [
  ['8.4.11', { version: 101, features: 0x0f }],
  ['9.2.18', { version: 124, features: 0x7f }],
  ['9.3.3', { version: 124, features: 0x3ff }],
];

export const captureNames = (release: string): string[] =>
  readdirSync(join(ROOT, release)).filter((name) => name.endsWith('.pcap.gz')).sort();

export function readCapture(release: string, name: string): CapturedStream[] {
  return tcpStreams(gunzipSync(readFileSync(join(ROOT, release, name))))
    .map(({ from, to, bytes }) => ({ from, to, packets: cut(bytes) }));
}

function cut(bytes: Uint8Array): Captured[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const header = newHeader();
  const packets: Captured[] = [];
  for (let at = 0; at < bytes.length;) {
    const result = getHeader(view, at, bytes.length - at, header);
    if (result !== 'ok') throw new Error(`${result} at ${at}`);
    const { headerBytes, bodyBytes, format, command, volume } = header;
    const body = bytes.slice(at + headerBytes, at + headerBytes + bodyBytes);
    if (body.length !== bodyBytes) break;
    packets.push({
      format, command, volume, bodyBytes, header: bytes.slice(at, at + headerBytes), body: new DataView(body.buffer),
    });
    at += headerBytes + bodyBytes;
  }
  return packets;
}

interface Segment { readonly sequence: number; readonly data: Uint8Array }

/** The streams of a pcap with Ethernet frames, IPv4 and TCP; in the order of their first segment. */
function tcpStreams(pcap: Uint8Array): Array<{ from: string; to: string; bytes: Uint8Array }> {
  const flows = new Map<string, { from: string; to: string; start: number; segments: Segment[] }>();
  const done: Array<{ from: string; to: string; bytes: Uint8Array }> = [];
  const file = new DataView(pcap.buffer, pcap.byteOffset, pcap.length);
  for (let at = 24; at < pcap.length;) {
    const length = file.getUint32(at + 8, true);
    const frame = new DataView(pcap.buffer, pcap.byteOffset + at + 16, length);
    at += 16 + length;
    if (frame.getUint16(12) !== 0x0800 || frame.getUint8(23) !== 6) continue;
    const ip = 14;
    const tcp = ip + (frame.getUint8(ip) & 15) * 4;
    const data = tcp + (frame.getUint8(tcp + 12) >> 4) * 4;
    const end = ip + frame.getUint16(ip + 2);
    const from = `${frame.getUint32(ip + 12).toString(16)}:${frame.getUint16(tcp)}`;
    const to = `${frame.getUint32(ip + 16).toString(16)}:${frame.getUint16(tcp + 2)}`;
    const key = `${from}>${to}`;
    const syn = (frame.getUint8(tcp + 13) & 2) !== 0;
    if (syn) {
      const old = flows.get(key);
      if (old) done.push(assemble(old));
      flows.set(key, { from, to, start: (frame.getUint32(tcp + 4) + 1) >>> 0, segments: [] });
    }
    const flow = flows.get(key);
    if (!flow || end <= data) continue;
    flow.segments.push({
      sequence: (frame.getUint32(tcp + 4) - flow.start) >>> 0,
      data: new Uint8Array(frame.buffer, frame.byteOffset + data, end - data),
    });
  }
  for (const flow of flows.values()) done.push(assemble(flow));
  return done.filter(({ bytes }) => bytes.length > 0);
}

function assemble(flow: { from: string; to: string; segments: Segment[] }): { from: string; to: string; bytes: Uint8Array } {
  const size = flow.segments.reduce((most, { sequence, data }) => Math.max(most, sequence + data.length), 0);
  const bytes = new Uint8Array(size);
  for (const { sequence, data } of flow.segments) bytes.set(data, sequence);
  return { from: flow.from, to: flow.to, bytes };
}
