// SPDX-License-Identifier: GPL-2.0-or-later
import { closeSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import type { BackingFile, LowerLimits } from '../host/lower.ts';
import { native } from './native.ts';

const ENOTBLK = 15;

/** A backing device that is open for O_DIRECT. */
export class LinuxBacking implements BackingFile {
  readonly path: string;
  readonly major: number;
  readonly minor: number;
  readonly limits: LowerLimits;
  readonly block: boolean;
  private descriptor: number;

  private constructor(path: string, fd: number, block: boolean, limits: LowerLimits) {
    this.path = path;
    this.descriptor = fd;
    this.block = block;
    this.limits = limits;
    this.major = limits.major;
    this.minor = limits.minor;
  }

  /** Looks the path up as process `pid` sees it (0: we). A positive errno when it can't be used; files only if allowed. */
  static open(path: string, pid: number, filesToo: boolean): LinuxBacking | number {
    const fd = native.openBacking(pid === 0 ? '/' : `/proc/${pid}/root`, path);
    if (fd < 0) return -fd;
    const limits = backingLimits(fd);
    if (typeof limits !== 'number' && (limits.block || filesToo)) return new LinuxBacking(path, fd, limits.block, limits);
    closeSync(fd);
    return typeof limits === 'number' ? limits : ENOTBLK;
  }

  get fd(): number { return this.descriptor; }

  /** The descriptor, which now belongs to the caller. */
  take(): number {
    const fd = this.descriptor;
    this.descriptor = -1;
    return fd;
  }

  close(): void {
    if (this.descriptor >= 0) closeSync(this.descriptor);
    this.descriptor = -1;
  }
}

/** Limits of an open device from its ioctls and sysfs; errno on failure. */
export function backingLimits(fd: number): (LowerLimits & { readonly block: boolean }) | number {
  const stat = native.statBacking(fd);
  if (typeof stat === 'number') return -stat;
  const { block, major, minor, logical, physical } = stat;
  const queue = block ? queueFolder(major, minor) : null;
  const discardBytes = queue === null ? (block ? 0 : 4096) : sysfs(`${queue}/discard_granularity`);
  return {
    block,
    sectors: Math.floor(stat.size / 512),
    logicalBlockBytes: logical,
    physicalBlockBytes: physical,
    maxIoBytes: 1 << 20,
    maxDiscardSectors: queue === null ? (block ? 0 : 1 << 23) : sysfs(`${queue}/discard_max_bytes`) / 512,
    discardGranularityBytes: discardBytes,
    discardZeroesIfAligned: !block,
    maxWriteZeroesSectors: queue === null ? (block ? 0 : 1 << 23) : sysfs(`${queue}/write_zeroes_max_bytes`) / 512,
    rotational: queue !== null && sysfs(`${queue}/rotational`) === 1,
    name: block ? diskName(major, minor) : '',
    major,
    minor,
  };
}

/** A partition has the queue of its disk. */
function queueFolder(major: number, minor: number): string | null {
  for (const folder of [`/sys/dev/block/${major}:${minor}/queue`, `/sys/dev/block/${major}:${minor}/../queue`]) {
    try {
      readFileSync(`${folder}/logical_block_size`);
      return folder;
    } catch {
      continue;
    }
  }
  return null;
}

function diskName(major: number, minor: number): string {
  try {
    return basename(readlinkSync(`/sys/dev/block/${major}:${minor}`));
  } catch {
    return `${major}:${minor}`;
  }
}

function sysfs(path: string): number {
  try {
    return Number(readFileSync(path, 'utf8'));
  } catch {
    return 0;
  }
}
