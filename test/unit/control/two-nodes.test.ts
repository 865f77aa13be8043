// SPDX-License-Identifier: GPL-2.0-or-later
/** Two engines, unmodified paths of administrators: connect, first sync, disconnect, connect, down. */
import { beforeEach, describe, expect, it } from 'vitest';
import { SimCluster } from '../../../src/sim/cluster.ts';
import type { SimMember } from '../../../src/sim/cluster.ts';
import { Cstate, Disk, Repl, Role } from '../../../src/state/states.ts';
import { eventLine } from './events.ts';

let cluster: SimCluster;
let a: SimMember;
let b: SimMember;
let events: Record<'a' | 'b', string[]>;

beforeEach(() => {
  cluster = new SimCluster(1, { nodes: 2, volumes: 1, diskSectors: 20_480, wireProtocol: 3 });
  [a, b] = cluster.members as [SimMember, SimMember];
  events = { a: [], b: [] };
  a.node.admin.listeners.push((message) => events.a.push(eventLine(message)));
  b.node.admin.listeners.push((message) => events.b.push(eventLine(message)));
});

const connected = (member: SimMember): boolean => member.resource.view.connections[0]?.cstate === Cstate.connected;
const repl = (member: SimMember): Repl => member.resource.view.peerDevices[0]!.repl;
const disk = (member: SimMember): Disk => member.resource.view.devices[0]!.disk;
const settled = (): boolean => connected(a) && connected(b) && repl(a) === Repl.established && repl(b) === Repl.established;

async function up(): Promise<void> {
  await cluster.up(0);
  await cluster.up(1);
  await cluster.until('connected', settled);
}

async function upToDate(): Promise<void> {
  await up();
  expect((await cluster.admin(a.setup.primary('r0', true))).code).toBe(1);
  await cluster.until('first sync', () => disk(b) === Disk.upToDate && settled());
}

describe('two nodes', { timeout: 30_000 }, () => {
  it('connect', async () => {
    await up();
    expect([disk(a), disk(b)]).toEqual([Disk.inconsistent, Disk.inconsistent]);
  });

  it('stay connected without a volume, where no P_STATE ends the handshake', async () => {
    cluster = new SimCluster(1, { nodes: 2, volumes: 0, diskSectors: 20_480, wireProtocol: 3 });
    [a, b] = cluster.members as [SimMember, SimMember];
    await cluster.up(0);
    await cluster.up(1);
    await cluster.until('connected', () => connected(a) && connected(b));
    const end = cluster.world.nowMs + 30_000;
    await cluster.until('time passes', () => cluster.world.nowMs >= end);
    for (const member of [a, b]) {
      expect(connected(member)).toBe(true);
      expect(member.resource.view.connections[0]!.connects).toBe(1);
    }
    expect((await cluster.admin(a.setup.primary('r0', false))).code).toBe(1);
    await cluster.until('the role is seen', () => b.resource.view.connections[0]!.peerRole === Role.primary);
    expect((await cluster.admin(a.setup.secondary('r0'))).code).toBe(1);
    await cluster.until('the role is seen', () => b.resource.view.connections[0]!.peerRole === Role.secondary);
    const seen: string[] = [];
    b.node.admin.listeners.push((message) => seen.push(eventLine(message)));
    expect((await cluster.admin(a.setup.disconnect('r0', 1))).code).toBe(101);
    await cluster.until('Connecting again', () => b.resource.view.connections[0]!.cstate === Cstate.connecting);
    expect(a.resource.view.connections[0]!.cstate).toBe(Cstate.standAlone);
    await cluster.until('told', () => seen.at(-1)!.includes('Connecting'));
    expect(seen.filter((line) => line.startsWith('change connection')).slice(-3)).toEqual([
      'change connection r0:0 TearDown Unknown', 'change connection r0:0 Unconnected Unknown',
      'change connection r0:0 Connecting Unknown']);
  });

  it('sync for the first time', async () => {
    await upToDate();
    expect(a.resource.devices.get(0)!.disk!.bitmap.weight[0]).toBe(0);
    expect(b.resource.devices.get(0)!.disk!.bitmap.weight[0]).toBe(0);
  });

  it('disconnect in order, connect again, go down', async () => {
    await upToDate();
    await cluster.until('quiet', () => a.resource.worker.idle && b.resource.worker.idle);
    events.a.length = events.b.length = 0;
    expect((await cluster.admin(a.setup.disconnect('r0', 1))).code).toBe(101);
    await cluster.until('StandAlone and Connecting', () =>
      events.a.at(-1)!.includes('StandAlone') && events.b.at(-1)!.includes('Connecting'));
    expect(events.a).toEqual(['change connection r0:1 Disconnecting Unknown +', 'change peer-device r0:1/0 Off DUnknown',
      'change path r0:1', 'call helper r0:1 disconnected', 'response helper r0:1 disconnected',
      'change connection r0:1 StandAlone Unknown']);
    expect(events.b).toEqual(['change connection r0:0 TearDown Unknown +', 'change device r0/0 Outdated +',
      'change peer-device r0:0/0 Off DUnknown', 'change path r0:0', 'call helper r0:0 disconnected',
      'response helper r0:0 disconnected', 'change connection r0:0 Unconnected Unknown', 'change connection r0:0 Connecting Unknown']);
    expect((await cluster.admin(a.setup.connect('r0', 1))).code).toBe(1);
    await cluster.until('connected again', () => settled() && disk(b) === Disk.upToDate);
    expect((await cluster.admin(a.setup.down('r0'))).code).toBe(101);
    expect((await cluster.admin(b.setup.down('r0'))).code).toBe(101);
  });
});
