// SPDX-License-Identifier: GPL-2.0-or-later
import type { HeaderFormat } from '../host/net.ts';
import { getHeader, newHeader } from '../wire/header.ts';
import type { Header } from '../wire/header.ts';

/** The header of a whole packet in the form asked for; null when it is none. */
export function parseHeader(packet: Uint8Array, format: HeaderFormat): Header | null {
  const header = newHeader();
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  if (getHeader(view, 0, packet.length, header) !== 'ok') return null;
  return format === 'any' || format === header.format ? header : null;
}
