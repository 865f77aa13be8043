// SPDX-License-Identifier: GPL-2.0-or-later
/** Each step of receive_state: what a P_STATE leads to, and when it must not. @spec state.md 5.3, uuid.md 4.6 */
import { describe, expect, it } from 'vitest';
import type { Change, Event } from '../../../src/state/events.ts';
import { receiveState } from '../../../src/state/receive-state.ts';
import type { Decider, Decision, StateAction } from '../../../src/state/receive-state.ts';
import { packState } from '../../../src/state/state-word.ts';
import type { StateWord } from '../../../src/state/state-word.ts';
import { Cs, Cstate, Disk, Negotiation, Repl, Role, UuidFlag } from '../../../src/state/states.ts';
import { newTwopc } from '../../../src/state/twopc-common.ts';
import type { View } from '../../../src/state/types.ts';
import { viewOf } from './build.ts';
import type { Parts } from './build.ts';

const word = (parts: Partial<StateWord> = {}): number => packState({ role: Role.secondary, peer: Role.secondary, conn: Repl.established,
  disk: Disk.upToDate, pdsk: Disk.upToDate, susp: false, aftrIsp: false, peerIsp: false, userIsp: false, suspNod: false, suspFen: false,
  quorum: true, ...parts });

interface Asked { readonly decider: Decider; readonly questions: string[] }
const answers = (decision: Decision = { repl: Repl.established }, trust: 'ok' | 'outdated' | 'retry' | 'disconnect' = 'ok'): Asked => {
  const questions: string[] = [];
  const ask = (what: string) => (pdsk: Disk): Decision => { questions.push(`${what} ${pdsk}`); return decision; };
  return { questions, decider: { handshake: ask('handshake'), attach: ask('attach'),
    diskless: () => { questions.push('diskless'); return trust; }, older: () => false, turnedAway: () => false } };
};

const receive = (view: View, parts: Partial<StateWord>, asked = answers()): readonly StateAction[] =>
  receiveState(view, 1, 0, word(parts), asked.decider);
const eventOf = <K extends Event['kind']>(actions: readonly StateAction[], kind: K): (Event & { kind: K }) | undefined => {
  for (const action of actions) if (action.do === 'event' && action.event.kind === kind) return action.event as Event & { kind: K };
  return undefined;
};
const change = (actions: readonly StateAction[]): (Event & { kind: 'change' }) | undefined => eventOf(actions, 'change');
const set = (actions: readonly StateAction[], what: Change['set']): unknown => {
  const found = change(actions)?.changes.find((c) => c.set === what);
  if (found === undefined) return undefined;
  return 'repl' in found ? found.repl : 'pdsk' in found ? found.pdsk : 'role' in found ? found.role : 'value' in found ? found.value : null;
};
const kinds = (actions: readonly StateAction[]): string[] => actions.map((a) => a.do === 'event' ? a.event.kind : a.do);
const facts = (actions: readonly StateAction[]): object =>
  Object.assign({}, ...actions.flatMap((a) => a.do === 'event' && a.event.kind === 'peerDeviceFacts' ? [a.event.facts] : [])) as object;
const sent = (actions: readonly StateAction[]): string => actions.flatMap((a) => a.do === 'send' ? a.packets : []).join(' ');

/** RECONCILE_BITS. */
const DRBDD = 1 << 30;
const off = { repl: Repl.off, pdsk: Disk.unknown } as const;
/** A connect transaction of node `initiator` with node `target`, seen from node 0. */
const during = (view: View, initiator = 0, target = 1): View => ({ ...view, twopc: { ...newTwopc(initiator === 0 ? 'initiator' : 'participant',
  { kind: 'prepare', tid: 7, vnr: -1, initiator, target, nodesToReach: 0n, mask: 0, val: 0, hasReachable: true }, 1), isConnect: true } });
const shaking = (parts: Parts = {}): View => during(viewOf({ ...parts,
  connections: [{ cstate: Cstate.connecting, peerRole: Role.unknown }], peers: [{ ...off, ...parts.peers?.[0] }] }));

