// SPDX-License-Identifier: GPL-2.0-or-later
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeMessage, encodeRequest } from '../../../src/genl/client.ts';
import { decodeNest, encodePartial, encodeStruct, UTILS } from '../../../src/genl/codec.ts';
import { resolve } from '../../../src/genl/context.ts';
import { HEADERS, NLM_F_DUMP, NLM_F_REQUEST } from '../../../src/genl/message.ts';
import { NESTS } from '../../../src/genl/nests.ts';
import { OPS } from '../../../src/genl/ops.ts';
import { encodeReply, OK } from '../../../src/genl/reply.ts';
import { decodeRequest, isRejection, payload } from '../../../src/genl/request.ts';
import { AttrError, NLA_HEADER, readAttrs, Writer } from '../../../src/genl/tlv.ts';
import { anyNest, partialOf, structOf } from './generate.ts';
import { objectsOf, resource } from './objects.ts';
import { messages } from './vectors.ts';

const requests = messages.filter((each) => each.direction === 'request').map((each) => each.bytes);
const world = objectsOf([resource('r0', 0, [1, 2], [[0, 0], [1, 5]]), resource('r1', 1, [0], [[0, 1]])]);

test('every nest comes back as it was encoded, in both styles', () => {
  for (const nest of NESTS) {
    fc.assert(fc.property(structOf(nest), partialOf(nest), (whole, some) => {
      const w = new Writer();
      encodeStruct(w, nest, whole);
      const second = w.length;
      encodePartial(w, nest, some, UTILS);
      const bytes = w.finish();
      const [first, last] = readAttrs(bytes, 0, bytes.length, 'test');
      expect(last!.at).toBe(second);
      expect(decodeNest(nest, bytes, first!.start, first!.end)).toEqual(whole);
      expect(decodeNest(nest, bytes, last!.start, last!.end)).toEqual(some);
    }), { numRuns: 20 });
  }
});

/** The whole of this layer over one message: it may throw nothing but AttrError, and that only in payload(). */
function survive(bytes: Uint8Array) {
  const request = decodeRequest(bytes, { portid: 4711, capable: true });
  if (isRejection(request)) {
    expect(request.errno).toBeGreaterThan(0);
    expect(decodeMessage(request.message)).toEqual({ kind: 'error', errno: request.errno });
    return;
  }
  resolve(request, world);
  for (const nest of NESTS) {
    for (const changing of [false, true]) {
      try {
        payload(request, nest, changing);
      } catch (error) {
        expect(error).toBeInstanceOf(AttrError);
        expect((error as AttrError).path).toMatch(new RegExp(`^${nest.name}`));
      }
    }
  }
  if (request.op.kind === 'do') expect(encodeReply(request, OK).length).toBeLessThan(65_536);
}

test('bytes of any kind', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => survive(bytes)), { numRuns: 500 });
});

test('captured requests with bytes changed, cut or added', () => {
  const change = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }));
  const broken = fc.tuple(fc.constantFrom(...requests), fc.array(change, { maxLength: 4 }),
    fc.integer({ min: -40, max: 8 })).map(([bytes, changes, resize]) => {
    const out = new Uint8Array(Math.max(0, bytes.length + resize));
    out.set(bytes.subarray(0, out.length));
    for (const [at, byte] of changes) out[at % out.length] = byte;
    // Mostly the length is kept right, so that more than the first check is reached.
    if (out.length >= 4 && changes.length % 4 !== 3) new DataView(out.buffer).setUint32(0, out.length, true);
    return out;
  });
  fc.assert(fc.property(broken, (bytes) => survive(bytes)), { numRuns: 3000 });
});

test('every command with any nests, sound or with a length that is not', () => {
  const built = fc.tuple(fc.constantFrom(...OPS), fc.array(anyNest, { maxLength: 4 }), fc.integer({ min: -1, max: 6 }),
    fc.option(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 0xffff })), { nil: undefined }));
  fc.assert(fc.property(built, ([op, nests, minor, damage]) => {
    const flags = NLM_F_REQUEST | (op.kind === 'dump' ? NLM_F_DUMP : 0);
    const bytes = encodeRequest({ type: 33, seq: 1, portid: 0 }, flags, { cmd: op.cmd, minor: minor >>> 0, nests });
    if (damage && bytes.length > HEADERS + NLA_HEADER) {
      const at = HEADERS + 4 * (damage[0] % Math.floor((bytes.length - HEADERS) / 4));
      new DataView(bytes.buffer).setUint16(at, damage[1], true);
    }
    survive(bytes);
  }), { numRuns: 1000 });
});

test('what is refused names the place', () => {
  const w = new Writer();
  const at = w.openAttr(0x8003);
  const inner = w.openAttr(10);
  w.u16(1);
  w.closeAttr(inner);
  w.closeAttr(at);
  const bytes = w.finish();
  const [attr] = readAttrs(bytes, 0, bytes.length, 'test');
  const diskConf = NESTS.find((nest) => nest.name === 'DISK_CONF')!;
  expect(() => decodeNest(diskConf, bytes, attr!.start, attr!.end))
    .toThrow('DISK_CONF.al_extents: 2 bytes where 4 are needed');
});

test('a context that does not fit into a reply is refused at once', () => {
  const w = new Writer();
  w.raw(requests.find((bytes) => bytes.length > 60)!.subarray(0, HEADERS));
  const at = w.openAttr(0x8002);
  for (let i = 0; i < 60; i++) {
    const field = w.openAttr(100 + i);
    w.raw(new Uint8Array(80));
    w.closeAttr(field);
  }
  w.closeAttr(at);
  w.setU32(0, w.length);
  const result = decodeRequest(w.finish(), { portid: 1, capable: true });
  expect(isRejection(result) && result.errno).toBe(90);
});
