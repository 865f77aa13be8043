// SPDX-License-Identifier: GPL-2.0-or-later
/** What holds in every view. @spec state.md 1.7 */
import { bounds } from '../../../src/state/sanitize.ts';
import { isSuspended, isUnstable, shouldMirror, shouldSendOutOfSync } from '../../../src/state/facts.ts';
import { Cstate, Disk, Repl, Role, isSyncTarget } from '../../../src/state/states.ts';
import type { View } from '../../../src/state/types.ts';

/** The first thing that does not hold; null: all well. */
export function broken(view: View): string | null {
  const { resource, connections, devices, peerDevices } = view;
  if (peerDevices.length !== connections.length * devices.length) return 'peer devices are dense';
  if (resource.role !== Role.primary && resource.role !== Role.secondary) return 'own role is known';
  if (resource.suspended !== isSuspended(view)) return 'cached suspension';
  if (view.semHolder !== 0 && !view.operations.some((o) => o.id === view.semHolder)) return 'the semaphore has an owner';
  if (view.twopc?.side === 'initiator' && !view.operations.some((o) => o.id === view.twopc!.operation)) return 'a change has an owner';
  for (let c = 1; c < connections.length; c++) if (connections[c]!.nodeId <= connections[c - 1]!.nodeId) return 'connections ascend';
  for (const connection of connections) {
    if (connection.cstate < Cstate.connected && connection.peerRole !== Role.unknown) return 'peer role of the unconnected';
  }
  for (let d = 0; d < devices.length; d++) {
    const device = devices[d]!;
    if (device.disk === Disk.unknown) return 'own disk is known';
    if (device.unstable !== isUnstable(view, d)) return 'cached stability';
    if ((device.mirrorMask & device.outOfSyncMask) !== 0) return 'data or the fact, not both';
    let targets = 0;
    for (let c = 0; c < connections.length; c++) {
      const pd = peerDevices[d * connections.length + c]!;
      const connection = connections[c]!;
      if (pd.nodeId !== connection.nodeId || pd.vnr !== device.vnr) return 'peer devices are in place';
      if (connection.cstate < Cstate.connected && pd.repl !== Repl.off) return 'repl of the unconnected';
      if (pd.repl > Repl.established && (device.disk <= Disk.failed || pd.pdsk <= Disk.failed)) return 'resync without a disk';
      const limits = bounds[pd.repl];
      if (pd.pdsk < limits.pdsk[0] || pd.pdsk > limits.pdsk[1]) return `pdsk ${pd.pdsk} in repl ${pd.repl}`;
      if (device.disk < limits.disk[0]) return `disk ${device.disk} in repl ${pd.repl}`;
      if (isSyncTarget(pd.repl) && device.disk !== Disk.inconsistent) return `target with disk ${device.disk}`;
      if (pd.repl === Repl.syncTarget) targets++;
      if (((device.mirrorMask >> pd.nodeId & 1) === 1) !== shouldMirror(pd)) return 'cached mirror mask';
      if (!shouldMirror(pd) && ((device.outOfSyncMask >> pd.nodeId & 1) === 1) !== shouldSendOutOfSync(pd)) return 'cached out-of-sync mask';
    }
    if (targets > 1) return 'one sync target';
  }
  return null;
}
