// SPDX-License-Identifier: GPL-2.0-or-later
/** Conflicts, losses and time-outs of two-phase commits. @spec state.md 6 */
import { describe, expect, it } from 'vitest';
import { receiveTwopc } from '../../../src/state/participant.ts';
import { Ss } from '../../../src/state/ss.ts';
import { Mask, maskVal, packState, unpackState } from '../../../src/state/state-word.ts';
import { Cstate, Disk, MdFlag, Role } from '../../../src/state/states.ts';
import { Step } from '../../../src/state/transaction.ts';
import type { Effect } from '../../../src/state/effects.ts';
import type { TwopcPrepare } from '../../../src/state/twopc-types.ts';
import { step } from '../../../src/state/step.ts';
import type { View } from '../../../src/state/types.ts';
import { live, viewOf } from './build.ts';
import { Cluster } from './cluster.ts';

const GOOD = MdFlag.consistent | MdFlag.wasUpToDate;
const prepare = (over: Partial<TwopcPrepare> = {}): TwopcPrepare => ({ kind: 'prepare', tid: 77, vnr: -1, initiator: 2, target: -1,
  nodesToReach: 0n, ...maskVal({ role: Role.primary }), hasReachable: true, ...over });
const replies = (effects: readonly Effect[]): string[] =>
  effects.flatMap((e) => e.kind === 'sendTwopcReply' ? [`${e.nodeId} ${e.packet.kind}`] : []);
const three = (): View => viewOf({ connections: [{}, {}], peers: [{}, {}] });
const end = (kind: 'commit' | 'abort', tid = 77, initiator = 2) => ({ kind, tid, vnr: -1, initiator, target: -1, nodesToReach: 0n,
  primaryNodes: 4n, reachableNodes: 7n, hasReachable: true, priIncapable: false, diskfulPrimaryNodes: 0n, newSizeSectors: 0 } as const);

