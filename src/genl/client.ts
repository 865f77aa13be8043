// SPDX-License-Identifier: GPL-2.0-or-later
import { decodeNest, encodePartial, UTILS } from './codec.ts';
import { pathParms } from './config-attrs.ts';
import type { Envelope, Header } from './message.ts';
import { HEADERS, message, NL_HEADER, NLMSG_DONE, NLMSG_ERROR, readHeader } from './message.ts';
import { nestOf } from './nests.ts';
import type { InferPartial, Nest } from './schema.ts';
import { AttrError, NLA_TYPE_MASK, readAttrs } from './tlv.ts';
import { u32At } from './codec.ts';

/** The other side of the family, for the simulator, tests and tools: requests as drbd-utils write them. */

export interface NestValue<N extends Nest = Nest> {
  readonly nest: N;
  readonly value: InferPartial<N>;
}

export interface RequestParts {
  readonly cmd: number;
  readonly minor: number;
  readonly setDefaults?: boolean;
  /** In this order, fields in the order of each value. */
  readonly nests: readonly NestValue[];
}

export const encodeRequest = (envelope: Envelope, nlFlags: number, parts: RequestParts): Uint8Array =>
  message(envelope, nlFlags, parts.cmd, parts.minor, parts.setDefaults ? 1 : 0,
    (w) => parts.nests.forEach(({ nest, value }) => encodePartial(w, nest, value, UTILS)));

export type KernelMessage =
  | { readonly kind: 'done' }
  /** errno positive, 0 for an acknowledgement. */
  | { readonly kind: 'error'; readonly errno: number }
  | { readonly kind: 'drbd'; readonly header: Header; readonly code: number; readonly nests: readonly NestValue[] };

/** One message from the kernel side. Several CFG_REPLY stay several nests, and so do a PATH_PARMS list's pairs. */
export function decodeMessage(bytes: Uint8Array): KernelMessage {
  if (bytes.length < NL_HEADER + 4) throw new AttrError('invalid', 'message', `${bytes.length} bytes`);
  const type = bytes[4]! | bytes[5]! << 8;
  if (type === NLMSG_DONE) return { kind: 'done' };
  if (type === NLMSG_ERROR) return { kind: 'error', errno: -(u32At(bytes, NL_HEADER) | 0) };
  if (bytes.length < HEADERS) throw new AttrError('invalid', 'message', `${bytes.length} bytes`);
  const header = readHeader(bytes);
  const nests = readAttrs(bytes, HEADERS, bytes.length, 'message').flatMap(({ type: attrType, start, end }) => {
    const nest = nestOf(attrType & NLA_TYPE_MASK);
    if (nest === undefined) return [];
    return nest === pathParms ? pathPairs(bytes, start, end) : [{ nest, value: decodeNest(nest, bytes, start, end) }];
  });
  return { kind: 'drbd', header, code: header.flagsOrCode | 0, nests };
}

function pathPairs(bytes: Uint8Array, from: number, to: number): NestValue[] {
  const fields = readAttrs(bytes, from, to, pathParms.name);
  const pairs: NestValue[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    pairs.push({ nest: pathParms, value: decodeNest(pathParms, bytes, fields[i]!.at, fields[i + 1]!.end) });
  }
  return pairs;
}

/** The last nest of that kind. */
export const nestIn = <N extends Nest>(nests: readonly NestValue[], nest: N): InferPartial<N> | undefined =>
  nests.findLast((each) => each.nest === nest)?.value as InferPartial<N> | undefined;
