// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, test } from 'vitest';
import { cfgContext, cfgReply, timeoutParms } from '../../../src/genl/command-attrs.ts';
import type { NestValue } from '../../../src/genl/client.ts';
import { decodeMessage, encodeRequest, nestIn } from '../../../src/genl/client.ts';
import { decodeNest } from '../../../src/genl/codec.ts';
import { readHeader } from '../../../src/genl/message.ts';
import { nestOf } from '../../../src/genl/nests.ts';
import { encodeReply } from '../../../src/genl/reply.ts';
import type { Request } from '../../../src/genl/request.ts';
import { decodeRequest, isRejection } from '../../../src/genl/request.ts';
import { deviceInfo, resourceInfo } from '../../../src/genl/info-attrs.ts';
import { deviceConf, diskConf, netConf, peerDeviceConf, resourceOpts } from '../../../src/genl/config-attrs.ts';
import { isDrbd, messages, portidOf, steps, toHex } from './vectors.ts';

const decoded = (bytes: Uint8Array): Request => {
  const request = decodeRequest(bytes, { portid: portidOf(bytes), capable: true });
  if (isRejection(request)) throw new Error(request.reason);
  return request;
};

const nestsOf = (request: Request): NestValue[] => [...request.attrs.values()].map((attr) => {
  const nest = nestOf(attr.type & 0x3fff)!;
  return { nest, value: decodeNest(nest, request.bytes, attr.start, attr.end) };
});

describe('requests of drbdsetup', () => {
  const requests = messages.filter((each) => each.direction === 'request');

  test('are all accepted', () => {
    expect(requests.length).toBeGreaterThan(300);
    for (const { bytes, step } of requests) expect(() => decoded(bytes), step).not.toThrow();
  });

  test('come out byte by byte the same when encoded again', () => {
    for (const { bytes, step } of requests) {
      const request = decoded(bytes);
      const { header } = request;
      const again = encodeRequest(header, header.flags,
        { cmd: header.cmd, minor: header.minor, setDefaults: request.setDefaults, nests: nestsOf(request) });
      expect(toHex(again), step).toBe(toHex(bytes));
    }
  });
});

describe("genuine's replies", () => {
  test('are encoded byte by byte the same from the request, the code and the texts', () => {
    let compared = 0;
    for (const { messages: inStep, step } of steps) {
      for (const { bytes, direction } of inStep) {
        if (direction !== 'reply' || !isDrbd(bytes) || (readHeader(bytes).flags & 2) !== 0) continue;
        const { seq, cmd, portid } = readHeader(bytes);
        const request = inStep.find((each) => each.direction === 'request' && readHeader(each.bytes).seq === seq &&
          readHeader(each.bytes).cmd === cmd && readHeader(each.bytes).portid === portid);
        expect(request, `${step}: request of ${cmd}`).toBeDefined();
        const reply = decodeMessage(bytes);
        if (reply.kind !== 'drbd') throw new Error('not a DRBD message');
        const texts = reply.nests.filter((each) => each.nest === cfgReply)
          .map((each) => (each.value as { infoText: string }).infoText);
        const timeoutType = nestIn(reply.nests, timeoutParms)?.timeoutType;
        const again = encodeReply(decoded(request!.bytes),
          { code: reply.code, texts, ...(timeoutType !== undefined && { timeoutType }) });
        expect(toHex(again), step).toBe(toHex(bytes));
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(120);
  });
});

test('values mean what drbdsetup was told', () => {
  const find = (step: string, cmd: number) => decoded(steps.find((each) => each.step.endsWith(step))!.messages
    .find((each) => each.direction === 'request' && readHeader(each.bytes).cmd === cmd)!.bytes);
  const attach = nestsOf(find('16-attach-r0', 12)).find((each) => each.nest === diskConf)!.value;
  expect(attach).toMatchObject({ backingDev: '/dev/ram0', metaDev: '/dev/ram0', metaDevIdx: -3 });
  expect(find('21-new-peer-r0', 44).context).toEqual({ resourceName: 'r0', peerNodeId: 1 });
});

test('every default is a value that genuine showed where nothing was set', () => {
  const seen = new Map<string, Set<unknown>>();
  for (const { bytes, direction } of messages) {
    if (direction !== 'reply' || !isDrbd(bytes)) continue;
    const message = decodeMessage(bytes);
    for (const { nest, value } of message.kind === 'drbd' ? message.nests : []) {
      for (const [key, field] of Object.entries(value)) {
        const at = `${nest.name}.${key}`;
        seen.set(at, (seen.get(at) ?? new Set()).add(field));
      }
    }
  }
  for (const nest of [diskConf, resourceOpts, netConf, peerDeviceConf, deviceConf]) {
    for (const [key, field] of nest.list) {
      if (field.default !== undefined) expect(seen.get(`${nest.name}.${key}`), key).toContain(field.default);
    }
  }
});

test('context and info of a notification', () => {
  const { bytes } = messages.find((each) => each.direction === 'multicast' && readHeader(each.bytes).cmd === 34)!;
  const message = decodeMessage(bytes);
  if (message.kind !== 'drbd') throw new Error('not a DRBD message');
  expect(nestIn(message.nests, cfgContext)).toEqual({ resourceName: 'r0' });
  expect(nestIn(message.nests, resourceInfo)).toMatchObject({ resRole: 2, resSusp: false });
  expect(nestIn(message.nests, deviceInfo)).toBeUndefined();
});
