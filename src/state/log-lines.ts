// SPDX-License-Identifier: GPL-2.0-or-later
/** State changes in the words of genuine DRBD. @spec state.md 5.1 A */
import type { Draft } from './draft.ts';
import type { Effect } from './effects.ts';
import { pdAt, suspFen } from './facts.ts';
import { Disk, cstateNames, diskNames, isSyncSource, replNames, roleNames } from './states.ts';
import type { DeviceRow, PeerDeviceRow } from './types.ts';
import type { Rows } from './view.ts';

export const LEVEL = { err: 3, warning: 4, notice: 5, info: 6 } as const;

export const logLine = (text: string, level: number = LEVEL.info, vnr = -1, nodeId = -1): Effect =>
  ({ kind: 'log', level, vnr, nodeId, text });

const list = (words: readonly (string | false)[]): string => words.filter((word) => word !== false).join(',') || 'no';
const yesNo = (value: boolean): string => value ? 'yes' : 'no';
const part = (name: string, a: string | undefined, b: string | undefined): string => a === b ? '' : `${name}( ${a} -> ${b} ) `;

const suspWords = (rows: Rows): string => list([
  rows.resource.suspUser && 'user', rows.resource.suspNod && 'no-disk', suspFen(rows) && 'fencing',
  rows.resource.suspQuorum && 'quorum', rows.resource.suspUuid && 'uuid']);

const resyncSuspWords = (pd: PeerDeviceRow, device: DeviceRow): string => list([
  pd.suspUser && 'user', pd.suspPeer && 'peer', pd.suspDependency && 'after dependency',
  pd.suspOtherC && 'connection dependency',
  isSyncSource(pd.repl) && device.disk <= Disk.inconsistent && 'disk inconsistent']);

/** One line for each object that changed: resource, connections, devices, peer devices. */
export function logChanges(draft: Draft, tag: string, out: Effect[]): void {
  const { old } = draft;
  const say = (text: string, vnr: number, nodeId: number): void => {
    if (text !== '') out.push(logLine(`${text}[${tag}]`, LEVEL.info, vnr, nodeId));
  };
  say(part('role', roleNames[old.resource.role], roleNames[draft.resource.role])
    + part('susp-io', suspWords(old), suspWords(draft))
    + part('force-io-failures', yesNo(old.resource.failIo), yesNo(draft.resource.failIo)), -1, -1);
  draft.connections.forEach((b, c) => {
    const a = old.connections[c]!;
    if (a !== b) {
      say(part('conn', cstateNames[a.cstate], cstateNames[b.cstate]) + part('peer', roleNames[a.peerRole], roleNames[b.peerRole]),
        -1, b.nodeId);
    }
  });
  draft.devices.forEach((b, d) => {
    const a = old.devices[d]!;
    if (a !== b) {
      say(part('disk', diskNames[a.disk], diskNames[b.disk]) + part('quorum', yesNo(a.haveQuorum), yesNo(b.haveQuorum)), b.vnr, -1);
    }
    draft.connections.forEach((connection, c) => {
      const p = pdAt(old, d, c);
      const q = pdAt(draft, d, c);
      if (p === q && a === b) return;
      say(part('pdsk', diskNames[p.pdsk], diskNames[q.pdsk]) + part('repl', replNames[p.repl], replNames[q.repl])
        + part('resync-susp', resyncSuspWords(p, a), resyncSuspWords(q, b)), b.vnr, connection.nodeId);
    });
  });
}
