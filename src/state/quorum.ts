// SPDX-License-Identifier: GPL-2.0-or-later
/** Counting votes. @spec state.md 8.4 */
import { Disk, PeerFlag, Quorum, Repl, Role } from './states.ts';
import type { PeerDeviceRow } from './types.ts';
import { NODES_MAX, connectionIndex, hasNode } from './view.ts';
import type { Rows } from './view.ts';
import { pdAt } from './facts.ts';

export interface Votes {
  upToDate: number;
  present: number;
  outdated: number;
  quorumless: number;
  unknown: number;
  diskless: number;
  missingDiskless: number;
  /** UpToDate peers that say that they have quorum; counted only without own disk. */
  quoratePeers: number;
}

export interface QuorumVerdict {
  readonly haveQuorum: boolean;
  readonly tiebreaker: boolean;
  readonly votes: Readonly<Votes>;
  readonly voters: number;
  readonly quorumAt: number;
  readonly minRedundancyAt: number;
}

export function threshold(setting: number, nodes: number): number {
  if (setting === Quorum.majority) return Math.floor(nodes / 2) + 1;
  if (setting === Quorum.all) return nodes;
  return setting;
}

const noVotes = (): Votes => ({
  upToDate: 0, present: 0, outdated: 0, quorumless: 0, unknown: 0, diskless: 0, missingDiskless: 0, quoratePeers: 0,
});

function countAbsent(votes: Votes, diskless: boolean, outdated: boolean, quorumless: boolean): void {
  if (diskless) votes.missingDiskless++;
  else if (outdated) votes.outdated++;
  else if (quorumless) votes.quorumless++;
  else votes.unknown++;
}

/** With own disk: over all node ids in the meta-data. */
function countBySlots(now: Rows, next: Rows, d: number, quorumless: bigint): Votes {
  const votes = noVotes();
  const device = next.devices[d]!;
  const slots = device.md!.slots;
  const own = next.resource.nodeId;
  if (device.disk === Disk.upToDate) votes.upToDate++;
  else votes.present++;
  const phantoms = slots.every((slot, n) =>
    n === own || (slot.flags & PeerFlag.nodeExists) !== 0 || connectionIndex(next, n) >= 0);
  for (let n = 0; n < NODES_MAX; n++) {
    if (n === own) continue;
    const c = connectionIndex(next, n);
    const slot = slots[n]!;
    const flags = phantoms && c < 0 ? slot.flags & ~PeerFlag.nodeExists : slot.flags;
    if (slot.bitmapIndex < 0 && (flags & (PeerFlag.nodeExists | PeerFlag.deviceSeen)) === 0) continue;
    if (c >= 0 && !next.connections[c]!.options.allowRemoteRead) continue;
    const pd = c < 0 ? undefined : pdAt(next, d, c);
    countPeer(votes, pd, pd === undefined ? (flags & PeerFlag.deviceSeen) === 0 : !pd.wantBitmap,
      (flags & PeerFlag.outdated) !== 0, hasNode(quorumless, n), true);
  }
  return votes;
}

function countPeer(votes: Votes, pd: PeerDeviceRow | undefined, intentionalDiskless: boolean, slotOutdated: boolean,
  quorumless: boolean, ownDisk: boolean): void {
  const pdsk = pd === undefined ? Disk.unknown : pd.pdsk;
  if (pd === undefined || pd.repl === Repl.off) {
    countAbsent(votes, intentionalDiskless, pdsk <= Disk.outdated || slotOutdated, quorumless);
  } else if (pdsk === Disk.diskless && (intentionalDiskless || !ownDisk)) votes.diskless++;
  else if (pdsk === Disk.upToDate) votes.upToDate++;
  else votes.present++;
}

