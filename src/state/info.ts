// SPDX-License-Identifier: GPL-2.0-or-later
/** What notifications and dumps tell of a row; the fields of RESOURCE_INFO, CONNECTION_INFO … @spec genetlink.md 5 */
import { Repl } from './states.ts';
import type { Cstate, Disk, Role } from './states.ts';
import type { ConnectionRow, DeviceRow, PeerDeviceRow, View } from './types.ts';

export interface ResourceInfo {
  readonly role: Role;
  /** res_susp, res_susp_nod, res_susp_fen, res_susp_quorum, res_fail_io, res_susp_uuid */
  readonly susp: boolean;
  readonly suspNod: boolean;
  readonly suspFen: boolean;
  readonly suspQuorum: boolean;
  readonly failIo: boolean;
  readonly suspUuid: boolean;
}
export interface ConnectionInfo { readonly cstate: Cstate; readonly peerRole: Role }
export interface DeviceInfo {
  readonly disk: Disk;
  readonly haveQuorum: boolean;
  readonly intentionalDiskless: boolean;
  readonly open: boolean;
}
export interface PeerDeviceInfo {
  readonly repl: Repl;
  readonly pdsk: Disk;
  readonly suspUser: boolean;
  readonly suspPeer: boolean;
  /** Combined dependency. */
  readonly suspDependency: boolean;
  readonly intentionalDiskless: boolean;
}

/** resync_susp_dependency or _other_c, or a sync source without consistent data. @spec state.md 1.6 */
export const combinedDependency = (pd: PeerDeviceRow, disk: Disk): boolean =>
  pd.suspDependency || pd.suspOtherC
  || ((pd.repl === Repl.syncSource || pd.repl === Repl.pausedSyncS) && disk <= 5);

export function resourceInfo(view: View): ResourceInfo {
  const r = view.resource;
  return {
    role: r.role, susp: r.suspUser, suspNod: r.suspNod, suspFen: view.connections.some((c) => c.suspFen),
    suspQuorum: r.suspQuorum, failIo: r.failIo, suspUuid: r.suspUuid,
  };
}
export const connectionInfo = (c: ConnectionRow): ConnectionInfo => ({ cstate: c.cstate, peerRole: c.peerRole });
export const deviceInfo = (d: DeviceRow): DeviceInfo => ({
  disk: d.disk, haveQuorum: d.haveQuorum, intentionalDiskless: d.intentionalDiskless, open: d.openCount > 0,
});
export const peerDeviceInfo = (pd: PeerDeviceRow, disk: Disk): PeerDeviceInfo => ({
  repl: pd.repl, pdsk: pd.pdsk, suspUser: pd.suspUser, suspPeer: pd.suspPeer,
  suspDependency: combinedDependency(pd, disk), intentionalDiskless: !pd.wantBitmap,
});
