// SPDX-License-Identifier: GPL-2.0-or-later
import { expect, test } from 'vitest';
import { encodeRequest } from '../../../src/genl/client.ts';
import type { CfgContext } from '../../../src/genl/command-attrs.ts';
import { cfgContext } from '../../../src/genl/command-attrs.ts';
import { readSockaddr, writeSockaddr } from '../../../src/genl/address.ts';
import { resolve } from '../../../src/genl/context.ts';
import { Cmd } from '../../../src/genl/ops.ts';
import { decodeRequest, isRejection } from '../../../src/genl/request.ts';
import { objectsOf, resource } from './objects.ts';

const r0 = resource('r0', 0, [1], [[0, 10], [1, 11]]);
const r1 = resource('r1', 1, [0], [[0, 20]]);
const objects = objectsOf([r0, r1]);

function resolved(cmd: number, minor: number, context: CfgContext) {
  const bytes = encodeRequest({ type: 33, seq: 1, portid: 0 }, 1, { cmd, minor: minor >>> 0,
    nests: [{ nest: cfgContext, value: context }] });
  const request = decodeRequest(bytes, { portid: 1, capable: true });
  if (isRejection(request)) throw new Error(request.reason);
  return resolve(request, objects);
}

const cases: [string, number, number, CfgContext, string | undefined, number?][] = [
  ['a minor that is not there', Cmd.ATTACH, 99, {}, 'unknown minor', 127],
  ['a resource that is not there', Cmd.DOWN, -1, { resourceName: 'rx' }, 'unknown resource', 158],
  ['no resource', Cmd.DOWN, -1, {}, 'unknown resource'],
  ['peer out of range', Cmd.NEW_PEER, -1, { resourceName: 'r0', peerNodeId: 32 }, 'peer node id out of range'],
  ['peer without resource', Cmd.ATTACH, 10, { peerNodeId: 1 }, 'peer node id given without a resource'],
  ['myself as peer', Cmd.NEW_PEER, -1, { resourceName: 'r1', peerNodeId: 1 }, 'peer node id cannot be my own node id'],
  ['no peer', Cmd.CONNECT, -1, { resourceName: 'r0' }, 'peer node id missing'],
  ['all ones is no peer', Cmd.CONNECT, -1, { resourceName: 'r0', peerNodeId: 0xffff_ffff }, 'peer node id missing'],
  ['a peer that is not there', Cmd.CONNECT, -1, { resourceName: 'r0', peerNodeId: 2 }, 'unknown connection'],
  ['a new peer need not be there', Cmd.NEW_PEER, -1, { resourceName: 'r0', peerNodeId: 2 }, undefined],
  ['no volume', Cmd.PAUSE_SYNC, -1, { resourceName: 'r0', peerNodeId: 1 }, 'unknown volume'],
  ['foreign minor', Cmd.ATTACH, 20, { resourceName: 'r0' }, 'minor exists in different resource'],
  ['foreign minor of a new resource', Cmd.NEW_MINOR, 20, { resourceName: 'r0', volume: 0 },
    'minor exists in different resource'],
  ['other volume', Cmd.NEW_MINOR, 10, { resourceName: 'r0', volume: 1 }, 'minor exists as different volume'],
  ['all that is needed', Cmd.PAUSE_SYNC, -1, { resourceName: 'r0', peerNodeId: 1, volume: 1 }, undefined],
];

test.each(cases)('%s', (_, cmd, minor, context, text, code = 162) => {
  const result = resolved(cmd, minor, context);
  if (text === undefined) expect(result).toHaveProperty('named');
  else expect(result).toEqual({ refused: { code, texts: [text] } });
});

test('what is named is handed over, the resource of a minor too', () => {
  expect(resolved(Cmd.ATTACH, 11, {})).toEqual({ named:
    { resource: r0, device: r0.devices[1], connection: undefined, peerDevice: undefined } });
  const peer = resolved(Cmd.PAUSE_SYNC, -1, { resourceName: 'r0', peerNodeId: 1, volume: 1 });
  expect(peer).toMatchObject({ named: { resource: r0, device: r0.devices[1], connection: r0.connections[0] } });
});

test('socket addresses', () => {
  const v4 = new Uint8Array([2, 0, 0x1b, 0x58, 10, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
  expect(readSockaddr(v4)).toEqual({ family: 'ipv4', address: '10.0.0.7', port: 7000 });
  expect(writeSockaddr(readSockaddr(v4)!)).toEqual(v4);
  const v6 = new Uint8Array(28);
  v6.set([10, 0, 0x1b, 0x58, 0, 0, 0, 0, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3]);
  expect(readSockaddr(v6)).toEqual({
    family: 'ipv6', address: 'fe80:0000:0000:0000:0000:0000:0000:0001%3', port: 7000,
  });
  expect(writeSockaddr(readSockaddr(v6)!)).toEqual(v6);
  for (const bytes of [v4.subarray(0, 15), v6.subarray(0, 27), new Uint8Array(1), new Uint8Array(16)]) {
    expect(readSockaddr(bytes)).toBeNull();
  }
});
