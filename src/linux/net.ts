// SPDX-License-Identifier: GPL-2.0-or-later
import type { Address, Cancel, ConnectOptions, Listener, Net, Netns, SocketTuning, Stream } from '../host/net.ts';
import type { LinuxTurn } from './turn.ts';

const ETIMEDOUT = 110;

/** Descriptors of network namespaces by the token that the core has of them; -1 is the process's own. */
export interface NetnsTable { fd(netns: Netns): number }

export class LinuxNet implements Net {
  private readonly turn: LinuxTurn;
  private readonly netns: NetnsTable;

  constructor(turn: LinuxTurn, netns: NetnsTable) {
    this.turn = turn;
    this.netns = netns;
  }

  connect(options: ConnectOptions, connected: (stream: Stream) => void, failed: (errno: number) => void): Cancel {
    const { local, remote, tuning } = options;
    const id = this.turn.native.connect(this.netns.fd(options.netns), remote.family === 'ipv6', local.address,
      remote.address, remote.port, tuning.sndbufBytes, tuning.rcvbufBytes, tuning.tos);
    const delayMs = id < 0 ? 0 : options.timeoutMs;
    const timer = this.turn.clock.timer(`connect to ${remote.address}:${remote.port}`, delayMs, () => {
      abandon();
      failed(id < 0 ? -id : ETIMEDOUT);
    });
    const abandon = () => {
      if (this.turn.connecting.delete(id)) this.turn.native.cancelConnect(id);
    };
    if (id >= 0) {
      this.turn.connecting.set(id, {
        connected: (stream, errno) => {
          timer.cancel();
          if (stream !== null) connected(stream);
          else failed(errno);
        },
      });
    }
    return { cancel: () => { timer.cancel(); abandon(); } };
  }

  listen(netns: Netns, local: Address, tuning: SocketTuning,
    accepted: (stream: Stream, remote: Address) => void): Listener | number {
    const id = this.turn.native.listen(this.netns.fd(netns), local.family === 'ipv6', local.address, local.port,
      tuning.sndbufBytes, tuning.rcvbufBytes, tuning.tos);
    if (id < 0) return -id;
    this.turn.listening.set(id, { accepted: (stream) => accepted(stream, stream.remote) });
    return {
      close: () => {
        if (this.turn.listening.delete(id)) this.turn.native.closeListener(id);
      },
    };
  }
}
