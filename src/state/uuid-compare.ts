// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * drbd_uuid_compare: the generations of two nodes, row by row; the first row that matches wins.
 * Agreed protocol versions start at 118 here, so rows for older ones do not exist. @spec uuid.md 2.2
 */
import { assert } from '../assert.ts';
import { LogLevel } from '../host/log.ts';
import { UuidFlag, WITNESS_SHIFT } from './states.ts';
import type { Strategy } from './uuid-strategy.ts';
import { uuidEq, uuidJustCreated, uuidPrimaryBit, uuidUnknown } from './uuid-types.ts';
import type { DeviceUuids, LogLine, PeerUuids, SentUuids } from './uuid-types.ts';

/** What the comparison looks at. */
export interface CompareView {
  readonly nodeId: number;
  readonly peerNodeId: number;
  readonly agreedVersion: number;
  readonly wireProtocol: 'A' | 'B' | 'C';
  /** RESOLVE_CONFLICTS of the transport: set on exactly one end. */
  readonly resolveConflicts: boolean;
  /** The connection is C_CONNECTING. */
  readonly connecting: boolean;
  readonly own: DeviceUuids;
  /** Nodes whose bitmap UUIDs the peer has been told: what it does not know must not decide here. */
  readonly told: readonly number[];
  /** drbd_resolved_uuid for this peer. @spec uuid.md 1.4 */
  readonly resolvedUuid: bigint;
  /** UuidFlag bits as they would be sent now. */
  readonly localFlags: number;
  /** null: the initial UUIDs and state were not sent yet. */
  readonly sent: SentUuids | null;
  readonly peer: PeerUuids;
  /** RS_SOURCE_MISSED_END, RS_PEER_MISSED_END. @spec uuid.md 1.11 */
  readonly missedEnd: 'none' | 'source' | 'peer';
}

/** The columns of the table. */
export interface CompareFacts {
  /** What was sent is not what holds now, while connecting. */
  readonly changed: boolean;
  readonly selfJustCreated: boolean;
  readonly peerJustCreated: boolean;
  /** S = P */
  readonly equal: boolean;
  readonly sourceMissedEnd: boolean;
  readonly peerMissedEnd: boolean;
  readonly since120: boolean;
  /** Since 121, and acknowledged writes may have been lost in a buffer: protocol A or B. */
  readonly asynchronous: boolean;
  readonly selfReconnect: boolean;
  readonly peerReconnect: boolean;
  readonly selfCrashed: boolean;
  readonly peerCrashed: boolean;
  readonly selfLostQuorum: boolean;
  readonly peerLostQuorum: boolean;
  readonly resolveConflicts: boolean;
  /** S is the peer's bitmap UUID for self; for another node. */
  readonly bitmapPeer: boolean;
  readonly bitmapPeerOther: boolean;
  /** P is the own bitmap UUID for the peer; for another node. */
  readonly bitmapSelf: boolean;
  readonly bitmapSelfOther: boolean;
  /** S is in the peer's history; P in the own. */
  readonly historyPeer: boolean;
  readonly historySelf: boolean;
  /** The two bitmap UUIDs for each other are the same generation. */
  readonly bitmapBoth: boolean;
  readonly historyBoth: boolean;
}

export type Rule =
  | 'initial-handshake-changed' | 'just-created-both' | 'just-created-self' | 'just-created-peer'
  | 'sync-source-missed-finish' | 'sync-target-peer-missed-finish' | 'reconnected' | 'crashed-primary' | 'lost-quorum'
  | 'both-off' | 'bitmap-peer' | 'bitmap-peer-other' | 'bitmap-self' | 'bitmap-self-other' | 'history-peer'
  | 'history-self' | 'bitmap-both' | 'history-both';

export interface CompareRow {
  /** Row of uuid.md 2.2. */
  readonly nr: number;
  readonly yes: readonly (keyof CompareFacts)[];
  readonly no: readonly (keyof CompareFacts)[];
  readonly strategy: Strategy;
  readonly rule: Rule;
}

type Columns = string;

function row(nr: number, columns: Columns, strategy: Strategy, rule: Rule): CompareRow {
  const words = columns.split(' ').filter((word) => word !== '');
  const yes = words.filter((word) => !word.startsWith('!')) as (keyof CompareFacts)[];
  const no = words.filter((word) => word.startsWith('!')).map((word) => word.slice(1)) as (keyof CompareFacts)[];
  return { nr, yes, no, strategy, rule };
}

