// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * From the comparison to the decision. A decision is a value: the strategy, and in order what has to be logged, called
 * and stored. Steps bear the numbers of uuid.md 3.2. @spec uuid.md 3
 */
import { LogLevel } from '../host/log.ts';
import { Disk, Role, UuidFlag, diskNames } from './states.ts';
import { afterSplitBrain } from './uuid-policies.ts';
import type { AfterSb } from './uuid-policies.ts';
import { uuidCompare } from './uuid-compare.ts';
import type { CompareView, Rule } from './uuid-compare.ts';
import { isDetermined, strategies, strategyToRepl } from './uuid-strategy.ts';
import type { Strategy } from './uuid-strategy.ts';
import { nodeIds, uuidEq, uuidPrimaryBit, uuidText } from './uuid-types.ts';
import type { LogLine } from './uuid-types.ts';

export interface HandshakeView extends CompareView {
  readonly role: Role;
  readonly peerRole: Role;
  /** Own disk as sent (comm_state.disk; Negotiating already replaced by disk_state_from_md). */
  readonly sentDisk: Disk;
  /** The same as the peer takes it: Negotiating replaced by Inconsistent or Consistent. */
  readonly shownDisk: Disk;
  /** Own disk now. */
  readonly disk: Disk;
  /** What users of the device have seen; 0: nothing yet. */
  readonly exposedUuid: bigint;
  /** The peer may lack writes of its generation that were answered. */
  readonly doubted: boolean;
  /** The peer's disk as received (Negotiating already replaced by Inconsistent or Consistent). */
  readonly peerDisk: Disk;
  /** Nobody has read from that disk yet. */
  readonly attaches: boolean;
  readonly peerAttaches: boolean;
  /** Both ends decide about bits of equal generations alike. */
  readonly reconcileBits: boolean;
  /** Bits of the peer's slot now: what is told when nothing has been told yet. */
  readonly ownBits: number;
  /** Self is stable; the peer says so with its STABLE flag. */
  readonly stable: boolean;
  readonly discardMyData: boolean;
  /** Own connect --tentative or the peer's. */
  readonly dryRun: boolean;
  readonly alwaysAsbp: boolean;
  readonly afterSb0p: AfterSb;
  readonly afterSb1p: AfterSb;
  readonly afterSb2p: AfterSb;
  readonly rrConflict: 'disconnect' | 'violently' | 'call-pri-lost' | 'retry-connect' | 'auto-discard';
  readonly allowTwoPrimaries: boolean;
  readonly quorumConfigured: boolean;
  readonly selfHasQuorum: boolean;
  readonly peerHasQuorum: boolean;
  /** The own generation may be withdrawn: nothing was written in it. */
  readonly unused: boolean;
  /** Outcome of a demotion that an earlier decision asked for (`demote`). */
  readonly demoted: 'not-tried' | 'yes' | 'no';
}

/** In order. */
export type HandshakeAction =
  | { readonly kind: 'log'; readonly line: LogLine }
  | { readonly kind: 'helper'; readonly name: 'initial-split-brain' | 'split-brain' | 'pri-lost' | 'pri-lost-after-sb' }
  /** The bitmap UUID of the peer := 0, the old one to the history. */
  | { readonly kind: 'clearBitmapUuid' }
  /** Back to the generation before, if the current one is still unused. */
  | { readonly kind: 'withdraw' };

export interface HandshakeDecision {
  readonly strategy: Strategy;
  readonly rule: Rule;
  /** Whose bitmap source-copy-other-bitmap and target-clear-bitmap mean; -1 otherwise. */
  readonly peerNodeId: number;
  readonly actions: readonly HandshakeAction[];
  /** Not decided yet: become Secondary with this tag, then decide again with `demoted`. */
  readonly demote: 'after-sb-1pri' | 'after-sb-2pri' | null;
  /** Tentative: the connection is to be ended. */
  readonly dryRun: boolean;
}

/** The running decision. */
class Work {
  readonly v: HandshakeView;
  strategy: Strategy;
  rule: Rule;
  peerNodeId: number;
  demote: HandshakeDecision['demote'] = null;
  dryRun = false;
  readonly actions: HandshakeAction[] = [];

