// SPDX-License-Identifier: GPL-2.0-or-later
import { LogLevel } from '../host/log.ts';
import { Disk, Repl } from '../state/states.ts';
import type { ConnectionIo } from './connection-io.ts';
import type { DeviceIo } from './device-io.ts';

/** Net option on-congestion, by number. */
export const OnCongestion = { block: 0, pullAhead: 1, disconnect: 2 } as const;

/** maybe_pull_ahead, at each write; the write itself still takes its normal way. @spec io.md 11.1 */
export function checkCongestion(connection: ConnectionIo, device: DeviceIo): void {
  const { facts, resource } = connection;
  const peer = connection.peers[device.index];
  if (device.facts.disk !== Disk.upToDate || device.disk === null || peer.handlingCongestion) return;
  if (facts.onCongestion === OnCongestion.pullAhead && peer.facts.repl === Repl.ahead) return;
  const inFlight = connection.apInFlight + connection.rsInFlight;
  const { used } = device.disk.al;
  if (facts.congestionFill > 0 && inFlight >= facts.congestionFill) {
    say(`Congestion-fill threshold reached (${inFlight} >= ${facts.congestionFill})`);
  } else if (used >= facts.congestionExtents) {
    say(`Congestion-extents threshold reached (${used} >= ${facts.congestionExtents})`);
  } else if (!connection.congested) return;
  connection.congested = peer.handlingCongestion = true;
  resource.env.congested(device.vnr, connection.nodeId);

  function say(text: string): void {
    resource.env.logAbout(device.vnr, connection.nodeId, LogLevel.info, text);
  }
}
