// SPDX-License-Identifier: GPL-2.0-or-later

/** Local word of a request. @spec io.md 2.1 */
export const Rq = {
  LOCAL_PENDING: 1, LOCAL_COMPLETED: 2, LOCAL_OK: 4, LOCAL_ABORTED: 8,
  WRITE: 16, UNMAP: 32, ZEROES: 64, IN_ACT_LOG: 128, UNPLUG: 256, POSTPONED: 512, COMPLETION_SUSP: 1024,
  /** Ours: in the transfer log; master bio answered; read-ahead; empty flush. */
  IN_TL: 2048, MASTER_DONE: 4096, RAHEAD: 8192, FLUSH: 16384,
} as const;

/** Word of a request towards one peer. @spec io.md 2.1 */
export const Net = {
  PENDING: 1, QUEUED: 2, SENT: 4, DONE: 8, OK: 16, SIS: 32,
  EXP_RECEIVE_ACK: 64, EXP_WRITE_ACK: 128, EXP_BARR_ACK: 256,
} as const;

/** "The request concerns this peer." */
export const NET_MASK = Net.PENDING | Net.QUEUED | Net.SENT | Net.DONE | Net.OK | Net.SIS;
const EXP_ACK = Net.EXP_RECEIVE_ACK | Net.EXP_WRITE_ACK;

/** DRBD_PROT_*: what a write waits for. */
export const Protocol = { A: 1, B: 2, C: 3 } as const;

const eventNames = [
  'TO_BE_SUBMITTED', 'NEW_NET_READ', 'NEW_NET_WRITE', 'NEW_NET_OOS', 'ADDED_TO_TRANSFER_LOG', 'BARRIER_SENT',
  'HANDED_OVER_TO_NETWORK', 'OOS_HANDED_TO_NETWORK', 'SEND_FAILED', 'SEND_CANCELED',
  'RECV_ACKED_BY_PEER', 'WRITE_ACKED_BY_PEER', 'WRITE_ACKED_BY_PEER_AND_SIS', 'NEG_ACKED', 'DATA_RECEIVED',
  'BARRIER_ACKED', 'CONNECTION_LOST', 'CONNECTION_LOST_WHILE_SUSPENDED', 'CANCEL_SUSPENDED_IO', 'FORGOTTEN', 'OVERWRITTEN', 'RESEND', 'MISSED',
  'REFUSED', 'COMPLETION_RESUMED', 'COMPLETED_OK', 'WRITE_COMPLETED_WITH_ERROR', 'READ_COMPLETED_WITH_ERROR',
  'READ_AHEAD_COMPLETED_WITH_ERROR', 'DISCARD_COMPLETED_NOTSUPP', 'DISCARD_COMPLETED_WITH_ERROR', 'ABORT_DISK_IO',
] as const;
export type RqEventName = (typeof eventNames)[number];

/** Events by name; numbers are indices into the compiled table. */
export const RqEvent = Object.fromEntries(eventNames.map((name, i) => [name, i])) as Record<RqEventName, number>;
export const rqEventNames: readonly RqEventName[] = eventNames;

/**
 * One row: the first of an event whose condition holds applies; none: the event changes nothing.
 * Conditions: `write`, `protocol`; `unanswered`: its master bio waits, so its data are still here; `all` these net bits set, `any` one of them, `none` of them.
 */
export interface RqRow {
  readonly event: RqEventName;
  readonly write?: boolean;
  readonly unanswered?: true;
  readonly protocol?: number;
  readonly all?: number;
  readonly any?: number;
  readonly none?: number;
  readonly netClear?: number;
  readonly netSet?: number;
  readonly localClear?: number;
  readonly localSet?: number;
  /** Something to log: genuine's words. */
  readonly warn?: string;
}

/** The acks that a write waits for. */
const awaited = [
  [Protocol.C, Net.EXP_BARR_ACK | Net.EXP_WRITE_ACK], [Protocol.B, Net.EXP_BARR_ACK | Net.EXP_RECEIVE_ACK], [Protocol.A, Net.EXP_BARR_ACK],
] as const;

