// SPDX-License-Identifier: GPL-2.0-or-later
import { Err } from './codes.ts';
import type { Reply } from './reply.ts';
import { refusal } from './reply.ts';

/** With the module parameter strict_names, on by default. */
const STRICT = /^[0-9A-Za-z+\-._]+$/;
// eslint-disable-next-line no-control-regex
const LOOSE = /^[^\x00-\x20\x7f/]+$/;

/**
 * Is this a name for a resource or a connection? The refusal is genuine's.
 * @spec genetlink.md 9
 */
export function checkName(name: string | undefined, strict: boolean): Reply | null {
  if (name === undefined || name === '') return refusal(Err.MANDATORY_TAG, 'name missing');
  if (name !== 'all' && (strict ? STRICT : LOOSE).test(name)) return null;
  return refusal(Err.INVALID_REQUEST, strict
    ? 'invalid name (strict_names=1 allows only [0-9A-Za-z+._-])'
    : 'invalid name (disallowed: ascii control, space, slash)');
}
