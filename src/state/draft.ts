// SPDX-License-Identifier: GPL-2.0-or-later
/** NEW of a transaction: the rows of the old view until they are set. Nobody else sees it. @spec state.md 2.1 */
import type { Change } from './events.ts';
import { Cs, Cstate, Disk, Repl } from './states.ts';
import type { ConnectionRow, DeviceRow, Live, PeerDeviceRow, ResourceRow, View } from './types.ts';
import { connectionIndex, deviceIndex, patched, peerDeviceIndex } from './view.ts';

export class Draft {
  readonly old: View;
  readonly live: Live;
  readonly flags: number;
  resource: ResourceRow;
  connections: ConnectionRow[];
  devices: DeviceRow[];
  peerDevices: PeerDeviceRow[];

  constructor(old: View, live: Live, flags: number) {
    this.old = old;
    this.live = live;
    this.flags = flags;
    this.resource = old.resource;
    this.connections = old.connections.slice();
    this.devices = old.devices.slice();
    this.peerDevices = old.peerDevices.slice();
  }

  get hard(): boolean { return (this.flags & Cs.hard) !== 0; }

  setResource(patch: Partial<ResourceRow>): void { this.resource = patched(this.resource, patch); }
  setConnection(c: number, patch: Partial<ConnectionRow>): void {
    this.connections[c] = patched(this.connections[c]!, patch);
  }
  setDevice(d: number, patch: Partial<DeviceRow>): void { this.devices[d] = patched(this.devices[d]!, patch); }
  /** i: peerDeviceIndex(). */
  setPeerDevice(i: number, patch: Partial<PeerDeviceRow>): void {
    this.peerDevices[i] = patched(this.peerDevices[i]!, patch);
  }
  index(d: number, c: number): number { return peerDeviceIndex(this, d, c); }

  /** Below Connected no volume replicates. */
  setCstate(c: number, cstate: Cstate): void {
    this.setConnection(c, cstate === Cstate.disconnecting ? { cstate, disconnectExpected: true } : { cstate });
    if (cstate >= Cstate.connected) return;
    for (let d = 0; d < this.devices.length; d++) this.setPeerDevice(this.index(d, c), { repl: Repl.off });
  }

  /** What replicates is connected. */
  setRepl(d: number, c: number, repl: Repl): void {
    this.setPeerDevice(this.index(d, c), { repl });
    if (repl > Repl.off) this.setConnection(c, { cstate: Cstate.connected });
  }

  /** Devices that are above Outdated now. */
  outdateMyself(): void {
    this.old.devices.forEach((device, d) => {
      if (device.disk > Disk.outdated) this.setDevice(d, { disk: Disk.outdated });
    });
  }

  disksDownTo(disk: Disk): void {
    this.devices.forEach((device, d) => { if (device.disk > disk) this.setDevice(d, { disk }); });
  }

  pdsksDownTo(c: number, pdsk: Disk): void {
    for (let d = 0; d < this.devices.length; d++) {
      const i = this.index(d, c);
      if (this.peerDevices[i]!.pdsk > pdsk) this.setPeerDevice(i, { pdsk });
    }
  }

  /** Applies changes in order; what names an unknown node or volume is left out (the object has gone). */
  apply(changes: readonly Change[]): void {
    for (const change of changes) this.applyOne(change);
  }

  private applyOne(change: Change): void {
    const c = 'nodeId' in change ? connectionIndex(this, change.nodeId) : 0;
    const d = 'vnr' in change ? deviceIndex(this, change.vnr) : 0;
    if (c < 0 || d < 0) return;
    switch (change.set) {
      case 'role': return this.setResource({ role: change.role });
      case 'suspUser': case 'suspNod': case 'suspQuorum': case 'suspUuid': case 'failIo':
        return this.setResource({ [change.set]: change.value });
      case 'cstate': return this.setCstate(c, change.cstate);
      case 'peerRole': return this.setConnection(c, { peerRole: change.role });
      case 'suspFen': return this.setConnection(c, { suspFen: change.value });
      case 'disk': return this.setDevice(d, { disk: change.disk });
      case 'disksDownTo': return this.disksDownTo(change.disk);
      case 'repl': return this.setRepl(d, c, change.repl);
      case 'pdsk': return this.setPeerDevice(this.index(d, c), { pdsk: change.pdsk });
      case 'pdsksDownTo': return this.pdsksDownTo(c, change.pdsk);
      case 'resyncSuspUser': return this.setPeerDevice(this.index(d, c), { suspUser: change.value });
      case 'resyncSuspPeer': return this.setPeerDevice(this.index(d, c), { suspPeer: change.value });
      case 'resyncSuspDependency': return this.setPeerDevice(this.index(d, c), { suspDependency: change.value });
      case 'resyncActive': return this.setPeerDevice(this.index(d, c), { resyncActive: change.value });
    }
  }
}

/** Is any state variable different? @spec state.md 2.3 step 3a */
export function anyChange(old: View, draft: Draft): boolean {
  const a = old.resource;
  const b = draft.resource;
  return a.role !== b.role || a.suspUser !== b.suspUser || a.suspNod !== b.suspNod || a.suspQuorum !== b.suspQuorum
    || a.suspUuid !== b.suspUuid || a.failIo !== b.failIo
    || old.connections.some((row, c) => connectionChanged(row, draft.connections[c]!))
    || old.devices.some((row, d) => deviceChanged(row, draft.devices[d]!))
    || old.peerDevices.some((row, i) => peerDeviceChanged(row, draft.peerDevices[i]!));
}

export const connectionChanged = (a: ConnectionRow, b: ConnectionRow): boolean =>
  a !== b && (a.cstate !== b.cstate || a.peerRole !== b.peerRole || a.suspFen !== b.suspFen);
export const deviceChanged = (a: DeviceRow, b: DeviceRow): boolean =>
  a !== b && (a.disk !== b.disk || a.haveQuorum !== b.haveQuorum);
export const peerDeviceChanged = (a: PeerDeviceRow, b: PeerDeviceRow): boolean =>
  a !== b && (a.repl !== b.repl || a.pdsk !== b.pdsk || a.suspUser !== b.suspUser || a.suspPeer !== b.suspPeer
    || a.suspDependency !== b.suspDependency || a.suspOtherC !== b.suspOtherC || a.resyncActive !== b.resyncActive);
