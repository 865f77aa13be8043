// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * From two streams to an agreed protocol: a list of steps, each of which sends one packet and expects one. A small
 * loop walks the list; steps do not know of each other. @spec wire.md 3, 4, uuid.md 4.1 rows 5 and 6
 */
import type { Crypto } from '../host/crypto.ts';
import { LogLevel } from '../host/log.ts';
import type { Random } from '../host/random.ts';
import { WireError } from '../wire/fields.ts';
import { featureNames } from '../wire/features.ts';
import { CHALLENGE_BYTES, SHARED_SECRET_BYTES_MAX } from '../wire/limits.ts';
import { PAuthChallenge, PAuthResponse } from '../wire/packets/auth.ts';
import { PConnectionFeatures } from '../wire/packets/connection-features.ts';
import { packetName } from '../wire/packets.ts';
import type { Packet } from '../wire/schema.ts';
import { agree, type Agreed } from '../wire/versions.ts';
import type { ConnIdentity, NetConf } from './config.ts';

/** Nothing is agreed yet: header h80, no features. */
export const NOT_AGREED: Agreed = { version: 0, features: 0 };

/** retry: tear down and connect again; abort: no use in trying again, StandAlone. */
export type HandshakeFailure = { readonly is: 'retry' | 'abort'; readonly text: string };

export interface HandshakeEvents {
  send<T>(definition: Packet<T>, value: T): void;
  log(level: LogLevel, text: string): void;
  /** The stream's packets have the agreed form from now on. */
  agreed(agreed: Agreed): void;
  done(): void;
  failed(failure: HandshakeFailure): void;
}

interface Context {
  readonly conf: NetConf;
  readonly identity: ConnIdentity;
  readonly crypto: Crypto;
  readonly random: Random;
  readonly events: HandshakeEvents;
  readonly challenge: Uint8Array;
  peerChallenge: Uint8Array;
}

interface Step {
  readonly packet: Packet<any>;
  readonly wanted: (context: Context) => boolean;
  readonly send: (context: Context) => void;
  /** null: go on. */
  readonly take: (context: Context, packet: any) => HandshakeFailure | null;
  readonly wrongPacket: (context: Context, command: number) => HandshakeFailure;
  readonly wrongSize: 'retry' | 'abort';
  readonly silent: HandshakeFailure;
}

const abort = (text: string): HandshakeFailure => ({ is: 'abort', text });
const retry = (text: string): HandshakeFailure => ({ is: 'retry', text });
const hex4 = (command: number): string => command.toString(16).padStart(4, '0');
const AUTH_FAILED = 'Authentication of peer failed';

const features: Step = {
  packet: PConnectionFeatures,
  wanted: () => true,
  send({ events, identity }) {
    events.send(PConnectionFeatures, {
      protocolMin: identity.offer.min,
      protocolMax: identity.offer.max,
      featureFlags: identity.offer.features,
      senderNodeId: identity.ownNodeId,
      receiverNodeId: identity.peerNodeId,
    });
  },
  take({ events, identity }, peer: PConnectionFeatures) {
    const peerMax = peer.protocolMax === 0 ? peer.protocolMin : peer.protocolMax;
    const result = agree(identity.offer, { min: peer.protocolMin, max: peerMax, features: peer.featureFlags });
    if ('incompatible' in result) return abort(result.incompatible);
    const { ownNodeId, peerNodeId } = identity;
    if (peer.senderNodeId !== peerNodeId) {
      return retry(`Peer presented a node_id of ${peer.senderNodeId} instead of ${peerNodeId}`);
    }
    if (peer.receiverNodeId !== ownNodeId) {
      return retry(`Peer expects me to have a node_id of ${peer.receiverNodeId} instead of ${ownNodeId}`);
    }
    events.log(LogLevel.info, `Handshake to peer ${peerNodeId} successful: `
      + `Agreed network protocol version ${result.version}`);
    events.log(LogLevel.info, `Feature flags enabled on protocol level: 0x${result.features.toString(16)} `
      + `${featureNames(result.features)}`);
    events.agreed(result);
    return null;
  },
  wrongPacket: (_context, command) =>
    retry(`expected ConnectionFeatures packet, received: ${packetName(command)} (0x${hex4(command)})`),
  wrongSize: 'abort',
  silent: retry('timeout while waiting for feature packet'),
};

