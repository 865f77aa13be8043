// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Generation identifiers as values. 0 = none, 4 = just created; bit 0 of a current UUID: the node was Primary.
 * Functions of uuid-*.ts take such values and return new ones; nothing here is changed in place.
 * @spec uuid.md 1.1
 */
import type { Disk, Repl, Role } from './states.ts';
import type { NodeMask } from './types.ts';

export const uuidJustCreated = 4n;
export const uuidPrimaryBit = 1n;
/** In received lists: unknown, or not usable as a base. */
export const uuidUnknown = 0xffff_ffff_ffff_ffffn;
export const nodeIds = 32;
export const historyLength = 32;

/** A peer slot of the super block (src/meta PeerMd has this shape). */
export interface UuidSlot {
  readonly bitmapUuid: bigint;
  /** Dagtag of the resource when bitmapUuid was set; 0 without one. */
  readonly bitmapDagtag: bigint;
  /** PeerFlag bits. */
  readonly flags: number;
  /** -1: no bitmap slot (MDF_HAVE_BITMAP clear). */
  readonly bitmapIndex: number;
}

/** The UUIDs of a device's meta-data (src/meta SuperBlock has this shape). */
export interface DeviceUuids {
  readonly currentUuid: bigint;
  /** Indexed by node id, 32 of them. */
  readonly peers: readonly UuidSlot[];
  /** Newest first, 32 of them, bit 0 clear. */
  readonly historyUuids: readonly bigint[];
}

/** What a peer last sent in P_UUIDS110 or P_CURRENT_UUID. */
export interface PeerUuids {
  readonly currentUuid: bigint;
  /** Indexed by node id, 32 of them; uuidUnknown where it told nothing. */
  readonly bitmapUuids: readonly bigint[];
  readonly historyUuids: readonly bigint[];
  /** Bits set in its slot for us. */
  readonly dirtyBits: number;
  /** UuidFlag bits, without the top byte. */
  readonly flags: number;
  readonly nodeMask: NodeMask;
  /** What it has the data of, if nothing was written to its disk in its current generation; 0: it was, or is not known. */
  readonly former: bigint;
}

/** comm_*: what self last sent to a peer. The handshake is decided on these. */
export interface SentUuids {
  readonly currentUuid: bigint;
  readonly bitmapUuid: bigint;
  /** Flags that describe the node, not the packet. */
  readonly flags: number;
  readonly dirtyBits: number;
}

/** What the UUID rules must know of a configured peer (one peer device). */
export interface PeerContext {
  readonly nodeId: number;
  /** Connection name, for the log. */
  readonly name: string;
  readonly repl: Repl;
  /** disk state of the peer as known here. */
  readonly pdsk: Disk;
  readonly peerRole: Role;
  /** Option bitmap of the peer device. */
  readonly wantBitmap: boolean;
  readonly uuids: PeerUuids;
  readonly sent: SentUuids | null;
  /** What it had when this diskless node told it a newer generation that it has not confirmed; 0: nothing of that kind. */
  readonly overtaken: bigint;
  /** PeerDeviceRow.follows. */
  readonly follows: boolean;
}

/** What the UUID rules must know of the device and its node. */
export interface DeviceContext {
  readonly nodeId: number;
  readonly role: Role;
  readonly disk: Disk;
  /** bm_max_peers of the meta-data. */
  readonly maxPeers: number;
  readonly exposedUuid: bigint;
  /** Generations that this node replaced by newer ones while it had no disk, newest first. */
  readonly replaced: readonly bigint[];
  /** Resource dagtag: sectors written. */
  readonly dagtag: bigint;
  readonly uuids: DeviceUuids;
  readonly intentionalDiskless: boolean;
  /** Ascending node id. */
  readonly peers: readonly PeerContext[];
}

/** Equality without bit 0. */
export function uuidEq(a: bigint, b: bigint): boolean {
  return (a | uuidPrimaryBit) === (b | uuidPrimaryBit);
}

/** 16 upper-case hex digits, as the logs have it. */
export function uuidText(uuid: bigint): string {
  return uuid.toString(16).toUpperCase().padStart(16, '0');
}

export function freshPeerUuids(): PeerUuids {
  return {
    currentUuid: 0n, bitmapUuids: Array.from({ length: nodeIds }, () => uuidUnknown),
    historyUuids: Array.from({ length: historyLength }, () => 0n), dirtyBits: 0, flags: 0, nodeMask: 0n, former: 0n,
  };
}

/** One line that a decision wants logged (LogLevel), without prefix. */
export interface LogLine {
  readonly level: number;
  readonly text: string;
}
