// SPDX-License-Identifier: GPL-2.0-or-later
import { decodeNest, unknownMandatory } from './codec.ts';
import type { CfgContext } from './command-attrs.ts';
import { cfgContext } from './command-attrs.ts';
import type { Header } from './message.ts';
import { errorMessage, FAMILY_VERSION, HEADERS, NL_HEADER, NLM_F_ACK, NLM_F_DUMP, NLM_F_ECHO, NLM_F_REQUEST, NO_MINOR,
  readHeader } from './message.ts';
import type { Op } from './ops.ts';
import { opOf } from './ops.ts';
import type { Infer, InferPartial, Nest } from './schema.ts';
import { wireName } from './schema.ts';
import type { Attr } from './tlv.ts';
import { AttrError, NLA_F_MANDATORY, NLA_F_NESTED, NLA_TYPE_MASK, readAttrs } from './tlv.ts';

const EPERM = 1;
const EINVAL = 22;
const EMSGSIZE = 90;
const EOPNOTSUPP = 95;

/** Highest top-level attribute of 9.2.18. */
export const MAX_ATTR = 33;
const F_SET_DEFAULTS = 1;
/** A context is repeated in the reply, which in genuine has one page. */
const MAX_CONTEXT_BYTES = 3700;

/** Who sent a message; the kernel side knows. */
export interface Sender {
  readonly portid: number;
  /** CAP_SYS_ADMIN. */
  readonly capable: boolean;
}

/** A request that may be looked at: headers and context are sound. Its payload is checked by payload(). */
export interface Request {
  readonly op: Op;
  /** `portid` is the sender's, whatever the message said. */
  readonly header: Header;
  readonly sender: Sender;
  /** NO_MINOR when none was meant. */
  readonly minor: number;
  /** Change options starting from the defaults, not from what is set. */
  readonly setDefaults: boolean;
  /** What the context says; empty without one. */
  readonly context: CfgContext;
  /** The message, bits of unknown-is-an-error taken off the context's fields as genuine does. */
  readonly bytes: Uint8Array;
  /** Top-level attributes by number. */
  readonly attrs: ReadonlyMap<number, Attr>;
}

/** Refused before it is a request: the NLMSG_ERROR to send. */
export interface Rejection {
  readonly errno: number;
  readonly reason: string;
  readonly message: Uint8Array;
}

export const isRejection = (result: Request | Rejection): result is Rejection => 'errno' in result;

/**
 * Reads one complete message of the family. Refusals come in the order in which the kernel's core and genuine DRBD
 * check; those of the core are repeated here because nothing that comes from outside is taken for granted.
 * @spec genetlink.md 1.2, 2.1 (1 to 4)
 */
export function decodeRequest(message: Uint8Array, sender: Sender): Request | Rejection {
  const bytes = message.slice();
  const reject = (errno: number, reason: string): Rejection =>
    ({ errno, reason, message: errorMessage(bytes, sender.portid, errno) });

  if (bytes.length < HEADERS) return rejectShort(bytes, sender);
  const header: Header = { ...readHeader(bytes), portid: sender.portid };
  if (header.length !== bytes.length) return reject(EINVAL, 'nlmsg_len is not the length of the message');
  const op = opOf(header.cmd);
  if (op === undefined) return reject(EOPNOTSUPP, `command ${header.cmd} is not known`);
  const isDump = (header.flags & NLM_F_DUMP) === NLM_F_DUMP;
  const ownFlags = header.flags & ~(NLM_F_REQUEST | NLM_F_ACK | NLM_F_ECHO | (isDump ? NLM_F_DUMP : 0));
  if (ownFlags !== 0 || header.reserved !== 0) return reject(EINVAL, 'reserved bits are set in a header');
  if (isDump !== (op.kind === 'dump')) return reject(EOPNOTSUPP, `${op.name} is a ${op.kind} command`);
  try {
    const attrs = topLevelAttrs(bytes);
    if (op.kind === 'do' && !sender.capable) return reject(EPERM, 'CAP_SYS_ADMIN is needed');
    if (op.kind === 'do' && header.version !== FAMILY_VERSION && !op.anyVersion) {
      return reject(EINVAL, `API version ${header.version}, not ${FAMILY_VERSION}`);
    }
    const context = readContext(bytes, attrs.get(cfgContext.nr));
    return { op, header, sender, minor: header.minor, setDefaults: (header.flagsOrCode & F_SET_DEFAULTS) !== 0, context,
      bytes, attrs };
  } catch (error) {
    if (!(error instanceof AttrError)) throw error;
    return reject(error.errno, error.message);
  }
}

