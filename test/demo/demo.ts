// SPDX-License-Identifier: GPL-2.0-or-later
// The whole path once, shown: two guests, Debian's drbd-utils, this module and engine. `make demo` builds first.
import { bootInstalled, installed } from '../vm/lib/drbd.ts';
import { probeAccelerator } from '../vm/lib/qemu.ts';
import { STORY, type Scene, type Teller } from '../vm/lib/story.ts';

const BAR = 40;
const terminal = process.stdout.isTTY;
const start = Date.now();
let openLine = false;
let lastTenth = -1;

const seconds = (): string => `${((Date.now() - start) / 1000).toFixed(0).padStart(4)} s`;

function print(text: string): void {
  if (openLine) process.stdout.write('\n');
  openLine = false;
  process.stdout.write(`${text}\n`);
}

const tell: Teller = {
  say: (text) => print(`        ${text}`),
  show: (text) => print(text.replace(/^/gm, '        | ')),
  progress(label, percent) {
    const tenth = Math.floor(percent / 10);
    if (!terminal && tenth === lastTenth) return;
    lastTenth = tenth;
    const filled = Math.round((percent / 100) * BAR);
    const line = `        ${label} [${'#'.repeat(filled)}${'.'.repeat(BAR - filled)}] ${percent.toFixed(1)} %`;
    process.stdout.write(terminal ? `\r${line}` : `${line}\n`);
    openLine = terminal;
  },
};

async function main(): Promise<void> {
  if (!installed) throw new Error('nothing is installed for the guests: run `make demo`, which builds first');
  const accelerator = probeAccelerator() === 'kvm' ? 'KVM' : 'software emulation; KVM does not work here';
  print(`${seconds()}  Booting two guests with Debian's kernel (${accelerator})`);
  const cluster = await bootInstalled(2);
  try {
    const scene: Scene = { cluster, n1: cluster.guests[0]!, n2: cluster.guests[1]!, tell };
    await Promise.all(cluster.guests.map((guest) => guest.startOfTest('demo')));
    for (const [i, step] of STORY.entries()) {
      print(`${seconds()}  [${i + 1}/${STORY.length}] ${step.title}`);
      try {
        await step.run(scene);
      } catch (error) {
        for (const guest of cluster.guests) print(guest.logTail());
        throw new Error(`step ${i + 1} (${step.title}) failed: ${(error as Error).message}`);
      }
    }
    print(`${seconds()}  All ${STORY.length} steps done.`);
  } finally {
    await cluster.destroy();
  }
}

try {
  await main();
} catch (error) {
  print((error as Error).message);
  process.exitCode = 1;
}
