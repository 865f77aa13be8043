// SPDX-License-Identifier: GPL-2.0-or-later
/** The 32-bit word of P_STATE and of two-phase commits. @spec wire.md 5.10 */
import { combinedDependency } from './info.ts';
import { pdAt, suspFen } from './facts.ts';
import { Cstate, Disk, Repl, Role } from './states.ts';
import type { Rows } from './view.ts';

export interface StateWord {
  readonly role: Role;
  readonly peer: Role;
  /** Repl if above off, else Cstate. */
  readonly conn: number;
  readonly disk: Disk;
  readonly pdsk: Disk;
  readonly susp: boolean;
  readonly aftrIsp: boolean;
  readonly peerIsp: boolean;
  readonly userIsp: boolean;
  readonly suspNod: boolean;
  readonly suspFen: boolean;
  readonly quorum: boolean;
}

export const Mask = { role: 3, peer: 3 << 2, conn: 31 << 4, disk: 15 << 9, pdsk: 15 << 13, susp: 1 << 17, aftrIsp: 1 << 18,
  peerIsp: 1 << 19, userIsp: 1 << 20, suspNod: 1 << 21, suspFen: 1 << 22, quorum: 1 << 23 } as const;

export const roleOf = (word: number): Role => (word & 3) as Role;
export const peerOf = (word: number): Role => (word >>> 2 & 3) as Role;
export const connOf = (word: number): number => word >>> 4 & 31;
export const diskOf = (word: number): Disk => (word >>> 9 & 15) as Disk;
export const pdskOf = (word: number): Disk => (word >>> 13 & 15) as Disk;
export const connBits = (conn: number): number => conn << 4;
export const diskBits = (disk: number): number => disk << 9;
export const pdskBits = (disk: number): number => disk << 13;

export function packState(s: StateWord): number {
  return (s.role | s.peer << 2 | connBits(s.conn) | diskBits(s.disk) | pdskBits(s.pdsk)
    | (s.susp ? Mask.susp : 0) | (s.aftrIsp ? Mask.aftrIsp : 0) | (s.peerIsp ? Mask.peerIsp : 0)
    | (s.userIsp ? Mask.userIsp : 0) | (s.suspNod ? Mask.suspNod : 0) | (s.suspFen ? Mask.suspFen : 0)
    | (s.quorum ? Mask.quorum : 0)) >>> 0;
}

export function unpackState(word: number): StateWord {
  return {
    role: roleOf(word), peer: peerOf(word), conn: connOf(word), disk: diskOf(word), pdsk: pdskOf(word),
    susp: (word & Mask.susp) !== 0, aftrIsp: (word & Mask.aftrIsp) !== 0, peerIsp: (word & Mask.peerIsp) !== 0,
    userIsp: (word & Mask.userIsp) !== 0, suspNod: (word & Mask.suspNod) !== 0, suspFen: (word & Mask.suspFen) !== 0,
    quorum: (word & Mask.quorum) !== 0,
  };
}

/** A word may carry numbers that are no states. */
export const isState = ({ role, peer, conn, disk, pdsk }: StateWord): boolean =>
  role <= Role.secondary && peer <= Role.secondary && conn <= Repl.behind && disk <= Disk.upToDate && disk !== Disk.unknown
  && pdsk <= Disk.upToDate;

/** Combined connection and replication state, as P_STATE tells it. */
export const combinedConn = (repl: Repl, cstate: Cstate): number => repl > Repl.off ? repl : cstate;

/** P_STATE of one volume towards one peer. */
export function stateWordOf(rows: Rows, d: number, c: number): number {
  const { resource } = rows;
  const connection = rows.connections[c]!;
  const device = rows.devices[d]!;
  const pd = pdAt(rows, d, c);
  return packState({
    role: resource.role, peer: connection.peerRole, conn: combinedConn(pd.repl, connection.cstate), disk: device.disk,
    pdsk: pd.pdsk, susp: resource.suspUser || resource.suspQuorum || resource.suspUuid,
    aftrIsp: combinedDependency(pd, device.disk), peerIsp: pd.suspPeer, userIsp: pd.suspUser, suspNod: resource.suspNod,
    suspFen: suspFen(rows), quorum: device.haveQuorum,
  });
}

/** Mask and val of a change, from its parts. */
export const maskVal = (parts: { role?: Role; conn?: number; disk?: Disk; pdsk?: Disk }): { mask: number; val: number } => {
  let mask = 0;
  let val = 0;
  if (parts.role !== undefined) { mask |= Mask.role; val |= parts.role; }
  if (parts.conn !== undefined) { mask |= Mask.conn; val |= connBits(parts.conn); }
  if (parts.disk !== undefined) { mask |= Mask.disk; val |= diskBits(parts.disk); }
  if (parts.pdsk !== undefined) { mask |= Mask.pdsk; val |= pdskBits(parts.pdsk); }
  return { mask, val };
};
