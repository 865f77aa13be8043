// SPDX-License-Identifier: GPL-2.0-or-later
/** Commands on a connected pair, as in the captures of genuine DRBD (vectors/genl 57 to 98). */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Err } from '../../../src/genl/codes.ts';
import { detachParms, disconnectParms, forgetPeerParms, invalidateParms, newCUuidParms,
  renameResourceParms } from '../../../src/genl/command-attrs.ts';
import { diskConf, netConf, pathParms, resourceOpts } from '../../../src/genl/config-attrs.ts';
import { Cmd } from '../../../src/genl/ops.ts';
import { applyActivityLog } from '../../../src/sim/apply-al.ts';
import { createSuperBlock } from '../../../src/sim/create-md.ts';
import { sockaddr } from '../../../src/sim/drbdsetup.ts';
import { Cstate, Disk, Repl } from '../../../src/state/states.ts';
import { Pair } from './pair.ts';

let pair: Pair;
beforeEach(() => { pair = new Pair(1); });
afterEach(({ task }) => { if (task.result?.state === 'fail') console.log(pair.log()); });

const peerDevice = { resourceName: 'r0', peerNodeId: 1, volume: 0 };
const connection = { resourceName: 'r0', peerNodeId: 1 };
const idle = (): boolean => pair.inSync();

