// SPDX-License-Identifier: GPL-2.0-or-later
/** CRAM-HMAC. @spec wire.md 4 */
import { CHALLENGE_BYTES, DIGEST_BYTES_MAX } from '../limits.ts';
import { packet, type ValueOf } from '../schema.ts';
import { bytesTail } from '../tails.ts';

export const PAuthChallenge = packet({
  name: 'P_AUTH_CHALLENGE',
  command: 0x10,
  stream: 'data',
  scope: 'connection',
  fields: {},
  tail: bytesTail('challenge', CHALLENGE_BYTES, CHALLENGE_BYTES),
});
export type PAuthChallenge = ValueOf<typeof PAuthChallenge>;

/** hmac(secret, challenge of the receiver, be32 own node id). */
export const PAuthResponse = packet({
  name: 'P_AUTH_RESPONSE',
  command: 0x11,
  stream: 'data',
  scope: 'connection',
  fields: {},
  tail: bytesTail('response', 1, DIGEST_BYTES_MAX),
});
export type PAuthResponse = ValueOf<typeof PAuthResponse>;
