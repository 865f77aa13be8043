// SPDX-License-Identifier: GPL-2.0-or-later
/** Peers that are lost, Outdated, and come back: what a Primary writes meanwhile is another generation than theirs. */
import { expect } from 'vitest';
import { hazard } from './hazards/hazard.ts';

const RESOURCE_ONLY = 1;
const RESOURCE_AND_STONITH = 2;
/** The handler has failed: I/O stays frozen. */
const BROKEN = 1;
const OUTDATED = 4;
const suspend = { onNoData: 1, onNoQuorum: 1 };

hazard('R-190', 'a peer that is back, and Outdated for a frozen Primary, is not in the generation of what that writes now', 'A(d,P) B C',
  { net: { fencingPolicy: RESOURCE_AND_STONITH }, resource: { ...suspend, quorum: 1024 } }, async (s) => {
    await s.w('A', 1);
    await s.idle();
    s.helperSays('A', 'fence-peer', BROKEN);
    s.sever('A-B', 'A-C');
    await s.noticed('A-B');
    await s.noticed('A-C');
    await s.reach('A:frozen', 'B:UpToDate', 'C:UpToDate');
    const frozen = s.wStar('A', 1);
    await s.con('A-C');
    await s.reach('B:Outdated', 'A:frozen');
    const word = s.hold('B>A', 'P_STATE', 1);
    await s.joining('A-B');
    await s.caught(word);
    await s.pass(2_000);
    word.release();
    await s.ended(frozen);
    for (let i = 0; i < 10; i++) await s.r('A', 1);
  });

hazard('R-191', 'that one peer is back does not settle what another one misses', 'A(d,P) B C',
  { net: { fencingPolicy: RESOURCE_AND_STONITH }, resource: suspend }, async (s) => {
    await s.w('A', 1);
    await s.idle();
    s.sever('A-C', 'B-C');
    s.killEngine('A');
    s.helperSays('A', 'fence-peer', OUTDATED);
    await s.reach('A-B:Connected');
    const waits = s.wStar('A', 1);
    await s.stays(3_000, 'A:frozen');
    await s.ended(waits);
    await s.con('A-C');
    for (let i = 0; i < 10; i++) await s.r('A', 1);
  });

hazard('R-192', 'a peer is Outdated for the Primary until its word comes, and misses what is written meanwhile', 'A(P) B',
  { net: { fencingPolicy: RESOURCE_ONLY } }, async (s) => {
    await s.w('A', 1);
    await s.idle();
    await s.disc('A-B');
    await s.reach('A>B:Outdated', 'B:Outdated');
    const word = s.hold('B>A', 'P_STATE', 1);
    await s.joining('A-B');
    await s.caught(word);
    await s.reach('B:UpToDate');
    const { tag } = await s.w('A', 1);
    word.release();
    await s.pass(5_000);
    s.crash('A');
    await s.noticed('B-A');
    expect(s.is('B:UpToDate') && s.onDisk('B', 1) !== tag).toBe(false);
    await s.up('A');
  });
