// SPDX-License-Identifier: GPL-2.0-or-later
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';

const HERE = import.meta.dirname;
const CACHE = join(HERE, '../../../out/guest');
const SOURCES = ['agent.c', 'initrd-init.sh', 'guest-init.sh', 'initrd.ts'];
const MODULES = ['virtio_pci', 'virtio_blk', 'virtio_console', '9pnet_virtio', '9p', 'overlay', 'virtio_net', 'ext4'];

export interface Kernel {
  version: string;
  image: string;
}

/** Debian's generic kernel of the 6.1 line on this machine; `GUEST_KVER` names another. */
export function findKernel(): Kernel {
  const versions = readdirSync('/boot')
    .filter((name) => /^vmlinuz-6\.1\.\d.*-amd64$/.test(name) && !name.includes('cloud'))
    .map((name) => name.slice('vmlinuz-'.length))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const version = process.env.GUEST_KVER || versions.at(-1);
  if (!version) throw new Error('no /boot/vmlinuz-6.1.0-*-amd64: run `make setup` (linux-image-amd64)');
  return { version, image: `/boot/vmlinuz-${version}` };
}

function moduleFiles(version: string): string[] {
  const files = new Set<string>();
  for (const module of MODULES) {
    const plan = execFileSync('modprobe', ['-S', version, '--show-depends', module], { encoding: 'utf8' });
    for (const line of plan.split('\n')) if (line.startsWith('insmod ')) files.add(line.split(' ')[1]!);
  }
  return [...files];
}

/** An initrd that brings a guest up to its agent; built once for a kernel and a state of the sources. */
export function buildInitrd(kernel: Kernel): string {
  const hash = createHash('sha256').update(kernel.version);
  for (const name of SOURCES) hash.update(readFileSync(join(HERE, name)));
  const target = join(CACHE, `initrd-${kernel.version}-${hash.digest('hex').slice(0, 12)}.gz`);
  if (existsSync(target)) return target;
  mkdirSync(CACHE, { recursive: true });
  const root = mkdtempSync(join(CACHE, 'tree-'));
  try {
    for (const dir of ['bin', 'proc', 'sys', 'dev', 'modules']) mkdirSync(join(root, dir));
    const busybox = execFileSync('sh', ['-c', 'command -v busybox'], { encoding: 'utf8' }).trim();
    execFileSync('cp', ['-L', busybox, join(root, 'bin/busybox')]);
    execFileSync('gcc', ['-O2', '-Wall', '-static', '-o', join(root, 'agent'), join(HERE, 'agent.c')]);
    execFileSync('install', ['-m755', join(HERE, 'initrd-init.sh'), join(root, 'init')]);
    copyFileSync(join(HERE, 'guest-init.sh'), join(root, 'guest-init.sh'));
    const files = moduleFiles(kernel.version);
    for (const file of files) copyFileSync(file, join(root, 'modules', basename(file)));
    writeFileSync(join(root, 'order'), files.map((file) => basename(file) + '\n').join(''));
    const archive = join(root, '../', basename(root) + '.gz');
    execFileSync('bash', ['-c', 'set -o pipefail; find . | cpio -o -H newc --quiet | gzip -1 > "$0"', archive], { cwd: root });
    renameSync(archive, target);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
  return target;
}
