// SPDX-License-Identifier: GPL-2.0-or-later
import type { DiskConf, NetConf, PeerDeviceConf, ResourceOpts } from '../genl/config-attrs.ts';

/** What a stressed cluster is made of, and where its load goes; drawn from the seed. */
export interface Shape {
  /** Of the backing disks. */
  readonly diskSectors: number;
  /** Where the load goes: this many regions, evenly spread, of so many sectors each. */
  readonly regions: number;
  readonly regionSectors: number;
  readonly net: Partial<NetConf>;
  readonly resource: Partial<ResourceOpts>;
  readonly disk: Partial<DiskConf>;
  readonly peerDevice: Partial<PeerDeviceConf>;
  readonly bytesPerMs: number;
  readonly latencyMs: number;
  readonly diskMaxMs: number;
}
