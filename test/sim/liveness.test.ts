// SPDX-License-Identifier: GPL-2.0-or-later
/** What kept a healed cluster from becoming UpToDate: the stories of drawn runs. */
import { invalidateParms } from '../../src/genl/command-attrs.ts';
import { Cmd } from '../../src/genl/ops.ts';
import { hazard } from './hazards/hazard.ts';

const slow = { peerDevice: { cPlanAhead: 0, resyncRate: 80, cMaxRate: 80 } };

hazard('R-50', 'a node that is invalidated is Inconsistent for third nodes as well', 'A(P) B C', slow, async (s) => {
  await s.w('A', 1);
  const { id } = s.player('A');
  await s.ok(s.setup('C').with(Cmd.INVALIDATE, {}, invalidateParms, { syncFromPeerNodeId: id }, s.minor('C')));
  await s.reach('C:Inconsistent', 'B>C:Inconsistent');
  await s.stays(1_000, 'B>C:Inconsistent');
});