describe('commands on a connected pair', { timeout: 30_000 }, () => {
  it('pause and resume the resync', async () => {
    await pair.upToDate();
    const { a } = pair;
    expect(await pair.answer(a.setup.plain(Cmd.PAUSE_SYNC, peerDevice))).toBe(Err.NO_ERROR);
    await pair.until('the peer knows', () => pair.events[1].length > 0);
    expect(pair.sent()).toEqual([['change peer-device r0:1/0 Established UpToDate paused:user'],
      ['change peer-device r0:0/0 Established UpToDate paused:peer']]);
    expect(await pair.answer(a.setup.plain(Cmd.PAUSE_SYNC, peerDevice))).toBe(Err.PAUSE_IS_SET);
    expect(await pair.answer(a.setup.plain(Cmd.RESUME_SYNC, peerDevice))).toBe(Err.NO_ERROR);
    expect(await pair.answer(a.setup.plain(Cmd.RESUME_SYNC, peerDevice))).toBe(Err.PAUSE_IS_CLEAR);
  });

  it('suspend and resume I/O', async () => {
    await pair.upToDate();
    const { a } = pair;
    expect(await pair.open(a, true)).toBe(0);
    pair.sent();
    expect(await pair.answer(a.setup.plain(Cmd.SUSPEND_IO, {}, 0))).toBe(1);
    expect(pair.sent()[0]).toEqual(['change resource r0 Primary suspended:user']);
    const write = pair.submit(a, 7, 77);
    await pair.pause(1_000);
    expect(write.errno).toBe(-1);
    expect(await pair.answer(a.setup.plain(Cmd.RESUME_IO, {}, 0))).toBe(1);
    await pair.until('the write', () => write.errno === 0);
    expect(pair.tag(pair.b, 7)).toBe(77);
  });

  it('are refused where the state forbids them', async () => {
    await pair.upToDate();
    const { a, b } = pair;
    expect(await pair.answer(b.setup.primary('r0'))).toBe(-1);
    expect(await pair.answer(a.setup.plain(Cmd.OUTDATE, {}, 0))).toBe(-6);
    expect(await pair.answer(a.setup.plain(Cmd.NEW_C_UUID, {}, 0))).toBe(Err.CONNECTED);
    expect(await pair.answer(a.setup.plain(Cmd.DEL_MINOR, {}, 0))).toBe(Err.MINOR_CONFIGURED);
    expect(await pair.answer(a.setup.plain(Cmd.CONNECT, connection))).toBe(Err.NET_CONFIGURED);
    expect(await pair.answer(a.setup.plain(Cmd.START_OV, peerDevice))).toBe(-14);
    expect(await pair.answer(a.setup.newPeer('r0', 1, { name: 'b' }))).toBe(Err.INVALID_REQUEST);
    const path = { myAddr: sockaddr('10.0.0.1', 7000), peerAddr: sockaddr('10.0.0.2', 7000) };
    expect((await pair.cluster.admin(a.setup.with(Cmd.DEL_PATH, connection, pathParms, path))).text)
      .toBe('Can not delete last path, use disconnect first!');
    expect(await pair.answer(a.setup.with(Cmd.FORGET_PEER, { resourceName: 'r0' }, forgetPeerParms, { forgetPeerNodeId: 1 })))
      .toBe(Err.NET_CONFIGURED);
    expect(idle()).toBe(true);
  });

  it('change options of everything', async () => {
    await pair.upToDate();
    const { a } = pair;
    expect(await pair.answer(a.setup.with(Cmd.CHG_NET_OPTS, connection, netConf, { maxEpochSize: 4000, pingInt: 12 }))).toBe(101);
    expect(a.resource.connections.get(1)!.netConf).toMatchObject({ maxEpochSize: 4000, pingInt: 12 });
    expect(await pair.cluster.admin(a.setup.with(Cmd.CHG_NET_OPTS, connection, netConf, { verifyAlg: 'nosuchalg' })))
      .toEqual({ code: Err.VERIFY_ALG, text: 'failed to allocate nosuchalg for verify\n' });
    expect(await pair.answer(a.setup.with(Cmd.CHG_NET_OPTS, connection, netConf, { verifyAlg: 'sha1' }))).toBe(101);
    expect(await pair.answer(a.setup.with(Cmd.CHG_NET_OPTS, connection, netConf, { wireProtocol: 1 }))).toBe(101);
    await pair.until('the peer has adopted it', () => pair.b.resource.connections.get(0)!.netConf.wireProtocol === 1);
    expect(await pair.answer(a.setup.with(Cmd.CHG_DISK_OPTS, {}, diskConf, { alExtents: 511, onIoError: 2 }, 0))).toBe(101);
    expect(a.resource.devices.get(0)!.disk!.conf.alExtents).toBe(511);
    expect(await pair.answer(a.setup.with(Cmd.CHG_DISK_OPTS, {}, diskConf, { resyncAfter: 4711 }, 0))).toBe(Err.RESYNC_AFTER);
    expect(await pair.answer(a.setup.with(Cmd.CHG_DISK_OPTS, {}, diskConf, { resyncAfter: 0 }, 0))).toBe(Err.RESYNC_AFTER_CYCLE);
    const resourceOptions = { autoPromote: false, onNoQuorum: 0 };
    expect(await pair.answer(a.setup.with(Cmd.RESOURCE_OPTS, { resourceName: 'r0' }, resourceOpts, resourceOptions))).toBe(101);
    expect(a.resource.view.resource.options.autoPromote).toBe(false);
    expect(await pair.answer(a.setup.with(Cmd.RESOURCE_OPTS, { resourceName: 'r0' }, resourceOpts, { cpuMask: 'zz' }))).toBe(162);
    expect(await pair.answer(a.setup.peerDeviceOptions('r0', 1, 0, { cMaxRate: 0 }))).toBe(101);
    await pair.until('still connected', idle);
  });

  it('detach and attach with a peer', async () => {
    await pair.upToDate();
    const { a, b } = pair;
    expect(await pair.answer(b.setup.plain(Cmd.DETACH, {}, 100))).toBe(1);
    await pair.until('the peer knows', () => a.resource.view.peerDevices[0]!.pdsk === Disk.diskless);
    expect(pair.sent()[1].filter((e) => e.includes(' device '))).toEqual(['change device r0/0 Detaching', 'change device r0/0 Diskless']);
    expect(await pair.open(a, true)).toBe(0);
    await pair.write(a, 3, 33);
    expect(await pair.answer(b.setup.attach(100, '/dev/disk0'))).toBe(Err.MD_UNCLEAN);
    applyActivityLog(b.node.disks.get('/dev/disk0')!);
    expect(await pair.answer(b.setup.attach(100, '/dev/disk0'))).toBe(101);
    await pair.until('in sync again', idle);
    expect(pair.tag(b, 3)).toBe(33);
    expect(await pair.answer(a.setup.with(Cmd.DETACH, {}, detachParms, { forceDetach: true }, 0))).toBe(1);
    await pair.until('the disk is free', () => a.node.disks.get('/dev/disk0')!.claimedBy === null);
    await pair.write(a, 4, 44);
    expect(pair.tag(b, 4)).toBe(44);
  });

  it('invalidate one side or the other', async () => {
    await pair.upToDate();
    const { a, b } = pair;
    expect(await pair.answer(a.setup.plain(Cmd.INVAL_PEER, peerDevice))).toBe(1);
    await pair.until('full sync', () => a.resource.view.peerDevices[0]!.repl === Repl.syncSource);
    await pair.until('in sync', idle);
    expect(await pair.answer(b.setup.plain(Cmd.INVALIDATE, {}, 100))).toBe(1);
    await pair.until('in sync again', idle);
    const byBitmap = { resetBitmap: false, syncFromPeerNodeId: 0 };
    expect(await pair.answer(b.setup.with(Cmd.INVALIDATE, {}, invalidateParms, byBitmap, 100))).toBe(1);
    await pair.until('in sync by bitmap', idle);
    expect(pair.difference()).toBe(-1);
  });

  it('disconnect by force shows BrokenPipe or NetworkFailure, by agreement TearDown', async () => {
    await pair.upToDate();
    const { a } = pair;
    expect(await pair.answer(a.setup.with(Cmd.DISCONNECT, connection, disconnectParms, { forceDisconnect: true }))).toBe(101);
    await pair.until('the peer waits', () => pair.events[1].at(-1)?.includes('Connecting') === true);
    expect(pair.sent()[1].find((e) => e.includes(' connection '))).toMatch(/BrokenPipe|NetworkFailure/);
    expect(await pair.answer(a.setup.disconnect('r0', 1))).toBe(101);
    expect(await pair.answer(a.setup.connect('r0', 1))).toBe(1);
    await pair.until('in sync', idle);
  });

  it('delete path, peer, and what the meta-data know of it; rename', async () => {
    await pair.upToDate();
    const { a, b } = pair;
    await pair.ok(a.setup.disconnect('r0', 1));
    await pair.until('StandAlone', () => a.resource.view.connections[0]!.cstate === Cstate.standAlone && a.resource.worker.idle);
    pair.sent();
    const path = { myAddr: sockaddr('10.0.0.1', 7000), peerAddr: sockaddr('10.0.0.2', 7000) };
    expect(await pair.answer(a.setup.with(Cmd.DEL_PATH, connection, pathParms, path))).toBe(101);
    expect(pair.sent()[0]).toEqual(['destroy path r0:1']);
    expect(await pair.answer(a.setup.plain(Cmd.DEL_PEER, connection))).toBe(101);
    expect(pair.sent()[0]).toEqual(['destroy peer-device r0:1/0 +', 'destroy connection r0:1']);
    const forget = (forgetPeerNodeId: number) =>
      a.setup.with(Cmd.FORGET_PEER, { resourceName: 'r0' }, forgetPeerParms, { forgetPeerNodeId });
    expect(await pair.answer(forget(1))).toBe(101);
    expect(await pair.answer(forget(0))).toBe(Err.INVALID_PEER_NODE_ID);
    expect(await pair.answer(forget(32))).toBe(Err.INVALID_PEER_NODE_ID);
    const rename = (newResourceName: string) =>
      a.setup.with(Cmd.RENAME_RESOURCE, { resourceName: 'r0' }, renameResourceParms, { newResourceName });
    expect((await pair.cluster.admin(rename('r0'))).code).toBe(Err.ALREADY_EXISTS);
    expect(await pair.answer(rename('r0new'))).toBe(101);
    expect(pair.sent()[0]).toEqual(['rename resource r0 r0new']);
    expect(await pair.answer(a.setup.secondary('r0new'))).toBe(1);
    expect(await pair.answer(a.setup.down('r0new'))).toBe(101);
    expect(await pair.answer(b.setup.down('r0'))).toBe(101);
  });

  it('skip the initial sync by a new current UUID', async () => {
    const { a, b, cluster } = pair;
    await cluster.up(0);
    await cluster.up(1);
    await pair.until('connected', () => [a, b].every((m) => m.resource.view.peerDevices[0]!.repl === Repl.established));
    expect(await pair.answer(a.setup.with(Cmd.NEW_C_UUID, {}, newCUuidParms, { clearBm: true }, 0))).toBe(101);
    await pair.until('UpToDate on both', idle);
    expect(await pair.answer(a.setup.primary('r0'))).toBe(1);
  });

  it('add a volume to a connected resource, and take it away', async () => {
    await pair.upToDate();
    const { a, b, cluster } = pair;
    for (const m of [a, b]) {
      createSuperBlock(m.node.addDisk('/dev/disk1', 20_480), 1);
      expect(await pair.answer(m.setup.newMinor('r0', cluster.minor(m.id, 1), 1))).toBe(101);
    }
    expect(pair.sent()[0].slice(0, 2)).toEqual(['create device r0/1 Diskless +', 'create peer-device r0:1/1 Off DUnknown']);
    await pair.until('both are Diskless', () => a.resource.peerDeviceRow(1, 1).pdsk === Disk.diskless);
    for (const m of [a, b]) expect(await pair.answer(m.setup.attach(cluster.minor(m.id, 1), '/dev/disk1'))).toBe(101);
    expect(await pair.answer(a.setup.with(Cmd.NEW_C_UUID, {}, newCUuidParms, { clearBm: true }, 1))).toBe(101);
    await pair.until('in sync', idle);
    await pair.ok(a.setup.secondary('r0'));
    for (const m of [a, b]) expect(await pair.answer(m.setup.plain(Cmd.DETACH, {}, cluster.minor(m.id, 1)))).toBe(1);
    for (const m of [a, b]) expect(await pair.answer(m.setup.plain(Cmd.DEL_MINOR, {}, cluster.minor(m.id, 1)))).toBe(101);
    await pair.until('in sync with one volume', idle);
  });
});
