// SPDX-License-Identifier: GPL-2.0-or-later
import type { Log, LogLevel } from '../host/log.ts';
import { native } from './native.ts';

const lineBytesMax = 1000;
const stderr = 2;

/** The kernel's log. */
export interface KernelLog { log(level: LogLevel, text: Uint8Array): void }

/** Lines to standard error and, where there is a shim, to the kernel log. Never waits: what does not fit is counted. */
export class LinuxLog implements Log {
  lost = 0;
  kernel: KernelLog | null = null;
  private readonly toStderr: boolean;
  private readonly encoder = new TextEncoder();

  constructor(toStderr: boolean) { this.toStderr = toStderr; }

  line(level: LogLevel, text: string): void {
    let bytes = this.encoder.encode(text.replace(/[\r\n]+/g, ' '));
    if (bytes.length > lineBytesMax) bytes = bytes.subarray(0, lineBytesMax);
    this.kernel?.log(level, bytes);
    if (!this.toStderr) return;
    const line = new Uint8Array(bytes.length + 1);
    line.set(bytes);
    line[bytes.length] = 0x0a;
    if (!native.writeNow(stderr, line)) this.lost++;
  }
}
