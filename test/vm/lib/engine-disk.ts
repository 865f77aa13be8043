// SPDX-License-Identifier: GPL-2.0-or-later
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { STAGE } from './stage.ts';

/** What runs while memory is short: with their libraries it must not come over the network file system of a guest. */
const PROGRAMS = ['/bin/bash', '/bin/sh', '/bin/dd', '/bin/sync', '/bin/cat', '/bin/grep', '/usr/bin/pgrep', '/sbin/drbdadm',
  '/sbin/drbdsetup', '/sbin/drbdmeta', join(STAGE, 'usr/lib/drbdd/node'), join(STAGE, 'usr/sbin/drbdd')];
const ROOM_MIB = 64;
const KEEP_MS = 3_600_000;

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
function build(image: string): void {
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

/** The image of the installation as it is now; built once. An installation that is made anew leaves running guests alone. */
export function engineDisk(): string {
  const hash = createHash('sha256').update(readFileSync(import.meta.filename)).update(STAGE);
  for (const name of readdirSync(STAGE, { recursive: true, encoding: 'utf8' }).sort()) {
    const { ino, mtimeMs, size } = statSync(join(STAGE, name));
    hash.update(`${name} ${ino} ${mtimeMs} ${size}\n`);
  }
  const cache = join(dirname(STAGE), 'guest');
  const image = join(cache, `engine-${hash.digest('hex').slice(0, 12)}.img`);
  if (existsSync(image)) return image;
  mkdirSync(cache, { recursive: true });
  for (const name of readdirSync(cache)) {
    const old = join(cache, name);
    // A guest that is running boots again from its image.
    if (/^engine-\w+\.img$/.test(name) && Date.now() - statSync(old).mtimeMs > KEEP_MS) rmSync(old);
  }
  const part = join(cache, `engine.${process.pid}`);
  build(part);
  renameSync(part, image);
  return image;
}
