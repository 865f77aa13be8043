// SPDX-License-Identifier: GPL-2.0-or-later
/** Courses of events that tests of LINBIT's suite take, between two simulated nodes. @spec observed.md 3 */
import { describe, expect, it } from 'vitest';
import { disconnectParms, forgetPeerParms } from '../../../src/genl/command-attrs.ts';
import { Cmd } from '../../../src/genl/ops.ts';
import { sockaddr } from '../../../src/sim/drbdsetup.ts';
import { Cstate, Disk, Repl, Role } from '../../../src/state/states.ts';
import { Pair } from './pair.ts';

const BLOCKS = 32;

const established = ({ a, b }: Pair): boolean =>
  [a, b].every(({ resource: { view } }) => view.peerDevices.length === 1 && view.peerDevices[0]!.repl === Repl.established);

describe('as in the suite', { timeout: 60_000 }, () => {
  it('resync-initial: a peer joins a Primary that had forgotten it', async () => {
    const pair = new Pair(1);
    const { a, b, cluster } = pair;
    await cluster.up(0);
    const peer = { resourceName: 'r0', peerNodeId: 1 };
    expect(await pair.patient(() => a.setup.with(Cmd.DEL_PEER, peer, disconnectParms, {}))).toBe(101);
    await pair.ok(a.setup.with(Cmd.FORGET_PEER, { resourceName: 'r0' }, forgetPeerParms, { forgetPeerNodeId: 1 }));
    await pair.ok(a.setup.primary('r0', true));
    for (let i = 0; i < BLOCKS; i++) await pair.write(a, i, 100 + i);
    await pair.ok(a.setup.newPeer('r0', 1, { name: b.node.name, wireProtocol: 3 }));
    await pair.ok(a.setup.newPath('r0', 1, sockaddr(a.node.address, 7000), sockaddr(b.node.address, 7000)));
    await pair.ok(a.setup.connect('r0', 1));
    await cluster.up(1);
    await pair.until('first sync', () => pair.inSync());
    expect(pair.difference()).toBe(-1);
    await pair.ok(a.setup.secondary('r0'));
    await pair.ok(b.setup.primary('r0'));
    await pair.ok(b.setup.secondary('r0'));
  });

  it('switch-primaries: by command, by open, and while disconnected', async () => {
    const pair = new Pair(2);
    const { a, b } = pair;
    await pair.upToDate();
    await pair.ok(a.setup.secondary('r0'));
    for (let i = 0; i < 4; i++) {
      const [here, there] = i % 2 ? [b, a] : [a, b];
      await pair.ok(here.setup.primary('r0'));
      await pair.write(here, i, 200 + i);
      await pair.ok(here.setup.secondary('r0'));
      await pair.until('seen', () => there.resource.view.connections[0]!.peerRole === Role.secondary);
    }
    for (let i = 0; i < 4; i++) {
      const here = i % 2 ? b : a;
      expect(await pair.open(here, true)).toBe(0);
      await pair.write(here, i, 300 + i);
      pair.kernel(here).close();
      await pair.until('demoted', () => here.resource.view.resource.role === Role.secondary);
    }
    await pair.ok(a.setup.disconnect('r0', 1));
    await pair.until('Connecting', () => b.resource.view.connections[0]!.cstate === Cstate.connecting);
    await pair.ok(a.setup.primary('r0'));
    await pair.ok(a.setup.connect('r0', 1));
    await pair.until('seen', () => b.resource.view.connections[0]!.peerRole === Role.primary && established(pair));
    await pair.ok(a.setup.secondary('r0'));
    await pair.until('in sync', () => pair.inSync());
    expect(pair.difference()).toBe(-1);
    for (const member of [a, b]) await pair.ok(member.setup.down('r0'));
  });

  it('add-connect-delete: a node alone may become Primary by force, and go', async () => {
    const pair = new Pair(3);
    const { a, cluster } = pair;
    await cluster.up(0);
    await pair.until('Connecting', () => a.resource.view.connections[0]!.cstate === Cstate.connecting);
    await pair.ok(a.setup.primary('r0', true));
    expect(a.resource.view.devices[0]!.disk).toBe(Disk.upToDate);
    await pair.ok(a.setup.down('r0'));
  });

  it('protocol-a-io: what was confirmed before the peer had it is on the peer once the Primary is none any more', async () => {
    const pair = new Pair(4, 1, 20_480, {}, { wireProtocol: 1 });
    const { a } = pair;
    await pair.upToDate();
    let behind = 0;
    for (let round = 1; round <= 5; round++) {
      const writes = Array.from({ length: 4 * BLOCKS }, (_, i) => pair.submit(a, i, 1000 * round + i));
      await pair.until('confirmed', () => writes.every(({ errno }) => errno === 0));
      if (pair.difference() !== -1) behind++;
      await pair.ok(a.setup.secondary('r0'));
      expect(pair.difference()).toBe(-1);
      await pair.ok(a.setup.primary('r0'));
    }
    expect(behind).toBeGreaterThan(0);
  });
});
