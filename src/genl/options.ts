// SPDX-License-Identifier: GPL-2.0-or-later
import { Err } from './codes.ts';
import type { DeviceConf, DiskConf, NetConf, PeerDeviceConf, ResourceOpts } from './config-attrs.ts';
import { deviceConf, diskConf, netConf, peerDeviceConf, resourceOpts } from './config-attrs.ts';
import { Fencing, OnCongestion, WireProtocol } from './enums.ts';
import { NODE_ID_MAX } from './context.ts';
import { checkName } from './names.ts';
import type { Reply } from './reply.ts';
import { attrRefusal, refusal } from './reply.ts';
import type { Request } from './request.ts';
import { payload, payloadOver, requiredPayload } from './request.ts';
import type { Infer, Kind, KindTypes, Nest } from './schema.ts';
import { wireName } from './schema.ts';
import { AttrError } from './tlv.ts';

/**
 * From the options of a request to a configuration: defaults, what is set, what the request changes, and genuine's
 * refusals. A value outside its range is refused here too, although only drbdsetup does so with genuine.
 * @spec genetlink.md 1.1, 4
 */

/** A configuration, or the reply that refuses it. */
export type Checked<T> = { readonly value: T; readonly refused?: undefined } | { readonly refused: Reply };

export const MINOR_MAX = (1 << 20) - 1;
export const VOLUME_MAX = 65_534;
const MD_INDEX_FLEX_INT = -3;

const EMPTY: { readonly [K in Kind]: KindTypes[K] } =
  { flag: false, u32: 0, s32: 0, u64: 0, uuid: 0n, uuids: [], string: '', binary: new Uint8Array() };

/** Every field's default; nothing (0, '') where it has none. */
export function defaults<N extends Nest>(nest: N): Infer<N> {
  return Object.fromEntries(nest.list.map(([key, field]) => [key, field.default ?? EMPTY[field.kind]])) as Infer<N>;
}

export const RESOURCE_OPTS_DEFAULTS: ResourceOpts = defaults(resourceOpts);
export const NET_CONF_DEFAULTS: NetConf = defaults(netConf);
export const DISK_CONF_DEFAULTS: DiskConf = defaults(diskConf);
export const PEER_DEVICE_CONF_DEFAULTS: PeerDeviceConf = defaults(peerDeviceConf);
export const DEVICE_CONF_DEFAULTS: DeviceConf = defaults(deviceConf);

/** Runs what may meet a malformed payload. */
export function checked<T>(run: () => Checked<T>): Checked<T> {
  try {
    return run();
  } catch (error) {
    if (error instanceof AttrError) return { refused: attrRefusal(error) };
    throw error;
  }
}

/** Fields that have a default are reset to it, others stay as they are. */
function reset<N extends Nest>(nest: N, current: Infer<N>): Infer<N> {
  const withDefault = nest.list.filter(([, field]) => field.default !== undefined);
  return { ...current, ...Object.fromEntries(withDefault.map(([key, field]) => [key, field.default])) };
}

/** The options after a change request, before they are checked. Throws AttrError. */
function changed<N extends Nest>(request: Request, nest: N, current: Infer<N>): Infer<N> {
  return payloadOver(request, nest, request.setDefaults ? reset(nest, current) : current, true);
}

/** Brings values inside their bounds or throws AttrError, as the schema says for each field. */
function bounded<N extends Nest>(nest: N, conf: Infer<N>): Infer<N> {
  const inside: Record<string, unknown> = { ...conf };
  for (const [key, field] of nest.list) {
    const value = inside[key];
    const min = field.min ?? 0;
    const max = field.names ? field.names.length - 1 : field.max;
    if (typeof value !== 'number' || max === undefined) continue;
    if (value >= min && value <= max && field.names?.[value] !== '') continue;
    if (field.outside === undefined) {
      throw new AttrError('invalid', `${nest.name}.${wireName(key, field)}`, `${value} is not in ${min}..${max}`);
    }
    if (field.outside === 'clamp') inside[key] = Math.min(Math.max(value, min), max);
  }
  return inside as Infer<N>;
}

/* ---- resource ---------------------------------------------------------------------------------------------- */

/** new-resource. The name is checked after the payload, as genuine does; 162 for a node id above 31 has no text. */
export function newResourceOpts(request: Request, strictNames: boolean): Checked<ResourceOpts> {
  return checked(() => {
    const opts: ResourceOpts = { ...RESOURCE_OPTS_DEFAULTS, ...requiredPayload(request, resourceOpts) };
    const badName = checkName(request.context.resourceName, strictNames);
    if (badName !== null) return { refused: badName };
    if (opts.drbd8CompatMode) return { refused: refusal(Err.INVALID_REQUEST, 'CONFIG_DRBD_COMPAT_84 not enabled') };
    if (opts.nodeId >= NODE_ID_MAX) return { refused: refusal(Err.INVALID_REQUEST) };
    return checkResourceOpts(opts);
  });
}

