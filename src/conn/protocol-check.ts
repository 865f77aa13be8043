// SPDX-License-Identifier: GPL-2.0-or-later
/** P_PROTOCOL: what both ends must have configured alike. @spec uuid.md 4.5, wire.md 5.3 */
import { ConnFlag, type PProtocol } from '../wire/packets/protocol.ts';
import type { ConnectFlags, NetConf } from './config.ts';

export const protocolPacket = (conf: NetConf, flags: ConnectFlags): PProtocol => ({
  protocol: conf.wireProtocol,
  afterSb0p: conf.afterSb0p,
  afterSb1p: conf.afterSb1p,
  afterSb2p: conf.afterSb2p,
  connFlags: (flags.discardMyData ? ConnFlag.discardMyData : 0) | (flags.dryRun ? ConnFlag.dryRun : 0),
  twoPrimaries: conf.twoPrimaries ? 1 : 0,
  integrityAlg: conf.integrityAlg,
});

const DISCARD_LOCAL = 5;
const DISCARD_REMOTE = 6;

/** What is local here is remote there. */
function seenFromHere(policy: number): number {
  if (policy === DISCARD_LOCAL) return DISCARD_REMOTE;
  return policy === DISCARD_REMOTE ? DISCARD_LOCAL : policy;
}

/** P_PROTOCOL_UPDATE with the policies as they are to be adopted here. */
export const updateSeenFromHere = (peer: PProtocol): PProtocol => ({
  ...peer,
  afterSb0p: seenFromHere(peer.afterSb0p),
  afterSb1p: seenFromHere(peer.afterSb1p),
  afterSb2p: seenFromHere(peer.afterSb2p),
});

/** The options after an update was adopted; the integrity algorithm of what we send stays our own. */
export const adopted = (conf: NetConf, update: PProtocol): NetConf => ({
  ...conf,
  wireProtocol: update.protocol,
  afterSb0p: update.afterSb0p,
  afterSb1p: update.afterSb1p,
  afterSb2p: update.afterSb2p,
  twoPrimaries: update.twoPrimaries !== 0,
});

type Clash = (own: PProtocol, peer: PProtocol) => boolean;

/** In the order of comparing; the first clash is the one that is logged. */
const SETTINGS: ReadonlyArray<readonly [name: string, clash: Clash]> = [
  ['protocol', (own, peer) => own.protocol !== peer.protocol],
  ['after-sb-0pri', (own, peer) => own.afterSb0p !== seenFromHere(peer.afterSb0p)],
  ['after-sb-1pri', (own, peer) => own.afterSb1p !== seenFromHere(peer.afterSb1p)],
  ['after-sb-2pri', (own, peer) => own.afterSb2p !== seenFromHere(peer.afterSb2p)],
  ['discard-my-data', (own, peer) => (own.connFlags & peer.connFlags & ConnFlag.discardMyData) !== 0],
  ['allow-two-primaries', (own, peer) => own.twoPrimaries !== peer.twoPrimaries],
  ['data-integrity-alg', (own, peer) => own.integrityAlg !== peer.integrityAlg],
];

/** '' when compatible, else the line for the log. */
export function incompatibleSettings(own: PProtocol, peer: PProtocol): string {
  const clash = SETTINGS.find(([, differ]) => differ(own, peer));
  return clash ? `incompatible ${clash[0]} settings` : '';
}

/** Settings that a connected peer must be told of with P_PROTOCOL_UPDATE. */
export function protocolChanged(before: NetConf, after: NetConf): boolean {
  return before.wireProtocol !== after.wireProtocol || before.afterSb0p !== after.afterSb0p
    || before.afterSb1p !== after.afterSb1p || before.afterSb2p !== after.afterSb2p
    || before.twoPrimaries !== after.twoPrimaries || before.integrityAlg !== after.integrityAlg;
}