  constructor(v: HandshakeView) {
    this.v = v;
    const compared = uuidCompare(v);
    for (const line of handshakeLog(v)) this.actions.push({ kind: 'log', line });
    for (const line of compared.log) this.actions.push({ kind: 'log', line });
    this.strategy = compared.strategy;
    this.rule = compared.rule;
    this.peerNodeId = compared.peerNodeId;
    const name = strategies[this.strategy].name;
    this.log(LogLevel.info, `uuid_compare()=${name} by rule=${this.rule}`);
  }

  log(level: number, text: string): void {
    this.actions.push({ kind: 'log', line: { level, text } });
  }

  helper(name: Extract<HandshakeAction, { kind: 'helper' }>['name']): void {
    this.actions.push({ kind: 'helper', name });
  }

  get kind(): string {
    return strategies[this.strategy].kind;
  }

  done(): HandshakeDecision {
    const { strategy, rule, peerNodeId, actions, demote, dryRun } = this;
    return { strategy, rule, peerNodeId, actions, demote, dryRun };
  }
}

/** @spec uuid.md 3.1 */
function handshakeLog(v: HandshakeView): LogLine[] {
  const line = (text: string): LogLine => ({ level: LogLevel.info, text });
  const four = (a: bigint, b: bigint, history: readonly bigint[]): string =>
    [a, b, history[0], history[1]].map(uuidText).join(':');
  const hex = (flags: number): string => flags.toString(16).toUpperCase();
  const own = four(v.resolvedUuid, v.own.peers[v.peerNodeId].bitmapUuid, v.own.historyUuids);
  const peer = four(v.peer.currentUuid, v.peer.bitmapUuids[v.nodeId], v.peer.historyUuids);
  return [
    line('drbd_sync_handshake:'),
    line(`self ${own} bits:${selfBits(v)} flags:${hex(v.localFlags)}`),
    line(`peer ${peer} bits:${v.peer.dirtyBits} flags:${hex(v.peer.flags)}`),
  ];
}

const selfBits = (v: HandshakeView): number => v.sent?.dirtyBits ?? v.ownBits;
const selfFlags = (v: HandshakeView): number => v.sent?.flags ?? v.localFlags;

/** drbd_sync_handshake. Bitmap changes (step 17) follow from the strategy: uuid-bitmap-mod.ts. */
export function syncHandshake(v: HandshakeView): HandshakeDecision {
  const w = new Work(v);
  const user = userWish(v);
  if (w.strategy === 'unrelated-data') {
    passingSplitBrain(w);
    unusedGeneration(w);
  }
  if (hopeless(w)) return w.done();
  missedFinishWithoutBits(w);
  if (w.strategy === 'retry-connect' || strategies[w.strategy].requiredProtocol > 0) return w.done();
  if (v.reconcileBits) skippedByMissedFinish(w, v.shownDisk);
  diskStates(w);
  if (user === null) {
    survivorOfCrash(w);
    crashedPrimaryWithoutData(w);
  }
  neighbourOfPrimary(w);
  passingSplitBrain(w);
  if (strategies[w.strategy].reconnect) return w.done();
  // Later the counts are those of the connect, and the other end is not asked.
  // Users of two Primaries see the disks of both: neither may become a target, other than at an attach, when nobody has seen it yet.
  if (v.connecting && !bothPrimary(v)) reconcileByBits(w);
  if (user === null) unusedGeneration(w);
  if (strategies[w.strategy].reconnect) return w.done();
  if (w.kind === 'split-brain' && !resolveSplitBrain(w, user)) return w.done();
  if (!isDetermined(w.strategy)) {
    w.log(LogLevel.alert, 'Failed to fully determine sync strategy, dropping connection!');
    return w.done();
  }
  reverseByUser(w, user);
  targetWhilePrimary(w, '');
  if (strategies[w.strategy].disconnect || strategies[w.strategy].reconnect) return w.done();
  sourceByCrashAgainstPrimary(w);
  if (!v.reconcileBits) skippedByMissedFinish(w, v.sentDisk);
  if (v.dryRun) dryRun(w);
  return w.done();
}

