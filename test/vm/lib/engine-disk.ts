// SPDX-License-Identifier: GPL-2.0-or-later
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { STAGE } from './drbd.ts';

/** What runs while memory is short: with their libraries it must not come over the network file system of a guest. */
const PROGRAMS = ['/bin/bash', '/bin/sh', '/bin/dd', '/bin/sync', '/bin/cat', '/bin/grep', '/usr/bin/pgrep', '/sbin/drbdadm',
  '/sbin/drbdsetup', '/sbin/drbdmeta', join(STAGE, 'usr/lib/drbdd/node'), join(STAGE, 'usr/sbin/drbdd')];
const ROOM_MIB = 64;

function isElf(path: string): boolean {
  return readFileSync(path).subarray(0, 4).equals(Buffer.from('\x7fELF'));
}

function librariesOf(program: string): string[] {
  if (!isElf(program)) return [];
  try {
    const lines = execFileSync('ldd', [program], { encoding: 'utf8' }).split('\n');
    return lines.flatMap((line) => /(\/\S+) \(0x/.exec(line)?.[1] ?? []);
  } catch {
    return []; // Linked statically.
  }
}

/** Writes an ext4 image with the installation, some tools and all their libraries. */
export function buildEngineDisk(image: string): void {
  const root = `${image}.tree`;
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root, { recursive: true });
  execFileSync('cp', ['-a', `${STAGE}/.`, root]);
  const programs = PROGRAMS.filter((path) => existsSync(path));
  for (const path of new Set([...programs, ...programs.flatMap(librariesOf)])) {
    if (path.startsWith(STAGE)) continue;
    // Where the file really is: the root's /lib and /bin are links, which a folder of the same name would hide.
    const real = realpathSync(path);
    const named = join(realpathSync(dirname(path)), path.slice(dirname(path).length + 1));
    for (const place of new Set([real, named])) {
      mkdirSync(join(root, dirname(place)), { recursive: true });
      execFileSync('cp', ['-a', place, join(root, place)]);
    }
  }
  const usedMiB = Number(execFileSync('du', ['-sm', root], { encoding: 'utf8' }).split('\t')[0]);
  rmSync(image, { force: true });
  execFileSync('mke2fs', ['-q', '-t', 'ext4', '-O', '^has_journal', '-d', root, image, `${usedMiB + ROOM_MIB}M`]);
  rmSync(root, { recursive: true });
}
