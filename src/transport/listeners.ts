// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * One listening socket for each local address and namespace, shared by the connections that wait there. Who an
 * incoming one belongs to is told by its source address alone, never its port. @spec wire.md 1.1
 */
import type { Address, Listener, Net, SocketTuning, Stream } from '../host/net.ts';
import type { Path } from '../conn/transport-class.ts';
import { addressBytes, sameAddress } from './address.ts';

export interface Waiting {
  readonly path: Path;
  accepted(stream: Stream): void;
}

interface Shared {
  readonly listener: Listener;
  readonly waiting: Set<Waiting>;
}

export class ListenerPool {
  readonly #net: Net;
  readonly #shared = new Map<string, Shared>();

  constructor(net: Net) {
    this.#net = net;
  }

  /** 0: `waiting` gets what comes from its peer's address, until leave(). Else the errno (positive). */
  join(waiting: Waiting, tuning: SocketTuning): number {
    const { path } = waiting;
    const key = keyOf(path);
    let shared = this.#shared.get(key);
    if (!shared) {
      const set = new Set<Waiting>();
      const listener = this.#net.listen(path.netns, path.local, tuning, (stream, remote) => accept(set, stream, remote));
      if (typeof listener === 'number') return listener;
      shared = { listener, waiting: set };
      this.#shared.set(key, shared);
    }
    shared.waiting.add(waiting);
    return 0;
  }

  /** The last one closes the socket. Idempotent. */
  leave(waiting: Waiting): void {
    const key = keyOf(waiting.path);
    const shared = this.#shared.get(key);
    if (!shared?.waiting.delete(waiting) || shared.waiting.size > 0) return;
    this.#shared.delete(key);
    shared.listener.close();
  }
}

function accept(set: ReadonlySet<Waiting>, stream: Stream, remote: Address): void {
  for (const waiting of set) {
    if (sameAddress(waiting.path.peer, remote)) return waiting.accepted(stream);
  }
  stream.close(0);
}

const keyOf = ({ netns, local }: Path): string => `${netns} ${addressBytes(local).join('.')} ${local.port}`;
