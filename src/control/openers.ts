// SPDX-License-Identifier: GPL-2.0-or-later
/** Open and close of one volume: auto-promote, and what refuses an open. @spec state.md 7.2 */
import type { Timer } from '../host/clock.ts';
import { openErrno, OpenErrno } from '../state/select.ts';
import { Role } from '../state/states.ts';
import { Ss } from '../state/ss.ts';
import type { Device } from './device.ts';
import { leaveOlderData } from './older-data.ts';

const RETRY_MS = 100;

/** Who has the volume open; told in the refusal of a demotion. */
export interface Opener { readonly pid: number; readonly comm: string; readonly write: boolean; readonly sinceSeconds: number }

interface Waiting extends Opener {
  readonly id: number;
  readonly ndelay: boolean;
  readonly deadlineMs: number;
  timer: Timer | null;
  promoting: boolean;
}

export class Openers {
  readonly #device: Device;
  readonly #waiting = new Map<number, Waiting>();
  /** The newest ones that were let in, for texts only. */
  readonly known: Opener[] = [];
  #total = 0;
  #writers = false;
  #closing = false;

  constructor(device: Device) { this.#device = device; }

  open(id: number, write: boolean, ndelay: boolean, pid: number, comm: string): void {
    const { resource } = this.#device;
    const { clock } = resource.engine.host;
    const deadlineMs = clock.nowMs() + resource.view.resource.options.autoPromoteTimeoutMs;
    const waiting: Waiting = { id, write, ndelay, pid, comm, deadlineMs, sinceSeconds: clock.wallSeconds(), timer: null,
      promoting: false };
    this.#waiting.set(id, waiting);
    this.#try(waiting);
  }

  gone(id: number): void {
    this.#waiting.get(id)?.timer?.cancel();
    this.#waiting.delete(id);
  }

  /** Opens after each change of them. */
  count(total: number, writers: boolean): void {
    const changed = total !== this.#total || writers !== this.#writers;
    // The close was given up, and another opener has come.
    if (total > 0) this.#closing = false;
    this.#total = total;
    this.#writers = writers;
    if (total === 0) this.known.length = 0;
    if (!changed) return;
    const { resource, vnr } = this.#device;
    resource.dispatch({ kind: 'openCount', vnr, openCount: total, writable: writers });
    if (total === 0) this.#demote();
  }

  /** Instead of a count of 0 where a writer was: first all writes drained, epochs closed and acked. */
  lastClose(): void {
    this.#closing = true;
    this.#device.resource.io.drain();
  }

  drained(): void {
    if (!this.#closing) return;
    this.#closing = false;
    this.count(0, false);
  }

  /** A new engine takes over: the last close may have come while none was there. */
  settleUnused(): void {
    if (this.#total > 0) return;
    const { resource, vnr } = this.#device;
    resource.dispatch({ kind: 'openCount', vnr, openCount: 0, writable: false });
    this.#demote();
  }

  /** Auto-demote where it is due; a close that waits goes on afterwards. */
  #demote(): void {
    const { resource } = this.#device;
    const { role, explicitPrimary, options } = resource.view.resource;
    const open = resource.view.devices.some((d) => d.openCount > 0 && d.writable);
    if (!options.autoPromote || open || role !== Role.primary || explicitPrimary) return this.#device.block.drained();
    resource.request((request) => ({ kind: 'setRole', request, tag: 'auto-demote', role: Role.secondary, force: false }),
      (rc, reason) => {
        if (rc < Ss.success) resource.log.warn(`auto-demote failed: ${reason && 'text' in reason ? reason.text : rc}`);
        this.#device.block.drained();
      });
  }

  #try(open: Waiting): void {
    if (!this.#waiting.has(open.id)) return;
    const { resource, vnr } = this.#device;
    const { view } = resource;
    if (view.resource.downInProgress) return this.#answer(open, OpenErrno.again);
    if (open.write && view.resource.options.autoPromote && openErrno(view, vnr, true) === OpenErrno.readOnlyFs) {
      return this.#promote(open);
    }
    const errno = openErrno(view, vnr, open.write);
    if (errno !== OpenErrno.again) return this.#answer(open, errno);
    if (!open.ndelay && this.#inTime(open)) return this.#later(open);
    this.#answer(open, open.ndelay ? errno : OpenErrno.mediumType);
  }

  #promote(open: Waiting): void {
    const { resource } = this.#device;
    open.promoting = true;
    leaveOlderData(resource);
    resource.request((request) => ({ kind: 'setRole', request, tag: 'auto-promote', role: Role.primary, force: false }),
      (rc) => {
        open.promoting = false;
        if (!this.#waiting.has(open.id)) return this.#demoteIfUnused();
        if (rc >= Ss.success) return this.#answer(open, 0);
        const again = AGAIN.has(rc) && !open.ndelay && this.#inTime(open);
        if (again) this.#later(open);
        else this.#answer(open, OpenErrno.readOnlyFs);
      });
  }

  /** The opener died while it was promoted for. */
  #demoteIfUnused(): void { if (this.#total === 0) this.#demote(); }

  #inTime(open: Waiting): boolean { return this.#device.resource.engine.host.clock.nowMs() < open.deadlineMs; }

  #later(open: Waiting): void {
    open.timer = this.#device.resource.engine.host.clock.timer('open is tried again', RETRY_MS, () => this.#try(open));
  }

  #answer(open: Waiting, errno: number): void {
    this.#waiting.delete(open.id);
    if (errno === 0) {
      this.known.push(open);
      if (this.known.length > 10) this.known.shift();
    }
    this.#device.block.answerOpen(open.id, errno);
  }
}

/** Refusals that may pass within auto-promote-timeout. */
const AGAIN: ReadonlySet<number> = new Set([Ss.cwFailedByPeer, Ss.twoPrimaries, Ss.noUpToDateDisk]);
