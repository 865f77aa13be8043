// SPDX-License-Identifier: GPL-2.0-or-later
/** drbdd: the engine of this machine. Started by the module through the launcher; leaves when the last resource is gone. */
import { Command } from 'commander';
import { Engine } from '../control/engine.ts';
import { LogLevel } from '../host/log.ts';
import { attachHost, defaultHostOptions } from '../linux/host.ts';
import { TcpTransportClass } from '../transport/tcp.ts';
import type { LinuxHost } from '../linux/host.ts';

interface Options { readonly control: string; readonly run: string; readonly watchdog: string; readonly stderr: boolean }

const options = new Command('drbdd')
  .description('The DRBD engine; the module drbd starts it when it is needed.')
  .option('--control <path>', 'control device of the module', defaultHostOptions.controlPath)
  .option('--run <folder>', 'journal and kept namespaces, on a tmpfs', defaultHostOptions.runFolder)
  .option('--watchdog <ms>', 'a turn that stands still so long ends the engine; 0: never', `${defaultHostOptions.watchdogMs}`)
  .option('--stderr', 'log to standard error as well', false)
  .parse()
  .opts<Options>();

let host: LinuxHost | null = null;

/** A state that the code does not know is worse than a restart: the shim keeps the bios, a new engine takes over. */
function fatal(error: unknown): never {
  const text = error instanceof Error ? error.stack ?? error.message : String(error);
  for (const line of text.split('\n').slice(0, 20)) host?.log.line(LogLevel.crit, `drbdd: ${line.trim()}`);
  process.stderr.write(`drbdd: ${text}\n`);
  process.exit(1);
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