describe('step 1: a word for the resource', () => {
  it('makes the peer Secondary, as a fact', () => {
    const actions = receiveState(viewOf({ connections: [{ peerRole: Role.primary }] }), 1, -1, Role.secondary, answers().decider);
    expect(change(actions)).toMatchObject({ tag: 'peer-state', flags: Cs.hard, changes: [{ set: 'peerRole', role: Role.secondary }] });
  });
  it.each([Role.primary, Role.unknown])('says nothing else (role %i)', (role) => {
    expect(receiveState(viewOf(), 1, -1, role, answers().decider)).toEqual([]);
  });
});

describe('words that mean nothing', () => {
  const bad: readonly [string, number][] = [['disk 12', 12 << 9], ['disk DUnknown', 7 << 9], ['pdsk 15', 15 << 13 | 9 << 9],
    ['conn 31', 31 << 4 | 9 << 9], ['conn 24', 24 << 4 | 9 << 9], ['role 3', 3 | 9 << 9], ['peer 3', 3 << 2]];
  it.each(bad)('%s ends the connection', (_, value) => {
    expect(eventOf(receiveState(viewOf(), 1, 0, value, answers().decider), 'lost')).toMatchObject({ cstate: Cstate.protocolError });
  });
  it.each([[2, 0], [1, 5]])('node %i, volume %i: nobody here', (node, vnr) => {
    expect(receiveState(viewOf(), node, vnr, word(), answers().decider)).toEqual([]);
  });
});

describe('steps 2 to 4', () => {
  it('2: an intentional diskless peer must not have a disk', () => {
    const view = viewOf({ peers: [{ wantBitmap: false, pdsk: Disk.diskless }] });
    expect(eventOf(receive(view, { disk: Disk.inconsistent }), 'lost')).toMatchObject({ nodeId: 1, cstate: Cstate.disconnecting,
      why: 'The peer is configured to be diskless but presents Inconsistent' });
    expect(eventOf(receive(view, { disk: Disk.diskless }), 'lost')).toBeUndefined();
  });
  it.each([[UuidFlag.inconsistent, Disk.inconsistent], [0, Disk.consistent]])('3: flags %i stand for Negotiating', (uuidFlags, disk) => {
    const asked = answers();
    receive(viewOf({ peers: [{ pdsk: Disk.negotiating, uuidFlags }] }), { disk: Disk.negotiating }, asked);
    expect(asked.questions).toEqual([`attach ${disk}`]);
  });
  it.each([Cstate.standAlone, Cstate.unconnected, Cstate.brokenPipe, Cstate.tearDown])('4: nothing from a connection in %i', (cstate) => {
    expect(kinds(receive(viewOf({ connections: [{ cstate, peerRole: Role.unknown }], peers: [off] }), {}))).toEqual(['drop']);
  });
});

