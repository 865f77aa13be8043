// SPDX-License-Identifier: GPL-2.0-or-later
import { Disk, Repl } from '../state/states.ts';

/** What a peer gets of a write. */
export const Route = { nothing: 0, data: 1, outOfSync: 2 } as const;
export type Route = (typeof Route)[keyof typeof Route];

/** First line that matches: by peer disk state and replication state. @spec io.md 1.6 */
export function routeWrite(pdisk: number, repl: number): Route {
  if (pdisk === Disk.upToDate) return Route.data;
  if (pdisk === Disk.inconsistent && (repl === Repl.established || (repl >= Repl.wfBitMapT && repl < Repl.ahead))) {
    return Route.data;
  }
  if (repl === Repl.ahead || repl === Repl.wfBitMapS || (pdisk === Disk.outdated && repl >= Repl.established)) {
    return Route.outOfSync;
  }
  return Route.nothing;
}

/** Is the peer being synced from here, or about to be? */
export const isSourceFor = (repl: number): boolean =>
  repl === Repl.syncSource || repl === Repl.pausedSyncS || repl === Repl.wfBitMapS;
