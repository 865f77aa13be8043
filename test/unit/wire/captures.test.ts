// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import { HEADER_BYTES, putHeader } from '../../../src/wire/header.ts';
import { PConnectionFeatures } from '../../../src/wire/packets/connection-features.ts';
import { PACKETS, packetName, packetOf } from '../../../src/wire/packets.ts';
import { agree, type Agreed } from '../../../src/wire/versions.ts';
import { type Captured, captureNames, readCapture, RELEASES } from './captures.ts';

const NOT_AGREED: Agreed = { version: 0, features: 0 };

/** Packets whose pads are known to carry stale bytes. @spec wire.md 18 items 2 and 5, 10.6 */
const STALE_PADS = new Set([
  'P_DATA_REQUEST', 'P_RS_DATA_REQUEST', 'P_OV_REQUEST', 'P_OV_REPLY', 'P_CSUM_RS_REQUEST', 'P_RS_THIN_REQ',
  'P_TWOPC_PREP_RSZ', 'P_OUT_OF_SYNC', 'P_RS_DEALLOCATED',
]);

const seen = new Map<string, number>();

const bytesOf = (view: DataView): Uint8Array => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

function reencode(captured: Captured, agreed: Agreed): Uint8Array {
  const packet = packetOf(captured.command)!;
  const value = packet.decode(captured.body, 0, captured.bodyBytes, agreed);
  if (!packet.dump(value).startsWith(packet.name)) throw new Error(`${packet.name} does not print itself`);
  if (packet.bytes(value, agreed) !== captured.bodyBytes) throw new Error(`${packet.name} has another size`);
  const out = new DataView(new ArrayBuffer(HEADER_BYTES[captured.format] + captured.bodyBytes));
  const at = putHeader(out, 0, captured.format, captured.command, captured.volume, captured.bodyBytes);
  packet.encode(value, out, at, agreed);
  return bytesOf(out);
}

function original(captured: Captured): Uint8Array {
  const { pads, name } = packetOf(captured.command)!;
  const bytes = new Uint8Array([...captured.header, ...bytesOf(captured.body)]);
  if (!STALE_PADS.has(name)) return bytes;
  for (const [offset, length] of pads) bytes.fill(0, captured.header.length + offset, captured.header.length + offset + length);
  return bytes;
}

describe.each(RELEASES)('captures of %s', (release, agreed) => {
  it.each(captureNames(release))('%s: every packet decodes and encodes to the same bytes', (name) => {
    for (const { packets } of readCapture(release, name)) {
      for (const captured of packets) {
        const packet = packetOf(captured.command);
        if (!packet) throw new Error(`unknown command ${captured.command}`);
        seen.set(packet.name, (seen.get(packet.name) ?? 0) + 1);
        const before = captured.format === 'h80';
        if (!before && !packet.permitted(agreed)) throw new Error(`${packet.name} is not permitted at ${agreed.version}`);
        const again = reencode(captured, before ? NOT_AGREED : agreed);
        if (Buffer.compare(again, original(captured)) !== 0) {
          expect(Buffer.from(again).toString('hex'), packet.name).toBe(Buffer.from(original(captured)).toString('hex'));
        }
      }
    }
  });

  it('agrees on the version and features of the directory', () => {
    const features = readCapture(release, '02-handshake-auth.pcap.gz')
      .flatMap(({ packets }) => packets)
      .filter(({ command }) => command === PConnectionFeatures.command)
      .map(({ body }) => PConnectionFeatures.decode(body, 0, 72, NOT_AGREED));
    expect(features.length).toBe(2);
    const offer = ({ protocolMin, protocolMax, featureFlags }: PConnectionFeatures) =>
      ({ min: protocolMin, max: protocolMax, features: featureFlags });
    expect(agree(offer(features[0]), offer(features[1]))).toEqual(agreed);
  });
});

it('met nearly every packet that genuine nodes send', () => {
  const missing = PACKETS.map(({ name }) => name).filter((name) => !seen.has(name));
  expect(missing).toEqual([
    'P_SYNC_PARAM', 'P_NEG_ACK', 'P_NEG_DREPLY', 'P_NEG_RS_DREPLY', 'P_DELAY_PROBE', 'P_RS_CANCEL', 'P_RETRY_WRITE',
    'P_WSAME', 'P_TWOPC_RETRY', 'P_CONFIRM_STABLE', 'P_RS_CANCEL_AHEAD', 'P_RS_NEG_ACK',
  ]);
  expect(packetName(0x99)).toBe('unknown packet 0x0099');
});
