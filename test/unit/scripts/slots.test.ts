// SPDX-License-Identifier: GPL-2.0-or-later
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { takeSlots } from '../../vm/lib/slots.ts';

const module_ = join(dirname(fileURLToPath(import.meta.url)), '../../vm/lib/slots.ts');
let folder: string;
beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'slots-')); });
afterEach(() => rmSync(folder, { recursive: true }));

describe('slots of guests', () => {
  it('one who dies while he waits for two does not keep others from the one that is free', async () => {
    const held = await takeSlots(1, folder);
    const program = `import { takeSlots } from '${module_}'; process.stdout.write('x'); await takeSlots(2, '${folder}');`;
    const waiting = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module-typescript', '-e', program],
      { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(waiting, 'exit');
    await once(waiting.stdout, 'data');
    // He has the free one too when its lock's file is there.
    while (!existsSync(join(folder, 'guest-slot-2'))) await new Promise((resolve) => setTimeout(resolve, 10));
    waiting.kill('SIGKILL');
    await exited;
    const other = await takeSlots(1, folder);
    await other.release();
    await held.release();
    const both = await takeSlots(2, folder);
    await both.release();
    expect(existsSync(join(folder, 'guest-slot-gate'))).toBe(true);
  });
});