/** drbd_attach_handshake: a disk attached on either end while connected. @spec uuid.md 3.8 */
export function attachHandshake(v: HandshakeView): HandshakeDecision {
  const w = new Work(v);
  // The other end judges by what it was told, and would not decide alike.
  if (v.reconcileBits && v.sent !== null && !uuidEq(v.resolvedUuid, v.sent.currentUuid)) {
    w.strategy = 'retry-connect';
    return w.done();
  }
  if (!isDetermined(w.strategy)) {
    w.log(LogLevel.err, `No attach while connected to this peer: ${strategies[w.strategy].name}`);
    return w.done();
  }
  diskStates(w);
  crashedPrimaryWithoutData(w);
  neighbourOfPrimary(w);
  reconcileByBits(w);
  targetWhilePrimary(w, ' during attach');
  return w.done();
}

/** Step 1. Both having it is refused in P_PROTOCOL. */
function userWish(v: HandshakeView): Strategy | null {
  const peerDiscards = (v.peer.flags & UuidFlag.discardMyData) !== 0;
  if (v.discardMyData && !peerDiscards) return 'target-use-bitmap';
  return peerDiscards && !v.discardMyData ? 'source-use-bitmap' : null;
}

/** Step 3. */
function hopeless(w: Work): boolean {
  if (w.strategy === 'retry-connect') return true;
  if (w.strategy !== 'unrelated-data') return false;
  w.log(LogLevel.alert, 'Unrelated data, aborting!');
  return true;
}

/** Step 4: below 124 a missed end without bits cannot be corrected on one end only. */
function missedFinishWithoutBits(w: Work): void {
  const { v } = w;
  if (v.agreedVersion >= 124 || selfBits(v) !== 0 || v.peer.dirtyBits !== 0) return;
  if (w.strategy === 'source-use-bitmap' && w.rule === 'sync-source-missed-finish') w.strategy = 'retry-connect';
  const target = w.strategy === 'target-use-bitmap' && w.rule === 'sync-target-peer-missed-finish';
  if (target && v.role === Role.primary) {
    w.strategy = 'requires-proto-124';
    w.log(LogLevel.alert, 'To resolve this both sides have to support at least protocol 124');
  }
}

const arbitraryRules: ReadonlySet<Rule> = new Set<Rule>(['reconnected', 'lost-quorum', 'both-off']);
/** None of them says that one has what was acknowledged, and the other has not; no-sync by these may leave bits. */
const equalRules: ReadonlySet<Rule> = new Set<Rule>([...arbitraryRules, 'sync-source-missed-finish', 'sync-target-peer-missed-finish']);

/**
 * A crashed Primary has the newest data, but not when it read them from a peer: genuine DRBD would never get on. One that is
 * still Primary shows its users data which this peer may not have.
 */
function crashedInconsistent({ v, rule, kind }: Work): boolean {
  return v.reconcileBits && rule === 'crashed-primary' && (kind === 'source' ? v.role : v.peerRole) === Role.secondary;
}

/**
 * It has been told that others have newer data, or lacks what it wrote to this peer while it was detached. As a source it
 * would leave nobody UpToDate.
 */
function crashedOutdated({ v, rule, kind }: Work): boolean {
  const [source, target] = kind === 'source' ? [v.shownDisk, v.peerDisk] : [v.peerDisk, v.shownDisk];
  return v.reconcileBits && rule === 'crashed-primary' && source === Disk.outdated && target === Disk.upToDate;
}

/**
 * Such a Primary is no source before it has the data itself: the peer, maybe the last good disk, would be Inconsistent as well.
 * They meet when the Primary has got them from a third node, or is none any more.
 */
function crashedPrimaryWithoutData(w: Work): void {
  const { v } = w;
  if (!v.reconcileBits || w.rule !== 'crashed-primary' || !(w.kind === 'source' || w.kind === 'target')) return;
  const [role, source, target] = w.kind === 'source' ? [v.role, v.shownDisk, v.peerDisk] : [v.peerRole, v.peerDisk, v.shownDisk];
  if (role !== Role.primary || source !== Disk.inconsistent || target <= Disk.inconsistent || target === Disk.unknown) return;
  w.strategy = 'retry-connect';
  w.log(LogLevel.warning, 'The source would be a crashed Primary that is Inconsistent itself');
}

