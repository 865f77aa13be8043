// SPDX-License-Identifier: GPL-2.0-or-later
import type { Socket } from 'node:net';

/** Frame types of agent.c. */
const FRAME = { exec: 1, stdin: 2, closeStdin: 3, signal: 4, hello: 16, out: 17, err: 18, exit: 19, kmsg: 20, refused: 21 };
const HEADER_BYTES = 12;
const FRAME_BYTES_MAX = 1 << 20;
const STDIN_CHUNK_BYTES = 64 << 10;

export interface JobEvents {
  stdout(data: Buffer): void;
  stderr(data: Buffer): void;
  /** Exit status, or the negative number of the signal that ended it. */
  exit(code: number): void;
  /** The command could not be started, or the guest is gone. */
  failed(error: Error): void;
}

/** The host's end of the agent's port: many jobs at once over one stream. */
export class Channel {
  readonly hello: Promise<void>;
  #socket: Socket;
  #jobs = new Map<number, JobEvents>();
  #nextId = 1;
  #input: Buffer = Buffer.alloc(0);
  #onKernelLog: (record: string) => void;
  #helloSeen: () => void = () => {};
  #helloFailed: (error: Error) => void = () => {};
  #gone: Error | undefined;

  constructor(socket: Socket, onKernelLog: (record: string) => void) {
    this.#socket = socket;
    this.#onKernelLog = onKernelLog;
    this.hello = new Promise((resolve, reject) => {
      this.#helloSeen = resolve;
      this.#helloFailed = reject;
    });
    this.hello.catch(() => {});
    socket.on('data', (data) => this.#take(data));
    socket.on('error', () => {});
  }

  /** Starts a command; the id names it in `write`, `closeStdin` and `signal`. */
  start(argv: string[], wantStdin: boolean, events: JobEvents): number {
    const id = this.#nextId++;
    if (this.#gone) {
      events.failed(this.#gone);
      return id;
    }
    this.#jobs.set(id, events);
    const flags = Buffer.from([wantStdin ? 1 : 0]);
    this.#send(FRAME.exec, id, Buffer.concat([flags, Buffer.from(argv.join('\0') + '\0')]));
    return id;
  }

  write(id: number, data: Buffer): void {
    for (let at = 0; at < data.length; at += STDIN_CHUNK_BYTES) {
      this.#send(FRAME.stdin, id, data.subarray(at, at + STDIN_CHUNK_BYTES));
    }
  }

  closeStdin(id: number): void {
    this.#send(FRAME.closeStdin, id, Buffer.alloc(0));
  }

  /** To the command's whole process group. */
  signal(id: number, signal: number): void {
    this.#send(FRAME.signal, id, Buffer.from([signal]));
  }

  /** The guest is gone: every job fails with this error. */
  fail(error: Error): void {
    if (this.#gone) return;
    this.#gone = error;
    this.#helloFailed(error);
    this.#socket.destroy();
    const jobs = [...this.#jobs.values()];
    this.#jobs.clear();
    for (const job of jobs) job.failed(error);
  }

  #send(type: number, id: number, payload: Buffer): void {
    if (this.#gone) return;
    if (payload.length > FRAME_BYTES_MAX) throw new Error('command too long for the guest channel');
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt32LE(payload.length, 0);
    header.writeUInt32LE(id, 4);
    header.writeUInt8(type, 8);
    this.#socket.write(Buffer.concat([header, payload]));
  }

  #take(data: Buffer): void {
    this.#input = this.#input.length ? Buffer.concat([this.#input, data]) : data;
    let at = 0;
    while (this.#input.length - at >= HEADER_BYTES) {
      const length = this.#input.readUInt32LE(at);
      if (length > FRAME_BYTES_MAX) return this.fail(new Error('the guest agent sent garbage'));
      if (this.#input.length - at < HEADER_BYTES + length) break;
      const payload = this.#input.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length);
      this.#frame(this.#input.readUInt8(at + 8), this.#input.readUInt32LE(at + 4), payload);
      at += HEADER_BYTES + length;
    }
    this.#input = this.#input.subarray(at);
  }

  #frame(type: number, id: number, payload: Buffer): void {
    if (type === FRAME.hello) return this.#helloSeen();
    if (type === FRAME.kmsg) return this.#onKernelLog(payload.toString());
    const job = this.#jobs.get(id);
    if (!job) return;
    if (type === FRAME.out) return job.stdout(Buffer.from(payload));
    if (type === FRAME.err) return job.stderr(Buffer.from(payload));
    this.#jobs.delete(id);
    if (type === FRAME.exit) job.exit(payload.readInt32LE(0));
    else job.failed(new Error(`the guest refused to start the command: ${payload.toString()}`));
  }
}
