// SPDX-License-Identifier: GPL-2.0-or-later
/** Levels of the kernel log. */
export const LogLevel = { emerg: 0, alert: 1, crit: 2, err: 3, warning: 4, notice: 5, info: 6, debug: 7 } as const;
export type LogLevel = (typeof LogLevel)[keyof typeof LogLevel];

export interface Log {
  /** One line without newline, at most 1,000 bytes (longer ones are cut), with its prefix ("drbd r0/0 drbd1000: …"). Never blocks. */
  line(level: LogLevel, text: string): void;
}
