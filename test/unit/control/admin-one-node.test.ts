// SPDX-License-Identifier: GPL-2.0-or-later
/** Commands of one node without a peer: codes, texts and events of genuine DRBD (vectors/genl). */
import { beforeEach, describe, expect, it } from 'vitest';
import { Err } from '../../../src/genl/codes.ts';
import { Cmd } from '../../../src/genl/ops.ts';
import { SimCluster } from '../../../src/sim/cluster.ts';
import type { SimMember } from '../../../src/sim/cluster.ts';
import { sockaddr } from '../../../src/sim/drbdsetup.ts';
import { eventLine } from './events.ts';

let cluster: SimCluster;
let member: SimMember;
let events: string[];

beforeEach(() => {
  cluster = new SimCluster(1, { nodes: 2, volumes: 1, diskSectors: 20_480, wireProtocol: 3 });
  member = cluster.members[0]!;
  events = [];
  member.node.admin.listeners.push((message) => events.push(eventLine(message)));
});

const sent = (): string[] => events.splice(0);
const mine = sockaddr('10.0.0.1', 7000);
const theirs = sockaddr('10.0.0.2', 7000);

describe('commands of one node', () => {
  it('make a resource with all of its objects and take it down, event by event', async () => {
    const { setup } = member;
    expect(await cluster.admin(setup.newResource('r0', 0))).toEqual({ code: Err.NO_ERROR, text: '' });
    expect(sent()).toEqual(['create resource r0 Secondary']);
    expect(await cluster.admin(setup.newResource('r0', 0))).toEqual({ code: Err.NO_ERROR, text: '' });
    expect(sent()).toEqual([]);

    expect(await cluster.admin(setup.newMinor('r0', 0, 0))).toEqual({ code: Err.NO_ERROR, text: '' });
    expect(sent()).toEqual(['create device r0/0 Diskless']);
    expect(await cluster.admin(setup.attach(0, '/dev/disk0'))).toEqual({ code: Err.NO_ERROR, text: '' });
    await cluster.until('the last event', () => events.length === 2);
    expect(sent()).toEqual(['change device r0/0 Attaching', 'change device r0/0 Inconsistent']);
    expect((await cluster.admin(setup.attach(0, '/dev/disk0'))).code).toBe(Err.DISK_CONFIGURED);

    expect((await cluster.admin(setup.newPeer('r0', 1, { name: 'b' }))).code).toBe(Err.NO_ERROR);
    expect(sent()).toEqual(['create connection r0:1 StandAlone Unknown +', 'create peer-device r0:1/0 Off DUnknown']);
    expect((await cluster.admin(setup.newPath('r0', 1, mine, theirs))).code).toBe(Err.NO_ERROR);
    expect(sent()).toEqual(['create path r0:1']);
    expect((await cluster.admin(setup.connect('r0', 1))).code).toBe(1);
    await cluster.until('Connecting', () => events.length === 2);
    expect(sent()).toEqual(['change connection r0:1 Unconnected Unknown', 'change connection r0:1 Connecting Unknown']);

    expect((await cluster.admin(setup.primary('r0'))).code).toBe(-2);
    expect(await cluster.admin(setup.primary('r0', true))).toEqual({ code: 1, text: '' });
    expect(sent()).toEqual(['change resource r0 Primary +', 'change device r0/0 UpToDate']);
    expect((await cluster.admin(setup.secondary('r0'))).code).toBe(1);
    expect(sent()).toEqual(['change resource r0 Secondary']);
    expect((await cluster.admin(setup.secondary('r0'))).code).toBe(2);

    expect((await cluster.admin(setup.plain(Cmd.DEL_MINOR, {}, 0))).code).toBe(Err.MINOR_CONFIGURED);
    expect((await cluster.admin(setup.plain(Cmd.DEL_RESOURCE, { resourceName: 'r0' }))).code).toBe(Err.NET_CONFIGURED);
    expect(await cluster.admin(setup.down('r0'))).toEqual({ code: Err.NO_ERROR, text: '' });
    expect(sent()).toEqual(['change connection r0:1 Disconnecting Unknown', 'call helper r0:1 disconnected',
      'response helper r0:1 disconnected', 'change connection r0:1 StandAlone Unknown', 'destroy path r0:1',
      'destroy peer-device r0:1/0 +', 'destroy connection r0:1', 'change device r0/0 Detaching', 'change device r0/0 Diskless',
      'destroy device r0/0', 'destroy resource r0']);
    expect(member.node.admin.pinned).toBe(false);
    expect(member.node.life).toBeNull();
    expect(member.node.journal.records).toEqual([]);
    expect(member.node.disks.get('/dev/disk0')!.claimedBy).toBeNull();
  });

  it('refuse in the words of genuine', async () => {
    const { setup } = member;
    expect(await cluster.admin(setup.down('nosuch'))).toEqual({ code: Err.RES_NOT_KNOWN, text: 'unknown resource' });
    expect(member.node.life).toBeNull();
    await cluster.admin(setup.newResource('r0', 0));
    await cluster.admin(setup.newMinor('r0', 0, 0));
    expect((await cluster.admin(setup.newMinor('r0', 5, 0))).code).toBe(Err.MINOR_OR_VOLUME_EXISTS);
    expect(await cluster.admin(setup.newMinor('r0', 0, 1)))
      .toEqual({ code: Err.INVALID_REQUEST, text: 'minor exists as different volume' });
    expect(await cluster.admin(setup.attach(42, '/dev/disk0'))).toEqual({ code: Err.MINOR_INVALID, text: 'unknown minor' });
    expect((await cluster.admin(setup.attach(0, '/dev/nosuch'))).code).toBe(Err.OPEN_DISK);
    expect(await cluster.admin(setup.connect('r0', 1))).toEqual({ code: Err.INVALID_REQUEST, text: 'unknown connection' });
    await cluster.admin(setup.newPeer('r0', 1, { name: 'b' }));
    expect(await cluster.admin(setup.newPeer('r0', 1, { name: 'b' })))
      .toEqual({ code: Err.INVALID_REQUEST, text: 'Connection for peer node id 1 already exists' });
    expect(await cluster.admin(setup.newPeer('r0', 0, { name: 'a' })))
      .toEqual({ code: Err.INVALID_REQUEST, text: 'peer node id cannot be my own node id' });
    expect((await cluster.admin(setup.newPeer('r0', 2, { name: 'c', transportName: 'rdma' }))).code).toBe(Err.CREATE_TRANSPORT);
    expect(await cluster.admin(setup.connect('r0', 1)))
      .toEqual({ code: Err.INVALID_REQUEST, text: 'connection endpoint(s) missing' });
    await cluster.admin(setup.newPath('r0', 1, mine, theirs));
    expect((await cluster.admin(setup.newPath('r0', 1, mine, theirs))).code).toBe(Err.LOCAL_AND_PEER_ADDR);
    await cluster.admin(setup.connect('r0', 1));
    expect((await cluster.admin(setup.connect('r0', 1))).code).toBe(Err.NET_CONFIGURED);
    await cluster.admin(setup.newResource('r1', 0));
    await cluster.admin(setup.newPeer('r1', 1, { name: 'b' }));
    expect((await cluster.admin(setup.newPath('r1', 1, mine, sockaddr('10.0.0.9', 1)))).code).toBe(Err.LOCAL_ADDR);
    expect((await cluster.admin(setup.newPath('r1', 1, sockaddr('10.0.0.1', 9), theirs))).code).toBe(Err.PEER_ADDR);
    expect((await cluster.admin(setup.primary('r0'))).code).toBe(-2);
    expect((await cluster.admin(setup.primary('r0', true))).code).toBe(-2);
    const peerDevice = { resourceName: 'r0', peerNodeId: 1, volume: 0 };
    expect((await cluster.admin(setup.plain(Cmd.START_OV, peerDevice))).code).toBe(-14);
    expect((await cluster.admin(setup.plain(Cmd.RESUME_SYNC, peerDevice))).code).toBe(Err.PAUSE_IS_CLEAR);
    expect((await cluster.admin(setup.plain(Cmd.INVALIDATE, {}, 0))).code).toBe(Err.NO_DISK);
    expect((await cluster.admin(setup.plain(Cmd.NEW_C_UUID, {}, 0))).code).toBe(Err.NO_DISK);
    expect((await cluster.admin(setup.plain(Cmd.PAUSE_SYNC, { ...peerDevice, volume: 9 }))).text).toBe('unknown volume');
  });
});
