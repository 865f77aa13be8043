// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, test } from 'vitest';
import { matchRow, Net, NET_MASK, Protocol, Rq, RqEvent, rqEventNames, rqRows, type RqEventName } from '../../../src/io/mod.ts';

const { PENDING, QUEUED, SENT, DONE, OK, SIS, EXP_RECEIVE_ACK: RECV, EXP_WRITE_ACK: WACK, EXP_BARR_ACK: BARR } = Net;

interface Case {
  event: RqEventName; write?: boolean; answered?: boolean; protocol?: number; net: number; after: number; susp?: boolean;
}

/** io.md 2.3, line by line: word before and after. */
const cases: Case[] = [
  { event: 'NEW_NET_READ', write: false, net: 0, after: PENDING },
  { event: 'NEW_NET_WRITE', protocol: Protocol.C, net: 0, after: PENDING | BARR | WACK },
  { event: 'NEW_NET_WRITE', protocol: Protocol.B, net: 0, after: PENDING | BARR | RECV },
  { event: 'NEW_NET_WRITE', protocol: Protocol.A, net: 0, after: PENDING | BARR },
  { event: 'NEW_NET_OOS', net: 0, after: PENDING },
  { event: 'ADDED_TO_TRANSFER_LOG', net: PENDING, after: PENDING | QUEUED },
  { event: 'BARRIER_SENT', net: 0, after: OK | DONE },
  { event: 'HANDED_OVER_TO_NETWORK', net: PENDING | QUEUED | BARR, after: SENT | OK | BARR },
  { event: 'HANDED_OVER_TO_NETWORK', net: PENDING | QUEUED | BARR | WACK, after: PENDING | SENT | BARR | WACK },
  { event: 'HANDED_OVER_TO_NETWORK', net: PENDING | QUEUED | BARR | RECV, after: PENDING | SENT | BARR | RECV },
  { event: 'HANDED_OVER_TO_NETWORK', net: QUEUED | BARR, after: SENT | BARR },
  { event: 'HANDED_OVER_TO_NETWORK', write: false, net: PENDING | QUEUED, after: PENDING | SENT },
  { event: 'OOS_HANDED_TO_NETWORK', net: PENDING | QUEUED, after: DONE },
  { event: 'SEND_FAILED', net: PENDING | QUEUED | BARR, after: PENDING | BARR },
  { event: 'SEND_CANCELED', net: PENDING | QUEUED | BARR, after: PENDING | BARR },
  { event: 'RECV_ACKED_BY_PEER', net: PENDING | SENT | RECV | BARR, after: SENT | OK | RECV | BARR },
  { event: 'WRITE_ACKED_BY_PEER', net: PENDING | SENT | WACK | BARR, after: SENT | OK | WACK | BARR },
  { event: 'WRITE_ACKED_BY_PEER_AND_SIS', net: PENDING | SENT | WACK | BARR, after: SENT | OK | SIS | WACK | BARR },
  { event: 'NEG_ACKED', net: PENDING | SENT | WACK | BARR, after: SENT | WACK | BARR },
  { event: 'NEG_ACKED', net: SENT | OK | BARR, after: SENT | BARR },
  { event: 'NEG_ACKED', write: false, net: PENDING | SENT, after: SENT | DONE },
  { event: 'DATA_RECEIVED', write: false, net: PENDING | SENT, after: SENT | OK | DONE },
  { event: 'BARRIER_ACKED', write: false, net: PENDING | SENT, after: PENDING | SENT },
  { event: 'BARRIER_ACKED', net: PENDING | SENT | BARR, after: SENT | OK | DONE | BARR },
  { event: 'BARRIER_ACKED', net: SENT | OK | BARR, after: SENT | OK | DONE | BARR },
  { event: 'BARRIER_ACKED', net: 0, after: 0 },
  { event: 'CONNECTION_LOST', net: 0, after: 0 },
  { event: 'CONNECTION_LOST', net: SENT | OK | DONE | BARR, after: SENT | OK | DONE | BARR },
  { event: 'CONNECTION_LOST', net: SENT | OK | BARR, after: SENT | DONE | BARR },
  { event: 'CONNECTION_LOST', net: PENDING | SENT | WACK | BARR, after: SENT | DONE | WACK | BARR },
  { event: 'CONNECTION_LOST_WHILE_SUSPENDED', net: SENT | OK | BARR, after: SENT | DONE | BARR },
  { event: 'CONNECTION_LOST_WHILE_SUSPENDED', write: false, net: PENDING | SENT, after: SENT | DONE },
  { event: 'CONNECTION_LOST_WHILE_SUSPENDED', net: PENDING | SENT | WACK | BARR, after: PENDING | SENT | WACK | BARR, susp: true },
  { event: 'CONNECTION_LOST_WHILE_SUSPENDED', net: SENT | OK | WACK | BARR, after: SENT | OK | WACK | BARR },
  { event: 'CANCEL_SUSPENDED_IO', net: PENDING | SENT | WACK | BARR, after: SENT | DONE | WACK | BARR },
  { event: 'CANCEL_SUSPENDED_IO', net: SENT | DONE | BARR, after: SENT | DONE | BARR },
  { event: 'CANCEL_SUSPENDED_IO', net: SENT | OK | DONE | BARR, after: SENT | DONE | BARR },
  { event: 'CANCEL_SUSPENDED_IO', answered: true, net: SENT | OK | DONE | BARR, after: SENT | OK | DONE | BARR },
  { event: 'FORGOTTEN', net: SENT | OK | WACK | BARR, after: PENDING | SENT | WACK | BARR },
  { event: 'FORGOTTEN', net: SENT | OK | DONE | WACK | BARR, after: PENDING | SENT | WACK | BARR },
  { event: 'FORGOTTEN', answered: true, net: SENT | OK | DONE | WACK | BARR, after: SENT | OK | DONE | WACK | BARR },
  { event: 'FORGOTTEN', answered: true, net: SENT | OK | WACK | BARR, after: SENT | OK | WACK | BARR },
  { event: 'OVERWRITTEN', net: SENT | OK | DONE | WACK | BARR, after: PENDING | SENT | WACK | BARR },
  { event: 'OVERWRITTEN', net: PENDING | SENT | WACK | BARR, after: PENDING | SENT | WACK | BARR },
  { event: 'OVERWRITTEN', answered: true, net: SENT | OK | WACK | BARR, after: SENT | DONE | WACK | BARR },
  { event: 'RESEND', net: PENDING | SENT | OK | WACK | BARR, after: SENT | OK | DONE | WACK | BARR },
  { event: 'RESEND', net: SENT | OK | WACK | BARR, after: SENT | OK | DONE | WACK | BARR },
  { event: 'RESEND', net: PENDING | SENT | WACK | BARR, after: PENDING | QUEUED | WACK | BARR },
  { event: 'RESEND', net: SENT | WACK | BARR, after: PENDING | QUEUED | WACK | BARR },
  { event: 'RESEND', answered: true, net: SENT | WACK | BARR, after: SENT | DONE | WACK | BARR },
  { event: 'RESEND', net: SENT | DONE | BARR, after: SENT | DONE | BARR },
  { event: 'MISSED', protocol: Protocol.C, net: 0, after: PENDING | QUEUED | WACK | BARR },
  { event: 'MISSED', protocol: Protocol.B, net: SENT | DONE | BARR, after: PENDING | QUEUED | RECV | BARR },
  { event: 'MISSED', protocol: Protocol.A, net: 0, after: PENDING | QUEUED | BARR },
  { event: 'MISSED', protocol: Protocol.C, net: SENT | OK | WACK | BARR, after: SENT | OK | WACK | BARR },
  { event: 'MISSED', protocol: Protocol.C, answered: true, net: SENT | DONE | WACK | BARR, after: SENT | DONE | WACK | BARR },
  { event: 'RESEND', net: 0, after: 0 },
];

