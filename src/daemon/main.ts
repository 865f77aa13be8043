// SPDX-License-Identifier: GPL-2.0-or-later
/** drbdd: the engine of this machine. Started by the module through the launcher; leaves when the last resource is gone. */
import { parseArgs } from 'node:util';
import { Engine } from '../control/engine.ts';
import { LogLevel } from '../host/log.ts';
import { attachHost, defaultHostOptions } from '../linux/host.ts';
import { TcpTransportClass } from '../transport/tcp.ts';
import type { LinuxHost } from '../linux/host.ts';

const usage = `usage: drbdd [-- OPTIONS]: the DRBD engine; the module drbd starts it when it is needed.
  --control PATH  control device of the module (${defaultHostOptions.controlPath})
  --run FOLDER    journal and kept namespaces, on a tmpfs (${defaultHostOptions.runFolder})
  --watchdog MS   a turn that stands still so long ends the engine; 0: never (${defaultHostOptions.watchdogMs})
  --stderr        log to standard error as well
`;

let host: LinuxHost | null = null;

/** A state that the code does not know is worse than a restart: the shim keeps the bios, a new engine takes over. */
function fatal(error: unknown): never {
  const text = error instanceof Error ? error.stack ?? error.message : String(error);
  for (const line of text.split('\n').slice(0, 20)) host?.log.line(LogLevel.crit, `drbdd: ${line.trim()}`);
  process.stderr.write(`drbdd: ${text}\n`);
  process.exit(1);
}

function optionsOf(args: string[]) {
  const { values } = parseArgs({
    args,
    options: {
      control: { type: 'string', default: defaultHostOptions.controlPath },
      run: { type: 'string', default: defaultHostOptions.runFolder },
      watchdog: { type: 'string', default: `${defaultHostOptions.watchdogMs}` },
      stderr: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (!/^\d{1,9}$/.test(values.watchdog)) throw new Error(`--watchdog wants milliseconds, not '${values.watchdog}'`);
  return values;
}

/** Becomes the engine; throws what can't be started with, ends the process on what goes wrong later. */
export function main(args: string[]): void {
  const options = optionsOf(args);
  if (options.help) {
    process.stdout.write(usage);
    return;
  }
  process.on('uncaughtException', fatal);
  process.on('unhandledRejection', fatal);
  host = attachHost({
    ...defaultHostOptions,
    controlPath: options.control,
    runFolder: options.run,
    watchdogMs: Number(options.watchdog),
    logToStderr: options.stderr,
    spawnerFd: Number(process.env.DRBDD_SPAWNER_FD ?? -1),
  });
  const { turn } = host;
  new Engine(host, [new TcpTransportClass(host)], () => {
    turn.stop();
    process.exit(0);
  }).start();
}
