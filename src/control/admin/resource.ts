// SPDX-License-Identifier: GPL-2.0-or-later
/** new-resource, resource-options, rename-resource, forget-peer, del-resource. @spec genetlink.md 2, 9 */
import { Err } from '../../genl/codes.ts';
import { forgetPeerParms, renameResourceParms } from '../../genl/command-attrs.ts';
import { NODE_ID_MAX } from '../../genl/context.ts';
import { checkName } from '../../genl/names.ts';
import { changedResourceOpts, newResourceOpts } from '../../genl/options.ts';
import { parms } from '../../genl/parms.ts';
import { OK, refusal } from '../../genl/reply.ts';
import type { Reply } from '../../genl/reply.ts';
import { pushFacts } from '../facts.ts';
import { keyOf } from '../journal.ts';
import { resourceOptions } from '../options.ts';
import type { Resource } from '../resource.ts';
import { forgetPeerSlot } from '../uuids.ts';
import type { Call } from './call.ts';
import { addResource, removeResource, renameResource as rename } from './objects.ts';
import type { Steps } from './steps.ts';
import { until } from './steps.ts';
import { workerFlushed } from './waits.ts';

/** Module parameter strict_names. */
const STRICT_NAMES = true;

/** An existing resource is left as it is. */
export function newResource({ engine, request, named }: Call): Reply {
  const opts = newResourceOpts(request, STRICT_NAMES);
  if (opts.refused) return opts.refused;
  if (named.resource) return OK;
  const resource = addResource(engine, request.context.resourceName!, opts.value);
  engine.journal.put(keyOf.resource(resource.name), resource.opts);
  engine.notifier.resourceCreated(resource);
  return OK;
}

export function* changeResourceOptions(call: Call): Steps<Reply> {
  const { resource } = call;
  const opts = changedResourceOpts(call.request, resource.opts);
  if (opts.refused) return opts.refused;
  resource.opts = opts.value;
  resource.engine.journal.put(keyOf.resource(resource.name), resource.opts);
  yield* call.ask(resource, (request) => ({ kind: 'resourceOptions', request, options: resourceOptions(opts.value) }));
  pushFacts(resource);
  return OK;
}

export function renameResource({ engine, request, resource }: Call): Reply {
  const given = parms(request, renameResourceParms);
  if (given.refused) return given.refused;
  const { newResourceName: name } = given.value;
  const badName = checkName(name, STRICT_NAMES);
  if (badName) return badName;
  if (engine.resources.has(name)) {
    return refusal(Err.ALREADY_EXISTS, `Cannot rename to ${name}: a resource with that name already exists\n`);
  }
  engine.notifier.resourceRenamed(resource, name);
  engine.journal.rename(resource.name, name);
  rename(resource, name);
  for (const device of resource.devices.values()) device.block.setCapacity(device.capacity);
  return OK;
}

export function* forgetPeer(call: Call): Steps<Reply> {
  const { resource } = call;
  const given = parms(call.request, forgetPeerParms);
  if (given.refused) return given.refused;
  const { forgetPeerNodeId: nodeId } = given.value;
  if (resource.connections.has(nodeId)) return refusal(Err.NET_CONFIGURED);
  if (nodeId < 0 || nodeId >= NODE_ID_MAX || nodeId === resource.nodeId) return refusal(Err.INVALID_PEER_NODE_ID);
  for (const device of resource.devices.values()) {
    if (!device.disk) continue;
    forgetPeerSlot(device, nodeId);
    const { meta } = device.disk;
    yield* until<number>((resume) => meta.sync({ done: resume }));
  }
  return OK;
}

export function* deleteResource({ resource }: Call): Steps<Reply> {
  const inUse = whyInUse(resource);
  if (inUse) return refusal(inUse);
  yield* endResource(resource);
  return OK;
}

const whyInUse = ({ connections, devices }: Resource): Err | null =>
  connections.size > 0 ? Err.NET_CONFIGURED : devices.size > 0 ? Err.RES_IN_USE : null;

/** An empty resource goes, after what its worker has still to do. */
export function* endResource(resource: Resource): Steps<void> {
  const { journal, notifier } = resource.engine;
  yield* workerFlushed(resource);
  notifier.resourceDestroyed(resource);
  journal.remove(keyOf.resource(resource.name));
  removeResource(resource);
}
