// SPDX-License-Identifier: GPL-2.0-or-later
/** new-peer, connect, disconnect, del-peer. @spec genetlink.md 2, state.md 7.6, 7.7 */
import { Err } from '../../genl/codes.ts';
import { connectParms, disconnectParms } from '../../genl/command-attrs.ts';
import { newNetConf, transportClassName } from '../../genl/options.ts';
import { parms } from '../../genl/parms.ts';
import { OK, refusal } from '../../genl/reply.ts';
import type { Reply } from '../../genl/reply.ts';
import { Ss } from '../../state/ss.ts';
import { Cstate, Role } from '../../state/states.ts';
import type { Connection } from '../connection.ts';
import { keyOf } from '../journal.ts';
import { allocateBitmapSlots } from '../uuids.ts';
import { changeReply } from './call.ts';
import type { Call, Ended } from './call.ts';
import { addConnection, removeConnection } from './objects.ts';
import { OTHER_NETNS } from './path.ts';
import type { Steps } from './steps.ts';
import { untilHolds, workerFlushed } from './waits.ts';

const STRICT_NAMES = true;

export function newPeer({ engine, request, resource, named }: Call): Reply {
  const nodeId = request.context.peerNodeId!;
  if (named.connection) return refusal(Err.INVALID_REQUEST, `Connection for peer node id ${nodeId} already exists`);
  const conf = newNetConf(request, STRICT_NAMES, engine.host.crypto);
  if (conf.refused) return conf.refused;
  if (!engine.transports.find(transportClassName(conf.value))) return refusal(Err.CREATE_TRANSPORT);
  const connection = addConnection(resource, nodeId, conf.value);
  engine.journal.put(keyOf.peer(resource.name, nodeId), conf.value);
  engine.notifier.connectionCreated(connection);
  return OK;
}

export function* connect(call: Call): Steps<Reply> {
  const { connection, resource } = call;
  const given = parms(call.request, connectParms);
  if (given.refused) return given.refused;
  const { discardMyData, tentative } = given.value;
  const { nodeId } = connection;
  if (connection.cstate() !== Cstate.standAlone) return refusal(Err.NET_CONFIGURED);
  if (connection.paths.length === 0) return refusal(Err.INVALID_REQUEST, 'connection endpoint(s) missing');
  if (connection.paths[0]!.path.netns !== call.admin.netns) return refusal(Err.INVALID_REQUEST, OTHER_NETNS);
  if (discardMyData && resource.view.resource.role === Role.primary) return refusal(Err.DISCARD_IMPOSSIBLE);
  const noSlot = allocateBitmapSlots(connection);
  if (noSlot !== '') return refusal(Err.INVALID_REQUEST, noSlot);
  return changeReply(yield* call.ask(resource, (request) =>
    ({ kind: 'connect', request, nodeId, discardMyData, tentative })));
}

export function* disconnect(call: Call): Steps<Reply> {
  const given = parms(call.request, disconnectParms);
  if (given.refused) return given.refused;
  const ended = yield* tryDisconnect(call, call.connection, 'disconnect', given.value.forceDisconnect);
  return ended.rc < Ss.success ? changeReply(ended) : OK;
}

export function* deletePeer(call: Call): Steps<Reply> {
  const given = parms(call.request, disconnectParms);
  if (given.refused) return given.refused;
  const ended = yield* tryDisconnect(call, call.connection, 'del-peer', given.value.forceDisconnect);
  if (ended.rc < Ss.success) return changeReply(ended);
  yield* endConnection(call.connection);
  return OK;
}

export const tryDisconnect = (call: Call, { resource, nodeId }: Connection, tag: string,
  force: boolean): Steps<Ended> =>
  call.ask(resource, (request) => ({ kind: 'disconnect', request, tag, nodeId, force }));

/** A connection that was told to disconnect goes, with its paths and peer devices. */
export function* endConnection(connection: Connection): Steps<void> {
  const { resource, nodeId } = connection;
  const { journal, notifier } = resource.engine;
  yield* untilHolds(resource, `connection to node ${nodeId} ends`, () => connection.cstate() === Cstate.standAlone);
  yield* workerFlushed(resource);
  for (const path of connection.paths) notifier.pathDestroyed(connection, path);
  notifier.connectionDestroyed(connection);
  journal.remove(keyOf.peer(resource.name, nodeId));
  removeConnection(connection);
}
