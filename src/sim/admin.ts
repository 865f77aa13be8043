// SPDX-License-Identifier: GPL-2.0-or-later
import type { Admin, AdminHandler, AdminRequest } from '../host/admin.ts';
import { assert } from '../assert.ts';
import type { EngineLife } from './clock.ts';
import type { World } from './world.ts';

type Answer = (messages: readonly Uint8Array[]) => void;

/** The netlink relay of one node's kernel: requests wait here while no engine lives. */
export class KernelAdmin {
  readonly world: World;
  readonly waiting = new Map<number, { request: AdminRequest; answer: Answer; given: boolean }>();
  readonly listeners: ((message: Uint8Array) => void)[] = [];
  /** nlmsg_seq of the last multicast; the first one has 3. */
  sequence = 2;
  pinned = false;
  engine: SimAdmin | null = null;
  /** Called when a request comes and no engine lives. */
  wanted: () => void = () => {};
  left: () => void = () => {};
  #nextId = 1;

  constructor(world: World) { this.world = world; }

  /** Sends a complete netlink message as root would; `answer` gets the messages of the reply. */
  send(message: Uint8Array, dump: boolean, answer: Answer): number {
    const id = this.#nextId++;
    this.waiting.set(id, { request: { id, netns: 0, pid: 1, port: 4711, dump, capable: true, message }, answer, given: false });
    if (this.engine) this.engine.deliver();
    else this.wanted();
    return id;
  }

  giveUp(id: number): void {
    if (this.waiting.delete(id)) this.engine?.gone(id);
  }

  end(id: number, messages: readonly Uint8Array[]): void {
    const entry = this.waiting.get(id);
    this.waiting.delete(id);
    if (entry) this.world.at(0.01, 'admin reply', () => this.#answer(entry.answer, messages));
  }

  /** The machine is gone, and whoever waited for an answer with it: they get none. */
  crashed(): void {
    for (const entry of this.waiting.values()) this.#answer(entry.answer, []);
    this.waiting.clear();
  }

  #answer(answer: Answer, messages: readonly Uint8Array[]): void {
    this.world.woken = true;
    answer(messages);
  }
}

export class SimAdmin implements Admin {
  readonly family = 33;
  readonly #kernel: KernelAdmin;
  readonly #life: EngineLife;
  #handler: AdminHandler | null = null;

  constructor(kernel: KernelAdmin, life: EngineLife) {
    this.#kernel = kernel;
    this.#life = life;
    kernel.engine = this;
    for (const entry of kernel.waiting.values()) entry.given = false;
  }

  setHandler(handler: AdminHandler): void { this.#handler = handler; this.deliver(); }

  deliver(): void {
    for (const entry of this.#kernel.waiting.values()) {
      if (entry.given || !this.#handler) continue;
      entry.given = true;
      this.#life.later(0.01, 'admin request', () => this.#handler!.request(entry.request));
    }
  }

  gone(id: number): void { this.#life.later(0.01, 'requester gone', () => this.#handler?.requesterGone(id)); }

  reply(id: number, messages: Uint8Array): void { this.#kernel.end(id, [messages]); }
  answerDump(id: number, messages: readonly Uint8Array[]): void { this.#kernel.end(id, messages); }

  multicast(message: Uint8Array): void {
    const copy = message.slice();
    new DataView(copy.buffer).setUint32(8, ++this.#kernel.sequence, true);
    for (const listener of this.#kernel.listeners) listener(copy);
  }

  pin(on: boolean): void { this.#kernel.pinned = on; }

  leave(lastId: number, messages: Uint8Array): void {
    assert(!this.#kernel.pinned, 'an engine leaves when nothing is pinned');
    this.#kernel.engine = null;
    this.#life.alive = false;
    if (lastId >= 0) this.#kernel.end(lastId, [messages]);
    this.#kernel.left();
  }

  transportUse(): void {}
}
