// SPDX-License-Identifier: GPL-2.0-or-later
/** new-path, del-path. @spec genetlink.md 2 */
import { sameBytes } from '../../genl/address.ts';
import { Err } from '../../genl/codes.ts';
import { pathParms } from '../../genl/config-attrs.ts';
import { parms } from '../../genl/parms.ts';
import { OK, refusal } from '../../genl/reply.ts';
import type { Reply } from '../../genl/reply.ts';
import type { Netns } from '../../host/net.ts';
import { Cstate } from '../../state/states.ts';
import type { NamedPath } from '../connection.ts';
import type { Engine } from '../engine.ts';
import { keyOf } from '../journal.ts';
import type { Resource } from '../resource.ts';
import type { Call } from './call.ts';
import { addPath, newPath as makePath, removePath } from './objects.ts';
import type { Steps } from './steps.ts';
import { workerFlushed } from './waits.ts';

export const OTHER_NETNS = 'connection assigned to a different network namespace';

/** A connection lives in the network namespace of who made its first path. */
export function newPath({ engine, request, resource, connection, admin: { netns } }: Call): Reply {
  const given = parms(request, pathParms);
  if (given.refused) return given.refused;
  const { myAddr, peerAddr } = given.value;
  if (connection.paths.some(({ path }) => path.netns !== netns)) return refusal(Err.INVALID_REQUEST, OTHER_NETNS);
  const path = makePath(myAddr, peerAddr, netns);
  if (!path) return refusal(Err.INVALID_REQUEST, 'address is neither ipv4 nor ipv6');
  const used = endpointInUse(engine, resource, connection.nodeId, path, netns);
  if (used) return refusal(used);
  addPath(connection, path);
  const record = { myAddr: path.myAddr, peerAddr: path.peerAddr, netns };
  engine.journal.put(keyOf.path(resource.name, connection.nodeId, record), record);
  engine.notifier.pathCreated(connection, path);
  return OK;
}

/** Whose is an incoming socket? The peer's port says nothing about that. hazards.md H-217 */
const sameIncoming = ({ path: a }: NamedPath, { path: b }: NamedPath): boolean =>
  a.local.address === b.local.address && a.local.port === b.local.port && a.peer.address === b.peer.address;

/** Connections of one resource may share an end; a pair is used once. */
function endpointInUse(engine: Engine, resource: Resource, nodeId: number, wanted: NamedPath, netns: Netns): Err | null {
  for (const other of engine.resources.values()) {
    for (const { paths, nodeId: owner } of other.connections.values()) {
      for (const path of paths) {
        if (path.path.netns !== netns) continue;
        if (other === resource && owner !== nodeId && sameIncoming(path, wanted)) return Err.LOCAL_AND_PEER_ADDR;
        const mine = sameBytes(path.myAddr, wanted.myAddr);
        const peers = sameBytes(path.peerAddr, wanted.peerAddr);
        if (mine && peers) return Err.LOCAL_AND_PEER_ADDR;
        if (mine && other !== resource) return Err.LOCAL_ADDR;
        if (peers && other !== resource) return Err.PEER_ADDR;
      }
    }
  }
  return null;
}

export function* deletePath({ engine, request, resource, connection, admin: { netns } }: Call): Steps<Reply> {
  const given = parms(request, pathParms);
  if (given.refused) return given.refused;
  const { myAddr, peerAddr } = given.value;
  const { paths, nodeId } = connection;
  if (paths.length === 0 || paths[0]!.path.netns !== netns) return refusal(Err.INVALID_REQUEST, OTHER_NETNS);
  const path = paths.find((each) => sameBytes(each.myAddr, myAddr) && sameBytes(each.peerAddr, peerAddr));
  if (!path) return refusal(Err.INVALID_REQUEST, 'no such path');
  if (paths.length === 1 && connection.cstate() >= Cstate.connecting) {
    return refusal(Err.INVALID_REQUEST, 'Can not delete last path, use disconnect first!');
  }
  if (path.established) return refusal(Err.INVALID_REQUEST, 'del_path on transport failed');
  yield* workerFlushed(resource);
  engine.notifier.pathDestroyed(connection, path);
  engine.journal.remove(keyOf.path(resource.name, nodeId, { myAddr, peerAddr, netns }));
  removePath(connection, path);
  return OK;
}
