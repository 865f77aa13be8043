// SPDX-License-Identifier: GPL-2.0-or-later
/** Packet headers, three forms told apart by their magic. @spec wire.md 2 */

export type HeaderFormat = 'h80' | 'h95' | 'h100';

export const HEADER_BYTES = { h80: 8, h95: 8, h100: 16 } as const;
export const HEADER_BYTES_MAX = 16;

export const Magic = { h80: 0x83740267, h95: 0x835a, h100: 0x8620ec20 } as const;

/** Volume field of a packet that is about the whole connection. */
export const VOLUME_CONNECTION = 0xffff;
/** The same in the core, where a volume number is signed. */
export const VNR_NONE = -1;

export const vnrOfVolume = (volume: number): number => (volume === VOLUME_CONNECTION ? VNR_NONE : volume);
export const volumeOfVnr = (vnr: number): number => (vnr === VNR_NONE ? VOLUME_CONNECTION : vnr);

/** Largest header + payload that versions 95 to 99 still send with h80. */
const H80_TOTAL_BYTES_MAX = 0x8000;

/** The form a sender uses for a packet of `bodyBytes`. Version 0: before the features are exchanged. */
export function headerFormat(version: number, bodyBytes: number): HeaderFormat {
  if (version >= 100) return 'h100';
  if (version >= 95 && HEADER_BYTES.h80 + bodyBytes > H80_TOTAL_BYTES_MAX) return 'h95';
  return 'h80';
}

/*
 * Unsigned numbers by DataView's signed methods: of these the runtime's quick compiler makes plain loads and stores, of the
 * unsigned ones calls.
 */
export function put32(view: DataView, at: number, value: number): void { view.setInt32(at, value | 0); }
export function get32(view: DataView, at: number): number { return view.getInt32(at) >>> 0; }
function put16(view: DataView, at: number, value: number): void { view.setInt16(at, value << 16 >> 16); }

/** Writes a header at `at`; returns its bytes. Body of h80 at most 65,535 bytes. */
export function putHeader(
  view: DataView, at: number, format: HeaderFormat, command: number, volume: number, bodyBytes: number,
): number {
  switch (format) {
    case 'h100':
      put32(view, at, Magic.h100);
      put16(view, at + 4, volume);
      put16(view, at + 6, command);
      put32(view, at + 8, bodyBytes);
      put32(view, at + 12, 0);
      return 16;
    case 'h95':
      put16(view, at, Magic.h95);
      put16(view, at + 2, command);
      put32(view, at + 4, bodyBytes);
      return 8;
    case 'h80':
      put32(view, at, Magic.h80);
      put16(view, at + 4, command);
      put16(view, at + 6, bodyBytes);
      return 8;
  }
}

/** A decoded header; made once by the reader, filled by `getHeader`. */
export interface Header {
  format: HeaderFormat;
  headerBytes: number;
  command: number;
  volume: number;
  bodyBytes: number;
}

export const newHeader = (): Header => ({ format: 'h80', headerBytes: 8, command: 0, volume: 0, bodyBytes: 0 });

export type HeaderResult = 'ok' | 'more' | 'bad-magic' | 'bad-pad';

/** Reads a header from `at` with `available` bytes there. 'more': too few of them to tell. */
export function getHeader(view: DataView, at: number, available: number, out: Header): HeaderResult {
  if (available < 8) return 'more';
  const magic = view.getUint32(at);
  if (magic === Magic.h100) return getH100(view, at, available, out);
  if (magic === Magic.h80) {
    out.format = 'h80';
    out.command = view.getUint16(at + 4);
    out.bodyBytes = view.getUint16(at + 6);
  } else if (magic >>> 16 === Magic.h95) {
    out.format = 'h95';
    out.command = magic & 0xffff;
    out.bodyBytes = view.getUint32(at + 4);
  } else {
    return 'bad-magic';
  }
  out.headerBytes = 8;
  out.volume = 0;
  return 'ok';
}

function getH100(view: DataView, at: number, available: number, out: Header): HeaderResult {
  if (available < 16) return 'more';
  if (view.getUint32(at + 12) !== 0) return 'bad-pad';
  out.format = 'h100';
  out.headerBytes = 16;
  out.volume = view.getUint16(at + 4);
  out.command = view.getUint16(at + 6);
  out.bodyBytes = view.getUint32(at + 8);
  return 'ok';
}
