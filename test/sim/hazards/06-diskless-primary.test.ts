// SPDX-License-Identifier: GPL-2.0-or-later
/** Hazards 6: a Primary without a disk. */
import { expect } from 'vitest';
import { LowerOp } from '../../../src/host/lower.ts';
import { hazard } from './hazard.ts';

hazard('H-141', 'a peer that was away is not read from before it is in sync', 'A(d,P) B C', {}, async (s) => {
  await s.w('A', 1);
  await s.isolate('C');
  const { tag } = await s.w('A', 1);
  await s.con('A-C');
  for (let i = 0; i < 10; i++) expect(await s.r('A', 1)).toBe(tag);
  expect(s.pdsk('A>C')).not.toBe('UpToDate');
});

hazard('H-142', 'an older peer is let in, and becomes UpToDate when it is', 'A(d,P) B C', {}, async (s) => {
  await s.isolate('C');
  await s.w('A');
  await s.con('A-C');
  await s.con('B-C');
  await s.reach('A>C:UpToDate');
});

hazard('H-143', 'what a diskless node shows is known before its first promotion', 'A(d) B', {}, async (s) => {
  await s.down('A');
  await s.up('A');
  await s.con('A-B');
  await s.promote('A');
  expect(s.uuid('A')).toBe(s.uuid('B'));
  await s.w('A');
});

hazard('H-144', 'a frozen diskless Primary takes no newer data', 'A(d,P) B C', { resource: { quorum: 1024 }, end: 'as told' }, async (s) => {
  s.sever('A-B', 'A-C');
  await s.noticed('A-B');
  await s.noticed('A-C');
  await s.reach('A:frozen', 'B:UpToDate', 'C:UpToDate');
  await s.promote('B');
  await s.w('B');
  await s.joining('A-B');
  await s.pass(15_000);
  expect(s.is('A:Primary') && s.is('A:flowing')).toBe(false);
});

for (const crossed of [false, true]) {
  hazard('H-145', `a wrong disk that is attached under a Primary without data is refused${crossed ? ', also when the attach crosses its detach' : ''}`, 'A(P) B',
    { resource: { onNoData: 1 }, end: 'as told', expected: ['Unrelated', 'exposed'] }, async (s) => {
      const x = s.uuid('A');
      await s.detach('B');
      await s.reach('A>B:Diskless');
      s.replaceDisk('B');
      s.editMd('B', (sb) => ({ ...sb, currentUuid: 0xbad_0000n, flags: sb.flags | 0x11 }));
      const word = crossed ? s.hold('A>B', 'P_STATE') : null;
      await s.letGo('A');
      await s.reach('A:frozen');
      const attached = s.code(s.setup('B').attach(s.minor('B'), '/dev/disk0', {}));
      if (word) {
        await s.caught(word);
        await s.reach('B:Negotiating');
        word.release();
      }
      await attached;
      await s.pass(8_000);
      expect(s.is('A:flowing') && s.pdsk('A>B') === 'UpToDate').toBe(false);
      expect(s.uuid('A')).toBe(x);
    });
}

hazard('H-146', 'a late word about the old generation does not undo the new one', 'A(d,P) B C', {}, async (s) => {
  const late = s.hold('B>A', 'P_UUIDS110');
  await s.cut('B-C');
  await s.pass(50);
  await s.cut('A-C');
  await s.w('A');
  late.release();
  await s.pass(200);
  expect(s.uuid('A')).toBe(s.uuid('B'));
  await s.w('A');
});

for (const rebooted of [false, true]) {
  hazard('H-147', `the generation moves on by way of a diskless node${rebooted ? ', also after its reboot' : ''}`, 'A B(d) C', {}, async (s) => {
    await s.cut('A-C', 'B-C');
    await s.promote('B');
    await s.w('B');
    await s.demote('B');
    if (rebooted) {
      s.sever('A-B');
      await s.reboot('B');
      await s.con('B-C');
      await s.con('A-B');
    } else await s.con('B-C');
    await s.pass(2_000);
    expect(s.disk('C')).not.toBe('UpToDate');
  });
}

hazard('H-148', "the Primary's bit is no generation of its own", 'A B(d) C', {}, async (s) => {
  for (let i = 0; i < 3; i++) {
    await s.promote('B');
    await s.w('B');
    await s.demote('B');
  }
  await s.stays(2_000, 'A:UpToDate', 'C:UpToDate');
});

hazard('H-151', 'no data, no generation', 'A(d) B', { end: 'as told' }, async (s) => {
  await s.down('B');
  const x = s.uuid('A');
  expect(await s.mayPromote('A')).toBeLessThan(0);
  expect(s.uuid('A')).toBe(x);
});

hazard('H-153', 'a peer that was away while the diskless Primary forgot its UUIDs is not taken for equal', 'A(d,P) B C', {}, async (s) => {
  await s.w('A');
  await s.idle();
  await s.down('C');
  await s.demote('A');
  await s.reboot('A');
  await s.con('A-B');
  await s.promote('A');
  await s.w('A');
  await s.up('C');
  await s.con('A-C', 'B-C');
});