const apply = (c: Case): { net: number; local: number } => {
  const local = (c.write === false ? 0 : Rq.WRITE) | (c.answered ? Rq.MASTER_DONE : 0);
  const row = matchRow(RqEvent[c.event], local, c.net, c.protocol ?? Protocol.C);
  return row === null ? { net: c.net, local } : { net: (c.net & row.netKeep) | row.netSet, local: (local & row.localKeep) | row.localSet };
};

test.each(cases.map((c, i) => [i, c.event, c] as const))('%i %s', (_i, _name, c) => {
  const got = apply(c);
  expect(got.net).toBe(c.after);
  expect((got.local & Rq.COMPLETION_SUSP) !== 0).toBe(c.susp === true);
});

describe('local events', () => {
  test.each([
    ['TO_BE_SUBMITTED', 0, Rq.LOCAL_PENDING],
    ['COMPLETED_OK', Rq.LOCAL_PENDING, Rq.LOCAL_COMPLETED | Rq.LOCAL_OK],
    ['WRITE_COMPLETED_WITH_ERROR', Rq.LOCAL_PENDING, Rq.LOCAL_COMPLETED],
    ['READ_COMPLETED_WITH_ERROR', Rq.LOCAL_PENDING, Rq.LOCAL_COMPLETED],
    ['READ_AHEAD_COMPLETED_WITH_ERROR', Rq.LOCAL_PENDING, Rq.LOCAL_COMPLETED],
    ['DISCARD_COMPLETED_NOTSUPP', Rq.LOCAL_PENDING, Rq.LOCAL_COMPLETED],
    ['DISCARD_COMPLETED_WITH_ERROR', Rq.LOCAL_PENDING, Rq.LOCAL_COMPLETED],
    ['ABORT_DISK_IO', Rq.LOCAL_PENDING, Rq.LOCAL_PENDING | Rq.LOCAL_ABORTED],
    ['REFUSED', 0, Rq.COMPLETION_SUSP],
    ['COMPLETION_RESUMED', Rq.COMPLETION_SUSP, 0],
  ] as const)('%s', (event, before, after) => {
    const row = matchRow(RqEvent[event], Rq.WRITE | before, 0, Protocol.C);
    expect(row).not.toBeNull();
    expect(((Rq.WRITE | before) & row!.localKeep) | row!.localSet).toBe(Rq.WRITE | after);
  });
});

