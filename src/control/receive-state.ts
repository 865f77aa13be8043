// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * P_STATE. The rules are src/state/receive-state.ts; here is what they need to know, and what comes out is done. A question
 * about UUIDs may take time (helpers, bitmaps): the data stream is held meanwhile, and the rules are asked again with
 * the state of that moment. @spec state.md 5.3, uuid.md 4.6
 */
import type { ConnLink } from '../conn/link.ts';
import { LogLevel } from '../host/log.ts';
import { receiveState } from '../state/receive-state.ts';
import type { Decider, Decision, StateAction } from '../state/receive-state.ts';
import { Ss } from '../state/ss.ts';
import { unpackState } from '../state/state-word.ts';
import { Cs, Cstate, Disk, Role, UuidFlag } from '../state/states.ts';
import { disklessTrust } from '../state/uuid-diskless.ts';
import type { DisklessTrust } from '../state/uuid-diskless.ts';
import { run } from './admin/steps.ts';
import type { Connection } from './connection.ts';
import { decide, peerSays } from './handshake.ts';
import { meetAsDiskless, meetNewerData, tellWhatIsShown } from './meet-diskless.ts';
import { isKnownOlder } from './older-data.ts';
import type { PeerDevice } from './peer-device.ts';
import { checkResyncSource } from './resync-source.ts';
import { finished, startResync } from './resync.ts';
import * as send from './send.ts';
import * as sizes from './sizes.ts';
import { deviceContext, newCurrentUuid, peerContext } from './uuids.ts';
import { isDoubted, met, turnAway } from './witnesses.ts';

/** Volume -1: only the role of the peer. */
export function resourceState({ resource, nodeId }: Connection, word: number): void {
  const never: Decider = { handshake: () => ({ how: 'drop' }), attach: () => ({ how: 'drop' }), diskless: () => 'ok', older: () => false,
    turnedAway: () => false };
  for (const action of receiveState(resource.view, nodeId, -1, word, never)) {
    if (action.do === 'event') resource.dispatch(action.event);
  }
}

export function volumeState(pd: PeerDevice, word: number): void {
  const { device: { resource }, connection: { conn } } = pd;
  const { link } = conn;
  if (link === null) return;
  if (!isUntold(pd)) return heard(pd, word, link);
  link.wait(true);
  resource.worker.flush(() => {
    if (isOn(pd, link)) heard(pd, word, link);
    link.wait(false);
  });
}

/**
 * Its word overtook our own, of an attach or the answer to one: both have to judge by the same, so it waits until that is on
 * its way.
 */
function isUntold({ connection, device: { resource, vnr }, sent }: PeerDevice): boolean {
  if (connection.cstate() !== Cstate.connected) return false;
  return resource.deviceRow(vnr).disk === Disk.negotiating ? sent === null
    : resource.peerDeviceRow(vnr, connection.nodeId).pdsk === Disk.negotiating;
}

const isOn = (pd: PeerDevice, link: ConnLink): boolean =>
  pd.connection.conn.link === link && pd.connection.peerDevices.get(pd.device.vnr) === pd;

function heard(pd: PeerDevice, word: number, link: ConnLink): void {
  const { device, connection: { conn, nodeId } } = pd;
  const { resource, vnr } = device;
  pd.toldDisk = unpackState(word).disk;
  const { initialStateReceived, uuidFlags, uuidNodeMask } = resource.peerDeviceRow(vnr, nodeId);
  const { role } = unpackState(word);
  const added = !initialStateReceived && pd.connection.cstate() === Cstate.connected;
  if (added && role === Role.primary && (uuidFlags & UuidFlag.stable) !== 0) checkResyncSource(device, uuidNodeMask);
  const question = ask(pd, word);
  if (question === null || question.kind === 'diskless') return conclude(pd, word, null);
  let holds = false;
  let decided = false;
  run(decide(pd, peerSays(word, question.pdsk), question.kind), (decision) => {
    decided = true;
    if (isOn(pd, link)) conclude(pd, word, decision);
    if (holds) link.wait(false);
  });
  if (decided || conn.link !== link) return;
  holds = true;
  link.wait(true);
}

type Question = { readonly kind: 'handshake' | 'attach'; readonly pdsk: Disk } | { readonly kind: 'diskless' };

