// SPDX-License-Identifier: GPL-2.0-or-later
import { importsOf, lineOf, withoutComments, type Import } from './imports.ts';
import type { Finding, SourceFile } from './types.ts';

interface Layer {
  /** Folders of src/ that this one may import; `types:` in front allows `import type` only. */
  may: readonly string[];
  /** No node:* but pure ones, no clock, no chance, no environment: those come by src/host. */
  core: boolean;
  /** Packages of npm, each with the only file that may import it (empty: any file of the folder). */
  packages?: Readonly<Record<string, string>>;
}

const BELOW_CONTROL = ['wire', 'genl', 'host', 'meta', 'state', 'conn', 'io'];

/** docs/architecture.md, "Folders". Files directly in src/ (assert, limits) may be imported by all. */
const LAYERS: Readonly<Record<string, Layer>> = {
  wire: { may: [], core: true },
  genl: { may: ['types:state'], core: true, packages: { 'netlink/dist/structs': 'src/genl/netlink.ts' } },
  host: { may: [], core: true },
  meta: { may: ['host'], core: true },
  state: { may: ['host'], core: true },
  conn: { may: ['wire', 'state', 'host'], core: true },
  io: { may: ['wire', 'state', 'meta', 'host'], core: true },
  control: { may: BELOW_CONTROL, core: true },
  transport: { may: ['conn', 'wire', 'host'], core: true },
  linux: { may: ['host'], core: false },
  frontend: { may: ['host', 'linux'], core: false },
  sim: {
    may: [...BELOW_CONTROL, 'control', 'transport', 'frontend'],
    core: true,
    packages: { 'node:crypto': 'src/sim/crypto.ts' },
  },
  daemon: {
    may: [...BELOW_CONTROL, 'control', 'transport', 'frontend', 'linux'],
    core: false,
  },
};

const PURE_NODE = new Set(['node:buffer']);

const BANNED: readonly { pattern: RegExp; use: string }[] = [
  { pattern: /\bDate\.now\(|\bnew Date\(|\bperformance\.now\(|\bprocess\.hrtime\b/g, use: 'host.clock' },
  { pattern: /\bMath\.random\(|\bcrypto\.(?:random|getRandom)\w*\(/g, use: 'host.random' },
  { pattern: /\bprocess\.env\b|\bprocess\.argv\b/g, use: 'a parameter that src/daemon sets' },
  { pattern: /(?<![.\w])(?:setTimeout|setInterval|setImmediate|queueMicrotask|process\.nextTick)\((?!\w+\??:)/g, use: 'host.clock timers' },
  { pattern: /\bconsole\.\w+\(/g, use: 'host.log' },
];

function checkImport(file: SourceFile, folder: string, layer: Layer, item: Import): string | undefined {
  const { specifier, target, typeOnly } = item;
  if (target) {
    if (!target.startsWith('src/')) return `src/ imports ${target} from outside of it`;
    const [, other, inside] = target.split('/');
    if (!inside || other === folder || layer.may.includes(other!)) return undefined;
    if (layer.may.includes(`types:${other}`)) {
      return typeOnly ? undefined : `src/${folder} may take types only from src/${other}: use import type`;
    }
    const allowed = layer.may.join(', ') || 'no other folder';
    return `src/${folder} may not import src/${other} (allowed: ${allowed}); define an interface here, control implements it`;
  }
  const only = layer.packages?.[specifier];
  if (only === undefined && specifier.startsWith('node:')) {
    return layer.core && !PURE_NODE.has(specifier) ? `${specifier} in the core: use a port of src/host` : undefined;
  }
  if (only === undefined) return `src/${folder} may not import the package ${specifier}`;
  return only && only !== file.path ? `${specifier} is imported in ${only} only` : undefined;
}

function checkCalls(file: SourceFile): Finding[] {
  const code = withoutComments(file.text);
  return BANNED.flatMap(({ pattern, use }) =>
    [...code.matchAll(pattern)].map((match) => ({
      path: file.path,
      line: lineOf(code, match.index),
      text: `${match[0].replace('(', '')} in the core: use ${use}`,
    })),
  );
}

/** Who imports whom, and what the core may not call. */
export function checkLayers(files: readonly SourceFile[]): Finding[] {
  const findings: Finding[] = [];
  for (const file of files) {
    const [top, folder, inside] = file.path.split('/');
    if (top !== 'src' || !inside || !file.path.endsWith('.ts')) continue;
    const layer = LAYERS[folder!];
    if (!layer) {
      findings.push({ path: file.path, line: 1, text: `src/${folder} is not in the table of scripts/lint/layers.ts` });
      continue;
    }
    for (const item of importsOf(file)) {
      const text = checkImport(file, folder!, layer, item);
      if (text) findings.push({ path: file.path, line: item.line, text });
    }
    if (layer.core) findings.push(...checkCalls(file));
  }
  return findings;
}
