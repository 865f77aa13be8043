// SPDX-License-Identifier: GPL-2.0-or-later
import type { Host } from '../host/host.ts';
import { ShimAdmin } from './admin.ts';
import { ShimBlockFrontend } from './block.ts';
import type { ArenaSizes } from './block-device.ts';
import { LinuxCrypto } from './crypto.ts';
import { SpawnerHelper } from './helper.ts';
import { FileJournal } from './journal.ts';
import { LinuxLog } from './log.ts';
import { native } from './native.ts';
import { LinuxNet } from './net.ts';
import { ShimNetns } from './netns.ts';
import { LinuxRandom } from './random.ts';
import { ShimChannel } from './shim.ts';
import { LinuxTurn } from './turn.ts';
import { LogLevel } from '../host/log.ts';

export interface HostOptions {
  /** Folder for the journal and kept namespaces, on tmpfs: /run/drbdd. */
  readonly runFolder: string;
  readonly controlPath: string;
  /** Our end of the spawner's socket: DRBDD_SPAWNER_FD. */
  readonly spawnerFd: number;
  readonly arenas: ArenaSizes;
  /** A turn longer than this ends the engine, which the shim starts again; 0: never. */
  readonly watchdogMs: number;
  /** Log lines to standard error as well. */
  readonly logToStderr: boolean;
}

export const defaultArenas: ArenaSizes = { maxTags: 1024, bioBytes: 8 << 20, peerBytes: 8 << 20, metaBytes: 1 << 20 };

export const defaultHostOptions: Omit<HostOptions, 'spawnerFd'> = {
  runFolder: '/run/drbdd',
  controlPath: '/dev/drbd-control',
  arenas: defaultArenas,
  watchdogMs: 10_000,
  logToStderr: true,
};

/** Reading all of the program takes a while: not while the first request waits. */
const LOCK_MS = 1000;

/** The real ports, and what a daemon must know beyond them. */
export interface LinuxHost extends Host {
  readonly turn: LinuxTurn;
  readonly shim: ShimChannel;
  readonly log: LinuxLog;
  readonly journal: FileJournal;
  readonly block: ShimBlockFrontend;
}

/** Attaches to the module: throws ShimError when the control device can't be opened (EBUSY: another engine is there). */
export function attachHost(options: HostOptions): LinuxHost {
  const turn = new LinuxTurn();
  turn.start(options.watchdogMs);
  const shim = new ShimChannel(turn, options.controlPath);
  const netns = new ShimNetns(`${options.runFolder}/netns`);
  const log = new LinuxLog(options.logToStderr);
  log.kernel = shim;
  const journal = new FileJournal(options.runFolder, shim.instance);
  turn.clock.timer('program in memory', LOCK_MS, () => native.lockProgram());
  const cleanUp = () => {
    journal.remove();
    netns.releaseAll();
  };
  return {
    turn,
    shim,
    log,
    clock: turn.clock,
    random: new LinuxRandom(),
    admin: new ShimAdmin(shim, netns, cleanUp),
    block: new ShimBlockFrontend(shim, options.arenas),
    net: new LinuxNet(turn, netns),
    helper: new SpawnerHelper(options.spawnerFd, (line) => log.line(LogLevel.info, `drbd helper: ${line}`)),
    journal,
    crypto: new LinuxCrypto(),
    bitmap: native.bitmap,
  };
}