/** A column name means yes, with ! no, not named: any. */
export const compareRows: readonly CompareRow[] = [
  row(0, 'changed', 'retry-connect', 'initial-handshake-changed'),
  row(1, 'selfJustCreated peerJustCreated', 'no-sync', 'just-created-both'),
  row(2, 'selfJustCreated', 'target-set-bitmap', 'just-created-self'),
  row(3, 'peerJustCreated', 'source-set-bitmap', 'just-created-peer'),

  row(4, 'equal sourceMissedEnd', 'source-use-bitmap', 'sync-source-missed-finish'),
  row(5, 'equal peerMissedEnd', 'target-use-bitmap', 'sync-target-peer-missed-finish'),
  row(6, 'equal since120 selfReconnect peerReconnect', 'no-sync', 'reconnected'),
  row(7, 'equal asynchronous selfCrashed !peerCrashed', 'source-use-bitmap', 'crashed-primary'),
  row(8, 'equal asynchronous peerCrashed !selfCrashed', 'target-use-bitmap', 'crashed-primary'),
  row(9, 'equal peerLostQuorum !selfLostQuorum', 'target-if-both-failed', 'lost-quorum'),
  row(10, 'equal selfLostQuorum !peerLostQuorum', 'source-if-both-failed', 'lost-quorum'),
  row(11, 'equal selfLostQuorum peerLostQuorum resolveConflicts', 'source-if-both-failed', 'lost-quorum'),
  row(11, 'equal selfLostQuorum peerLostQuorum !resolveConflicts', 'target-if-both-failed', 'lost-quorum'),
  row(12, 'equal !since120 selfReconnect peerReconnect', 'no-sync', 'reconnected'),
  // Rows 13 to 15 carry the name that was set last in genuine DRBD.
  row(13, 'equal since120 peerCrashed selfReconnect', 'source-if-both-failed', 'lost-quorum'),
  row(13, 'equal !since120 peerCrashed selfReconnect', 'source-if-both-failed', 'reconnected'),
  row(14, 'equal since120 selfCrashed peerReconnect', 'target-if-both-failed', 'lost-quorum'),
  row(14, 'equal !since120 selfCrashed peerReconnect', 'target-if-both-failed', 'reconnected'),
  row(15, 'equal since120 selfReconnect', 'no-sync', 'lost-quorum'),
  row(15, 'equal since120 peerReconnect', 'no-sync', 'lost-quorum'),
  row(15, 'equal !since120 selfReconnect', 'no-sync', 'reconnected'),
  row(15, 'equal !since120 peerReconnect', 'no-sync', 'reconnected'),
  row(16, 'equal selfCrashed peerCrashed resolveConflicts', 'target-if-both-failed', 'both-off'),
  row(17, 'equal selfCrashed', 'source-if-both-failed', 'both-off'),
  row(18, 'equal peerCrashed', 'target-if-both-failed', 'both-off'),
  row(19, 'equal', 'no-sync', 'both-off'),

  row(20, 'bitmapPeer', 'target-use-bitmap', 'bitmap-peer'),
  row(21, 'bitmapPeerOther', 'target-clear-bitmap', 'bitmap-peer-other'),
  row(22, 'bitmapSelf', 'source-use-bitmap', 'bitmap-self'),
  row(23, 'bitmapSelfOther', 'source-copy-other-bitmap', 'bitmap-self-other'),
  row(24, 'historyPeer !historySelf', 'target-set-bitmap', 'history-peer'),
  row(25, 'historySelf !historyPeer', 'source-set-bitmap', 'history-self'),
  row(26, 'bitmapBoth', 'split-brain-auto-recover', 'bitmap-both'),
  row(27, 'historyBoth', 'split-brain-disconnect', 'history-both'),
  row(28, '', 'unrelated-data', 'history-both'),
];

export function matches({ yes, no }: CompareRow, facts: CompareFacts): boolean {
  return yes.every((column) => facts[column]) && no.every((column) => !facts[column]);
}

export interface Comparison {
  readonly row: CompareRow;
  readonly strategy: Strategy;
  readonly rule: Rule;
  /** Whose slot rows 21 and 23 mean; -1 otherwise. */
  readonly peerNodeId: number;
  readonly log: readonly LogLine[];
}

/** S, P: without bit 0, and 0 counts as just created. */
function generation(uuid: bigint): bigint {
  const plain = uuid & ~uuidPrimaryBit;
  return plain === 0n ? uuidJustCreated : plain;
}

/** Lowest index of a bitmap UUID of this generation; 0 and unknown never match. */
function findBitmapUuid(uuids: readonly bigint[], wanted: bigint, except: number): number {
  return uuids.findIndex((uuid, n) => n !== except && uuid !== uuidUnknown && uuid !== 0n && uuidEq(uuid, wanted));
}