/** Too short for all headers: the answer repeats what there is of it, filled up to a netlink header. */
function rejectShort(bytes: Uint8Array, sender: Sender): Rejection {
  const padded = bytes.length < NL_HEADER ? new Uint8Array(NL_HEADER) : bytes;
  padded.set(bytes);
  return { errno: EINVAL, reason: `${bytes.length} bytes are no message`,
    message: errorMessage(padded, sender.portid, EINVAL) };
}

function topLevelAttrs(bytes: Uint8Array): Map<number, Attr> {
  const attrs = new Map<number, Attr>();
  for (const attr of readAttrs(bytes, HEADERS, bytes.length, 'message')) {
    const nr = attr.type & NLA_TYPE_MASK;
    if (nr > MAX_ATTR) throw new AttrError('invalid', `message.${nr}`, 'no such attribute');
    if ((attr.type & NLA_F_NESTED) === 0) throw new AttrError('invalid', `message.${nr}`, 'not marked as nested');
    attrs.set(nr, attr);
  }
  return attrs;
}

/** Takes the mandatory bits off in place, up to the first field that is refused for it: replies echo these bytes. */
function readContext(bytes: Uint8Array, attr: Attr | undefined): CfgContext {
  if (attr === undefined) return {};
  for (const field of readAttrs(bytes, attr.start, attr.end, cfgContext.name)) {
    if ((field.type & NLA_F_MANDATORY) !== 0) bytes[field.at + 3]! &= ~(NLA_F_MANDATORY >> 8);
    if (unknownMandatory(cfgContext, field.type)) {
      throw new AttrError('unknownMandatory', `${cfgContext.name}.${field.type & NLA_TYPE_MASK}`, 'not known here');
    }
  }
  const context = decodeNest(cfgContext, bytes, attr.start, attr.end);
  if (attr.end - attr.at > MAX_CONTEXT_BYTES) throw new AttrError('invalid', cfgContext.name, 'too long', EMSGSIZE);
  return context;
}

/** The context as a reply repeats it, attribute header included; null when the request had none. */
export function contextEcho({ attrs, bytes }: Request): Uint8Array | null {
  const attr = attrs.get(cfgContext.nr);
  return attr === undefined ? null : bytes.subarray(attr.at, attr.end);
}

/**
 * The fields of one of the request's nests, or undefined when it is absent. Throws AttrError on what is malformed or
 * unknown and mandatory; with `changing` on invariant fields, otherwise on required ones that are missing; the first in
 * the order of the structure counts.
 * @spec genetlink.md 2.1 (10)
 */
export function payload<N extends Nest>(request: Request, nest: N, changing = false): InferPartial<N> | undefined {
  const attr = request.attrs.get(nest.nr);
  if (attr === undefined) return undefined;
  const value = decodeNest(nest, request.bytes, attr.start, attr.end);
  for (const [key, field] of nest.list) {
    const given = (value as Record<string, unknown>)[key] !== undefined;
    const path = `${nest.name}.${wireName(key, field)}`;
    if (changing && field.invariant && given) throw new AttrError('invariant', path, 'can not be changed');
    if (field.required && !given && !(changing && field.invariant)) throw new AttrError('missing', path, 'is needed');
  }
  return value;
}

/** As payload(), where the nest must be there. */
export function requiredPayload<N extends Nest>(request: Request, nest: N): InferPartial<N> {
  const value = payload(request, nest);
  if (value === undefined) throw new AttrError('missing', nest.name, 'is needed');
  return value;
}

/** The payload laid over `base`; `base` itself when the nest is absent. */
export function payloadOver<N extends Nest>(request: Request, nest: N, base: Infer<N>, changing = false): Infer<N> {
  return { ...base, ...payload(request, nest, changing) };
}

export { NO_MINOR };
