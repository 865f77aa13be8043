// SPDX-License-Identifier: GPL-2.0-or-later
/** From a packet's number to its handler, with the checks that every packet must pass. @spec wire.md 6, 14 */
import { WireError } from '../wire/fields.ts';
import { VNR_NONE, vnrOfVolume } from '../wire/header.ts';
import { COMMAND_TABLE_SIZE, packetName } from '../wire/packets.ts';
import type { StreamName } from '../wire/schema.ts';
import type { Agreed } from '../wire/versions.ts';
import { type HandlerEntry, type PacketHandlers, TAKEN, type Verdict } from './handlers.ts';

/** One stream of one incarnation: sizes are looked up here, not computed per packet. */
export class Receiver {
  readonly #stream: StreamName;
  readonly #agreed: Agreed;
  readonly #entries: Array<HandlerEntry | null> = new Array(COMMAND_TABLE_SIZE).fill(null);
  readonly #minBytes = new Int32Array(COMMAND_TABLE_SIZE);
  readonly #maxBytes = new Int32Array(COMMAND_TABLE_SIZE);

  constructor(stream: StreamName, agreed: Agreed, ...tables: PacketHandlers[]) {
    this.#stream = stream;
    this.#agreed = agreed;
    for (let command = 0; command < COMMAND_TABLE_SIZE; command++) {
      const entry = tables.map((table) => table.find(command)).find((found) => found !== null) ?? null;
      if (entry === null || entry.definition.stream !== stream || !entry.definition.permitted(agreed)) continue;
      this.#entries[command] = entry;
      this.#minBytes[command] = entry.definition.minBytes(agreed);
      this.#maxBytes[command] = entry.definition.maxBytes(agreed);
      if (entry.definition.blockData) this.#maxBytes[command] = entry.definition.fixedBytes;
    }
  }

  /** Block data packets have a digest of so many bytes behind their fixed part from now on. */
  setDigestBytes(digestBytes: number): void {
    for (const entry of this.#entries) {
      if (!entry?.definition.blockData) continue;
      const { command, fixedBytes } = entry.definition;
      this.#minBytes[command] = this.#maxBytes[command] = fixedBytes + digestBytes;
    }
  }

  /** '' when taken. Whoever calls frees the payload of a packet that is refused before a handler saw it. */
  dispatch(command: number, volume: number, view: DataView, at: number, bytes: number, payload: number,
    payloadBytes: number): Verdict {
    const entry = this.#entries[command]!;
    const vnr = entry.definition.scope === 'connection' ? VNR_NONE : vnrOfVolume(volume);
    if (entry.raw !== null) return entry.raw(command, vnr, view, at, bytes, payload, payloadBytes);
    return this.#decoded(entry, vnr, view, at, bytes);
  }

  /** '' when the packet may be dispatched. */
  check(command: number, volume: number, bytes: number): Verdict {
    const entry = command < COMMAND_TABLE_SIZE ? this.#entries[command] : null;
    if (entry === null) {
      return `Unexpected ${this.#stream === 'data' ? 'data' : 'meta'} packet ${packetName(command)} `
        + `(0x${command.toString(16).padStart(4, '0')})`;
    }
    if (bytes < this.#minBytes[command] || bytes > this.#maxBytes[command]) {
      return `Unexpected size of ${entry.definition.name}: ${bytes} bytes, `
        + `not ${this.#minBytes[command]}..${this.#maxBytes[command]}`;
    }
    if (entry.definition.scope === 'volume' && vnrOfVolume(volume) === VNR_NONE) return `${entry.definition.name} without a volume`;
    return TAKEN;
  }

  #decoded(entry: HandlerEntry, vnr: number, view: DataView, at: number, bytes: number): Verdict {
    let packet: unknown;
    try {
      packet = entry.definition.decode(view, at, bytes, this.#agreed);
    } catch (error) {
      if (error instanceof WireError) return error.message;
      throw error;
    }
    return entry.decoded!(vnr, packet);
  }
}
