// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, test } from 'vitest';
import type { NestValue } from '../../../src/genl/client.ts';
import { encodeRequest } from '../../../src/genl/client.ts';
import { cfgContext, connectParms, forgetPeerParms, invalidateParms, setRoleParms,
  startOvParms } from '../../../src/genl/command-attrs.ts';
import type { NetConf } from '../../../src/genl/config-attrs.ts';
import { deviceConf, diskConf, netConf, peerDeviceConf, resourceOpts } from '../../../src/genl/config-attrs.ts';
import { Err } from '../../../src/genl/codes.ts';
import { OnCongestion, WireProtocol } from '../../../src/genl/enums.ts';
import { NLM_F_REQUEST } from '../../../src/genl/message.ts';
import { checkName } from '../../../src/genl/names.ts';
import type { LinkFacts } from '../../../src/genl/options.ts';
import { changedDiskConf, changedNetConf, changedPeerDeviceConf, changedResourceOpts, DISK_CONF_DEFAULTS,
  NET_CONF_DEFAULTS, newDevice, newDiskConf, newNetConf, newResourceOpts, NO_LINK,
  PEER_DEVICE_CONF_DEFAULTS, RESOURCE_OPTS_DEFAULTS, sanitizeDiskConf,
  transportClassName } from '../../../src/genl/options.ts';
import { Cmd } from '../../../src/genl/ops.ts';
import { parms } from '../../../src/genl/parms.ts';
import type { Request } from '../../../src/genl/request.ts';
import { decodeRequest, isRejection } from '../../../src/genl/request.ts';
import type { InferPartial, Nest } from '../../../src/genl/schema.ts';

function request<N extends Nest>(cmd: number, nest: N, value: InferPartial<N>, setDefaults = false, minor = 7,
  context: InferPartial<typeof cfgContext> = { resourceName: 'r0', volume: 0, peerNodeId: 1 }): Request {
  const nests: NestValue[] = [{ nest: cfgContext, value: context }, { nest, value }];
  const bytes = encodeRequest({ type: 33, seq: 1, portid: 0 }, NLM_F_REQUEST, { cmd, minor, setDefaults, nests });
  const decoded = decodeRequest(bytes, { portid: 1, capable: true });
  if (isRejection(decoded)) throw new Error(decoded.reason);
  return decoded;
}

const digests = { digestBytes: (name: string) => ({ sha1: 20, sha256: 32, huge: 80 })[name] ?? 0 };

describe('changing options', () => {
  const set = { ...NET_CONF_DEFAULTS, name: 'b', maxBuffers: 8000, verifyAlg: 'sha1', transportName: 'tcp' };
  const change = (value: InferPartial<typeof netConf>, setDefaults: boolean) =>
    changedNetConf(request(Cmd.CHG_NET_OPTS, netConf, value, setDefaults), set, NO_LINK, digests);

  test('keeps what is not named', () => {
    expect(change({ pingInt: 12 }, false)).toEqual({ value: { ...set, pingInt: 12 } });
  });

  test('with SET_DEFAULTS resets the rest, the name too, but not the transport', () => {
    expect(change({ pingInt: 12 }, true))
      .toEqual({ value: { ...NET_CONF_DEFAULTS, transportName: 'tcp', pingInt: 12 } });
  });

  test('an invariant option is refused even with its own value', () => {
    expect(change({ transportName: 'tcp' }, false).refused)
      .toEqual({ code: Err.MANDATORY_TAG, texts: ['can not change invariant setting'] });
  });

  test('SET_DEFAULTS leaves what has no default: node id, backing device', () => {
    const opts = { ...RESOURCE_OPTS_DEFAULTS, nodeId: 3, quorum: 1024 };
    expect(changedResourceOpts(request(Cmd.RESOURCE_OPTS, resourceOpts, {}, true), opts))
      .toEqual({ value: { ...RESOURCE_OPTS_DEFAULTS, nodeId: 3 } });
    const disk = { ...DISK_CONF_DEFAULTS, backingDev: '/dev/a', metaDev: '/dev/b', metaDevIdx: -2, alExtents: 257 };
    expect(changedDiskConf(request(Cmd.CHG_DISK_OPTS, diskConf, { diskTimeout: 5 }, true), disk))
      .toEqual({ value: { ...disk, alExtents: 1237, diskTimeout: 5 } });
  });

  test.each<[InferPartial<typeof netConf>]>([[{ pingInt: 0 }], [{ wireProtocol: 0 }], [{ wireProtocol: 4 }],
    [{ fencingPolicy: 3 }], [{ timeout: 601 }]])('a value outside its range is refused: %o', (value) => {
    expect(change(value, false).refused).toEqual({ code: Err.MANDATORY_TAG, texts: ['invalid attribute value'] });
  });

  test('numbers that the driver corrects', () => {
    expect(changedPeerDeviceConf(request(Cmd.CHG_PEER_DEVICE_OPTS, peerDeviceConf, { resyncRate: 0, cPlanAhead: 9999 }),
      PEER_DEVICE_CONF_DEFAULTS)).toEqual({ value: { ...PEER_DEVICE_CONF_DEFAULTS, resyncRate: 1, cPlanAhead: 300 } });
    expect(changedDiskConf(request(Cmd.CHG_DISK_OPTS, diskConf, { alExtents: 1 }), DISK_CONF_DEFAULTS))
      .toEqual({ value: { ...DISK_CONF_DEFAULTS, alExtents: 67 } });
    expect(changedResourceOpts(request(Cmd.RESOURCE_OPTS, resourceOpts, { nrRequests: 1 }), RESOURCE_OPTS_DEFAULTS))
      .toEqual({ value: { ...RESOURCE_OPTS_DEFAULTS, nrRequests: 4 } });
  });
});

