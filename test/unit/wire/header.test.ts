// SPDX-License-Identifier: GPL-2.0-or-later
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { getHeader, HEADER_BYTES, headerFormat, newHeader, putHeader, vnrOfVolume, volumeOfVnr } from '../../../src/wire/header.ts';
import { featureNames, OFFERED_FEATURES } from '../../../src/wire/features.ts';
import { agree } from '../../../src/wire/versions.ts';

const view = new DataView(new ArrayBuffer(64));

describe('headers', () => {
  it('first packets have the bytes of genuine nodes', () => {
    putHeader(view, 0, 'h80', 0xfff2, 0, 0);
    expect(Buffer.from(view.buffer, 0, 8).toString('hex')).toBe('83740267fff20000');
  });

  it('every form is read back', () => {
    fc.assert(fc.property(fc.constantFrom('h80', 'h95', 'h100'), fc.nat(0xffff), fc.nat(0xffff), fc.nat(0xffff),
      (format, command, volume, bodyBytes) => {
        const out = newHeader();
        const bytes = putHeader(view, 3, format, command, volume, bodyBytes);
        expect(bytes).toBe(HEADER_BYTES[format]);
        expect(getHeader(view, 3, bytes - 1, out)).toBe('more');
        expect(getHeader(view, 3, bytes, out)).toBe('ok');
        expect(out).toEqual({ format, headerBytes: bytes, command, volume: format === 'h100' ? volume : 0, bodyBytes });
      }));
  });

  it('garbage is no header', () => {
    const out = newHeader();
    view.setUint32(0, 0x12345678);
    expect(getHeader(view, 0, 16, out)).toBe('bad-magic');
    putHeader(view, 0, 'h100', 1, 2, 3);
    view.setUint8(15, 1);
    expect(getHeader(view, 0, 16, out)).toBe('bad-pad');
  });

  it.each([[0, 72, 'h80'], [94, 32768, 'h80'], [95, 32760, 'h80'], [95, 32761, 'h95'], [100, 0, 'h100'], [124, 5, 'h100']])(
    'version %i with %i bytes: %s', (version, bytes, format) => expect(headerFormat(version, bytes)).toBe(format));

  it('volume 0xffff is no volume', () => {
    expect(vnrOfVolume(0xffff)).toBe(-1);
    expect(volumeOfVnr(-1)).toBe(0xffff);
    expect(vnrOfVolume(7)).toBe(7);
  });
});

describe('agreement', () => {
  const own = { min: 118, max: 124, features: OFFERED_FEATURES };
  const peer = (min: number, max: number, features = 0x7f) => agree(own, { min, max, features });

  it('takes the smaller maximum and the common features', () => {
    expect(peer(86, 124)).toEqual({ version: 124, features: 0x7f });
    expect(peer(86, 122, 0x3ff)).toEqual({ version: 122, features: 0x7f });
    expect(peer(118, 121, 0x2f)).toEqual({ version: 121, features: 0x2f });
  });

  it.each([[86, 101, 0x0f], [86, 117, 0x7f], [125, 130, 0x7f], [86, 121, 0x10]])('refuses %i-%i with 0x%s', (min, max, features) => {
    expect(peer(min, max, features)).toEqual({
      incompatible: `incompatible DRBD dialects: I support 118-124, peer supports ${min}-${max}`,
    });
  });

  it('names features', () => {
    expect(featureNames(0x7f)).toBe('TRIM THIN_RESYNC WRITE_SAME WRITE_ZEROES RESYNC_DAGTAG 2PC_V2 RS_SKIP_UUID');
    expect(featureNames(0)).toBe('none');
  });
});
