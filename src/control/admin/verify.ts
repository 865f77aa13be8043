// SPDX-License-Identifier: GPL-2.0-or-later
/** verify. @spec state.md 7.9, uuid.md 8 */
import { startOvParms } from '../../genl/command-attrs.ts';
import { parms } from '../../genl/parms.ts';
import { refusal } from '../../genl/reply.ts';
import type { Reply } from '../../genl/reply.ts';
import { Ss } from '../../state/ss.ts';
import { Cs, Cstate, Repl } from '../../state/states.ts';
import { changeReply } from './call.ts';
import type { Call } from './call.ts';
import type { Steps } from './steps.ts';
import { withIoSuspended } from './waits.ts';

const SECTORS_A_BLOCK = 8;

/** From where the last run stopped, to the end, unless it is told otherwise. */
export function* startVerify(call: Call): Steps<Reply> {
  const { connection, device, io: { verify } } = call.peerDevice;
  const { nodeId } = connection;
  const { resource, vnr } = device;
  const given = parms(call.request, startOvParms, { ovStartSector: verify.startSector, ovStopSector: Infinity });
  if (given.refused) return given.refused;
  // Without a connection the rules turn the wish into no change at all, and that would look like success.
  if (connection.netConf.verifyAlg === '') return refusal(Ss.noVerifyAlg);
  if (connection.cstate() !== Cstate.connected) return refusal(Ss.needConnection);
  const { ovStartSector, ovStopSector } = given.value;
  verify.startSector = ovStartSector - ovStartSector % SECTORS_A_BLOCK;
  verify.stopSector = ovStopSector;
  return yield* withIoSuspended(device, function* () {
    return changeReply(yield* call.ask(resource, (request) => ({ kind: 'clusterChange', request, tag: 'verify',
      flags: Cs.verbose | Cs.waitComplete | Cs.serialize, transient: true, change: { what: 'repl', nodeId, vnr, repl: Repl.verifyS } })));
  });
}
