// SPDX-License-Identifier: GPL-2.0-or-later
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { assert } from '../../../src/assert.ts';
import { Channel } from './channel.ts';
import { KernelLog, kernelTrouble } from './klog.ts';
import { qemuArgs, type MachineFiles, type MachineOptions } from './qemu.ts';
import { waitFor } from './wait.ts';

export interface GuestOptions extends MachineOptions {
  /** MiB of each disk: /dev/vda, /dev/vdb, … */
  disksMiB?: number[];
  layer?: MachineFiles['layer'];
  network?: MachineFiles['network'];
  /** Shell script that every boot runs before `boot()` resolves. */
  setup?: string;
  bootTimeoutMs?: number;
}

export interface ExecResult {
  stdout: string;
  stderr: string;
  /** Exit status, or the negative number of the signal that ended it. */
  code: number;
}

export interface ExecOptions {
  timeoutMs?: number;
  /** Standard input; without it /dev/null-like end of file. */
  input?: string | Buffer;
  onStdout?(data: Buffer): void;
  onStderr?(data: Buffer): void;
}

export interface Stream {
  /** All complete lines so far. */
  readonly lines: string[];
  /** Waits for a line, from `from` on (default: from the first), that the pattern matches. */
  line(pattern: RegExp, options?: { timeoutMs?: number; from?: number }): Promise<string>;
  /** SIGTERM to the command's process group, then waits for its end. */
  stop(): Promise<void>;
  readonly done: Promise<number>;
}

const OUTPUT_BYTES_MAX = 64 << 20;
const SIGTERM = 15;
const SIGKILL = 9;

/** One QEMU guest whose disks outlive it: `kill()` is a power failure, `boot()` starts it again. */
export class Guest {
  readonly node: number;
  readonly name: string;
  readonly kernelLog: KernelLog;
  readonly console: string;
  #options: GuestOptions;
  #files: MachineFiles;
  #dir: string;
  #server: Server | undefined;
  #qemu: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #channel: Channel | undefined;
  #markers = 0;
  #testMarker: string | undefined;

  /** `dir` is a folder for this guest's disks, sockets and logs. */
  constructor(node: number, dir: string, options: GuestOptions) {
    assert(node >= 1 && node <= 4, 'nodes are n1 to n4');
    this.node = node;
    this.name = `n${node}`;
    this.#options = options;
    this.#dir = dir;
    this.console = join(dir, `console-n${node}`);
    this.kernelLog = new KernelLog(join(dir, `kmsg-n${node}`));
    const disks = (options.disksMiB ?? []).map((mib, i) => {
      const file = join(dir, `n${node}-disk${i}.raw`);
      writeFileSync(file, '');
      truncateSync(file, mib * (1 << 20));
      return file;
    });
    const { network, layer } = options;
    this.#files = { node, disks, console: this.console, agentSocket: join(dir, `n${node}.sock`), network, layer };
  }

  get running(): boolean {
    return this.#qemu !== undefined;
  }

  /** The host's file behind /dev/vda (0), /dev/vdb (1), …; read it only while the guest is down. */
  diskFile(index: number): string {
    const file = this.#files.disks[index];
    assert(file !== undefined, 'no such disk');
    return file;
  }

