// SPDX-License-Identifier: GPL-2.0-or-later
/** A Primary whose own disk is no more than Consistent: somebody who is to be fenced may have gone on, as far as it knows. */
import { Cmd } from '../../src/genl/ops.ts';
import type { Story } from '../../src/sim/story/story.ts';
import { hazard } from './hazards/hazard.ts';

const MAJORITY = 1024;
const SUSPEND = 1;
const RESOURCE_AND_STONITH = 2;
/** The handler has failed: I/O stays frozen. */
const BROKEN = 1;
const PEER_OUTDATED = 4;
const fenced = { net: { fencingPolicy: RESOURCE_AND_STONITH }, resource: { onNoQuorum: SUSPEND, onNoData: SUSPEND, quorum: MAJORITY } };
const redundant = { ...fenced, resource: { ...fenced.resource, quorumMinRedundancy: MAJORITY } };

/** A is frozen and alone, and has attached its disk again, in the generation of all. */
async function attachedAlone(s: Story): Promise<void> {
  await s.w('A', 1);
  await s.idle();
  s.helperSays('A', 'fence-peer', BROKEN);
  await s.isolate('A');
  await s.reach('A:frozen');
  await s.detach('A', true);
  await s.pass(15_000);
  await s.attach('A');
  await s.reach('A:Consistent');
}

/** Nobody but A has its disk since, B is only Consistent as well, and C has none. */
async function withoutC(s: Story): Promise<void> {
  await s.detach('C');
  await attachedAlone(s);
  s.crash('B');
  await s.up('B', { connect: false });
  await s.reach('B:Consistent');
  await s.con('A-B', 'A-C', 'B-C');
  await s.reach('B:UpToDate');
  await s.stays(5_000, 'A:Consistent');
}

hazard('R-280', 'it is good once the peer that was to be fenced has its disk again', 'A(P) B C', redundant, async (s) => {
  await withoutC(s);
  await s.attach('C');
  await s.reach('A:UpToDate', 'A:flowing', 'C:UpToDate');
});

hazard('R-281', 'it meets a good disk of its generation, and has bits for it', 'A(P) B C', redundant, async (s) => {
  await attachedAlone(s);
  await s.con('A-B');
  await s.con('A-C');
  await s.reach('A:UpToDate', 'A:flowing');
});

hazard('R-282', 'a generation is made for its peers, which passes it over', 'A(P) B C', fenced, async (s) => {
  await withoutC(s);
  await s.w('A', 2);
  await s.attach('C');
  await s.reach('A:UpToDate', 'C:UpToDate');
});

hazard('R-343', 'who has outdated the one that was absent, and becomes Primary beside its equal, is good', 'A B(P) C',
  { net: { fencingPolicy: RESOURCE_AND_STONITH }, disk: { alUpdates: false } }, async (s) => {
    await s.w('B', 1);
    await s.idle();
    await s.demote('B');
    await s.drop('A-C');
    await s.reboot('A');
    await s.reach('A-B:Established', 'A:Consistent');
    s.helperSays('A', 'fence-peer', PEER_OUTDATED);
    await s.ok(s.setup('C').plain(Cmd.OUTDATE, {}, s.minor('C')));
    await s.promote('A');
    await s.reach('A:UpToDate');
    await s.w('A', 1);
    await s.con('A-C');
  });

hazard('R-334', 'it is a Secondary again, and a diskless Primary makes a generation that passes it over', 'A(P) B C', { ...fenced, resource: { ...fenced.resource, quorum: 0 } }, async (s) => {
  await withoutC(s);
  await s.demote('A');
  await s.promote('B');
  await s.stays(1_000, 'A:Consistent');
  await s.attach('C');
  await s.reach('C:UpToDate');
  await s.stays(1_000, 'A:Consistent');
  await s.detach('B');
  await s.w('B', 2);
  await s.reach('A:UpToDate');
  await s.attach('B');
  await s.reach('B:UpToDate');
});
