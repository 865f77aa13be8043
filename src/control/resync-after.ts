// SPDX-License-Identifier: GPL-2.0-or-later
/** The option resync-after: a device waits until another one has no resync. @spec uuid.md 7.4, state.md 7.8 */
import type { Change } from '../state/events.ts';
import { Cs, isSyncOrVerify, Repl } from '../state/states.ts';
import type { PeerDeviceRow } from '../state/types.ts';
import type { Device } from './device.ts';
import type { Engine } from './engine.ts';

const CHAIN_MAX = 65536;

const rowsOf = (device: Device): PeerDeviceRow[] =>
  device.resource.view.peerDevices.filter((row) => row.vnr === device.vnr);

/** Follows the chain of devices that this one must wait for. */
export function maySyncNow(device: Device): boolean {
  const { devicesByMinor } = device.resource.engine;
  let at = next(device, devicesByMinor);
  for (let n = 0; at !== undefined && n < CHAIN_MAX; n++) {
    if (rowsOf(at).some((r) => isSyncOrVerify(r.repl) || r.suspDependency || r.suspPeer || r.suspUser)) return false;
    at = next(at, devicesByMinor);
  }
  return true;
}

/** The chain ends at a missing or diskless device. */
function next(device: Device, byMinor: Map<number, Device>): Device | undefined {
  const minor = device.disk?.conf.resyncAfter ?? -1;
  const found = minor < 0 ? undefined : byMinor.get(minor);
  return found?.disk ? found : undefined;
}

/** suspend_other_sg and resume_next_sg: over all devices until nothing changes. */
export function resyncAfter(engine: Engine, what: 'pause' | 'resume'): void {
  for (let changed = true; changed;) {
    changed = false;
    for (const device of engine.devicesByMinor.values()) if (device.disk && settle(device, what)) changed = true;
  }
}

function settle(device: Device, what: 'pause' | 'resume'): boolean {
  const may = maySyncNow(device);
  if (may !== (what === 'resume')) return false;
  const changes: Change[] = rowsOf(device)
    .filter((row) => row.suspDependency === may && (what === 'resume' || row.repl !== Repl.off))
    .map((row) => ({ set: 'resyncSuspDependency', vnr: row.vnr, nodeId: row.nodeId, value: !may }));
  if (changes.length === 0) return false;
  const { rc } = device.resource.dispatch({ kind: 'change', request: 0, tag: `resync-after-${what}`, flags: Cs.hard, changes });
  return rc === 1;
}
