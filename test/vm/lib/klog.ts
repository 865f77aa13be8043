// SPDX-License-Identifier: GPL-2.0-or-later
import { appendFileSync } from 'node:fs';

/** What no test may leave in the kernel log after its marker. */
const TROUBLE = /\bBUG\b|\bWARNING\b|\bOops\b|INFO:|hung task/;

/** A guest's kernel log, complete and in order, from the agent's reading of /dev/kmsg; kept over reboots. */
export class KernelLog {
  readonly lines: string[] = [];
  #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  /** One record of /dev/kmsg: `priority,sequence,microseconds,flags;text`, then indented dictionary lines. */
  add(record: string): void {
    const text = record.split('\n').filter((line) => line && !line.startsWith(' '));
    for (const line of text) {
      const [, microseconds = '0', message = line] = /^\d+,\d+,(\d+),[^;]*;(.*)$/s.exec(line) ?? [];
      const stamp = (Number(microseconds) / 1e6).toFixed(6).padStart(12);
      this.lines.push(`[${stamp}] ${message}`);
      appendFileSync(this.#file, `[${stamp}] ${message}\n`);
    }
  }

  /** Lines after the last one that contains `marker`; all lines without a marker. */
  after(marker?: string): string[] {
    if (!marker) return this.lines;
    const at = this.lines.findLastIndex((line) => line.includes(marker));
    return this.lines.slice(at + 1);
  }
}

/** The lines of a kernel log that tell of a bug, a warning or a hang. */
export function kernelTrouble(lines: readonly string[]): string[] {
  return lines.filter((line) => TROUBLE.test(line));
}
