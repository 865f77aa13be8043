// SPDX-License-Identifier: GPL-2.0-or-later
import { Feature, OFFERED_FEATURES } from './features.ts';

/** Outcome of P_CONNECTION_FEATURES: what both ends of a connection speak. */
export interface Agreed {
  readonly version: number;
  readonly features: number;
}

export const PRO_VERSION_MIN = 118;
export const PRO_VERSION_MAX = 124;

/** What a version brought; code asks this table and never compares numbers. @spec wire.md 17 */
export const Since = {
  dataIntegrityAlg: 87,
  verifyAlgInSyncParam: 88,
  syncParam89: 89,
  syncParamController: 95,
  requestAckFlags: 100,
  twopc: 110,
  realDiskSize: 112,
  twopcResize: 112,
  confirmStable: 114,
  rsCancelAhead: 115,
  day0Uuid: 116,
  handshakeInTwopc: 118,
  disconnectPacket: 118,
  resyncDirectionFromDiskState: 119,
  blockIdOfResync: 122,
  flushRequests: 123,
  staleBitmapUuidCleared: 124,
} as const;

export type Capability = keyof typeof Since;

export const speaks = (agreed: Agreed, capability: Capability): boolean => agreed.version >= Since[capability];
export const agreedOn = (agreed: Agreed, feature: number): boolean => (agreed.features & feature) !== 0;

export interface VersionOffer {
  readonly min: number;
  readonly max: number;
  readonly features: number;
}

export const ownOffer: VersionOffer = { min: PRO_VERSION_MIN, max: PRO_VERSION_MAX, features: OFFERED_FEATURES };

export type VersionResult = Agreed | { readonly incompatible: string };

/** Versions that exist in the sources but that no current release accepts. */
const RETIRED = { min: 102, max: 117 } as const;

/** The agreed version and features, or why there are none. @spec wire.md 3 */
export function agree(own: VersionOffer, peer: VersionOffer): VersionResult {
  const version = Math.min(own.max, peer.max);
  const features = (own.features & peer.features) >>> 0;
  const incompatible = own.max < peer.min || own.min > peer.max
    || (version >= RETIRED.min && version <= RETIRED.max)
    || (version === 121 && (features & Feature.resyncDagtag) !== 0);
  if (!incompatible) return { version, features };
  return {
    incompatible: `incompatible DRBD dialects: I support ${own.min}-${own.max}, peer supports ${peer.min}-${peer.max}`,
  };
}
