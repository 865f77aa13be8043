// SPDX-License-Identifier: GPL-2.0-or-later
/** UUIDs when a resync starts and ends, and resyncs whose end somebody missed. @spec uuid.md 1.11, 1.12, 7.9 */
import { LogLevel } from '../host/log.ts';
import { Cstate, Disk, PeerFlag, Repl, UuidFlag } from './states.ts';
import { knows } from './uuid-diskless.ts';
import { UuidDraft, dagtagNewer, nodeBit, resolvedUuid, rotate, withRole } from './uuid-ops.ts';
import { nodeIds, uuidEq, uuidJustCreated, uuidPrimaryBit, uuidText, uuidUnknown } from './uuid-types.ts';
import type { DeviceContext, DeviceUuids, LogLine, PeerContext } from './uuid-types.ts';
import type { Random64 } from './uuid-generation.ts';
import type { NodeMask } from './types.ts';

/** Rows 9 and 10: this node becomes target of `source` (also when it starts paused). Current stays the old one. */
export function resyncStartsAsTarget(device: DeviceContext, source: PeerContext, random: Random64):
{ readonly uuids: DeviceUuids; readonly rsStartUuid: bigint; readonly log: readonly LogLine[] } {
  const draft = new UuidDraft(device.uuids, device.nodeId);
  const log: LogLine[] = [];
  const base = source.uuids.bitmapUuids[device.nodeId];
  if (draft.current === uuidJustCreated && base !== 0n && base !== uuidUnknown) {
    draft.current = withRole(base, device.role);
    log.push({ level: LogLevel.info, text: `setting UUIDs to ${uuidsText(draft.done(), source.nodeId)}` });
  }
  const rsStartUuid = draft.current;
  rotate(draft, device, 0n, device.dagtag, random);
  return { uuids: draft.done(), rsStartUuid, log };
}

/**
 * Its data are given up for those of `source`, by a split-brain policy or --discard-my-data: the source does not know the own
 * generation as one of its past. If the resync is interrupted, what is left here must not count as newer, or as split again.
 * null: it is a usual target. docs/differences.md
 */
export function dataGivenUp(device: DeviceContext, source: PeerContext): DeviceUuids | null {
  const { currentUuid } = device.uuids;
  if (currentUuid === 0n || currentUuid === uuidJustCreated || knows(source, currentUuid)) return null;
  return { ...device.uuids, currentUuid: withRole(source.uuids.currentUuid, device.role) };
}

export interface ResyncFinished {
  readonly uuids: DeviceUuids;
  /** Peers whose data are older now: those with a disk ≥ Consistent become Outdated. */
  readonly newer: NodeMask;
  readonly log: LogLine;
}

/** Row 12, drbd_uuid_resync_finished: end of a stable resync without failed blocks, at the target. */
export function resyncFinished(device: DeviceContext, source: PeerContext, rsStartUuid: bigint): ResyncFinished {
  const draft = new UuidDraft(device.uuids, device.nodeId);
  const theirs = source.uuids;
  // First, so that the own former generation is remembered as well if it is an ancestor of the source's.
  draft.current = withRole(theirs.currentUuid, device.role);
  theirs.historyUuids.forEach((uuid) => draft.pushHistory(uuid));
  theirs.bitmapUuids.forEach((uuid) => { if (uuid !== uuidUnknown) draft.pushHistory(uuid); });
  // A Primary that told its source a new generation may be through before the source answers.
  const told = source.overtaken;
  const within = uuidEq(rsStartUuid, told === 0n ? theirs.currentUuid : told);
  // A sync target shows the generation of its source already: if it never gets there it needs its base.
  const same = device.peers.filter((peer) => peer.pdsk >= Disk.inconsistent && peer.pdsk !== Disk.unknown
    && (peer.uuids.flags & UuidFlag.syncTarget) === 0 && uuidEq(peer.uuids.currentUuid, theirs.currentUuid))
    .reduce((mask, peer) => mask | nodeBit(peer.nodeId), 0n);
  // Nor is behind who has a generation that the source does not know: a Primary may have passed the source over.
  const isAhead = (n: number): boolean => {
    const uuid = device.peers.find((peer) => peer.nodeId === n)?.uuids.currentUuid ?? 0n;
    return uuid !== 0n && !knows(source, uuid);
  };
  let newer = 0n;
  for (let n = 0; n < nodeIds; n++) {
    if (n === device.nodeId || !draft.hasBitmap(n)) continue;
    const old = draft.slots[n].bitmapUuid;
    const theirBase = theirs.bitmapUuids[n];
    const behind = theirBase !== 0n && theirBase !== uuidUnknown && (same & nodeBit(n)) === 0n;
    // Within one generation our own base and bits go on to hold.
    const next = !behind ? 0n : !within ? rsStartUuid : old === 0n ? told : old;
    if (old === next) continue;
    draft.setBitmapUuidWithHistory(n, next, device.dagtag);
    if (behind && !isAhead(n)) newer |= nodeBit(n);
  }
  const uuids = draft.done();
  return {
    uuids, newer, log: { level: LogLevel.info, text: `updated UUIDs ${uuidsText(uuids, source.nodeId)}` },
  };
}