describe('steps 6 to 8: ends and starts that the peer tells', () => {
  const source = { repl: Repl.syncSource, pdsk: Disk.inconsistent, lastRepl: Repl.syncTarget } as const;
  it.each([[Repl.syncSource, Disk.inconsistent], [Repl.pausedSyncS, Disk.consistent]])('6: a source in %i with pdsk %i has finished',
    (repl, pdsk) => {
    const actions = receive(viewOf({ peers: [{ ...source, repl, pdsk }] }), {});
    expect(actions[0]).toEqual({ do: 'resyncFinished' });
    expect(facts(actions)).toEqual({ lastRepl: Repl.established });
    expect(change(actions)).toBeUndefined();
  });
  it.each([Repl.wfBitMapS, Repl.startingSyncS])('6: the target was quicker than the start of this source (%i)', (repl) => {
    expect(receive(viewOf({ peers: [{ ...source, repl }] }), { disk: Disk.outdated })).toEqual([{ do: 'resyncFinishesEarly' }]);
  });
  it('6: another state of ours ends there, too', () => {
    expect(receive(viewOf({ device: { disk: Disk.inconsistent }, peers: [{ ...source, repl: Repl.wfBitMapT }] }), {})).toEqual([]);
  });
  it.each([Repl.wfBitMapT, Repl.startingSyncT])('6: a target that starts again (%i) counts as Inconsistent', (conn) => {
    const actions = receive(viewOf({ peers: [source] }), { conn, disk: Disk.outdated });
    expect(set(actions, 'pdsk')).toBe(Disk.inconsistent);
    expect(kinds(actions)).not.toContain('resyncFinished');
  });
  it.each<[string, Parts]>([
    ['the peer was no target', { peers: [{ ...source, lastRepl: Repl.wfBitMapT }] }],
    ['pdsk is known to be UpToDate', { peers: [{ ...source, pdsk: Disk.upToDate }] }],
    ['nothing runs here', { peers: [{ ...source, repl: Repl.established }] }],
    ['there is no disk here', { device: { disk: Disk.failed }, peers: [source] }],
  ])('6: not if %s', (_, parts) => {
    expect(kinds(receive(viewOf(parts), {}))).not.toContain('resyncFinished');
  });

  const verify = { peers: [{ repl: Repl.verifyT }] } as const;
  it('7: the verify source has reached its stop sector', () => {
    expect(kinds(receive(viewOf(verify), {}))[0]).toBe('verifyFinished');
    const verified = { peers: [{ repl: Repl.verifyT, lastRepl: Repl.verifyS, pdsk: Disk.inconsistent }] } as const;
    const actions = receive(viewOf(verified), { disk: Disk.upToDate });
    expect(kinds(actions)[0]).toBe('verifyFinished');
    expect(set(actions, 'pdsk')).toBe(Disk.upToDate);
  });
  it.each<[string, Parts, Partial<StateWord>]>([
    ['still verifies', verify, { conn: Repl.verifyS }], ['is not UpToDate', verify, { disk: Disk.inconsistent }],
    ['own disk is not UpToDate', { ...verify, device: { disk: Disk.consistent } }, {}],
    ['no verify target here', { peers: [{ repl: Repl.verifyS }] }, {}],
  ])('7: not if it %s', (_, parts, state) => {
    expect(kinds(receive(viewOf(parts), state))).not.toContain('verifyFinished');
  });

  it('8: Behind becomes target', () => {
    const behind = viewOf({ device: { disk: Disk.outdated }, peers: [{ repl: Repl.behind }] });
    expect(receive(behind, { conn: Repl.syncSource, pdsk: Disk.outdated })).toEqual([{ do: 'startResyncAsTarget' }]);
    expect(kinds(receive(behind, { conn: Repl.ahead }))).not.toContain('startResyncAsTarget');
    expect(kinds(receive(viewOf(), { conn: Repl.syncSource }))).not.toContain('startResyncAsTarget');
  });
});

describe('steps 9 and 10', () => {
  it.each<[string, Parts, Partial<StateWord>]>([
    ['from a peer that just lost its data', {}, { conn: Repl.established, disk: Disk.inconsistent }],
    ['from a peer that takes us for a source as well', {}, { conn: Repl.pausedSyncT, disk: Disk.inconsistent }],
    ['while something runs', { peers: [{ repl: Repl.verifyS }] }, { conn: Repl.verifyT, disk: Disk.inconsistent }],
    ['when it was not UpToDate', { peers: [{ pdsk: Disk.outdated }] }, { conn: Repl.syncTarget, disk: Disk.inconsistent }],
  ])('9: Inconsistent counts %s', (_, parts, state) => {
    expect(set(receive(viewOf(parts), state), 'pdsk')).toBe(Disk.inconsistent);
  });
  it('10: Ahead there is Behind here', () => {
    expect(set(receive(viewOf({ peers: [{}] }), { conn: Repl.ahead }), 'repl')).toBe(Repl.behind);
    expect(set(receive(viewOf({ peers: [{ repl: Repl.verifyS }] }), { conn: Repl.verifyT }), 'repl')).toBe(Repl.verifyS);
  });
});

