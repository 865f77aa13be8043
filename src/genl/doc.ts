// SPDX-License-Identifier: GPL-2.0-or-later
import { codeName, Err, ERR_TEXT, Ss, ssText } from './codes.ts';
import { NESTS } from './nests.ts';
import type { Op } from './ops.ts';
import { Event, OPS } from './ops.ts';
import type { Field, Kind, Nest } from './schema.ts';
import { wireName } from './schema.ts';

/** The tables of docs/reference/netlink.md, printed from the schemas; a test compares. */

type Cell = string | number;
const row = (...cells: Cell[]) => `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`;
const table = (head: string[], rows: string[]) => [row(...head), row(...head.map(() => '---')), ...rows].join('\n');

function commands(): string {
  const needs = (op: Op) => op.kind === 'dump' ? '' : op.need;
  const payload = (op: Op) => op.nest ? `${op.nest.name} (${op.use})` : '';
  const rows = [
    ...OPS.map((op) => [op.cmd, `DRBD_ADM_${op.name}`, op.kind, needs(op), payload(op), op.success]),
    ...Object.entries(Event).map(([name, nr]) => [nr, `DRBD_${name}`, 'event', '', '', 101]),
  ].sort(([a], [b]) => Number(a) - Number(b));
  return table(['nr', 'name', 'kind', 'must name', 'payload', 'success'], rows.map((cells) => row(...cells)));
}

const KIND: { readonly [K in Kind]: string } = { flag: 'u8 0/1', u32: 'u32', s32: 's32', u64: 'u64', uuid: 'u64',
  uuids: 'u64[]', string: 'string', binary: 'bytes' };

const typeOf = ({ kind, maxBytes }: Field) =>
  kind === 'string' || kind === 'binary' || kind === 'uuids'
    ? maxBytes === Infinity ? KIND[kind] : `${KIND[kind]} ≤ ${maxBytes}` : KIND[kind];

const flagsOf = (field: Field) =>
  (['mandatory', 'required', 'invariant', 'sensitive'] as const).filter((name) => field[name]).join(', ');

const showDefault = (field: Field) => field.default === undefined ? ''
  : typeof field.default === 'boolean' ? Number(field.default) : field.default === '' ? '""' : String(field.default);

const rangeOf = ({ min, max, names = [], unit = '', outside }: Field) =>
  [names.map((name, nr) => name && `${nr} ${name}`).filter(Boolean).join(', '),
    min === undefined ? '' : `${min}..${max}`, unit, outside && `(${outside})`].filter(Boolean).join(' ');

const nestTable = (nest: Nest) => `#### ${nest.nr} DRBD_NLA_${nest.name}: ${nest.struct}\n\n` +
  table(['nr', 'field', 'here', 'type', 'flags', 'default', 'range'], nest.list.map(([key, field]) =>
    row(field.nr, wireName(key, field), key, typeOf(field), flagsOf(field), showDefault(field), rangeOf(field))));

const errors = () => table(['code', 'name', 'drbdsetup prints'],
  Object.values(Err).map((code) => row(code, codeName(code), ERR_TEXT[code])));

const states = () => table(['code', 'name', 'text'],
  Object.values(Ss).map((code) => row(code, codeName(code), code < 0 ? ssText(code) : '')));

/** By the name that stands in the document's markers. */
export const PRINTED: { readonly [section: string]: () => string } = {
  commands,
  attributes: () => NESTS.map(nestTable).join('\n\n'),
  errors,
  states,
};

/** The document with its printed sections as they must be. */
export function reprinted(markdown: string): string {
  return markdown.replace(/<!-- printed: (\w+) -->\n[^]*?<!-- end -->/g, (whole, section: string) => {
    const print = PRINTED[section];
    return print ? `<!-- printed: ${section} -->\n\n${print()}\n\n<!-- end -->` : whole;
  });
}