/** CURRENT:BITMAP:HISTORY0:HISTORY1 as in the logs. */
export function uuidsText(uuids: DeviceUuids, peerNodeId: number): string {
  return [uuids.currentUuid, uuids.peers[peerNodeId].bitmapUuid, uuids.historyUuids[0], uuids.historyUuids[1]]
    .map(uuidText).join(':');
}

/** What a P_UUIDS110 made necessary beside the new UUIDs; in order. */
export type FinishedAction =
  | { readonly kind: 'log'; readonly line: LogLine }
  /** The bits of one node's slot are added to those of another, and written. */
  | { readonly kind: 'copySlot'; readonly from: number; readonly to: number };

export interface FinishedInput {
  readonly device: DeviceContext;
  readonly peer: PeerContext;
  readonly agreedVersion: number;
  /** Connection state of a configured peer (for detect_copy_ops). */
  readonly cstateOf: (nodeId: number) => Cstate | undefined;
}

export interface Finished {
  readonly uuids: DeviceUuids;
  readonly missedEnd: 'none' | 'source' | 'peer';
  readonly actions: readonly FinishedAction[];
  /** The peer's comm_bitmap_uuid must follow, so that a running handshake is not seen as changed; null: unchanged. */
  readonly commBitmapUuid: ReadonlyMap<number, bigint>;
  /** P_UUIDS110 to the other well-connected peers; 'all': to the sender as well. */
  readonly tell: 'none' | 'others' | 'all';
}

interface Work extends FinishedInput {
  readonly draft: UuidDraft;
  readonly actions: FinishedAction[];
  readonly comm: Map<number, bigint>;
}

const info = (text: string): FinishedAction => ({ kind: 'log', line: { level: LogLevel.info, text } });

/** detect_finished_resyncs, after each P_UUIDS110 with own disk ≥ Inconsistent. @spec uuid.md 1.11 */
export function detectFinishedResyncs(input: FinishedInput): Finished {
  const { device, peer } = input;
  const w: Work = { ...input, draft: new UuidDraft(device.uuids, device.nodeId), actions: [], comm: new Map() };
  const sentFlags = peer.sent?.flags ?? 0;
  const currentEqual = uuidEq(peer.uuids.currentUuid, resolvedUuid(device, peer.nodeId))
    && ((peer.uuids.flags | sentFlags) & UuidFlag.syncTarget) === 0;
  if (peer.repl === Repl.off && currentEqual) {
    const missedEnd = missedEndOf(w);
    return { uuids: w.draft.done(), missedEnd, actions: w.actions, commBitmapUuid: w.comm, tell: 'none' };
  }
  const copied = adoptZeroes(w, currentEqual);
  detectCopies(w);
  const tell = copied ? 'all' : w.draft.changed ? 'others' : 'none';
  return { uuids: w.draft.done(), missedEnd: 'none', actions: w.actions, commBitmapUuid: w.comm, tell };
}

/** Case A: equal generations in the handshake, but one end still has a base for the other. */
function missedEndOf({ device, peer, draft, actions, comm, agreedVersion }: Work): 'none' | 'source' | 'peer' {
  const toPeer = (peer.sent?.bitmapUuid ?? 0n) & ~uuidPrimaryBit;
  const toMe = peer.uuids.bitmapUuids[device.nodeId] & ~uuidPrimaryBit;
  const current = draft.current;
  const dirty = (peer.sent?.dirtyBits ?? 0) !== 0 || peer.uuids.dirtyBits !== 0;
  const keepFlag = dirty || agreedVersion < 124;
  if (toPeer === 0n && toMe !== 0n && !uuidEq(toMe, current)) {
    actions.push(info(dirty ? 'Peer missed end of resync' : 'Peer missed end of resync, 0 to sync'));
    return keepFlag ? 'peer' : 'none';
  }
  if (toPeer !== 0n && !uuidEq(toPeer, current) && toMe === 0n) {
    actions.push(info(dirty ? 'Missed end of resync as sync-source'
      : 'Missed end of resync as sync-source, no bits to sync'));
    if (!dirty) {
      draft.setBitmapUuidWithHistory(peer.nodeId, 0n, 0n);
      comm.set(peer.nodeId, 0n);
    }
    return keepFlag ? 'source' : 'none';
  }
  return 'none';
}

function nodeText({ device }: Work, n: number): string {
  return `${n} (${device.peers.find((peer) => peer.nodeId === n)?.name ?? ''})`;
}