describe('a participant', () => {
  it('rows 2 and 3: yes, then commit', () => {
    const asked = step(three(), { kind: 'twopc', from: 2, packet: prepare() }, live);
    expect(replies(asked.effects)).toEqual(['2 yes']);
    const done = step(asked.view, { kind: 'twopc', from: 2, packet: end('commit') }, live);
    expect(done.view.connections[1]!.peerRole).toBe(Role.primary);
    expect(done.view.twopc).toBeNull();
  });

  it('row 3: an abort leaves everything as it was', () => {
    const start = three();
    const asked = step(start, { kind: 'twopc', from: 2, packet: prepare() }, live);
    const done = step(asked.view, { kind: 'twopc', from: 2, packet: end('abort') }, live);
    expect(done.view).toEqual(start);
  });

  it('row 3: who gives up on the way ends nothing while the initiator itself asks', () => {
    const asked = step(three(), { kind: 'twopc', from: 2, packet: prepare() }, live);
    const on = step(asked.view, { kind: 'twopc', from: 1, packet: end('abort') }, live);
    expect(on.view.twopc?.packet.tid).toBe(77);
    expect(step(on.view, { kind: 'twopc', from: 2, packet: end('commit') }, live).view.connections[1]!.peerRole).toBe(Role.primary);
  });

  it('row 3: the last parent that gives up ends it', () => {
    const asked = step(three(), { kind: 'twopc', from: 1, packet: prepare({ initiator: 5 }) }, live);
    expect(step(asked.view, { kind: 'twopc', from: 1, packet: end('abort', 77, 5) }, live).view.twopc).toBeNull();
  });

  it('row 1: a commit over a connection that is not there yet: its other end believes that it is', () => {
    const start = viewOf({ connections: [{}, { cstate: Cstate.connecting }], peers: [{}, {}] });
    const { view } = step(start, { kind: 'twopc', from: 2, packet: end('commit') }, live);
    expect(view.connections[1]!.cstate).toBe(Cstate.networkFailure);
  });

  it('row 1: a commit that nobody waits for is ignored', () => {
    const start = three();
    expect(step(start, { kind: 'twopc', from: 2, packet: end('commit') }, live).view).toBe(start);
  });

  it('row 7: busy with another initiator: retry', () => {
    const asked = step(three(), { kind: 'twopc', from: 2, packet: prepare() }, live);
    expect(replies(step(asked.view, { kind: 'twopc', from: 1, packet: prepare({ initiator: 1, tid: 5 }) }, live).effects))
      .toEqual(['1 retry']);
  });

  it('row 6: the same initiator again over the same connection: retry; over another: waits for the end', () => {
    const asked = step(three(), { kind: 'twopc', from: 2, packet: prepare() }, live);
    expect(replies(step(asked.view, { kind: 'twopc', from: 2, packet: prepare({ tid: 78 }) }, live).effects)).toEqual(['2 retry']);
    const waits = step(asked.view, { kind: 'twopc', from: 1, packet: prepare({ tid: 78 }) }, live);
    expect(replies(waits.effects)).toEqual([]);
    const over = step(waits.view, { kind: 'twopc', from: 2, packet: end('commit') }, live);
    expect(over.view.twopc?.packet.tid).toBe(78);
    const late = step(waits.view, { kind: 'timer', name: 'twopc from 1' }, live);
    expect(replies(late.effects)).toEqual(['1 retry']);
    expect(late.view.waiting).toEqual([]);
  });

  it('row 6: what a neighbour asked that is lost meanwhile is not taken up', () => {
    const asked = step(three(), { kind: 'twopc', from: 2, packet: prepare() }, live);
    const waits = step(asked.view, { kind: 'twopc', from: 1, packet: prepare({ tid: 78 }) }, live);
    const lost = step(waits.view, { kind: 'lost', nodeId: 1, cstate: Cstate.networkFailure, tag: 'x' }, live);
    const over = step(lost.view, { kind: 'twopc', from: 2, packet: end('commit') }, live);
    expect(over.view.twopc).toBeNull();
  });

  it('a data generation whose exposure waited for the end is journaled', () => {
    const start = viewOf({ device: { disk: Disk.diskless, md: null, exposedUuid: 0x10n, nextExposedUuid: 0x20n } });
    const asked = step(start, { kind: 'twopc', from: 1, packet: prepare({ initiator: 1, mask: 0, val: 0 }) }, live);
    const over = step(asked.view, { kind: 'twopc', from: 1, packet: end('abort', 77, 1) }, live);
    expect(over.view.devices[0]!.exposedUuid).toBe(0x20n);
    expect(over.effects).toContainEqual({ kind: 'sticky', fact: { kind: 'exposedUuid', vnr: 0, uuid: 0x20n } });
  });

  it('row 8: by another way: the same answer, not processed twice', () => {
    const asked = step(three(), { kind: 'twopc', from: 2, packet: prepare() }, live);
    const again = step(asked.view, { kind: 'twopc', from: 1, packet: prepare() }, live);
    expect(replies(again.effects)).toEqual(['1 yes']);
    expect(again.view.twopc?.parents).toBe(6n);
    expect(replies(step(again.view, { kind: 'twopc', from: 1, packet: prepare() }, live).effects)).toEqual([]);
  });

  it('row 5: a foreign abort is passed on and changes nothing', () => {
    const start = three();
    const result = step(start, { kind: 'twopc', from: 2, packet: { ...end('abort'), nodesToReach: 2n } }, live);
    expect(result.view).toBe(start);
    expect(result.effects).toEqual([expect.objectContaining({ kind: 'sendTwopc', nodeId: 1 })]);
  });

  it('says no to a second Primary', () => {
    const start = viewOf({ resource: { role: Role.primary }, connections: [{}, {}], peers: [{}, {}] });
    expect(replies(step(start, { kind: 'twopc', from: 2, packet: prepare() }, live).effects)).toEqual(['2 no']);
  });

  it('H-191: its time-out and H-208: the loss of its only parent free it', () => {
    const asked = step(three(), { kind: 'twopc', from: 2, packet: prepare({ nodesToReach: 2n }) }, live);
    expect(asked.effects).toContainEqual(expect.objectContaining({ kind: 'sendTwopc', nodeId: 1 }));
    expect(step(asked.view, { kind: 'timer', name: 'twopc' }, live).view.twopc).toBeNull();
    const lost = step(asked.view, { kind: 'lost', nodeId: 2, cstate: Cstate.networkFailure, tag: 'x' }, live);
    expect(lost.view.twopc).toBeNull();
    expect(lost.effects)
      .toContainEqual(expect.objectContaining({ kind: 'sendTwopc', nodeId: 1, packet: expect.objectContaining({ kind: 'abort' }) }));
  });

  it('refuses what it does not know', () => {
    expect(replies(step(three(), { kind: 'twopc',
      from: 2, packet: prepare({ mask: Mask.susp, val: Mask.susp, target: 0 }) }, live).effects)).toEqual(['2 no']);
  });

  it('takes nothing from strangers or in its own name', () => {
    const start = three();
    expect(step(start, { kind: 'twopc', from: 9, packet: prepare() }, live).view).toBe(start);
    const s = new Step(start, live);
    receiveTwopc(s, 2, prepare({ initiator: 0 }));
    expect(s.view).toBe(start);
  });
});

