// SPDX-License-Identifier: GPL-2.0-or-later
import { TIMEOUT_TYPE } from './enums.ts';
import type { InferPartial } from './schema.ts';
import { binary, flag, nest, s32, string, u32, u64 } from './schema.ts';

/**
 * Parameters of single commands, the context that every request names, and what replies carry.
 * @spec genetlink.md 4
 */

const MAX_SECTORS = 2_199_023_255_552;
const M = { mandatory: true } as const;

/** infoText may stand more than once. */
export const cfgReply = nest(1, 'CFG_REPLY', 'drbd_cfg_reply', {
  infoText: string(1, Infinity, M),
});

export const cfgContext = nest(2, 'CFG_CONTEXT', 'drbd_cfg_context', {
  volume: u32(1, { ...M, wireName: 'ctx_volume' }),
  resourceName: string(2, 128, { ...M, wireName: 'ctx_resource_name' }),
  myAddr: binary(3, 128, { ...M, wireName: 'ctx_my_addr' }),
  peerAddr: binary(4, 128, { ...M, wireName: 'ctx_peer_addr' }),
  connName: string(5, 64, { wireName: 'ctx_conn_name' }),
  peerNodeId: u32(6, { ...M, wireName: 'ctx_peer_node_id' }),
});
/** Only what the sender gave. */
export type CfgContext = InferPartial<typeof cfgContext>;

export const setRoleParms = nest(6, 'SET_ROLE_PARMS', 'set_role_parms', {
  force: flag(1, M),
});

export const resizeParms = nest(7, 'RESIZE_PARMS', 'resize_parms', {
  resizeSize: u64(1, { ...M, min: 0, max: MAX_SECTORS, unit: 'sectors' }),
  resizeForce: flag(2, M),
  noResync: flag(3, M),
  alStripes: u32(4, { default: 1, min: 1, max: 1024 }),
  alStripeSize: u32(5, { default: 32, min: 4, max: 16_777_216, unit: 'KiB' }),
});

export const startOvParms = nest(9, 'START_OV_PARMS', 'start_ov_parms', {
  ovStartSector: u64(1, { ...M, min: 0, max: MAX_SECTORS, unit: 'sector' }),
  ovStopSector: u64(2, { ...M, min: 0, max: MAX_SECTORS, unit: 'sector' }),
});

export const newCUuidParms = nest(10, 'NEW_C_UUID_PARMS', 'new_c_uuid_parms', {
  clearBm: flag(1, M),
  forceResync: flag(2, M),
});

export const timeoutParms = nest(11, 'TIMEOUT_PARMS', 'timeout_parms', {
  timeoutType: u32(1, { required: true, names: TIMEOUT_TYPE }),
});

export const disconnectParms = nest(12, 'DISCONNECT_PARMS', 'disconnect_parms', {
  forceDisconnect: flag(1, M),
});

export const detachParms = nest(13, 'DETACH_PARMS', 'detach_parms', {
  forceDetach: flag(1, M),
  intentionalDisklessDetach: flag(2, { default: false }),
});

export const invalidateParms = nest(25, 'INVALIDATE_PARMS', 'invalidate_parms', {
  syncFromPeerNodeId: s32(1, { ...M, default: -1, min: -1, max: 32 }),
  resetBitmap: flag(2, { ...M, default: true }),
});

export const forgetPeerParms = nest(26, 'FORGET_PEER_PARMS', 'forget_peer_parms', {
  forgetPeerNodeId: s32(1, { ...M, default: -1, min: -1, max: 32 }),
});

export const connectParms = nest(29, 'CONNECT_PARMS', 'connect_parms', {
  tentative: flag(1, { ...M, default: false }),
  discardMyData: flag(2, { ...M, default: false }),
});

export const renameResourceParms = nest(31, 'RENAME_RESOURCE_PARMS', 'rename_resource_parms', {
  newResourceName: string(1, 128, M),
});

export const invalPeerParams = nest(33, 'INVAL_PEER_PARAMS', 'invalidate_peer_parms', {
  pResetBitmap: flag(1, { ...M, default: true }),
});
