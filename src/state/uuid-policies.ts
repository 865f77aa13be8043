// SPDX-License-Identifier: GPL-2.0-or-later
/** After-split-brain policies. @spec uuid.md 3.4, 3.5 */
import { LogLevel } from '../host/log.ts';
import type { LogLine } from './uuid-types.ts';

export type AfterSb =
  | 'disconnect' | 'discard-younger-primary' | 'discard-older-primary' | 'discard-zero-changes'
  | 'discard-least-changes' | 'discard-local' | 'discard-remote' | 'consensus' | 'discard-secondary'
  | 'call-pri-lost-after-sb' | 'violently-as0p' | 'retry-connect' | 'auto-discard';

/** S: self is source, T: target, null: no decision (disconnect). */
export type Verdict = 'S' | 'T' | null;

export interface PolicyView {
  readonly afterSb0p: AfterSb;
  readonly afterSb1p: AfterSb;
  readonly afterSb2p: AfterSb;
  /** Also after the demotion that a policy asked for. */
  readonly selfPrimary: boolean;
  readonly peerPrimary: boolean;
  /** Bit 0 of the own bitmap UUID for the peer, and of the peer's for self. */
  readonly selfWasPrimary: boolean;
  readonly peerWasPrimary: boolean;
  /** Blocks changed on each side: comm_bm_set, dirty_bits. */
  readonly selfChanges: number;
  readonly peerChanges: number;
  readonly resolveConflicts: boolean;
  /** Result of the demotion that 'call-pri-lost-after-sb' may ask for. */
  readonly demoted: 'not-tried' | 'yes' | 'no';
}

export interface PolicyResult {
  readonly verdict: Verdict;
  readonly log: readonly LogLine[];
  /** Usermode helpers to call, in order. */
  readonly helpers: readonly string[];
  /** The node must try to become Secondary (state change tag) and decide again with `demoted`. */
  readonly demote: 'after-sb-1pri' | 'after-sb-2pri' | null;
}

const configurationError: LogLine = { level: LogLevel.err, text: 'Configuration error.' };

function result(verdict: Verdict, log: readonly LogLine[] = []): PolicyResult {
  return { verdict, log, helpers: [], demote: null };
}

type Zero = (v: PolicyView) => PolicyResult;

const byRc = (v: PolicyView): Verdict => (v.resolveConflicts ? 'T' : 'S');

const leastChanges: Zero = (v) => result(v.selfChanges < v.peerChanges ? 'T'
  : v.selfChanges > v.peerChanges ? 'S' : byRc(v));

/** null: one of the two has no changes is not the case. */
function zeroChanges(v: PolicyView): Verdict {
  if (v.selfChanges === 0 && v.peerChanges === 0) return byRc(v);
  if (v.peerChanges === 0) return 'S';
  return v.selfChanges === 0 ? 'T' : null;
}

function byPrimary(v: PolicyView, selfOnly: Verdict, peerOnly: Verdict): Verdict {
  return v.selfWasPrimary === v.peerWasPrimary ? null : v.selfWasPrimary ? selfOnly : peerOnly;
}

const olderPrimary: Zero = (v) => {
  const verdict = byPrimary(v, 'T', 'S');
  if (verdict !== null) return result(verdict);
  const log = [{
    level: LogLevel.warning,
    text: 'Discard younger/older primary did not find a decision Using discard-least-changes instead',
  }];
  const zero = zeroChanges(v);
  return zero !== null ? result(zero, log) : { ...leastChanges(v), log };
};

/** No Primary now. A value that is not here is a configuration error. */
export const afterSb0pri: { readonly [value in AfterSb]?: Zero } = {
  'disconnect': () => result(null),
  'discard-younger-primary': (v) => {
    const verdict = byPrimary(v, 'S', 'T');
    return verdict !== null ? result(verdict) : olderPrimary(v);
  },
  'discard-older-primary': olderPrimary,
  'discard-zero-changes': (v) => result(zeroChanges(v)),
  'discard-least-changes': leastChanges,
  'discard-local': () => result('T'),
  'discard-remote': () => result('S'),
};

function zeroPrimaries(v: PolicyView): PolicyResult {
  return afterSb0pri[v.afterSb0p]?.(v) ?? result(null, [configurationError]);
}

/** T means giving up an own Primary: demote, or tell the pri-lost-after-sb helper. */
function callPriLost(v: PolicyView, demote: 'after-sb-1pri' | 'after-sb-2pri'): PolicyResult {
  const zero = zeroPrimaries(v);
  if (zero.verdict !== 'T' || !v.selfPrimary) return zero;
  if (v.demoted === 'not-tried') return { ...zero, verdict: null, demote };
  if (v.demoted === 'no') return { ...zero, verdict: null, helpers: ['pri-lost-after-sb'] };
  const gaveUp = { level: LogLevel.warning, text: 'Successfully gave up primary role.' };
  return { ...zero, log: [...zero.log, gaveUp] };
}

/** One Primary. */
export const afterSb1pri: { readonly [value in AfterSb]?: Zero } = {
  'disconnect': () => result(null),
  'consensus': (v) => {
    const zero = zeroPrimaries(v);
    const agreed = (zero.verdict === 'T' && !v.selfPrimary) || (zero.verdict === 'S' && v.selfPrimary);
    return agreed ? zero : { ...zero, verdict: null };
  },
  'violently-as0p': zeroPrimaries,
  'discard-secondary': (v) => result(v.selfPrimary ? 'S' : 'T'),
  'call-pri-lost-after-sb': (v) => callPriLost(v, 'after-sb-1pri'),
};

/** Two Primaries. */
export const afterSb2pri: { readonly [value in AfterSb]?: Zero } = {
  'disconnect': () => result(null),
  'violently-as0p': zeroPrimaries,
  'call-pri-lost-after-sb': (v) => callPriLost(v, 'after-sb-2pri'),
};

export function afterSplitBrain(v: PolicyView): PolicyResult {
  const primaries = Number(v.selfPrimary) + Number(v.peerPrimary);
  if (primaries === 0) return zeroPrimaries(v);
  const table = primaries === 1 ? afterSb1pri : afterSb2pri;
  const policy = table[primaries === 1 ? v.afterSb1p : v.afterSb2p];
  return policy?.(v) ?? result(null, [configurationError]);
}
