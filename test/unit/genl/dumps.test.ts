// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, test } from 'vitest';
import { decodeMessage } from '../../../src/genl/client.ts';
import { answerDump } from '../../../src/genl/dump.ts';
import { doneMessage, readHeader } from '../../../src/genl/message.ts';
import { encodeInitialStateDone, encodeNotification } from '../../../src/genl/notify.ts';
import { Cmd, Event } from '../../../src/genl/ops.ts';
import type { Request } from '../../../src/genl/request.ts';
import { decodeRequest, isRejection } from '../../../src/genl/request.ts';
import type { ResourceSnapshot } from '../../../src/genl/snapshot.ts';
import { connectionOf, contextOf, deviceOf, emptyConnection, emptyDevice, emptyResource, notificationOf, peerDeviceOf,
  resourceOf } from './rebuild.ts';
import { isDrbd, messages, portidOf, raw, steps, toHex, typeOf } from './vectors.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer E)[] ? E[] : T[K] };

const nestsOf = (bytes: Uint8Array) => {
  const message = decodeMessage(bytes);
  if (message.kind !== 'drbd') throw new Error('not a DRBD message');
  return message;
};

const requestOf = (bytes: Uint8Array, portid: number, capable = true): Request => {
  const request = decodeRequest(bytes, { portid, capable });
  if (isRejection(request)) throw new Error(request.reason);
  return request;
};

/** Puts the objects that a dump's messages show into resources. */
function snapshotsOf(cmd: number, answers: Uint8Array[], volumeAsMinor: boolean): ResourceSnapshot[] {
  const resources = new Map<string, Mutable<ResourceSnapshot>>();
  for (const bytes of answers) {
    const { nests, header } = nestsOf(bytes);
    const name = contextOf(nests).resourceName!;
    if (!resources.has(name)) resources.set(name, emptyResource(name) as Mutable<ResourceSnapshot>);
    const resource = resources.get(name)!;
    if (cmd === Cmd.GET_RESOURCES) resources.set(name, resourceOf(nests) as Mutable<ResourceSnapshot>);
    if (cmd === Cmd.GET_DEVICES) resource.devices.push(deviceOf(nests, header.minor));
    if (cmd === Cmd.GET_CONNECTIONS) resource.connections.push(connectionOf(nests));
    if (cmd === Cmd.GET_PEER_DEVICES) {
      const { volume, peerNodeId } = contextOf(nests);
      if (!resource.devices.some((device) => device.volume === volume)) {
        resource.devices.push(emptyDevice(volumeAsMinor ? 1000 + volume! : header.minor, volume!));
      }
      let connection = resource.connections.find((each) => each.peerNodeId === peerNodeId);
      if (!connection) resource.connections.push(connection = emptyConnection(nests));
      (connection.peerDevices as unknown[]).push(peerDeviceOf(nests));
    }
    if (cmd === Cmd.GET_PATHS) {
      const { peerNodeId, myAddr, peerAddr } = contextOf(nests);
      let connection = resource.connections.find((each) => each.peerNodeId === peerNodeId);
      if (!connection) resource.connections.push(connection = emptyConnection(nests));
      (connection.paths as unknown[]).push({ myAddr, peerAddr, info: { pathEstablished: false } });
    }
  }
  return [...resources.values()];
}

const sourceOf = (resources: readonly ResourceSnapshot[]) =>
  ({ snapshot: (name?: string) => resources.filter((each) => name === undefined || each.name === name) });

function checkDump(label: string, request: Request, answers: Uint8Array[]) {
  const filtered = request.context.resourceName !== undefined;
  const resources = snapshotsOf(request.op.cmd, answers, filtered);
  // A filtered dump without objects says that the resource exists.
  if (filtered && resources.length === 0) resources.push(emptyResource(request.context.resourceName!));
  expect(answerDump(request, sourceOf(resources)).map(toHex), label).toEqual(answers.map(toHex));
}

describe("genuine's dumps come out byte by byte the same from snapshots", () => {
  test('of drbdsetup', () => {
    let objects = 0;
    for (const { step, messages: inStep } of steps) {
      for (const { bytes, direction } of inStep) {
        if (direction !== 'request') continue;
        const request = requestOf(bytes, portidOf(bytes));
        if (request.op.kind !== 'dump' || request.op.cmd === Cmd.GET_INITIAL_STATE) continue;
        const answers = inStep.filter((each) => each.direction === 'reply' && isDrbd(each.bytes) &&
          readHeader(each.bytes).seq === request.header.seq && readHeader(each.bytes).cmd === request.op.cmd &&
          portidOf(each.bytes) === request.header.portid).map((each) => each.bytes);
        checkDump(step, request, answers);
        objects += answers.length;
      }
    }
    expect(objects).toBeGreaterThan(200);
  });

  test('of the hand-made requests, with two paths and with none', () => {
    const dumps = ['get-resources-empty', 'paths-empty', 'get-paths', 'get-paths-q0', 'get-connections-two-paths'];
    for (const { label, request: bytes, replies } of raw) {
      if (!dumps.includes(label)) continue;
      const done = replies.at(-1)!;
      const request = requestOf(bytes, portidOf(done));
      checkDump(label, request, replies.slice(0, -1));
      expect(toHex(doneMessage({ ...request.header, type: typeOf(bytes) })), label).toBe(toHex(done));
    }
  });
});

