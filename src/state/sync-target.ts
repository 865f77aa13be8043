// SPDX-License-Identifier: GPL-2.0-or-later
/** Of all peers that a volume could be synced from, one at a time is. @spec state.md 3.4 */
import type { Draft } from './draft.ts';
import { pdAt } from './facts.ts';
import { Disk, Repl, isSyncTarget } from './states.ts';
import type { PeerDeviceRow } from './types.ts';

/** A better source must have this many bits fewer before a running resync gives way. */
const WORTH_A_CHANGE_BITS = 256;

const isCandidate = (pd: PeerDeviceRow): boolean =>
  isSyncTarget(pd.repl) && !pd.suspDependency && !pd.suspPeer && !pd.suspUser && pd.pdsk >= Disk.outdated;

/** Rows S13..S18, and the better disk first: only a resync from an UpToDate one ends UpToDate. */
export function selectSyncTarget(draft: Draft, d: number): void {
  const { vnr } = draft.devices[d]!;
  const bits = (c: number): number => draft.live.outOfSyncBits(vnr, draft.connections[c]!.nodeId);
  const disk = (c: number): Disk => pdAt(draft, d, c).pdsk;
  let current = -1;
  let active = -1;
  let desired = -1;
  for (let c = 0; c < draft.connections.length; c++) {
    const pd = pdAt(draft, d, c);
    if (pd.resyncActive) active = c;
    if (!isCandidate(pd)) continue;
    if (pdAt(draft.old, d, c).repl === Repl.syncTarget) current = c;
    if (desired < 0 || disk(c) > disk(desired) || (disk(c) === disk(desired) && bits(c) <= bits(desired))) desired = c;
  }
  if (current >= 0 && disk(current) === disk(desired) && bits(current) < bits(desired) + WORTH_A_CHANGE_BITS) desired = current;
  // The active one must drain first; the end of its requests evaluates this again.
  if (desired >= 0 && active >= 0 && desired !== active) desired = -1;
  if (desired >= 0) draft.setPeerDevice(draft.index(d, desired), { resyncActive: true });
  for (let c = 0; c < draft.connections.length; c++) {
    const { repl } = pdAt(draft, d, c);
    const chosen = c === desired;
    draft.setPeerDevice(draft.index(d, c), {
      suspOtherC: desired >= 0 && !chosen,
      repl: !isSyncTarget(repl) ? repl : chosen ? Repl.syncTarget : Repl.pausedSyncT,
    });
  }
}
