// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * From the UUIDs of two nodes to a decision, with everything that it does on the way: log lines, helpers, giving up the
 * Primary role, bitmap slots. The peer's packets wait meanwhile. @spec uuid.md 3
 */
import { AFTER_SB } from '../genl/enums.ts';
import type { LogLevel } from '../host/log.ts';
import { diskStateFromMd } from '../state/facts.ts';
import type { Change } from '../state/events.ts';
import type { Decision } from '../state/receive-state.ts';
import { Ss } from '../state/ss.ts';
import { unpackState } from '../state/state-word.ts';
import { Cs, Cstate, Disk, Role } from '../state/states.ts';
import { clearBitmapUuid } from '../state/uuid-generation.ts';
import { attachHandshake, syncHandshake } from '../state/uuid-handshake.ts';
import type { HandshakeAction, HandshakeDecision, HandshakeView } from '../state/uuid-handshake.ts';
import { toldNodes } from '../state/uuid-message.ts';
import { isStable, localUuidFlags, resolvedUuid } from '../state/uuid-ops.ts';
import type { AfterSb } from '../state/uuid-policies.ts';
import { isDetermined, strategies, strategyToRepl } from '../state/uuid-strategy.ts';
import { freshPeerUuids } from '../state/uuid-types.ts';
import { withdrawn } from '../state/uuid-unused.ts';
import { deviceIndex } from '../state/view.ts';
import { until } from './admin/steps.ts';
import type { Steps } from './admin/steps.ts';
import { modifyBitmap } from './bitmap-mod.ts';
import type { PeerDevice } from './peer-device.ts';
import type { Resource } from './resource.ts';
import { reconcilesBits } from './send.ts';
import { withdrawUnused } from './unused.ts';
import { applyUuids, deviceContext, localFlags } from './uuids.ts';
import { isDoubted } from './witnesses.ts';

const PROTOCOLS = ['A', 'A', 'B', 'C'] as const;

/** What the peer's P_STATE says, as far as the rules ask. */
export interface PeerSays {
  readonly role: Role;
  /** With Negotiating replaced by what its flags say. */
  readonly disk: Disk;
  readonly quorum: boolean;
  /** It said Negotiating. */
  readonly attaches: boolean;
}

export function peerSays(word: number, disk: Disk): PeerSays {
  const { role, quorum, disk: told } = unpackState(word);
  return { role, disk, quorum, attaches: told === Disk.negotiating };
}

/** As two that are connected compare their generations: by what the peer has told since. */
export function connectedView(pd: PeerDevice): HandshakeView {
  const { device: { resource, vnr }, connection: { nodeId } } = pd;
  const { pdsk, peerQuorate } = resource.peerDeviceRow(vnr, nodeId);
  const { peerRole } = resource.connectionRow(nodeId);
  return handshakeView(pd, { role: peerRole, disk: pdsk, quorum: peerQuorate, attaches: false }, 'not-tried');
}

/** The decision of a connect, or of an attach on either end; undecidable things are already done when it is there. */
export function* decide(pd: PeerDevice, peer: PeerSays, kind: 'handshake' | 'attach'): Steps<Decision> {
  const judge = kind === 'attach' ? attachHandshake : syncHandshake;
  let decision = judge(handshakeView(pd, peer, 'not-tried'));
  yield* act(pd, decision.actions);
  if (decision.demote !== null) {
    const demoted = demote(pd.device.resource, decision.demote) ? 'yes' : 'no';
    decision = judge(handshakeView(pd, peer, demoted));
    yield* act(pd, decision.actions);
  }
  if (decision.dryRun) return { how: 'drop' };
  const done = yield* modifyBitmap(pd, decision.strategy, decision.peerNodeId);
  const outcome = done ? ending(decision) : 'retry';
  if (outcome === null) {
    return { repl: strategyToRepl(decision.strategy, pd.device.resource.view.resource.role, peer.role) };
  }
  if (outcome === 'retry') maybeForceSecondary(pd);
  return { how: outcome };
}

function ending({ strategy }: HandshakeDecision): 'disconnect' | 'retry' | null {
  const { reconnect, disconnect } = strategies[strategy];
  if (reconnect) return 'retry';
  return disconnect || !isDetermined(strategy) ? 'disconnect' : null;
}

