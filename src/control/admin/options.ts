// SPDX-License-Identifier: GPL-2.0-or-later
/** net-options, peer-device-options, get-timeout-type. @spec genetlink.md 2 */
import { Err } from '../../genl/codes.ts';
import { TimeoutType } from '../../genl/enums.ts';
import { changedNetConf, changedPeerDeviceConf } from '../../genl/options.ts';
import type { LinkFacts } from '../../genl/options.ts';
import { OK } from '../../genl/reply.ts';
import type { Reply } from '../../genl/reply.ts';
import { Cstate, Disk, isSync, isVerify, Role } from '../../state/states.ts';
import type { Connection } from '../connection.ts';
import { pushFacts } from '../facts.ts';
import { keyOf } from '../journal.ts';
import { allocateBitmapSlots, freeBitmapSlot } from '../uuids.ts';
import type { Call } from './call.ts';
import { refusal } from '../../genl/reply.ts';

export function changeNetOptions({ engine, request, resource, connection }: Call): Reply {
  const conf = changedNetConf(request, connection.netConf, linkFacts(connection), engine.host.crypto);
  if (conf.refused) return conf.refused;
  connection.configure(conf.value);
  engine.journal.put(keyOf.peer(resource.name, connection.nodeId), conf.value);
  pushFacts(resource);
  return OK;
}

function linkFacts({ resource, nodeId }: Connection): LinkFacts {
  const row = resource.connectionRow(nodeId);
  const repls = resource.view.peerDevices.filter((pd) => pd.nodeId === nodeId).map((pd) => pd.repl);
  return {
    connected: row.cstate === Cstate.connected,
    agreedProtocol: row.agreedVersion,
    bothPrimary: resource.view.resource.role === Role.primary && row.peerRole === Role.primary,
    resyncRunning: repls.some(isSync),
    verifyRunning: repls.some(isVerify),
  };
}

export function changePeerDeviceOptions({ engine, request, peerDevice }: Call): Reply {
  const { connection, device } = peerDevice;
  const { resource, vnr } = device;
  const conf = changedPeerDeviceConf(request, peerDevice.conf);
  if (conf.refused) return conf.refused;
  const before = peerDevice.conf;
  peerDevice.conf = conf.value;
  if (before.bitmap !== conf.value.bitmap) {
    resource.dispatch({ kind: 'wantBitmap', vnr, nodeId: connection.nodeId, wantBitmap: conf.value.bitmap });
    const noSlot = conf.value.bitmap ? allocateBitmapSlots(connection) : '';
    if (noSlot !== '') {
      peerDevice.conf = before;
      resource.dispatch({ kind: 'wantBitmap', vnr, nodeId: connection.nodeId, wantBitmap: before.bitmap });
      return refusal(Err.INVALID_REQUEST, noSlot);
    }
    if (!conf.value.bitmap) freeBitmapSlot(peerDevice);
  }
  engine.journal.put(keyOf.peerDevice(resource.name, connection.nodeId, vnr), conf.value);
  pushFacts(resource);
  return OK;
}

/** Which of its time-outs wait-connect is to use. */
export function getTimeoutType({ peerDevice }: Call): Reply {
  const { connection: { nodeId }, device } = peerDevice;
  const { pdsk } = device.resource.peerDeviceRow(device.vnr, nodeId);
  const timeoutType = pdsk === Disk.outdated ? TimeoutType.peerOutdated
    : device.disk?.degradedTimeout(nodeId) ? TimeoutType.degraded : TimeoutType.default;
  return { ...OK, timeoutType };
}
