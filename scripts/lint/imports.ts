// SPDX-License-Identifier: GPL-2.0-or-later
import { dirname, join } from 'node:path';
import type { SourceFile } from './types.ts';

export interface Import {
  /** As written. */
  specifier: string;
  /** Path from the top of the repository, of a relative import. */
  target: string | undefined;
  typeOnly: boolean;
  line: number;
}

const STATEMENT = /\b(?:import|export)\s+(type\s+)?(?:[\w*\s{},$]+?\s+from\s+)?'([^']+)'/g;
const CALL = /\b(?:import|require)\(\s*'([^']+)'\s*\)/g;

export const lineOf = (text: string, at: number): number => text.slice(0, at).split('\n').length;

/** The text with comments blanked; lines and columns stay. */
export function withoutComments(text: string): string {
  const blank = (found: string) => found.replace(/[^\n]/g, ' ');
  return text.replace(/\/\*[\s\S]*?\*\/|(?<=^|[\s;{}(),])\/\/[^\n]*/g, blank);
}

export function importsOf(file: SourceFile): Import[] {
  const code = withoutComments(file.text);
  const found: Import[] = [];
  const add = (specifier: string, typeOnly: boolean, at: number) => {
    const relative = specifier.startsWith('.');
    const target = relative ? join(dirname(file.path), specifier) : undefined;
    found.push({ specifier, target, typeOnly, line: lineOf(code, at) });
  };
  for (const match of code.matchAll(STATEMENT)) add(match[2]!, match[1] !== undefined, match.index);
  for (const match of code.matchAll(CALL)) add(match[1]!, false, match.index);
  return found;
}
