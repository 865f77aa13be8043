// SPDX-License-Identifier: GPL-2.0-or-later
/** bitmap_mod_after_handshake: what a strategy does to the bitmap before the state change. @spec uuid.md 2.4 */
import { LogLevel } from '../host/log.ts';
import { isSyncTarget } from './states.ts';
import { uuidJustCreated } from './uuid-types.ts';
import type { DeviceContext, LogLine, PeerContext } from './uuid-types.ts';
import type { Strategy } from './uuid-strategy.ts';

export type BitmapChange =
  | { readonly kind: 'none' }
  /** Copy bitmap slot `from` (an index, maybe of no peer: day 0) over the peer's. */
  | { readonly kind: 'copy'; readonly from: number }
  /** The bits of another peer's slot are added: a resync of that peer may have cleared some of them already. */
  | { readonly kind: 'join'; readonly from: number }
  /** All bits of the peer's slot, because the day-0 bitmap is not there. */
  | { readonly kind: 'set' }
  /** The same under PEER_FULL_SYNC: flag on and written, bits set and written, flag off and written. */
  | { readonly kind: 'setFullSync' }
  /** All bits of all allocated slots: a fresh node. */
  | { readonly kind: 'setAllocated' };

export interface BitmapMod {
  /** With write I/O suspended and the bitmap locked; then the bitmap is written. An error of set*: retry-connect. */
  readonly change: BitmapChange;
  readonly log: LogLine | null;
  /** Bitmap UUID of the peer := this, with history, written at once; null: unchanged. */
  readonly bitmapUuid: bigint | null;
}

const nothing: BitmapMod = { change: { kind: 'none' }, log: null, bitmapUuid: null };
const info = (text: string): LogLine => ({ level: LogLevel.info, text });

/** Bitmap index of a node, or else one that no slot uses, or -1. */
function sourceIndex(device: DeviceContext, nodeId: number): number {
  const { peers } = device.uuids;
  if (peers[nodeId].bitmapIndex !== -1) return peers[nodeId].bitmapIndex;
  const used = new Set(peers.map((slot) => slot.bitmapIndex));
  for (let index = 0; index < device.maxPeers; index++) if (!used.has(index)) return index;
  return -1;
}

function copyMod(device: DeviceContext, peer: PeerContext, nodeId: number): BitmapMod {
  if (device.uuids.peers[peer.nodeId].bitmapIndex === -1) return nothing;
  const from = sourceIndex(device, nodeId);
  if (from < 0) {
    const log = info(`Setting all bitmap bits, day0 bm not available node_id=${nodeId}`);
    return { change: { kind: 'set' }, log, bitmapUuid: null };
  }
  const log = info(`Copying bitmap of peer node_id=${nodeId} (bitmap_index=${from})`);
  const day0 = device.uuids.peers[nodeId].bitmapIndex === -1;
  return { change: { kind: day0 ? 'copy' : 'join', from }, log, bitmapUuid: null };
}

function setMod(device: DeviceContext, peer: PeerContext, strategy: Strategy): BitmapMod {
  const fresh = device.uuids.currentUuid === uuidJustCreated;
  const syncing = device.peers.some((other) => isSyncTarget(other.repl));
  if (strategy === 'target-set-bitmap' && fresh && syncing) return nothing;
  if (fresh) {
    const log = info('Setting and writing the whole bitmap, fresh node');
    return { change: { kind: 'setAllocated' }, log, bitmapUuid: null };
  }
  const asBase = strategy === 'source-set-bitmap' && peer.uuids.currentUuid !== uuidJustCreated;
  return {
    change: { kind: 'setFullSync' },
    log: info('Setting and writing one bitmap slot, after drbd_sync_handshake'),
    bitmapUuid: asBase ? peer.uuids.currentUuid : null,
  };
}

export function bitmapModAfterHandshake(device: DeviceContext, peer: PeerContext, strategy: Strategy,
  peerNodeId: number): BitmapMod {
  switch (strategy) {
    case 'source-copy-other-bitmap': return copyMod(device, peer, peerNodeId);
    // Genuine DRBD clears the own bits, which follow another base. But they also tell what a crash may have lost here.
    case 'target-clear-bitmap': return { ...nothing, log: info(`Resync source provides bitmap (node_id=${peerNodeId})`) };
    case 'source-set-bitmap':
    case 'target-set-bitmap': return setMod(device, peer, strategy);
    default: return nothing;
  }
}