/** Case B: nodes that the peer knows to be in sync with it. True: a slot was copied. */
function adoptZeroes(w: Work, currentEqual: boolean): boolean {
  const { device, peer, draft } = w;
  let copied = false;
  for (let n = 0; n < nodeIds; n++) {
    const slot = draft.slots[n];
    if (n === device.nodeId || (slot.bitmapIndex === -1 && (slot.flags & PeerFlag.nodeExists) === 0)) continue;
    const other = device.peers.find((candidate) => candidate.nodeId === n);
    if (other !== undefined && n !== peer.nodeId && other.repl > Repl.established) continue;
    if (peer.uuids.bitmapUuids[n] !== 0n || slot.bitmapUuid === 0n) continue;
    if (currentEqual) clearFor(w, n);
    else copied = copyFor(w, n) || copied;
  }
  return copied;
}

/** The label is equal, so no base is needed. The bits stay: equal labels are no proof, only acks of the blocks are. */
function clearFor(w: Work, n: number): void {
  const { peer, draft, actions } = w;
  draft.setBitmapUuidWithHistory(n, 0n, 0n);
  actions.push(info(n === peer.nodeId ? `updated UUIDs ${uuidsText(draft.done(), n)}` : `Clearing bitmap UUID for node ${n}`));
}

/** Own node whose base is this generation; one with a bitmap is preferred. -1: none. */
function findSlot(draft: UuidDraft, uuid: bigint, except: number): number {
  let found = -1;
  for (let n = 0; n < nodeIds; n++) {
    if (n === except || draft.slots[n].bitmapUuid === 0n || !uuidEq(draft.slots[n].bitmapUuid, uuid)) continue;
    if (draft.hasBitmap(n)) return n;
    if (found < 0) found = n;
  }
  return found;
}

function copyFor(w: Work, n: number): boolean {
  const { device, peer, draft, actions } = w;
  const from = findSlot(draft, peer.uuids.currentUuid, device.nodeId);
  if (from < 0 || from === n || !dagtagNewer(draft.slots[from].bitmapDagtag, draft.slots[n].bitmapDagtag)) return false;
  if (!draft.hasBitmap(n) || !draft.hasBitmap(from)) {
    actions.push(info(`Node ${n} synced up to node ${from}.`));
    return true;
  }
  actions.push(info(`Node ${nodeText(w, n)} synced up to node ${nodeText(w, from)}. copying bitmap slot `
    + `${draft.slots[from].bitmapIndex} to ${draft.slots[n].bitmapIndex}.`));
  copySlot(w, from, n);
  return true;
}

function copySlot({ device, draft, actions, comm }: Work, from: number, to: number): void {
  const old = draft.slots[to].bitmapUuid;
  const { bitmapUuid, bitmapDagtag } = draft.slots[from];
  draft.setBitmapUuidWithHistory(to, bitmapUuid, bitmapDagtag);
  const other = device.peers.find((peer) => peer.nodeId === to);
  if (other?.sent?.bitmapUuid === old) comm.set(to, bitmapUuid);
  actions.push({ kind: 'copySlot', from, to });
}

/** Case C, detect_copy_ops: two absent nodes that the peer knows to be equal to each other. */
function detectCopies(w: Work): void {
  const { device, peer, draft, cstateOf } = w;
  const absent = (n: number): boolean => n !== device.nodeId && n !== peer.nodeId && draft.hasBitmap(n)
    && cstateOf(n) !== undefined && cstateOf(n) !== Cstate.connected;
  const uuidFor = (n: number): bigint => peer.uuids.bitmapUuids[n] & ~uuidPrimaryBit;
  for (let a = 0; a < nodeIds; a++) {
    const uuid = uuidFor(a);
    if (!absent(a) || uuid === 0n || peer.uuids.bitmapUuids[a] === uuidUnknown) continue;
    for (let b = a + 1; b < nodeIds; b++) {
      if (!absent(b) || uuidFor(b) !== uuid) continue;
      copyBoth(w, a, b, uuid);
      return;
    }
  }
}

function copyBoth(w: Work, a: number, b: number, uuid: bigint): void {
  const { device, draft, actions } = w;
  const from = findSlot(draft, uuid, device.nodeId);
  if (from < 0) {
    if (draft.slots[a].bitmapUuid !== 0n || draft.slots[b].bitmapUuid !== 0n) {
      const line = { level: LogLevel.err, text: `unexpected: no bitmap UUID ${uuidText(uuid)} for node ${a} or ${b}` };
      actions.push({ kind: 'log', line });
    }
    return;
  }
  if (!draft.hasBitmap(from)) return;
  for (const to of [a, b]) {
    // Base 0: lost in our own generation. With an older one no new generation would be made for what it misses.
    const { bitmapUuid } = draft.slots[to];
    if (to !== from && bitmapUuid !== 0n && !uuidEq(bitmapUuid, uuid)) copySlot(w, from, to);
  }
}
