// SPDX-License-Identifier: GPL-2.0-or-later

/** struct sockaddr_in and sockaddr_in6, as paths carry them. Same shape as host's Address. @spec genetlink.md 4 (28) */
export interface SocketAddress {
  readonly family: 'ipv4' | 'ipv6';
  /** IPv6: eight groups of four hex digits as the kernel writes them; a scope id follows as %N. */
  readonly address: string;
  readonly port: number;
}

const AF_INET = 2;
const AF_INET6 = 10;
const IN_BYTES = 16;
const IN6_BYTES = 28;

/** null: not an address of these two families in its full length. */
export function readSockaddr(bytes: Uint8Array): SocketAddress | null {
  if (bytes.length < 2) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const family = view.getUint16(0, true);
  if (family === AF_INET && bytes.length >= IN_BYTES) {
    return { family: 'ipv4', address: bytes.subarray(4, 8).join('.'), port: view.getUint16(2) };
  }
  if (family === AF_INET6 && bytes.length >= IN6_BYTES) {
    const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(8 + 2 * i).toString(16).padStart(4, '0'));
    const scope = view.getUint32(24, true);
    return { family: 'ipv6', address: groups.join(':') + (scope === 0 ? '' : `%${scope}`), port: view.getUint16(2) };
  }
  return null;
}

/** The other way; IPv6 addresses in the form that readSockaddr() gives. */
export function writeSockaddr({ family, address, port }: SocketAddress): Uint8Array {
  const bytes = new Uint8Array(family === 'ipv4' ? IN_BYTES : IN6_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, family === 'ipv4' ? AF_INET : AF_INET6, true);
  view.setUint16(2, port);
  if (family === 'ipv4') {
    bytes.set(address.split('.').map(Number), 4);
  } else {
    const [groups, scope = '0'] = address.split('%');
    groups!.split(':').forEach((group, i) => view.setUint16(8 + 2 * i, parseInt(group, 16)));
    view.setUint32(24, Number(scope), true);
  }
  return bytes;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