describe('net options that contradict each other or the state', () => {
  const cases: [Err, Partial<NetConf>, Partial<LinkFacts>][] = [
    [Err.NEED_APV_100, { wireProtocol: WireProtocol.a }, { connected: true, agreedProtocol: 97 }],
    [Err.NEED_APV_100, { integrityAlg: 'sha1' }, { connected: true, agreedProtocol: 99 }],
    [Err.NEED_ALLOW_TWO_PRI, {}, { bothPrimary: true }],
    [Err.NOT_PROTO_C, { twoPrimaries: true, wireProtocol: WireProtocol.b }, {}],
    [Err.STONITH_AND_PROT_A, { wireProtocol: WireProtocol.a, fencingPolicy: 2 }, {}],
    [Err.CONG_NOT_PROTO_A, { onCongestion: OnCongestion.pullAhead }, {}],
    [Err.CSUMS_RESYNC_RUNNING, { csumsAlg: 'sha1' }, { resyncRunning: true }],
    [Err.VERIFY_RUNNING, { verifyAlg: 'sha1' }, { verifyRunning: true }],
  ];
  test.each(cases)('%i for %o, %o', (code, value, link) => {
    const facts = { ...NO_LINK, ...link };
    const conf = changedNetConf(request(Cmd.CHG_NET_OPTS, netConf, value), NET_CONF_DEFAULTS, facts, digests);
    expect(conf.refused?.code).toBe(code);
  });

  test('the same is allowed where nothing stands against it', () => {
    for (const [code, value] of cases.filter(([, , link]) => Object.keys(link).length > 0)) {
      const link = { ...NO_LINK, connected: true, agreedProtocol: 124 };
      const conf = changedNetConf(request(Cmd.CHG_NET_OPTS, netConf, value), NET_CONF_DEFAULTS, link, digests);
      expect(conf.refused, String(code)).toBeUndefined();
    }
  });
});

describe('digests', () => {
  const cases: [Partial<NetConf>, Err, string][] = [
    [{ verifyAlg: 'nosuchalg' }, Err.VERIFY_ALG, 'failed to allocate nosuchalg for verify\n'],
    [{ csumsAlg: 'x' }, Err.CSUMS_ALG, 'failed to allocate x for csums\n'],
    [{ integrityAlg: 'x' }, Err.INTEGRITY_ALG, 'failed to allocate x for integrity\n'],
    [{ integrityAlg: 'huge' }, Err.INTEGRITY_ALG,
      'we currently support only digest sizes <= 512 bits, but digest size of huge is 640 bits\n'],
    [{ cramHmacAlg: 'x' }, Err.AUTH_ALG, 'failed to allocate hmac(x) for hmac\n'],
  ];
  test.each(cases)('%o', (value, code, text) => {
    const { refused } = newNetConf(request(Cmd.NEW_PEER, netConf, { name: 'b', ...value }), true, digests);
    expect(refused).toEqual({ code, texts: [text] });
  });
  test('known ones', () => {
    const value = { name: 'b', verifyAlg: 'sha1', csumsAlg: 'sha1', integrityAlg: 'sha256', cramHmacAlg: 'sha256' };
    expect(newNetConf(request(Cmd.NEW_PEER, netConf, value), true, digests))
      .toEqual({ value: { ...NET_CONF_DEFAULTS, ...value } });
  });
});

