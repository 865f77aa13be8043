// SPDX-License-Identifier: GPL-2.0-or-later
import type { Address } from '../host/net.ts';

/** "ipv4:10.1.1.1:7789", as DRBD writes it. */
export const showAddress = ({ family, address, port }: Address): string =>
  (family === 'ipv6' ? `ipv6:[${address}]:${port}` : `ipv4:${address}:${port}`);

/**
 * Above 0 when `a` is larger than `b` as raw socket addresses of one family, which begin with the port in network
 * order. Who has the larger one opens the data stream. @spec wire.md 1.2
 */
export function compareSocketAddress(a: Address, b: Address): number {
  if (a.port !== b.port) return a.port - b.port;
  const left = addressBytes(a);
  const right = addressBytes(b);
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    if (left[i] !== right[i]) return left[i] - right[i];
  }
  return 0;
}

/** The same host, however its address is written; ports do not count. */
export function sameAddress(a: Address, b: Address): boolean {
  return a.address === b.address || addressBytes(a).join('.') === addressBytes(b).join('.');
}

/** 4 or 16 bytes in network order. The text was checked when the path was configured; a zone ("%eth0") does not count. */
export function addressBytes({ family, address }: Address): Uint8Array {
  if (family === 'ipv4') return Uint8Array.from(address.split('.'), Number);
  const [head, tail] = address.split('%')[0].split('::');
  const groups = groupBytes(head);
  if (tail === undefined) return Uint8Array.from(groups);
  const rest = groupBytes(tail);
  const gap = new Array<number>(Math.max(0, 16 - groups.length - rest.length)).fill(0);
  return Uint8Array.from([...groups, ...gap, ...rest]);
}

/** Bytes of "a:b:c" or "a:b:1.2.3.4". */
function groupBytes(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}
