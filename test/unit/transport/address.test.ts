// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import type { Address } from '../../../src/host/net.ts';
import { addressBytes, compareSocketAddress, sameAddress, showAddress } from '../../../src/transport/address.ts';

const v4 = (address: string, port = 7000): Address => ({ family: 'ipv4', address, port });
const v6 = (address: string, port = 7000): Address => ({ family: 'ipv6', address, port });

describe('addresses', () => {
  it('as DRBD writes them', () => {
    expect(showAddress(v4('10.1.1.1', 7789))).toBe('ipv4:10.1.1.1:7789');
    expect(showAddress(v6('fd00::1'))).toBe('ipv6:[fd00::1]:7000');
  });

  it.each([
    ['::', '00000000000000000000000000000000'],
    ['::1', '00000000000000000000000000000001'],
    ['fe80::1:2%eth0', 'fe800000000000000000000000010002'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['::ffff:10.1.2.3', '00000000000000000000ffff0a010203'],
    ['fd00::', 'fd000000000000000000000000000000'],
  ])('%s', (text, hex) => expect(Buffer.from(addressBytes(v6(text))).toString('hex')).toBe(hex));

  it('are the same however they are written', () => {
    expect(sameAddress(v6('fd00:0::1', 1), v6('fd00::0:1', 2))).toBe(true);
    expect(sameAddress(v6('::1'), v4('0.0.0.1'))).toBe(false);
  });

  it('compare port first, then the address by bytes', () => {
    expect(compareSocketAddress(v4('10.0.0.10'), v4('10.0.0.9'))).toBeGreaterThan(0);
    expect(compareSocketAddress(v4('10.0.0.10', 7000), v4('10.0.0.9', 7001))).toBeLessThan(0);
    expect(compareSocketAddress(v4('1.2.3.4'), v4('1.2.3.4'))).toBe(0);
    expect(compareSocketAddress(v6('fe80::2'), v6('fe80::1:0'))).toBeLessThan(0);
  });
});
