// SPDX-License-Identifier: GPL-2.0-or-later
// Runs in a guest: sends netlink messages from stdin (JSON: [{request: hex, replies: how many}]) as they are, with the
// family's id put in, and prints the answers (JSON: hex[][]). A message that is not answered in time gives fewer.
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';

interface RawSocket {
  send(message: Uint8Array): void;
  on(event: 'message', listener: (message: Buffer) => void): void;
  on(event: 'error', listener: (error: Error) => void): void;
  close(): void;
}

export interface RawRequest {
  request: string;
  replies: number;
}

const { RawNetlinkSocket } = createRequire(import.meta.url)('netlink/dist/raw') as {
  RawNetlinkSocket: new (protocol: number) => RawSocket;
};
const NETLINK_GENERIC = 16;
const NL_HEADER_BYTES = 16;
const TYPE_AT = 4;
const ANSWER_MS = 15_000;
/** CTRL_CMD_GETFAMILY of "drbd". */
const GET_FAMILY = '2000000010000100010000000000000003010000090002006472626400000000';
const CTRL_ATTR_FAMILY_ID = 1;

function align4(bytes: number): number {
  return (bytes + 3) & ~3;
}

/** Several messages may come in one datagram. */
function split(datagram: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at + NL_HEADER_BYTES <= datagram.length;) {
    const length = datagram.readUInt32LE(at);
    if (length < NL_HEADER_BYTES) break;
    messages.push(datagram.subarray(at, at + length));
    at += align4(length);
  }
  return messages;
}

function exchange(message: Buffer, count: number): Promise<Buffer[]> {
  const socket = new RawNetlinkSocket(NETLINK_GENERIC);
  return new Promise((resolve, reject) => {
    const answers: Buffer[] = [];
    const end = () => {
      clearTimeout(timer);
      socket.close();
      resolve(answers.slice(0, count));
    };
    const timer = setTimeout(end, ANSWER_MS);
    socket.on('error', reject);
    socket.on('message', (datagram) => {
      answers.push(...split(datagram).map((part) => Buffer.from(part)));
      if (answers.length >= count) end();
    });
    socket.send(message);
  });
}

async function familyId(): Promise<number> {
  const [answer] = await exchange(Buffer.from(GET_FAMILY, 'hex'), 1);
  for (let at = NL_HEADER_BYTES + 4; answer && at + 4 <= answer.length; at += align4(answer.readUInt16LE(at))) {
    if (answer.readUInt16LE(at) < 4) break;
    if (answer.readUInt16LE(at + 2) === CTRL_ATTR_FAMILY_ID) return answer.readUInt16LE(at + 4);
  }
  throw new Error('no netlink family "drbd" here');
}

const family = await familyId();
const answers: string[][] = [];
for (const { request, replies } of JSON.parse(await text(process.stdin)) as RawRequest[]) {
  const message = Buffer.from(request, 'hex');
  message.writeUInt16LE(family, TYPE_AT);
  answers.push((await exchange(message, replies)).map((answer) => answer.toString('hex')));
}
process.stdout.write(JSON.stringify(answers));
