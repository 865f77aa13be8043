// SPDX-License-Identifier: GPL-2.0-or-later
/** Which function serves which command. */
import { Cmd } from '../../genl/ops.ts';
import type { Handler } from './call.ts';
import { deleteMinor, newMinor } from './device.ts';
import { attach, changeDiskOptions, detach, outdate } from './disk.ts';
import { down } from './down.ts';
import { invalidate, invalidatePeer } from './invalidate.ts';
import { changeNetOptions, changePeerDeviceOptions, getTimeoutType } from './options.ts';
import { deletePath, newPath } from './path.ts';
import { connect, deletePeer, disconnect, newPeer } from './peer.ts';
import { resize } from './resize.ts';
import { changeResourceOptions, deleteResource, forgetPeer, newResource, renameResource } from './resource.ts';
import { primary, secondary } from './role.ts';
import { pauseSync, resumeIo, resumeSync, suspendIo } from './suspend.ts';
import { newCurrentUuidCommand } from './uuid.ts';
import { startVerify } from './verify.ts';

export const handlers: ReadonlyMap<Cmd, Handler> = new Map<Cmd, Handler>([
  [Cmd.NEW_RESOURCE, newResource],
  [Cmd.RESOURCE_OPTS, changeResourceOptions],
  [Cmd.RENAME_RESOURCE, renameResource],
  [Cmd.FORGET_PEER, forgetPeer],
  [Cmd.DEL_RESOURCE, deleteResource],
  [Cmd.DOWN, down],
  [Cmd.PRIMARY, primary],
  [Cmd.SECONDARY, secondary],

  [Cmd.NEW_MINOR, newMinor],
  [Cmd.DEL_MINOR, deleteMinor],
  [Cmd.ATTACH, attach],
  [Cmd.DETACH, detach],
  [Cmd.CHG_DISK_OPTS, changeDiskOptions],
  [Cmd.OUTDATE, outdate],
  [Cmd.INVALIDATE, invalidate],
  [Cmd.SUSPEND_IO, suspendIo],
  [Cmd.RESUME_IO, resumeIo],
  [Cmd.NEW_C_UUID, newCurrentUuidCommand],
  [Cmd.RESIZE, resize],

  [Cmd.NEW_PEER, newPeer],
  [Cmd.NEW_PATH, newPath],
  [Cmd.DEL_PATH, deletePath],
  [Cmd.CONNECT, connect],
  [Cmd.DISCONNECT, disconnect],
  [Cmd.DEL_PEER, deletePeer],
  [Cmd.CHG_NET_OPTS, changeNetOptions],

  [Cmd.CHG_PEER_DEVICE_OPTS, changePeerDeviceOptions],
  [Cmd.GET_TIMEOUT_TYPE, getTimeoutType],
  [Cmd.PAUSE_SYNC, pauseSync],
  [Cmd.RESUME_SYNC, resumeSync],
  [Cmd.INVAL_PEER, invalidatePeer],
  [Cmd.START_OV, startVerify],
]);
