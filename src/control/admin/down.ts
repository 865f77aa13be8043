// SPDX-License-Identifier: GPL-2.0-or-later
/** down: everything of a resource goes, in genuine's order; what fails leaves the rest as it is. @spec state.md 7.9 */
import { Err } from '../../genl/codes.ts';
import { OK } from '../../genl/reply.ts';
import type { Reply } from '../../genl/reply.ts';
import { Ss } from '../../state/ss.ts';
import { Role } from '../../state/states.ts';
import type { Resource } from '../resource.ts';
import { changeReply } from './call.ts';
import type { Call } from './call.ts';
import { endDevice } from './device.ts';
import { endDisk } from './disk.ts';
import { openerTexts } from './openers.ts';
import { endConnection, tryDisconnect } from './peer.ts';
import { endResource } from './resource.ts';
import { setRole } from './role.ts';
import type { Steps } from './steps.ts';

export function* down(call: Call): Steps<Reply> {
  const { resource } = call;
  const setInProgress = (downInProgress: boolean): void => {
    resource.dispatch({ kind: 'resourceFacts', facts: { downInProgress } });
  };
  setInProgress(true);
  const failed = yield* takeApart(call, resource);
  if (failed) {
    setInProgress(false);
    return failed;
  }
  yield* endResource(resource);
  return OK;
}

const fails = ({ code }: Reply): boolean => code < Ss.success || code > Err.NO_ERROR;

/** null when nothing is left. */
function* takeApart(call: Call, resource: Resource): Steps<Reply | null> {
  const because = (reply: Reply, what: string): Reply => {
    const openers = openerTexts(resource, reply.code);
    return { code: reply.code, texts: [...reply.texts ?? [], what, ...openers] };
  };
  const role = changeReply(yield* setRole(call, resource, Role.secondary, 'down', false));
  if (fails(role)) {
    const texts = [...role.texts ?? [], ...openerTexts(resource, role.code)];
    return because({ code: role.code, texts }, 'failed to demote');
  }
  for (const connection of [...resource.connections.values()]) {
    const ended = changeReply(yield* tryDisconnect(call, connection, 'down', false));
    if (fails(ended)) return because(ended, 'failed to disconnect');
    yield* endConnection(connection);
  }
  for (const device of [...resource.devices.values()]) {
    const detached = yield* endDisk(device, false, false);
    if (fails(detached)) return because(detached, 'failed to detach');
    const deleted = yield* endDevice(device);
    if (fails(deleted)) return because(deleted, 'failed to delete volume');
  }
  return null;
}
