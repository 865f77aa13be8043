// SPDX-License-Identifier: GPL-2.0-or-later
/** Lines as DRBD words them: "drbd RESOURCE/VOLUME drbdMINOR PEER: text". @spec genetlink.md 11 */
import { LogLevel } from '../host/log.ts';
import type { Log } from '../host/log.ts';

export class Prefixed {
  readonly #log: Log;
  readonly prefix: string;
  constructor(log: Log, prefix: string) { this.#log = log; this.prefix = prefix; }
  line(level: LogLevel, text: string): void { this.#log.line(level, `${this.prefix}: ${text}`); }
  err(text: string): void { this.line(LogLevel.err, text); }
  warn(text: string): void { this.line(LogLevel.warning, text); }
  info(text: string): void { this.line(LogLevel.info, text); }
}

export const resourcePrefix = (resource: string): string => `drbd ${resource}`;
export const devicePrefix = (resource: string, vnr: number, minor: number): string => `drbd ${resource}/${vnr} drbd${minor}`;
export const connectionPrefix = (resource: string, peer: string): string => `drbd ${resource} ${peer}`;
export const peerDevicePrefix = (resource: string, vnr: number, minor: number, peer: string): string =>
  `drbd ${resource}/${vnr} drbd${minor} ${peer}`;
