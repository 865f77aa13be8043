// SPDX-License-Identifier: GPL-2.0-or-later
/** The small ports: log, journal, helpers. */
import type { Helper } from '../host/helper.ts';
import type { Journal } from '../host/journal.ts';
import type { Log, LogLevel } from '../host/log.ts';
import type { EngineLife } from './clock.ts';
import type { World } from './world.ts';

export class SimLog implements Log {
  readonly lines: string[] = [];
  /** Hears each line. */
  heard: ((text: string) => void) | null = null;
  readonly #world: World;
  readonly #node: string;
  /** Lines kept at most. */
  keep = 5_000;

  constructor(world: World, node: string) { this.#world = world; this.#node = node; }

  line(level: LogLevel, text: string): void {
    const line = `${this.#world.nowMs.toFixed(3)} ${this.#node} <${level}> ${text}`;
    this.#world.note(line);
    this.lines.push(line);
    this.heard?.(text);
    if (this.lines.length > this.keep) this.lines.splice(0, this.keep / 2);
  }
}

/** Kept over an engine's death, gone at a power failure (it lies on a tmpfs). */
export class SimJournal implements Journal {
  records: Uint8Array[] = [];
  read(): readonly Uint8Array[] { return this.records; }
  append(record: Uint8Array): void { this.records.push(record.slice()); }
  rewrite(records: readonly Uint8Array[]): void { this.records = records.map((r) => r.slice()); }
}

/** Stands for the administrator's scripts: the exit status, or null to leave it to `exitCodes`. */
export type Handler = (name: string, peerNodeId: number) => Promise<number> | null;

export interface HelperCall { argv: readonly string[]; env: readonly string[] }

export class SimHelper implements Helper {
  readonly calls: HelperCall[] = [];
  /** Exit status of a call, by its name (argv[1]); 0 unless set. */
  readonly exitCodes = new Map<string, number>();
  readonly #life: EngineLife;
  readonly #handler: Handler | null;
  constructor(life: EngineLife, handler: Handler | null = null) { this.#life = life; this.#handler = handler; }

  run(argv: readonly string[], env: readonly string[], done: (status: number) => void): void {
    this.calls.push({ argv, env });
    const name = argv[1] ?? '';
    const ended = (exit: number): void => done(exit << 8);
    const peer = env.find((line) => line.startsWith('DRBD_PEER_NODE_ID='))?.split('=')[1];
    const handled = this.#handler?.(name, Number(peer ?? -1));
    if (handled) void handled.then((exit) => this.#life.later(0, `helper ${name}`, () => ended(exit)));
    else this.#life.later(5, `helper ${name}`, () => ended(this.exitCodes.get(name) ?? 0));
  }

  path(): string { return '/sbin/drbdadm'; }
}