const pair = (): Cluster => {
  const cluster = new Cluster(2);
  cluster.up([GOOD, GOOD], [0x10n, 0x10n]);
  cluster.connect(0, 1);
  return cluster;
};

describe('an initiator', () => {
  it('row 4: gives way to a lower one and comes back', () => {
    const cluster = pair();
    cluster.nodes[1]!.give({ kind: 'setRole', request: 9, tag: 'primary', role: 1, force: false });
    cluster.nodes[0]!.give({ kind: 'disconnect', request: 8, tag: 'disconnect', nodeId: 1, force: false });
    cluster.run(60_000);
    expect(cluster.nodes[0]!.done.get(8)).toBe(Ss.success);
    expect(cluster.nodes[1]!.done.get(9)).toBe(Ss.success);
  });

  it('a peer that is lost meanwhile: tried again without it', () => {
    const cluster = pair();
    cluster.nodes[0]!.give({ kind: 'setRole', request: 9, tag: 'primary', role: 1, force: false });
    cluster.queue.shift()!(); // the ping
    expect(cluster.nodes[0]!.view.twopc).not.toBeNull();
    cluster.breakLink(0, 1);
    cluster.run(60_000);
    expect(cluster.nodes[0]!.done.get(9)).toBe(Ss.success);
    expect(cluster.packets.filter((p) => p === '0>1 abort')).toEqual([]);
  });

  it('nobody answers: time-out, abort, back-off, again', () => {
    const { view } = step(three(), { kind: 'clusterChange', request: 4, tag: 'outdate', flags: 2 | 8, transient: false,
      change: { what: 'repl', vnr: 0, nodeId: 1, repl: 11 } }, live);
    expect(view.twopc?.side).toBe('initiator');
    const late = step(view, { kind: 'timer', name: 'twopc' }, live);
    expect(late.view.twopc).toBeNull();
    expect(late.effects.filter((e) => e.kind === 'sendTwopc').map((e) => e.packet.kind)).toEqual(['abort', 'abort']);
    expect(late.effects).toContainEqual(expect.objectContaining({ kind: 'timerStart', name: 'back-off 1' }));
    expect(step(late.view, { kind: 'timer', name: 'back-off 1' }, live).view.twopc?.side).toBe('initiator');
  });

  it('H-184: a connect fails if its own connection is not there', () => {
    const start = viewOf({ connections: [{ cstate: Cstate.unconnected, peerRole: 0 }], peers: [{ repl: 9, pdsk: 7 }] });
    const result = step(start, { kind: 'clusterChange', request: 4, tag: 'x', flags: 8, transient: false,
      change: { what: 'cstate', nodeId: 1, cstate: Cstate.connected } }, live);
    expect(result.effects).toContainEqual(expect.objectContaining({ kind: 'done', rc: Ss.needConnection }));
    expect(result.view.twopc).toBeNull();
  });
});

describe('the words on the wire', () => {
  it('have the masks and values of captured transactions', () => {
    expect(maskVal({ conn: 9, role: 1 })).toEqual({ mask: 0x1f3, val: 0x91 });
    expect(maskVal({ conn: 1 })).toEqual({ mask: 0x1f0, val: 0x10 });
    expect(maskVal({ conn: 18 })).toEqual({ mask: 0x1f0, val: 0x120 });
    expect(maskVal({ disk: 2 })).toEqual({ mask: 0x1e00, val: 0x400 });
    expect(maskVal({ disk: 4 })).toEqual({ mask: 0x1e00, val: 0x800 });
  });
  it('come back as they went', () => {
    for (let word = 0; word < 1 << 24; word += 9973) expect(packState(unpackState(word))).toBe(word);
  });
});

