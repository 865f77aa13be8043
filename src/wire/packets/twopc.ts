// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Two-phase commit. Which reading of the last 16 bytes holds is known from the transaction, not from the packet:
 * a commit or abort of a resize is read with PTwopcCommitResize, its replies with PTwopcReplyResize.
 * @spec wire.md 11
 */
import { Feature } from '../features.ts';
import { absent, type Field, i32, i8, pad, sectors, u16, u32, u64 } from '../fields.ts';
import { NODE_ID_MAX } from '../limits.ts';
import { type Fields, packet, type ValueOf } from '../schema.ts';
import { type Agreed, agreedOn } from '../versions.ts';

export const TwopcFlag = { hasFlags: 0x80000000, hasReachable: 0x40000000, priIncapable: 0x20000000 } as const;

/** Target of a transaction that concerns everybody. */
export const TARGET_ALL = -1;

const withoutFlags = (agreed: Agreed): boolean => !agreedOn(agreed, Feature.twopcV2);
const versions = [110, 0xffff] as const;

/** Node ids as they come: who checks them knows the configured peers. */
const newest = {
  tid: u32({ hex: true }),
  flags: u32({ hex: true }),
  pad: pad(2),
  initiatorNodeId: i8({ min: -1, max: NODE_ID_MAX }),
  targetNodeId: i8({ min: -1, max: NODE_ID_MAX }),
  nodesToReach: u64(),
} as const;

const older = {
  tid: u32({ hex: true }),
  flags: absent(0),
  initiatorNodeId: i32({ min: -1, max: NODE_ID_MAX }),
  targetNodeId: i32({ min: -1, max: NODE_ID_MAX }),
  nodesToReach: u64(),
} as const;

const request = <F extends Fields>(name: string, command: number, rest: F) => packet({
  name,
  command,
  stream: 'data',
  scope: 'either',
  versions,
  fields: { ...newest, ...rest },
  older: { when: withoutFlags, fields: { ...older, ...rest } },
});

/** A state change: mask and val in the layout of P_STATE. */
export const PTwopcPrepare = request('P_TWOPC_PREPARE', 0x2e, { pad1: pad(8), mask: u32({ hex: true }), val: u32({ hex: true }) });
export type PTwopcPrepare = ValueOf<typeof PTwopcPrepare>;

/** userSize in sectors. */
export const PTwopcPrepRsz = request('P_TWOPC_PREP_RSZ', 0x35, { userSize: sectors(), ddsFlags: u16({ hex: true }), pad1: pad(6) });
export type PTwopcPrepRsz = ValueOf<typeof PTwopcPrepRsz>;

/** reachableNodes only with TwopcFlag.hasReachable; otherwise mask and val stand there again. */
const outcome = { primaryNodes: u64(), reachableNodes: u64() } as const;
export const PTwopcCommit = request('P_TWOPC_COMMIT', 0x47, outcome);
export const PTwopcAbort = request('P_TWOPC_ABORT', 0x2f, outcome);
export type PTwopcCommit = ValueOf<typeof PTwopcCommit>;

/** The same commit packet when the transaction is a resize: exposedSize is the new size in sectors. */
export const PTwopcCommitResize = request('P_TWOPC_COMMIT', 0x47, { diskfulPrimaryNodes: u64(), exposedSize: sectors() });
export type PTwopcCommitResize = ValueOf<typeof PTwopcCommitResize>;

const reply = <F extends { readonly [name: string]: Field<any> }>(name: string, command: number, rest: F) => packet({
  name,
  command,
  stream: 'control',
  scope: 'either',
  versions,
  fields: { tid: u32({ hex: true }), initiatorNodeId: u32({ max: NODE_ID_MAX }), reachableNodes: u64(), ...rest },
});

const stateChange = { primaryNodes: u64(), weakNodes: u64() } as const;
export const PTwopcYes = reply('P_TWOPC_YES', 0x45, stateChange);
export const PTwopcNo = reply('P_TWOPC_NO', 0x46, stateChange);
export const PTwopcRetry = reply('P_TWOPC_RETRY', 0x48, stateChange);
export type PTwopcReply = ValueOf<typeof PTwopcYes>;

/** A yes to a resize. maxPossibleSize in sectors; from a diskless node it is no limit. */
export const PTwopcReplyResize = reply('P_TWOPC_YES', 0x45, { diskfulPrimaryNodes: u64(), maxPossibleSize: u64() });
export type PTwopcReplyResize = ValueOf<typeof PTwopcReplyResize>;