/** A scan of a history ends at its first 0. */
function known(history: readonly bigint[]): readonly bigint[] {
  const end = history.indexOf(0n);
  return end < 0 ? history : history.slice(0, end);
}

function inHistory(history: readonly bigint[], uuid: bigint): boolean {
  return known(history).some((old) => uuidEq(old, uuid));
}

function handshakeChanges(v: CompareView): LogLine[] {
  const { sent } = v;
  const warn = (text: string): LogLine => ({ level: LogLevel.warning, text });
  if (sent === null) {
    return [{ level: LogLevel.info, text: 'Initial UUIDs and state not sent yet. Not verifying' }];
  }
  const log: LogLine[] = [];
  if (!uuidEq(v.resolvedUuid, sent.currentUuid)) log.push(warn('My current UUID changed during handshake.'));
  if (v.own.peers[v.peerNodeId].bitmapUuid !== sent.bitmapUuid) {
    log.push(warn('My bitmap UUID changed during handshake.'));
  }
  if (((v.localFlags ^ sent.flags) & ~(UuidFlag.inconsistent | UuidFlag.unused | UuidFlag.vouched | 31 << WITNESS_SHIFT)) !== 0) {
    const hex = (flags: number): string => flags.toString(16).toUpperCase();
    log.push(warn(`My uuid_flags changed from 0x${hex(sent.flags)} to 0x${hex(v.localFlags)} during handshake.`));
  }
  return log;
}

interface Found {
  readonly facts: CompareFacts;
  readonly peerOther: number;
  readonly selfOther: number;
  readonly log: readonly LogLine[];
}

function factsOf(v: CompareView): Found {
  const S = generation(v.resolvedUuid);
  const P = generation(v.peer.currentUuid);
  const bmS = v.own.peers[v.peerNodeId].bitmapUuid;
  const bmP = v.peer.bitmapUuids[v.nodeId];
  const usable = (uuid: bigint): boolean => uuid !== 0n && uuid !== uuidUnknown;
  const peerOther = findBitmapUuid(v.peer.bitmapUuids, S, -1);
  const selfOther = findBitmapUuid(v.own.peers.map((slot, n) => (v.told.includes(n) ? slot.bitmapUuid : 0n)), P, v.nodeId);
  const log = handshakeChanges(v);
  const has = (flags: number, flag: number): boolean => (flags & flag) !== 0;
  const ownHistory = known(v.own.historyUuids);
  const facts: CompareFacts = {
    changed: v.connecting && v.sent !== null && log.length > 0,
    selfJustCreated: S === uuidJustCreated,
    peerJustCreated: P === uuidJustCreated,
    equal: S === P,
    sourceMissedEnd: v.missedEnd === 'source',
    peerMissedEnd: v.missedEnd === 'peer',
    since120: v.agreedVersion >= 120,
    asynchronous: v.agreedVersion >= 121 && v.wireProtocol !== 'C',
    selfReconnect: has(v.localFlags, UuidFlag.reconnect),
    peerReconnect: has(v.peer.flags, UuidFlag.reconnect),
    selfCrashed: has(v.localFlags, UuidFlag.crashedPrimary),
    peerCrashed: has(v.peer.flags, UuidFlag.crashedPrimary),
    selfLostQuorum: has(v.localFlags, UuidFlag.primaryLostQuorum),
    peerLostQuorum: has(v.peer.flags, UuidFlag.primaryLostQuorum),
    resolveConflicts: v.resolveConflicts,
    bitmapPeer: usable(bmP) && uuidEq(bmP, S),
    bitmapPeerOther: peerOther >= 0,
    bitmapSelf: bmS !== 0n && uuidEq(bmS, P),
    bitmapSelfOther: selfOther >= 0,
    historyPeer: inHistory(v.peer.historyUuids, S),
    historySelf: inHistory(v.own.historyUuids, P),
    bitmapBoth: usable(bmP) && bmS !== 0n && uuidEq(bmS, bmP),
    historyBoth: ownHistory.some((uuid) => inHistory(v.peer.historyUuids, uuid)),
  };
  return { facts, peerOther, selfOther, log };
}

export function uuidCompare(view: CompareView): Comparison {
  const { facts, peerOther, selfOther, log } = factsOf(view);
  const row = compareRows.find((candidate) => matches(candidate, facts));
  assert(row !== undefined, 'the comparison table has no row for this');
  const peerNodeId = row.nr === 21 ? peerOther : row.nr === 23 ? selfOther : -1;
  return { row, strategy: row.strategy, rule: row.rule, peerNodeId, log };
}
