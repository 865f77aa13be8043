// SPDX-License-Identifier: GPL-2.0-or-later
/** What a congested connection leads to. @spec io.md 11.1, uuid.md 7.12 */
import { OnCongestion } from '../io/congestion.ts';
import { Cs, Cstate, Repl } from '../state/states.ts';
import type { PeerDevice } from './peer-device.ts';

/** In the worker, with what is in flight then. */
export function handleCongestion(pd: PeerDevice): void {
  const { connection, device: { resource, vnr } } = pd;
  resource.worker.push(() => {
    pd.io.handlingCongestion = false;
    if (connection.io.apInFlight === 0 || connection.cstate() !== Cstate.connected) return false;
    if (!connection.peerDevices.has(vnr)) return false;
    const { nodeId, netConf: { onCongestion } } = connection;
    if (onCongestion === OnCongestion.pullAhead) {
      resource.dispatch({ kind: 'change', request: 0, tag: 'congestion', flags: Cs.hard,
        changes: [{ set: 'repl', vnr, nodeId, repl: Repl.ahead }] });
    } else if (onCongestion === OnCongestion.disconnect) connection.conn.fail(Cstate.disconnecting, 'congestion', '');
    return false;
  });
}
