// SPDX-License-Identifier: GPL-2.0-or-later
// The project's own lint. Errors fail it, warnings do not.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkLayers } from './lint/layers.ts';
import { checkFiles } from './lint/files.ts';
import type { Finding, SourceFile } from './lint/types.ts';

const TEXT = /(\.(ts|c|h|cc|sh|md|json)|Makefile|Kbuild|binding\.gyp)$|^(scripts|\.ci)\/[^.]+$/;

/** At the top, what is not ours; the rest counts, wherever the sources came from. */
const MADE = new Set(['.git', 'build', 'node_modules', 'out']);

function sources(folder = '.'): SourceFile[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return MADE.has(path) ? [] : sources(path);
    return TEXT.test(path) && !path.endsWith('.mod.c') ? [{ path, text: readFileSync(path, 'utf8') }] : [];
  });
}

const files = sources();
const findings: Finding[] = [...checkLayers(files), ...checkFiles(files)];
findings.sort((a, b) => a.path.localeCompare(b.path) || a.line - b.line);
for (const { path, line, text, warning } of findings) {
  console.log(`${path}:${line}: ${warning ? 'warning: ' : ''}${text}`);
}
const errors = findings.filter((finding) => !finding.warning).length;
console.log(`lint: ${files.length} files, ${errors} errors, ${findings.length - errors} warnings`);
process.exitCode = errors ? 1 : 0;
