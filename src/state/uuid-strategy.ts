// SPDX-License-Identifier: GPL-2.0-or-later
/** What two nodes do about their data: strategies and what they lead to. @spec uuid.md 2.1, 2.3 */
import { Repl, Role } from './states.ts';

export type Strategy =
  | 'undetermined' | 'no-sync'
  | 'source-if-both-failed' | 'source-use-bitmap' | 'source-set-bitmap' | 'source-copy-other-bitmap'
  | 'target-if-both-failed' | 'target-use-bitmap' | 'target-set-bitmap' | 'target-clear-bitmap'
  | 'split-brain-auto-recover' | 'split-brain-disconnect' | 'unrelated-data' | 'retry-connect'
  | 'requires-proto-124' | 'sync-target-primary-reconnect' | 'sync-target-primary-disconnect';

export type StrategyKind = 'none' | 'no-sync' | 'source' | 'target' | 'split-brain';

export interface StrategyRow {
  /** Genuine's name in the log. */
  readonly name: string;
  readonly kind: StrategyKind;
  readonly disconnect: boolean;
  readonly reconnect: boolean;
  readonly fullSync: Strategy | null;
  readonly reverse: Strategy | null;
  /** drbd_try_to_get_resynced takes the highest; 0: never. @spec uuid.md 3.10 */
  readonly preference: number;
  readonly requiredProtocol: number;
}

function row(name: string, kind: StrategyKind, rest: Partial<StrategyRow> = {}): StrategyRow {
  return { name, kind, disconnect: false, reconnect: false, fullSync: null, reverse: null, preference: 0,
    requiredProtocol: 0, ...rest };
}

export const strategies: { readonly [S in Strategy]: StrategyRow } = {
  'undetermined': row('?', 'none'),
  'no-sync': row('no-sync', 'no-sync', { preference: 5 }),
  'source-if-both-failed': row('source-if-both-failed', 'source', { reverse: 'target-if-both-failed' }),
  'source-use-bitmap': row('source-use-bitmap', 'source',
    { fullSync: 'source-set-bitmap', reverse: 'target-use-bitmap' }),
  'source-set-bitmap': row('source-set-bitmap', 'source', { reverse: 'target-set-bitmap' }),
  'source-copy-other-bitmap': row('source-copy-other-bitmap', 'source'),
  'target-if-both-failed': row('target-if-both-failed', 'target',
    { reverse: 'source-if-both-failed', preference: 4 }),
  'target-use-bitmap': row('target-use-bitmap', 'target',
    { fullSync: 'target-set-bitmap', reverse: 'source-use-bitmap', preference: 3 }),
  'target-set-bitmap': row('target-set-bitmap', 'target', { reverse: 'source-set-bitmap', preference: 2 }),
  'target-clear-bitmap': row('target-clear-bitmap', 'target', { preference: 1 }),
  'split-brain-auto-recover': row('split-brain-auto-recover', 'split-brain', { disconnect: true }),
  'split-brain-disconnect': row('split-brain-disconnect', 'split-brain', { disconnect: true }),
  'unrelated-data': row('unrelated-data', 'none', { disconnect: true }),
  'retry-connect': row('retry-connect', 'none', { reconnect: true }),
  'requires-proto-124': row('requires-proto-124', 'none', { disconnect: true, requiredProtocol: 124 }),
  'sync-target-primary-reconnect': row('sync-target-primary-reconnect', 'target', { reconnect: true }),
  'sync-target-primary-disconnect': row('sync-target-primary-disconnect', 'target', { disconnect: true }),
};

/** NO_SYNC, or any source or target kind. */
export function isDetermined(strategy: Strategy): boolean {
  const { kind } = strategies[strategy];
  return kind === 'no-sync' || kind === 'source' || kind === 'target';
}

/** strategy_to_repl_state. @spec uuid.md 2.3 */
export function strategyToRepl(strategy: Strategy, role: Role, peerRole: Role): Repl {
  const arbitrary = strategy === 'source-if-both-failed' || strategy === 'target-if-both-failed';
  if (arbitrary && (role === Role.primary || peerRole === Role.primary)) {
    if (peerRole === Role.secondary) return Repl.wfBitMapS;
    return role === Role.secondary ? Repl.wfBitMapT : Repl.established;
  }
  const { kind } = strategies[strategy];
  return kind === 'source' ? Repl.wfBitMapS : kind === 'target' ? Repl.wfBitMapT : Repl.established;
}
