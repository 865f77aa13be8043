// SPDX-License-Identifier: GPL-2.0-or-later
/** A node that does not get the Primary's writes is no source for a resync. @spec uuid.md 7.10 */
import type { Change } from '../state/events.ts';
import { Cs, Repl, isSyncTarget } from '../state/states.ts';
import { hasNode } from '../state/view.ts';
import type { Device } from './device.ts';
import { peerDevicesOf } from './uuids.ts';

/** check_resync_source. `weak`: mask of nodes. */
export function checkResyncSource(device: Device, weak: bigint): void {
  const { resource, vnr } = device;
  for (const pd of peerDevicesOf(device)) {
    const { nodeId } = pd.connection;
    if (!hasNode(weak, nodeId) || !isSyncTarget(resource.peerDeviceRow(vnr, nodeId).repl)) continue;
    pd.log.info('My sync source became a weak node, aborting resync!');
    const changes: Change[] = [{ set: 'repl', vnr, nodeId, repl: Repl.established }];
    resource.dispatch({ kind: 'change', request: 0, tag: 'abort-resync', flags: Cs.verbose, changes });
  }
}