const usesAuthentication = ({ conf }: Context): boolean => conf.cramHmacAlg !== '';

const challenge: Step = {
  packet: PAuthChallenge,
  wanted: usesAuthentication,
  send({ events, random, challenge }) {
    random.fill(challenge);
    events.send(PAuthChallenge, { challenge });
  },
  take(context, { challenge }: PAuthChallenge) {
    if (sameBytes(challenge, context.challenge)) {
      return abort('Peer presented the same challenge!');
    }
    context.peerChallenge = challenge;
    return null;
  },
  wrongPacket: (_context, command) =>
    abort(`expected AuthChallenge packet, received: ${packetName(command)} (0x${hex4(command)})`),
  wrongSize: 'abort',
  silent: abort('timeout while waiting for AuthChallenge packet'),
};

const response: Step = {
  packet: PAuthResponse,
  wanted: usesAuthentication,
  send(context) {
    context.events.send(PAuthResponse, { response: answerTo(context, context.peerChallenge, context.identity.ownNodeId) });
  },
  take(context, { response }: PAuthResponse) {
    const expected = answerTo(context, context.challenge, context.identity.peerNodeId);
    if (!sameBytes(response, expected)) return abort(AUTH_FAILED);
    context.events.log(LogLevel.info, `Peer authenticated using ${expected.length} bytes HMAC`);
    return null;
  },
  wrongPacket: (_context, command) =>
    retry(`expected AuthResponse packet, received: ${packetName(command)} (0x${hex4(command)})`),
  wrongSize: 'abort',
  silent: retry('Authentication of peer failed, trying again.'),
};

export const HANDSHAKE: readonly Step[] = [features, challenge, response];

const answerTo = ({ conf, crypto }: Context, challenge: Uint8Array, nodeId: number): Uint8Array =>
  cramHmac(crypto, conf.cramHmacAlg, conf.sharedSecret, challenge, nodeId);

/** What the node with that id must answer to a challenge, from version 110 on. @spec wire.md 4 */
export function cramHmac(
  crypto: Crypto, algorithm: string, secret: string, challenge: Uint8Array, nodeId: number,
): Uint8Array {
  const message = new Uint8Array(challenge.length + 4);
  message.set(challenge);
  new DataView(message.buffer).setUint32(challenge.length, nodeId);
  return crypto.hmac(algorithm, secretBytes(secret), message);
}

/** As drbdsetup hands it over: UTF-8, without the terminating 0. */
function secretBytes(secret: string): Uint8Array {
  return new TextEncoder().encode(secret).subarray(0, SHARED_SECRET_BYTES_MAX);
}

/** Takes the same time wherever the difference is. */
function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i] ^ b[i];
  return difference === 0;
}

export class Handshake {
  readonly #context: Context;
  readonly #steps: readonly Step[];
  #next = 0;
  #over = false;

  constructor(conf: NetConf, identity: ConnIdentity, crypto: Crypto, random: Random, events: HandshakeEvents) {
    this.#context = {
      conf, identity, crypto, random, events, challenge: new Uint8Array(CHALLENGE_BYTES), peerChallenge: new Uint8Array(0),
    };
    this.#steps = HANDSHAKE.filter((step) => step.wanted(this.#context));
  }

  start(): void {
    this.#steps[0].send(this.#context);
  }

  get over(): boolean { return this.#over; }

  /** What to do when nothing comes in time. */
  silent(): void {
    this.#end(this.#steps[this.#next].silent);
  }

  /** A packet of the data stream while the handshake runs. */
  packet(command: number, view: DataView, at: number, bytes: number, agreed: Agreed): void {
    const step = this.#steps[this.#next];
    if (command !== step.packet.command) return this.#end(step.wrongPacket(this.#context, command));
    let packet: unknown;
    try {
      packet = step.packet.decode(view, at, bytes, agreed);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return this.#end({ is: step.wrongSize, text: error.message });
    }
    const failure = step.take(this.#context, packet);
    if (failure) return this.#end(failure);
    this.#next++;
    if (this.#next < this.#steps.length) return this.#steps[this.#next].send(this.#context);
    this.#over = true;
    this.#context.events.done();
  }

  #end(failure: HandshakeFailure): void {
    this.#over = true;
    this.#context.events.failed(failure);
  }
}
