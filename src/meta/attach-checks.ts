// SPDX-License-Identifier: GPL-2.0-or-later
/** Is this meta-data one that we may attach? Rules as rows, first refusal wins. @spec metadata.md 8 */
import { MDF } from './flags.ts';
import { mdKind, mdLayout, superBlockSector, usableSectors } from './layout.ts';
import type { MdLayout } from './layout.ts';
import {
  alExtentBytes, alSize4kMax, alSize4kMin, bmBytesPerBit, bmMaxPeersMax, deviceSectorsMax, nodeIdMax, sectorsPerBlock,
} from './limits.ts';
import { MdMagic, decodeSuperBlock, superBlockMagic } from './super-block.ts';
import type { SuperBlock } from './super-block.ts';

/** Codes of genuine DRBD (genetlink.md 6) that reading meta-data can give. */
export const MdError = {
  diskTooSmall: 111,
  mdDiskTooSmall: 112,
  ioMdDisk: 118,
  mdInvalid: 119,
  dataNotCurrent: 150,
  invalidRequest: 162,
  mdUnclean: 165,
  implicitShrink: 170,
} as const;
export type MdError = (typeof MdError)[keyof typeof MdError];

export interface Refusal {
  readonly code: MdError;
  readonly text: string;
}

export interface SuperBlockInput {
  readonly metaDevIdx: number;
  /** Capacities in sectors; the same number for internal meta-data. */
  readonly mdCapacity: number;
  readonly backingCapacity: number;
  readonly nodeId: number;
  /** A dead engine of this boot had it attached: AL_CLEAN is clear and its log is replayed by us. */
  readonly adopt?: boolean;
}

export interface ReadSuperBlock {
  readonly kind: 'ok';
  readonly superBlock: SuperBlock;
  readonly layout: MdLayout;
  /** Largest device that this disk and this bitmap can serve, sectors. */
  readonly usable: number;
}

export interface RefusedSuperBlock extends Refusal {
  readonly kind: 'refused';
}

interface DecodeView extends SuperBlockInput {
  readonly magic: number;
  readonly sb: SuperBlock;
}

interface Row<T> {
  readonly code: MdError;
  /** The reason, or null: this row has no objection. */
  readonly check: (v: T) => string | null;
}

function stripes(sb: SuperBlock): string | null {
  const { alStripes, alStripeSize4k } = sb;
  const size = alStripes === 0 && alStripeSize4k === 0 ? alSize4kMin : alStripes * alStripeSize4k;
  return size >= alSize4kMin && size <= alSize4kMax ? null
    : `invalid activity log striping: al_stripes=${alStripes}, al_stripe_size_4k=${alStripeSize4k}`;
}

function offsets(v: DecodeView): string | null {
  const { sb } = v;
  const layout = layoutOf(v);
  const sane = sb.alOffset === layout.alOffset
    && sb.bmOffset % sectorsPerBlock === 0
    && (layout.kind === 'internal' ? internalFits(sb, layout) : externalFits(sb, layout, v.mdCapacity))
    && sb.effectiveSize <= bitmapLimit(sb, layout);
  return sane ? null : 'meta data offsets don\'t make sense: '
    + `idx=${v.metaDevIdx} al_s=${sb.alStripes}, al_sz4k=${sb.alStripeSize4k}, al_offset=${sb.alOffset}, `
    + `bm_offset=${sb.bmOffset}, md_size_sect=${sb.mdSizeSect}, la_size=${sb.effectiveSize}, `
    + `md capacity=${v.mdCapacity}`;
}

function internalFits(sb: SuperBlock, layout: MdLayout): boolean {
  return sb.bmOffset <= layout.alOffset - sectorsPerBlock
    && sb.mdSizeSect === sectorsPerBlock - sb.bmOffset
    && layout.superBlockSector + sb.bmOffset >= 0;
}

function externalFits(sb: SuperBlock, layout: MdLayout, mdCapacity: number): boolean {
  if (sb.bmOffset !== layout.bmOffset) return false;
  if (layout.kind === 'fixed') {
    return sb.bmOffset === 72 && sb.mdSizeSect === layout.mdSizeSect
      && layout.superBlockSector + layout.mdSizeSect <= mdCapacity;
  }
  return sb.mdSizeSect > sb.bmOffset && sb.mdSizeSect <= mdCapacity;
}

