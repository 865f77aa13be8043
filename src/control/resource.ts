// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * A resource: its view, and the only place where the view moves on. An event goes through the pure step; what the step
 * orders is done in its order, by effects.ts. @spec state.md 2.3
 */
import { assert } from '../assert.ts';
import type { Timer } from '../host/clock.ts';
import type { LogLevel } from '../host/log.ts';
import type { ResourceOpts } from '../genl/config-attrs.ts';
import { ResourceIo } from '../io/resource-io.ts';
import type { Effect, Result, Sticky } from '../state/effects.ts';
import type { Event } from '../state/events.ts';
import type { Reason } from '../state/reason.ts';
import { restore } from '../state/restore.ts';
import { step } from '../state/step.ts';
import type { ConnectionRow, DeviceRow, Live, PeerDeviceRow, View } from '../state/types.ts';
import { emptyView, findConnection, findDevice, findPeerDevice } from '../state/view.ts';
import type { Connection } from './connection.ts';
import type { Device } from './device.ts';
import { Drain } from './drain.ts';
import { perform, performWork } from './effects.ts';
import type { Engine } from './engine.ts';
import { pushFacts } from './facts.ts';
import { ControlIoEnv } from './io-env.ts';
import { Prefixed, resourcePrefix } from './log.ts';
import { resourceOptions } from './options.ts';
import type { PeerDevice } from './peer-device.ts';
import { localMaxSize, sizeAfterResize } from './sizes.ts';
import { Worker } from './worker.ts';

/** How a request to the state machine ended: an Ss code, or the ERR_ number that genuine DRBD gives there. */
export type Outcome = (rc: number, reason: Reason | null) => void;

export class Resource {
  readonly engine: Engine;
  name: string;
  readonly nodeId: number;
  opts: ResourceOpts;
  log: Prefixed;
  readonly io: ResourceIo;
  readonly worker: Worker;
  readonly #drain: Drain;
  /** By volume number, ascending. */
  readonly devices = new Map<number, Device>();
  /** By node id, in order of creation. */
  readonly connections = new Map<number, Connection>();
  #view: View;
  #nextRequest = 1;
  readonly #outcomes = new Map<number, Outcome>();
  readonly #timers = new Map<string, Timer>();
  /** Effects of steps that were taken and are not done yet: a step within an effect queues behind it. */
  readonly #pending: Effect[] = [];
  #performing = false;

  constructor(engine: Engine, name: string, opts: ResourceOpts) {
    this.engine = engine;
    this.name = name;
    this.nodeId = opts.nodeId;
    this.opts = opts;
    this.log = new Prefixed(engine.host.log, resourcePrefix(name));
    this.#drain = new Drain(this);
    this.worker = new Worker(engine.host.clock, `worker of ${name}`);
    this.io = new ResourceIo(new ControlIoEnv(this), opts.nodeId);
    this.#view = emptyView(name, opts.nodeId, resourceOptions(opts));
    pushFacts(this);
  }

  get view(): View { return this.#view; }
  connectionRow(nodeId: number): ConnectionRow { return must(findConnection(this.#view, nodeId)); }
  deviceRow(vnr: number): DeviceRow { return must(findDevice(this.#view, vnr)); }
  peerDeviceRow(vnr: number, nodeId: number): PeerDeviceRow { return must(findPeerDevice(this.#view, vnr, nodeId)); }
  peerDevice(vnr: number, nodeId: number): PeerDevice { return must(this.connections.get(nodeId)?.peerDevices.get(vnr)); }

  /**
   * Takes one event. The view has moved on when this returns; its effects are done too, except when this is called from
   * inside an effect: then they follow after the effects of the outer step.
   */
  dispatch(event: Event): Result {
    const { view, effects, work, result } = step(this.#view, event, this.#live);
    // Queued before anything is told of the change, since that may cause further steps.
    this.#pending.push(...effects);
    for (const effect of work) this.worker.push(() => performWork(this, effect));
    const outermost = !this.#performing;
    this.#performing = true;
    if (view !== this.#view) {
      this.#view = view;
      pushFacts(this);
      for (const device of this.devices.values()) {
        device.uuidsMayBeFree();
        device.mayBeQuiet();
      }
      this.#drain.look();
    }
    if (outermost) this.#performPending();
    return result;
  }

  lookAtBits(): void { this.#drain.look(); }

  /** For events with a `request`: `build` gets its number, `outcome` is called once with the end. Returns the number. */
  request(build: (request: number) => Event, outcome: Outcome): number {
    const request = this.#nextRequest++;
    this.#outcomes.set(request, outcome);
    this.dispatch(build(request));
    return request;
  }

  /** The effect `done`. */
  settle(request: number, rc: number, reason: Reason | null): void {
    const outcome = this.#outcomes.get(request);
    this.#outcomes.delete(request);
    outcome?.(rc, reason);
  }

  startTimer(name: string, delayMs: number): void {
    this.stopTimer(name);
    this.#timers.set(name, this.engine.host.clock.timer(`${this.name}: ${name}`, delayMs, () => {
      this.#timers.delete(name);
      this.dispatch({ kind: 'timer', name });
    }));
  }

  stopTimer(name: string): void {
    this.#timers.get(name)?.cancel();
    this.#timers.delete(name);
  }

  rename(name: string): void {
    this.name = name;
    this.log = new Prefixed(this.engine.host.log, resourcePrefix(name));
    this.dispatch({ kind: 'resourceFacts', facts: { name } });
  }

  /** One line about the resource, a volume, a connection or a peer device. */
  logLine(level: LogLevel, vnr: number, nodeId: number, text: string): void {
    const device = this.devices.get(vnr);
    const connection = this.connections.get(nodeId);
    const log = device && connection ? connection.peerDevices.get(vnr)?.log : device?.log ?? connection?.logger;
    (log ?? this.log).line(level, text);
  }

  /** Sticky facts of an earlier engine, without what a change to them would cause. */
  restore(facts: readonly Sticky[]): void {
    for (const fact of facts) this.#view = restore(this.#view, fact);
  }

  /** The resource is gone: nothing of it may call back. */
  close(): void {
    assert(this.devices.size === 0 && this.connections.size === 0, 'a resource ends empty');
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
    this.#drain.close();
  }

  #performPending(): void {
    for (let effect = this.#pending.shift(); effect; effect = this.#pending.shift()) perform(this, effect);
    this.#performing = false;
  }

  readonly #live: Live = {
    outOfSyncBits: (vnr, nodeId) => {
      const device = this.devices.get(vnr);
      const slot = this.connections.get(nodeId)?.peerDevices.get(vnr)?.io.facts.bitmapIndex ?? -1;
      return device?.disk && slot >= 0 ? device.disk.bitmap.weight[slot]! : 0;
    },
    peerRequestsInFlight: (nodeId) => this.connections.get(nodeId)?.io.peerRequestsInFlight() ?? false,
    below: (bound) => this.engine.host.random.below(bound),
    capacity: (vnr) => this.devices.get(vnr)?.capacity ?? 0,
    localMaxSize: (vnr) => localMaxSize(this.devices.get(vnr)),
    sizeAfterResize: (vnr, userSize, ddsFlags, maxPossible, reached) => {
      const device = this.devices.get(vnr);
      return device ? sizeAfterResize(device, userSize, ddsFlags, maxPossible, reached) : 0;
    },
  };
}

function must<T>(found: T | undefined): T {
  assert(found !== undefined, 'a row exists for every object');
  return found;
}
