// SPDX-License-Identifier: GPL-2.0-or-later
/** The hand-made requests of the captures, one after the other, against one engine: the same bytes come back. */
import { beforeAll, describe, expect, it } from 'vitest';
import { NLM_F_DUMP, readHeader } from '../../../src/genl/message.ts';
import { SimCluster } from '../../../src/sim/cluster.ts';
import { raw, toHex, typeOf } from '../genl/vectors.ts';

const NLMSG_DONE = 3;
/** The reader of a dump of an unknown resource gets the refusal again and again from genuine, once from us. */
const endless = (label: string): boolean => label.endsWith('-unknown-resource');

const answers = new Map<string, Uint8Array[]>();

beforeAll(async () => {
  const cluster = new SimCluster(1, { nodes: 2, volumes: 1, diskSectors: 20_480, wireProtocol: 3 });
  const { admin } = cluster.members[0]!.node;
  for (const { label, request } of raw) {
    let got: readonly Uint8Array[] | null = null;
    const dump = (readHeader(request).flags & NLM_F_DUMP) === NLM_F_DUMP;
    admin.send(request, dump, (messages) => { got = messages; });
    await cluster.until(`an answer to ${label}`, () => got !== null);
    answers.set(label, [...got!]);
  }
  await cluster.until('the engine has left', () => cluster.members[0]!.node.life === null);
});

/** Cut into messages, without the port of the sender. */
function messages(all: readonly Uint8Array[]): string[] {
  const bytes = Buffer.concat(all);
  const cut: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUInt32LE(at);
    const message = bytes.subarray(at, at + length);
    message.fill(0, 12, 16);
    if (typeOf(message) !== NLMSG_DONE) cut.push(toHex(message));
    at += (length + 3) & ~3;
  }
  return cut;
}

describe('hand-made requests are answered as genuine answers them', () => {
  it.each(raw.map(({ label, replies }) => [label, replies] as const))('%s', (label, replies) => {
    const genuine = messages(replies.map((reply) => reply.slice()));
    expect(messages(answers.get(label)!)).toEqual(endless(label) ? genuine.slice(0, 1) : genuine);
  });
});