/** The event table. @spec io.md 2.3 */
export const rqRows: readonly RqRow[] = [
  { event: 'TO_BE_SUBMITTED', localSet: Rq.LOCAL_PENDING },
  { event: 'NEW_NET_READ', netSet: Net.PENDING },
  ...awaited.map(([protocol, acks]): RqRow => ({ event: 'NEW_NET_WRITE', protocol, netSet: Net.PENDING | acks })),
  { event: 'NEW_NET_OOS', netSet: Net.PENDING },
  { event: 'ADDED_TO_TRANSFER_LOG', netSet: Net.QUEUED },
  { event: 'BARRIER_SENT', netSet: Net.OK | Net.DONE },
  { event: 'HANDED_OVER_TO_NETWORK', write: true, all: Net.PENDING, none: EXP_ACK,
    netClear: Net.QUEUED | Net.PENDING, netSet: Net.SENT | Net.OK },
  { event: 'HANDED_OVER_TO_NETWORK', netClear: Net.QUEUED, netSet: Net.SENT },
  { event: 'OOS_HANDED_TO_NETWORK', netClear: Net.PENDING | Net.QUEUED, netSet: Net.DONE },
  { event: 'SEND_FAILED', netClear: Net.QUEUED },
  { event: 'SEND_CANCELED', netClear: Net.QUEUED },
  { event: 'RECV_ACKED_BY_PEER', netClear: Net.PENDING, netSet: Net.OK },
  { event: 'WRITE_ACKED_BY_PEER', netClear: Net.PENDING, netSet: Net.OK },
  { event: 'WRITE_ACKED_BY_PEER_AND_SIS', netClear: Net.PENDING, netSet: Net.SIS | Net.OK },
  { event: 'NEG_ACKED', write: true, netClear: Net.OK | Net.PENDING },
  { event: 'NEG_ACKED', write: false, netClear: Net.OK | Net.PENDING, netSet: Net.DONE },
  { event: 'DATA_RECEIVED', netClear: Net.PENDING, netSet: Net.OK | Net.DONE },
  { event: 'BARRIER_ACKED', write: true, all: Net.PENDING, netClear: Net.PENDING, netSet: Net.OK | Net.DONE,
    warn: 'FIXME (BARRIER_ACKED but pending)' },
  { event: 'BARRIER_ACKED', write: true, any: NET_MASK, netSet: Net.DONE },
  { event: 'CONNECTION_LOST', any: NET_MASK, none: Net.DONE, netClear: Net.PENDING | Net.OK, netSet: Net.DONE },
  { event: 'CONNECTION_LOST_WHILE_SUSPENDED', any: NET_MASK, none: Net.DONE | EXP_ACK,
    netClear: Net.PENDING | Net.OK, netSet: Net.DONE },
  { event: 'CONNECTION_LOST_WHILE_SUSPENDED', all: Net.PENDING, any: EXP_ACK, none: Net.DONE,
    localSet: Rq.COMPLETION_SUSP },
  { event: 'CANCEL_SUSPENDED_IO', any: NET_MASK, none: Net.DONE, netClear: Net.PENDING | Net.OK, netSet: Net.DONE },
  { event: 'CANCEL_SUSPENDED_IO', write: true, unanswered: true, all: Net.OK, netClear: Net.OK | Net.SIS },
  { event: 'FORGOTTEN', write: true, unanswered: true, all: Net.OK, netClear: Net.OK | Net.SIS | Net.DONE, netSet: Net.PENDING },
  { event: 'OVERWRITTEN', write: true, unanswered: true, all: Net.OK, netClear: Net.OK | Net.SIS | Net.DONE, netSet: Net.PENDING },
  { event: 'OVERWRITTEN', write: true, all: Net.OK, netClear: Net.OK | Net.SIS, netSet: Net.DONE },
  { event: 'RESEND', write: true, all: Net.OK | Net.PENDING, netClear: Net.PENDING, netSet: Net.OK | Net.DONE },
  { event: 'RESEND', write: true, all: Net.OK, netSet: Net.DONE },
  { event: 'RESEND', all: Net.PENDING, netClear: Net.SENT, netSet: Net.QUEUED },
  { event: 'RESEND', write: true, unanswered: true, all: Net.SENT, none: Net.DONE, netClear: Net.SENT, netSet: Net.PENDING | Net.QUEUED },
  { event: 'RESEND', write: true, all: Net.SENT, netSet: Net.DONE },
  ...awaited.map(([protocol, acks]): RqRow => ({ event: 'MISSED', write: true, unanswered: true, protocol,
    none: Net.OK | Net.PENDING | Net.QUEUED, netClear: NET_MASK | EXP_ACK | Net.EXP_BARR_ACK, netSet: Net.QUEUED | Net.PENDING | acks })),
  { event: 'REFUSED', write: true, unanswered: true, localSet: Rq.COMPLETION_SUSP },
  { event: 'COMPLETION_RESUMED', localClear: Rq.COMPLETION_SUSP },
  { event: 'COMPLETED_OK', localClear: Rq.LOCAL_PENDING, localSet: Rq.LOCAL_COMPLETED | Rq.LOCAL_OK },
  { event: 'WRITE_COMPLETED_WITH_ERROR', localClear: Rq.LOCAL_PENDING, localSet: Rq.LOCAL_COMPLETED },
  { event: 'READ_COMPLETED_WITH_ERROR', localClear: Rq.LOCAL_PENDING, localSet: Rq.LOCAL_COMPLETED },
  { event: 'READ_AHEAD_COMPLETED_WITH_ERROR', localClear: Rq.LOCAL_PENDING, localSet: Rq.LOCAL_COMPLETED },
  { event: 'DISCARD_COMPLETED_NOTSUPP', localClear: Rq.LOCAL_PENDING, localSet: Rq.LOCAL_COMPLETED },
  { event: 'DISCARD_COMPLETED_WITH_ERROR', localClear: Rq.LOCAL_PENDING, localSet: Rq.LOCAL_COMPLETED },
  { event: 'ABORT_DISK_IO', localSet: Rq.LOCAL_ABORTED },
];

