// SPDX-License-Identifier: GPL-2.0-or-later
/** Requests for blocks; blksize in bytes. @spec wire.md 7.5, 10.2, 10.5 */
import { Feature } from '../features.ts';
import { pad, sectors, u32, u64 } from '../fields.ts';
import { DIGEST_BYTES_MAX } from '../limits.ts';
import { packet, type PacketSpec, type ValueOf } from '../schema.ts';
import { bytesTail } from '../tails.ts';

type Differences = Partial<Pick<PacketSpec<any, any>, 'versions' | 'feature' | 'withoutFeature'>>;

/** 8.4 leaves stale bytes in the pad. */
const plainFields = { sector: sectors(), blockId: u64(), blksize: u32(), pad: pad(4) } as const;

/** dagtag 0: no dependency; else the writes of dagtagNodeId up to it must have been received first. */
const dagtagFields = {
  sector: sectors(), blockId: u64(), blksize: u32(), dagtagNodeId: u32(), dagtag: sectors(),
} as const;

const digest = bytesTail('digest', 1, DIGEST_BYTES_MAX);

const plain = (name: string, command: number, differences: Differences = {}) =>
  packet({ name, command, stream: 'data', scope: 'volume', ...differences, fields: plainFields });

const plainWithDigest = (name: string, command: number, differences: Differences) =>
  packet({ name, command, stream: 'data', scope: 'volume', ...differences, fields: plainFields, tail: digest });

const dagtag = (name: string, command: number, feature = Feature.resyncDagtag as number) =>
  packet({ name, command, stream: 'data', scope: 'volume', feature, fields: dagtagFields });

const dagtagWithDigest = (name: string, command: number) => packet({
  name, command, stream: 'data', scope: 'volume', feature: Feature.resyncDagtag, fields: dagtagFields, tail: digest,
});

const withoutFeature = Feature.resyncDagtag;

export const PDataRequest = plain('P_DATA_REQUEST', 0x08);
export type PBlockReq = ValueOf<typeof PDataRequest>;
export const PRsDataRequest = plain('P_RS_DATA_REQUEST', 0x09, { withoutFeature });
export const POvRequest = plain('P_OV_REQUEST', 0x1e, { versions: [88, 0xffff], withoutFeature });
export const PRsThinReq = plain('P_RS_THIN_REQ', 0x32, { feature: Feature.thinResync, withoutFeature });
export const POvReply = plainWithDigest('P_OV_REPLY', 0x1f, { versions: [88, 0xffff], withoutFeature });
export type PBlockReqDigest = ValueOf<typeof POvReply>;
export const PCsumRsRequest = plainWithDigest('P_CSUM_RS_REQUEST', 0x21, { versions: [89, 0xffff], withoutFeature });

export const PRsDagtagReq = dagtag('P_RS_DAGTAG_REQ', 0x4c);
export type PRsReq = ValueOf<typeof PRsDagtagReq>;
export const PRsThinDagtagReq = dagtag('P_RS_THIN_DAGTAG_REQ', 0x4e, Feature.resyncDagtag | Feature.thinResync);
export const POvDagtagReq = dagtag('P_OV_DAGTAG_REQ', 0x4f);
export const PRsCsumDagtagReq = dagtagWithDigest('P_RS_CSUM_DAGTAG_REQ', 0x4d);
export type PRsReqDigest = ValueOf<typeof PRsCsumDagtagReq>;
export const POvDagtagReply = dagtagWithDigest('P_OV_DAGTAG_REPLY', 0x50);