function layoutOf(v: DecodeView): MdLayout {
  const { sb } = v;
  return mdLayout({
    metaDevIdx: v.metaDevIdx, mdCapacity: v.mdCapacity, bmMaxPeers: sb.bmMaxPeers,
    alStripes: sb.alStripes, alStripeSize4k: sb.alStripeSize4k,
  });
}

/** The layout as the super block states it: an internal bitmap may be larger or smaller than computed. */
function statedLayout(sb: SuperBlock, layout: MdLayout): MdLayout {
  const bmSect = layout.kind === 'internal' ? sb.alOffset - sb.bmOffset : sb.mdSizeSect - sb.bmOffset;
  return {
    ...layout, bmOffset: sb.bmOffset, mdSizeSect: sb.mdSizeSect, bmSect,
    areaSector: layout.kind === 'internal' ? layout.superBlockSector + sb.bmOffset : layout.superBlockSector,
  };
}

function bitmapLimit(sb: SuperBlock, layout: MdLayout): number {
  return usableSectors({ ...statedLayout(sb, layout), kind: 'flexible' }, deviceSectorsMax);
}

function bitmapIndexes(v: DecodeView): string | null {
  const { sb } = v;
  const owners = new Map<number, number>();
  for (let n = 0; n < nodeIdMax; n++) {
    const index = sb.peers[n].bitmapIndex;
    if (index === -1) continue;
    if (n === v.nodeId) return `my own node id (${n}) should not have a bitmap index (${index})`;
    if (index < -1 || index >= sb.bmMaxPeers) {
      return `peer node id ${n}: bitmap index (${index}) exceeds allocated bitmap slots (${sb.bmMaxPeers})`;
    }
    const other = owners.get(index);
    if (other !== undefined) return `peer node ids ${other} and ${n} have the same bitmap index (${index})`;
    owners.set(index, n);
  }
  return null;
}

const unclean = 'Found unclean meta data. Did you "drbdadm apply-al"?';
const old = 'Found old meta data magic. Did you "drbdadm create-md"?';
const clean = (v: DecodeView): boolean => (v.sb.flags & MDF.alClean) !== 0;

/** What must be true of the 4 KiB block itself. */
export const superBlockRules: readonly Row<DecodeView>[] = [
  { code: MdError.mdUnclean, check: (v) => (v.magic === MdMagic.v08Unclean ? unclean : null) },
  { code: MdError.mdUnclean, check: (v) => (v.magic === MdMagic.v09 && !clean(v) && v.adopt !== true ? unclean : null) },
  { code: MdError.mdUnclean, check: (v) => (v.magic === MdMagic.v08 && !clean(v) ? unclean : null) },
  { code: MdError.mdInvalid, check: (v) => (v.magic === MdMagic.v08 || v.magic === MdMagic.v07 ? old : null) },
  {
    code: MdError.mdInvalid,
    check: (v) => (v.magic === MdMagic.v09 ? null : 'Meta data magic not found. Did you "drbdadm create-md"?'),
  },
  {
    code: MdError.mdInvalid,
    check: ({ sb }) => (sb.bmBytesPerBit === bmBytesPerBit ? null
      : `unexpected bm_bytes_per_bit: ${sb.bmBytesPerBit} (expected ${bmBytesPerBit})`),
  },
  {
    code: MdError.mdInvalid,
    check: ({ sb }) => (sb.bmMaxPeers >= 1 && sb.bmMaxPeers <= bmMaxPeersMax ? null
      : `bm_max_peers ${sb.bmMaxPeers} (expected 1..${bmMaxPeersMax})`),
  },
  {
    code: MdError.mdInvalid,
    check: ({ sb }) => (sb.effectiveSize <= deviceSectorsMax ? null : 'effective_size is beyond 1 PiB'),
  },
  { code: MdError.mdInvalid, check: ({ sb }) => stripes(sb) },
  { code: MdError.mdInvalid, check: offsets },
  {
    code: MdError.mdInvalid,
    check: ({ sb, nodeId }) => (sb.nodeId === -1 || sb.nodeId === nodeId ? null
      : `ambiguous node id: meta-data: ${sb.nodeId}, config: ${nodeId}`),
  },
  { code: MdError.mdInvalid, check: bitmapIndexes },
];

function firstRefusal<T>(rules: readonly Row<T>[], view: T): Refusal | null {
  for (const { code, check } of rules) {
    const text = check(view);
    if (text !== null) return { code, text };
  }
  return null;
}

