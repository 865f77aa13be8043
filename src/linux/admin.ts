// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { Admin, AdminHandler, AdminRequest } from '../host/admin.ts';
import type { ShimNetns } from './netns.ts';
import { Ioctls, ReplyFlag, RequestFlag, shimMaxDump, shimMaxMessage } from './shim-abi.ts';
import type { ShimChannel } from './shim.ts';

const headerBytes = 40;
/** nlmsghdr with the flag MULTI and the number 0. */
const doneType = 3;
const doneBytes = 20;

/** Requests of drbdsetup as the shim relays them. */
export class ShimAdmin implements Admin {
  readonly family: number;
  private readonly shim: ShimChannel;
  private readonly netns: ShimNetns;
  private readonly buffer = new Uint8Array(headerBytes + shimMaxMessage);
  private readonly cleanUp: () => void;
  private handler: AdminHandler | null = null;
  /** Dumps not yet answered, with the port and sequence number that they came with. */
  private readonly dumps = new Map<number, readonly [port: number, seq: number]>();

  /** `cleanUp` runs when the engine leaves in order, before its last reply is given. */
  constructor(shim: ShimChannel, netns: ShimNetns, cleanUp: () => void) {
    this.shim = shim;
    this.netns = netns;
    this.cleanUp = cleanUp;
    this.family = shim.family;
    shim.requestSink = {
      requests: () => this.readAll(),
      requestGone: (id) => {
        this.dumps.delete(id);
        this.handler?.requesterGone(id);
      },
    };
  }

  setHandler(handler: AdminHandler): void { this.handler = handler; }

  reply(id: number, messages: Uint8Array): void {
    assert(messages.length <= shimMaxMessage, 'a reply fits into one datagram');
    this.send(id, messages, 0);
  }

  answerDump(id: number, messages: readonly Uint8Array[]): void {
    const all = Buffer.concat(messages);
    assert(all.length <= shimMaxDump, 'a dump fits into the kernel');
    const sender = this.dumps.get(id);
    this.dumps.delete(id);
    if (all.length === 0) {
      if (sender !== undefined) this.send(id, done(...sender), 0);
      return;
    }
    // A requester that died or has another dump running is no concern of ours: the request has ended.
    this.shim.attempt(Ioctls.dump, (view) => {
      view.setBigUint64(0, BigInt(id), true);
      view.setUint32(16, all.length, true);
    }, 8, all);
  }

  multicast(message: Uint8Array): void {
    this.shim.attempt(Ioctls.multicast, (view) => view.setUint32(8, message.length, true), 0, message);
  }

  pin(on: boolean): void {
    this.shim.call('pin', Ioctls.pin, (view) => view.setUint32(0, on ? 1 : 0, true));
  }

  leave(lastId: number, messages: Uint8Array): void {
    this.shim.call('leaving', Ioctls.leaving, (view) => view.setUint32(0, 1, true));
    this.send(lastId, messages, ReplyFlag.atClose);
    this.cleanUp();
    this.shim.close();
  }

  transportUse(name: string, up: boolean): void {
    this.shim.attempt(Ioctls.transport, (view) => {
      for (let i = 0; i < name.length && i < 23; i++) view.setUint8(i, name.charCodeAt(i));
      view.setUint32(24, up ? 1 : 0, true);
    });
  }

  /** The requester may be gone or not read: then the request has ended all the same. */
  private send(id: number, messages: Uint8Array, flags: number): void {
    this.dumps.delete(id);
    this.shim.attempt(Ioctls.reply, (view) => {
      view.setBigUint64(0, BigInt(id), true);
      view.setUint32(16, messages.length, true);
      view.setUint32(20, flags, true);
    }, 8, messages);
  }

  private readAll(): void {
    while (this.handler !== null) {
      const size = this.shim.turn.native.shimRead(this.buffer);
      if (size <= 0) return;
      this.handler.request(this.request(size));
    }
  }

  private request(size: number): AdminRequest {
    const view = new DataView(this.buffer.buffer);
    const messageBytes = view.getUint32(8, true);
    assert(size === headerBytes + messageBytes, 'a request is as long as it says');
    const flags = view.getUint32(12, true);
    const pid = view.getUint32(28, true);
    const id = Number(view.getBigUint64(0, true));
    if ((flags & RequestFlag.dump) !== 0) this.dumps.set(id, [view.getUint32(20, true), view.getUint32(24, true)]);
    return {
      id,
      netns: this.netns.learn(view.getUint32(16, true), pid),
      pid,
      port: view.getUint32(20, true),
      dump: (flags & RequestFlag.dump) !== 0,
      capable: (flags & RequestFlag.capable) !== 0,
      message: this.buffer.slice(headerBytes, size),
    };
  }
}

/** NLMSG_DONE: the end of a dump. */
function done(port: number, seq: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(doneBytes));
  view.setUint32(0, doneBytes, true);
  view.setUint16(4, doneType, true);
  view.setUint16(6, 2, true);
  view.setUint32(8, seq, true);
  view.setUint32(12, port, true);
  return new Uint8Array(view.buffer);
}
