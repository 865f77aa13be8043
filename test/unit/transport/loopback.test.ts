// SPDX-License-Identifier: GPL-2.0-or-later
/** The same life-cycle over real sockets, as far as the addon is built. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LinuxTurn } from '../../../src/linux/turn.ts';
import { Cstate } from '../../../src/state/states.ts';
import { PState } from '../../../src/wire/packets/state.ts';
import { type Machine, NET_CONF, Peer } from '../conn/peer.ts';

const built = existsSync(new URL('../../../build/Release/drbdd.node', import.meta.url));
const CONF = { ...NET_CONF, connectIntMs: 1000, pingTimeoutMs: 200, socketCheckTimeoutMs: 50 };
const PORT = 20_000 + (process.pid % 20_000);
const local = (host: number, port = PORT) => ({ family: 'ipv4' as const, address: `127.0.0.${host}`, port });

describe.skipIf(!built)('over loopback', () => {
  let turn: LinuxTurn;
  let machine: Machine;

  beforeAll(async () => {
    const [{ LinuxTurn }, { LinuxNet }, { LinuxRandom }, { LinuxCrypto }] = await Promise.all([
      import('../../../src/linux/turn.ts'), import('../../../src/linux/net.ts'), import('../../../src/linux/random.ts'),
      import('../../../src/linux/crypto.ts'),
    ]);
    turn = new LinuxTurn();
    turn.start(20_000);
    machine = {
      clock: turn.clock, net: new LinuxNet(turn, { fd: () => -1 }), random: new LinuxRandom(), crypto: new LinuxCrypto(),
      turn: (run) => turn.clock.soon({ name: 'test', queued: false, run }),
    };
  });

  afterAll(() => turn.stop());

  const pair = (port: number): [Peer, Peer] => [
    new Peer(machine, 0, 1, CONF, local(1, port), local(2, port)), new Peer(machine, 1, 0, CONF, local(2, port), local(1, port)),
  ];

  async function until(holds: () => boolean, what: () => string): Promise<void> {
    const end = Date.now() + 15_000;
    while (!holds()) {
      if (Date.now() > end) throw new Error(`waited too long: ${what()}`);
      await new Promise((resolve) => { setTimeout(resolve, 5); });
    }
  }

  it('connects, carries packets, disconnects in order, and connects again', { timeout: 40_000 }, async () => {
    const [a, b] = pair(PORT);
    const lines = (): string => [...a.lines, '---', ...b.lines].join('\n');
    a.connect();
    b.connect();
    await until(() => a.connected && b.connected, lines);
    a.turn(() => { for (let i = 0; i < 20_000; i++) a.conn.send(PState, 5, { state: 0x10000 + i }); });
    await until(() => b.states.length === 20_001, () => `${b.states.length} packets\n${lines()}`);
    expect(b.states.slice(1).every(([vnr, state], i) => vnr === 5 && state === 0x10000 + i)).toBe(true);
    a.disconnect();
    await until(() => a.cstate() === Cstate.standAlone && b.cstate() === Cstate.connecting, lines);
    expect(b.has('conn( Connected -> TearDown ) [remote]'), lines()).toBe(true);
    a.connect();
    await until(() => a.connected && b.connected, lines);
    for (const peer of [a, b]) peer.turn(() => peer.conn.destroy());
  });

  it('a port in use: stays Connecting, says why, and connects once it is free', { timeout: 40_000 }, async () => {
    const port = PORT + 1;
    const squatter = createServer((socket) => socket.destroy()).listen(port, '127.0.0.1');
    await new Promise((resolve) => { squatter.once('listening', resolve); });
    const [a, b] = pair(port);
    a.connect();
    b.connect();
    await until(() => a.has(`Failed to listen on ipv4:127.0.0.1:${port}, retrying every 1 sec, err=-98`), () => a.lines.join('\n'));
    expect(a.cstate()).toBe(Cstate.connecting);
    await new Promise((resolve) => { squatter.close(resolve); });
    await until(() => a.connected && b.connected, () => a.lines.join('\n'));
    for (const peer of [a, b]) peer.turn(() => peer.conn.destroy());
  });

  const badPeer = (port: number, what: string) => spawn('python3',
    [new URL('../../vm/programs/bad-peer.py', import.meta.url).pathname, what],
    { env: { ...process.env, PORT: `${port}` }, stdio: ['pipe', 'pipe', 'inherit'] });

  it('a peer that speaks garbage is told of in one line, and the connection stands where it stood', { timeout: 40_000 }, async () => {
    const port = PORT + 2;
    const a = new Peer(machine, 0, 1, CONF, local(1, port), local(2, port));
    const told = (from: number) => a.lines.slice(from).filter((line) => /magic|unexpected|Unexpected|[Ee]rror rec/.test(line));
    a.connect();
    await until(() => a.cstate() === Cstate.connecting, () => a.lines.join('\n'));
    const [code] = await once(badPeer(port, 'first'), 'exit');
    expect(code).toBe(0);
    await until(() => told(0).length >= 4, () => a.lines.join('\n'));
    const wrong = expect.stringMatching(/Error receiving initial packet from ipv4:127.0.0.2:\d+: wrong magic value or length/);
    expect(told(0)).toEqual([wrong, wrong, wrong, expect.stringMatching(/unexpected P_PING/)]);
    const from = a.lines.length;
    expect((await once(badPeer(port, 'features'), 'exit'))[0]).toBe(0);
    await until(() => a.cstate() === Cstate.connecting && told(from).length > 0, () => a.lines.join('\n'));
    expect(told(from)).toEqual([expect.stringMatching(/Wrong magic value or size in a packet header/)]);
    a.turn(() => a.conn.destroy());
  });

  it.each(['data', 'control'])('garbage within an established connection ends it, on the %s stream', { timeout: 40_000 }, async (kind) => {
    const port = PORT + 3;
    const between = badPeer(port, 'between');
    await once(between.stdout, 'data');
    const a = new Peer(machine, 0, 1, CONF, local(1, port), local(2, port));
    const b = new Peer(machine, 1, 0, CONF, local(4, port), local(3, port));
    const lines = (): string => [...a.lines, '---', ...b.lines].join('\n');
    a.connect();
    b.connect();
    await until(() => a.connected && b.connected, lines);
    const from = a.lines.length;
    between.stdin.write(`${kind}\n`);
    await until(() => a.lines.slice(from).some((line) => /ProtocolError/.test(line)), lines);
    await until(() => a.connected && b.connected && a.lines.slice(from).some((line) => /-> Connected/.test(line)), lines);
    expect(a.lines.slice(from).filter((line) => /magic/.test(line))).toHaveLength(1);
    between.stdin.end();
    for (const peer of [a, b]) peer.turn(() => peer.conn.destroy());
    await once(between, 'exit');
  });
});
