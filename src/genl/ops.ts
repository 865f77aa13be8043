// SPDX-License-Identifier: GPL-2.0-or-later
import { connectParms, detachParms, disconnectParms, forgetPeerParms, invalidateParms, invalPeerParams, newCUuidParms,
  renameResourceParms, resizeParms, setRoleParms, startOvParms } from './command-attrs.ts';
import { deviceConf, diskConf, netConf, pathParms, peerDeviceConf, resourceOpts } from './config-attrs.ts';
import type { Nest } from './schema.ts';

/** Commands that user space sends. @spec genetlink.md 2 */
export const Cmd = {
  NEW_MINOR: 5, DEL_MINOR: 6, NEW_RESOURCE: 7, DEL_RESOURCE: 8, RESOURCE_OPTS: 9, CONNECT: 10, DISCONNECT: 11,
  ATTACH: 12, RESIZE: 13, PRIMARY: 14, SECONDARY: 15, NEW_C_UUID: 16, START_OV: 17, DETACH: 18, INVALIDATE: 19,
  INVAL_PEER: 20, PAUSE_SYNC: 21, RESUME_SYNC: 22, SUSPEND_IO: 23, RESUME_IO: 24, OUTDATE: 25, GET_TIMEOUT_TYPE: 26,
  DOWN: 27, CHG_DISK_OPTS: 28, CHG_NET_OPTS: 29, GET_RESOURCES: 30, GET_DEVICES: 31, GET_CONNECTIONS: 32,
  GET_PEER_DEVICES: 33, GET_INITIAL_STATE: 38, FORGET_PEER: 42, CHG_PEER_DEVICE_OPTS: 43, NEW_PEER: 44, NEW_PATH: 45,
  DEL_PEER: 46, DEL_PATH: 47, RENAME_RESOURCE: 49, GET_PATHS: 50,
} as const;
export type Cmd = (typeof Cmd)[keyof typeof Cmd];

/** Messages that only the kernel side sends. @spec genetlink.md 5 */
export const Event = {
  RESOURCE_STATE: 34, DEVICE_STATE: 35, CONNECTION_STATE: 36, PEER_DEVICE_STATE: 37, HELPER: 40,
  INITIAL_STATE_DONE: 41, PATH_STATE: 48,
} as const;
export type Event = (typeof Event)[keyof typeof Event];

/** What a request must identify, DRBD_ADM_NEED_…: each from 'resource' on includes the ones before it. */
export type Need = 'nothing' | 'minor' | 'resource' | 'peerNode' | 'connection' | 'peerDevice';

/** optional: may be absent; required: absent is refused; change: may be absent, invariant fields are refused. */
export type NestUse = 'optional' | 'required' | 'change';

export interface Op {
  readonly cmd: Cmd;
  /** As in Cmd; DRBD_ADM_ in front is genuine's name. */
  readonly name: string;
  readonly kind: 'do' | 'dump';
  readonly need: Need;
  readonly nest?: Nest;
  readonly use?: NestUse;
  /** Code of a reply after which nothing is wrong: 101 or, of operations that are state changes, 1. */
  readonly success: 1 | 101;
  /** Requests of any API version are served. */
  readonly anyVersion?: true;
}

const op = (name: keyof typeof Cmd, need: Need, success: 1 | 101, nest?: Nest, use?: NestUse): Op =>
  ({ cmd: Cmd[name], name, kind: 'do', need, success, ...(nest && { nest, use }) });
const dump = (name: keyof typeof Cmd): Op => ({ cmd: Cmd[name], name, kind: 'dump', need: 'nothing', success: 101 });

/** Every 'do' needs CAP_NET_ADMIN (asked by the kernel's core) and CAP_SYS_ADMIN; dumps are open to everybody. */
export const OPS: readonly Op[] = [
  op('NEW_MINOR', 'resource', 101, deviceConf, 'optional'),
  op('DEL_MINOR', 'minor', 101),
  op('NEW_RESOURCE', 'nothing', 101, resourceOpts, 'required'),
  op('DEL_RESOURCE', 'resource', 101),
  op('RESOURCE_OPTS', 'resource', 101, resourceOpts, 'change'),
  op('CONNECT', 'connection', 1, connectParms, 'optional'),
  op('DISCONNECT', 'connection', 101, disconnectParms, 'optional'),
  op('ATTACH', 'minor', 101, diskConf, 'required'),
  op('RESIZE', 'minor', 101, resizeParms, 'optional'),
  op('PRIMARY', 'resource', 1, setRoleParms, 'optional'),
  op('SECONDARY', 'resource', 1, setRoleParms, 'optional'),
  op('NEW_C_UUID', 'minor', 101, newCUuidParms, 'optional'),
  op('START_OV', 'peerDevice', 1, startOvParms, 'optional'),
  op('DETACH', 'minor', 1, detachParms, 'optional'),
  op('INVALIDATE', 'minor', 1, invalidateParms, 'optional'),
  op('INVAL_PEER', 'peerDevice', 1, invalPeerParams, 'optional'),
  op('PAUSE_SYNC', 'peerDevice', 101),
  op('RESUME_SYNC', 'peerDevice', 101),
  op('SUSPEND_IO', 'minor', 1),
  op('RESUME_IO', 'minor', 1),
  op('OUTDATE', 'minor', 1),
  op('GET_TIMEOUT_TYPE', 'peerDevice', 101),
  { ...op('DOWN', 'resource', 101), anyVersion: true },
  op('CHG_DISK_OPTS', 'minor', 101, diskConf, 'change'),
  op('CHG_NET_OPTS', 'connection', 101, netConf, 'change'),
  dump('GET_RESOURCES'),
  dump('GET_DEVICES'),
  dump('GET_CONNECTIONS'),
  dump('GET_PEER_DEVICES'),
  dump('GET_INITIAL_STATE'),
  op('FORGET_PEER', 'resource', 101, forgetPeerParms, 'required'),
  op('CHG_PEER_DEVICE_OPTS', 'peerDevice', 101, peerDeviceConf, 'change'),
  op('NEW_PEER', 'peerNode', 101, netConf, 'required'),
  op('NEW_PATH', 'connection', 101, pathParms, 'required'),
  op('DEL_PEER', 'connection', 101, disconnectParms, 'optional'),
  op('DEL_PATH', 'connection', 101, pathParms, 'required'),
  op('RENAME_RESOURCE', 'resource', 101, renameResourceParms, 'required'),
  dump('GET_PATHS'),
];

const BY_CMD: ReadonlyMap<number, Op> = new Map(OPS.map((each) => [each.cmd, each]));
export const opOf = (cmd: number): Op | undefined => BY_CMD.get(cmd);
