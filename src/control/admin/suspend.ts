// SPDX-License-Identifier: GPL-2.0-or-later
/** suspend-io, resume-io, pause-sync, resume-sync. @spec state.md 7.9 */
import { Err } from '../../genl/codes.ts';
import { OK, refusal } from '../../genl/reply.ts';
import type { Reply } from '../../genl/reply.ts';
import type { Change } from '../../state/events.ts';
import { Ss } from '../../state/ss.ts';
import { Cs, Cstate, Repl } from '../../state/states.ts';
import type { Resource } from '../resource.ts';
import { makeNewCurrentUuid } from '../uuids.ts';
import { changeReply } from './call.ts';
import type { Call, Ended } from './call.ts';
import type { Steps } from './steps.ts';
import { until } from './steps.ts';
import { untilHolds } from './waits.ts';

/** A local change whose after-state-change work is waited for. */
const change = (call: Call, resource: Resource, tag: string, changes: readonly Change[]): Steps<Ended> =>
  call.ask(resource, (request) =>
    ({ kind: 'change', request, tag, flags: Cs.verbose | Cs.waitComplete | Cs.serialize, changes }));

/** Of the whole resource. Answered when nothing is in flight any more. */
export function* suspendIo(call: Call): Steps<Reply> {
  const { device: { resource } } = call;
  const ended = yield* change(call, resource, 'suspend-io', [{ set: 'suspUser', value: true }]);
  if (ended.rc >= Ss.success) yield* untilHolds(resource, 'I/O in flight', () => call.gone || quiet(resource));
  return changeReply(ended);
}

/** No local I/O, and no answer to come: a write that is kept for a lost peer may wait as long as the suspension. */
function quiet(resource: Resource): boolean {
  const connected = [...resource.connections.values()].filter((connection) => connection.cstate() === Cstate.connected);
  const peerDevices = connected.flatMap((connection) => [...connection.peerDevices.values()]);
  return [...resource.devices.values()].every(({ io }) => io.lowerPending === 0)
    && peerDevices.every(({ io }) => io.apPending === 0);
}

export function* resumeIo(call: Call): Steps<Reply> {
  const { device } = call;
  const { resource } = device;
  if (resource.deviceRow(device.vnr).newCurUuid) {
    yield* until<void>((resume) => makeNewCurrentUuid(device, 'thaw', resume));
  }
  const fencing = [...resource.connections.keys()].map((nodeId): Change => ({ set: 'suspFen', nodeId, value: false }));
  return changeReply(yield* change(call, resource, 'resume-io', [{ set: 'suspUser', value: false },
    { set: 'suspNod', value: false }, { set: 'suspQuorum', value: false }, ...fencing]));
}

/** Whatever else refuses the change, genuine answers success. */
export function* pauseSync(call: Call): Steps<Reply> {
  const { rc } = yield* setPaused(call, 'pause-sync', true);
  return rc === Ss.nothingToDo ? refusal(Err.PAUSE_IS_SET) : OK;
}

export function* resumeSync(call: Call): Steps<Reply> {
  const { rc } = yield* setPaused(call, 'resume-sync', false);
  if (rc !== Ss.nothingToDo) return OK;
  const { device, connection } = call.peerDevice;
  const row = device.resource.peerDeviceRow(device.vnr, connection.nodeId);
  const paused = row.repl === Repl.pausedSyncS || row.repl === Repl.pausedSyncT;
  if (paused && row.suspDependency) return refusal(Err.PIC_AFTER_DEP);
  if (paused && row.suspPeer) return refusal(Err.PIC_PEER_DEP);
  return refusal(Err.PAUSE_IS_CLEAR);
}

const setPaused = (call: Call, tag: string, value: boolean): Steps<Ended> => {
  const { device: { resource, vnr }, connection: { nodeId } } = call.peerDevice;
  return change(call, resource, tag, [{ set: 'resyncSuspUser', vnr, nodeId, value }]);
};
