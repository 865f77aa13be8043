// SPDX-License-Identifier: GPL-2.0-or-later
/** With an engine a node lost all its peers: what follows for the next engine, above all on a Primary. */
import type { Sticky } from '../../state/effects.ts';
import type { Change } from '../../state/events.ts';
import { dataAccessible } from '../../state/facts.ts';
import { Cstate, Disk, Fencing, Role } from '../../state/states.ts';
import type { View } from '../../state/types.ts';
import { deviceIndex, findConnection } from '../../state/view.ts';
import type { Device } from '../device.ts';
import type { Resource } from '../resource.ts';
import { awaitAfterDeath } from '../witnesses.ts';
import type { Steps } from './steps.ts';
import { untilHolds } from './waits.ts';

/** The peers have seen the end of the dead engine's connections at once; who is there is Connected long before. */
const RECONNECT_MS = 10_000;

/** Who does not come back meanwhile is lost, for a Primary's fencing as well. */
export function connectAgain(resource: Resource, facts: readonly Sticky[]): void {
  const { engine } = resource;
  const nodeIds = facts.flatMap((fact) =>
    fact.kind === 'standAlone' && !fact.standAlone && resource.connections.has(fact.nodeId) ? [fact.nodeId] : []);
  for (const nodeId of nodeIds) resource.dispatch({ kind: 'connect', request: 0, nodeId, discardMyData: false, tentative: false });
  if (resource.view.resource.role !== Role.primary) return;
  engine.host.clock.timer(`${resource.name}: who is back`, RECONNECT_MS, () => {
    if (engine.resources.get(resource.name) !== resource || resource.view.resource.role !== Role.primary) return;
    for (const nodeId of nodeIds) {
      const gone = resource.connections.has(nodeId) && resource.connectionRow(nodeId).connects === 0;
      if (gone) resource.dispatch({ kind: 'fencePeer', nodeId });
    }
    for (const { vnr, haveQuorum } of resource.view.devices) {
      if (!haveQuorum) engine.helpers.run(resource, 'quorum-lost', { device: resource.devices.get(vnr) }, () => {});
    }
  });
}

/** I/O that fails by the state of now (no data or no quorum) waits for peers that may change that: an application must not notice. */
export function* reconnected(resource: Resource): Steps<void> {
  const { clock } = resource.engine.host;
  const endMs = clock.nowMs() + RECONNECT_MS;
  yield* untilHolds(resource, 'peers to come back', () => clock.nowMs() >= endMs
    || !resource.view.devices.some((device) => device.errIo)
    || !resource.view.connections.some((c) => c.cstate >= Cstate.unconnected && c.cstate < Cstate.connected));
}

type PeerDisks = Sticky & { readonly kind: 'fencing' };
const peerDisks = (facts: readonly Sticky[]): PeerDisks[] => facts.filter((fact) => fact.kind === 'fencing');
/** Of volume d; of another set of volumes any may be meant. */
const disksOf = ({ pdsk }: PeerDisks, { devices }: View, d: number): readonly number[] =>
  pdsk.length === devices.length ? [pdsk[d]!] : pdsk;
const hasData = (pdsk: number): boolean => pdsk === Disk.inconsistent || pdsk === Disk.consistent || pdsk === Disk.upToDate;

/** With the engine a Primary lost all its peers; its I/O freezes as it would have by the rules S41 and S12. */
export function frozen({ view }: Resource, facts: readonly Sticky[]): Change[] {
  if (view.resource.role !== Role.primary) return [];
  const peers = peerDisks(facts);
  const lostData = view.devices.some((_, d) => !dataAccessible(view, d)
    && peers.some((peer) => disksOf(peer, view, d).includes(Disk.upToDate)));
  const changes: Change[] = [];
  if (lostData && view.resource.options.onNoDataAccessible === 'suspend-io') changes.push({ set: 'suspNod', value: true });
  for (const { nodeId, pdsk } of peers) {
    const lost = pdsk.some((known) => known !== Disk.unknown && known !== Disk.inconsistent && known !== Disk.outdated);
    const freezes = findConnection(view, nodeId)?.options.fencing === Fencing.resourceAndStonith;
    if (lost && freezes) changes.push({ set: 'suspFen', nodeId, value: true });
  }
  return changes;
}

/**
 * A Primary's engine died: bits that only it knew are replaced by the extents of the activity log, as after a crash of the
 * node; and contact to each peer that had all data was lost, so that what is written next is another generation.
 */
export function crashed(device: Device, facts: readonly Sticky[]): void {
  const { resource, vnr } = device;
  const { disk, md } = resource.deviceRow(vnr);
  const d = deviceIndex(resource.view, vnr);
  if (disk !== Disk.upToDate) {
    const good = peerDisks(facts).filter((peer) => disksOf(peer, resource.view, d).includes(Disk.upToDate));
    awaitAfterDeath(device, good.map(({ nodeId }) => nodeId));
  }
  if (!md) {
    // One of several is missed by what the others get before it is back.
    const due = facts.some((fact) => fact.kind === 'disk' && fact.vnr === vnr && fact.newCurUuid)
      || peerDisks(facts).filter((peer) => disksOf(peer, resource.view, d).some(hasData)).length > 1;
    if (due) resource.dispatch({ kind: 'deviceFacts', vnr, facts: { newCurUuid: true } });
    return;
  }
  const lostPeer = md.slots.some((slot, n) => n !== resource.nodeId && slot.bitmapIndex >= 0 && slot.bitmapUuid === 0n);
  const known = { crashedPrimary: true, ...(lostPeer && disk === Disk.upToDate ? { newCurUuid: true } : {}) };
  resource.dispatch({ kind: 'deviceFacts', vnr, facts: known });
}
