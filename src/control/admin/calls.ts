// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Requests of administrators: decoded, refused or served, answered. Commands on one resource run one after the other
 * in the order of their arrival; dumps do not wait.
 * @spec genetlink.md 2, 3
 */
import { assert } from '../../assert.ts';
import { resolve } from '../../genl/context.ts';
import type { Objects } from '../../genl/context.ts';
import { answerDump } from '../../genl/dump.ts';
import { encodeReply } from '../../genl/reply.ts';
import type { Reply } from '../../genl/reply.ts';
import { decodeRequest, isRejection } from '../../genl/request.ts';
import type { Request } from '../../genl/request.ts';
import type { AdminRequest } from '../../host/admin.ts';
import type { Connection } from '../connection.ts';
import type { Device } from '../device.ts';
import type { Engine } from '../engine.ts';
import type { PeerDevice } from '../peer-device.ts';
import type { Resource } from '../resource.ts';
import { Call } from './call.ts';
import { readopt } from './readopt.ts';
import { run } from './steps.ts';
import { handlers } from './table.ts';

/** Id of no request: the engine leaves without a reply. */
const NOBODY = -1;

interface Waiting { readonly admin: AdminRequest; readonly request: Request }

export class AdminCalls {
  readonly #engine: Engine;
  readonly #objects: Objects<Resource, Device, Connection, PeerDevice>;
  /** Commands behind the one that runs on their resource. The relay bounds their number. */
  readonly #waiting = new Map<Resource, Waiting[]>();
  /** By id of the relay. */
  readonly #running = new Map<number, Call>();
  /** Resources that are not yet as they were, and the dumps that wait for them. */
  #takingOver = 0;
  readonly #dumps: Waiting[] = [];
  /** Requests that are owed an answer or still work. */
  #open = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#objects = objectsOf(engine);
  }

  /** Takes over what an earlier engine left; until that is done, commands on a resource wait, and all dumps. */
  readopt(): void {
    const takeOvers = readopt(this.#engine);
    this.#takingOver = takeOvers.length;
    for (const { resource, steps } of takeOvers) {
      this.#waiting.set(resource, []);
      run(steps, () => {
        this.#takingOver--;
        this.#release(resource);
        if (this.#takingOver === 0) for (const { admin, request } of this.#dumps.splice(0)) this.#dump(admin, request);
      });
    }
  }

  request(admin: AdminRequest): void {
    this.#open++;
    const request = decodeRequest(admin.message, { portid: admin.port, capable: admin.capable });
    if (isRejection(request)) return this.#end(admin.id, request.message);
    if (request.op.kind === 'dump') return this.#dump(admin, request);
    this.#start({ admin, request });
  }

  requesterGone(id: number): void {
    this.#running.get(id)?.abandon();
    for (const queue of [this.#dumps, ...this.#waiting.values()]) {
      const at = queue.findIndex(({ admin }) => admin.id === id);
      if (at < 0) continue;
      queue.splice(at, 1);
      this.#open--;
    }
  }

  #dump(admin: AdminRequest, request: Request): void {
    if (this.#takingOver > 0) {
      this.#dumps.push({ admin, request });
      return;
    }
    this.#engine.host.admin.answerDump(admin.id, answerDump(request, this.#engine));
    this.#open--;
    if (this.#idle()) this.#leave(NOBODY, new Uint8Array());
  }

  #start(waiting: Waiting): void {
    const { admin, request } = waiting;
    const resolved = resolve(request, this.#objects);
    if ('refused' in resolved) return this.#answer(admin, request, resolved.refused);
    const { resource } = resolved.named;
    const queue = resource && this.#waiting.get(resource);
    if (queue) {
      queue.push(waiting);
      return;
    }
    if (resource) this.#waiting.set(resource, []);
    const call = new Call(this.#engine, admin, request, resolved.named);
    this.#running.set(admin.id, call);
    const ended = (reply: Reply): void => {
      this.#running.delete(admin.id);
      this.#answer(admin, request, reply);
      if (resource) this.#release(resource);
    };
    const handler = handlers.get(request.op.cmd);
    assert(handler, 'every command is served');
    const result = handler(call);
    if ('code' in result) ended(result);
    else run(result, ended);
  }

  /** What waited is looked up again: the resource may be gone or have another name. */
  #release(resource: Resource): void {
    const next = this.#waiting.get(resource)!;
    this.#waiting.delete(resource);
    for (const each of next) this.#start(each);
  }

  #answer(admin: AdminRequest, request: Request, reply: Reply): void {
    this.#end(admin.id, encodeReply(request, reply));
  }

  /** The reply. With the last resource the engine goes too, and the reply comes when it has gone. */
  #end(id: number, message: Uint8Array): void {
    this.#open--;
    if (this.#idle()) this.#leave(id, message);
    else this.#engine.host.admin.reply(id, message);
  }

  #idle(): boolean {
    return this.#engine.resources.size === 0 && this.#open === 0;
  }

  #leave(id: number, message: Uint8Array): void {
    const { host: { admin }, journal } = this.#engine;
    journal.clear();
    admin.leave(id, message);
    this.#engine.left();
  }
}

const objectsOf = (engine: Engine): Objects<Resource, Device, Connection, PeerDevice> => ({
  resource: (name) => engine.resources.get(name),
  device: (minor) => engine.devicesByMinor.get(minor),
  nodeId: (resource) => resource.nodeId,
  connection: (resource, peerNodeId) => resource.connections.get(peerNodeId),
  peerDevice: (connection, volume) => connection.peerDevices.get(volume),
  deviceOf: (peerDevice) => peerDevice.device,
  resourceOf: (device) => device.resource,
  volumeOf: (device) => device.vnr,
});