test('a dump of an unknown resource is one message with code 158', () => {
  for (const label of ['get-devices-unknown-resource', 'get-connections-unknown-resource']) {
    const { request: bytes, replies } = raw.find((each) => each.label === label)!;
    const answer = answerDump(requestOf(bytes, portidOf(replies[0]!)), sourceOf([]));
    expect(answer.map(toHex)).toEqual([toHex(replies[0]!)]);
  }
});

test('the shared secret is kept from callers without CAP_SYS_ADMIN', () => {
  const { request: bytes, replies } = raw.find((each) => each.label === 'get-connections-two-paths')!;
  const resources = snapshotsOf(Cmd.GET_CONNECTIONS, replies.slice(0, -1), false);
  const [all] = answerDump(requestOf(bytes, 1), sourceOf(resources));
  const [less] = answerDump(requestOf(bytes, 1, false), sourceOf(resources));
  expect(Buffer.from(all!).includes('topsecret')).toBe(true);
  expect(Buffer.from(less!).includes('topsecret')).toBe(false);
});

test('notifications come out byte by byte the same', () => {
  const sent = messages.filter((each) => each.direction === 'multicast');
  expect(sent.length).toBeGreaterThan(150);
  for (const { bytes, step } of sent) {
    const { header, nests } = nestsOf(bytes);
    const again = encodeNotification({ ...header, portid: 0 }, notificationOf(header.cmd, header.minor, nests));
    expect(toHex(again), step).toBe(toHex(bytes));
  }
});

/** The resources that one answer to GET_INITIAL_STATE shows. */
function initialResources(answers: Uint8Array[]): ResourceSnapshot[] {
  const resources: Mutable<ResourceSnapshot>[] = [];
  for (const bytes of answers) {
    const { header, nests } = nestsOf(bytes);
    if (header.cmd === Event.INITIAL_STATE_DONE) continue;
    const event = notificationOf(header.cmd, header.minor, nests);
    const resource = resources.at(-1)!;
    const connection = resource?.connections.find((each) => each.peerNodeId === contextOf(nests).peerNodeId);
    switch (event.kind) {
      case 'resource': resources.push({ ...emptyResource(''), ...event.resource } as Mutable<ResourceSnapshot>); break;
      case 'connection': resource.connections.push({ ...emptyConnection(nests), ...event.connection }); break;
      case 'device': resource.devices.push({ ...emptyDevice(0, 0), ...event.device }); break;
      case 'peerDevice': (connection!.peerDevices as unknown[]).push(event.peerDevice); break;
      case 'path': {
        const known = connection!.paths.findIndex((each) => toHex(each.myAddr) === toHex(event.path.myAddr));
        (connection!.paths as unknown[])[known] = event.path;
      }
    }
  }
  return resources;
}

test('the initial state comes out byte by byte the same', () => {
  let compared = 0;
  for (const { step, messages: inStep } of steps) {
    for (const { bytes, direction } of inStep) {
      if (direction !== 'request' || readHeader(bytes).cmd !== Cmd.GET_INITIAL_STATE) continue;
      const request = requestOf(bytes, portidOf(bytes));
      const answers = inStep.filter((each) => each.direction === 'initialState' &&
        readHeader(each.bytes).seq === request.header.seq).map((each) => each.bytes);
      if (readHeader(answers.at(-1)!).cmd !== Event.INITIAL_STATE_DONE) continue;
      expect(answerDump(request, sourceOf(initialResources(answers))).map(toHex), step).toEqual(answers.map(toHex));
      compared++;
    }
  }
  expect(compared).toBeGreaterThan(8);
});

test('with no resource the initial state is its end', () => {
  const { request: bytes, replies } = raw.find((each) => each.label === 'initial-state-empty')!;
  const request = requestOf(bytes, portidOf(replies[1]!));
  expect(answerDump(request, sourceOf([])).map(toHex)).toEqual([toHex(replies[0]!)]);
  expect(toHex(encodeInitialStateDone({ ...request.header, portid: 0 }))).toBe(toHex(replies[0]!));
});