/** Where to read the 4 KiB block, in sectors of the meta device; a refusal when the device cannot hold one. */
export function locateSuperBlock(metaDevIdx: number, mdCapacity: number): number | Refusal {
  if (mdKind(metaDevIdx) === null) return { code: MdError.mdInvalid, text: `invalid meta-dev-idx ${metaDevIdx}` };
  const sector = superBlockSector(metaDevIdx, mdCapacity);
  return sector >= 0 ? sector
    : { code: MdError.mdDiskTooSmall, text: `meta device of ${mdCapacity} sectors has no room for meta data` };
}

/** Decodes and checks a super block (steps 1 to 7). */
export function readSuperBlock(block: Uint8Array, input: SuperBlockInput): ReadSuperBlock | RefusedSuperBlock {
  const sb = decodeSuperBlock(block);
  const view: DecodeView = { ...input, sb, magic: superBlockMagic(block) };
  const refusal = firstRefusal(superBlockRules, view);
  if (refusal !== null) return { kind: 'refused', ...refusal };
  const layout = statedLayout(sb, layoutOf(view));
  return { kind: 'ok', superBlock: sb, layout, usable: usableSectors(layout, input.backingCapacity) };
}

export interface AttachView {
  readonly superBlock: SuperBlock;
  readonly layout: MdLayout;
  readonly usable: number;
  /** disk-conf disk_size in sectors, 0: not given. */
  readonly diskSize: number;
  /** Configured peers with bitmap=yes, by node id. */
  readonly peersWithBitmap: readonly number[];
  readonly primary: boolean;
  /** 0n: nothing was exposed. */
  readonly exposedDataUuid: bigint;
  /** A connected peer is UpToDate: the exposed data are not lost. */
  readonly upToDatePeer: boolean;
  readonly mdCapacity: number;
}

function freeSlots(sb: SuperBlock): number {
  return sb.bmMaxPeers - sb.peers.filter((p) => p.bitmapIndex !== -1).length;
}

export const attachRules: readonly Row<AttachView>[] = [
  {
    code: MdError.diskTooSmall,
    check: (v) => (v.usable > 0 && v.usable >= v.diskSize ? null
      : `disk size ${v.diskSize} sectors requested, ${v.usable} usable`),
  },
  {
    code: MdError.mdDiskTooSmall,
    check: ({ layout, mdCapacity }) => (layout.kind === 'internal'
      || layout.superBlockSector + (layout.kind === 'fixed' ? layout.mdSizeSect : layout.bmOffset) <= mdCapacity ? null
      : `meta data needs ${layout.mdSizeSect} sectors from ${layout.superBlockSector}, device has ${mdCapacity}`),
  },
  {
    code: MdError.implicitShrink,
    check: ({ superBlock: sb, usable, diskSize }) => {
      const consistent = (sb.flags & MDF.consistent) !== 0;
      const limited = diskSize !== 0 && diskSize <= usable;
      return consistent && usable < sb.effectiveSize && !limited
        ? `refusing to truncate a consistent device (${usable} < ${sb.effectiveSize})` : null;
    },
  },
  {
    code: MdError.invalidRequest,
    check: ({ superBlock: sb, peersWithBitmap }) => {
      const missing = peersWithBitmap.filter((n) => sb.peers[n].bitmapIndex === -1).length;
      return missing <= freeSlots(sb) ? null : 'Not enough free bitmap slots available for all peers';
    },
  },
  {
    code: MdError.dataNotCurrent,
    check: ({ superBlock: sb, primary, exposedDataUuid: exposed, upToDatePeer }) => (
      primary && exposed !== 0n && !upToDatePeer && (exposed | 1n) !== (sb.currentUuid | 1n)
        ? `Can only attach to data with current UUID=${exposed.toString(16).toUpperCase().padStart(16, '0')}` : null),
  },
];

/** Steps 8 to 11, with the running configuration. */
export function checkAttach(view: AttachView): Refusal | null {
  return firstRefusal(attachRules, view);
}

/** Lowest free bitmap slot, -1: none. */
export function freeBitmapSlot(sb: SuperBlock): number {
  const used = new Set(sb.peers.map((p) => p.bitmapIndex));
  for (let slot = 0; slot < sb.bmMaxPeers; slot++) if (!used.has(slot)) return slot;
  return -1;
}

/** Extents of 4 MiB that a device of `sectors` has. */
export function extentsOf(sectors: number): number {
  return Math.ceil(sectors / (alExtentBytes / 512));
}
