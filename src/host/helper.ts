// SPDX-License-Identifier: GPL-2.0-or-later
/** Usermode helpers (`drbdadm before-resync-target minor-0` …). */
export interface Helper {
  /** argv[0] is the path. `done` gets the raw wait status (exit code << 8, or the signal), or -errno when it could not start. */
  run(argv: readonly string[], env: readonly string[], done: (status: number) => void): void;
  /** The module's parameter usermode_helper, as it is now. */
  path(): string;
}
