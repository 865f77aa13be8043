// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, test } from 'vitest';
import { changedResourceOpts, RESOURCE_OPTS_DEFAULTS } from '../../../src/genl/options.ts';
import { HEADERS } from '../../../src/genl/message.ts';
import { Cmd } from '../../../src/genl/ops.ts';
import { decodeRequest, isRejection } from '../../../src/genl/request.ts';
import { Writer } from '../../../src/genl/tlv.ts';

const sender = { portid: 1, capable: true };
const CONTEXT = 0x8002;
const RESOURCE_OPTS = 0x8004;

/** A resource-options request; `body` writes the attributes. */
function message(body: (w: Writer) => void): Uint8Array {
  const w = new Writer();
  w.u32(0); w.u16(33); w.u16(1); w.u32(7); w.u32(0);
  w.u8(Cmd.RESOURCE_OPTS); w.u8(2); w.u16(0);
  w.u32(0xffff_ffff); w.u32(0);
  body(w);
  w.setU32(0, w.length);
  return w.finish();
}

/** Attribute whose header says `length`, whatever the payload is. */
function attr(w: Writer, type: number, payload: () => void, length?: number) {
  const at = w.openAttr(type);
  payload();
  w.closeAttr(at);
  if (length !== undefined) w.setU16(at, length);
}

const errnoOf = (bytes: Uint8Array) => {
  const result = decodeRequest(bytes, sender);
  return isRejection(result) ? result.errno : 0;
};

/** A context with one field. */
const field = (type: number, payload: (w: Writer) => void) =>
  message((w) => attr(w, CONTEXT, () => attr(w, type, () => payload(w))));

const name = (w: Writer) => attr(w, 0x4002, () => w.string('r0'));
const sound = message((w) => attr(w, CONTEXT, () => name(w)));

describe('is refused by NLMSG_ERROR', () => {
  const cases: [string, number, Uint8Array][] = [
    ['an empty message', 22, new Uint8Array(0)],
    ['a netlink header alone', 22, sound.subarray(0, 16)],
    ['headers cut short', 22, sound.subarray(0, HEADERS - 1)],
    ['less than nlmsg_len says', 22, sound.subarray(0, sound.length - 4)],
    ['more than nlmsg_len says', 22, Uint8Array.of(...sound, 0, 0, 0, 0)],
    ['an attribute header cut short', 22, message((w) => { name(w); w.u16(4); })],
    ['an attribute shorter than its header', 22, message((w) => attr(w, CONTEXT, () => name(w), 3))],
    ['an attribute longer than the message', 22, message((w) => attr(w, CONTEXT, () => name(w), 100))],
    ['a context field longer than the context', 22, message((w) => {
      attr(w, CONTEXT, () => attr(w, 0x4002, () => w.string('r0'), 16));
      attr(w, RESOURCE_OPTS, () => attr(w, 1, () => w.string('ff')));
    })],
    ['a context field of no length', 22, message((w) => attr(w, CONTEXT, () => attr(w, 2, () => {}, 0)))],
    ['a name without NUL', 22, field(2, (w) => w.raw(Uint8Array.of(97, 98, 99)))],
    ['an empty name attribute', 22, field(2, () => {})],
    ['a name of 128 characters', 22, field(2, (w) => w.string('a'.repeat(128)))],
    ['bytes behind a name that is in bounds', 34, field(2, (w) => { w.string('a'); w.raw(new Uint8Array(200)); })],
    ['a name that is not UTF-8', 22, field(2, (w) => w.raw(Uint8Array.of(255, 0)))],
    ['a volume of two bytes', 34, field(1, (w) => w.u16(0))],
    ['an address of 129 bytes', 34, field(3, (w) => w.raw(new Uint8Array(129)))],
    ['a context without nesting flag', 22, message((w) => attr(w, 2, () => name(w)))],
    ['attribute 34', 22, message((w) => attr(w, 0x8022, () => {}))],
  ];
  test.each(cases)('%s', (_, errno, bytes) => expect(errnoOf(bytes)).toBe(errno));

  test('and without CAP_SYS_ADMIN everything is', () => {
    const result = decodeRequest(sound, { ...sender, capable: false });
    expect(isRejection(result) && result.errno).toBe(1);
    expect(errnoOf(sound)).toBe(0);
  });
});

describe('is refused by a reply with code 126', () => {
  const cases: [string, string, (w: Writer) => void][] = [
    ['a field longer than the nest', 'invalid attribute value', (w) => attr(w, 2, () => w.u32(1), 12)],
    ['two bytes at the end', 'invalid attribute value', (w) => w.u16(0)],
    ['a nest in place of a number', 'invalid attribute value', (w) => attr(w, 0x8002, () => {})],
    ['a cpu mask of 256 characters', 'invalid attribute value', (w) => attr(w, 1, () => w.string('f'.repeat(256)))],
    ['field 16, marked mandatory', 'unknown mandatory attribute', (w) => attr(w, 0x4010, () => w.u8(1))],
    ['the invariant node id', 'can not change invariant setting', (w) => attr(w, 4, () => w.u32(1))],
  ];
  test.each(cases)('%s', (_, text, body) => {
    const request = decodeRequest(message((w) => {
      attr(w, CONTEXT, () => name(w));
      attr(w, RESOURCE_OPTS, () => body(w));
    }), sender);
    if (isRejection(request)) throw new Error(request.reason);
    expect(changedResourceOpts(request, RESOURCE_OPTS_DEFAULTS)).toEqual({ refused: { code: 126, texts: [text] } });
  });
});

test('what is longer than needed, padding and unknown optional fields do no harm', () => {
  const request = decodeRequest(message((w) => {
    attr(w, 0, () => w.u32(0));
    attr(w, CONTEXT, () => { name(w); attr(w, 60, () => w.u8(1)); });
    attr(w, RESOURCE_OPTS, () => {
      attr(w, 2, () => { w.u32(1); w.u32(99); });
      attr(w, 0, () => {});
      attr(w, 16, () => w.u8(1));
      attr(w, 12, () => w.u32(1));
      attr(w, 12, () => w.u32(0));
    });
  }), sender);
  if (isRejection(request)) throw new Error(request.reason);
  expect(request.context).toEqual({ resourceName: 'r0' });
  expect(changedResourceOpts(request, RESOURCE_OPTS_DEFAULTS))
    .toEqual({ value: { ...RESOURCE_OPTS_DEFAULTS, onNoData: 1, onNoQuorum: 0 } });
});