/**
 * Protocol B: what a crashed Primary has more than its peers nobody was answered for, and what they have received it may have
 * lost, if it was not flushed. So who has been up since is the source. docs/differences.md
 */
function survivorOfCrash(w: Work): void {
  const { v } = w;
  if (!v.connecting || !v.reconcileBits || w.rule !== 'crashed-primary' || v.wireProtocol !== 'B') return;
  if (v.role === Role.primary || v.peerRole === Role.primary) return;
  const selfCrashed = (selfFlags(v) & UuidFlag.crashedPrimary) !== 0;
  const [crashed, survivor] = selfCrashed ? [selfFlags(v), v.peer.flags] : [v.peer.flags, selfFlags(v)];
  const disk = selfCrashed ? v.peerDisk : v.shownDisk;
  if (remembers(survivor) === 0 || neighbour(survivor) < neighbour(crashed)) return;
  if (disk !== Disk.consistent && disk !== Disk.upToDate) return;
  w.strategy = selfCrashed ? 'target-use-bitmap' : 'source-use-bitmap';
  w.log(LogLevel.info, `strategy = ${strategies[w.strategy].name}, for ${selfCrashed ? 'the peer' : 'this node'} has been up since`);
}

const oneInconsistent = (mine: Disk, other: Disk): boolean => (mine === Disk.inconsistent && other > Disk.inconsistent)
  || (other === Disk.inconsistent && mine > Disk.inconsistent);

/** Step 5, disk_states_to_strategy. @spec uuid.md 3.3 */
function diskStates(w: Work): void {
  const { v } = w;
  // Genuine ends may disagree about a disk that attaches.
  const mine = v.reconcileBits ? v.shownDisk : v.sentDisk;
  const other = v.peerDisk;
  const eitherInconsistent = oneInconsistent(mine, other);
  const arbitrary = arbitraryRules.has(w.rule)
    && (w.strategy === 'source-if-both-failed' || w.strategy === 'target-if-both-failed');
  const since119 = mine !== other && mine >= Disk.inconsistent && other >= Disk.inconsistent && other !== Disk.unknown
    && (arbitrary || crashedOutdated(w) || ((w.strategy === 'no-sync' || crashedInconsistent(w)) && eitherInconsistent));
  const before119 = (w.rule === 'both-off' || w.strategy === 'no-sync') && eitherInconsistent;
  if (!(v.agreedVersion >= 119 ? since119 : before119)) return;
  const source = v.agreedVersion >= 119 ? mine > other : mine > Disk.inconsistent;
  if (source) asSourceByDisk(w);
  else asTargetByDisk(w);
  w.log(LogLevel.info,
    `strategy = ${strategies[w.strategy].name} due to disk states. (${diskNames[mine]}/${diskNames[other]})`);
}

/**
 * Equal generations, and one of the two gets what a Primary writes: that one is no target of the other, who may have crashed
 * with more, or have missed the end of a resync. Else the Primary would have a neighbour with other data. docs/differences.md
 */
function neighbourOfPrimary(w: Work): void {
  const { v } = w;
  if (!v.reconcileBits || !equalRules.has(w.rule) || !(w.kind === 'source' || w.kind === 'target')) return;
  if (v.shownDisk !== Disk.upToDate || v.peerDisk !== Disk.upToDate || v.role === Role.primary || v.peerRole === Role.primary) return;
  const ahead = neighbour(selfFlags(v)) - neighbour(v.peer.flags);
  if (ahead === 0) return;
  w.strategy = ahead > 0 ? 'source-use-bitmap' : 'target-use-bitmap';
  w.log(LogLevel.info, `strategy = ${strategies[w.strategy].name}, for ${ahead > 0 ? 'this node' : 'the peer'} sees a Primary`);
}

/** Who sees a Primary is not stable. */
const neighbour = (flags: number): number => Number((flags & UuidFlag.stable) === 0);

/** It has been up since it lost the other: what it acknowledged is there. The other may have lost what it had not flushed. */
const remembers = (flags: number): number => Number((flags & UuidFlag.reconnect) !== 0);

