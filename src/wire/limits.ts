// SPDX-License-Identifier: GPL-2.0-or-later
/** Bounds of what may stand in a packet. @spec wire.md 2, 5.7, 9, 7.3 */

/** Data of one write, read or resync request, from version 100 on. */
export const MAX_BIO_BYTES = 1024 * 1024;
/** A discard or write-zeroes with feature WSAME. */
export const MAX_DISCARD_BYTES = 128 * 1024 * 1024;
/** Node ids are 0..31. */
export const NODE_ID_MAX = 31;
/** Header and body of one bitmap packet. */
export const BITMAP_PACKET_BYTES = 4096;
/** Largest digest of any algorithm (sha512). */
export const DIGEST_BYTES_MAX = 64;
export const ALGORITHM_NAME_BYTES = 64;
export const SHARED_SECRET_BYTES_MAX = 64;
export const CHALLENGE_BYTES = 64;
export const HISTORY_UUIDS = 32;
/** Bodies that are not block data: the largest is a bitmap packet. */
export const MAX_FIXED_BYTES = BITMAP_PACKET_BYTES;
