// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * What a connection needs from above. The state engine owns cstate: the connection asks for changes of it, and is told
 * by connConnect() and connDisconnect() what to do about the result.
 */
import type { LogLevel } from '../host/log.ts';
import type { Cstate } from '../state/states.ts';
import type { PProtocol } from '../wire/packets/protocol.ts';
import type { ConnectFlags } from './config.ts';
import type { ConnLink } from './link.ts';
import type { Path } from './transport-class.ts';

export interface ConnEnv {
  /** One line of this connection ("drbd r0 peer: " is put before it). */
  log(level: LogLevel, text: string): void;

  cstate(): Cstate;
  /**
   * Asks for a new cstate by a local transaction; a loss is a fact: only the rules H of state.md 4.1 may refuse. False: refused.
   * The first loss reason wins. May call connDisconnect() from inside.
   */
  changeCstate(to: Cstate, tag: string): boolean;
  /** A disconnect with this peer is prepared or told: the end of a stream is no failure. @spec state.md 6.6 */
  disconnectExpected(): boolean;
  connectFlags(): ConnectFlags;
  /** The peer's connect is a tentative one (P_PROTOCOL): so is ours then. */
  peerDryRun(): void;

  /** P_CONNECTION_FEATURES agreed; before authentication. Facts agreedVersion, agreedFeatures of the view. */
  featuresAgreed(version: number, features: number): void;
  /**
   * Features, authentication and own P_PROTOCOL are through; the peer's comes with the packets. Now the node with the
   * lower id starts the connect transaction. Hot packets may be sent once the transaction has committed.
   * @spec uuid.md 4.1 row 9
   */
  handshakeDone(link: ConnLink): void;
  /**
   * P_PROTOCOL_UPDATE: values to adopt, with local and remote policies already swapped. The connection has adopted
   * them in its own NetConf, and the digest size of what the peer sends.
   */
  protocolUpdate(packet: PProtocol): void;

  /**
   * The streams are closed, the cstate is a loss reason, Disconnecting or below: everything of uuid.md 4.9 items 4 to 9.
   * `done` is called once, later or at once.
   */
  cleanUp(done: () => void): void;
  /** After "Connection closed": fence-peer and the helper `disconnected` (item 10). `done` once, later or at once. */
  afterClosed(done: () => void): void;
  /**
   * All is over: the state engine goes to Unconnected (and has connConnect() called again), or to StandAlone from
   * Disconnecting.
   */
  tornDown(): void;

  /** established flag of a path, for its notification. */
  pathEstablished(path: Path, established: boolean): void;

  /** StreamHandler.sent and writable of the streams in use, for I/O. Hot. */
  dataSent(position: number): void;
  dataWritable(): void;
  controlSent(position: number): void;
  controlWritable(): void;
}
