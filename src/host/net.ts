// SPDX-License-Identifier: GPL-2.0-or-later
import type { Arena } from './arena.ts';

export interface Address {
  readonly family: 'ipv4' | 'ipv6';
  readonly address: string;
  readonly port: number;
}

/** Namespace token: netns of an admin request (AdminRequest.netns). 0 is the initial one. */
export type Netns = number;

export interface ConnectOptions {
  readonly netns: Netns;
  /** Bound with an ephemeral port. */
  readonly local: Address;
  readonly remote: Address;
  readonly timeoutMs: number;
  readonly tuning: SocketTuning;
}

export interface SocketTuning {
  /** Bytes; 0 leaves the kernel's auto-tuning. */
  readonly sndbufBytes: number;
  readonly rcvbufBytes: number;
  /** IP_TOS / IPV6_TCLASS byte; -1 leaves it. */
  readonly tos: number;
}

export interface Net {
  /** Calls one of the two callbacks once, later, unless cancelled. errno positive. */
  connect(options: ConnectOptions, connected: (stream: Stream) => void, failed: (errno: number) => void): Cancel;
  /** Errno (positive) when it can't listen now (EADDRINUSE 98, EADDRNOTAVAIL 99). */
  listen(netns: Netns, local: Address, tuning: SocketTuning,
    accepted: (stream: Stream, remote: Address) => void): Listener | number;
}

export interface Cancel { cancel(): void }
export interface Listener { close(): void }

/** 'any': the packet's own magic decides, as genuine 9.x accepts every form on the control stream (wire.md 2). */
export type HeaderFormat = 'h80' | 'h95' | 'h100' | 'any';

/** How a stream cuts bytes into packets (wire.md 2). */
export interface Framing {
  readonly header: HeaderFormat;
  /**
   * By command below 256: bytes of the fixed part (digest included) after which the payload goes to the volume's arena;
   * -1: the whole packet is fixed part. Commands from 256 are all fixed part.
   */
  readonly fixedBytes: Int32Array;
  /** A fixed part above this closes the stream with cause 'protocol'. At most 131,072. */
  readonly maxFixedBytes: number;
  /** A payload above this likewise. */
  readonly maxPayloadBytes: number;
}

export type ClosedCause =
  /** The peer ended the stream in order. */
  | 'eof'
  /** Socket error; errno tells. */
  | 'error'
  /** Bytes that are no packet of this framing: wrong magic, or a length over its limit. */
  | 'protocol';

export interface StreamHandler {
  /**
   * One packet. Its fixed part lies at `fixed`, `fixedBytes` long, in stream.input, valid only during the call.
   * Payload lies at `payload` of the arena bound to the volume and belongs to the receiver from now on
   * (arena.free); -1: there was none, or the volume is not bound and payloadBytes were skipped.
   */
  packet(command: number, volume: number, fixed: number, fixedBytes: number, payload: number, payloadBytes: number): void;
  /** All that was committed up to this position is with the kernel's TCP. At most one call a turn. */
  sent(position: number): void;
  /** Room again after a reserve() that returned -1. */
  writable(): void;
  /**
   * Ended by the peer, an error or the framing, after every packet that was received completely before;
   * not called after close(). No further callback follows.
   */
  closed(cause: ClosedCause, errno: number): void;
}

/**
 * One TCP connection that carries packets. Callbacks come from the event loop, never from inside a call. What is set
 * inside packet() (handler, framing, pause, volumes) holds from the very next packet on, even if its bytes are here already.
 */
export interface Stream {
  readonly local: Address;
  readonly remote: Address;
  /** Fixed parts of received packets. */
  readonly input: DataView;
  /** Bytes to send are written here between reserve() and commit(). The view may change: read it after reserve(). */
  readonly output: DataView;
  /** Nothing is read from the socket before this. */
  start(framing: Framing, handler: StreamHandler): void;
  setHandler(handler: StreamHandler): void;
  setFraming(framing: Framing): void;
  bindVolume(volume: number, arena: Arena | null): void;
  /** Offset in output where `bytes` may be written (whole packet without payload, header included); -1 when the queue is full. */
  reserve(bytes: number): number;
  /**
   * Queues the reserved bytes, and after them an arena's range if payloadBytes > 0, which must stay as it is until
   * sent() reaches the returned position. Reservations are committed in order. Sent at the end of the turn.
   * `lasting`: it stays until the peer has answered or the stream is closed, so its pages may be sent as they are.
   */
  commit(at: number, bytes: number, arena: Arena | null, payload: number, payloadBytes: number, lasting?: boolean): number;
  /** Bytes committed and not yet with the kernel's TCP. */
  queuedBytes(): number;
  /** Bytes that the peer's TCP has not acknowledged (SIOCOUTQ) plus queuedBytes: for congestion policies. Cold. */
  unackedBytes(): number;
  /** Milliseconds (Clock) of the last byte received. */
  lastReceivedMs(): number;
  /** Stops reading while true. */
  pause(paused: boolean): void;
  /** Sends what is queued (bounded by lingerMs), then FIN; no callbacks any more. lingerMs 0: at once. */
  close(lingerMs: number): void;
}