describe('step 11: when UUIDs are compared', () => {
  const asks = (view: View, state: Partial<StateWord> = {}): string[] => {
    const asked = answers();
    receive(view, state, asked);
    return asked.questions;
  };
  const unconnected = { conn: Cstate.connecting };

  it('at the first state of a connect', () => expect(asks(shaking(), unconnected)).toEqual(['handshake 9']));
  it.each<[string, View]>([
    ['at the second one', shaking({ peers: [{ initialStateReceived: true }] })],
    ['before the UUIDs have come', shaking({ peers: [{ uuidsReceived: false }] })],
    ['outside a connect transaction', { ...shaking(), twopc: null }],
    ['in a connect transaction of others', during(shaking(), 3, 4)],
  ])('not %s', (_, view) => expect(asks(view, unconnected)).toEqual([]));
  it('the target of a connect compares as well', () => expect(asks(during(shaking(), 1, 0), unconnected)).toEqual(['handshake 9']));
  it('not with a diskless peer', () => expect(asks(shaking(), { ...unconnected, disk: Disk.diskless })).toEqual([]));

  it('when a forced promotion is remembered, which is then forgotten', () => {
    const view = viewOf({ peers: [{ considerResync: true }] });
    expect(asks(view)).toEqual(['handshake 9']);
    expect(facts(receive(view, {}))).toMatchObject({ considerResync: false });
  });
  it.each([Repl.startingSyncS, Repl.startingSyncT])('when the peer starts a full resync (%i)', (conn) => {
    expect(asks(viewOf(), { conn })).toEqual(['handshake 9']);
    expect(asks(viewOf({ peers: [{ repl: Repl.wfBitMapS }] }), { conn })).toEqual([]);
  });
  it('not otherwise while connected', () => expect(asks(viewOf())).toEqual([]));
  it('a volume that was added while connected, if both have a disk already', () => {
    expect(asks(viewOf({ peers: [off] }), { conn: Repl.off })).toEqual(['handshake 9']);
  });
});

describe('step 11: attach', () => {
  const attaching = (peer: object = {}): View => viewOf({ device: { disk: Disk.negotiating }, peers: [peer] });

  it('own disk attaches: the result is kept for sanitize, nothing else is decided here', () => {
    const actions = receive(attaching(), {}, answers({ repl: Repl.wfBitMapT }));
    expect(facts(actions)).toMatchObject({ negotiationResult: Repl.wfBitMapT });
    expect(set(actions, 'repl')).toBeUndefined();
    expect(change(actions)!.flags & Cs.forceRecalc).not.toBe(0);
  });
  it.each([
    ['a word from before the peer has heard of it is no answer', DRBDD, { pdsk: Disk.diskless }, 0],
    ['nor is one from before it has heard that the disk was gone', DRBDD, { pdsk: Disk.upToDate }, 0],
    ['its answer', DRBDD, { pdsk: Disk.negotiating }, 1],
    ['it has judged already', DRBDD, { pdsk: Disk.inconsistent, conn: Repl.wfBitMapS }, 1],
    ['a genuine peer may not tell it again', 0, { pdsk: Disk.diskless }, 1],
  ] as const)('%s', (_, agreedFeatures, parts, times) => {
    const asked = answers({ repl: Repl.wfBitMapT });
    receive(viewOf({ device: { disk: Disk.negotiating }, connections: [{ agreedFeatures }], peers: [{}] }), parts, asked);
    expect(asked.questions).toHaveLength(times);
  });
  it('a state that overtakes the UUIDs decides nothing', () => {
    expect(facts(receive(attaching({ uuidsReceived: false }), {}))).not.toHaveProperty('negotiationResult');
  });
  it('a diskless peer decides nothing', () => {
    expect(facts(receive(attaching({ pdsk: Disk.diskless }), { disk: Disk.diskless }))).not.toHaveProperty('negotiationResult');
  });
  it('own data must not be attached', () => {
    const actions = receive(attaching(), {}, answers({ how: 'disconnect' }));
    expect(facts(actions)).toMatchObject({ negotiationResult: Negotiation.noResult });
    expect(eventOf(actions, 'lost')).toBeUndefined();
  });
  it('the peer attaches: its disk is left as it is until it tells', () => {
    const view = viewOf({ peers: [{ pdsk: Disk.negotiating }] });
    const actions = receive(view, { disk: Disk.negotiating }, answers({ repl: Repl.wfBitMapS }));
    expect([set(actions, 'repl'), set(actions, 'pdsk')]).toEqual([Repl.wfBitMapS, Disk.negotiating]);
    expect(sent(actions)).toBe('');
  });
  it('the peer attaches the same data as ours', () => {
    const equal = answers({ repl: Repl.established });
    expect(set(receive(viewOf({ peers: [{ pdsk: Disk.negotiating }] }), { disk: Disk.negotiating }, equal), 'pdsk')).toBe(Disk.upToDate);
    expect(set(receive(viewOf({ device: { disk: Disk.outdated }, peers: [{ pdsk: Disk.negotiating }] }),
      { disk: Disk.negotiating }, equal),
      'pdsk')).toBe(Disk.negotiating);
  });
  it('its state may overtake the COMMIT: then nothing changes yet', () => {
    const actions = receive(viewOf({ peers: [{ pdsk: Disk.diskless }] }), { disk: Disk.negotiating }, answers());
    expect(set(actions, 'pdsk')).toBe(Disk.diskless);
  });
  it('a word from before its attach was late: the resync that both decide on needs a disk there', () => {
    const actions = receive(viewOf({ peers: [{ pdsk: Disk.diskless }] }), { disk: Disk.negotiating }, answers({ repl: Repl.wfBitMapT }));
    expect([set(actions, 'repl'), set(actions, 'pdsk'), sent(actions)]).toEqual([Repl.wfBitMapT, Disk.negotiating, 'uuids state']);
  });
  it('the peer must not attach: it finds out itself', () => {
    const actions = receive(viewOf({ peers: [{ pdsk: Disk.negotiating }] }), { disk: Disk.negotiating }, answers({ how: 'disconnect' }));
    expect(eventOf(actions, 'lost')).toBeUndefined();
    expect(set(actions, 'pdsk')).toBe(Disk.negotiating);
    expect(set(actions, 'repl')).toBe(Repl.established);
  });
});

