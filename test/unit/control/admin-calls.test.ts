// SPDX-License-Identifier: GPL-2.0-or-later
/** Commands one after the other, requesters that die, dumps in between, an engine that comes and goes. */
import { beforeEach, describe, expect, it } from 'vitest';
import { decodeMessage } from '../../../src/genl/client.ts';
import { encodeRequest } from '../../../src/genl/client.ts';
import { cfgContext } from '../../../src/genl/command-attrs.ts';
import { netConf } from '../../../src/genl/config-attrs.ts';
import { NLM_F_DUMP, NLM_F_REQUEST, NO_MINOR } from '../../../src/genl/message.ts';
import { Cmd } from '../../../src/genl/ops.ts';
import { SimCluster } from '../../../src/sim/cluster.ts';
import type { SimMember } from '../../../src/sim/cluster.ts';

let cluster: SimCluster;
let member: SimMember;

beforeEach(() => {
  cluster = new SimCluster(1, { nodes: 2, volumes: 1, diskSectors: 20_480, wireProtocol: 3 });
  member = cluster.members[0]!;
});

const newPeer = (nodeId: number): Uint8Array => encodeRequest({ type: 33, seq: 1, portid: 1 }, NLM_F_REQUEST,
  { cmd: Cmd.NEW_PEER, minor: NO_MINOR, nests: [
    { nest: cfgContext, value: { resourceName: 'r0', peerNodeId: nodeId } }, { nest: netConf, value: { name: `n${nodeId}` } }] });
const getConnections = encodeRequest({ type: 33, seq: 2, portid: 1 }, NLM_F_REQUEST | NLM_F_DUMP,
  { cmd: Cmd.GET_CONNECTIONS, minor: NO_MINOR, nests: [] });

async function withDevice(): Promise<void> {
  await cluster.admin(member.setup.newResource('r0', 0));
  await cluster.admin(member.setup.newMinor('r0', 0, 0));
}

describe('requests of administrators', { timeout: 30_000 }, () => {
  it('wait for the command that runs on their resource; dumps do not', async () => {
    await withDevice();
    const order: string[] = [];
    const attach = member.setup.attach(0, '/dev/disk0').then(() => order.push('attach'));
    member.node.admin.send(newPeer(1), false, () => order.push('new-peer'));
    member.node.admin.send(getConnections, true, (all) => order.push(`dump of ${all.length}`));
    await cluster.until('three answers', () => order.length === 3);
    await attach;
    expect(order).toEqual(['dump of 0', 'attach', 'new-peer']);
  });

  it('are forgotten when the requester dies while they wait', async () => {
    await withDevice();
    const attach = member.setup.attach(0, '/dev/disk0');
    const given = member.node.admin.send(newPeer(1), false, () => { throw new Error('nobody is there to be answered'); });
    await cluster.until('both are with the engine', () => member.node.admin.waiting.get(given)!.given);
    member.node.admin.giveUp(given);
    expect((await cluster.admin(attach)).code).toBe(101);
    expect((await cluster.admin(member.setup.plain(Cmd.DISCONNECT, { resourceName: 'r0', peerNodeId: 1 }))).text)
      .toBe('unknown connection');
    expect((await cluster.admin(member.setup.down('r0'))).code).toBe(101);
    expect(member.node.life).toBeNull();
  });

  it('that wait behind the end of their resource are answered before the engine leaves', async () => {
    await withDevice();
    await cluster.admin(member.setup.attach(0, '/dev/disk0'));
    const down = member.setup.down('r0');
    const secondary = member.setup.secondary('r0');
    expect((await cluster.admin(down)).code).toBe(101);
    expect(await cluster.admin(secondary)).toEqual({ code: 158, text: 'unknown resource' });
    await cluster.until('the engine has left', () => member.node.life === null);
    expect(member.node.journal.records).toEqual([]);
  });

  it('start an engine that leaves again with the last resource, twenty times', async () => {
    for (let i = 0; i < 20; i++) {
      await withDevice();
      expect((await cluster.admin(member.setup.down('r0'))).code).toBe(101);
      expect(member.node.life).toBeNull();
    }
  });

  it('shorter than their headers are answered, and harm nothing', async () => {
    for (const bytes of [new Uint8Array(0), Uint8Array.of(1, 2, 3), newPeer(1).slice(0, 21)]) {
      let answer: ReturnType<typeof decodeMessage> | null = null;
      member.node.admin.send(bytes, false, ([message]) => { answer = decodeMessage(message!); });
      await cluster.until('an answer', () => answer !== null);
      expect(answer).toEqual({ kind: 'error', errno: 22 });
    }
    await withDevice();
  });
});
