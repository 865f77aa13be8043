// SPDX-License-Identifier: GPL-2.0-or-later
/** Who takes which packet: one table a connection. @spec wire.md 6, 14 */
import { assert } from '../assert.ts';
import type { AnyPacket } from '../wire/packets.ts';
import { COMMAND_TABLE_SIZE } from '../wire/packets.ts';
import type { Packet } from '../wire/schema.ts';

/** '' when taken, else why the peer must not send this: logged, then ProtocolError. */
export type Verdict = string;
export const TAKEN: Verdict = '';

export type PacketHandler<T> = (vnr: number, packet: T) => Verdict;

/**
 * A packet as bytes, for hot ones: its fixed part at `at` of `view`, only valid now; its payload in the arena bound to
 * the volume, the handler's from now on whatever it answers; payload -1: none, or no arena bound and skipped.
 */
export type RawHandler = (
  command: number, vnr: number, view: DataView, at: number, bytes: number, payload: number, payloadBytes: number,
) => Verdict;

export interface HandlerEntry {
  readonly definition: AnyPacket;
  readonly decoded: PacketHandler<any> | null;
  readonly raw: RawHandler | null;
}

export class PacketHandlers {
  readonly #entries: Array<HandlerEntry | null> = new Array(COMMAND_TABLE_SIZE).fill(null);

  /** Decoded by its schema; bytes that do not fit it never reach the handler. */
  on<T>(definition: Packet<T>, handler: PacketHandler<T>): this {
    return this.#add({ definition: definition as AnyPacket, decoded: handler, raw: null });
  }

  /** Size bounds of the schema are checked, nothing else. */
  onRaw(definition: AnyPacket, handler: RawHandler): this {
    return this.#add({ definition, decoded: null, raw: handler });
  }

  find(command: number): HandlerEntry | null {
    return command < COMMAND_TABLE_SIZE ? this.#entries[command] : null;
  }

  #add(entry: HandlerEntry): this {
    const { command } = entry.definition;
    assert(command < COMMAND_TABLE_SIZE && this.#entries[command] === null, 'a packet has one handler');
    this.#entries[command] = entry;
    return this;
  }
}
