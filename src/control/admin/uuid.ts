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
import * as generation from '../../state/uuid-generation.ts';
import type { Device } from '../device.ts';
import type { PeerDevice } from '../peer-device.ts';
import * as send from '../send.ts';
import { applyUuids, deviceContext, logLines, random64, setExposedLocally } from '../uuids.ts';
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

  const nodes = peers.map((pd) => pd.connection.nodeId);
  const made = generation.newCurrentUuidCommand(deviceContext(device), clearBm ?? false, nodes, random64(device));
  logLines(device, made.log);
  applyUuids(device, made.uuids);
  setExposedLocally(device, made.uuids.currentUuid);
  if (clearBm) {
    disk.suspendAl(false);
    for (let slot = 0; slot < disk.bitmap.slots; slot++) disk.bitmap.clearAll(slot);
    yield* until<void>((resume) => disk.writeBitmap(() => resume()));
    // On disk before a peer takes it over, or its next generation would know nothing of ours.
    const errno = yield* until<number>((resume) => disk.meta.sync({ done: resume }));
    if (errno !== 0) return refusal(Err.IO_MD_DISK);
    for (const pd of peers) {
      send.uuids(pd, UuidFlag.skipInitialSync);
      peerHasCurrent(pd, made.uuids.currentUuid);
    }
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

function peerHasCurrent(pd: PeerDevice, currentUuid: bigint): void {
  if (pd.uuids) pd.uuids = { ...pd.uuids, currentUuid };
  const { device: { resource, vnr }, connection: { nodeId } } = pd;
  resource.dispatch({ kind: 'peerDeviceFacts', vnr, nodeId, facts: { peerCurrentUuid: currentUuid } });
}

const row = ({ device, connection }: PeerDevice) => device.resource.peerDeviceRow(device.vnr, connection.nodeId);
const repl = (pd: PeerDevice): Repl => row(pd).repl;
const pdsk = (pd: PeerDevice): Disk => row(pd).pdsk;

const connectedPeers = ({ resource, vnr }: Device): PeerDevice[] =>
  [...resource.connections.values()].flatMap((c) => c.peerDevices.get(vnr) ?? []).filter((pd) => repl(pd) !== Repl.off);
