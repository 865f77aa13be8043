// SPDX-License-Identifier: GPL-2.0-or-later
import type { NestValue } from '../../../src/genl/client.ts';
import { nestIn } from '../../../src/genl/client.ts';
import type { CfgContext } from '../../../src/genl/command-attrs.ts';
import { cfgContext } from '../../../src/genl/command-attrs.ts';
import { deviceConf, diskConf, netConf, pathParms, peerDeviceConf,
  resourceOpts } from '../../../src/genl/config-attrs.ts';
import * as info from '../../../src/genl/info-attrs.ts';
import type { HelperNotification, Notification } from '../../../src/genl/notify.ts';
import { NOTIFY_CONTINUES } from '../../../src/genl/notify.ts';
import type { Infer, Nest } from '../../../src/genl/schema.ts';
import type { ConnectionSnapshot, DeviceSnapshot, PathShown, PeerDeviceSnapshot,
  ResourceSnapshot } from '../../../src/genl/snapshot.ts';

/** From what genuine sent back to the snapshots that would have made us send it. */

type Nests = readonly NestValue[];

/** Every field must have been there. */
function whole<N extends Nest>(nests: Nests, nest: N): Infer<N> {
  const value = nestIn(nests, nest);
  if (value === undefined) throw new Error(`no ${nest.name}`);
  for (const [key] of nest.list) if (!(key in value)) throw new Error(`${nest.name} without ${key}`);
  return value as Infer<N>;
}
const wholeOrNone = <N extends Nest>(nests: Nests, nest: N): Infer<N> =>
  nestIn(nests, nest) === undefined ? {} as Infer<N> : whole(nests, nest);

export const contextOf = (nests: Nests): CfgContext => nestIn(nests, cfgContext) ?? {};

const named = (nests: Nests) => ({ peerNodeId: contextOf(nests).peerNodeId!, name: contextOf(nests).connName! });

const pathsOf = (nests: Nests): PathShown[] => nests.filter((each) => each.nest === pathParms)
  .map(({ value }) => ({ ...(value as Infer<typeof pathParms>), info: { pathEstablished: false } }));

/** One message of GET_RESOURCES. */
export const resourceOf = (nests: Nests): ResourceSnapshot => ({
  name: contextOf(nests).resourceName!,
  opts: whole(nests, resourceOpts),
  info: whole(nests, info.resourceInfo),
  statistics: whole(nests, info.resourceStatistics),
  devices: [],
  connections: [],
});

/** One message of GET_DEVICES. */
export const deviceOf = (nests: Nests, minor: number): DeviceSnapshot => ({
  minor,
  volume: contextOf(nests).volume!,
  conf: whole(nests, deviceConf),
  diskConf: nestIn(nests, diskConf) === undefined ? null : whole(nests, diskConf),
  info: whole(nests, info.deviceInfo),
  statistics: whole(nests, info.deviceStatistics),
});

/** One message of GET_CONNECTIONS. */
export const connectionOf = (nests: Nests): ConnectionSnapshot => ({
  ...named(nests),
  netConf: whole(nests, netConf),
  paths: pathsOf(nests),
  info: whole(nests, info.connectionInfo),
  statistics: whole(nests, info.connectionStatistics),
  peerDevices: [],
});

/** One message of GET_PEER_DEVICES. */
export const peerDeviceOf = (nests: Nests): PeerDeviceSnapshot => ({
  volume: contextOf(nests).volume!,
  info: whole(nests, info.peerDeviceInfo),
  statistics: whole(nests, info.peerDeviceStatistics),
  opts: whole(nests, peerDeviceConf),
});

/** A container for what a dump did not show. */
export const emptyConnection = (nests: Nests): ConnectionSnapshot =>
  ({ ...named(nests), netConf: {}, paths: [], info: {}, statistics: {},
    peerDevices: [] }) as unknown as ConnectionSnapshot;
export const emptyResource = (name: string): ResourceSnapshot =>
  ({ name, opts: {}, info: {}, statistics: {}, devices: [], connections: [] }) as unknown as ResourceSnapshot;
export const emptyDevice = (minor: number, volume: number): DeviceSnapshot =>
  ({ minor, volume, conf: {}, diskConf: null, info: {}, statistics: {} }) as unknown as DeviceSnapshot;

/** A notification's value. */
export function notificationOf(cmd: number, minor: number, nests: Nests): Notification {
  const nhType = whole(nests, info.notificationHeader).nhType;
  const head = { type: nhType & ~NOTIFY_CONTINUES, continues: (nhType & NOTIFY_CONTINUES) !== 0 };
  const { resourceName, volume, peerNodeId } = contextOf(nests);
  const common = { ...head, resourceName: resourceName! };
  switch (cmd) {
    case 34: return { ...head, kind: 'resource', newName: nestIn(nests, info.renameResourceInfo)?.resNewName,
      resource: { name: resourceName!, info: wholeOrNone(nests, info.resourceInfo),
        statistics: whole(nests, info.resourceStatistics) } } as Notification;
    case 35: return { ...common, kind: 'device', device: { minor, volume: volume!,
      info: wholeOrNone(nests, info.deviceInfo), statistics: whole(nests, info.deviceStatistics) } } as Notification;
    case 36: return { ...common, kind: 'connection', connection: { ...named(nests), paths: pathsOf(nests),
      info: wholeOrNone(nests, info.connectionInfo),
      statistics: whole(nests, info.connectionStatistics) } } as Notification;
    case 37: return { ...common, kind: 'peerDevice', connection: named(nests), peerDevice: { volume: volume!,
      info: wholeOrNone(nests, info.peerDeviceInfo),
      statistics: whole(nests, info.peerDeviceStatistics) } } as Notification;
    case 48: return { ...common, kind: 'path', connection: named(nests), path: { myAddr: contextOf(nests).myAddr!,
      peerAddr: contextOf(nests).peerAddr!, info: whole(nests, info.pathInfo) } } as Notification;
    case 40: return { ...common, kind: 'helper', name: whole(nests, info.helperInfo).helperName,
      status: whole(nests, info.helperInfo).helperStatus,
      ...(peerNodeId !== undefined && { connection: named(nests) }),
      ...(volume !== undefined && { device: { minor, volume } }) } as HelperNotification as Notification;
    default: throw new Error(`command ${cmd} is no notification`);
  }
}
