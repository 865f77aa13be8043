// SPDX-License-Identifier: GPL-2.0-or-later
import fc from 'fast-check';
import type { NestValue } from '../../../src/genl/client.ts';
import { NESTS } from '../../../src/genl/nests.ts';
import type { Field, Infer, InferPartial, Nest } from '../../../src/genl/schema.ts';

/** Values of the schemas for property tests. */

const text = (maxBytes: number) => fc.string({ unit: 'binary', maxLength: Math.min(maxBytes, 300) })
  .map((drawn) => drawn.replaceAll('\0', '_').toWellFormed())
  .filter((drawn) => Buffer.byteLength(drawn) < maxBytes);

const uuid = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });

export function valueOf(field: Field): fc.Arbitrary<unknown> {
  switch (field.kind) {
    case 'flag': return fc.boolean();
    case 'u32': return fc.integer({ min: 0, max: 0xffff_ffff });
    case 's32': return fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
    case 'u64': return fc.oneof(fc.maxSafeNat(), fc.constant(Infinity));
    case 'uuid': return uuid;
    case 'uuids': return fc.array(uuid, { maxLength: field.maxBytes / 8 });
    case 'binary': return fc.uint8Array({ maxLength: field.maxBytes });
    case 'string': return text(field.maxBytes);
  }
}

const fieldsOf = (nest: Nest) => Object.fromEntries(nest.list.map(([key, field]) => [key, valueOf(field)]));

/** All fields. */
export const structOf = <N extends Nest>(nest: N) => fc.record(fieldsOf(nest)) as fc.Arbitrary<Infer<N>>;
/** Any of the fields. */
export const partialOf = <N extends Nest>(nest: N) =>
  fc.record(fieldsOf(nest), { requiredKeys: [] }) as fc.Arbitrary<InferPartial<N>>;

export const anyNest: fc.Arbitrary<NestValue> = fc.constantFrom(...NESTS)
  .chain((nest) => partialOf(nest).map((value) => ({ nest, value })));
