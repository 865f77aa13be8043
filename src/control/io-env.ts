// SPDX-License-Identifier: GPL-2.0-or-later
import type { Clock } from '../host/clock.ts';
import type { Crypto } from '../host/crypto.ts';
import type { LogLevel } from '../host/log.ts';
import { ErrorKind } from '../io/env.ts';
import type { IoEnv, LinkFailure } from '../io/env.ts';
import { Cstate } from '../state/states.ts';
import { uuidEq } from '../state/uuid-types.ts';
import { findDevice } from '../state/view.ts';
import { handleCongestion } from './congestion.ts';
import type { Resource } from './resource.ts';
import * as resync from './resync.ts';
import * as send from './send.ts';
import { useGeneration } from './unused.ts';
import { newCurrentUuid, tellNoBits } from './uuids.ts';

const ERRORS = { [ErrorKind.read]: 'read', [ErrorKind.write]: 'write', [ErrorKind.meta]: 'meta',
  [ErrorKind.forceDetach]: 'forceDetach' } as const;
const FAILURES: Readonly<Record<LinkFailure, { cstate: Cstate; tag: string }>> = {
  ProtocolError: { cstate: Cstate.protocolError, tag: 'protocol-error' },
  NetworkFailure: { cstate: Cstate.networkFailure, tag: 'network-failure' },
  Timeout: { cstate: Cstate.timeout, tag: 'timeout' },
  Disconnecting: { cstate: Cstate.disconnecting, tag: 'io' },
};

/** Events of the I/O engine, as events of the state machine or calls of their neighbours here. */
export class ControlIoEnv implements IoEnv {
  readonly clock: Clock;
  readonly crypto: Crypto;
  readonly #resource: Resource;

  constructor(resource: Resource) {
    this.#resource = resource;
    this.clock = resource.engine.host.clock;
    this.crypto = resource.engine.host.crypto;
  }

  log(level: LogLevel, text: string): void { this.#resource.log.line(level, text); }
  logAbout(vnr: number, nodeId: number, level: LogLevel, text: string): void { this.#resource.logLine(level, vnr, nodeId, text); }
  ioError(vnr: number, kind: ErrorKind): void { this.#resource.dispatch({ kind: 'ioError', vnr, error: ERRORS[kind] }); }
  needNewCurrentUuid(vnr: number): void { newCurrentUuid(this.#resource.devices.get(vnr)!, 'request'); }
  useGeneration(vnr: number): void { useGeneration(this.#resource.devices.get(vnr)!); }
  diskIdle(vnr: number): void { this.#resource.devices.get(vnr)?.disk?.idle(); }
  writesDrained(vnr: number): void { this.#resource.devices.get(vnr)?.writesDrained(); }

  linkFailed(nodeId: number, failure: LinkFailure, text: string): void {
    const { cstate, tag } = FAILURES[failure];
    this.#resource.connections.get(nodeId)?.conn.fail(cstate, tag, text);
  }

  ping(nodeId: number, done: (alive: boolean) => void): void {
    const connection = this.#resource.connections.get(nodeId);
    if (connection) connection.conn.ping(done);
    else done(false);
  }

  answeredElsewhere(vnr: number): void {
    if (findDevice(this.#resource.view, vnr)?.keptAll) this.#resource.dispatch({ kind: 'deviceFacts', vnr, facts: { keptAll: false } });
  }
  gotNegAck(vnr: number, nodeId: number): void { resync.gotNegAck(this.#resource.peerDevice(vnr, nodeId)); }
  sameGeneration(vnr: number, nodeId: number, otherId: number): boolean {
    const [one, other] = [nodeId, otherId].map((id) => this.#resource.peerDevice(vnr, id).uuids);
    return !!one && !!other && uuidEq(one.currentUuid, other.currentUuid);
  }
  bitmapExchanged(vnr: number, nodeId: number, side: 'source' | 'target'): void {
    resync.startResync(this.#resource.peerDevice(vnr, nodeId), side);
  }
  resyncDone(vnr: number, nodeId: number): void { resync.finished(this.#resource.peerDevice(vnr, nodeId)); }
  noBitsLeft(vnr: number, nodeId: number): void { tellNoBits(this.#resource.peerDevice(vnr, nodeId)); }
  bitsOfGoodPeer(): void { this.#resource.lookAtBits(); }
  verifyDone(vnr: number, nodeId: number): void { resync.finished(this.#resource.peerDevice(vnr, nodeId)); }
  keepBits(vnr: number, nodeId: number, done: () => void): void { resync.keepBits(this.#resource.peerDevice(vnr, nodeId), done); }
  resyncIdle(vnr: number, nodeId: number): void {
    const pd = this.#resource.connections.get(nodeId)?.peerDevices.get(vnr);
    if (pd) resync.becameIdle(pd);
  }
  syncTargetToBehind(vnr: number, nodeId: number): void { resync.toBehind(this.#resource.peerDevice(vnr, nodeId)); }
  aheadDrained(nodeId: number): void { resync.aheadDrained(this.#resource.connections.get(nodeId)!); }
  congested(vnr: number, nodeId: number): void { handleCongestion(this.#resource.peerDevice(vnr, nodeId)); }
  resyncProgress(vnr: number, nodeId: number): void {
    this.#resource.engine.notifier.peerDeviceChanged(this.#resource.peerDevice(vnr, nodeId));
  }
  sendState(vnr: number, nodeId: number): void { send.currentState(this.#resource.peerDevice(vnr, nodeId)); }
  drained(): void { for (const device of this.#resource.devices.values()) device.openers.drained(); }
}
