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

export interface HelperCall { argv: readonly string[]; env: readonly string[] }

export class SimHelper implements Helper {
  readonly calls: HelperCall[] = [];
  /** Exit status of a call, by its name (argv[1]); 0 unless set. */
  readonly exitCodes = new Map<string, number>();
  readonly #life: EngineLife;
  constructor(life: EngineLife) { this.#life = life; }

  run(argv: readonly string[], env: readonly string[], done: (status: number) => void): void {
    this.calls.push({ argv, env });
    this.#life.later(5, `helper ${argv[1]}`, () => done((this.exitCodes.get(argv[1] ?? '') ?? 0) << 8));
  }

  path(): string { return '/sbin/drbdadm'; }
}