/** resource-options. */
export const changedResourceOpts = (request: Request, current: ResourceOpts): Checked<ResourceOpts> =>
  checked(() => checkResourceOpts(changed(request, resourceOpts, current)));

const CPU_MASK = /^\s*[0-9a-f]{1,8}(,[0-9a-f]{1,8})*\s*$/i;

function checkResourceOpts(opts: ResourceOpts): Checked<ResourceOpts> {
  if (opts.cpuMask !== '' && !CPU_MASK.test(opts.cpuMask)) return { refused: refusal(Err.INVALID_REQUEST) };
  return { value: bounded(resourceOpts, opts) };
}

/* ---- device ------------------------------------------------------------------------------------------------ */

export interface NewDevice {
  readonly minor: number;
  readonly volume: number;
  readonly conf: DeviceConf;
}

/** new-minor. */
export function newDevice(request: Request): Checked<NewDevice> {
  return checked<NewDevice>(() => {
    const conf: DeviceConf = { ...DEVICE_CONF_DEFAULTS, ...payload(request, deviceConf) };
    const { minor, context: { volume = Infinity } } = request;
    const invalid = (text: string) => ({ refused: refusal(Err.INVALID_REQUEST, text) });
    if (minor > MINOR_MAX) return invalid('requested minor out of range');
    if (volume > VOLUME_MAX) return invalid('requested volume id out of range');
    if (![512, 1024, 2048, 4096].includes(conf.blockSize)) return invalid('block_size not 512, 1024, 2048, or 4096');
    return { value: { minor, volume, conf: bounded(deviceConf, conf) } };
  });
}

/* ---- disk -------------------------------------------------------------------------------------------------- */

/** attach, before the devices are open; resync-after is checked by who knows all devices. */
export function newDiskConf(request: Request): Checked<DiskConf> {
  return checked<DiskConf>(() => {
    const conf: DiskConf = { ...DISK_CONF_DEFAULTS, ...requiredPayload(request, diskConf) };
    if (conf.metaDevIdx < MD_INDEX_FLEX_INT) return { refused: refusal(Err.MD_IDX_INVALID) };
    return { value: bounded(diskConf, conf) };
  });
}

/** disk-options. */
export const changedDiskConf = (request: Request, current: DiskConf): Checked<DiskConf> =>
  checked(() => ({ value: bounded(diskConf, changed(request, diskConf, current)) }));

/** What of the backing device bounds disk options. */
export interface DiskBounds {
  /** Most activity-log extents that the on-disk log can hold. */
  readonly alExtentsMax: number;
  readonly maxDiscardSectors: number;
  readonly discardGranularityBytes: number;
}

/** Corrects what the disk can't do; to be called with every new or changed DiskConf. */
export function sanitizeDiskConf(conf: DiskConf, bounds: DiskBounds): DiskConf {
  return { ...conf, alExtents: Math.min(conf.alExtents, bounds.alExtentsMax),
    rsDiscardGranularity: discardGranularity(conf.rsDiscardGranularity, bounds) };
}

/** A multiple of the disk's granularity that one resync request can carry; 0 turns the feature off. */
function discardGranularity(wanted: number, { maxDiscardSectors, discardGranularityBytes }: DiskBounds): number {
  if (wanted === 0 || maxDiscardSectors === 0) return 0;
  const own = Math.max(discardGranularityBytes, 512);
  const roundedUp = Math.ceil(wanted / own) * own;
  const most = Math.min(maxDiscardSectors, diskConf.fields.rsDiscardGranularity.max! / 512);
  const result = Math.min(Math.floor(roundedUp / 512), most) * 512;
  return result < own && own % result !== 0 ? 0 : result;
}

/* ---- peer device ------------------------------------------------------------------------------------------- */

/** peer-device-options. That the bitmap may be turned off or on is for the control layer to say. */
export const changedPeerDeviceConf = (request: Request, current: PeerDeviceConf): Checked<PeerDeviceConf> =>
  checked(() => ({ value: bounded(peerDeviceConf, changed(request, peerDeviceConf, current)) }));

/* ---- connection -------------------------------------------------------------------------------------------- */

/** What the checks of net options need to know of a connection. */
export interface LinkFacts {
  readonly connected: boolean;
  readonly agreedProtocol: number;
  readonly bothPrimary: boolean;
  readonly resyncRunning: boolean;
  readonly verifyRunning: boolean;
}
export const NO_LINK: LinkFacts =
  { connected: false, agreedProtocol: 0, bothPrimary: false, resyncRunning: false, verifyRunning: false };

