// SPDX-License-Identifier: GPL-2.0-or-later
/** Flags of the meta-data that follow the state. @spec state.md 5.1.2, 5.1.3, 5.1 F25 */
import type { Draft } from './draft.ts';
import { somePeer } from './facts.ts';
import { Disk, Fencing, MdFlag, PeerFlag, Repl, Role, isSyncSource } from './states.ts';
import type { MdFacts, PeerDeviceRow } from './types.ts';

const put = (flags: number, flag: number, on: boolean): number => on ? flags | flag : flags & ~flag;

/**
 * Flags of a peer's slot (F25). The target of a resync from here may be through, and go on with others, before we hear of it:
 * after a crash it must not count as one that cannot.
 */
export function peerFlagsOf(flags: number, pd: PeerDeviceRow, fencing: Fencing): number {
  let result = put(flags, PeerFlag.connected, pd.repl > Repl.off);
  result = put(result, PeerFlag.outdated, (pd.pdsk === Disk.inconsistent || pd.pdsk === Disk.outdated) && !isSyncSource(pd.repl));
  result = put(result, PeerFlag.fencing, fencing !== Fencing.dontCare);
  if (pd.pdsk >= Disk.inconsistent && pd.pdsk !== Disk.unknown) result |= PeerFlag.deviceSeen;
  if (pd.pdsk === Disk.diskless && !pd.wantBitmap) result &= ~PeerFlag.deviceSeen;
  return result;
}

/** MDF_AL_DISABLED. @spec state.md 5.1.2 */
export function alDisabled(draft: Draft, d: number): boolean {
  const device = draft.devices[d]!;
  if (!device.options.alUpdates) return true;
  const { md } = device;
  if (md === null || md.maxPeers !== 1 || draft.resource.role !== Role.secondary) return false;
  const seen = md.slots.reduce((n, slot) => n + ((slot.flags & PeerFlag.deviceSeen) !== 0 ? 1 : 0), 0);
  return seen <= 1 && somePeer(draft, d, (pd, c) => pd.pdsk >= Disk.inconsistent && pd.pdsk !== Disk.unknown
    && draft.connections[c]!.peerRole === Role.primary);
}

export interface PeerActivity { readonly primary: boolean; readonly requestInFlight: boolean }

function keepsWasUpToDate(draft: Draft, d: number): boolean {
  const primary = draft.resource.role === Role.primary || draft.connections.some((c) => c.peerRole === Role.primary);
  const data = draft.devices[d]!.disk === Disk.upToDate || somePeer(draft, d, (pd) => pd.pdsk === Disk.upToDate);
  return !(primary && data);
}

/** Device flags (F37). @spec state.md 5.1.3 */
export function deviceFlagsOf(draft: Draft, d: number, md: MdFacts, peers: PeerActivity): number {
  const device = draft.devices[d]!;
  const primary = draft.resource.role === Role.primary;
  const graceful = device.disk === Disk.detaching && !device.forceDetach;
  let flags = md.flags & ~MdFlag.alClean;
  flags = put(flags, MdFlag.crashedPrimary, device.crashedPrimary || (primary && !graceful));
  flags = put(flags, MdFlag.primaryLostQuorum, device.primaryLostQuorum);
  flags = put(flags, MdFlag.haveQuorum, device.haveQuorum);
  if (device.disk >= Disk.inconsistent) {
    flags = put(flags, MdFlag.consistent, device.disk > Disk.inconsistent);
    flags = put(flags, MdFlag.wasUpToDate, device.disk > Disk.outdated);
  } else if ((device.disk === Disk.failed || device.disk === Disk.detaching) && !keepsWasUpToDate(draft, d)) {
    flags &= ~MdFlag.wasUpToDate;
  }
  if (primary || peers.primary) flags |= MdFlag.primaryInd;
  else if (!peers.requestInFlight
    && (graceful || (draft.resource.role === Role.secondary && device.disk >= Disk.inconsistent))) {
    flags &= ~MdFlag.primaryInd;
  }
  return put(flags, MdFlag.alDisabled, alDisabled(draft, d));
}

/** A row's md with one slot's flags replaced. */
export const withSlotFlags = (md: MdFacts, nodeId: number, flags: number): MdFacts =>
  ({ ...md, slots: md.slots.with(nodeId, { ...md.slots[nodeId]!, flags }) });

