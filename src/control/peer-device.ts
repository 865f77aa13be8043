// SPDX-License-Identifier: GPL-2.0-or-later
import type { PeerDeviceConf } from '../genl/config-attrs.ts';
import { Lack } from '../io/requests.ts';
import type { PeerDeviceIo } from '../io/peer-device-io.ts';
import { Disk } from '../state/states.ts';
import type { PeerUuids, SentUuids } from '../state/uuid-types.ts';
import type { Connection } from './connection.ts';
import type { Device } from './device.ts';
import { peerDevicePrefix, Prefixed } from './log.ts';

/** What a volume is towards one peer. States are in the view, counters in io. */
export class PeerDevice {
  readonly connection: Connection;
  readonly device: Device;
  readonly io: PeerDeviceIo;
  conf: PeerDeviceConf;
  /** What it told last; null: never. Outlives the connection. */
  uuids: PeerUuids | null = null;
  /** comm_*: what was last sent to it in P_UUIDS110; the handshake is decided on this. */
  sent: SentUuids | null = null;
  /** Own disk state in the last P_STATE (comm_state). */
  sentDisk: Disk = Disk.unknown;
  /** Its disk state in its last P_STATE. */
  toldDisk: Disk = Disk.unknown;
  /** RS_SOURCE_MISSED_END, RS_PEER_MISSED_END, until the handshake is decided. @spec uuid.md 1.11 */
  missedEnd: 'none' | 'source' | 'peer' = 'none';
  /** Own current UUID at the start of a resync as target. */
  rsStartUuid = 0n;
  /** Own current UUID when the data were given up for the peer's; 0: they were not. */
  givenUpUuid = 0n;
  /** It has heard that nothing was written in our generation. */
  toldUnused = false;
  /** From the peer's P_SIZES, sectors; 0 unknown. */
  peerDiskSectors = 0;
  peerUserSectors = 0;
  peerCurrentSectors = 0;
  /** max_size: the disk it has, or had when it became diskless. */
  peerMaxSectors = 0;
  peerMaxBioBytes = 0;
  peerLogicalBlockBytes = 512;
  /** What the peer had when this diskless node told it a newer generation that it has not confirmed; 0: nothing of that kind. */
  overtaken = 0n;
  /** The generation by which its data were found older than those of others; 0: they were not. */
  older = 0n;
  /** What it may lack of answered writes since it was lost, and which of its connections that was. */
  lack: Lack = Lack.nothing;
  lostConnects = 0;
  /** A write failed at the peer, whose disk still counts as UpToDate. */
  negAcked = false;
  /** That have begun. */
  resyncs = 0;
  /** A resync of new storage from this peer waits for its helper; null once the peer's disk has left. */
  newStorage: object | null = null;
  /** The target has ended before this source has begun. @spec state.md 5.3 row 6 */
  peerFinishedEarly = false;

  /** The device grew at attach: resync of the new part once both disks are there (RESYNC_AFTER_NEG). */
  resyncAfterNegotiation = false;

  constructor(connection: Connection, device: Device, io: PeerDeviceIo, conf: PeerDeviceConf) {
    this.connection = connection;
    this.device = device;
    this.io = io;
    this.conf = conf;
  }

  get log(): Prefixed {
    const { resource } = this.device;
    const prefix = peerDevicePrefix(resource.name, this.device.vnr, this.device.minor, this.connection.name);
    return new Prefixed(resource.engine.host.log, prefix);
  }
}
