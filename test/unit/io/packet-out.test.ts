// SPDX-License-Identifier: GPL-2.0-or-later
import { expect, test } from 'vitest';
import type { Stream } from '../../../src/host/net.ts';
import * as out from '../../../src/io/packet-out.ts';
import { getHeader, newHeader } from '../../../src/wire/header.ts';
import { type AnyPacket, packetOf } from '../../../src/wire/packets.ts';

const agreed = { version: 124, features: 0x7f };
const { Cmd } = out;

/** A stream that keeps one packet. */
function capture(send: (s: Stream) => boolean): { definition: AnyPacket; volume: number; value: Record<string, unknown> } {
  const output = new DataView(new ArrayBuffer(8192));
  let bytes = 0;
  let payload = 0;
  const stream = { output, reserve: () => 64, commit: (_at: number, n: number, _a: unknown, _o: number, p: number) => {
    bytes = n;
    payload = p;
    return n + p;
  } } as unknown as Stream;
  expect(send(stream)).toBe(true);
  const header = newHeader();
  expect(getHeader(output, 64, bytes, header)).toBe('ok');
  expect(header.bodyBytes).toBe(bytes - 16 + payload);
  const definition = packetOf(header.command) as AnyPacket;
  return { definition, volume: header.volume, value: definition.decode(output, 80, bytes - 16, agreed) as never };
}

const big = 2 ** 40 + 8;
const id = 0x1234_5678_9abc_def0n;
const [high, low] = [0x12345678, 0x9abcdef0];

const packets: [string, (s: Stream) => boolean, Record<string, number | bigint>][] = [
  ['P_TRIM', (s: Stream) => out.sendTrim(s, Cmd.TRIM, 3, big, high, low, 7, 64, 4096),
    { sector: big, blockId: id, seqNum: 7, dpFlags: 64, size: 4096 }],
  ['P_ZEROES', (s: Stream) => out.sendTrim(s, Cmd.ZEROES, 3, big, high, low, 7, 1024, 4096),
    { sector: big, blockId: id, seqNum: 7, dpFlags: 1024, size: 4096 }],
  ...[Cmd.RECV_ACK, Cmd.WRITE_ACK, Cmd.RS_WRITE_ACK, Cmd.NEG_ACK, Cmd.NEG_DREPLY, Cmd.NEG_RS_DREPLY, Cmd.RS_IS_IN_SYNC,
    Cmd.RS_CANCEL, Cmd.RS_CANCEL_AHEAD, Cmd.WRITE_ACK_IN_SYNC, Cmd.RS_NEG_ACK, Cmd.RS_DEALLOCATED_ID].map((cmd) =>
    [packetOf(cmd)!.name, (s: Stream) => out.sendAck(s, cmd, 3, big, high, low, 8192, 9),
      { sector: big, blockId: id, blksize: 8192, seqNum: 9 }] as typeof packets[0]),
  ...[Cmd.DATA_REQUEST, Cmd.RS_DATA_REQUEST].map((cmd) =>
    [packetOf(cmd)!.name, (s: Stream) => out.sendAck(s, cmd, 3, big, high, low, 8192, 0), { sector: big, blockId: id, blksize: 8192 }] as typeof packets[0]),
  ['P_RS_DAGTAG_REQ', (s: Stream) => out.sendDagtagRequest(s, Cmd.RS_DAGTAG_REQ, 3, big, high, low, 8192, 2, 12345678901),
    { sector: big, blockId: id, blksize: 8192, dagtagNodeId: 2, dagtag: 12345678901 }],
  ['P_BARRIER', (s: Stream) => out.sendWords(s, Cmd.BARRIER, 0xfffffffe, 0), { barrier: 0xfffffffe }],
  ['P_BARRIER_ACK', (s: Stream) => out.sendWords(s, Cmd.BARRIER_ACK, 5, 77), { barrier: 5, setSize: 77 }],
  ['P_DAGTAG', (s: Stream) => out.sendNumber(s, Cmd.DAGTAG, big, -1), { dagtag: big }],
  ['P_FLUSH_REQUESTS', (s: Stream) => out.sendNumber(s, Cmd.FLUSH_REQUESTS, 4, -1), { flushSequence: 4 }],
  ['P_FLUSH_FORWARD', (s: Stream) => out.sendNumber(s, Cmd.FLUSH_FORWARD, 4, 2), { flushSequence: 4, initiatorNodeId: 2 }],
  ['P_FLUSH_REQUESTS_ACK', (s: Stream) => out.sendNumber(s, Cmd.FLUSH_REQUESTS_ACK, 4, 0), { flushSequence: 4, primaryNodeId: 0 }],
  ['P_PEER_ACK', (s: Stream) => out.sendPeerAck(s, 0x80000003 | 0, big), { mask: 0x80000003n, dagtag: big }],
  ['P_OUT_OF_SYNC', (s: Stream) => out.sendRange(s, Cmd.OUT_OF_SYNC, 3, big, 4096), { sector: big, blksize: 4096 }],
  ['P_PEERS_IN_SYNC', (s: Stream) => out.sendPeersInSync(s, 3, big, 6, 4096), { sector: big, mask: 6n, size: 4096 }],
  ['P_CONFIRM_STABLE', (s: Stream) => out.sendConfirmStable(s, high, low, low, high, 12),
    { oldestBlockId: id, youngestBlockId: 0x9abc_def0_1234_5678n, setSize: 12 }],
  ['P_UNPLUG_REMOTE', (s: Stream) => out.sendEmpty(s, Cmd.UNPLUG_REMOTE, -1), {}],
  ['P_DATA', (s: Stream) => out.sendBlock(s, null as never, Cmd.DATA, 3, big, high, low, 1, 258, null as never, 0, 4096, '', false),
    { sector: big, blockId: id, seqNum: 1, dpFlags: 258 }],
];

test.each(packets)('%s is what its schema says', (name, send, expected) => {
  const { definition, volume, value } = capture(send);
  expect(definition.name).toBe(name);
  expect(volume).toBe(definition.scope === 'connection' ? 0xffff : 3);
  for (const [field, wanted] of Object.entries(expected)) {
    const got = value[field];
    expect(typeof got === 'bigint' ? got : BigInt(got as number), field).toBe(BigInt(wanted));
  }
});

test('every command of the I/O path has a schema of that number and name', () => {
  for (const [name, cmd] of Object.entries(Cmd)) expect(packetOf(cmd)?.name).toBe(`P_${name}`);
});

test('numbers above 2^53 are no numbers', () => {
  const view = new DataView(new ArrayBuffer(8));
  view.setUint32(0, 0x200000);
  expect(out.getU64(view, 0)).toBeNaN();
  out.putU64(view, 0, 2 ** 53 - 1);
  expect(out.getU64(view, 0)).toBe(2 ** 53 - 1);
});