/** Which bitmap describes what a peer needs that presents another node's generation. */
function asSourceByDisk(w: Work): void {
  const { v } = w;
  w.strategy = 'source-use-bitmap';
  if ((v.peer.flags & UuidFlag.syncTarget) === 0) return;
  const base = v.peer.bitmapUuids[v.nodeId];
  if (base === v.peer.currentUuid && base === v.own.currentUuid) return;
  let found = -1;
  for (let n = 0; n < nodeIds && base !== 0n && found < 0; n++) {
    if (n !== v.nodeId && (v.own.peers[n].bitmapUuid & ~uuidPrimaryBit) === base) found = n;
  }
  if (found < 0) w.strategy = 'source-set-bitmap';
  else if (found !== v.peerNodeId) {
    w.strategy = 'source-copy-other-bitmap';
    w.peerNodeId = found;
  }
}

function asTargetByDisk(w: Work): void {
  const { v } = w;
  w.strategy = 'target-use-bitmap';
  if (((v.sent?.flags ?? 0) & UuidFlag.syncTarget) === 0) return;
  const base = v.own.peers[v.peerNodeId].bitmapUuid;
  if (base === v.peer.currentUuid && base === v.own.currentUuid) return;
  const found = v.peer.bitmapUuids.findIndex((uuid) => (uuid & ~uuidPrimaryBit) === base);
  if (found < 0) w.strategy = 'target-set-bitmap';
  else if (found !== v.nodeId) {
    w.strategy = 'target-clear-bitmap';
    w.peerNodeId = found;
  }
}

/**
 * Step 6. And what two targets of third nodes have is thrown away anyway: neither may win. A target shows the generation of
 * its source before it has that one's history: who cannot place it asks again until it has. docs/differences.md
 */
function passingSplitBrain(w: Work): void {
  const { v } = w;
  if (w.kind !== 'split-brain' && w.strategy !== 'unrelated-data') return;
  const unstable = !v.stable || (v.peer.flags & UuidFlag.stable) === 0;
  const bothInconsistent = v.sentDisk === Disk.inconsistent && v.peerDisk === Disk.inconsistent;
  const target = ((selfFlags(v) | v.peer.flags) & UuidFlag.syncTarget) !== 0;
  const ignore = (strategy: Strategy, why: string): void => {
    w.log(LogLevel.warning, `Ignore Split-Brain, for now, ${why}`);
    w.strategy = strategy;
  };
  if (v.reconcileBits && bothInconsistent && (target || w.kind === 'split-brain')) ignore('no-sync', 'both sides inconsistent');
  else if (v.reconcileBits && target) ignore('retry-connect', 'one side is a sync target');
  else if (unstable && w.strategy === 'split-brain-auto-recover') ignore('no-sync', 'at least one side unstable');
}

const bothPrimary = (v: HandshakeView): boolean => v.role === Role.primary && v.peerRole === Role.primary;
const shareWriting = (v: HandshakeView): boolean => v.allowTwoPrimaries && bothPrimary(v);
/** What was under way as two Primaries lost each other was answered on one of them only: in the generation before. */
const wroteApart = (v: HandshakeView): boolean => shareWriting(v) && selfBits(v) + v.peer.dirtyBits > 0;

/**
 * A generation in which nothing was written splits nobody: who is in it goes back to the one before, and both meet again.
 * docs/differences.md
 */
function unusedGeneration(w: Work): void {
  const { v } = w;
  // Nor does it make one of two Primaries the target of the other.
  const resync = v.connecting && shareWriting(v) && (w.kind === 'source' || w.kind === 'target');
  if (w.kind !== 'split-brain' && w.strategy !== 'unrelated-data' && !resync) return;
  const peer = (v.peer.flags & UuidFlag.unused) !== 0;
  if ((!v.unused && !peer) || wroteApart(v)) return;
  if (v.unused) w.actions.push({ kind: 'withdraw' });
  w.log(LogLevel.warning, `Ignore ${resync ? 'resync' : 'Split-Brain'}, for now, nothing was written in ${v.unused ? 'the own generation' : 'that of the peer'}`);
  w.strategy = 'retry-connect';
}

/**
 * Equal generations with bits: genuine DRBD clears them unseen (hazards Z-01, Z-11). Both ends know both counts, so they
 * decide alike: the Primary's data, the better disk's, those of a Primary's neighbour, of who has been up, of whom has bits for the other.
 */
