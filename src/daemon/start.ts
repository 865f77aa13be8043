// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * What the launcher runs: loads the bundle beside this file by its code cache, for compiling it takes longer than the
 * rest of a start. `--write-cache` as the only argument makes that cache, for this very runtime.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';
import type { main } from './main.ts';

/**
 * The optimizing compiler of a new engine took more of a CPU than its I/O. It waits until a function has been called so
 * often that it pays; until then code of the compiler below it runs. Before the cache is read: that depends on flags.
 */
setFlagsFromString('--invocation-count-for-turbofan=200000');

type Bundle = (require: NodeJS.Require, module: { exports: { main?: typeof main } }, filename: string) => void;

const folder = dirname(process.argv[1]!);
const args = process.argv.slice(2);
const writing = args.length === 1 && args[0] === '--write-cache';
const filename = join(folder, 'drbdd.js');
const cache = join(folder, 'drbdd.cache');

function cachedData(): Buffer | undefined {
  try {
    return readFileSync(cache);
  } catch {
    return undefined; // Slower, nothing else.
  }
}

// esbuild leaves ASCII only, so each byte is a character.
const source = `(function (require, module, bundleFile) {${readFileSync(filename, 'latin1')}\n})`;
const script = new Script(source, { filename, cachedData: writing ? undefined : cachedData() });
const module = { exports: {} as { main?: typeof main } };
(script.runInThisContext() as Bundle)(createRequire(filename), module, filename);
if (writing) writeFileSync(cache, script.createCachedData());
else module.exports.main!(args);
