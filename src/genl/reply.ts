// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import { BY_HAND, encodeField, encodeStruct, openNest } from './codec.ts';
import { cfgReply, timeoutParms } from './command-attrs.ts';
import { Err } from './codes.ts';
import { ackMessage, joined, message, NLM_F_ACK } from './message.ts';
import type { Request } from './request.ts';
import { contextEcho } from './request.ts';
import type { AttrError, Writer } from './tlv.ts';
import { ATTR_TEXT } from './tlv.ts';

/** Answer to a 'do' request. */
export interface Reply {
  /** An Err or Ss code. */
  readonly code: number;
  /** For the administrator, each in a CFG_REPLY of its own; drbdsetup 9.22 shows the last one. */
  readonly texts?: readonly string[];
  /** GET_TIMEOUT_TYPE only. */
  readonly timeoutType?: number;
}

/** Longer texts are cut, and further ones left out: a reply must fit into one datagram of the relay. */
const MAX_TEXT_CHARS = 1024;
const MAX_REPLY_BYTES = 16_384;

export const OK: Reply = { code: Err.NO_ERROR };
export const refusal = (code: number, ...texts: string[]): Reply => ({ code, texts });

/** What genuine answers to a payload that does not decode. */
export const attrRefusal = (error: AttrError): Reply => refusal(Err.MANDATORY_TAG, ATTR_TEXT[error.reason]);

/**
 * The reply as complete netlink messages, with the ACK behind it where it was asked for.
 * @spec genetlink.md 2.2
 */
export function encodeReply(request: Request, reply: Reply): Uint8Array {
  assert(request.op.kind === 'do', 'a dump is not answered by a reply');
  const { header, bytes } = request;
  const answer = message(header, 0, header.cmd, header.minor, reply.code >>> 0, (w) => {
    const context = contextEcho(request);
    if (context !== null) {
      w.raw(context);
      w.pad4();
    }
    if (reply.timeoutType !== undefined) encodeStruct(w, timeoutParms, { timeoutType: reply.timeoutType });
    for (const text of reply.texts ?? []) if (w.length < MAX_REPLY_BYTES) encodeInfoText(w, text);
  });
  return (header.flags & NLM_F_ACK) === 0 ? answer : joined([answer, ackMessage(bytes, header.portid)]);
}

function encodeInfoText(w: Writer, text: string) {
  const at = openNest(w, cfgReply, BY_HAND);
  encodeField(w, cfgReply, 'infoText', cfgReply.fields.infoText, text.slice(0, MAX_TEXT_CHARS), BY_HAND);
  w.closeAttr(at);
}