function reconcileByBits(w: Work): void {
  const { v } = w;
  if (!v.reconcileBits || w.strategy !== 'no-sync' || !equalRules.has(w.rule)) return;
  const settled = (disk: Disk): boolean => disk === Disk.outdated || disk === Disk.consistent || disk === Disk.upToDate;
  if (!settled(v.shownDisk) || !settled(v.peerDisk)) return;
  const own = selfBits(v);
  const theirs = v.peer.dirtyBits;
  if (own === 0 && theirs === 0) return;
  // Its disk may be no more than Consistent: who is to be fenced may have gone on, but then in another generation.
  const primary = (role: Role, disk: Disk, attaches: boolean): number =>
    Number(role === Role.primary && disk >= Disk.consistent && !attaches);
  const ahead = primary(v.role, v.shownDisk, v.attaches) - primary(v.peerRole, v.peerDisk, v.peerAttaches)
    || upAllTheWhile(v)
    || v.shownDisk - v.peerDisk
    || neighbour(selfFlags(v)) - neighbour(v.peer.flags)
    || remembers(selfFlags(v)) - remembers(v.peer.flags)
    || Number(own > 0) - Number(theirs > 0)
    || v.peerNodeId - v.nodeId;
  w.strategy = ahead > 0 ? 'source-use-bitmap' : 'target-use-bitmap';
  w.log(LogLevel.info, `strategy = ${strategies[w.strategy].name} to reconcile equal-UUID peers holding out-of-sync bits`);
}

/**
 * Who met the other before and has been up since has all that was acknowledged while both were there; who comes back may have
 * lost it with its power, and is UpToDate by its own meta-data alone, which the other, having just lost a Primary, is not.
 */
function upAllTheWhile(v: HandshakeView): number {
  const both = selfFlags(v) & v.peer.flags;
  const good = v.connecting && v.shownDisk !== Disk.outdated && v.peerDisk !== Disk.outdated;
  return good && (both & UuidFlag.stable) !== 0 ? remembers(selfFlags(v)) - remembers(v.peer.flags) : 0;
}

/** Steps 7 to 10. False: undecided or unresolved, the decision ends here. */
function resolveSplitBrain(w: Work, user: Strategy | null): boolean {
  if (w.v.demoted === 'not-tried') w.helper('initial-split-brain');
  const full = w.strategy === 'split-brain-disconnect';
  if (!full || w.v.alwaysAsbp) automaticRecovery(w, full);
  if (w.demote !== null) return false;
  if (w.strategy === 'split-brain-disconnect' && user !== null) {
    w.strategy = (full ? strategies[user].fullSync : null) ?? user;
    const from = strategies[user].kind === 'target' ? 'peer' : 'this';
    w.log(LogLevel.warning, 'Split-Brain detected, manually solved. '
      + `${full ? 'Full sync' : 'Sync'} from ${from} node`);
  }
  if (w.kind !== 'split-brain') return true;
  w.log(LogLevel.alert, 'Split-Brain detected but unresolved, dropping connection!');
  w.helper('split-brain');
  return false;
}

/** @spec uuid.md 3.4 */
function automaticRecovery(w: Work, full: boolean): void {
  const { v } = w;
  // A demotion that the policy asked for does not make it another policy.
  const selfPrimary = v.role === Role.primary || v.demoted === 'yes';
  const primaries = Number(selfPrimary) + Number(v.peerRole === Role.primary);
  let verdict: 'S' | 'T' | null = null;
  if (v.quorumConfigured && v.selfHasQuorum !== v.peerHasQuorum) {
    verdict = v.selfHasQuorum ? 'S' : 'T';
  } else {
    const result = afterSplitBrain({
      ...v, selfPrimary, peerPrimary: v.peerRole === Role.primary,
      selfWasPrimary: (v.own.peers[v.peerNodeId].bitmapUuid & uuidPrimaryBit) !== 0n,
      peerWasPrimary: (v.peer.bitmapUuids[v.nodeId] & uuidPrimaryBit) !== 0n,
      selfChanges: selfBits(v), peerChanges: v.peer.dirtyBits,
    });
    for (const line of result.log) w.actions.push({ kind: 'log', line });
    for (const name of result.helpers) w.helper(name as 'pri-lost-after-sb');
    w.demote = result.demote;
    verdict = result.verdict;
  }
  if (w.demote !== null) return;
  w.strategy = verdict === 'S' ? 'source-use-bitmap' : verdict === 'T' ? 'target-use-bitmap' : 'split-brain-disconnect';
  if (verdict === null) return;
  w.log(LogLevel.warning, `Split-Brain detected, ${primaries} primaries, automatically solved. `
    + `Sync from ${verdict === 'T' ? 'peer' : 'this'} node`);
  if (!full) return;
  w.log(LogLevel.warning, 'Doing a full sync, since UUIDs where ambiguous.');
  w.strategy = strategies[w.strategy].fullSync ?? 'split-brain-disconnect';
}

