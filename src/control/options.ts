// SPDX-License-Identifier: GPL-2.0-or-later
/** Options as netlink has them, in the units and words that each folder below works with. */
import type { DiskConf, NetConf as GenlNetConf, ResourceOpts } from '../genl/config-attrs.ts';
import type { NetConf } from '../conn/config.ts';
import type { ConnectionOptions, DeviceOptions, ResourceOptions } from '../state/types.ts';

const DECISECOND = 100;
export const DEFAULT_TRANSPORT = 'tcp';

export const resourceOptions = (o: ResourceOpts): ResourceOptions => ({
  onNoQuorum: (['io-error', 'suspend-io'] as const)[o.onNoQuorum]!,
  onNoDataAccessible: (['io-error', 'suspend-io'] as const)[o.onNoData]!,
  onSuspendedPrimaryOutdated: (['disconnect', 'force-secondary'] as const)[o.onSuspPrimaryOutdated]!,
  quorum: o.quorum, quorumMinimumRedundancy: o.quorumMinRedundancy, autoPromote: o.autoPromote,
  autoPromoteTimeoutMs: o.autoPromoteTimeout * DECISECOND, twopcTimeoutMs: o.twopcTimeout * DECISECOND,
  twopcRetryTimeoutMs: o.twopcRetryTimeout * DECISECOND,
});

/** Numbers of rr-conflict that are allowed there. */
const RR_CONFLICT: Readonly<Record<number, ConnectionOptions['rrConflict']>> =
  { 0: 'disconnect', 9: 'call-pri-lost', 10: 'violently', 11: 'retry-connect', 12: 'auto-discard' };

export const connectionOptions = (n: GenlNetConf): ConnectionOptions => ({
  fencing: n.fencingPolicy as ConnectionOptions['fencing'], allowTwoPrimaries: n.twoPrimaries,
  allowRemoteRead: n.allowRemoteRead, verifyAlg: n.verifyAlg !== '', pingTimeoutMs: n.pingTimeo * DECISECOND,
  rrConflict: RR_CONFLICT[n.rrConflict] ?? 'disconnect',
});

export const deviceOptions = (d: DiskConf | null): DeviceOptions => ({
  onIoError: (['pass_on', 'call-local-io-error', 'detach'] as const)[d?.onIoError ?? 2]!, alUpdates: d?.alUpdates ?? true,
});

export const connConf = (n: GenlNetConf): NetConf => ({
  transport: n.transportName || DEFAULT_TRANSPORT, wireProtocol: n.wireProtocol, afterSb0p: n.afterSb0p,
  afterSb1p: n.afterSb1p, afterSb2p: n.afterSb2p, twoPrimaries: n.twoPrimaries, integrityAlg: n.integrityAlg,
  cramHmacAlg: n.cramHmacAlg, sharedSecret: n.sharedSecret, connectIntMs: n.connectInt * 1000,
  pingIntMs: n.pingInt * 1000, pingTimeoutMs: n.pingTimeo * DECISECOND, timeoutMs: n.timeout * DECISECOND,
  koCount: n.koCount, socketCheckTimeoutMs: n.sockCheckTimeo * DECISECOND, sndbufBytes: n.sndbufSize,
  rcvbufBytes: n.rcvbufSize,
});

