// SPDX-License-Identifier: GPL-2.0-or-later
import type { PeerLink } from '../host/link.ts';
import { Disk } from '../state/states.ts';
import type { DeviceIo } from './device-io.ts';

/**
 * `done` once: the links of all peers with a disk that have answered a ping sent now, when the others are lost. A single
 * peer is not asked: nobody else is there to hear of it.
 */
export function whoAnswers({ resource, index }: DeviceIo, done: (alive: ReadonlySet<PeerLink>) => void): void {
  const asked = resource.connectionList.filter(({ up, peers }) => up && peers[index].facts.pdisk >= Disk.inconsistent);
  if (asked.length <= 1) return done(new Set(asked.map(({ link }) => link!)));
  const alive = new Set<PeerLink>();
  let left = asked.length;
  for (const { nodeId, link } of asked) {
    resource.env.ping(nodeId, (answered) => {
      if (answered) alive.add(link!);
      if (--left === 0) done(alive);
    });
  }
}
