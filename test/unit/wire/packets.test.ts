// SPDX-License-Identifier: GPL-2.0-or-later
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Below, WireError } from '../../../src/wire/fields.ts';
import { Feature } from '../../../src/wire/features.ts';
import { PData } from '../../../src/wire/packets/data.ts';
import { PSizes } from '../../../src/wire/packets/sizes.ts';
import { PState } from '../../../src/wire/packets/state.ts';
import { PTwopcCommitResize, PTwopcPrepare, PTwopcReplyResize } from '../../../src/wire/packets/twopc.ts';
import { PUuids110 } from '../../../src/wire/packets/uuids110.ts';
import { COMMAND_TABLE_SIZE, fixedBytesTable, PACKETS, packetOf } from '../../../src/wire/packets.ts';
import type { Agreed } from '../../../src/wire/versions.ts';

const AGREED: readonly Agreed[] = [
  { version: 124, features: 0x7f }, { version: 124, features: 0x3ff }, { version: 121, features: 0x6f },
  { version: 118, features: 0x0f }, { version: 101, features: 0x0f }, { version: 94, features: 0 }, { version: 88, features: 0 },
];

/** The schema's own generator, fed by fast-check so that a failure shrinks. */
function belowFrom(numbers: readonly number[]): Below {
  let next = 0;
  return (bound) => (numbers.length === 0 ? 0 : numbers[next++ % numbers.length] % bound);
}

const numbers = fc.array(fc.nat(0xffffffff), { minLength: 1, maxLength: 64 });
const agreements = fc.constantFrom(...AGREED);
const all = [...PACKETS, PTwopcCommitResize, PTwopcReplyResize] as typeof PACKETS;
const room = (): DataView => new DataView(new ArrayBuffer(1_100_000));

describe.each(all.map((packet) => [packet.name, packet] as const))('%s', (_name, packet) => {
  it('decodes what it encoded', () => {
    const view = room();
    fc.assert(fc.property(numbers, agreements, fc.nat(64), (seed, agreed, at) => {
      const value = packet.sample(belowFrom(seed), agreed);
      const bytes = packet.encode(value, view, at, agreed);
      expect(bytes).toBe(packet.bytes(value, agreed));
      expect(bytes).toBeGreaterThanOrEqual(packet.minBytes(agreed));
      expect(bytes).toBeLessThanOrEqual(packet.maxBytes(agreed));
      expect(packet.decode(view, at, bytes, agreed)).toEqual(value);
      expect(packet.dump(value).startsWith(packet.name)).toBe(true);
    }), { numRuns: 50 });
  });

  it('answers hostile bytes with a value or a WireError', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 900 }), agreements, (bytes, agreed) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      try {
        packet.dump(packet.decode(view, 0, bytes.length, agreed));
      } catch (error) {
        expect(error).toBeInstanceOf(WireError);
      }
    }), { numRuns: 50 });
  });
});

describe('refused', () => {
  const agreed = AGREED[0];
  const decode = (packet: (typeof PACKETS)[number], bytes: number[], as = agreed) =>
    () => packet.decode(new DataView(Uint8Array.from(bytes).buffer), 0, bytes.length, as);

  it('names packet, field and value', () => {
    const sizes = new Array(56).fill(0);
    sizes[0] = 0xff;
    expect(decode(PSizes, sizes)).toThrow(/^P_SIZES\.dSize: \d+ is not within 0\.\.9007199254740991$/);
    expect(decode(PState, [1, 2, 3])).toThrow('P_STATE: 3 bytes, not 4..4');
  });

  it('P_SIZES has one length for each agreed feature set', () => {
    expect(decode(PSizes, new Array(32).fill(0))).toThrow('32 bytes, not 56..56');
    expect(decode(PSizes, new Array(32).fill(0), { version: 124, features: 0 })).not.toThrow();
  });

  it('P_UUIDS110 with more nodes than 32, or fewer UUIDs than announced', () => {
    const uuids = new Array(40).fill(0);
    uuids[39] = 1;
    expect(decode(PUuids110, uuids)).toThrow('1 bitmap UUIDs announced, 0 bytes there');
    uuids[39] = 0;
    uuids[35] = 1;
    expect(decode(PUuids110, uuids)).toThrow('bitmapUuidsMask');
    expect(decode(PUuids110, new Array(44).fill(0))).toThrow('not a multiple of 8');
  });

  it('P_UUIDS110 ignores a surplus of history', () => {
    const bytes = new Array(40 + 8 * 40).fill(0);
    expect((decode(PUuids110, bytes)() as PUuids110).historyUuids.length).toBe(32);
  });

  it('a two-phase commit of a node that cannot be', () => {
    const bytes = new Array(36).fill(0);
    bytes[10] = 32;
    expect(decode(PTwopcPrepare, bytes)).toThrow('initiatorNodeId');
  });

  it('values out of limits are our bug when encoding', () => {
    const view = room();
    expect(() => PState.encode({ state: 2 ** 32 }, view, 0, agreed)).toThrow('P_STATE.state');
  });
});

describe('tables', () => {
  it('two-phase commit has its older layout without feature 2PC_V2', () => {
    const view = room();
    const value: PTwopcPrepare = {
      tid: 7, flags: 0, initiatorNodeId: 3, targetNodeId: -1, nodesToReach: 5n, mask: 0x1f0, val: 0x10,
    };
    const older: Agreed = { version: 121, features: 0x6f & ~Feature.twopcV2 };
    expect(PTwopcPrepare.encode(value, view, 0, older)).toBe(36);
    expect(view.getUint32(4)).toBe(3);
    expect(view.getInt32(8)).toBe(-1);
    expect(PTwopcPrepare.decode(view, 0, 36, older)).toEqual(value);
  });

  it('offsets and pads come from the schema', () => {
    expect(PData.offset).toMatchObject({ sector: 0, blockId: 8, seqNum: 16, dpFlags: 20 });
    expect(PData.fixedBytes).toBe(24);
    expect(packetOf(0x08)!.pads).toEqual([[20, 4]]);
  });

  it('only block data goes to an arena', () => {
    const table = fixedBytesTable(4);
    expect(table.length).toBe(COMMAND_TABLE_SIZE);
    expect([...table.entries()].filter(([, bytes]) => bytes >= 0)).toEqual([[0, 28], [1, 28], [2, 28]]);
  });

  it('permits by version and feature', () => {
    const names = (agreed: Agreed) => new Set(PACKETS.filter((packet) => packet.permitted(agreed)).map(({ name }) => name));
    const newest = names({ version: 124, features: 0x7f });
    expect(newest.has('P_RS_DAGTAG_REQ')).toBe(true);
    expect(newest.has('P_RS_DATA_REQUEST')).toBe(false);
    expect(newest.has('P_OV_RESULT')).toBe(false);
    expect(newest.has('P_ENABLE_REPLICATION')).toBe(false);
    expect(newest.has('P_STATE_CHG_REQ')).toBe(false);
    expect(names({ version: 122, features: 0x7f }).has('P_FLUSH_REQUESTS')).toBe(false);
    expect(names({ version: 118, features: 0x0f }).has('P_RS_DATA_REQUEST')).toBe(true);
  });
});