describe('step 11: refusals', () => {
  it.each(['disconnect', 'retry'] as const)('%s while connecting is a result of the transaction', (how) => {
    const actions = receive(shaking(), { conn: Cstate.connecting }, answers({ how }));
    expect(eventOf(actions, 'handshakeFailed')).toMatchObject({ nodeId: 1, how });
    expect(eventOf(actions, 'handshakeState')!.state.conn).toBe(Repl.off);
    expect(eventOf(actions, 'lost')).toBeUndefined();
  });
  it.each([['disconnect', Cstate.disconnecting], ['retry', Cstate.protocolError]] as const)('%s while connected ends the connection',
    (how, cstate) => {
    const actions = receive(viewOf({ peers: [{ considerResync: true }] }), {}, answers({ how }));
    expect(eventOf(actions, 'lost')).toMatchObject({ cstate });
    expect(change(actions)).toBeUndefined();
  });
  it('a tentative connect ends', () => {
    expect(kinds(receive(shaking(), { conn: Cstate.connecting }, answers({ how: 'drop' })))).toEqual(['drop']);
  });
  it('an attach while connecting that must not be does not end the connection', () => {
    const actions = receive(shaking({ device: { disk: Disk.negotiating } }), { conn: Cstate.connecting }, answers({ how: 'disconnect' }));
    expect(eventOf(actions, 'handshakeFailed')).toBeUndefined();
    expect(eventOf(actions, 'handshakeState')!.state.conn).toBe(Repl.established);
    expect(facts(actions)).toMatchObject({ negotiationResult: Negotiation.noResult });
  });
});

