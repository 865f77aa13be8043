// SPDX-License-Identifier: GPL-2.0-or-later
/** An engine dies; the next one takes over what the journal and the kernel kept. */
import { beforeEach, describe, expect, it } from 'vitest';
import { detachParms } from '../../../src/genl/command-attrs.ts';
import { Cmd } from '../../../src/genl/ops.ts';
import { applyActivityLog } from '../../../src/sim/apply-al.ts';
import { SimCluster } from '../../../src/sim/cluster.ts';
import type { SimMember } from '../../../src/sim/cluster.ts';
import { Cstate, Disk, Role } from '../../../src/state/states.ts';
import { snapshotOf } from '../../../src/control/snapshot.ts';
import { eventLine } from './events.ts';

let cluster: SimCluster;
let member: SimMember;
let events: string[];

beforeEach(async () => {
  cluster = new SimCluster(1, { nodes: 2, volumes: 2, diskSectors: 20_480, wireProtocol: 3 });
  member = cluster.members[0]!;
  events = [];
  await cluster.up(0);
  await cluster.until('Connecting', () => member.resource.view.connections[0]!.cstate === Cstate.connecting);
  member.node.admin.listeners.push((message) => events.push(eventLine(message)));
});

/** Kills the engine and waits until the next one has told what it took over. */
async function nextEngine(): Promise<void> {
  const { life } = member.node;
  events.length = 0;
  member.node.killEngine();
  await cluster.until('the next engine', () => member.node.life !== life && events.some((e) => e.startsWith('change path')));
}

/** Configuration alone. */
function config(): unknown {
  const { name, opts, devices, connections } = snapshotOf(member.resource);
  return { name, opts, devices: devices.map(({ minor, volume, conf, diskConf }) => ({ minor, volume, conf, diskConf })),
    connections: connections.map(({ peerNodeId, netConf, paths, peerDevices }) =>
      ({ peerNodeId, netConf, paths, peerDevices: peerDevices.map((pd) => pd.opts) })) };
}

describe('take-over by a new engine', { timeout: 30_000 }, () => {
  it('keeps configuration, role, disks, and connects again', async () => {
    const { setup } = member;
    await cluster.admin(setup.primary('r0', true));
    await cluster.admin(setup.peerDeviceOptions('r0', 1, 0, { cMaxRate: 4711 }));
    const before = config();
    await nextEngine();
    expect(config()).toEqual(before);
    const { view } = member.resource;
    expect(view.resource.role).toBe(Role.primary);
    expect(view.resource.explicitPrimary).toBe(true);
    expect(view.devices.map((d) => d.disk)).toEqual([Disk.upToDate, Disk.upToDate]);
    await cluster.until('Connecting', () => member.resource.view.connections[0]!.cstate === Cstate.connecting);
    expect(events.slice(0, 6)).toEqual(['change resource r0 Primary +', 'change connection r0:1 StandAlone Unknown +',
      'change device r0/0 UpToDate +', 'change device r0/1 UpToDate +', 'change peer-device r0:1/0 Off DUnknown +',
      'change peer-device r0:1/1 Off DUnknown']);
    expect((await cluster.admin(setup.down('r0'))).code).toBe(101);
    expect(member.node.journal.records).toEqual([]);
  });

  it('does not take an ended explicit promotion for one that holds', async () => {
    const { setup } = member;
    await cluster.admin(setup.primary('r0', true));
    await cluster.admin(setup.secondary('r0'));
    await nextEngine();
    const { role, explicitPrimary } = member.resource.view.resource;
    expect([role, explicitPrimary]).toEqual([Role.secondary, false]);
  });

  it('knows who is Diskless on purpose', async () => {
    const { setup } = member;
    await cluster.admin(setup.with(Cmd.DETACH, {}, detachParms, { intentionalDisklessDetach: true }, 0));
    await nextEngine();
    expect(member.resource.view.devices.map((d) => d.intentionalDiskless)).toEqual([true, false]);
    applyActivityLog(member.node.disks.get('/dev/disk0')!);
    const { code, text } = await cluster.admin(setup.attach(0, '/dev/disk0'));
    expect(code, text).toBe(101);
    await nextEngine();
    expect(member.resource.view.devices.map((d) => d.intentionalDiskless)).toEqual([false, false]);
  });

  it('leaves a StandAlone connection alone, a detached disk detached, suspended I/O suspended', async () => {
    const { setup } = member;
    expect((await cluster.admin(setup.disconnect('r0', 1))).code).toBe(101);
    expect((await cluster.admin(setup.plain(Cmd.DETACH, {}, 1))).code).toBe(1);
    expect((await cluster.admin(setup.plain(Cmd.SUSPEND_IO, {}, 0))).code).toBe(1);
    await nextEngine();
    const { view } = member.resource;
    expect(view.devices.map((d) => d.disk)).toEqual([Disk.inconsistent, Disk.diskless]);
    expect(view.resource.suspUser).toBe(true);
    // Long enough for a connection to be tried.
    expect((await cluster.admin(setup.plain(Cmd.RESUME_IO, {}, 0))).code).toBe(1);
    const later = cluster.world.nowMs + 3_000;
    cluster.world.at(3_000, 'time passes', () => {});
    await cluster.until('time passes', () => cluster.world.nowMs >= later);
    expect(member.resource.view.connections[0]!.cstate).toBe(Cstate.standAlone);
    expect((await cluster.admin(setup.down('r0'))).code).toBe(101);
  });

  it('survives deaths one after the other, also in the middle of a command', async () => {
    const { setup } = member;
    for (let i = 0; i < 3; i++) await nextEngine();
    const pending = setup.primary('r0', true);
    member.node.killEngine();
    expect((await cluster.admin(pending)).code).toBe(1);
    expect(member.resource.view.resource.role).toBe(Role.primary);
    const down = setup.down('r0');
    await nextEngine();
    expect((await cluster.admin(down)).code).toBe(101);
    expect(member.node.admin.pinned).toBe(false);
  });
});
