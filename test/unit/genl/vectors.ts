// SPDX-License-Identifier: GPL-2.0-or-later
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

/** Netlink traffic of drbd-utils 9.22.0 with genuine DRBD 9.2.18. */
interface Captured {
  /** One a command; a message is its direction (> request, < reply, * multicast, i initial state) and its hex. */
  commands: { step: string; messages: string[] }[];
  /** Hand-made requests with all answers. */
  raw: { label: string; request: string; replies: string[] }[];
}

const fixtures = new URL('../../fixtures/genl/', import.meta.url);
const packed = readFileSync(new URL('genuine-9.2.18.json.gz', fixtures));
const captured = JSON.parse(gunzipSync(packed).toString()) as Captured;

export const fromHex = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));
export const toHex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

export type Direction = 'request' | 'reply' | 'multicast' | 'initialState';
const DIRECTIONS: Record<string, Direction> = { '>': 'request', '<': 'reply', '*': 'multicast', i: 'initialState' };

export interface Message {
  step: string;
  direction: Direction;
  bytes: Uint8Array;
}

export const steps = captured.commands.map(({ step, messages }) => ({
  step,
  messages: messages.map((text): Message =>
    ({ step, direction: DIRECTIONS[text[0]!]!, bytes: fromHex(text.slice(1)) })),
}));
export const messages = steps.flatMap((each) => each.messages);

export const raw = captured.raw.map(({ label, request, replies }) =>
  ({ label, request: fromHex(request), replies: replies.map(fromHex) }));
export const rawOf = (label: string) => {
  const found = raw.find((each) => each.label === label);
  if (!found) throw new Error(`no vector ${label}`);
  return found;
};

export const fieldNames = JSON.parse(readFileSync(new URL('field-names.json', fixtures), 'utf8')) as
  Record<string, { name: string; fields: Record<string, string> }>;

export const portidOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(12, true);
export const typeOf = (bytes: Uint8Array) => bytes[4]! | bytes[5]! << 8;
export const isDrbd = (bytes: Uint8Array) => typeOf(bytes) > 15;
