// SPDX-License-Identifier: GPL-2.0-or-later
/** A new engine takes over: the facts of the journal become rows again, without the consequences that a change would have. */
import type { Sticky } from './effects.ts';
import type { Disk, Role } from './states.ts';
import type { View } from './types.ts';
import {
  deviceIndex, peerDeviceIndex, connectionIndex, replaceConnection, replaceDevice, replacePeerDevice, replaceResource,
} from './view.ts';

/**
 * Applies one sticky fact; objects that are not there are left out. Devices need their facts (md, currentUuid) first. Follow with
 * the event `resourceOptions` or a `change` with Cs.forceRecalc, so that cached values are computed.
 */
export function restore(view: View, fact: Sticky): View {
  switch (fact.kind) {
    case 'role': return replaceResource(view, { role: fact.role as Role, explicitPrimary: fact.explicitPrimary });
    case 'suspended': return replaceResource(view, { suspUser: fact.user, suspNod: fact.nod, suspQuorum: fact.quorum, suspUuid: fact.uuid,
      failIo: fact.failIo });
    case 'members': return replaceResource(view, { members: fact.members });
    // StandAlone or not is for who connects again, and what was replaced is in no row.
    case 'standAlone': case 'replaced': return view;
    case 'fencing': return restoreFencing(view, fact);
    case 'exposedUuid': return replaceDevice(view, fact.vnr, { exposedUuid: fact.uuid });
    case 'disk': return replaceDevice(view, fact.vnr, { disk: fact.disk as Disk, newCurUuid: fact.newCurUuid });
    case 'outgrown': return replaceDevice(view, fact.vnr, { outgrown: fact.outgrown });
    case 'pauseSync': return replacePeerDevice(view, fact.vnr, fact.nodeId, { suspUser: fact.user });
  }
}

/** Volumes in the order of the view; a fact of another set of volumes only says whether I/O is frozen. */
function restoreFencing(view: View, fact: Sticky & { kind: 'fencing' }): View {
  let result = replaceConnection(view, fact.nodeId, { suspFen: fact.suspFen });
  if (fact.pdsk.length !== view.devices.length || connectionIndex(view, fact.nodeId) < 0) return result;
  view.devices.forEach(({ vnr }, d) => {
    const known = fact.pdsk[d] as Disk;
    const row = view.peerDevices[peerDeviceIndex(view, deviceIndex(view, vnr), connectionIndex(view, fact.nodeId))]!;
    // Connected states are gone with the connection: only Inconsistent and Outdated outlast it (1.7).
    const pdsk = known === 5 || known === 6 ? known : row.pdsk;
    result = replacePeerDevice(result, vnr, fact.nodeId, { pdsk });
  });
  return result;
}