test('every event has a row, every row is reached by a case', () => {
  for (const name of rqEventNames) expect(rqRows.some((r) => r.event === name), name).toBe(true);
  const netRows = rqRows.filter((r) => r.netSet || r.netClear);
  const reached = new Set(cases.map((c) => matchRow(RqEvent[c.event],
    (c.write === false ? 0 : Rq.WRITE) | (c.answered ? Rq.MASTER_DONE : 0), c.net, c.protocol ?? Protocol.C)?.row));
  expect(netRows.filter((r) => !reached.has(r)).map((r) => r.event)).toEqual([]);
});

/** Any sequence of events keeps to the legal combinations of io.md 2.1, except the words between two steps of one event. */
test('after a lost connection nothing is pending, whatever the word was', () => {
  for (let net = 0; net <= 0x1ff; net++) {
    for (const local of [0, Rq.WRITE]) {
      const row = matchRow(RqEvent.CONNECTION_LOST, local, net, Protocol.C);
      const after = row === null ? net : (net & row.netKeep) | row.netSet;
      if ((net & NET_MASK) !== 0 && (net & DONE) === 0) expect(after & (PENDING | OK)).toBe(0);
      if ((net & NET_MASK) !== 0) expect(after & DONE).toBe(DONE);
    }
  }
});
