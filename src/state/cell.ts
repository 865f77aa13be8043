// SPDX-License-Identifier: GPL-2.0-or-later
/** Where a rule stands while it walks over the rows of a draft: one object that moves, so that walking allocates nothing. */
import type { Draft } from './draft.ts';
import type { ConnectionRow, DeviceRow, PeerDeviceRow } from './types.ts';

export class Cell {
  readonly draft: Draft;
  d = 0;
  c = 0;
  i = 0;

  constructor(draft: Draft) { this.draft = draft; }

  at(d: number, c: number): this {
    this.d = d;
    this.c = c;
    this.i = this.draft.index(d, c);
    return this;
  }

  /** Has anything changed that an edge of this peer device could come from? */
  get touched(): boolean {
    const { draft: { old, peerDevices, devices, connections, resource }, i, d, c } = this;
    return peerDevices[i] !== old.peerDevices[i] || devices[d] !== old.devices[d] || connections[c] !== old.connections[c]
      || resource.role !== old.resource.role;
  }

  get pd(): PeerDeviceRow { return this.draft.peerDevices[this.i]!; }
  get oldPd(): PeerDeviceRow { return this.draft.old.peerDevices[this.i]!; }
  get device(): DeviceRow { return this.draft.devices[this.d]!; }
  get oldDevice(): DeviceRow { return this.draft.old.devices[this.d]!; }
  get connection(): ConnectionRow { return this.draft.connections[this.c]!; }
  get oldConnection(): ConnectionRow { return this.draft.old.connections[this.c]!; }
  set(patch: Partial<PeerDeviceRow>): void { this.draft.setPeerDevice(this.i, patch); }
  setDevice(patch: Partial<DeviceRow>): void { this.draft.setDevice(this.d, patch); }
}
