// SPDX-License-Identifier: GPL-2.0-or-later
/** invalidate, invalidate-remote. @spec state.md 7.9 */
import { Err } from '../../genl/codes.ts';
import { invalidateParms, invalPeerParams } from '../../genl/command-attrs.ts';
import { parms } from '../../genl/parms.ts';
import { OK, refusal } from '../../genl/reply.ts';
import type { Reply } from '../../genl/reply.ts';
import { Ss } from '../../state/ss.ts';
import { Cs, Disk, Repl, Role } from '../../state/states.ts';
import type { Connection } from '../connection.ts';
import type { Device } from '../device.ts';
import { knowsBitmapResync, setAllBits } from '../resync.ts';
import { changeReply } from './call.ts';
import type { Call, Ended } from './call.ts';
import type { Steps } from './steps.ts';
import { untilHolds, withIoSuspended } from './waits.ts';

const ATTEMPTS = 4;
const EVERY_SLOT = -1;
/** How a side begins: with all bits set, or with the bitmap as it is. */
interface Side { readonly full: Repl; readonly byBitmap: Repl; readonly tag: string }
const TARGET: Side = { full: Repl.startingSyncT, byBitmap: Repl.wfBitMapT, tag: 'invalidate' };
const SOURCE: Side = { full: Repl.startingSyncS, byBitmap: Repl.wfBitMapS, tag: 'invalidate-remote' };
const VWS = Cs.verbose | Cs.waitComplete | Cs.serialize;

export function* invalidate(call: Call): Steps<Reply> {
  const { device } = call;
  const { resource } = device;
  const given = parms(call.request, invalidateParms);
  if (given.refused) return given.refused;
  if (!device.disk) return refusal(Err.NO_DISK);
  const { syncFromPeerNodeId: from, resetBitmap } = given.value;
  const chosen = from < 0 ? undefined : resource.connections.get(from);
  if (from >= 0 && !chosen) return refusal(Err.INVALID_REQUEST, 'unknown connection');
  if (chosen && !resetBitmap && !knowsBitmapResync(chosen)) return refusal(Err.APV_TOO_LOW);
  return yield* withIoSuspended(device, () => becomeTarget(call, device, chosen, resetBitmap));
}

function* becomeTarget(call: Call, device: Device, chosen: Connection | undefined, resetBitmap: boolean): Steps<Reply> {
  const { resource, vnr } = device;
  let reply: Reply = OK;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const candidates = chosen ? [chosen] : [...resource.connections.values()];
    if (candidates.length === 0) return OK;
    let ended: Ended = { rc: Ss.unknownError, reason: null };
    for (const connection of candidates) {
      if (!resetBitmap && !knowsBitmapResync(connection)) {
        reply = refusal(Err.APV_TOO_LOW);
        continue;
      }
      ended = yield* startSync(call, device, connection.nodeId, resetBitmap, TARGET);
      if (ended.rc >= Ss.success) return changeReply(ended);
      reply = changeReply(ended);
    }
    if (ended.rc !== Ss.needConnection) return reply;
    if (resource.view.peerDevices.some((pd) => pd.vnr === vnr && pd.repl >= Repl.established)) continue;
    ended = yield* call.ask(resource, (request) => ({ kind: 'change', request, tag: 'invalidate',
      flags: Cs.verbose, changes: [{ set: 'disk', vnr, disk: Disk.inconsistent }] }));
    if (ended.rc >= Ss.success) setAllBits(device, EVERY_SLOT, 'none', EVERY_SLOT);
    return changeReply(ended);
  }
  return reply;
}

/** Quietly first, then with reasons in the log. Ends when the bits are set, or the bitmap exchange has begun. */
function* startSync(call: Call, device: Device, nodeId: number, resetBitmap: boolean, side: Side): Steps<Ended> {
  const { resource, vnr } = device;
  const { full, byBitmap, tag } = side;
  if (sourceIsBehind(device, nodeId, side)) return { rc: Ss.noUpToDateDisk, reason: null };
  const change = (flags: number, repl: Repl): Steps<Ended> => call.ask(resource, (request) => ({ kind: 'clusterChange',
    request, tag, flags, transient: (flags & Cs.verbose) !== 0, change: { what: 'repl', nodeId, vnr, repl } }));
  if (!resetBitmap) return yield* change(VWS | Cs.clusterWide, byBitmap);
  let ended = yield* change(Cs.serialize, full);
  if (ended.rc < Ss.success && ended.rc !== Ss.needConnection) ended = yield* change(Cs.serialize | Cs.verbose, full);
  if (ended.rc < Ss.success) return ended;
  yield* untilHolds(resource, 'bits of a full sync', () => call.gone || !resource.devices.has(vnr)
    || !resource.connections.has(nodeId) || resource.peerDeviceRow(vnr, nodeId).repl !== full);
  return ended;
}

/** It would put old data below writes that a third node still counts as replicated. docs/differences.md */
function sourceIsBehind({ resource, vnr }: Device, nodeId: number, side: Side): boolean {
  const source = side === TARGET ? resource.peerDeviceRow(vnr, nodeId).pdsk : resource.deviceRow(vnr).disk;
  return source < Disk.upToDate && resource.view.peerDevices.some((pd) => pd.vnr === vnr && pd.nodeId !== nodeId
    && pd.repl >= Repl.established && pd.pdsk === Disk.upToDate);
}

export function* invalidatePeer(call: Call): Steps<Reply> {
  const { connection, device } = call.peerDevice;
  const given = parms(call.request, invalPeerParams);
  if (given.refused) return given.refused;
  if (!device.disk) return refusal(Err.NO_DISK);
  const { pResetBitmap } = given.value;
  if (!pResetBitmap && !knowsBitmapResync(connection)) return refusal(Err.APV_TOO_LOW);
  return yield* withIoSuspended(device, () => becomeSource(call, device, connection, pResetBitmap));
}

function* becomeSource(call: Call, device: Device, { nodeId }: Connection, resetBitmap: boolean): Steps<Reply> {
  const { resource, vnr } = device;
  const ended = yield* startSync(call, device, nodeId, resetBitmap, SOURCE);
  if (ended.rc !== Ss.needConnection || resource.view.resource.role !== Role.primary) return changeReply(ended);
  const alone = yield* call.ask(resource, (request) => ({ kind: 'change', request, tag: 'invalidate-remote', flags: VWS,
    changes: [{ set: 'pdsk', vnr, nodeId, pdsk: Disk.inconsistent }] }));
  if (alone.rc >= Ss.success) setAllBits(device, nodeId, 'none', EVERY_SLOT);
  return changeReply(alone);
}