describe('steps 12 and 13: diskless nodes', () => {
  const diskless = { device: { disk: Disk.diskless, md: null, currentUuid: 0n } };
  it.each([['ok', Disk.upToDate, undefined], ['outdated', Disk.outdated, undefined], ['retry', Disk.upToDate, 'retry'],
    ['disconnect', Disk.upToDate, 'disconnect']] as const)('12: trust %s', (trust, pdsk, how) => {
    const asked = answers(undefined, trust);
    const actions = receive(shaking(diskless), { conn: Cstate.connecting }, asked);
    expect(asked.questions).toEqual(['diskless']);
    expect(eventOf(actions, 'handshakeState')!.state.pdsk).toBe(pdsk);
    expect(eventOf(actions, 'handshakeFailed')?.how).toBe(how);
  });
  it.each<[string, View, Partial<StateWord>]>([
    ['of a peer that is not UpToDate', shaking(diskless), { disk: Disk.outdated }],
    ['without UUIDs', shaking({ ...diskless, peers: [{ uuidsReceived: false }] }), {}],
    ['with a disk', shaking(), {}],
    ['once connected', viewOf(diskless), {}],
  ])('12: no question %s', (_, view, state) => {
    const asked = answers();
    receive(view, { conn: Cstate.connecting, ...state }, asked);
    expect(asked.questions).not.toContain('diskless');
  });

  const theirs = { conn: Cstate.connecting, disk: Disk.diskless, role: Role.primary } as const;
  it.each([Disk.attaching, Disk.detaching, Disk.failed])('12: a disk on its way in or out (%i) is none yet, or no more', (disk) => {
    const asked = answers();
    receive(shaking({ device: { disk } }), { conn: Cstate.connecting }, asked);
    expect(asked.questions).toEqual(['diskless']);
  });
  it('13: a diskless Primary on the same data gives its size', () => {
    expect(kinds(receive(shaking({ peers: [{ currentUuidReceived: true, peerCurrentUuid: 0x11n }] }), theirs))).toContain('adoptSize');
  });
  it.each<[string, View, Partial<StateWord>]>([
    ['Secondary', shaking(), { ...theirs, role: Role.secondary }],
    ['on other data', shaking({ peers: [{ peerCurrentUuid: 0x20n }] }), theirs],
    ['met by a diskless node', shaking({ ...diskless, peers: [{ peerCurrentUuid: 0n }] }), theirs],
    ['that has been connected before', viewOf(), theirs],
  ])('13: not one %s', (_, view, state) => {
    expect(kinds(receive(view, state))).not.toContain('adoptSize');
  });
});

describe('steps 14 and 15', () => {
  const frozen = { resource: { suspUser: true }, device: { newCurUuid: true } };
  const onlyConsistent = { conn: Cstate.connecting, disk: Disk.consistent };
  it('14: an only Consistent peer cannot thaw', () => {
    expect(kinds(receive(shaking(frozen), onlyConsistent))).toEqual(['abortConnect']);
  });
  it.each<[string, View, Partial<StateWord>, Decision]>([
    ['it is UpToDate', shaking(frozen), { ...onlyConsistent, disk: Disk.upToDate }, { repl: Repl.established }],
    ['a resync follows', shaking(frozen), onlyConsistent, { repl: Repl.wfBitMapS }],
    ['nothing is frozen', shaking({ device: { newCurUuid: true } }), onlyConsistent, { repl: Repl.established }],
    ['nothing new was to be written', shaking({ resource: { suspUser: true } }), onlyConsistent, { repl: Repl.established }],
  ])('14: not if %s', (_, view, state, decision) => {
    expect(kinds(receive(view, state, answers(decision)))).not.toContain('abortConnect');
  });
  it.each([true, false])('15: quorum of the peer: %s', (quorum) => {
    expect(facts(receive(viewOf(), { quorum }))).toMatchObject({ peerQuorate: quorum });
  });
  const client = (peerQuorate: boolean): View => viewOf({ device: { disk: Disk.diskless, md: null }, peers: [{ peerQuorate }] });
  it.each([true, false])('18: without a disk the own quorum follows at once: %s', (quorum) => {
    expect(change(receive(client(!quorum), { quorum }))).toMatchObject({ tag: 'peer-state', flags: Cs.verbose | Cs.forceRecalc });
    expect(change(receive(client(quorum), { quorum }))).toMatchObject({ tag: 'peer-state', flags: Cs.verbose });
  });
});