for (const onNoData of [0, 1]) {
  const frozen = onNoData === 1 ? 'I/O waits for it' : 'I/O fails meanwhile';
  const resource = { onNoData };

  hazard('H-154', `a generation that got lost on its way is told again, and the peer is what it says until then (${frozen})`, 'A(d,P) B C', { resource }, async (s) => {
    await s.w('A', 1);
    await s.cut('A-C');
    const told = s.hold('A>B', 'P_CURRENT_UUID');
    const w = s.wStar('A', 1);
    await s.lose(told, 'A-B');
    expect(s.uuid('B')).not.toBe(s.uuid('A'));
    await s.con('A-B');
    await s.reach('A>B:UpToDate', 'B:UpToDate');
    await s.ended(w);
    await s.w('A', 2);
    expect(s.uuid('B')).toBe(s.uuid('A'));
  });

  hazard('H-156', `no generation on top of one that nobody has confirmed, and who was lost before it waits for who was told (${frozen})`, 'A(d,P) B C', { resource }, async (s) => {
    await s.w('A', 1);
    await s.cut('A-C');
    const told = s.hold('A>B', 'P_CURRENT_UUID');
    const w = s.wStar('A', 1);
    await s.lose(told, 'A-B');
    s.sever('A-B');
    const x = s.uuid('A');
    await s.cut('B-C');
    await s.con('A-C');
    await s.pass(2_000);
    expect(s.pdsk('A>C')).toBe('Outdated');
    expect(s.uuid('A')).toBe(x);
    await s.con('A-B');
    await s.ended(w);
    await s.reach('A>B:UpToDate');
    await s.w('A', 2);
    await s.con('B-C');
    await s.reach('A>C:UpToDate');
  });
}

hazard('H-155', 'a write that is acknowledged is in a generation that the peer has on its disk', 'A(d,P) B C', { resource: { onNoData: 1 } }, async (s) => {
  await s.w('A', 1);
  await s.cut('A-C');
  await s.cut('B-C');
  const ack = s.hold('B>A', 'P_WRITE_ACK');
  const w = s.wStar('A', 1);
  await s.caught(ack);
  s.crash('B');
  ack.release();
  await s.noticed('A-B');
  await s.con('A-C');
  await s.pass(2_000);
  expect(s.is('A>C:UpToDate')).toBe(false);
  await s.up('B');
  await s.con('A-B');
  await s.ended(w);
  expect(s.uuid('B')).toBe(s.uuid('A'));
});

hazard('H-158', 'who was lost first comes back first: it is let in, and waits for who was lost last', 'A(d,P) B C', { resource: { onNoData: 1 } }, async (s) => {
  await s.cut('A-C', 'B-C');
  await s.w('A', 1);
  await s.cut('A-B');
  const w = s.wStar('A', 2);
  await s.con('A-C');
  await s.pass(5_000);
  expect(s.pdsk('A>C')).toBe('Outdated');
  expect(w.errno).toBe(-1);
  await s.con('A-B');
  await s.ended(w);
  await s.con('B-C');
  await s.reach('A>C:UpToDate');
});

hazard('H-157', 'the diskless Primary looks for each peer whether somebody lacks its base', 'A B C D(d,P)', {}, async (s) => {
  await s.demote('D');
  await s.disc('A-B');
  await s.disc('A-D');
  await s.disc('B-C');
  await s.promote('D');
  await s.w('D');
  await s.pass(2_000);
  await s.w('D');
  await s.pass(2_000);
  await s.con('A-B');
});

hazard('H-159', 'a lost ack: the Primary presents what it shows, and takes its peer back', 'A(d,P) B', {}, async (s) => {
  const ack = s.hold('B>A', 'P_WRITE_ACK');
  const w = s.wStar('A');
  await s.lose(ack, 'A-B');
  await s.con('A-B');
  await s.pass(100);
  expect([-1, 0, 5]).toContain(w.errno);
});

hazard('H-160', 'a peer that comes back with an old disk is not UpToDate for want of a better one', 'A(d,P) B', { resource: { onNoData: 1 }, end: 'as told', expected: ['exposed', 'Unrelated'] },
  async (s) => {
    await s.w('A', 1);
    const old = s.uuid('B');
    await s.detach('B', true);
    s.editMd('B', (sb) => ({ ...sb, currentUuid: old ^ 0xff00n }));
    await s.code(s.setup('B').attach(s.minor('B'), '/dev/disk0', {}));
    await s.pass(2_000);
    expect(s.is('A-B:Connected') && s.pdsk('A>B') === 'UpToDate').toBe(false);
  });

hazard('H-161', 'what holds for one volume is not taken for another', 'A(d,P) B C', { volumes: 2 }, async (s) => {
  await s.isolate('C');
  await s.w('A', 1, { vnr: 1 });
  await s.con('A-C');
  await s.r('A', 1, 1);
  await s.con('B-C');
});

for (const bad of ['B', 'C']) {
  hazard('H-162', `a read that fails at one peer (${bad}) is asked of the next`, 'A(d,P) B C', {}, async (s) => {
    const { tag } = await s.w('A', 4);
    await s.idle();
    s.fail(bad, LowerOp.read);
    for (let i = 0; i < 6; i++) expect(await s.r('A', 4)).toBe(tag);
    s.flow(bad);
    if (s.is(`${bad}:Diskless`)) await s.attach(bad);
  });
}
