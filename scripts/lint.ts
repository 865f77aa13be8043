// SPDX-License-Identifier: GPL-2.0-or-later
// The project's own lint. Errors fail it, warnings do not.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { checkLayers } from './lint/layers.ts';
import { checkFiles } from './lint/files.ts';
import type { Finding, SourceFile } from './lint/types.ts';

const TEXT = /(\.(ts|c|h|cc|sh|md|json)|Makefile|Kbuild|binding\.gyp)$|^(scripts|\.ci)\/[^.]+$/;

/** Files that git knows or would add. */
function sources(): SourceFile[] {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '--deduplicate'];
  const listed = execFileSync('git', args, { encoding: 'utf8' });
  const files: SourceFile[] = [];
  for (const path of listed.split('\n').filter((name) => TEXT.test(name))) {
    try {
      files.push({ path, text: readFileSync(path, 'utf8') });
    } catch {
      // Listed but deleted in the work tree.
    }
  }
  return files;
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
