// SPDX-License-Identifier: GPL-2.0-or-later
/** Seeds that failed once, and why: each stays as it was found. */
import type { Wanted } from './plan.ts';

export interface Regression extends Wanted {
  readonly lost: string;
}

export const regressions: readonly Regression[] = [
  { seed: 11, lost: 'the resync after a split brain was interrupted: a policy made its Inconsistent target the source' },
  { seed: 17, lost: 'the same' },
  { seed: 146, lost: 'a new generation was made while the peer was to be fenced, and this node was the one that was shot' },
  { seed: 159, lost: 'the resync that --discard-my-data had reversed was interrupted: its Inconsistent target had the newer generation' },
  { seed: 927, minutes: 2, lost: 'the same, before the first block: the good disk became target of an Outdated one' },
  { seed: 1107, lost: 'a late end of a last close was taken for the opener that had come since: it was demoted' },
  { seed: 1453, lost: 'a peer was lost before it could be told a generation: it had no base for it' },
  { seed: 35, lost: 'a late peer ack marked again what the resync of an attach had synced: between two Primaries it stays for ever' },
  { seed: 65, lost: 'a Primary that attached beside another one counted as equal, though that one had bits for it' },
  { seed: 86, lost: 'the same as 65' },
  { seed: 114, lost: 'the same as 35' },
  { seed: 241, lost: 'the same as 35' },
  { seed: 268, lost: 'the same as 65' },
  { seed: 283, lost: 'the same as 65' },
  { seed: 104, lost: 'an older disk became UpToDate beside a peer that was to be fenced' },
  { seed: 284, lost: 'a Primary was to be the target of one whose generation was unused: it refused, and the other one no longer waited for its fencing' },
  { seed: 361, lost: 'two Primaries withdrew their unused generations, with writes before these that only one had answered' },
  { seed: 474, lost: 'the checker took for there what was written while that disk was detached' },
];
