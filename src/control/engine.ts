// SPDX-License-Identifier: GPL-2.0-or-later
/** One node's engine: its resources, and what they share. Nothing in it knows whether the host is real. */
import type { AdminHandler, AdminRequest } from '../host/admin.ts';
import type { Host } from '../host/host.ts';
import { TransportRegistry } from '../conn/transport-class.ts';
import type { TransportClass } from '../conn/transport-class.ts';
import type { ResourceSnapshot, SnapshotSource } from '../genl/snapshot.ts';
import { AdminCalls } from './admin/calls.ts';
import type { Device } from './device.ts';
import { Helpers } from './helpers.ts';
import { EngineJournal } from './journal.ts';
import { Notifier } from './notify.ts';
import type { Resource } from './resource.ts';
import { snapshotOf } from './snapshot.ts';

export class Engine implements AdminHandler, SnapshotSource {
  readonly host: Host;
  readonly transports = new TransportRegistry();
  readonly notifier: Notifier;
  readonly helpers: Helpers;
  readonly journal: EngineJournal;
  /** In order of creation. */
  readonly resources = new Map<string, Resource>();
  readonly devicesByMinor = new Map<number, Device>();
  readonly #calls: AdminCalls;

  /** Called after the engine has left the host: nothing of it may be used any more. */
  readonly left: () => void;

  constructor(host: Host, transportClasses: readonly TransportClass[], left: () => void = () => {}) {
    this.host = host;
    this.left = left;
    for (const each of transportClasses) this.transports.register(each);
    this.notifier = new Notifier(host.admin);
    this.helpers = new Helpers(host.helper, this.notifier);
    this.journal = new EngineJournal(host.journal);
    this.#calls = new AdminCalls(this);
  }

  /** Takes over what an earlier engine left, then serves. */
  start(): void {
    this.#calls.readopt();
    this.host.admin.setHandler(this);
  }

  request(request: AdminRequest): void { this.#calls.request(request); }
  requesterGone(id: number): void { this.#calls.requesterGone(id); }

  snapshot(resourceName?: string): readonly ResourceSnapshot[] {
    const all = [...this.resources.values()];
    return all.filter((r) => resourceName === undefined || r.name === resourceName).map(snapshotOf);
  }
}
