// SPDX-License-Identifier: GPL-2.0-or-later
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { assert } from '../../../src/assert.ts';

/** Guests that may run on this machine at a time, over all processes. */
export const SLOTS = 2;

/**
 * The slots are flock()s on /tmp/guest-slot-1 and -2. Whoever waits for slots holds the gate, so two callers that
 * want two slots each cannot take one and wait for the other's. Its standard input ends with the caller: then it goes.
 */
const TAKE = `
cd "$2"; exec 9> guest-slot-gate; flock 9
left=$1
while [ $left -gt 0 ]; do
  [ -z "$a" ] && { exec 7> guest-slot-1; flock -n 7 && { a=1; left=$((left - 1)); continue; }; }
  [ -z "$b" ] && { exec 8> guest-slot-2; flock -n 8 && { b=1; left=$((left - 1)); continue; }; }
  read -t 0.2; [ $? -gt 128 ] || exit 1
done
exec 9>&-
echo taken
exec cat`;

export interface Slots {
  release(): Promise<void>;
}

/** Waits until `count` guests may run. The slots are free again after `release()` or with the caller's death. */
export async function takeSlots(count: number, folder = '/tmp'): Promise<Slots> {
  assert(count >= 1 && count <= SLOTS, 'one or two guests at a time');
  const holder = spawn('bash', ['-c', TAKE, 'slots', String(count), folder], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(holder, 'exit');
  const taken = once(holder.stdout, 'data');
  const note = setTimeout(() => process.stderr.write('waiting for a guest slot (/tmp/guest-slot-*)\n'), 5_000);
  try {
    await Promise.race([taken, exited.then(() => Promise.reject(new Error('the slot holder died')))]);
  } finally {
    clearTimeout(note);
  }
  return {
    async release() {
      holder.stdin.end();
      await exited;
    },
  };
}
