// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * What not every cluster makes use of, as a table. Drawn apart from all else, so that a run without them is the run that it
 * was before there were any.
 */
import { resizeParms, startOvParms } from '../../genl/command-attrs.ts';
import type { NetConf } from '../../genl/config-attrs.ts';
import { Cmd } from '../../genl/ops.ts';
import type { Address } from '../../host/net.ts';
import { Fencing, Role } from '../../state/states.ts';
import { PConnectionFeatures } from '../../wire/packets/connection-features.ts';
import type { SimMember } from '../cluster.ts';
import { parseHeader } from '../header.ts';
import type { SimRandom } from '../random.ts';
import type { Run } from './commands.ts';
import { isHealthy, roleOf, viewOf, writtenGeneration } from './look.ts';
import type { Drawn } from './plan.ts';
import type { Stress } from './stress.ts';

const VERSIONS = [119, 120, 122, 123, 124] as const;
/** Has P_FLUSH_REQUESTS. */
const FLUSHES = 123;
const GROWTH_SECTORS = 1024;
/** 20 MiB: a few thousand requests. */
const VERIFIED_SECTORS = 40_960;
const HANDLER_MS = 30_000;
/** Exit codes of a fence-peer handler. */
export const Exit = { outdated: 4, down: 5, primary: 6, shot: 7, broken: 1 } as const;

interface Row {
  readonly net?: (random: SimRandom, plan: Drawn) => Partial<NetConf>;
  readonly begin?: (s: Stress, random: SimRandom) => void;
}

export const features = {
  /**
   * Each node offers up to a version of its own. All with RESYNC_DAGTAG, so not 121: without it a resync between two
   * Secondaries can overwrite what a Primary writes meanwhile, whatever its ends do. Nor 118, where a disk that is not good
   * may be the source of one that is. Below 123 a resync between two Secondaries can end without what a Primary was writing
   * when it began, before the source hears that the target has not got that (hazards H-100): only where there are no three.
   */
  mixedVersions: { begin: (s, random) => {
    const least = s.cluster.members.length > 2 ? FLUSHES : 0;
    offerVersions(s, s.cluster.members.map(() => Math.max(VERSIONS[random.below(VERSIONS.length)]!, least)));
  } },
  fencing: { net: (random, { wireProtocol }) => ({ fencingPolicy: wireProtocol > 1 && random.chance(0.5) ? Fencing.resourceAndStonith : Fencing.resourceOnly }),
    begin: (s) => { for (const m of s.cluster.members) m.node.handler = (name, peer) => (name === 'fence-peer' ? fencePeer(s, m, peer) : null); } },
  verify: { net: () => ({ verifyAlg: 'crc32c' }) },
  resize: { begin: (s) => { s.diskConf.diskSize = s.plan.usedSectors; } },
} satisfies Record<string, Row>;

export type Feature = keyof typeof features;
export const everyFeature = Object.keys(features) as Feature[];
export const rowsOf = (some: readonly Feature[]): readonly Row[] => some.map((name) => features[name]);

/** Commands that come with a feature. */
export const featureCommands = {
  verify: (s, m, peer) => m.setup.with(Cmd.START_OV, { resourceName: 'r0', peerNodeId: peer.id, volume: 0 }, startOvParms, {
    ovStartSector: s.random.chance(0.7) ? 0 : s.random.below(VERIFIED_SECTORS), ovStopSector: VERIFIED_SECTORS }),
  /** Of a healthy cluster, as far as one can see. */
  resize: async (s, m) => {
    if (!isHealthy(s.cluster)) return null;
    const minor = s.cluster.minor(m.id, 0);
    const resizeSize = Math.min(m.node.devices.get(minor)!.capacity + GROWTH_SECTORS, s.plan.diskSectors - GROWTH_SECTORS);
    return m.setup.with(Cmd.RESIZE, {}, resizeParms, { resizeSize }, minor);
  },
} satisfies Partial<Record<Feature, Run>>;
export type FeatureCommand = keyof typeof featureCommands;

/** Changes what is offered on its way: both ends of a connection see what the older one knows. */
function offerVersions({ cluster: { fabric, members } }: Stress, versions: readonly number[]): void {
  fabric.holds = (stream, packet) => {
    const header = parseHeader(packet, 'h80');
    if (header?.command !== PConnectionFeatures.command) return false;
    const view = new DataView(packet.buffer, packet.byteOffset);
    const versionAt = ({ address }: Address): number => versions[members.findIndex((m) => m.node.address === address)]!;
    const version = Math.min(versionAt(stream.local), versionAt(stream.remote));
    view.setUint32(header.headerBytes + PConnectionFeatures.offset.protocolMax, version);
    return false;
  };
}

function isBehind(s: Stress, m: SimMember): boolean {
  const newest = s.newestGeneration;
  return newest !== 0n && s.ledger.holder?.member !== m && writtenGeneration(m) !== newest;
}

/**
 * A handler as administrators have it: asks the peer, by another network, to outdate itself; or shoots it. Now and then it
 * does not work. The cluster knows who went on last, and lets nobody who is behind shut out the others (crm-fence-peer
 * refuses where the own disk is only Consistent, or a constraint is there already): the engine would take that for a proof.
 */
async function fencePeer(s: Stress, m: SimMember, peerId: number): Promise<number> {
  const peer = s.cluster.members[peerId]!;
  await s.actors.sleep(s.random.between(1, 3_000));
  if (s.random.chance(0.1) || isBehind(s, m)) return Exit.broken;
  if (s.plan.net.fencingPolicy === Fencing.resourceAndStonith && s.random.chance(0.5)) {
    s.note(`n${m.id} shoots n${peerId}`, false);
    s.actors.spawn(`command boot of ${peer.node.name}`, () => s.powerCycle(peer));
    return Exit.shot;
  }
  if (viewOf(peer) === null) return peer.node.life === null ? Exit.broken : Exit.down;
  if (roleOf(peer) === Role.primary) return Exit.primary;
  const answered = peer.setup.plain(Cmd.OUTDATE, {}, s.cluster.minor(peerId, 0));
  const late = s.actors.sleep(HANDLER_MS).then(() => null);
  const answer = await Promise.race([answered, late]);
  s.note(`n${m.id} outdates n${peerId}: ${answer?.code ?? 'no answer'}`, false);
  return answer?.code === 1 ? Exit.outdated : Exit.broken;
}
