// SPDX-License-Identifier: GPL-2.0-or-later
/** new-current-uuid. @spec state.md 7.9 */
import { Err } from '../../genl/codes.ts';
import { newCUuidParms } from '../../genl/command-attrs.ts';
import { parms } from '../../genl/parms.ts';
import { OK, refusal } from '../../genl/reply.ts';
import type { Reply } from '../../genl/reply.ts';
import { uuidJustCreated } from '../../meta/super-block.ts';
import type { Change } from '../../state/events.ts';
import { Cs, Disk, Repl, UuidFlag } from '../../state/states.ts';
import type { Device } from '../device.ts';
import type { PeerDevice } from '../peer-device.ts';
import * as send from '../send.ts';
import { makeNewCurrentUuid } from '../uuids.ts';
import type { Call } from './call.ts';
import type { Steps } from './steps.ts';
import { until } from './steps.ts';

/** Protocol from which the peer understands why its initial sync is skipped or forced. */
const SKIP_PROTOCOL = 90;

export function* newCurrentUuidCommand(call: Call): Steps<Reply> {
  const { device } = call;
  const { resource, vnr, disk } = device;
  const given = parms(call.request, newCUuidParms);
  if (given.refused) return given.refused;
  if (!disk) return refusal(Err.NO_DISK);
  const { clearBm, forceResync } = given.value;
  const fresh = disk.meta.superBlock.currentUuid === uuidJustCreated;
  const peers = connectedPeers(device);
  const capable = (pd: PeerDevice): boolean => fresh && repl(pd) === Repl.established
    && resource.connectionRow(pd.connection.nodeId).agreedVersion >= SKIP_PROTOCOL;
  if (peers.length > 0 && !((clearBm || forceResync) && peers.every(capable))) return refusal(Err.CONNECTED);

  yield* until<void>((resume) => makeNewCurrentUuid(device, true, resume));
  if (clearBm) {
    for (let slot = 0; slot < disk.bitmap.slots; slot++) disk.bitmap.clearAll(slot);
    yield* until<void>((resume) => disk.writeBitmap(() => resume()));
    for (const pd of peers) send.uuids(pd, UuidFlag.skipInitialSync);
    const diskful = peers.filter((pd) => pdsk(pd) > Disk.diskless);
    yield* call.ask(resource, (request) => ({ kind: 'change', request, tag: 'new-c-uuid', flags: Cs.verbose, changes: [
      { set: 'disk', vnr, disk: Disk.upToDate },
      ...diskful.map(({ connection: { nodeId } }): Change => ({ set: 'pdsk', vnr, nodeId, pdsk: Disk.upToDate }))] }));
  } else if (forceResync) {
    yield* call.ask(resource, (request) => ({ kind: 'change', request, tag: 'new-c-uuid', flags: Cs.verbose,
      changes: [{ set: 'disk', vnr, disk: Disk.upToDate }] }));
    for (const pd of peers) {
      const { nodeId } = pd.connection;
      resource.dispatch({ kind: 'peerDeviceFacts', vnr, nodeId, facts: { considerResync: true } });
      send.uuids(pd, UuidFlag.resync);
      send.currentState(pd);
    }
  }
  const errno = yield* until<number>((resume) => disk.meta.sync({ done: resume }));
  return errno === 0 ? OK : refusal(Err.IO_MD_DISK);
}

const row = ({ device, connection }: PeerDevice) => device.resource.peerDeviceRow(device.vnr, connection.nodeId);
const repl = (pd: PeerDevice): Repl => row(pd).repl;
const pdsk = (pd: PeerDevice): Disk => row(pd).pdsk;

const connectedPeers = ({ resource, vnr }: Device): PeerDevice[] =>
  [...resource.connections.values()].flatMap((c) => c.peerDevices.get(vnr) ?? []).filter((pd) => repl(pd) !== Repl.off);
