// SPDX-License-Identifier: GPL-2.0-or-later
/** What a transport class (tcp, lb-tcp, …) offers to a connection. @spec wire.md 1 */
import type { Address, Netns, Stream } from '../host/net.ts';

/** One address pair of a connection. The object is the path's identity. */
export interface Path {
  readonly local: Address;
  readonly peer: Address;
  readonly netns: Netns;
}

/** A packet that came behind the first one while the other stream was still missing. */
export interface EarlyPacket {
  readonly command: number;
  readonly volume: number;
  /** A copy of its fixed part. */
  readonly body: DataView;
}

/** Both streams stand and their first packets are exchanged; each is started, paused, and has its early packet at most. */
export interface TransportStreams {
  readonly path: Path;
  readonly data: Stream;
  readonly control: Stream;
  readonly dataEarly: EarlyPacket | null;
  readonly controlEarly: EarlyPacket | null;
  /** RESOLVE_CONFLICTS: set on the end that accepted the control stream. @spec wire.md 1.4 */
  readonly resolveConflicts: boolean;
}

export interface TransportConf {
  readonly connectIntMs: number;
  readonly pingTimeoutMs: number;
  readonly socketCheckTimeoutMs: number;
  readonly sndbufBytes: number;
  readonly rcvbufBytes: number;
}

/** Callbacks of one attempt, never from inside a call of Transport. */
export interface TransportEvents {
  connected(streams: TransportStreams): void;
  /** Ready to be logged; a trouble that lasts is told once. The attempt goes on by itself. */
  trouble(text: string): void;
}

/** Of one connection. */
export interface Transport {
  readonly paths: readonly Path[];
  /** May be called at any time; an attempt that runs takes the new path along. */
  addPath(path: Path): void;
  removePath(path: Path): void;
  /** Starts an attempt that lasts until `connected` or cancel. With no path it waits for one. */
  connect(conf: TransportConf, events: TransportEvents): void;
  /** Ends the attempt and closes what it has; no callback follows. */
  cancel(): void;
}

/** One object an engine: what its connections share (listeners) lives here. */
export interface TransportClass {
  readonly name: string;
  create(): Transport;
}

export class TransportRegistry {
  readonly #classes = new Map<string, TransportClass>();

  register(transportClass: TransportClass): void {
    this.#classes.set(transportClass.name, transportClass);
  }

  /** undefined: no such transport. */
  find(name: string): TransportClass | undefined {
    return this.#classes.get(name);
  }
}
