// SPDX-License-Identifier: GPL-2.0-or-later
import type { BlockDevice } from '../host/block.ts';
import type { DeviceFacts, ResourceFacts } from '../io/env.ts';
import { Disk } from '../state/states.ts';

const PREFER_LOCAL = 0;

/** The policy word: may reads go down without the engine? Written when the answer changes. @spec shim-abi.md */
export class ReadBypass {
  readonly #block: BlockDevice;
  #allowed = false;
  #inFlight = false;
  #held = false;
  #hasDisk = false;
  #sectorsBefore = 0;

  constructor(block: BlockDevice) { this.#block = block; }

  /** Read past the engine since the disk was attached. */
  get sectors(): number { return this.#block.bypassed().sectors - this.#sectorsBefore; }

  /** Reads may be under way: the disk is not to be given back. */
  get inFlight(): boolean { return this.#inFlight; }

  /** An adopted device takes no policy before it is started. */
  hold(): void { this.#held = true; }

  /** Reads may be left from the time of an engine before. */
  start(): void {
    this.#held = false;
    this.#close();
  }

  /** After each change of facts. */
  update(resource: ResourceFacts, device: DeviceFacts, hasDisk: boolean): void {
    if (hasDisk !== this.#hasDisk) this.#sectorsBefore = this.#block.bypassed().sectors;
    this.#hasDisk = hasDisk;
    this.#set(!this.#held && hasDisk && device.disk === Disk.upToDate && device.readBalancing === PREFER_LOCAL && !resource.suspended
      && !device.errIo && !device.unstable && !device.newCurUuid && device.blocked === 0);
  }

  /** BlockHandler.bypassClosed. */
  closed(): void { this.#inFlight = this.#allowed; }

  /** The shim closed it by itself at an error, and does not tell when the other reads are over. */
  failed(): void { this.#close(); }

  #set(allowed: boolean): void {
    if (allowed === this.#allowed) return;
    if (!allowed) return this.#close();
    this.#allowed = this.#inFlight = true;
    this.#block.setReadBypass(true);
  }

  #close(): void {
    this.#allowed = false;
    this.#inFlight = true;
    this.#block.setReadBypass(false);
  }
}