describe('step 16: while connecting', () => {
  const first = { conn: Cstate.connecting, disk: Disk.inconsistent, role: Role.primary, userIsp: true } as const;
  it('the result is kept; no state changes', () => {
    const actions = receive(shaking(), first, answers({ repl: Repl.wfBitMapS }));
    expect(eventOf(actions, 'handshakeState')!.state).toEqual({ conn: Repl.wfBitMapS, peerRole: Role.primary, pdsk: Disk.inconsistent,
      disk: Disk.mask, peerIsp: true });
    expect(change(actions)).toBeUndefined();
    expect(kinds(actions)).toContain('handshakeFinished');
  });
  it('without any UUID, or outside our transaction, nothing is kept', () => {
    for (const view of [shaking({ peers: [{ uuidsReceived: false }] }), { ...shaking(), twopc: null }, during(shaking(), 3, 4)]) {
      expect(kinds(receive(view, first))).toEqual(['peerDeviceFacts']);
    }
  });
  it('P_CURRENT_UUID is enough', () => {
    const view = shaking({ peers: [{ uuidsReceived: false, currentUuidReceived: true }] });
    expect(kinds(receive(view, { ...first, disk: Disk.diskless }))).toContain('handshakeState');
  });
});

describe('steps 17 to 20: while connected', () => {
  it('17: a new volume: sizes, UUIDs, state; once it replicates, only the state', () => {
    expect(sent(receive(viewOf({ device: { disk: Disk.diskless, md: null, currentUuid: 0n }, peers: [{ ...off, uuidsReceived: false }] }),
      { conn: Repl.off, disk: Disk.diskless }))).toBe('sizes uuids state');
    expect(sent(receive(viewOf({ peers: [{ pdsk: Disk.diskless }] }), { conn: Repl.off, disk: Disk.diskless }))).toBe('state');
    expect(sent(receive(viewOf(), {}))).toBe('');
  });
  it('18: what the peer says becomes the view of it', () => {
    const actions = receive(viewOf(), { role: Role.primary, disk: Disk.outdated, aftrIsp: true });
    expect(change(actions)).toMatchObject({ tag: 'peer-state', flags: Cs.verbose });
    expect([set(actions, 'peerRole'), set(actions, 'pdsk'), set(actions, 'resyncSuspPeer'), set(actions, 'repl')])
      .toEqual([Role.primary, Disk.outdated, true, Repl.established]);
  });
  it('18: the first replication state is a fact', () => {
    const actions = receive(viewOf({ peers: [off] }), { conn: Repl.off });
    expect(change(actions)!.flags & Cs.hard).not.toBe(0);
    expect(set(actions, 'repl')).toBe(Repl.established);
  });
  it.each([[true, false], [false, true]])('18: suspended by user %s, by dependency %s', (userIsp, aftrIsp) => {
    expect(set(receive(viewOf(), { userIsp, aftrIsp }), 'resyncSuspPeer')).toBe(true);
  });
  it('19: the peer does not know yet that a resync is wanted', () => {
    const wants = answers({ repl: Repl.wfBitMapT });
    expect(sent(receive(viewOf({ peers: [{ considerResync: true }] }), {}, wants))).toBe('uuids state');
    expect(sent(receive(viewOf({ peers: [{ repl: Repl.wfBitMapS, pdsk: Disk.outdated }] }), { disk: Disk.outdated })))
      .toBe('uuids state');
  });
  it.each<[string, Parts, Partial<StateWord>]>([
    ['the peer knows', { peers: [{ considerResync: true }] }, { conn: Repl.wfBitMapS }],
    ['the volume is new', { peers: [off] }, { conn: Repl.established }],
    ['the peer attaches', { peers: [{ pdsk: Disk.negotiating }] }, { disk: Disk.negotiating }],
  ])('19: not if %s', (_, parts, state) => {
    expect(sent(receive(viewOf(parts), state, answers({ repl: Repl.wfBitMapT })))).toBe('');
  });
  it('20: meta-data are written, the state remembered', () => {
    const actions = receive(viewOf(), { conn: Repl.syncTarget, disk: Disk.inconsistent });
    expect(kinds(actions).slice(-2)).toEqual(['syncMd', 'peerDeviceFacts']);
    expect(facts(actions)).toMatchObject({ lastRepl: Repl.syncTarget });
  });
});