/** Step 12. */
function reverseByUser(w: Work, user: Strategy | null): void {
  const { v } = w;
  if (v.agreedVersion < 121 || user === null || w.strategy === 'no-sync' || w.kind === strategies[user].kind) return;
  const { reverse } = strategies[w.strategy];
  if (reverse === null) {
    w.log(LogLevel.warning, 'Can not reverse resync direction (requested via --discard-my-data)');
    return;
  }
  const sourceDisk = strategies[reverse].kind === 'source' ? v.sentDisk : v.peerDisk;
  if (sourceDisk <= Disk.inconsistent) {
    w.log(LogLevel.warning, 'Ignoring --discard-my-data');
    return;
  }
  w.log(LogLevel.warning, 'Resync direction reversed by --discard-my-data. Reverting to older data!');
  w.strategy = reverse;
}

/**
 * A Primary without good data of its own shows those of a peer. These must be what its users have seen, as for one without a
 * disk: it may have written more, and who has that is away. Genuine DRBD asks so of diskless ones only.
 */
function wouldShowOther(w: Work): boolean {
  const { v } = w;
  const shows = w.kind === 'target' || (w.kind === 'no-sync' && v.peerDisk > Disk.inconsistent);
  return shows && v.role === Role.primary && v.disk < Disk.consistent && v.exposedUuid !== 0n
    && (v.doubted || !uuidEq(v.exposedUuid, v.peer.currentUuid));
}

/** Step 13. @spec uuid.md 3.6 */
function targetWhilePrimary(w: Work, during: string): void {
  const { v } = w;
  const attachesItself = during !== '' && v.disk < Disk.inconsistent;
  if (!attachesItself && v.rrConflict !== 'violently' && wouldShowOther(w)) {
    w.log(LogLevel.err, `I shall become SyncTarget${during}, but I am primary!`);
    w.strategy = 'sync-target-primary-reconnect';
    return;
  }
  if (w.kind !== 'target' || w.strategy === 'target-if-both-failed' || v.role !== Role.primary
    || v.disk < Disk.consistent || (selfBits(v) === 0 && v.peer.dirtyBits === 0)) return;
  const refuse = (strategy: Strategy): void => {
    w.log(LogLevel.err, `I shall become SyncTarget${during}, but I am primary!`);
    w.strategy = strategy;
  };
  switch (v.rrConflict) {
    case 'call-pri-lost':
      w.helper('pri-lost');
      refuse('sync-target-primary-disconnect');
      break;
    case 'disconnect': refuse('sync-target-primary-disconnect'); break;
    case 'retry-connect': refuse('sync-target-primary-reconnect'); break;
    case 'violently':
      w.log(LogLevel.warning, `Becoming SyncTarget${during}, violating the stable-dataassumption`);
      break;
    case 'auto-discard':
      if (w.strategy === 'target-use-bitmap' && w.rule === 'crashed-primary' && during === '') {
        w.log(LogLevel.warning, 'reversing resync by auto-discard');
        w.strategy = 'source-use-bitmap';
      }
      break;
  }
}

/** Step 14: the mirror of auto-discard at the peer. */
function sourceByCrashAgainstPrimary(w: Work): void {
  const { v } = w;
  if (w.strategy !== 'source-use-bitmap' || w.rule !== 'crashed-primary' || v.peerRole !== Role.primary
    || v.peerDisk < Disk.consistent || v.rrConflict !== 'auto-discard') return;
  w.log(LogLevel.warning, 'reversing resync by auto-discard');
  w.strategy = 'target-use-bitmap';
}

