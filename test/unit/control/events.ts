// SPDX-License-Identifier: GPL-2.0-or-later
/** Notifications as short lines, in the words of drbdsetup; "+" at the end: the next one belongs to the same change. */
import type { NestValue } from '../../../src/genl/client.ts';
import { decodeMessage, nestIn } from '../../../src/genl/client.ts';
import { cfgContext } from '../../../src/genl/command-attrs.ts';
import { connectionInfo, deviceInfo, helperInfo, notificationHeader, pathInfo, peerDeviceInfo, renameResourceInfo,
  resourceInfo } from '../../../src/genl/info-attrs.ts';
import { NOTIFY_CONTINUES } from '../../../src/genl/notify.ts';
import { Event } from '../../../src/genl/ops.ts';
import { cstateNames, diskNames, replNames, roleNames } from '../../../src/state/states.ts';

const TYPES = ['exists', 'create', 'change', 'destroy', 'call', 'response', 'rename'];

export function eventLine(message: Uint8Array): string {
  const decoded = decodeMessage(message);
  if (decoded.kind !== 'drbd') return decoded.kind;
  const { nests, header: { cmd } } = decoded;
  const { nhType } = nestIn(nests, notificationHeader)!;
  const type = TYPES[nhType! & ~NOTIFY_CONTINUES]!;
  const words = [type, ...object(cmd, nests), nhType! & NOTIFY_CONTINUES ? '+' : ''];
  return words.filter((word) => word !== '').join(' ');
}

function object(cmd: number, nests: readonly NestValue[]): string[] {
  const { resourceName, volume, peerNodeId } = nestIn(nests, cfgContext)!;
  switch (cmd) {
    case Event.RESOURCE_STATE: {
      const info = nestIn(nests, resourceInfo);
      const renamed = nestIn(nests, renameResourceInfo);
      return ['resource', resourceName!, info ? roleNames[info.resRole!]! : '', info?.resSusp ? 'suspended:user' : '',
        renamed ? renamed.resNewName! : ''];
    }
    case Event.DEVICE_STATE: {
      const info = nestIn(nests, deviceInfo);
      return ['device', `${resourceName}/${volume}`, info ? diskNames[info.devDiskState!]! : '', info?.devIsOpen ? 'open' : '',
        info && !info.devHasQuorum ? 'no-quorum' : ''];
    }
    case Event.CONNECTION_STATE: {
      const info = nestIn(nests, connectionInfo);
      return ['connection', `${resourceName}:${peerNodeId}`, info ? cstateNames[info.connConnectionState!]! : '',
        info ? roleNames[info.connRole!]! : ''];
    }
    case Event.PEER_DEVICE_STATE: {
      const info = nestIn(nests, peerDeviceInfo);
      return ['peer-device', `${resourceName}:${peerNodeId}/${volume}`, info ? replNames[info.peerReplState!]! : '',
        info ? diskNames[info.peerDiskState!]! : '', info?.peerResyncSuspUser ? 'paused:user' : '',
        info?.peerResyncSuspPeer ? 'paused:peer' : ''];
    }
    case Event.PATH_STATE:
      return ['path', `${resourceName}:${peerNodeId}`, nestIn(nests, pathInfo)!.pathEstablished ? 'established' : ''];
    case Event.HELPER: {
      const { helperName, helperStatus } = nestIn(nests, helperInfo)!;
      return ['helper', `${resourceName}${peerNodeId === undefined ? '' : `:${peerNodeId}`}`, helperName!,
        helperStatus === 0 ? '' : String(helperStatus)];
    }
    default: return [`command ${cmd}`];
  }
}
