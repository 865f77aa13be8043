// SPDX-License-Identifier: GPL-2.0-or-later
/** Feature bits of P_CONNECTION_FEATURES. @spec wire.md 3 */
export const Feature = {
  trim: 1,
  thinResync: 2,
  wsame: 4,
  wzeroes: 8,
  resyncDagtag: 16,
  twopcV2: 32,
  rsSkipUuid: 64,
  resyncWithoutReplication: 128,
  bmBlockShift: 256,
  reconcileReconnect: 512,
  /** Ours: equal generations with bits are reconciled by them. docs/reference/generations.md */
  reconcileBits: 1 << 30,
} as const;

/** Names as the log prints them, by ascending bit. */
export const FEATURE_NAMES: ReadonlyArray<readonly [bit: number, name: string]> = [
  [Feature.trim, 'TRIM'],
  [Feature.thinResync, 'THIN_RESYNC'],
  [Feature.wsame, 'WRITE_SAME'],
  [Feature.wzeroes, 'WRITE_ZEROES'],
  [Feature.resyncDagtag, 'RESYNC_DAGTAG'],
  [Feature.twopcV2, '2PC_V2'],
  [Feature.rsSkipUuid, 'RS_SKIP_UUID'],
  [Feature.resyncWithoutReplication, 'RESYNC_WITHOUT_REPLICATION'],
  [Feature.bmBlockShift, 'BM_BLOCK_SHIFT'],
  [Feature.reconcileReconnect, 'RECONCILE_RECONNECT'],
  [Feature.reconcileBits, 'RECONCILE_BITS'],
];

export function featureNames(features: number): string {
  const names = FEATURE_NAMES.filter(([bit]) => (features & bit) !== 0).map(([, name]) => name);
  return names.length === 0 ? 'none' : names.join(' ');
}

/** What 9.2.18 offers, and a bit of our own: each obliges to everything in its row of the spec. */
export const OFFERED_FEATURES = Feature.trim | Feature.thinResync | Feature.wsame | Feature.wzeroes
  | Feature.resyncDagtag | Feature.twopcV2 | Feature.rsSkipUuid | Feature.reconcileBits;