  /** Resolves when the agent answers and the set-up script ran. */
  async boot(): Promise<void> {
    assert(!this.#qemu, 'the guest runs already');
    rmSync(this.#files.agentSocket, { force: true });
    const server = createServer();
    this.#server = server;
    const connected = new Promise<Channel>((resolve) => {
      server.once('connection', (socket) => resolve(new Channel(socket, (record) => this.kernelLog.add(record))));
    });
    await new Promise<void>((resolve) => server.listen(this.#files.agentSocket, resolve));
    const failed = this.#spawn();
    const slow = new AbortController();
    const late = waitFor('the boot', () => slow.signal.aborted, { timeoutMs: this.#options.bootTimeoutMs ?? 180_000 });
    try {
      this.#channel = await Promise.race([connected, failed]);
      await Promise.race([this.#channel.hello, failed, late]);
    } catch (error) {
      await this.kill();
      throw new Error(`${this.name} did not boot: ${(error as Error).message}\n${this.consoleTail()}`);
    } finally {
      slow.abort();
      late.catch(() => {});
    }
    if (this.#options.setup) await this.run(this.#options.setup);
  }

  #spawn(): Promise<never> {
    const args = ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...qemuArgs(this.#files, this.#options)];
    const qemu = spawn('setpriv', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#qemu = qemu;
    let said = '';
    qemu.stderr!.on('data', (data) => (said += data));
    const failed = new Promise<never>((_, reject) => {
      this.#exited = new Promise((resolve) => {
        qemu.once('exit', () => {
          const error = new Error(`the guest ${this.name} is gone${said ? `: ${said.trim()}` : ''}`);
          if (this.#qemu === qemu) this.#qemu = undefined;
          this.#channel?.fail(error);
          this.#server?.close();
          reject(error);
          resolve();
        });
      });
    });
    failed.catch(() => {});
    return failed;
  }

  /** A power failure. */
  async kill(): Promise<void> {
    this.#qemu?.kill('SIGKILL');
    await this.#exited;
  }

  /** Resolves when the guest has gone by itself (poweroff, panic). */
  exited(): Promise<void> {
    return this.#exited;
  }

  /** A shell command's output and status; throws only when it does not end in time or the guest is gone. */
  async exec(command: string | string[], options: ExecOptions = {}): Promise<ExecResult> {
    const channel = this.#channel;
    if (!channel || !this.#qemu) throw new Error(`${this.name} is not running`);
    const argv = typeof command === 'string' ? ['/bin/bash', '-c', command] : command;
    const { timeoutMs = 120_000, input } = options;
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let bytes = 0;
    const keep = (list: Buffer[], also?: (data: Buffer) => void) => (data: Buffer) => {
      bytes += data.length;
      if (bytes <= OUTPUT_BYTES_MAX) list.push(data);
      also?.(data);
    };
    const text = (list: Buffer[]) => Buffer.concat(list).toString();
    const code = await new Promise<number>((resolve, reject) => {
      const id = channel.start(argv, input !== undefined, {
        stdout: keep(stdout, options.onStdout),
        stderr: keep(stderr, options.onStderr),
        exit: (status) => (clearTimeout(timer), resolve(status)),
        failed: (error) => (clearTimeout(timer), reject(error)),
      });
      const timer = setTimeout(() => {
        channel.signal(id, SIGKILL);
        const said = `${text(stdout)}${text(stderr)}`.slice(-2000);
        reject(new Error(`${this.name}: not done after ${timeoutMs} ms: ${argv.at(-1)}\n${said}`));
      }, timeoutMs);
      if (input !== undefined) {
        channel.write(id, Buffer.from(input));
        channel.closeStdin(id);
      }
    });
    if (bytes > OUTPUT_BYTES_MAX) throw new Error(`${this.name}: more than ${OUTPUT_BYTES_MAX} bytes of output`);
    return { stdout: text(stdout), stderr: text(stderr), code };
  }

  /** Like `exec`, but a status other than 0 throws, with what the command said; answers with its output. */
  async run(command: string | string[], options: ExecOptions = {}): Promise<string> {
    const { stdout, stderr, code } = await this.exec(command, options);
    if (code === 0) return stdout;
    const shown = typeof command === 'string' ? command : command.join(' ');
    throw new Error(`${this.name}: exit status ${code}: ${shown}\n${stdout.slice(-4000)}${stderr.slice(-4000)}`);
  }

  /** A command that goes on, read line by line (`drbdsetup events2`). */
  stream(command: string): Stream {
    const channel = this.#channel;
    if (!channel || !this.#qemu) throw new Error(`${this.name} is not running`);
    const lines: string[] = [];
    let rest = '';
    let ended: number | undefined;
    let id = 0;
    const done = new Promise<number>((resolve) => {
      const end = (code: number) => ((ended = code), resolve(code));
      id = channel.start(['/bin/bash', '-c', command], false, {
        stdout: (data) => {
          const parts = (rest + data.toString()).split('\n');
          rest = parts.pop()!;
          lines.push(...parts);
        },
        stderr: (data) => lines.push(...data.toString().split('\n').filter(Boolean).map((line) => `stderr: ${line}`)),
        exit: end,
        failed: () => end(-SIGKILL),
      });
    });
    return {
      lines,
      done,
      line: (pattern, options = {}) =>
        waitFor(`${this.name}: ${pattern} from: ${command}`, () => {
          const hit = lines.slice(options.from ?? 0).find((line) => pattern.test(line));
          if (hit === undefined && ended !== undefined) throw new Error(`it ended with ${ended}: ${lines.slice(-5).join('\n')}`);
          return hit;
        }, { timeoutMs: options.timeoutMs, intervalMs: 50 }),
      stop: async () => {
        if (ended === undefined) channel.signal(id, SIGTERM);
        await done;
      },
    };
  }

  async writeFile(path: string, content: string | Buffer): Promise<void> {
    await this.run(['/bin/bash', '-c', 'mkdir -p "$(dirname "$1")" && cat > "$1"', 'write', path], { input: content });
  }

  /** A line of ours in the kernel log; resolves when it has arrived there, and so all that was logged before it. */
  async mark(text: string): Promise<string> {
    // The kernel escapes what is not printable, and backslashes.
    const plain = text.replace(/[^\w .,:()/-]/g, '_').slice(0, 100);
    const marker = `drbdd-test: ${plain} (${this.name} marker ${++this.#markers})`;
    await this.run(['/bin/sh', '-c', 'echo "$1" > /dev/kmsg', 'mark', `<5>${marker}`]);
    await waitFor('a marker in the kernel log', () => this.kernelLog.lines.some((line) => line.includes(marker)), {
      intervalMs: 20,
    });
    return marker;
  }

  /** From here on `expectCleanKernelLog` looks. Call it before the module is loaded. */
  async startOfTest(name: string): Promise<void> {
    this.#testMarker = await this.mark(`start of ${name}`);
  }

  /** Throws with the lines that tell of a bug, a warning or a hang since `startOfTest`. */
  async expectCleanKernelLog(): Promise<void> {
    if (this.#qemu) await this.mark('end');
    const trouble = kernelTrouble(this.kernelLog.after(this.#testMarker));
    if (trouble.length) throw new Error(`${this.name}: trouble in the kernel log:\n${trouble.join('\n')}\n${this.logTail()}`);
  }

  logTail(lines = 80): string {
    return `--- kernel log of ${this.name}\n${this.kernelLog.lines.slice(-lines).join('\n')}\n`;
  }

  consoleTail(bytes = 6000): string {
    const text = existsSync(this.console) ? readFileSync(this.console, 'utf8') : '';
    return `--- console of ${this.name}\n${text.slice(-bytes)}\n`;
  }

  get directory(): string {
    return this.#dir;
  }
}
