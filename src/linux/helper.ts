// SPDX-License-Identifier: GPL-2.0-or-later
import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Helper } from '../host/helper.ts';

const parameterPath = '/sys/module/drbd/parameters/usermode_helper';
const defaultPath = '/sbin/drbdadm';
const E2BIG = 7, EPIPE = 32;
/** As native/launcher/spawner.c has it. */
const requestBytesMax = 65_536;
const frameBytes = 12;
const FrameKind = { output: 1, status: 2 } as const;

/**
 * Programs are run by the spawner, a tiny process that the launcher left behind: this one is large, and its scheduling
 * flags and score must not be inherited.
 */
export class SpawnerHelper implements Helper {
  private readonly socket: Socket;
  private readonly output: (line: string) => void;
  private readonly running = new Map<number, (status: number) => void>();
  private nextId = 1;
  private pending = Buffer.alloc(0);

  /** `fd`: our end of the spawner's socket; `output` gets what helpers print, by lines. */
  constructor(fd: number, output: (line: string) => void) {
    this.output = output;
    this.socket = new Socket({ fd, readable: true, writable: true });
    this.socket.on('data', (chunk) => this.received(chunk));
    this.socket.on('error', () => this.lost());
    this.socket.on('close', () => this.lost());
    // An idle spawner is no reason for the process to stay.
    this.socket.unref();
  }

  run(argv: readonly string[], env: readonly string[], done: (status: number) => void): void {
    const id = this.nextId++;
    const strings = Buffer.from([...argv, ...env].map((text) => `${text}\0`).join(''), 'latin1');
    const frame = Buffer.alloc(16 + strings.length);
    if (frame.length > requestBytesMax || this.socket.destroyed) {
      process.nextTick(done, frame.length > requestBytesMax ? -E2BIG : -EPIPE);
      return;
    }
    frame.writeUInt32LE(frame.length, 0);
    frame.writeUInt32LE(id, 4);
    frame.writeUInt32LE(argv.length, 8);
    frame.writeUInt32LE(env.length, 12);
    strings.copy(frame, 16);
    if (this.running.size === 0) this.socket.ref();
    this.running.set(id, done);
    this.socket.write(frame);
  }

  path(): string {
    try {
      return readFileSync(parameterPath, 'utf8').trim();
    } catch {
      return defaultPath;
    }
  }

  close(): void { this.socket.destroy(); }

  private received(chunk: Buffer): void {
    this.pending = Buffer.concat([this.pending, chunk]);
    while (this.pending.length >= frameBytes) {
      const kind = this.pending.readUInt32LE(0);
      const id = this.pending.readUInt32LE(4);
      const textBytes = kind === FrameKind.output ? this.pending.readUInt32LE(8) : 0;
      if (this.pending.length < frameBytes + textBytes) return;
      if (kind === FrameKind.output) this.print(this.pending.toString('utf8', frameBytes, frameBytes + textBytes));
      else this.finish(id, this.pending.readInt32LE(8));
      this.pending = this.pending.subarray(frameBytes + textBytes);
    }
  }

  private print(text: string): void {
    for (const line of text.split('\n')) if (line !== '') this.output(line);
  }

  private finish(id: number, status: number): void {
    const done = this.running.get(id);
    this.running.delete(id);
    if (this.running.size === 0) this.socket.unref();
    done?.(status);
  }

  /** The spawner is gone: nobody will ever tell how its children ended. */
  private lost(): void {
    for (const id of [...this.running.keys()]) this.finish(id, -EPIPE);
  }
}
