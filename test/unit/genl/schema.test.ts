// SPDX-License-Identifier: GPL-2.0-or-later
import { expect, test } from 'vitest';
import { nestOf, NESTS } from '../../../src/genl/nests.ts';
import { OPS } from '../../../src/genl/ops.ts';
import { MAX_ATTR } from '../../../src/genl/request.ts';
import { wireName } from '../../../src/genl/schema.ts';
import { fieldNames } from './vectors.ts';

test('every attribute that genuine tools and drivers were seen to send is known by its number and name', () => {
  for (const [nr, { name, fields }] of Object.entries(fieldNames)) {
    const nest = nestOf(Number(nr))!;
    expect(`DRBD_NLA_${nest.name}`).toBe(name);
    for (const [fieldNr, fieldName] of Object.entries(fields)) {
      const key = nest.nameByNr.get(Number(fieldNr));
      expect(key, `${name} ${fieldNr} ${fieldName}`).toBeDefined();
      expect(wireName(key!, nest.fields[key!]!)).toBe(fieldName);
    }
  }
});

test('nests are those of 9.2.18: 1 to 33 without 8', () => {
  const expected = Array.from({ length: MAX_ATTR }, (_, i) => i + 1).filter((nr) => nr !== 8);
  expect(NESTS.map((nest) => nest.nr)).toEqual(expected);
});

test('a default lies within its range and fits its kind', () => {
  for (const nest of NESTS) {
    for (const [key, field] of nest.list) {
      if (typeof field.default !== 'number') continue;
      expect(field.default, `${nest.name}.${key}`).toBeGreaterThanOrEqual(field.min ?? -Infinity);
      expect(field.default, `${nest.name}.${key}`).toBeLessThanOrEqual(field.max ?? Infinity);
      if (field.names) expect(field.names[field.default], `${nest.name}.${key}`).toBeDefined();
    }
  }
});

test('every command has a row, and its nest says how it is used', () => {
  expect(new Set(OPS.map((op) => op.cmd)).size).toBe(OPS.length);
  for (const op of OPS) expect(op.nest === undefined, op.name).toBe(op.use === undefined);
});