describe('a requester that dies', () => {
  const ask = (event: Parameters<typeof step>[1], start: View = three()) => step(start, event, live);
  const cancel = (view: View) => step(view, { kind: 'cancel', request: 9 }, live);
  const sent = (effects: readonly Effect[]): string[] => effects.flatMap((e) => e.kind === 'sendTwopc' ? [`${e.nodeId} ${e.packet.kind}`] : []);
  const answer = (effects: readonly Effect[]): number | undefined =>
    effects.flatMap((e) => e.kind === 'done' && e.request === 9 ? [e.rc] : [])[0];
  const atRest = (view: View): void => {
    expect(view.twopc).toBeNull();
    expect(view.operations).toEqual([]);
    expect(view.semHolder).toBe(0);
  };
  const disk = (value: 2 | 6) => ({ kind: 'clusterChange', request: 9, tag: 'detach', flags: 2 | 8, transient: true,
    change: { what: 'disk', vnr: 0, disk: value } }) as const;

  it('while the peers are asked: they hear that it is off', () => {
    const asked = ask(disk(2));
    expect(sent(asked.effects)).toEqual(['1 prepare', '2 prepare']);
    const gone = cancel(asked.view);
    expect(sent(gone.effects)).toEqual(['1 abort', '2 abort']);
    expect(answer(gone.effects)).toBe(Ss.interrupted);
    atRest(gone.view);
    expect(gone.view.devices[0]!.disk).toBe(9);
  });

  it('a promotion: while pinging, and while the peers are asked', () => {
    const pinging = ask({ kind: 'setRole', request: 9, tag: 'primary', role: Role.primary, force: false });
    const ping = pinging.effects.find((e) => e.kind === 'ping')!;
    atRest(cancel(pinging.view).view);
    const asked = step(pinging.view, { kind: 'pinged', token: ping.token }, live);
    expect(sent(asked.effects)).toEqual(['1 prepare', '2 prepare']);
    const gone = cancel(asked.view);
    expect(answer(gone.effects)).toBe(Ss.interrupted);
    expect(sent(gone.effects)).toEqual(['1 abort', '2 abort']);
    atRest(gone.view);
  });

  it('while another transaction is on, and while it waits for its next try', () => {
    const busy = ask({ kind: 'twopc', from: 2, packet: prepare({ ...maskVal({}), tid: 5 }) });
    const waits = step(busy.view, disk(2), live);
    const gone = cancel(waits.view);
    expect(answer(gone.effects)).toBe(Ss.interrupted);
    expect(gone.view.operations).toEqual([]);
    expect(gone.view.twopc?.packet.tid).toBe(5);
    const asked = ask(disk(2));
    const late = step(asked.view, { kind: 'timer', name: 'twopc' }, live);
    expect(late.view.operations[0]!.run?.phase).toBe('backOff');
    atRest(cancel(late.view).view);
  });

  it('in a transient state', () => {
    const handshake = viewOf({ connections: [{ cstate: Cstate.connecting, peerRole: Role.unknown }],
      peers: [{ repl: 9, pdsk: 7, holdingUuidLock: true }] });
    const waits = ask(disk(2), handshake);
    expect(answer(waits.effects)).toBeUndefined();
    atRest(cancel(waits.view).view);
  });

  it('what is agreed goes on without it', () => {
    const agreed = ask({ kind: 'disconnect', request: 9, tag: 'disconnect', nodeId: 1, force: true });
    expect(agreed.view.connections[0]!.cstate).toBe(Cstate.disconnecting);
    const gone = cancel(agreed.view);
    expect(answer(gone.effects)).toBeUndefined();
    expect(gone.view.operations).toHaveLength(1);
  });

  it('others and requests without a number are not meant', () => {
    const asked = ask(disk(2));
    expect(step(asked.view, { kind: 'cancel', request: 8 }, live).view).toBe(asked.view);
    const connecting = viewOf({ connections: [{ cstate: Cstate.connecting, peerRole: Role.unknown }], peers: [{ repl: 9, pdsk: 7 }] });
    const own = ask({ kind: 'handshakeStart', nodeId: 1 }, connecting);
    expect(own.view.operations).toHaveLength(1);
    expect(step(own.view, { kind: 'cancel', request: 0 }, live).view.operations).toHaveLength(1);
  });
});