function countWithoutDisk(next: Rows, d: number, quorumless: bigint): Votes {
  const votes = noVotes();
  const device = next.devices[d]!;
  if (device.disk === Disk.diskless) {
    if (device.intentionalDiskless) votes.diskless++;
    else votes.unknown++;
  }
  for (let c = 0; c < next.connections.length; c++) {
    if (!next.connections[c]!.options.allowRemoteRead) continue;
    const pd = pdAt(next, d, c);
    countPeer(votes, pd, !pd.wantBitmap, false, hasNode(quorumless, pd.nodeId), false);
    if (pd.pdsk === Disk.upToDate && pd.peerQuorate) votes.quoratePeers++;
  }
  return votes;
}

/** Has device d quorum in `next`? `now` is the state before. @spec state.md 8.4 */
export function calcQuorum(now: Rows, next: Rows, d: number): QuorumVerdict {
  const device = next.devices[d]!;
  const { quorum, quorumMinimumRedundancy } = next.resource.options;
  const quorumless = now.devices[d]!.haveQuorum ? ~next.resource.members : 0n;
  const votes = device.disk > Disk.attaching && device.md !== null
    ? countBySlots(now, next, d, quorumless) : countWithoutDisk(next, d, quorumless);

  let voters = votes.outdated + votes.quorumless + votes.unknown + votes.upToDate + votes.present;
  if (votes.outdated + votes.quorumless + votes.unknown >= threshold(quorum, voters)) {
    votes.unknown += votes.quorumless;
    votes.quorumless = 0;
  }
  const here = votes.upToDate + votes.present;
  if (votes.unknown === 0) voters = here;
  const quorumAt = threshold(quorum, voters);
  const minRedundancyAt = threshold(quorumMinimumRedundancy, voters);
  const disklessMajorityAt = threshold(Quorum.majority, votes.diskless + votes.missingDiskless);
  // A quorate peer may not have noticed a loss yet, and whom only that one sees does not get our writes.
  const have = (votes.quoratePeers > 0 || here >= quorumAt) && votes.upToDate >= minRedundancyAt;
  const tiebreaker = !have && voters !== 0 && voters % 2 === 0 && here === quorumAt - 1
    && votes.diskless >= disklessMajorityAt && (now.devices[d]!.haveQuorum || votes.quoratePeers > 0);
  return { haveQuorum: have || tiebreaker, tiebreaker, votes, voters, quorumAt, minRedundancyAt };
}

/** Are those that are away too few for quorum, also where it is only the redundancy that is missing here? */
export function othersLackQuorum(rows: Rows, d: number): boolean {
  const { options: { quorum }, role } = rows.resource;
  if (quorum === Quorum.off || role !== Role.primary || rows.connections.some((c) => !c.options.allowRemoteRead)) return false;
  const { disk, intentionalDiskless } = rows.devices[d]!;
  const { votes } = calcQuorum(rows, rows, d);
  // A disk that was lost is the vote of nobody else.
  const lost = disk <= Disk.attaching && !intentionalDiskless ? 1 : 0;
  const away = votes.outdated + votes.quorumless + votes.unknown - (disk === Disk.diskless ? lost : 0);
  const here = votes.upToDate + votes.present + lost;
  return away < threshold(quorum, away + here) && (away < here || (away === here && votes.diskless > votes.missingDiskless));
}

/** Why there is none, in the words of genuine DRBD. @spec state.md 4.2 T16 */
export function quorumText(verdict: QuorumVerdict, disk: Disk): string {
  const { votes, voters } = verdict;
  const byPeer = votes.quoratePeers > 0;
  if (disk <= Disk.attaching && !byPeer) return 'no UpToDate peer with quorum';
  const here = votes.upToDate + votes.present;
  if (!byPeer && here < verdict.quorumAt) return `${here} of ${voters} nodes visible, need ${verdict.quorumAt} for quorum`;
  return `${votes.upToDate} of ${voters} nodes up_to_date, need ${verdict.minRedundancyAt} for quorum-minimum-redundancy`;
}
