// SPDX-License-Identifier: GPL-2.0-or-later
import { expect, test } from 'vitest';
import { decodeMessage } from '../../../src/genl/client.ts';
import { readHeader } from '../../../src/genl/message.ts';
import { Notifier } from '../../../src/genl/notifier.ts';
import type { Notification } from '../../../src/genl/notify.ts';
import { notificationOf } from './rebuild.ts';
import { messages, toHex } from './vectors.ts';

/** What genuine multicast while drbdsetup ran, in the order of its numbers (the monitor swapped two). */
const captured = messages.filter((each) => each.direction === 'multicast' && each.step.startsWith('drbdsetup/'))
  .sort((a, b) => readHeader(a.bytes).seq - readHeader(b.bytes).seq);
const events = captured.map(({ bytes }) => {
  const message = decodeMessage(bytes);
  if (message.kind !== 'drbd') throw new Error('not a DRBD message');
  return notificationOf(message.header.cmd, message.header.minor, message.nests);
});

test('groups come out with the marks of genuine; numbered one by one they are its messages', () => {
  const sent: Uint8Array[] = [];
  const first = readHeader(captured[0]!.bytes);
  const notifier = new Notifier(first.type, (bytes) => {
    new DataView(bytes.buffer).setUint32(8, first.seq + sent.length, true);
    sent.push(bytes);
  });
  let group: Notification[] = [];
  for (const event of events) {
    group.push({ ...event, continues: undefined });
    if (event.continues) continue;
    notifier.notify(...group);
    group = [];
  }
  expect(sent.length).toBeGreaterThan(150);
  expect(sent.map(toHex)).toEqual(captured.map(({ bytes }) => toHex(bytes)));
});

test('paths and helpers are never part of a group', () => {
  const notifier = new Notifier(33, () => {});
  const helper = events.find((event) => event.kind === 'helper')!;
  expect(() => notifier.notify(helper, helper)).toThrow('inside a group');
});
