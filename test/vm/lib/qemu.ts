// SPDX-License-Identifier: GPL-2.0-or-later
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { buildInitrd, findKernel } from './initrd.ts';

export interface MachineOptions {
  /** MiB; the guest has no swap. */
  memoryMiB?: number;
  cpus?: number;
  /** One CPU whose clock advances 4 ns an instruction: the same run takes the same time anywhere. */
  deterministic?: boolean;
  /** `unsafe` ignores flushes towards the host; `none` is O_DIRECT there. What a killed guest wrote stays either way. */
  cache?: 'unsafe' | 'none';
  mtu?: number;
  /** More words for the kernel's command line. */
  append?: string;
}

export interface MachineFiles {
  node: number;
  /** Raw files: /dev/vda, /dev/vdb, … */
  disks: string[];
  console: string;
  agentSocket: string;
  /** Datagram sockets: own and the other guest's end of the network segment. */
  network?: { own: string; peer: string };
  /** A folder of this machine whose contents lie over the root, or a disk image (ext4) with such contents. */
  layer?: { folder: string } | { image: string };
}

let accelerator: 'kvm' | 'tcg' | undefined;

/** KVM only where a guest really comes up with it: in nested machines it may be there and not work. */
export function probeAccelerator(): 'kvm' | 'tcg' {
  if (accelerator) return accelerator;
  const forced = process.env.GUEST_ACCEL;
  if (forced === 'kvm' || forced === 'tcg') return (accelerator = forced);
  accelerator = 'tcg';
  if (!existsSync('/dev/kvm')) return accelerator;
  const kernel = findKernel();
  const args = ['-accel', 'kvm', '-cpu', 'max', '-m', '256', '-nodefaults', '-display', 'none', '-no-reboot', '-serial', 'stdio'];
  const boot = ['-kernel', kernel.image, '-initrd', buildInitrd(kernel), '-append', 'console=ttyS0 panic=-1'];
  const probe = spawnSync('timeout', ['-s', 'KILL', '8', 'qemu-system-x86_64', ...args, ...boot], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  if (probe.stdout?.includes('Run /init')) accelerator = 'kvm';
  return accelerator;
}

function machineArgs(options: MachineOptions): string[] {
  const memory = ['-m', String(options.memoryMiB ?? 1024)];
  if (options.deterministic) {
    const clock = ['-accel', 'tcg,thread=single', '-icount', 'shift=2,sleep=off'];
    return [...clock, '-cpu', 'max,la57=off', '-smp', '1', ...memory];
  }
  const accel = probeAccelerator() === 'kvm' ? 'kvm' : 'tcg,thread=multi';
  // Without pku, by which V8 guards its code: emulated, a start of an engine in dozens crashed; without, none was seen to.
  const cpu = accel === 'kvm' ? 'max' : 'max,la57=off,pku=off';
  return ['-accel', accel, '-cpu', cpu, '-smp', String(options.cpus ?? 2), ...memory];
}

function diskArgs(files: MachineFiles, options: MachineOptions): string[] {
  const cache = `cache=${options.cache ?? 'unsafe'}`;
  const raw = (file: string, id: string, more: string) => [
    '-drive', `if=none,id=${id},format=raw,file=${file},${more}`,
    '-device', `virtio-blk-pci,drive=${id},serial=${id}`,
  ];
  const disks = files.disks.flatMap((file, i) => raw(file, `disk${i}`, `discard=unmap,${cache}`));
  const layer = files.layer && 'image' in files.layer ? raw(files.layer.image, 'engine', 'readonly=on') : [];
  return [...disks, ...layer];
}

function networkArgs(files: MachineFiles): string[] {
  if (!files.network) return [];
  const { own, peer } = files.network;
  const netdev = `dgram,id=net0,local.type=unix,local.path=${own},remote.type=unix,remote.path=${peer}`;
  return ['-netdev', netdev, '-device', `virtio-net-pci,netdev=net0,mac=52:54:00:99:00:0${files.node},host_mtu=9000`];
}

function kernelArgs(files: MachineFiles, options: MachineOptions): string[] {
  const words = ['console=ttyS0', 'panic=-1', 'oops=panic', 'loglevel=5', 'mitigations=off', 'init_on_alloc=0'];
  words.push('tsc=reliable', 'no_timer_check', 'rcupdate.rcu_cpu_stall_timeout=120');
  words.push(`guest.node=${files.node}`, `guest.mtu=${options.mtu ?? 9000}`);
  if (files.layer && 'folder' in files.layer) words.push('guest.layer=share');
  if (files.layer && 'image' in files.layer) words.push(`guest.layer=/dev/vd${'abcdefghij'[files.disks.length]}`);
  if (options.append) words.push(options.append);
  const kernel = findKernel();
  return ['-kernel', kernel.image, '-initrd', buildInitrd(kernel), '-append', words.join(' ') + ' '];
}

function share(path: string, tag: string): string[] {
  return ['-virtfs', `local,path=${path},mount_tag=${tag},security_model=none,readonly=on,multidevs=remap`];
}

/** The whole command line of one guest. */
export function qemuArgs(files: MachineFiles, options: MachineOptions): string[] {
  return [
    '-name', `drbdd-n${files.node}`, '-no-reboot', '-nodefaults', '-display', 'none',
    ...machineArgs(options),
    '-serial', `file:${files.console}`,
    ...share('/', 'root'),
    ...(files.layer && 'folder' in files.layer ? share(files.layer.folder, 'layer') : []),
    '-device', 'virtio-serial-pci', '-chardev', `socket,id=agent,path=${files.agentSocket}`,
    '-device', 'virtserialport,chardev=agent,name=agent,nr=1',
    ...diskArgs(files, options),
    ...networkArgs(files),
    ...kernelArgs(files, options),
  ];
}
