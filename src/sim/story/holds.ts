// SPDX-License-Identifier: GPL-2.0-or-later
/** Stopping the world at a point: one packet under way between two nodes, or operations of one disk. */
import { packetName } from '../../wire/packets.ts';
import type { SimCluster } from '../cluster.ts';
import { parseHeader } from '../header.ts';
import type { SimStream } from '../net.ts';

export interface Seen { readonly atMs: number; readonly from: string; readonly to: string; readonly name: string }

/** One packet that is to stay under way, and all behind it on its stream. */
export class HeldPacket {
  readonly from: string;
  readonly to: string;
  /** In either direction. */
  readonly both: boolean;
  readonly name: string;
  /** How many of the name pass first. */
  skip: number;
  stream: SimStream | null = null;
  packet: Uint8Array | null = null;
  done = false;
  readonly #holds: Holds;

  constructor(holds: Holds, from: string, to: string, both: boolean, name: string, skip: number) {
    this.#holds = holds;
    this.both = both;
    this.from = from;
    this.to = to;
    this.name = name;
    this.skip = skip;
  }

  lies(from: string, to: string): boolean {
    return this.from === from && this.to === to || this.both && this.from === to && this.to === from;
  }
  get caught(): boolean { return this.stream !== null; }

  /** It goes on, and what came behind it. */
  release(): void {
    this.done = true;
    this.#holds.forget(this);
    this.stream?.pump();
  }
}

/** Watches every packet that arrives anywhere. Addresses are the nodes'. */
export class Holds {
  readonly seen: Seen[] = [];
  #held: HeldPacket[] = [];
  #passed: Uint8Array | null = null;

  constructor(cluster: SimCluster) {
    const { fabric, world } = cluster;
    fabric.holds = (stream, packet) => {
      const [from, to] = [stream.remote.address, stream.local.address];
      const name = packetName(parseHeader(packet, 'any')?.command ?? -1);
      for (const held of this.#held) {
        if (held.packet === packet) return true;
        if (held.caught || held.name !== name || packet === this.#passed || !held.lies(from, to)) continue;
        if (held.skip-- > 0) continue;
        held.stream = stream;
        held.packet = packet;
        return true;
      }
      this.#passed = packet;
      this.seen.push({ atMs: world.nowMs, from, to, name });
      return false;
    };
  }

  hold(from: string, to: string, both: boolean, name: string, skip: number): HeldPacket {
    const held = new HeldPacket(this, from, to, both, name, skip);
    this.#held.push(held);
    return held;
  }

  forget(held: HeldPacket): void { this.#held = this.#held.filter((each) => each !== held); }
  releaseAll(): void { for (const held of [...this.#held]) held.release(); }
  count(from: string, to: string, name: string): number {
    return this.seen.filter((s) => s.from === from && s.to === to && s.name === name).length;
  }
}
