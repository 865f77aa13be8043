// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import { checkAttach, freeBitmapSlot, locateSuperBlock, readSuperBlock } from '../../../src/meta/attach-checks.ts';
import type { AttachView } from '../../../src/meta/attach-checks.ts';
import { MDF } from '../../../src/meta/flags.ts';
import { decodeSuperBlock, encodeSuperBlock } from '../../../src/meta/super-block.ts';
import type { SuperBlock } from '../../../src/meta/super-block.ts';
import { image, names09 } from './images.ts';

function read(name: string, change: (sb: SuperBlock) => void = () => {}, nodeId?: number) {
  const img = image(name);
  const sb = decodeSuperBlock(img.superBlock);
  change(sb);
  const block = new Uint8Array(4096);
  encodeSuperBlock(sb, block);
  return readSuperBlock(block, {
    metaDevIdx: img.metaDevIdx, mdCapacity: img.capacity, backingCapacity: img.capacity,
    nodeId: nodeId ?? (sb.nodeId === -1 ? 0 : sb.nodeId),
  });
}

describe('reading a super block (metadata.md 8, steps 1 to 7)', () => {
  it.each(names09)('%s: clean ones are taken, unclean ones refused with 165', (name) => {
    const clean = (decodeSuperBlock(image(name).superBlock).flags & MDF.alClean) !== 0;
    const result = read(name);
    if (clean) expect(result.kind).toBe('ok');
    else expect(result).toEqual({ kind: 'refused', code: 165, text: 'Found unclean meta data. Did you "drbdadm apply-al"?' });
  });

  it.each([
    ['v08-int-fresh', 119, 'Found old meta data magic. Did you "drbdadm create-md"?'],
    ['v08-int-crashed', 165, 'Found unclean meta data. Did you "drbdadm apply-al"?'],
  ])('%s is refused with %i', (name, code, text) => {
    const img = image(name);
    const input = { metaDevIdx: -3, mdCapacity: img.capacity, backingCapacity: img.capacity, nodeId: 0 };
    expect(readSuperBlock(img.superBlock, input)).toEqual({ kind: 'refused', code, text });
  });

  it.each<[string, RegExp, (sb: SuperBlock) => void]>([
    ['magic', /magic not found/, (sb) => { sb.magic = 0x12345678; }],
    ['magic of 0.7', /old meta data magic/, (sb) => { sb.magic = 0x8374026a; }],
    ['bytes per bit', /unexpected bm_bytes_per_bit: 8192 \(expected 4096\)/, (sb) => { sb.bmBytesPerBit = 8192; }],
    ['no peers', /bm_max_peers 0/, (sb) => { sb.bmMaxPeers = 0; }],
    ['too many peers', /bm_max_peers 33/, (sb) => { sb.bmMaxPeers = 33; }],
    ['one stripe number zero', /invalid activity log striping/, (sb) => { sb.alStripes = 0; }],
    ['log too small', /invalid activity log striping/, (sb) => { sb.alStripeSize4k = 7; }],
    ['log too large', /invalid activity log striping/, (sb) => { sb.alStripes = 0xffffffff; }],
    ['al_offset', /offsets don't make sense/, (sb) => { sb.alOffset = -72; }],
    ['bm_offset not a multiple of 8', /offsets don't make sense/, (sb) => { sb.bmOffset -= 1; }],
    ['bm_offset inside the log', /offsets don't make sense/, (sb) => { sb.bmOffset = -64; }],
    ['md_size', /offsets don't make sense/, (sb) => { sb.mdSizeSect += 8; }],
    ['area before the device', /offsets don't make sense/, (sb) => { sb.bmOffset = -(2 ** 30); sb.mdSizeSect = 2 ** 30 + 8; }],
    ['bitmap too small for the size', /offsets don't make sense/, (sb) => { sb.effectiveSize = 2 ** 32; }],
    ['absurd size', /beyond 1 PiB/, (sb) => { sb.effectiveSize = 2 ** 50; }],
    ['node id', /ambiguous node id: meta-data: 5, config: 0/, (sb) => { sb.nodeId = 5; }],
    ['own bitmap index', /my own node id \(0\) should not have a bitmap index \(0\)/, (sb) => { sb.peers[0].bitmapIndex = 0; }],
    ['bitmap index', /peer node id 2: bitmap index \(7\) exceeds allocated bitmap slots \(1\)/,
      (sb) => { sb.peers[2].bitmapIndex = 7; }],
    ['negative bitmap index', /exceeds/, (sb) => { sb.peers[2].bitmapIndex = -2; }],
  ])('%s is refused with 119', (_what, text, change) => {
    const result = read('v09-int-1peer-fresh', change, 0);
    expect(result).toMatchObject({ kind: 'refused', code: 119 });
    expect((result as { text: string }).text).toMatch(text);
  });

  it('two nodes cannot share a slot', () => {
    const result = read('v09-int-7peer-fresh', (sb) => { sb.peers[2].bitmapIndex = 1; sb.peers[4].bitmapIndex = 1; });
    expect(result).toMatchObject({ kind: 'refused', code: 119 });
  });

  it('a size that is no number is refused', () => {
    const img = image('v09-int-1peer-fresh');
    const block = img.superBlock.slice();
    block.fill(0xff, 0, 8);
    const input = { metaDevIdx: -3, mdCapacity: img.capacity, backingCapacity: img.capacity, nodeId: 0 };
    expect(readSuperBlock(block, input)).toMatchObject({ kind: 'refused', code: 119 });
  });

  it('a meta device without room is refused with 112, an unknown index with 119', () => {
    expect(locateSuperBlock(-3, 4)).toMatchObject({ code: 112 });
    expect(locateSuperBlock(3, 262144)).toMatchObject({ code: 112 });
    expect(locateSuperBlock(-7, 10000)).toMatchObject({ code: 119 });
    expect(locateSuperBlock(-1, 131072)).toBe(131064);
  });
});

describe('attaching (metadata.md 8, steps 8 to 11)', () => {
  function view(change: Partial<AttachView> = {}, alter: (sb: SuperBlock) => void = () => {}): AttachView {
    const result = read('v09-int-7peer-primary-written-applied', alter);
    if (result.kind !== 'ok') throw new Error(result.text);
    return {
      superBlock: result.superBlock, layout: result.layout, usable: result.usable, diskSize: 0, peersWithBitmap: [],
      primary: false, exposedDataUuid: 0n, upToDatePeer: false, mdCapacity: 131072, ...change,
    };
  }

  it('takes a good one', () => expect(checkAttach(view())).toBeNull());
  it('111 when the disk is smaller than requested', () => expect(checkAttach(view({ diskSize: 200000 }))?.code).toBe(111));
  it('170 when it would shrink', () => {
    const larger = (sb: SuperBlock): void => { sb.effectiveSize = 130976; };
    expect(checkAttach(view({}, larger))?.code).toBe(170);
    expect(checkAttach(view({ diskSize: 130000 }, larger))).toBeNull();
  });
  it('162 without free slots', () => {
    const used = (sb: SuperBlock): void => { sb.peers.forEach((p, n) => { p.bitmapIndex = n >= 10 && n < 16 ? n - 10 : -1; }); };
    expect(checkAttach(view({ peersWithBitmap: [1] }, used))).toBeNull();
    expect(checkAttach(view({ peersWithBitmap: [1, 2] }, used))?.code).toBe(162);
    expect(freeBitmapSlot(view({}, used).superBlock)).toBe(6);
  });
  it('150 for other data than exposed, bit 0 aside', () => {
    const { currentUuid } = view().superBlock;
    expect(checkAttach(view({ primary: true, exposedDataUuid: currentUuid ^ 1n }))).toBeNull();
    expect(checkAttach(view({ primary: true, exposedDataUuid: currentUuid ^ 2n }))?.code).toBe(150);
    expect(checkAttach(view({ primary: true, exposedDataUuid: currentUuid ^ 2n, upToDatePeer: true }))).toBeNull();
  });
});
