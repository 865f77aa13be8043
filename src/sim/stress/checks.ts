// SPDX-License-Identifier: GPL-2.0-or-later
/** What must hold at any time (hazards.md 17): each rule says what is wrong, '' when nothing is. */
import type { SimMember } from '../cluster.ts';
import { Cstate, Disk, diskNames, Repl, Role } from '../../state/states.ts';
import { attachedDisk, cstateOf, diskStateOf, generationOf, isHealthy, makesGeneration, replOf, roleOf, viewOf } from './look.ts';
import type { Stress } from './stress.ts';

const SECTORS_PER_BLOCK = 8;
const BLOCKS_PER_EXTENT = 1024;

type Rule = (s: Stress) => string;

function pairs(s: Stress): [SimMember, SimMember][] {
  const { members } = s.cluster;
  return members.flatMap((a) => members.filter((b) => a.id < b.id).map((b): [SimMember, SimMember] => [a, b]));
}

const connected = (a: SimMember, b: SimMember): boolean =>
  cstateOf(a, b) === Cstate.connected && cstateOf(b, a) === Cstate.connected;

/** Two that know of each other are never Primary at once. */
function twoPrimaries(s: Stress): string {
  for (const [a, b] of pairs(s)) {
    if (connected(a, b) && roleOf(a) === Role.primary && roleOf(b) === Role.primary) return `n${a.id} and n${b.id} are Primary`;
  }
  return '';
}

/** Two disks that may be compared: same generation, or in the midst of a comparison or a resync. */
function comparable(a: SimMember, b: SimMember): boolean {
  const lowest = Math.min(diskStateOf(a), diskStateOf(b));
  if (lowest < Disk.inconsistent || diskStateOf(a) === Disk.unknown || diskStateOf(b) === Disk.unknown) return false;
  if (connected(a, b)) return replOf(a, b) === Repl.established && replOf(b, a) === Repl.established;
  return lowest >= Disk.consistent && generationOf(a) !== 0n && generationOf(a) === generationOf(b)
    && viewOf(a)!.devices[0]!.newCurUuid === false && viewOf(b)!.devices[0]!.newCurUuid === false;
}

/** A block that differs between two disks of one generation is out of sync on one of them, active, or under way. */
function coverage(s: Stress): string {
  const { history } = s.ledger;
  for (const [a, b] of pairs(s)) {
    const why = uncovered(a, b, history.written, (sector) => history.quiet(sector));
    if (why !== '') return why;
  }
  return '';
}

/** Of two nodes; `quiet`: nothing is under way to that sector. */
export function uncovered(a: SimMember, b: SimMember, sectors: Iterable<number>, quiet: (sector: number) => boolean): string {
  const [x, y] = [attachedDisk(a), attachedDisk(b)];
  if (!x || !y || !comparable(a, b)) return '';
  const [slotX, slotY] = [x.bitmapIndex(b.id), y.bitmapIndex(a.id)];
  for (const sector of sectors) {
    const [here, there] = [a, b].map((m) => m.node.disks.get('/dev/disk0')!.tag(sector));
    if (here === there || !quiet(sector)) continue;
    const block = Math.floor(sector / SECTORS_PER_BLOCK);
    if (slotX >= 0 && x.bitmap.test(slotX, block)) continue;
    if (slotY >= 0 && y.bitmap.test(slotY, block)) continue;
    const extent = Math.floor(block / BLOCKS_PER_EXTENT);
    if (x.al.isActive(extent, extent) || y.al.isActive(extent, extent)) continue;
    return `sector ${sector} is ${here} on n${a.id} (${diskNames[diskStateOf(a)]}) and ${there}`
      + ` on n${b.id} (${diskNames[diskStateOf(b)]}) of one generation, and no bit says so`;
  }
  return '';
}

/** At rest all disks are equal, and hold what may be read. */
export function compareDisks(s: Stress): string {
  const members = s.cluster.members.filter((m) => !s.cluster.isDiskless(m.id));
  for (const sector of s.ledger.history.written) {
    for (const m of members) {
      const why = s.ledger.history.refuse(sector, s.diskOf(m).tag(sector));
      if (why) return `n${m.id}: ${why}`;
      if (s.diskOf(m).tag(sector) !== s.diskOf(members[0]!).tag(sector)) {
        return `sector ${sector} is ${s.diskOf(members[0]!).tag(sector)} on n${members[0]!.id} and ${s.diskOf(m).tag(sector)} on n${m.id}`;
      }
    }
  }
  return '';
}

/** Nothing is under way, and something was written in its generation: whoever has to has heard of that one. */
const isSettled = (m: SimMember): boolean => m.resource.io.requests.writes === 0 && attachedDisk(m)?.unused !== true;

/** A healthy cluster knows one generation only, once it is on the disk of who makes it: nobody hears of it before. */
function oneGeneration(s: Stress): string {
  if (!isHealthy(s.cluster) || s.cluster.members.some(makesGeneration) || !s.cluster.members.every(isSettled)) return '';
  const disks = s.cluster.members.filter((m) => !s.cluster.isDiskless(m.id));
  const odd = disks.find((m) => generationOf(m) !== generationOf(disks[0]!));
  return odd ? `n${odd.id} and n${disks[0]!.id} are UpToDate and connected with different generations` : '';
}

export const rules = {
  'a read on a Primary returns what was acknowledged, or newer': (s) => s.load.wrong,
  'related nodes are never called unrelated or split': (s) => s.refusal,
  'two nodes that are connected are not both Primary': twoPrimaries,
  'what differs is out of sync, active or under way': coverage,
  'a healthy cluster has one generation': oneGeneration,
} satisfies Record<string, Rule>;
