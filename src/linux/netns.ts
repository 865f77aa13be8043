// SPDX-License-Identifier: GPL-2.0-or-later
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { Netns } from '../host/net.ts';
import type { NetnsTable } from './net.ts';

/**
 * Network namespaces that requests came from, by inode number; the initial one is 0. Each is kept by a bind mount, so
 * that it is there for the next engine when its processes are gone.
 */
export class ShimNetns implements NetnsTable {
  private readonly folder: string;
  private readonly own: number;
  private readonly fds = new Map<Netns, number>();

  /** `folder`: for the bind mounts, e.g. /run/drbdd/netns. */
  constructor(folder: string) {
    this.folder = folder;
    this.own = statSync('/proc/self/ns/net').ino;
  }

  /** Token of the namespace `inode` that process `pid` is in. */
  learn(inode: number, pid: number): Netns {
    if (inode === this.own) return 0;
    if (!this.fds.has(inode)) this.keep(inode, `/proc/${pid}/ns/net`);
    return inode;
  }

  fd(netns: Netns): number {
    if (netns === 0) return -1;
    const known = this.fds.get(netns) ?? this.keep(netns, `${this.folder}/${netns}`);
    // An invalid descriptor lets the socket fail with EBADF instead of ending up in another namespace.
    return known < 0 ? 0x7fffffff : known;
  }

  /** No request and no socket needs one any more: also what earlier engines have kept. */
  releaseAll(): void {
    for (const fd of this.fds.values()) closeSync(fd);
    this.fds.clear();
    if (!existsSync(this.folder)) return;
    for (const name of readdirSync(this.folder)) {
      run('umount', [`${this.folder}/${name}`]);
      rmSync(`${this.folder}/${name}`, { force: true });
    }
    rmSync(this.folder, { recursive: true });
  }

  private keep(inode: Netns, path: string): number {
    const fd = openExactly(path, inode);
    if (fd < 0) return -1;
    this.fds.set(inode, fd);
    const kept = `${this.folder}/${inode}`;
    if (!existsSync(kept)) {
      mkdirSync(this.folder, { recursive: true, mode: 0o700 });
      writeFileSync(kept, '', { mode: 0o600 });
      run('mount', ['--bind', `/proc/${process.pid}/fd/${fd}`, kept]);
    }
    return fd;
  }
}

/** The process may have died and its number been used again: only the namespace that was meant is taken. */
function openExactly(path: string, inode: number): number {
  try {
    const fd = openSync(path, 'r');
    if (statSync(`/proc/self/fd/${fd}`).ino === inode) return fd;
    closeSync(fd);
  } catch {
    return -1;
  }
  return -1;
}

/** Loaded when it is needed: that is seldom, and a start is not to wait for it. */
function run(program: string, args: string[]): void {
  process.getBuiltinModule('node:child_process').spawnSync(program, args, { stdio: 'ignore' });
}