/** Which decision the rules want for this word, if any; what they would do with it does not matter yet. */
function ask({ device: { resource, vnr }, connection: { nodeId } }: PeerDevice, word: number): Question | null {
  let question: Question | null = null;
  const note = (kind: 'handshake' | 'attach') => (pdsk: Disk): Decision => {
    question = { kind, pdsk };
    return { how: 'drop' };
  };
  receiveState(resource.view, nodeId, vnr, word, { handshake: note('handshake'), attach: note('attach'), diskless: () => {
    question = { kind: 'diskless' };
    return 'ok';
  }, older: () => false, turnedAway: () => false });
  return question;
}

/** The rules run on the state of now, with the decision that was taken. */
function conclude(pd: PeerDevice, word: number, decision: Decision | null): void {
  const { device: { resource, vnr }, connection: { nodeId } } = pd;
  const answer = (): Decision => decision ?? { how: 'retry' };
  let trust: DisklessTrust | null = null;
  const actions = receiveState(resource.view, nodeId, vnr, word, { handshake: answer, attach: answer, diskless: () => {
    trust = disklessTrust(deviceContext(pd.device), peerContext(pd));
    return trust.trust;
  }, older: () => isKnownOlder(pd), turnedAway: () => isDoubted(pd) && turnAway(pd) });
  if (trust !== null) meetAsDiskless(pd, trust);
  if (pd.connection.cstate() === Cstate.connecting) met(pd);
  for (const action of actions) if (!act(pd, action)) break;
  pd.missedEnd = 'none';
  meetNewerData(pd);
  tellWhatIsShown(pd);
}

/** False: the connection ends, nothing that follows is to be done. */
function act(pd: PeerDevice, action: StateAction): boolean {
  const { device, connection } = pd;
  const { resource, vnr } = device;
  switch (action.do) {
    case 'event': {
      const { rc } = resource.dispatch(action.event);
      if (action.event.kind === 'lost') return false;
      if (action.event.kind !== 'change' || rc >= Ss.success) return true;
      connection.conn.fail(Cstate.disconnecting, 'receive-state', '');
      return false;
    }
    case 'resyncFinished':
      finished(pd);
      return true;
    case 'resyncFinishesEarly':
      pd.peerFinishedEarly = true;
      return true;
    case 'verifyFinished':
      finished(pd);
      return true;
    case 'startResyncAsTarget': return startAfterBehind(pd);
    case 'abortConnect': return abortConnect(pd);
    case 'send':
      for (const packet of action.packets) senders[packet](pd);
      return true;
    case 'adoptSize':
      sizes.adoptPeerSize(pd);
      return true;
    case 'handshakeFinished':
      connection.conn.handshakeFinished();
      return true;
    case 'syncMd':
      device.disk?.meta.sync({ done: () => {} });
      return true;
    case 'drop':
      if (resource.connectionRow(connection.nodeId).dryRun) endDryRun(connection, vnr);
      return false;
  }
}

const senders = {
  sizes: (pd: PeerDevice) => send.sizes(pd),
  uuids: (pd: PeerDevice) => send.uuids(pd, 0),
  state: (pd: PeerDevice) => send.currentState(pd),
} as const;

function startAfterBehind(pd: PeerDevice): boolean {
  const { device: { resource, vnr }, connection } = pd;
  const { rc } = resource.dispatch({ kind: 'change', request: 0, tag: 'resync-after-behind', flags: Cs.verbose,
    changes: [{ set: 'disk', vnr, disk: Disk.inconsistent }] });
  if (rc < Ss.success) {
    connection.conn.fail(Cstate.disconnecting, 'resync-after-behind', '');
    return false;
  }
  startResync(pd, 'target');
  return true;
}

function abortConnect(pd: PeerDevice): boolean {
  const { device, connection } = pd;
  const { resource } = device;
  pd.log.err('Aborting Connect, can not thaw IO with an only Consistent peer');
  newCurrentUuid(device, 'thaw');
  connection.conn.fail(Cstate.protocolError, 'abort-connect', '');
  resource.dispatch({ kind: 'change', request: 0, tag: 'abort-connect', flags: Cs.hard, changes: [{ set: 'suspUser', value: false }] });
  return false;
}

/** connect --tentative: what would happen is in the log; the connection ends on both nodes. @spec uuid.md 3.2 item 16 */
function endDryRun(connection: Connection, vnr: number): void {
  connection.resource.logLine(LogLevel.info, vnr, connection.nodeId, 'dry-run connect ends here');
  send.disconnect(connection);
  connection.conn.fail(Cstate.disconnecting, 'dry-run', '');
}
