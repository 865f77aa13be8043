// SPDX-License-Identifier: GPL-2.0-or-later
/** Objects, selectors, sticky facts, size. */
import { describe, expect, it } from 'vitest';
import type { Event } from '../../../src/state/events.ts';
import type { Sticky } from '../../../src/state/effects.ts';
import { restore } from '../../../src/state/restore.ts';
import { Gate, gateOf, openErrno, peersOutOfSync, peersToMirror, suspensions } from '../../../src/state/select.ts';
import { ssTable, ssText } from '../../../src/state/ss.ts';
import { Cs, Cstate, Disk, Repl, Role } from '../../../src/state/states.ts';
import { step } from '../../../src/state/step.ts';
import type { View } from '../../../src/state/types.ts';
import { defaultConnectionOptions, defaultDeviceOptions, defaultResourceOptions, emptyView, findPeerDevice } from '../../../src/state/view.ts';
import { live, viewOf } from './build.ts';

const run = (view: View, events: readonly Event[]): View => events.reduce((v, event) => step(v, event, live).view, view);
const device = (vnr: number): Event => ({ kind: 'addDevice', vnr, minor: vnr, options: defaultDeviceOptions, intentionalDiskless: false, wantBitmap: [] });
const peer = (nodeId: number): Event => ({ kind: 'addConnection', nodeId, name: `n${nodeId}`, options: defaultConnectionOptions, wantBitmap: [{ vnr: 1, wantBitmap: false }] });
const change = (changes: (Event & { kind: 'change' })['changes'], flags: number = Cs.hard): Event => ({ kind: 'change', request: 0, tag: 't', flags, changes });

describe('objects', () => {
  it('come in any order and stand in order; peer devices are dense', () => {
    const view = run(emptyView('r0', 0), [device(1), peer(5), device(0), peer(2)]);
    expect(view.devices.map((d) => d.vnr)).toEqual([0, 1]);
    expect(view.connections.map((c) => c.nodeId)).toEqual([2, 5]);
    expect(view.peerDevices.map((p) => `${p.vnr}/${p.nodeId}`)).toEqual(['0/2', '0/5', '1/2', '1/5']);
    expect(findPeerDevice(view, 1, 2)?.wantBitmap).toBe(false);
    const less = run(view, [{ kind: 'removeDevice', vnr: 0 }, { kind: 'removeConnection', nodeId: 5 }]);
    expect(less.peerDevices.map((p) => `${p.vnr}/${p.nodeId}`)).toEqual(['1/2']);
  });
  it('of an unknown name change nothing', () => {
    const result = step(viewOf(), change([{ set: 'disk', vnr: 7, disk: 0 }, { set: 'cstate', nodeId: 9, cstate: 1 }], 0), live);
    expect(result.result.rc).toBe(2);
    expect(result.work.filter((effect) => effect.kind === 'notify')).toEqual([]);
  });
});

describe('selectors', () => {
  it('follow the state', () => {
    const view = run(viewOf(), [change([{ set: 'role', role: Role.primary }], 0)]);
    expect(peersToMirror(view, 0)).toBe(2);
    expect(gateOf(view, view.devices[0]!)).toBe(Gate.newUuid);
    const behind = run(view, [change([{ set: 'repl', vnr: 0, nodeId: 1, repl: Repl.ahead }])]);
    expect([peersToMirror(behind, 0), peersOutOfSync(behind, 0)]).toEqual([0, 2]);
    const suspended = run(view, [change([{ set: 'suspUser', value: true }], 0)]);
    expect(gateOf(suspended, suspended.devices[0]!)).toBe(Gate.wait);
    expect(suspensions(suspended)).toEqual([{ kind: 'suspended', by: 'user', vnr: -1, nodeId: -1 }]);
  });
  it('open', () => {
    const view = viewOf();
    expect(openErrno(view, 0, true)).toBe(30);
    expect(openErrno(view, 0, false)).toBe(0);
    expect(openErrno(view, 3, true)).toBe(19);
    expect(openErrno(viewOf({ connections: [{ peerRole: Role.primary }] }), 0, false)).toBe(124);
    expect(openErrno(viewOf({ device: { disk: Disk.outdated }, connections: [{ cstate: Cstate.connecting, peerRole: 0 }],
      peers: [{ repl: Repl.off, pdsk: Disk.unknown }] }), 0, false)).toBe(11);
  });
  it('data not accessible: I/O fails or waits, as configured', () => {
    const lost = (onNoDataAccessible: 'io-error' | 'suspend-io'): View => run(viewOf({ resource: { role: Role.primary,
      options: { ...defaultResourceOptions, onNoDataAccessible } }, peers: [{ pdsk: Disk.inconsistent }] }),
    [change([{ set: 'disk', vnr: 0, disk: Disk.failed }])]);
    const fails = lost('io-error');
    expect(gateOf(fails, fails.devices[0]!)).toBe(Gate.fail);
    const waits = lost('suspend-io');
    expect(gateOf(waits, waits.devices[0]!)).toBe(Gate.wait);
    expect(suspensions(waits)).toEqual([{ kind: 'suspended', by: 'no-data', vnr: 0, nodeId: -1 }]);
  });
});

describe('sticky facts', () => {
  it('bring a view back', () => {
    const sticky: Sticky[] = [];
    let view = viewOf({ connections: [{ options: { ...defaultConnectionOptions, fencing: 2 } }] });
    for (const event of [change([{ set: 'role', role: Role.primary }], 0), { kind: 'lost', nodeId: 1, cstate: Cstate.networkFailure, tag: 'x' } as const]) {
      const result = step(view, event, live);
      view = result.view;
      for (const effect of result.effects) if (effect.kind === 'sticky') sticky.push(effect.fact);
    }
    const fresh = viewOf({ connections: [{ cstate: Cstate.standAlone, peerRole: 0 }], peers: [{ repl: Repl.off, pdsk: Disk.unknown }] });
    const back = sticky.reduce(restore, fresh);
    expect(back.resource.role).toBe(Role.primary);
    expect(back.connections[0]!.suspFen).toBe(true);
    expect(back.devices[0]!.newCurUuid).toBe(true);
  });
  it('stand before what depends on them', () => {
    const { effects } = step(viewOf(), change([{ set: 'role', role: Role.primary }], 0), live);
    expect(effects[0]).toMatchObject({ kind: 'sticky', fact: { kind: 'role', role: Role.primary } });
  });
});

describe('result codes', () => {
  it('are unique and have a sentence', () => {
    expect(new Set(ssTable.map((row) => row.code)).size).toBe(ssTable.length);
    expect(ssText(-2)).toBe('Need access to UpToDate data');
    for (const row of ssTable) expect(row.text).not.toBe('');
  });
});

describe('size', () => {
  it('31 peers and 64 volumes: a transaction takes milliseconds', () => {
    const events: Event[] = [];
    for (let v = 0; v < 64; v++) events.push(device(v));
    for (let n = 1; n < 32; n++) events.push(peer(n));
    let view = run(emptyView('r0', 0), events);
    view = run(view, Array.from({ length: 20 }, (_, i) => change([{ set: 'suspUser', value: i % 2 === 0 }], 0)));
    const start = performance.now();
    for (let i = 0; i < 20; i++) view = step(view, change([{ set: 'suspUser', value: i % 2 === 0 }], 0), live).view;
    const each = (performance.now() - start) / 20;
    // 5 ms on a quiet machine; this only catches what is quadratic.
    expect(each).toBeLessThan(100);
    process.stdout.write(`transaction with 31 x 64 peer devices: ${each.toFixed(1)} ms\n`);
  });
});
