// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * What administrators do at random, as a table. A command may be refused; it must be answered. What would throw away the
 * only good data is left out: that the engine obeys there is no fault.
 */
import { connectParms, detachParms, disconnectParms, invalidateParms, newCUuidParms } from '../../genl/command-attrs.ts';
import { diskConf, netConf, peerDeviceConf, resourceOpts } from '../../genl/config-attrs.ts';
import { Cmd } from '../../genl/ops.ts';
import { Disk, Repl } from '../../state/states.ts';
import type { SimMember } from '../cluster.ts';
import type { Answer } from '../drbdsetup.ts';
import { featureCommands } from './features.ts';
import type { FeatureCommand } from './features.ts';
import { diskStateOf, replOf } from './look.ts';
import type { Stress } from './stress.ts';

export type Run = (s: Stress, m: SimMember, peer: SimMember) => Promise<Answer | null>;

const RESOURCE = { resourceName: 'r0' };
const minor = (s: Stress, m: SimMember): number => s.cluster.minor(m.id, 0);
const peerDevice = (peer: SimMember) => ({ ...RESOURCE, peerNodeId: peer.id, volume: 0 });
const connection = (peer: SimMember) => ({ ...RESOURCE, peerNodeId: peer.id });
/** Connected, and not about to be lost before a command has its turn: an attach or another command that is under way may take long. */
const isFirm = (s: Stress, m: SimMember, peer: SimMember): boolean => replOf(m, peer) !== Repl.off && replOf(peer, m) !== Repl.off
  && !s.isCut(m, peer) && m.node.slowness === 1 && diskStateOf(m) !== Disk.attaching && m.node.admin.waiting.size === 0;
const pause = (s: Stress): Promise<void> => s.actors.sleep(s.random.between(1, 6_000));

export const commands = {
  disconnect: async (s, m, peer) => {
    const answer = await m.setup.with(Cmd.DISCONNECT, connection(peer), disconnectParms, { forceDisconnect: s.random.chance(0.2) });
    await pause(s);
    await m.setup.connect('r0', peer.id);
    return answer;
  },
  connect: (_s, m, peer) => m.setup.connect('r0', peer.id),
  connectDiscarding: async (s, m, peer) => !s.expendable(m) || s.ledger.holder?.member !== peer ? null
    : m.setup.with(Cmd.CONNECT, connection(peer), connectParms, { discardMyData: true }),
  /** Where nobody may be promoted blindly the manager does it. */
  primary: async (s, m) => {
    if (!s.plan.blind) return null;
    const answer = await m.setup.primary('r0');
    await pause(s);
    await m.setup.secondary('r0');
    return answer;
  },
  secondary: (_s, m) => m.setup.secondary('r0'),
  detach: async (s, m) => {
    const answer = await m.setup.with(Cmd.DETACH, {}, detachParms, { forceDetach: s.random.chance(0.2) }, minor(s, m));
    await pause(s);
    await s.attach(m);
    return answer;
  },
  attach: async (s, m) => { await s.attach(m); return null; },
  attachWrong: (s, m) => m.setup.attach(minor(s, m), '/dev/nowhere', s.plan.disk),
  invalidate: async (s, m, peer) => s.expendable(m)
    ? m.setup.with(Cmd.INVALIDATE, {}, invalidateParms,
      { syncFromPeerNodeId: s.random.chance(0.5) ? peer.id : -1, resetBitmap: s.random.chance(0.5) }, minor(s, m)) : null,
  /** Of a peer that is away it would declare the disk to be none that counts for quorum: a fork on purpose. */
  invalidateRemote: async (s, m, peer) => s.ledger.holder?.member === m && s.expendable(peer) && isFirm(s, m, peer)
    ? m.setup.plain(Cmd.INVAL_PEER, peerDevice(peer)) : null,
  pauseSync: async (s, m, peer) => {
    const answer = await m.setup.plain(Cmd.PAUSE_SYNC, peerDevice(peer));
    await pause(s);
    await m.setup.plain(Cmd.RESUME_SYNC, peerDevice(peer));
    return answer;
  },
  resumeSync: (_s, m, peer) => m.setup.plain(Cmd.RESUME_SYNC, peerDevice(peer)),
  suspendIo: async (s, m) => {
    const answer = await m.setup.plain(Cmd.SUSPEND_IO, {}, minor(s, m));
    await pause(s);
    await m.setup.plain(Cmd.RESUME_IO, {}, minor(s, m));
    return answer;
  },
  outdate: async (s, m) => s.expendable(m) ? m.setup.plain(Cmd.OUTDATE, {}, minor(s, m)) : null,
  down: async (s, m) => {
    if (s.busy.has(m)) return null;
    s.busy.add(m);
    const answer = await m.setup.down('r0');
    await pause(s);
    if (answer.code === 101) await s.bringUp(m);
    s.busy.delete(m);
    return answer;
  },
  /**
   * Must be refused. On a node without a connection it declares its data to be everybody's: a fork on purpose.
   */
  newCurrentUuid: async (s, m, peer) => !isFirm(s, m, peer) ? null
    : m.setup.with(Cmd.NEW_C_UUID, {}, newCUuidParms, { clearBm: true }, minor(s, m)),
  netOptions: (s, m, peer) => m.setup.with(Cmd.CHG_NET_OPTS, connection(peer), netConf,
    { maxEpochSize: 1 + s.random.below(200), pingTimeo: 3 + s.random.below(30), koCount: 1 + s.random.below(7) }),
  diskOptions: (s, m) => m.setup.with(Cmd.CHG_DISK_OPTS, {}, diskConf,
    { alExtents: 67 + s.random.below(1000), readBalancing: s.random.below(2) }, minor(s, m)),
  peerDeviceOptions: (s, m, peer) => m.setup.with(Cmd.CHG_PEER_DEVICE_OPTS, peerDevice(peer), peerDeviceConf,
    { resyncRate: 2_000 + s.random.below(100_000), cPlanAhead: s.random.below(2) * 20 }),
  resourceOptions: (s, m) => m.setup.with(Cmd.RESOURCE_OPTS, RESOURCE, resourceOpts,
    { peerAckDelay: 1 + s.random.below(1000), nrRequests: 4 + s.random.below(500), onNoQuorum: s.random.below(2) }),
  wrongPeer: (_s, m) => m.setup.connect('r0', m.id),
  wrongVolume: (_s, m, peer) => m.setup.plain(Cmd.PAUSE_SYNC, { ...peerDevice(peer), volume: 7 }),
} satisfies Record<string, Run>;

export type UsualCommand = keyof typeof commands;
export const usualCommands = Object.keys(commands) as UsualCommand[];
export type Command = UsualCommand | FeatureCommand;
export const everyCommand: readonly Command[] = [...usualCommands, ...Object.keys(featureCommands) as FeatureCommand[]];
export const commandNamed: Readonly<Record<Command, Run>> = { ...commands, ...featureCommands };
