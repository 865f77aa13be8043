// SPDX-License-Identifier: GPL-2.0-or-later
/** primary, secondary. @spec state.md 7.1 */
import { setRoleParms } from '../../genl/command-attrs.ts';
import { parms } from '../../genl/parms.ts';
import type { Reply } from '../../genl/reply.ts';
import { Role } from '../../state/states.ts';
import { leaveOlderData } from '../older-data.ts';
import type { Resource } from '../resource.ts';
import { changeReply } from './call.ts';
import type { Call, Ended } from './call.ts';
import { openerTexts } from './openers.ts';
import type { Steps } from './steps.ts';

/** An explicit promotion outlives the last close of the devices. */
export function* primary(call: Call): Steps<Reply> {
  const given = parms(call.request, setRoleParms);
  if (given.refused) return given.refused;
  call.resource.dispatch({ kind: 'resourceFacts', facts: { explicitPrimary: true } });
  return yield* changeRole(call, Role.primary, 'primary', given.value.force);
}

export function* secondary(call: Call): Steps<Reply> {
  const given = parms(call.request, setRoleParms);
  if (given.refused) return given.refused;
  return yield* changeRole(call, Role.secondary, 'secondary', given.value.force);
}

function* changeRole(call: Call, role: Role, tag: string, force: boolean): Steps<Reply> {
  const { resource } = call;
  const ended = yield* setRole(call, resource, role, tag, force);
  if (resource.view.resource.role !== Role.primary) {
    resource.dispatch({ kind: 'resourceFacts', facts: { explicitPrimary: false } });
  }
  const reply = changeReply(ended);
  return { ...reply, texts: [...reply.texts ?? [], ...openerTexts(resource, ended.rc)] };
}

export function setRole(call: Call, resource: Resource, role: Role, tag: string, force: boolean): Steps<Ended> {
  if (role === Role.primary && !force) leaveOlderData(resource);
  return call.ask(resource, (request) => ({ kind: 'setRole', request, tag, role, force }));
}
