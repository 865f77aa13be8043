// SPDX-License-Identifier: GPL-2.0-or-later
/** new-minor, del-minor. @spec genetlink.md 2, state.md 7.9 */
import { Err } from '../../genl/codes.ts';
import { newDevice } from '../../genl/options.ts';
import { OK, refusal } from '../../genl/reply.ts';
import type { Reply } from '../../genl/reply.ts';
import { Ss } from '../../state/ss.ts';
import { Cs, Cstate, Disk, Repl } from '../../state/states.ts';
import type { Device } from '../device.ts';
import { keyOf } from '../journal.ts';
import * as send from '../send.ts';
import type { Call } from './call.ts';
import { addDevice, removeDevice } from './objects.ts';
import { openerTexts } from './openers.ts';
import type { Steps } from './steps.ts';
import { workerFlushed } from './waits.ts';

const EBUSY = 16;

export function newMinor({ engine, request, resource }: Call): Reply {
  const wanted = newDevice(request);
  if (wanted.refused) return wanted.refused;
  const { minor, volume, conf } = wanted.value;
  // That the minor is this very volume was checked with the context.
  if (engine.devicesByMinor.has(minor)) return OK;
  if (resource.devices.has(volume)) return refusal(Err.MINOR_OR_VOLUME_EXISTS);
  const block = engine.host.block.create(minor);
  if (typeof block === 'number') {
    return block === EBUSY ? refusal(Err.MINOR_OR_VOLUME_EXISTS)
      : refusal(Err.NOMEM, `block device of minor ${minor} can not be made: errno ${block}`);
  }
  const device = addDevice(resource, volume, minor, conf, block);
  engine.journal.put(keyOf.volume(resource.name, volume), { minor, conf });
  engine.notifier.deviceCreated(device);
  for (const connection of resource.connections.values()) {
    if (connection.cstate() !== Cstate.connected) continue;
    connection.conn.bindVolume(volume, block.data);
    send.initialVolumePackets(connection.peerDevices.get(volume)!);
  }
  return OK;
}

export function* deleteMinor({ device }: Call): Steps<Reply> {
  return yield* endDevice(device);
}

/** A diskless volume goes. */
export function* endDevice(device: Device): Steps<Reply> {
  const { resource, vnr } = device;
  const { journal, notifier } = resource.engine;
  const row = resource.deviceRow(vnr);
  if (row.disk !== Disk.diskless) return refusal(Err.MINOR_CONFIGURED);
  if (row.unregistered) return refusal(Err.MINOR_INVALID);
  if (!device.io.idle) return refusal(Ss.deviceInUse, ...openerTexts(resource, Ss.deviceInUse));
  resource.dispatch({ kind: 'deviceFacts', vnr, facts: { unregistered: true } });
  for (const nodeId of resource.connections.keys()) {
    resource.dispatch({ kind: 'change', request: 0, tag: 'del-minor', flags: Cs.verbose,
      changes: [{ set: 'repl', vnr, nodeId, repl: Repl.off }] });
  }
  yield* workerFlushed(resource);
  notifier.deviceDestroyed(device);
  journal.remove(keyOf.volume(resource.name, vnr));
  for (const nodeId of resource.connections.keys()) journal.remove(keyOf.peerDevice(resource.name, nodeId, vnr));
  removeDevice(device);
  return OK;
}
