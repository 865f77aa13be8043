// SPDX-License-Identifier: GPL-2.0-or-later
/** The worked traces. @spec state.md 10 */
import { describe, expect, it } from 'vitest';
import { Ss } from '../../../src/state/ss.ts';
import { Cs, Disk, MdFlag, Repl } from '../../../src/state/states.ts';
import { Cluster } from './cluster.ts';

const GOOD = MdFlag.consistent | MdFlag.wasUpToDate | MdFlag.haveQuorum;

const pair = (): Cluster => {
  const cluster = new Cluster(2);
  cluster.up([GOOD, GOOD], [0x10n, 0x10n]);
  cluster.connect(0, 1);
  return cluster;
};

describe('traces', () => {
  it('10.1 up: Attaching, then the disk state of the meta-data', () => {
    const cluster = new Cluster(2);
    cluster.up([0, 0], [4n, 4n]);
    expect(cluster.nodes[0]!.lines).toEqual(['device 0 Attaching', 'device 0 Inconsistent']);
    cluster.mark();
    cluster.nodes[0]!.give({ kind: 'connect', request: 3, nodeId: 1, discardMyData: false, tentative: false });
    cluster.run();
    expect(cluster.nodes[0]!.done.get(3)).toBe(Ss.success);
    expect(cluster.lines).toEqual(['0 connection 1 Unconnected Unknown', '0 connection 1 Connecting Unknown']);
  });

  it('10.2 primary needs data or force', () => {
    const cluster = new Cluster(2);
    cluster.up([0, 0], [4n, 4n]);
    expect(cluster.primary(0)).toBe(Ss.noUpToDateDisk);
    cluster.mark();
    expect(cluster.primary(0, true)).toBe(Ss.success);
    expect(cluster.lines).toEqual(['0 + resource Primary', '0 device 0 UpToDate']);
    expect(cluster.nodes[0]!.logs).toContain('role( Secondary -> Primary ) [primary]');
  });

  it('10.3 connect with full initial sync', () => {
    const cluster = new Cluster(2);
    cluster.up([0, 0], [4n, 4n]);
    cluster.primary(0, true);
    cluster.mark();
    cluster.connect(0, 1);
    expect(cluster.packets.slice(0, 3)).toEqual(['0>1 prepare', '1>0 yes', '0>1 commit']);
    expect(cluster.nodes[0]!.lines.slice(-2)).toEqual(['+ connection 1 Connected Secondary', 'peer-device 1/0 WFBitMapS Inconsistent']);
    expect(cluster.nodes[1]!.lines.slice(-2)).toEqual(['+ connection 0 Connected Primary', 'peer-device 0/0 WFBitMapT UpToDate']);
    expect(cluster.packets.slice(3).filter((p) => p.startsWith('1>0'))).toEqual(['1>0 uuids', '1>0 uuids', '1>0 state']);
    cluster.mark();
    cluster.resync(0, 1);
    expect(cluster.state(0)).toBe('Primary/UpToDate 1:Connected/Secondary/Established/UpToDate');
    expect(cluster.state(1)).toBe('Secondary/UpToDate 0:Connected/Primary/Established/UpToDate');
    expect(cluster.nodes[1]!.lines.slice(-2)).toEqual(['+ device 0 UpToDate', 'peer-device 0/0 Established UpToDate']);
  });

  it('10.5 connect with resync by bitmap: the target stays Outdated until it begins', () => {
    const cluster = pair();
    cluster.primary(0);
    cluster.disconnect(0, 1);
    cluster.nodes[0]!.give({ kind: 'deviceFacts', vnr: 0, facts: { currentUuid: 0x20n } });
    cluster.mark();
    cluster.nodes[0]!.give({ kind: 'connect', request: 3, nodeId: 1, discardMyData: false, tentative: false });
    cluster.run();
    expect(cluster.words).toEqual(['1f3 91']);
    expect(cluster.own(0).slice(-2)).toEqual(['+ connection 1 Connected Secondary', 'peer-device 1/0 WFBitMapS Outdated']);
    expect(cluster.own(1).slice(-2)).toEqual(['+ connection 0 Connected Primary', 'peer-device 0/0 WFBitMapT UpToDate']);
    expect(cluster.state(1)).toBe('Secondary/Outdated 0:Connected/Primary/WFBitMapT/UpToDate');
    expect(cluster.packets.filter((p) => p.startsWith('1>0')).slice(-3)).toEqual(['1>0 uuids', '1>0 uuids', '1>0 state']);
    cluster.mark();
    cluster.resync(0, 1);
    expect(cluster.own(0)[0]).toBe('peer-device 1/0 SyncSource Inconsistent');
    expect(cluster.own(1).slice(0, 2)).toEqual(['+ device 0 Inconsistent', 'peer-device 0/0 SyncTarget UpToDate']);
    expect(cluster.state(0)).toBe('Primary/UpToDate 1:Connected/Secondary/Established/UpToDate');
    expect(cluster.state(1)).toBe('Secondary/UpToDate 0:Connected/Primary/Established/UpToDate');
  });

  it('10.6 and 10.4 graceful disconnect by the Primary, and back without resync', () => {
    const cluster = pair();
    expect(cluster.primary(0)).toBe(Ss.success);
    cluster.mark();
    expect(cluster.disconnect(0, 1)).toBe(Ss.success);
    expect(cluster.packets.slice(0, 3)).toEqual(['0>1 prepare', '1>0 yes', '0>1 commit']);
    const own = (n: number): string[] => cluster.lines.filter((l) => l.startsWith(`${n} `)).map((l) => l.slice(2));
    expect(own(0)).toEqual(['+ connection 1 Disconnecting Unknown', 'peer-device 1/0 Off DUnknown', 'connection 1 StandAlone Unknown']);
    expect(own(1)).toEqual(['+ connection 0 TearDown Unknown', '+ device 0 Outdated', 'peer-device 0/0 Off DUnknown',
      'connection 0 Unconnected Unknown', 'connection 0 Connecting Unknown']);
    expect(cluster.disconnect(0, 1)).toBe(Ss.success);
    expect(cluster.primary(1)).toBe(Ss.noUpToDateDisk);
    cluster.nodes[0]!.give({ kind: 'connect', request: 3, nodeId: 1, discardMyData: false, tentative: false });
    cluster.run();
    expect(cluster.state(1)).toBe('Secondary/UpToDate 0:Connected/Primary/Established/UpToDate');
    expect(cluster.state(0)).toBe('Primary/UpToDate 1:Connected/Secondary/Established/UpToDate');
  });

  it('10.7 loss of the Primary: Consistent, then UpToDate by the empty transaction, then promotion', () => {
    const cluster = pair();
    cluster.primary(0);
    cluster.mark();
    cluster.breakLink(0, 1);
    cluster.run();
    const lines = cluster.lines.filter((l) => l.startsWith('1 ')).map((l) => l.slice(2));
    expect(lines.slice(0, 3)).toEqual(['+ connection 0 BrokenPipe Unknown', '+ device 0 Consistent', 'peer-device 0/0 Off DUnknown']);
    // hazards.md 15.5: not before the teardown is over, and with it all that may be owed to other survivors.
    expect(lines.indexOf('device 0 UpToDate')).toBeGreaterThan(lines.indexOf('connection 0 Unconnected Unknown'));
    expect(cluster.primary(1)).toBe(Ss.success);
    expect(cluster.nodes[1]!.view.devices[0]!.newCurUuid).toBe(true);
  });

  it('10.8 demote and promote while connected', () => {
    const cluster = pair();
    cluster.primary(0);
    cluster.mark();
    expect(cluster.secondary(0)).toBe(Ss.success);
    expect(cluster.packets.slice(0, 3)).toEqual(['0>1 prepare', '1>0 yes', '0>1 commit']);
    expect(cluster.lines).toContain('0 resource Secondary');
    expect(cluster.lines).toContain('1 connection 0 Connected Secondary');
    expect(cluster.primary(1)).toBe(Ss.success);
    expect(cluster.state(0)).toBe('Secondary/UpToDate 1:Connected/Primary/Established/UpToDate');
    cluster.mark();
    expect(cluster.primary(0)).toBe(Ss.twoPrimaries);
    expect(cluster.packets).toEqual([]);
  });

  it('10.9 detach, connected', () => {
    const cluster = pair();
    cluster.primary(1);
    cluster.mark();
    expect(cluster.request(1, { kind: 'clusterChange', request: 5, tag: 'detach', flags: 2 | 8, transient: true,
      change: { what: 'disk', vnr: 0, disk: 2 } })).toBe(Ss.success);
    expect(cluster.packets.slice(0, 3)).toEqual(['1>0 prepare', '0>1 yes', '1>0 commit']);
    expect(cluster.lines.filter((l) => l.startsWith('1 '))).toEqual(['1 device 0 Detaching', '1 device 0 Diskless']);
    expect(cluster.state(0)).toBe('Secondary/UpToDate 1:Connected/Primary/Established/Diskless');
  });

  it('10.9 a Primary alone keeps its data', () => {
    const cluster = new Cluster(2);
    cluster.up([GOOD, GOOD], [0x10n, 0x10n]);
    cluster.primary(0);
    expect(cluster.request(0, { kind: 'clusterChange', request: 5, tag: 'detach', flags: 2 | 8, transient: true,
      change: { what: 'disk', vnr: 0, disk: 2 } })).toBe(Ss.noUpToDateDisk);
  });

  it('10.9 attach, connected: the same data, and older ones', () => {
    const cluster = pair();
    const detach = { kind: 'clusterChange', request: 5, tag: 'detach', flags: Cs.verbose | Cs.serialize, transient: true,
      change: { what: 'disk', vnr: 0, disk: Disk.detaching } } as const;
    cluster.request(1, detach);
    cluster.mark();
    expect(cluster.attach(1, GOOD, 0x10n, [0])).toBe(Ss.success);
    expect(cluster.words).toEqual(['1e00 800']);
    expect(cluster.own(1)).toEqual(['device 0 Attaching', 'device 0 Negotiating', 'device 0 UpToDate']);
    expect(cluster.packets.slice(3).filter((p) => p.startsWith('0>1'))).toEqual(['0>1 uuids', '0>1 state']);
    expect(cluster.state(0)).toBe('Secondary/UpToDate 1:Connected/Secondary/Established/UpToDate');
    cluster.request(1, detach);
    cluster.nodes[0]!.give({ kind: 'deviceFacts', vnr: 0, facts: { currentUuid: 0x20n } });
    cluster.mark();
    expect(cluster.attach(1, GOOD, 0x10n, [0])).toBe(Ss.success);
    expect(cluster.own(1).slice(2)).toEqual(['+ device 0 Inconsistent', 'peer-device 0/0 WFBitMapT UpToDate']);
    expect(cluster.state(0)).toBe('Secondary/UpToDate 1:Connected/Secondary/WFBitMapS/Inconsistent');
  });

  it('10.10 split brain: both StandAlone', () => {
    const cluster = new Cluster(2);
    cluster.up([GOOD, GOOD], [0x10n, 0x20n]);
    cluster.splitBrain = true;
    cluster.connect(0, 1);
    expect(cluster.packets).toContain('1>0 no');
    expect(cluster.packets).toContain('0>1 abort');
    expect(cluster.state(0)).toContain('1:StandAlone');
    expect(cluster.state(1)).toContain('0:StandAlone');
  });

  it('10.11 down while the peer is absent', () => {
    const cluster = new Cluster(2);
    cluster.up([GOOD, GOOD], [0x10n, 0x10n]);
    cluster.nodes[0]!.give({ kind: 'connect', request: 3, nodeId: 1, discardMyData: false, tentative: false });
    cluster.run();
    cluster.mark();
    expect(cluster.secondary(0)).toBe(Ss.nothingToDo);
    expect(cluster.disconnect(0, 1)).toBe(Ss.success);
    cluster.nodes[0]!.give({ kind: 'removeConnection', nodeId: 1 });
    expect(cluster.request(0, { kind: 'clusterChange', request: 5, tag: 'detach', flags: Cs.verbose | Cs.serialize, transient: true,
      change: { what: 'disk', vnr: 0, disk: Disk.detaching } })).toBe(Ss.success);
    cluster.nodes[0]!.give({ kind: 'removeDevice', vnr: 0 });
    expect(cluster.lines).toEqual(['0 connection 1 Disconnecting Unknown', '0 connection 1 StandAlone Unknown', '0 device 0 Detaching',
      '0 device 0 Diskless']);
    expect(cluster.packets).toEqual([]);
    expect(cluster.nodes[0]!.view).toMatchObject({ connections: [], devices: [], peerDevices: [], operations: [], twopc: null });
  });

  const replChange = (repl: Repl) => ({ kind: 'clusterChange', request: 5, tag: 'repl', flags: Cs.verbose | Cs.serialize, transient: true,
    change: { what: 'repl', vnr: 0, nodeId: 1, repl } }) as const;

  it('10.12 invalidate-remote', () => {
    const cluster = pair();
    cluster.primary(0);
    cluster.mark();
    expect(cluster.request(0, replChange(Repl.startingSyncS))).toBe(Ss.success);
    expect(cluster.words).toEqual(['1f0 b0']);
    expect(cluster.packets.slice(0, 3)).toEqual(['0>1 prepare', '1>0 yes', '0>1 commit']);
    expect(cluster.own(0)[0]).toBe('peer-device 1/0 StartingSyncS Consistent');
    expect(cluster.own(1).slice(0, 2)).toEqual(['+ device 0 Outdated', 'peer-device 0/0 StartingSyncT UpToDate']);
    cluster.mark();
    cluster.resync(0, 1);
    expect(cluster.own(1).slice(0, 2)).toEqual(['+ device 0 Inconsistent', 'peer-device 0/0 SyncTarget UpToDate']);
    expect(cluster.own(0)).toContain('peer-device 1/0 SyncSource Inconsistent');
    expect(cluster.state(0)).toBe('Primary/UpToDate 1:Connected/Secondary/Established/UpToDate');
    expect(cluster.request(0, replChange(Repl.startingSyncS))).toBe(Ss.success);
    expect(cluster.request(0, replChange(Repl.startingSyncS))).toBe(Ss.nothingToDo);
    cluster.nodes[0]!.set('start-resync', [{ set: 'repl', vnr: 0, nodeId: 1, repl: Repl.syncSource }]);
    expect(cluster.request(0, replChange(Repl.startingSyncS))).toBe(Ss.resyncRunning);
  });

  it('10.12 verify: to the end on both sides; not without an algorithm', () => {
    const cluster = new Cluster(2);
    cluster.up([GOOD, GOOD], [0x10n, 0x10n], { verifyAlg: true });
    cluster.connect(0, 1);
    cluster.mark();
    expect(cluster.request(0, replChange(Repl.verifyS))).toBe(Ss.success);
    expect(cluster.words).toEqual(['1f0 120']);
    expect(cluster.own(0)[0]).toBe('peer-device 1/0 VerifyS UpToDate');
    expect(cluster.own(1)[0]).toBe('peer-device 0/0 VerifyT UpToDate');
    cluster.nodes[0]!.set('verify-done', [{ set: 'repl', vnr: 0, nodeId: 1, repl: Repl.established }]);
    cluster.run();
    expect(cluster.state(1)).toBe('Secondary/UpToDate 0:Connected/Secondary/Established/UpToDate');
    expect(pair().request(0, replChange(Repl.verifyS))).toBe(Ss.noVerifyAlg);
  });

  it('10.12 pause-sync: told to the peer', () => {
    const cluster = pair();
    cluster.mark();
    const pause = (value: boolean) => cluster.nodes[0]!.set('pause', [{ set: 'resyncSuspUser', vnr: 0, nodeId: 1, value }]);
    expect(pause(true)).toBe(Ss.success);
    cluster.run();
    expect(cluster.packets).toEqual(['0>1 state']);
    expect(cluster.nodes[1]!.view.peerDevices[0]).toMatchObject({ suspPeer: true, suspUser: false });
    expect(pause(true)).toBe(Ss.nothingToDo);
    expect(pause(false)).toBe(Ss.success);
    cluster.run();
    expect(cluster.nodes[1]!.view.peerDevices[0]!.suspPeer).toBe(false);
  });

  it('10.12 outdate beside the Primary is refused', () => {
    const cluster = pair();
    cluster.primary(0);
    expect(cluster.request(1, { kind: 'clusterChange', request: 5, tag: 'outdate', flags: 2 | 4 | 8, transient: true,
      change: { what: 'disk', vnr: 0, disk: 6 } })).toBe(Ss.connectedOutdates);
  });

  it('10.13 three nodes: the third does not change state', () => {
    const cluster = new Cluster(3);
    cluster.up([GOOD, GOOD, GOOD], [0x10n, 0x10n, 0x10n]);
    cluster.connect(0, 1);
    cluster.connect(0, 2);
    cluster.connect(1, 2);
    cluster.primary(0);
    const third = cluster.state(2);
    cluster.mark();
    expect(cluster.disconnect(0, 1)).toBe(Ss.success);
    expect(cluster.packets.filter((p) => p.endsWith('prepare'))).toEqual(['0>1 prepare', '0>2 prepare']);
    expect(cluster.state(1)).toContain('Secondary/Outdated');
    expect(cluster.state(2))
      .toBe(third.replace('1:Connected/Secondary/Established/UpToDate', '1:Connected/Secondary/Established/Outdated'));
  });

  it('10.14 Ahead and Behind', () => {
    const cluster = pair();
    cluster.primary(0);
    cluster.nodes[0]!.give({ kind: 'deviceFacts', vnr: 0, facts: { newCurUuid: false } });
    cluster.mark();
    cluster.nodes[0]!.set('congestion', [{ set: 'repl', vnr: 0, nodeId: 1, repl: Repl.ahead }], Cs.hard);
    cluster.run();
    expect(cluster.own(0)).toEqual(['peer-device 1/0 Ahead Consistent', 'peer-device 1/0 Ahead Outdated']);
    expect(cluster.own(1)).toEqual(['+ device 0 Outdated', 'peer-device 0/0 Behind UpToDate']);
    expect(cluster.packets).toEqual(['0>1 state', '1>0 state']);
    expect(cluster.nodes[0]!.view.devices[0]).toMatchObject({ newCurUuid: true, mirrorMask: 0, outOfSyncMask: 2 });
    cluster.mark();
    cluster.nodes[0]!.set('postponed-resync', [{ set: 'repl', vnr: 0, nodeId: 1, repl: Repl.syncSource }]);
    cluster.run();
    expect(cluster.own(0)).toEqual(['peer-device 1/0 SyncSource Inconsistent']);
    expect(cluster.own(1)).toEqual(['device 0 Inconsistent', 'peer-device 0/0 SyncTarget UpToDate']);
    expect(cluster.packets.filter((p) => p === '1>0 state')).toHaveLength(2);
  });

  it('a chain: a promotion is asked of nodes that are not directly connected', () => {
    const cluster = new Cluster(3);
    cluster.up([GOOD, GOOD, GOOD], [0x10n, 0x10n, 0x10n]);
    cluster.connect(0, 1);
    cluster.connect(1, 2);
    cluster.mark();
    expect(cluster.primary(0)).toBe(Ss.success);
    expect(cluster.packets.filter((p) => !/uuids|state/.test(p)))
      .toEqual(['0>1 prepare', '1>2 prepare', '2>1 yes', '1>0 yes', '0>1 commit', '1>2 commit']);
    expect(cluster.state(2)).toContain('Secondary/Outdated');
    expect(cluster.primary(2)).toBe(Ss.cwFailedByPeer);
  });

  it('fencing: the survivor is frozen until the handler has answered', () => {
    const cluster = new Cluster(2);
    cluster.up([GOOD, GOOD], [0x10n, 0x10n], { fencing: 2 });
    cluster.connect(0, 1);
    expect(cluster.primary(0)).toBe(Ss.success);
    cluster.mark();
    cluster.breakLink(0, 1);
    expect(cluster.nodes[0]!.view.resource.suspended).toBe(true);
    cluster.run();
    expect(cluster.nodes[0]!.helpers).toContain('fence-peer');
    expect(cluster.nodes[0]!.view.resource.suspended).toBe(false);
    expect(cluster.state(0)).toContain('Outdated');
    expect(cluster.nodes[0]!.view.devices[0]!.newCurUuid).toBe(false);
  });

  it.each([[Disk.consistent, true], [Disk.upToDate, false]])('fencing: of a disk that is %i when the handler answers, a promotion makes a generation: %s', (disk, makes) => {
    const cluster = new Cluster(3);
    cluster.up([GOOD, GOOD, GOOD], [0x10n, 0x10n, 0x10n], { fencing: 1 });
    for (const [a, b] of [[0, 1], [0, 2], [1, 2]] as const) cluster.connect(a, b);
    expect(cluster.primary(0)).toBe(Ss.success);
    const [, node] = cluster.nodes;
    let answer = (): void => {};
    const perform = node!.perform.bind(node);
    node!.perform = (effect) => {
      if (effect.kind !== 'helper' || effect.name !== 'fence-peer') return perform(effect);
      answer = () => node!.give({ kind: 'helperDone', token: effect.token, exit: 4 });
    };
    for (const survivor of [1, 2]) cluster.breakLink(0, survivor);
    cluster.run();
    node!.give({ kind: 'setRole', request: 9, tag: 'primary', role: 1, force: false });
    cluster.run(60_000);
    if (disk === Disk.upToDate) for (const n of [1, 2]) cluster.nodes[n]!.set('peer-state', [{ set: 'disk', vnr: 0, disk }]);
    expect(node!.view.devices[0]!.disk).toBe(disk);
    cluster.run(0);
    cluster.mark();
    answer();
    cluster.run(0);
    expect(node!.done.get(9)).toBe(Ss.success);
    expect(cluster.packets.includes('1>2 uuids')).toBe(makes);
    expect(cluster.nodes[1]!.view.peerDevices[1]!.considerResync).toBe(false);
  });

  it('two nodes that promote at once: one wins', () => {
    const cluster = pair();
    for (const n of [0, 1]) cluster.nodes[n]!.give({ kind: 'setRole', request: 9, tag: 'primary', role: 1, force: false });
    cluster.run(60_000);
    const results = [0, 1].map((n) => cluster.nodes[n]!.done.get(9));
    expect(results.filter((rc) => rc === Ss.success)).toHaveLength(1);
    expect(results.filter((rc) => rc === Ss.twoPrimaries)).toHaveLength(1);
    expect(cluster.nodes.filter((n) => n.view.resource.role === 1)).toHaveLength(1);
  });

  it('nothing is left over: no transaction, no operation, no semaphore', () => {
    const cluster = pair();
    cluster.primary(0);
    cluster.secondary(0);
    cluster.disconnect(1, 0);
    for (const { view } of cluster.nodes) {
      expect(view.twopc).toBeNull();
      expect(view.waiting).toEqual([]);
      expect(view.operations).toEqual([]);
      expect(view.semHolder).toBe(0);
    }
  });
});
