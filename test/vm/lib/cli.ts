// SPDX-License-Identifier: GPL-2.0-or-later
// Runs a command in fresh guests: see USAGE. Exit status: the command's, 99 for trouble in the kernel log.
import { parseArgs } from 'node:util';
import { resolve } from 'node:path';
import { Cluster } from './cluster.ts';
import type { Guest } from './guest.ts';
import { kernelTrouble } from './klog.ts';

const USAGE = `guest-run [options] -- COMMAND [ARGS]
  --nodes 1|2         guests; with 2 COMMAND runs in both at once ($NODE is 1 or 2, hosts n1, n2)
  --disks 2x128M      disks /dev/vda, /dev/vdb (also 128M,1G)
  --mem 1024          MiB of memory
  --smp 2             CPUs
  --stage DIR         contents of DIR (a DESTDIR of make install) over the guest's root
  --deterministic     one CPU, clock by instructions (icount)
  --cache unsafe|none disk cache on this machine's side
  --append WORDS      more kernel arguments
  --timeout 300       seconds for COMMAND
  --log all|after|no  kernel log at the end: all, after the marker (default), or only if there is trouble
The guest's root is this machine's root, read-only below a tmpfs; COMMAND starts in the current directory.`;

const MIB_OF_UNIT: Record<string, number> = { M: 1, G: 1024 };
const KERNEL_LOG_TROUBLE_STATUS = 99;

function diskSizes(text: string): number[] {
  return text.split(',').flatMap((part) => {
    const [, count = '1', size, unit] = /^(?:(\d+)x)?(\d+)([MG])$/.exec(part) ?? [];
    if (!size) throw new Error(`--disks: not understood: ${part}`);
    return Array<number>(Number(count)).fill(Number(size) * MIB_OF_UNIT[unit!]!);
  });
}

/** Passes output on as it comes; with a prefix, line by line. */
function prefixed(to: NodeJS.WriteStream, prefix: string) {
  let rest = '';
  return {
    write(data: Buffer) {
      if (!prefix) return void to.write(data);
      const lines = (rest + data.toString()).split('\n');
      rest = lines.pop()!;
      for (const line of lines) to.write(`${prefix}${line}\n`);
    },
    end() {
      if (rest) to.write(`${prefix}${rest}\n`);
    },
  };
}

async function runIn(guest: Guest, argv: string[], timeoutMs: number, prefix: string): Promise<number> {
  await guest.startOfTest(argv.join(' '));
  const out = prefixed(process.stdout, prefix);
  const err = prefixed(process.stderr, prefix);
  const command = ['/bin/bash', '-c', 'cd "$1" && shift && exec "$@"', 'run', process.cwd(), ...argv];
  const options = { timeoutMs, onStdout: out.write, onStderr: err.write };
  try {
    return (await guest.exec(command, options)).code;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    if (!guest.running) process.stderr.write(guest.consoleTail());
    return 1;
  } finally {
    out.end();
    err.end();
  }
}

async function report(guest: Guest, what: string): Promise<boolean> {
  if (guest.running) await guest.mark('end').catch(() => {});
  const after = guest.kernelLog.after('drbdd-test: start of');
  const trouble = kernelTrouble(after);
  const shown = what === 'all' ? guest.kernelLog.lines : what === 'after' || trouble.length ? after : [];
  if (shown.length) process.stderr.write(`--- kernel log of ${guest.name}\n${shown.join('\n')}\n`);
  if (trouble.length) process.stderr.write(`--- TROUBLE in it:\n${trouble.join('\n')}\n`);
  return trouble.length > 0;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      nodes: { type: 'string', default: '1' },
      disks: { type: 'string' },
      mem: { type: 'string', default: '1024' },
      smp: { type: 'string', default: '2' },
      stage: { type: 'string' },
      deterministic: { type: 'boolean' },
      cache: { type: 'string', default: 'unsafe' },
      append: { type: 'string' },
      timeout: { type: 'string', default: '300' },
      log: { type: 'string', default: 'after' },
      help: { type: 'boolean' },
    },
  });
  if (values.help || !positionals.length) {
    process.stderr.write(`${USAGE}\n`);
    return values.help ? 0 : 2;
  }
  const cluster = await Cluster.boot(values.nodes === '2' ? 2 : 1, {
    disksMiB: values.disks ? diskSizes(values.disks) : [],
    memoryMiB: Number(values.mem),
    cpus: Number(values.smp),
    deterministic: values.deterministic,
    cache: values.cache === 'none' ? 'none' : 'unsafe',
    append: values.append,
    layer: values.stage ? { folder: resolve(values.stage) } : undefined,
  });
  try {
    const alone = cluster.guests.length === 1;
    const codes = await Promise.all(
      cluster.guests.map((guest) => runIn(guest, positionals, Number(values.timeout) * 1000, alone ? '' : `${guest.name}| `)),
    );
    let trouble = false;
    for (const guest of cluster.guests) trouble = (await report(guest, values.log)) || trouble;
    const code = codes.find((status) => status !== 0) ?? 0;
    if (code) return code < 0 ? 128 - code : code;
    return trouble ? KERNEL_LOG_TROUBLE_STATUS : 0;
  } finally {
    await cluster.destroy();
  }
}

process.exitCode = await main();
