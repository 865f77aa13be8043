// SPDX-License-Identifier: GPL-2.0-or-later
import type { BlockDevice } from '../host/block.ts';
import type { DeviceFacts, ResourceFacts } from '../io/env.ts';
import { Disk } from '../state/states.ts';

const PREFER_LOCAL = 0;

/** The policy word: may reads go down without the engine? Written when the answer changes. @spec shim-abi.md */
export class ReadBypass {
  readonly #block: BlockDevice;
  #allowed = false;
  readonly #closing: (() => void)[] = [];
  #inFlight = false;
  #held = false;
  #hasDisk = false;
  #sectorsBefore = 0;

  constructor(block: BlockDevice) { this.#block = block; }

  /** Read past the engine since the disk was attached. */
  get sectors(): number { return this.#block.bypassed().sectors - this.#sectorsBefore; }

  /** An adopted device takes no policy before it is started. */
  hold(held: boolean): void { this.#held = held; }

  /** After each change of facts. */
  update(resource: ResourceFacts, device: DeviceFacts, hasDisk: boolean): void {
    if (hasDisk !== this.#hasDisk) this.#sectorsBefore = this.#block.bypassed().sectors;
    this.#hasDisk = hasDisk;
    this.#set(!this.#held && hasDisk && device.disk === Disk.upToDate && device.readBalancing === PREFER_LOCAL && !resource.suspended
      && !device.errIo && !device.unstable && !device.newCurUuid && device.blocked === 0);
  }

  /** `done` when no bypassed read is in flight; the policy stays closed until the next update(). */
  close(done: () => void): void {
    this.#set(false);
    if (!this.#inFlight) return done();
    this.#closing.push(done);
  }

  /** BlockHandler.bypassClosed. */
  closed(): void {
    this.#inFlight = false;
    for (const done of this.#closing.splice(0)) done();
  }

  /** The shim closed it by itself at an error. */
  failed(): void { this.#allowed = false; }

  #set(allowed: boolean): void {
    if (allowed === this.#allowed) return;
    this.#allowed = allowed;
    this.#inFlight = !allowed;
    this.#block.setReadBypass(allowed);
  }
}