/** Bytes of a digest, 0 when the algorithm is unknown: host's Crypto has this shape. */
export interface DigestSizes {
  digestBytes(algorithm: string): number;
}

/** new-peer. */
export function newNetConf(request: Request, strictNames: boolean, digests: DigestSizes): Checked<NetConf> {
  return checked<NetConf>(() => {
    const conf = bounded(netConf, { ...NET_CONF_DEFAULTS, ...requiredPayload(request, netConf) });
    const refused = checkName(conf.name, strictNames) ?? checkNetConf(null, conf, NO_LINK) ??
      checkDigests(conf, digests);
    return refused ? { refused } : { value: conf };
  });
}

/** net-options. Transport and load balancing stay as they are, whatever SET_DEFAULTS says. */
export function changedNetConf(request: Request, current: NetConf, link: LinkFacts,
  digests: DigestSizes): Checked<NetConf> {
  return checked<NetConf>(() => {
    const { transportName, loadBalancePaths } = current;
    const conf = bounded(netConf, { ...changed(request, netConf, current), transportName, loadBalancePaths });
    const refused = checkNetConf(current, conf, link) ?? checkDigests(conf, digests);
    return refused ? { refused } : { value: conf };
  });
}

interface NetRule {
  readonly code: Err;
  readonly broken: (conf: NetConf, old: NetConf | null, link: LinkFacts) => boolean;
}

const needsApv100 = (old: NetConf | null, link: LinkFacts): old is NetConf =>
  old !== null && link.connected && link.agreedProtocol < 100;

/** In genuine's order; the first one that is broken answers. */
const NET_RULES: readonly NetRule[] = [
  { code: Err.NEED_APV_100, broken: (conf, old, link) => needsApv100(old, link) &&
    (conf.wireProtocol !== old.wireProtocol || conf.twoPrimaries !== old.twoPrimaries ||
      conf.integrityAlg !== old.integrityAlg) },
  { code: Err.NEED_ALLOW_TWO_PRI, broken: (conf, _old, link) => !conf.twoPrimaries && link.bothPrimary },
  { code: Err.NOT_PROTO_C, broken: (conf) => conf.twoPrimaries && conf.wireProtocol !== WireProtocol.c },
  { code: Err.STONITH_AND_PROT_A, broken: (conf) =>
    conf.wireProtocol === WireProtocol.a && conf.fencingPolicy === Fencing.resourceAndStonith },
  { code: Err.CONG_NOT_PROTO_A, broken: (conf) =>
    conf.onCongestion !== OnCongestion.block && conf.wireProtocol !== WireProtocol.a },
  { code: Err.CSUMS_RESYNC_RUNNING, broken: (conf, old, link) =>
    link.resyncRunning && old !== null && conf.csumsAlg !== old.csumsAlg },
  { code: Err.VERIFY_RUNNING, broken: (conf, old, link) =>
    link.verifyRunning && old !== null && conf.verifyAlg !== old.verifyAlg },
];

function checkNetConf(old: NetConf | null, conf: NetConf, link: LinkFacts): Reply | null {
  const broken = NET_RULES.find((rule) => rule.broken(conf, old, link));
  return broken ? refusal(broken.code) : null;
}

/** Largest digest that a data packet carries. */
const INTEGRITY_BYTES_MAX = 64;

/** In genuine's order, with its texts. */
function checkDigests(conf: NetConf, digests: DigestSizes): Reply | null {
  const uses = [
    { algorithm: conf.csumsAlg, shown: conf.csumsAlg, purpose: 'csums', code: Err.CSUMS_ALG },
    { algorithm: conf.verifyAlg, shown: conf.verifyAlg, purpose: 'verify', code: Err.VERIFY_ALG },
    { algorithm: conf.integrityAlg, shown: conf.integrityAlg, purpose: 'integrity', code: Err.INTEGRITY_ALG },
    { algorithm: conf.cramHmacAlg, shown: `hmac(${conf.cramHmacAlg})`, purpose: 'hmac', code: Err.AUTH_ALG },
  ];
  for (const { algorithm, shown, purpose, code } of uses) {
    if (algorithm === '') continue;
    const bytes = digests.digestBytes(algorithm);
    if (bytes === 0) return refusal(code, `failed to allocate ${shown} for ${purpose}\n`);
    if (purpose === 'integrity' && bytes > INTEGRITY_BYTES_MAX) {
      return refusal(code, `we currently support only digest sizes <= ${INTEGRITY_BYTES_MAX * 8} bits, ` +
        `but digest size of ${algorithm} is ${bytes * 8} bits\n`);
    }
  }
  return null;
}

/** Which transport class a connection uses. */
export const transportClassName = (conf: NetConf): string =>
  conf.transportName !== '' ? conf.transportName : conf.loadBalancePaths ? 'lb-tcp' : 'tcp';