/** Everything that the comparison looks at, as it is now. */
export function handshakeView(pd: PeerDevice, peer: PeerSays, demoted: HandshakeView['demoted']): HandshakeView {
  const { device, connection } = pd;
  const { resource, vnr } = device;
  const { view } = resource;
  const context = deviceContext(device);
  const row = resource.connectionRow(connection.nodeId);
  const deviceRow = resource.deviceRow(vnr);
  const { netConf } = connection;
  const policy = (n: number): AfterSb => (AFTER_SB[n] ?? 'disconnect') as AfterSb;
  const fromMd = diskStateFromMd(view, view, deviceIndex(view, vnr));
  return {
    nodeId: resource.nodeId, peerNodeId: connection.nodeId, agreedVersion: row.agreedVersion,
    wireProtocol: PROTOCOLS[netConf.wireProtocol] ?? 'C',
    resolveConflicts: connection.conn.link?.resolveConflicts ?? false, connecting: row.cstate === Cstate.connecting,
    own: context.uuids, told: toldNodes(context, connection.nodeId), resolvedUuid: resolvedUuid(context, connection.nodeId),
    localFlags: localUuidFlags(context, connection.nodeId, localFlags(pd)), sent: pd.sent,
    peer: pd.uuids ?? freshPeerUuids(), missedEnd: pd.missedEnd,
    role: view.resource.role, peerRole: peer.role,
    sentDisk: pd.sentDisk === Disk.negotiating ? fromMd : pd.sentDisk,
    shownDisk: pd.sentDisk !== Disk.negotiating ? pd.sentDisk : fromMd === Disk.inconsistent ? fromMd : Disk.consistent,
    disk: deviceRow.disk, exposedUuid: deviceRow.exposedUuid, doubted: isDoubted(pd), peerDisk: peer.disk,
    attaches: pd.sentDisk === Disk.negotiating, peerAttaches: peer.attaches,
    reconcileBits: reconcilesBits(connection),
    ownBits: device.disk?.bitsFor(connection.nodeId) ?? 0,
    stable: isStable(context), discardMyData: row.discardMyData, dryRun: row.dryRun, alwaysAsbp: netConf.alwaysAsbp,
    afterSb0p: policy(netConf.afterSb0p), afterSb1p: policy(netConf.afterSb1p), afterSb2p: policy(netConf.afterSb2p),
    rrConflict: row.options.rrConflict, allowTwoPrimaries: row.options.allowTwoPrimaries, quorumConfigured: view.resource.options.quorum !== 0,
    selfHasQuorum: deviceRow.haveQuorum, peerHasQuorum: peer.quorum, unused: withdrawn(context) !== null, demoted,
  };
}

/** Log lines at once, helpers one after the other; what they answer does not matter. */
export function* act(pd: PeerDevice, actions: readonly HandshakeAction[]): Steps<void> {
  const { device, connection } = pd;
  const { resource } = device;
  for (const action of actions) {
    switch (action.kind) {
      case 'log':
        pd.log.line(action.line.level as LogLevel, action.line.text);
        break;
      case 'helper':
        yield* until<number | null>((resume) => resource.engine.helpers.run(resource, action.name, { device, connection }, resume));
        break;
      case 'clearBitmapUuid':
        applyUuids(device, clearBitmapUuid(deviceContext(device), connection.nodeId));
        if (pd.sent) pd.sent = { ...pd.sent, bitmapUuid: 0n };
        break;
      case 'withdraw':
        yield* until<void>((resume) => withdrawUnused(device, resume));
        break;
    }
  }
}

/** An after-split-brain policy wants this Primary to give up; an open device stands in the way. */
function demote(resource: Resource, tag: string): boolean {
  const changes: Change[] = [{ set: 'role', role: Role.secondary }];
  return resource.dispatch({ kind: 'change', request: 0, tag, flags: Cs.verbose, changes }).rc >= Ss.success;
}

/** A suspended Primary meets newer data. @spec state.md 8.3 */
export function maybeForceSecondary({ device: { resource } }: PeerDevice): void {
  const { resource: row } = resource.view;
  if (row.failIo || !row.suspended || row.role !== Role.primary
    || row.options.onSuspendedPrimaryOutdated !== 'force-secondary') return;
  resource.log.warn('force secondary!');
  const changes: Change[] = [{ set: 'role', role: Role.secondary }, { set: 'failIo', value: true }];
  resource.dispatch({ kind: 'change', request: 0, tag: 'peer-state', flags: Cs.hard | Cs.fsIgnOpeners, changes });
}