/** A row with every condition and change present, so that matching is plain integer work. */
export interface CompiledRow {
  readonly write: number;
  readonly unanswered: boolean;
  readonly protocol: number;
  readonly all: number;
  readonly any: number;
  readonly none: number;
  readonly netKeep: number;
  readonly netSet: number;
  readonly localKeep: number;
  readonly localSet: number;
  readonly row: RqRow;
}

const compile = (row: RqRow): CompiledRow => ({
  write: row.write === undefined ? -1 : row.write ? Rq.WRITE : 0,
  unanswered: row.unanswered ?? false,
  protocol: row.protocol ?? 0,
  all: row.all ?? 0, any: row.any ?? 0, none: row.none ?? 0,
  netKeep: ~(row.netClear ?? 0), netSet: row.netSet ?? 0,
  localKeep: ~(row.localClear ?? 0), localSet: row.localSet ?? 0,
  row,
});

const byEvent: readonly (readonly CompiledRow[])[] =
  eventNames.map((name) => rqRows.filter((row) => row.event === name).map(compile));

/** The row that applies, null when the event changes nothing. Allocates nothing. */
export function matchRow(event: number, local: number, net: number, protocol: number): CompiledRow | null {
  const rows = byEvent[event];
  for (let i = 0; i < rows.length; i++) {
    const r = rows[i];
    if (r.write >= 0 && (local & Rq.WRITE) !== r.write) continue;
    if (r.unanswered && (local & Rq.MASTER_DONE) !== 0) continue;
    if (r.protocol !== 0 && r.protocol !== protocol) continue;
    if ((net & r.all) !== r.all) continue;
    if (r.any !== 0 && (net & r.any) === 0) continue;
    if ((net & r.none) !== 0) continue;
    return r;
  }
  return null;
}
