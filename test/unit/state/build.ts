// SPDX-License-Identifier: GPL-2.0-or-later
/** Views for table tests: one volume, peers 1 and 2, everything settable. */
import { Draft } from '../../../src/state/draft.ts';
import type { ConnectionRow, DeviceRow, Live, PeerDeviceRow, ResourceRow, View } from '../../../src/state/types.ts';
import {
  defaultConnectionOptions, defaultDeviceOptions, emptyView, newConnection, newDevice, newPeerDevice,
} from '../../../src/state/view.ts';
import { Cstate, Disk, Repl, Role } from '../../../src/state/states.ts';
import { md } from './cluster.ts';

export const live: Live = { outOfSyncBits: () => 0, peerRequestsInFlight: () => false, below: () => 0,
  capacity: () => 0, localMaxSize: () => Infinity, sizeAfterResize: () => 0 };

export interface Parts {
  readonly resource?: Partial<ResourceRow>;
  readonly device?: Partial<DeviceRow>;
  /** For peer 1, or for peers 1 and 2. */
  readonly connections?: readonly Partial<ConnectionRow>[];
  readonly peers?: readonly Partial<PeerDeviceRow>[];
}

/** Secondary, UpToDate; peer 1 Connected, Secondary, Established, UpToDate; peer 2 Connected likewise if it is given. */
export const countOf = (parts: Parts): number => Math.max(1, parts.connections?.length ?? 0, parts.peers?.length ?? 0);

export function viewOf(parts: Parts = {}, count = countOf(parts)): View {
  const base = emptyView('r0', 0);
  const ids = Array.from({ length: count }, (_, n) => n + 1);
  return {
    ...base, resource: { ...base.resource, ...parts.resource },
    devices: [{ ...newDevice(0, 1000, defaultDeviceOptions, false, true), disk: Disk.upToDate, md: md(0x411, ids), currentUuid: 0x10n,
      exposedUuid: 0x10n, localReadable: true, ...parts.device }],
    connections: ids.map((id, n) => ({ ...newConnection(id, `n${id}`, defaultConnectionOptions), cstate: Cstate.connected, agreedVersion: 124,
      agreedFeatures: 96, peerRole: Role.secondary, ...parts.connections?.[n] })),
    peerDevices: ids.map((id, n) => ({ ...newPeerDevice(0, id, true, Disk.upToDate, false), repl: Repl.established, uuidsReceived: true,
      peerCurrentUuid: 0x10n, ...parts.peers?.[n] })),
  };
}

/** NEW as `to`, OLD as `from`. */
export function draftOf(from: Parts, to: Parts, flags = 0): Draft {
  const count = Math.max(countOf(from), countOf(to));
  const draft = new Draft(viewOf(from, count), live, flags);
  const next = viewOf(to, count);
  draft.resource = next.resource;
  draft.devices = [...next.devices];
  draft.connections = [...next.connections];
  draft.peerDevices = [...next.peerDevices];
  return draft;
}
