// SPDX-License-Identifier: GPL-2.0-or-later
/** Results of state changes: number, name, drbdsetup's sentence. One table for guards, replies and logs. @spec genetlink.md 7 */
export const Ss = {
  unknownError: 0, success: 1, nothingToDo: 2, cwSuccess: 3, cwNoNeed: 4,
  twoPrimaries: -1, noUpToDateDisk: -2, noLocalDisk: -4, noRemoteDisk: -5, connectedOutdates: -6, primaryNop: -7,
  resyncRunning: -8, alreadyStandAlone: -9, cwFailedByPeer: -10, isDiskless: -11, deviceInUse: -12, noNetConfig: -13,
  noVerifyAlg: -14, needConnection: -15, lowerThanOutdated: -16, notSupported: -17, inTransientState: -18,
  concurrentStChg: -19, oVolPeerPri: -20, interrupted: -21, primaryReader: -22, timeout: -23, weaklyConnected: -24,
  noQuorum: -25, attachNoBitmap: -26, handshakeDisconnect: -27, handshakeRetry: -28,
} as const;
export type Ss = (typeof Ss)[keyof typeof Ss];

export interface SsRow { readonly code: Ss; readonly name: string; readonly text: string }

export const ssTable: readonly SsRow[] = [
  { code: 0, name: 'SS_UNKNOWN_ERROR', text: 'Unknown error' },
  { code: 1, name: 'SS_SUCCESS', text: 'Success' },
  { code: 2, name: 'SS_NOTHING_TO_DO', text: 'Nothing to do' },
  { code: 3, name: 'SS_CW_SUCCESS', text: 'Cluster-wide success' },
  { code: 4, name: 'SS_CW_NO_NEED', text: 'Cluster-wide change not needed' },
  { code: -1, name: 'SS_TWO_PRIMARIES', text: 'Multiple primaries not allowed by config' },
  { code: -2, name: 'SS_NO_UP_TO_DATE_DISK', text: 'Need access to UpToDate data' },
  { code: -4, name: 'SS_NO_LOCAL_DISK', text: 'Can not resync without local disk' },
  { code: -5, name: 'SS_NO_REMOTE_DISK', text: 'Can not resync without remote disk' },
  { code: -6, name: 'SS_CONNECTED_OUTDATES', text: 'Refusing to be Outdated while Connected' },
  { code: -7, name: 'SS_PRIMARY_NOP', text: 'Refusing to be Primary while peer is not outdated' },
  { code: -8, name: 'SS_RESYNC_RUNNING', text: 'Can not start OV/resync since it is already active' },
  { code: -9, name: 'SS_ALREADY_STANDALONE', text: 'Can not disconnect a StandAlone device' },
  { code: -10, name: 'SS_CW_FAILED_BY_PEER', text: 'State change was refused by peer node' },
  { code: -11, name: 'SS_IS_DISKLESS', text: 'Device is diskless, the requested operation requires a disk' },
  { code: -12, name: 'SS_DEVICE_IN_USE', text: 'Device is held open by someone' },
  { code: -13, name: 'SS_NO_NET_CONFIG', text: 'Have no net/connection configuration' },
  { code: -14, name: 'SS_NO_VERIFY_ALG', text: 'Need a verify algorithm to start online verify' },
  { code: -15, name: 'SS_NEED_CONNECTION', text: 'Need a connection to start verify or resync' },
  { code: -16, name: 'SS_LOWER_THAN_OUTDATED', text: 'Disk state is lower than outdated' },
  { code: -17, name: 'SS_NOT_SUPPORTED', text: 'Peer does not support protocol' },
  { code: -18, name: 'SS_IN_TRANSIENT_STATE', text: 'In transient state, retry after next state change' },
  { code: -19, name: 'SS_CONCURRENT_ST_CHG', text: 'Concurrent state changes detected and aborted' },
  { code: -20, name: 'SS_O_VOL_PEER_PRI', text: 'Other vol primary on peer not allowed by config' },
  { code: -21, name: 'SS_INTERRUPTED', text: 'Interrupted state change' },
  { code: -22, name: 'SS_PRIMARY_READER', text: 'Peer may not become primary while device is opened read-only' },
  { code: -23, name: 'SS_TIMEOUT', text: 'Timeout in operation' },
  { code: -24, name: 'SS_WEAKLY_CONNECTED', text: 'Primary nodes must be strongly connected among each other' },
  { code: -25, name: 'SS_NO_QUORUM', text: 'No quorum' },
  { code: -26, name: 'SS_ATTACH_NO_BITMAP', text: 'Intentional diskless peer may not attach a disk' },
  { code: -27, name: 'SS_HANDSHAKE_DISCONNECT', text: 'Disconnect chosen in handshake' },
  { code: -28, name: 'SS_HANDSHAKE_RETRY', text: 'Retry chosen in handshake' },
];

const byCode: ReadonlyMap<number, SsRow> = new Map(ssTable.map((row) => [row.code, row]));

/** drbdsetup's sentence for a code. */
export const ssText = (code: Ss): string => byCode.get(code)?.text ?? 'Unknown error';
export const ssName = (code: Ss): string => byCode.get(code)?.name ?? `SS ${code}`;
