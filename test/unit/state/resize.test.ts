// SPDX-License-Identifier: GPL-2.0-or-later
/** The two-phase commit of a size, seen from one node. @spec state.md 6.11 */
import { describe, expect, it } from 'vitest';
import type { Effect } from '../../../src/state/effects.ts';
import { Ss } from '../../../src/state/ss.ts';
import { Disk, Role } from '../../../src/state/states.ts';
import { step } from '../../../src/state/step.ts';
import type { TwopcPrepareResize, TwopcReply } from '../../../src/state/twopc-types.ts';
import type { Live, View } from '../../../src/state/types.ts';
import { live as plain, viewOf } from './build.ts';

const live: Live = { ...plain, capacity: () => 1000, localMaxSize: () => 3000,
  sizeAfterResize: (_vnr, user, _dds, most, reached) => (reached === 7n ? user || most : 1000) };
const three = (): View => viewOf({ connections: [{}, {}], peers: [{}, {}] });
const of = <K extends Effect['kind']>(effects: readonly Effect[], kind: K) => effects.filter((e) => e.kind === kind) as Extract<Effect, { kind: K }>[];
const start = { kind: 'resize', request: 9, vnr: 0, userSizeSectors: 0, ddsFlags: 2 } as const;
const yes = (tid: number, more: Partial<TwopcReply> = {}): TwopcReply => ({ kind: 'yes', tid, vnr: 0, initiator: 0, reachableNodes: 7n,
  primaryNodes: 0n, weakNodes: 0n, diskfulPrimaryNodes: 0n, maxPossibleSize: Infinity, ...more });

function asked(): { view: View; tid: number } {
  const { view, effects } = step(three(), start, live);
  const sent = of(effects, 'sendTwopc');
  expect(sent.map((e) => [e.nodeId, e.packet.kind])).toEqual([[1, 'prepareResize'], [2, 'prepareResize']]);
  return { view, tid: sent[0]!.packet.tid };
}

describe('who asks', () => {
  it('takes the smallest that all can, and whose data count', () => {
    const { view, tid } = asked();
    const first = step(view, { kind: 'twopcReply', from: 1, packet: yes(tid, { maxPossibleSize: 2000, diskfulPrimaryNodes: 2n }) }, live);
    expect(of(first.effects, 'commitSize')).toEqual([]);
    const { view: end, effects } = step(first.view, { kind: 'twopcReply', from: 2, packet: yes(tid, { maxPossibleSize: 2500 }) }, live);
    expect(of(effects, 'commitSize')).toEqual([{ kind: 'commitSize', vnr: 0, newSizeSectors: 2000, userSizeSectors: 0, ddsFlags: 2,
      diskfulPrimaryNodes: 2n, parents: 0n, children: 6n }]);
    expect(of(effects, 'sendTwopc').map((e) => [e.nodeId, e.packet.kind])).toEqual([[1, 'commit'], [2, 'commit']]);
    expect(of(effects, 'done')).toEqual([{ kind: 'done', request: 9, rc: Ss.success, reason: null }]);
    expect([end.twopc, end.operations]).toEqual([null, []]);
  });

  it('who is behind a connected disk does not ask', () => {
    const behind = viewOf({ device: { disk: Disk.outdated }, connections: [{}, {}], peers: [{ pdsk: Disk.upToDate }, { pdsk: Disk.outdated }] });
    const { effects } = step(behind, start, live);
    expect(of(effects, 'sendTwopc')).toEqual([]);
    expect(of(effects, 'done')).toEqual([{ kind: 'done', request: 9, rc: Ss.noUpToDateDisk, reason: null }]);
  });

  it('the same size: off again', () => {
    const { view, tid } = asked();
    const first = step(view, { kind: 'twopcReply', from: 1, packet: yes(tid, { maxPossibleSize: 1000 }) }, live);
    const { view: end, effects } = step(first.view, { kind: 'twopcReply', from: 2, packet: yes(tid) }, live);
    expect(of(effects, 'commitSize')).toEqual([]);
    expect(of(effects, 'sendTwopc').map((e) => e.packet.kind)).toEqual(['abort', 'abort']);
    expect(of(effects, 'done')[0]!.rc).toBe(Ss.nothingToDo);
    expect(end.twopc).toBeNull();
  });

  it('a no ends it; no answer and a retry are tried again', () => {
    const { view, tid } = asked();
    const no = step(view, { kind: 'twopcReply', from: 1, packet: { ...yes(tid), kind: 'no' } }, live);
    expect(of(no.effects, 'done')[0]!.rc).toBe(Ss.cwFailedByPeer);
    for (const event of [{ kind: 'timer', name: 'twopc' }, { kind: 'twopcReply', from: 1, packet: { ...yes(tid), kind: 'retry' } }] as const) {
      const again = step(view, event, live);
      expect(of(again.effects, 'done')).toEqual([]);
      const back = of(again.effects, 'timerStart').find(({ name }) => name.startsWith('back-off'))!;
      const sent = of(step(again.view, { kind: 'timer', name: back.name }, live).effects, 'sendTwopc');
      expect(sent.map((e) => e.packet.kind)).toEqual(['prepareResize', 'prepareResize']);
    }
  });

  it('waits for another two-phase commit', () => {
    const busy: View = { ...three(), twopc: asked().view.twopc };
    const { view, effects } = step(busy, { ...start, request: 10 }, live);
    expect(of(effects, 'sendTwopc')).toEqual([]);
    expect(view.operations).toHaveLength(1);
  });
});

describe('who is asked', () => {
  const prepare: TwopcPrepareResize = { kind: 'prepareResize', tid: 5, vnr: 0, initiator: 2, target: -1, nodesToReach: 0n, userSizeSectors: 1500, ddsFlags: 0 };
  const end = { tid: 5, vnr: 0, initiator: 2, target: -1, nodesToReach: 0n, primaryNodes: 0n, reachableNodes: 0n, hasReachable: false,
    priIncapable: false, diskfulPrimaryNodes: 4n, newSizeSectors: 1500 } as const;

  it.each([[Role.secondary, Disk.upToDate, 0n], [Role.primary, Disk.upToDate, 1n], [Role.primary, Disk.outdated, 0n],
  ])('role %i, disk %i: what it can take, and whether its data count', (role, disk, diskful) => {
    const view = viewOf({ device: { disk }, connections: [{}, {}], peers: [{}, {}] });
    const { effects } = step({ ...view, resource: { ...view.resource, role } }, { kind: 'twopc', from: 2, packet: prepare }, live);
    const { packet } = of(effects, 'sendTwopcReply')[0]!;
    expect([packet.kind, packet.maxPossibleSize, packet.diskfulPrimaryNodes]).toEqual(['yes', 3000, diskful]);
  });

  it('takes the size with the commit, not with an abort', () => {
    const { view } = step(three(), { kind: 'twopc', from: 2, packet: prepare }, live);
    const { effects } = step(view, { kind: 'twopc', from: 2, packet: { kind: 'commit', ...end } }, live);
    expect(of(effects, 'commitSize')).toEqual([{ kind: 'commitSize', vnr: 0, newSizeSectors: 1500, userSizeSectors: 1500, ddsFlags: 0,
      diskfulPrimaryNodes: 4n, parents: 4n, children: 0n }]);
    expect(of(step(view, { kind: 'twopc', from: 2, packet: { kind: 'abort', ...end } }, live).effects, 'commitSize')).toEqual([]);
  });
});
