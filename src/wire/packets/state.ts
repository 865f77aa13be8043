// SPDX-License-Identifier: GPL-2.0-or-later
/** States and, before two-phase commit, requests to change them. Words in the layout of wire.md 5.10. */
import { i32, u32 } from '../fields.ts';
import { packet, type StreamName, type ValueOf } from '../schema.ts';

/** Volume 0xffff: only the role is meaningful. @spec wire.md 5.10 */
export const PState = packet({
  name: 'P_STATE', command: 0x0e, stream: 'data', scope: 'either', fields: { state: u32({ hex: true }) },
});
export type PState = ValueOf<typeof PState>;

const request = (name: string, command: number, versions: readonly [number, number]) => packet({
  name, command, stream: 'data', scope: 'either', versions, fields: { mask: u32({ hex: true }), val: u32({ hex: true }) },
});
/** @spec wire.md 7.4 */
export const PStateChgReq = request('P_STATE_CHG_REQ', 0x12, [86, 109]);
export const PConnStChgReq = request('P_CONN_ST_CHG_REQ', 0x2a, [100, 109]);
export type PReqState = ValueOf<typeof PStateChgReq>;

const reply = (name: string, command: number, versions: readonly [number, number]) => packet({
  name, command, stream: 'control' as StreamName, scope: 'either', versions, fields: { retcode: i32() },
});
/** retcode: 1 and above success, else a negative SS_ code. @spec wire.md 7.4 */
export const PStateChgReply = reply('P_STATE_CHG_REPLY', 0x1d, [86, 109]);
export const PConnStChgReply = reply('P_CONN_ST_CHG_REPLY', 0x2b, [100, 109]);
export type PReqStateReply = ValueOf<typeof PStateChgReply>;