test('new-resource and new-minor', () => {
  const made = (value: InferPartial<typeof resourceOpts>) =>
    newResourceOpts(request(Cmd.NEW_RESOURCE, resourceOpts, value), true);
  expect(made({ nodeId: 31, quorum: 1024 }))
    .toEqual({ value: { ...RESOURCE_OPTS_DEFAULTS, nodeId: 31, quorum: 1024 } });
  expect(made({ nodeId: 1, cpuMask: 'zz' }).refused).toEqual({ code: Err.INVALID_REQUEST, texts: [] });
  expect(made({ nodeId: 1, cpuMask: 'ff,00000003' }).refused).toBeUndefined();

  const device = (minor: number, volume: number | undefined, value: InferPartial<typeof deviceConf> = {}) =>
    newDevice(request(Cmd.NEW_MINOR, deviceConf, value, false, minor, { resourceName: 'r0', volume }));
  expect(device(1 << 20, 0).refused?.texts).toEqual(['requested minor out of range']);
  expect(device(0, undefined).refused?.texts).toEqual(['requested volume id out of range']);
  expect(device(0, 65_535).refused?.texts).toEqual(['requested volume id out of range']);
  expect(device(0, 1, { blockSize: 3000 }).refused?.texts).toEqual(['block_size not 512, 1024, 2048, or 4096']);
  expect(device(9, 1, { intentionalDiskless: true })).toEqual({ value: { minor: 9, volume: 1,
    conf: { maxBioSize: 1_048_576, intentionalDiskless: true, blockSize: 512 } } });
});

test('attach: index below -3 is 116', () => {
  const value = { backingDev: '/dev/a', metaDev: '/dev/a', metaDevIdx: -4 };
  expect(newDiskConf(request(Cmd.ATTACH, diskConf, value)).refused).toEqual({ code: Err.MD_IDX_INVALID, texts: [] });
  expect(newDiskConf(request(Cmd.ATTACH, diskConf, { ...value, metaDevIdx: -3 })))
    .toEqual({ value: { ...DISK_CONF_DEFAULTS, ...value, metaDevIdx: -3 } });
});

test('disk options are bounded by the disk', () => {
  const bounds = { alExtentsMax: 6433, maxDiscardSectors: 2048, discardGranularityBytes: 4096 };
  const conf = (alExtents: number, rsDiscardGranularity: number, b = bounds) => {
    const result = sanitizeDiskConf({ ...DISK_CONF_DEFAULTS, alExtents, rsDiscardGranularity }, b);
    return [result.alExtents, result.rsDiscardGranularity];
  };
  expect(conf(67, 0)).toEqual([67, 0]);
  expect(conf(65_534, 77)).toEqual([6433, 4096]);
  expect(conf(1237, 5000)).toEqual([1237, 8192]);
  expect(conf(1237, 65_536, { ...bounds, maxDiscardSectors: 0 })).toEqual([1237, 0]);
  expect(conf(1237, 65_536, { ...bounds, discardGranularityBytes: 2 << 20 })).toEqual([1237, 1 << 20]);
  expect(conf(1237, 65_536, { ...bounds, discardGranularityBytes: 3 << 20 })).toEqual([1237, 1 << 20]);
  expect(conf(1237, 65_536, { ...bounds, discardGranularityBytes: (2 << 20) + 4096 })).toEqual([1237, 0]);
});

test('names', () => {
  const bad = (name: string | undefined, strict: boolean) => checkName(name, strict)?.code;
  expect(bad(undefined, true)).toBe(Err.MANDATORY_TAG);
  expect(bad('', false)).toBe(Err.MANDATORY_TAG);
  for (const name of ['all', 'a b', 'a/b', 'a\tb', 'a\x7f']) {
    expect(bad(name, true), name).toBe(Err.INVALID_REQUEST);
    expect(bad(name, false), name).toBe(Err.INVALID_REQUEST);
  }
  expect(bad('füße', true)).toBe(Err.INVALID_REQUEST);
  for (const name of ['füße', 'a:b', 'r0']) expect(bad(name, false), name).toBeUndefined();
  for (const name of ['r0', 'all2', 'A+b-c._9']) expect(bad(name, true), name).toBeUndefined();
});

test('transport class by options', () => {
  expect(transportClassName(NET_CONF_DEFAULTS)).toBe('tcp');
  expect(transportClassName({ ...NET_CONF_DEFAULTS, loadBalancePaths: true })).toBe('lb-tcp');
  expect(transportClassName({ ...NET_CONF_DEFAULTS, transportName: 'rdma', loadBalancePaths: true })).toBe('rdma');
});

test('parameters of a command: given ones over its defaults, a required nest must be there', () => {
  expect(parms(request(Cmd.INVALIDATE, invalidateParms, { syncFromPeerNodeId: 2 }), invalidateParms))
    .toEqual({ value: { syncFromPeerNodeId: 2, resetBitmap: true } });
  expect(parms(request(Cmd.PRIMARY, connectParms, {}), setRoleParms)).toEqual({ value: { force: false } });
  const base = { ovStartSector: 4096, ovStopSector: Infinity };
  expect(parms(request(Cmd.START_OV, startOvParms, { ovStopSector: 8192 }), startOvParms, base))
    .toEqual({ value: { ovStartSector: 4096, ovStopSector: 8192 } });
  expect(parms(request(Cmd.FORGET_PEER, connectParms, {}), forgetPeerParms).refused)
    .toEqual({ code: Err.MANDATORY_TAG, texts: ['required attribute missing'] });
});
