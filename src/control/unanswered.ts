// SPDX-License-Identifier: GPL-2.0-or-later
import { Cstate, Repl } from '../state/states.ts';
import type { Connection } from './connection.ts';

/** An exchange of bitmaps is over by then, or never begins. */
const UNANSWERED_MS = 60_000;

/**
 * A resync that each end begins by its own judgement. The peer may have judged at another moment, by another state: then one
 * waits for ever, or both do. A new connect asks both at once.
 */
export function unlessAnswered(connection: Connection, tag: string): void {
  const { resource, nodeId, conn: { link } } = connection;
  const begun = [...connection.peerDevices.values()].map(({ device: { vnr } }) => ({ vnr, repl: resource.peerDeviceRow(vnr, nodeId).repl }))
    .filter(({ repl }) => repl === Repl.wfBitMapS || repl === Repl.wfBitMapT);
  const waits = ({ vnr, repl }: typeof begun[number]): boolean =>
    connection.peerDevices.has(vnr) && resource.peerDeviceRow(vnr, nodeId).repl === repl;
  resource.engine.host.clock.timer(`answer to a ${tag}`, UNANSWERED_MS, () => {
    if (link === null || connection.conn.link !== link || !begun.some(waits)) return;
    connection.logger.warn(`The peer does not take part in the resync (${tag}), connecting again`);
    resource.dispatch({ kind: 'lost', nodeId, cstate: Cstate.networkFailure, tag });
  });
}