/**
 * Step 15: who is not UpToDate is no source because an end was missed. In genuine DRBD that is the last word, and the bits are
 * cleared unseen (hazards Z-02); else the disk states and the bits decide.
 */
function skippedByMissedFinish(w: Work, disk: Disk): void {
  const { v } = w;
  if (w.rule !== 'sync-source-missed-finish' && w.rule !== 'sync-target-peer-missed-finish') return;
  if (w.strategy === 'source-use-bitmap' && disk !== Disk.upToDate) {
    w.log(LogLevel.info, `Resync (rule=${w.rule}) skipped: sync-source (${diskNames[disk]})`);
    w.strategy = 'no-sync';
  } else if (w.strategy === 'target-use-bitmap' && v.peerDisk !== Disk.upToDate) {
    w.actions.push({ kind: 'clearBitmapUuid' });
    w.log(LogLevel.info, `Resync (rule=${w.rule}) skipped: peer sync-source (${diskNames[v.peerDisk]})`);
    w.strategy = 'no-sync';
  }
}

/** Step 16: the connection is ended after it. */
function dryRun(w: Work): void {
  w.dryRun = true;
  const { name, kind } = strategies[w.strategy];
  w.log(LogLevel.info, kind === 'no-sync' ? 'dry-run connect: No resync, would become Connected immediately.'
    : `dry-run connect: Would become ${kind === 'target' ? 'SyncTarget' : 'SyncSource'}, doing a ${name} resync.`);
}

export interface ResyncDecision extends HandshakeDecision {
  /** null: nothing to do; the log says why. */
  readonly repl: number | null;
}

/** While connected the peer decides by what it was told, which may be long ago: what has changed since does not count here either. */
function asTold(v: HandshakeView): HandshakeView {
  const { sent, own, peerNodeId } = v;
  if (sent === null) return v;
  const slot = { ...own.peers[peerNodeId], bitmapUuid: sent.bitmapUuid };
  return { ...v, localFlags: sent.flags, resolvedUuid: sent.currentUuid, own: { ...own, peers: own.peers.with(peerNodeId, slot) } };
}

/** drbd_resync: the comparison while connected. What follows is in uuid.md 3.9 (steps 4 to 6). */
export function resyncDecision(now: HandshakeView, reason: 'after-unstable' | 'diskless-primary'): ResyncDecision {
  const v = asTold(now);
  const w = new Work(v);
  if (reason === 'after-unstable' && w.strategy === 'no-sync') w.actions.length = 0;
  if (reason === 'after-unstable' && w.strategy === 'split-brain-auto-recover') {
    if (v.peerDisk === Disk.upToDate && v.disk <= Disk.upToDate) w.strategy = 'target-use-bitmap';
    else if (v.disk === Disk.upToDate) w.strategy = 'source-use-bitmap';
  }
  if (!isDetermined(w.strategy)) {
    w.log(LogLevel.info, `Unexpected result of handshake() ${strategies[w.strategy].name}!`);
    return { ...w.done(), repl: null };
  }
  if (reason === 'diskless-primary' || withoutData(w)) diskStates(w);
  return { ...w.done(), repl: strategyToRepl(w.strategy, v.role, v.peerRole) };
}

/** Equal generations: genuine DRBD would make a disk without data the source of one that has them, maybe the last. */
function withoutData({ v, kind }: Work): boolean {
  return v.reconcileBits && (kind === 'source' || kind === 'target') && oneInconsistent(v.shownDisk, v.peerDisk);
}

/** drbd_try_to_get_resynced: the best of several UpToDate peers, or null. @spec uuid.md 3.10 */
export function bestResync(views: readonly HandshakeView[]): HandshakeDecision & { readonly from: number } | null {
  let best: (HandshakeDecision & { readonly from: number }) | null = null;
  let preference = 0;
  for (const v of views) {
    const w = new Work(v);
    diskStates(w);
    w.log(LogLevel.info, `strategy = ${strategies[w.strategy].name}`);
    if (strategies[w.strategy].preference > preference) {
      preference = strategies[w.strategy].preference;
      best = { ...w.done(), from: v.peerNodeId };
    }
  }
  return best;
}
