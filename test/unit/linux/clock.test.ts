// SPDX-License-Identifier: GPL-2.0-or-later
import { execFile, spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LinuxClock } from '../../../src/linux/clock.ts';
import { LinuxTurn } from '../../../src/linux/turn.ts';

let turn: LinuxTurn;
beforeAll(() => {
  turn = new LinuxTurn();
  turn.start(20_000);
});
afterAll(() => turn.stop());

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('the clock', () => {
  it('fires timers in order of time, not before, and not after cancel()', async () => {
    const fired: string[] = [];
    const began = performance.now();
    const early: number[] = [];
    for (const [name, ms] of [['c', 30], ['a', 10], ['x', 20], ['b', 20], ['d', 31]] as const) {
      const timer = turn.clock.timer(name, ms, () => {
        fired.push(name);
        if (performance.now() - began < ms) early.push(ms);
      });
      if (name === 'x') timer.cancel();
    }
    expect(turn.clock.waiting().slice(0, 2)).toEqual(['a', 'b']);
    await pause(60);
    expect(fired).toEqual(['a', 'b', 'c', 'd']);
    expect(early).toEqual([]);
  });

  it('keeps thousands of timers in order through cancellations', () => {
    const head = new Float64Array(16).fill(1e12, 0, 1);
    const clock = new LinuxClock(head);
    const fired: number[] = [];
    const timers = Array.from({ length: 3000 }, (_, i) => {
      const ms = (i * 7919) % 40;
      return clock.timer('t', ms, () => fired.push(ms * 10_000 + i));
    });
    timers.forEach((timer, i) => { if (i % 3 === 0) timer.cancel(); });
    head[0] = 1e12 + 20;
    clock.run();
    expect(fired.at(-1)).toBeLessThan(210_000);
    expect(head[1]).toBe(1e12 + 21);
    head[0] = 1e12 + 40;
    clock.run();
    expect(fired.length).toBe(2000);
    expect(fired).toEqual([...fired].sort((a, b) => a - b));
    expect(head[1]).toBe(Infinity);
  });

  it('runs jobs of the turn end in this turn and jobs of soon in a later one', async () => {
    const order: string[] = [];
    const end = { name: 'end', queued: false, run: () => { order.push('end'); } };
    const soon = { name: 'soon', queued: false, run: () => { order.push('soon'); } };
    await new Promise<void>((resolve) => {
      turn.clock.timer('start', 1, () => {
        turn.clock.soon(soon);
        turn.clock.soon(soon);
        turn.clock.atTurnEnd(end);
        turn.clock.atTurnEnd(end);
        order.push('timer');
        turn.clock.timer('stop', 5, resolve);
      });
    });
    expect(order.filter((what) => what === 'end').length).toBe(1);
    expect(order.filter((what) => what === 'soon').length).toBe(1);
    expect(order[0]).toBe('timer');
  });

  it('leaves timers, immediates, promises and child processes of Node.js alive', async () => {
    let immediates = 0;
    await new Promise<void>((resolve) => {
      const again = () => { if (++immediates < 50) setImmediate(again); else resolve(); };
      setImmediate(again);
    });
    const text = await new Promise<string>((resolve, reject) => {
      execFile('/bin/echo', ['hello'], (error, stdout) => (error ? reject(error) : resolve(stdout)));
    });
    expect(text).toBe('hello\n');
    const waited = performance.now();
    await pause(20);
    expect(performance.now() - waited).toBeGreaterThan(18);
  });

  it('costs no turn while nothing is to be done', async () => {
    await pause(20);
    const before = turn.head[4]!;
    const cpu = process.cpuUsage();
    await pause(200);
    expect(turn.head[4]! - before).toBeLessThan(5);
    expect(process.cpuUsage(cpu).user).toBeLessThan(100_000);
  });
});

describe('the watchdog', () => {
  it('ends a process whose turn stands still, and only such a one', async () => {
    const program = (body: string) => `
      import { LinuxTurn } from '${import.meta.dirname}/../../../src/linux/turn.ts';
      const turn = new LinuxTurn();
      turn.start(200);
      turn.clock.timer('t', 1, () => { ${body} });
      setTimeout(() => process.exit(0), 600);`;
    const end = (body: string) => new Promise<{ code: number | null; signal: string | null; text: string }>((resolve) => {
      const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module-typescript', '-e', program(body)]);
      let text = '';
      child.stderr.on('data', (chunk) => { text += chunk; });
      child.on('exit', (code, signal) => resolve({ code, signal, text }));
    });
    expect(await end('for (;;);')).toMatchObject({ signal: 'SIGABRT', text: expect.stringContaining('watchdog') });
    expect(await end('')).toMatchObject({ code: 0 });
  });

  it('lets an exception in a turn end the process as any other does', async () => {
    const script = `
      import { LinuxTurn } from '${import.meta.dirname}/../../../src/linux/turn.ts';
      const turn = new LinuxTurn();
      turn.start(0);
      turn.clock.timer('t', 1, () => { throw new Error('a bug'); });`;
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module-typescript', '-e', script]);
    let text = '';
    child.stderr.on('data', (chunk) => { text += chunk; });
    expect(await new Promise((resolve) => child.on('exit', resolve))).toBe(1);
    expect(text).toContain('a bug');
  });
});
