// SPDX-License-Identifier: GPL-2.0-or-later
/** A TCP connection between its first packet and its use by a connection. @spec wire.md 1.2 */
import type { Clock, Timer } from '../host/clock.ts';
import type { Framing, Stream, StreamHandler } from '../host/net.ts';
import type { EarlyPacket, Path } from '../conn/transport-class.ts';
import { HEADER_BYTES, putHeader } from '../wire/header.ts';
import { PInitialData, PInitialMeta } from '../wire/packets/empty.ts';
import { fixedBytesTable, packetName } from '../wire/packets.ts';

export type Kind = 'data' | 'control';

/** Nothing but features packets and pings may come before both streams stand. */
const EARLY_BYTES_MAX = 256;

const FRAMING: Framing = { header: 'any', fixedBytes: fixedBytesTable(0), maxFixedBytes: EARLY_BYTES_MAX, maxPayloadBytes: 0 };

const KIND_OF = new Map<number, Kind>([[PInitialData.command, 'data'], [PInitialMeta.command, 'control']]);
const PACKET_OF = { data: PInitialData, control: PInitialMeta } as const;

/** A socket whose kind is known, watched for its end; it keeps the one packet that may come early and then pauses. */
export class Socket {
  readonly stream: Stream;
  readonly path: Path;
  /** We connected, the peer accepted. */
  readonly active: boolean;
  early: EarlyPacket | null = null;
  alive = true;

  constructor(stream: Stream, path: Path, active: boolean) {
    this.stream = stream;
    this.path = path;
    this.active = active;
  }

  get handler(): StreamHandler {
    return {
      packet: (command, volume, at, bytes) => {
        const from = this.stream.input.byteOffset + at;
        this.early = { command, volume, body: new DataView(this.stream.input.buffer.slice(from, from + bytes)) };
        this.stream.pause(true);
      },
      sent: () => {},
      writable: () => {},
      closed: () => { this.alive = false; },
    };
  }

  /** Also after its end: whoever ended it, nothing of it stays. */
  close(): void {
    this.alive = false;
    this.stream.close(0);
  }
}

/** Sends the first packet on a stream that we connected. */
export function announce(stream: Stream, path: Path, kind: Kind): Socket {
  const socket = new Socket(stream, path, true);
  stream.start(FRAMING, socket.handler);
  const at = stream.reserve(HEADER_BYTES.h80);
  if (at >= 0) {
    putHeader(stream.output, at, 'h80', PACKET_OF[kind].command, 0, 0);
    stream.commit(at, HEADER_BYTES.h80, null, 0, 0);
  }
  return socket;
}

export interface FirstPacket {
  cancel(): void;
}

/**
 * Waits for the first packet on a stream that we accepted. Ends once: with the socket's kind, or null when it is closed;
 * then `trouble` says what is wrong with the peer, '' for an end that may happen any time.
 */
export function classify(
  clock: Clock, stream: Stream, path: Path, timeoutMs: number,
  done: (socket: Socket, kind: Kind | null, trouble: string) => void,
): FirstPacket {
  const socket = new Socket(stream, path, false);
  let timer: Timer | null = null;
  const end = (kind: Kind | null, trouble = ''): void => {
    timer?.cancel();
    timer = null;
    if (kind === null) socket.close();
    done(socket, kind, trouble);
  };
  timer = clock.timer('first packet of an accepted socket', timeoutMs, () => end(null));
  stream.start(FRAMING, {
    packet(command) {
      const kind = KIND_OF.get(command) ?? null;
      if (kind !== null) stream.setHandler(socket.handler);
      end(kind, kind === null ? `unexpected ${packetName(command)} (0x${command.toString(16).padStart(4, '0')})` : '');
    },
    sent: () => {},
    writable: () => {},
    closed(cause) {
      socket.alive = false;
      end(null, cause === 'protocol' ? 'wrong magic value or length' : '');
    },
  });
  return {
    cancel() {
      timer?.cancel();
      socket.close();
    },
  };
}
