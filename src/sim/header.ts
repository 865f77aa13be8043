// SPDX-License-Identifier: GPL-2.0-or-later
import type { HeaderFormat } from '../host/net.ts';

export interface Header { bytes: number; command: number; volume: number; length: number }

/** Reads a packet header of the form asked for (wire.md 2); null when it is none. */
export function parseHeader(packet: Uint8Array, format: HeaderFormat): Header | null {
  if (packet.length < 8) return null;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const found = view.getUint32(0) === 0x83740267 ? 'h80'
    : packet.length >= 16 && view.getUint32(0) === 0x8620ec20 ? 'h100'
    : view.getUint16(0) === 0x835a ? 'h95' : null;
  if (!found || (format !== 'any' && format !== found)) return null;
  if (found === 'h80') return { bytes: 8, command: view.getUint16(4), volume: 0, length: view.getUint16(6) };
  if (found === 'h95') return { bytes: 8, command: view.getUint16(2), volume: 0, length: view.getUint32(4) };
  return { bytes: 16, command: view.getUint16(6), volume: view.getInt16(4), length: view.getUint32(8) };
}
