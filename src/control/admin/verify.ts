// SPDX-License-Identifier: GPL-2.0-or-later
import { Err } from '../../genl/codes.ts';
import { startOvParms } from '../../genl/command-attrs.ts';
import { parms } from '../../genl/parms.ts';
import { refusal } from '../../genl/reply.ts';
import type { Reply } from '../../genl/reply.ts';
import { Ss } from '../../state/ss.ts';
import { Cstate } from '../../state/states.ts';
import type { Call } from './call.ts';

/** Online verify does not run yet: genuine's own refusals come first. */
export function startVerify({ request, peerDevice: { connection } }: Call): Reply {
  const given = parms(request, startOvParms);
  if (given.refused) return given.refused;
  if (connection.netConf.verifyAlg === '') return refusal(Ss.noVerifyAlg);
  if (connection.cstate() !== Cstate.connected) return refusal(Ss.needConnection);
  return refusal(Err.INVALID_REQUEST, 'online verify is not supported by this version');
}
