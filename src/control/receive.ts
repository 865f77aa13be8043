// SPDX-License-Identifier: GPL-2.0-or-later
/** Which packet goes where. I/O packets go to the I/O engine as bytes; the rest is rare and comes as values. @spec wire.md 6, 14 */
import { TAKEN } from '../conn/handlers.ts';
import type { PacketHandler, PacketHandlers, Verdict } from '../conn/handlers.ts';
import { IO_COMMANDS } from '../io/packet-in.ts';
import { Cstate, Repl } from '../state/states.ts';
import { PPeerDagtag } from '../wire/packets/dagtag.ts';
import { packetOf } from '../wire/packets.ts';
import { PSizes } from '../wire/packets/sizes.ts';
import { PState } from '../wire/packets/state.ts';
import { PSyncParam89 } from '../wire/packets/sync-param.ts';
import { PCurrentUuid, PUuids110 } from '../wire/packets/uuids110.ts';
import type { Packet } from '../wire/schema.ts';
import type { Connection } from './connection.ts';
import { connectionOptions } from './options.ts';
import type { PeerDevice } from './peer-device.ts';
import { currentUuidReceived } from './receive-current-uuid.ts';
import { peerDagtagReceived } from './receive-peer-dagtag.ts';
import { sizesReceived } from './receive-sizes.ts';
import { resourceState, volumeState } from './receive-state.ts';
import { registerTwopc } from './receive-twopc.ts';
import { uuidsReceived } from './receive-uuids.ts';

export function registerReceivers(connection: Connection, handlers: PacketHandlers): void {
  for (const command of IO_COMMANDS) handlers.onRaw(packetOf(command)!, connection.io.packet);
  const onVolume = <T>(definition: Packet<T>, take: (pd: PeerDevice, packet: T) => Verdict | void): void => {
    handlers.on(definition, ofVolume(connection, definition.name, take));
  };
  onVolume(PSyncParam89, syncParam);
  onVolume(PSizes, sizesReceived);
  onVolume(PUuids110, uuidsReceived);
  onVolume(PCurrentUuid, currentUuidReceived);
  const volume = ofVolume<PState>(connection, PState.name, (pd, { state }) => volumeState(pd, state));
  handlers.on(PState, (vnr, packet) => {
    if (vnr >= 0) return volume(vnr, packet);
    resourceState(connection, packet.state);
    return TAKEN;
  });
  registerTwopc(connection, handlers);
  handlers.on(PPeerDagtag, (_vnr, packet) => {
    peerDagtagReceived(connection, packet);
    return TAKEN;
  });
}

/** The peer may have volumes that are not configured here (yet). */
const ofVolume = <T>(connection: Connection, name: string, take: (pd: PeerDevice, packet: T) => Verdict | void): PacketHandler<T> =>
  (vnr, packet) => {
    const pd = connection.peerDevices.get(vnr);
    if (pd) return take(pd, packet) ?? TAKEN;
    connection.logger.warn(`${name} packet received for volume ${vnr}, which is not configured locally`);
    return TAKEN;
  };

/** In the handshake the algorithms must be the same; later the peer's are adopted. @spec uuid.md 4.5 */
function syncParam(pd: PeerDevice, { verifyAlg, csumsAlg }: PSyncParam89): void {
  const { device: { resource, vnr }, connection } = pd;
  const { netConf, nodeId } = connection;
  const handshake = resource.peerDeviceRow(vnr, nodeId).repl === Repl.off;
  for (const [option, mine, theirs] of [['verify-alg', netConf.verifyAlg, verifyAlg], ['csums-alg', netConf.csumsAlg, csumsAlg]]) {
    if (mine === theirs) continue;
    if (handshake) {
      connection.conn.fail(Cstate.disconnecting, '', `Different ${option} settings. me="${mine}" peer="${theirs}"`);
      return;
    }
    connection.logger.info(`using ${option}: "${theirs}"`);
  }
  if (verifyAlg === netConf.verifyAlg && csumsAlg === netConf.csumsAlg) return;
  connection.netConf = { ...netConf, verifyAlg, csumsAlg };
  resource.dispatch({ kind: 'connectionOptions', nodeId, options: connectionOptions(connection.netConf) });
}
