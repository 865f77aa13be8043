// SPDX-License-Identifier: GPL-2.0-or-later
/** One request of an administrator on its way. */
import { assert } from '../../assert.ts';
import type { Named } from '../../genl/context.ts';
import type { Reply } from '../../genl/reply.ts';
import type { Request } from '../../genl/request.ts';
import type { AdminRequest } from '../../host/admin.ts';
import type { Event } from '../../state/events.ts';
import type { Reason } from '../../state/reason.ts';
import { Ss } from '../../state/ss.ts';
import type { Connection } from '../connection.ts';
import type { Device } from '../device.ts';
import type { Engine } from '../engine.ts';
import type { PeerDevice } from '../peer-device.ts';
import type { Resource } from '../resource.ts';
import { until } from './steps.ts';
import type { Steps } from './steps.ts';

/** What a command does. Its reply is sent when it has returned. */
export type Handler = (call: Call) => Reply | Steps<Reply>;

export type NamedObjects = Named<Resource, Device, Connection, PeerDevice>;

/** How a request to the state machine ended. */
export interface Ended { readonly rc: number; readonly reason: Reason | null }

export class Call {
  readonly engine: Engine;
  /** As the relay gave it. */
  readonly admin: AdminRequest;
  readonly request: Request;
  readonly named: NamedObjects;
  /** The requester has died or got a signal: what it waits for is cancelled, nobody gets the reply. */
  #gone = false;
  #waiting: { readonly resource: Resource; readonly request: number } | null = null;

  constructor(engine: Engine, admin: AdminRequest, request: Request, named: NamedObjects) {
    this.engine = engine;
    this.admin = admin;
    this.request = request;
    this.named = named;
  }

  get resource(): Resource { return there(this.named.resource); }
  get device(): Device { return there(this.named.device); }
  get connection(): Connection { return there(this.named.connection); }
  get peerDevice(): PeerDevice { return there(this.named.peerDevice); }
  get gone(): boolean { return this.#gone; }

  /** Gives the resource an event with a request number, and waits for the end of what it starts. */
  *ask(resource: Resource, build: (request: number) => Event): Steps<Ended> {
    const ended = yield* until<Ended>((resume) => {
      let over = false;
      const request = resource.request(build, (rc, reason) => {
        over = true;
        resume({ rc, reason });
      });
      if (over) return;
      this.#waiting = { resource, request };
      if (this.#gone) this.#cancel();
    });
    this.#waiting = null;
    return ended;
  }

  /** AdminHandler.requesterGone. */
  abandon(): void {
    this.#gone = true;
    this.#cancel();
  }

  #cancel(): void {
    if (this.#waiting) this.#waiting.resource.dispatch({ kind: 'cancel', request: this.#waiting.request });
  }
}

function there<T>(object: T | undefined): T {
  assert(object !== undefined, 'what a command needs was found before it runs');
  return object;
}

/** Replies as genuine gives them for a state change that was refused: the code, and the words of a peer. */
export function changeReply({ rc, reason }: Ended): Reply {
  const text = rc < Ss.success && reason?.kind === 'declined' ? reason.text : '';
  return text === '' ? { code: rc } : { code: rc, texts: [text] };
}
