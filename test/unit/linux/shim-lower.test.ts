// SPDX-License-Identifier: GPL-2.0-or-later
import { expect, it } from 'vitest';
import { LowerOp } from '../../../src/host/lower.ts';
import { ShimLowerDevice } from '../../../src/linux/shim-lower.ts';
import { OpWord, shimMaxLower } from '../../../src/linux/shim-abi.ts';
import type { ShimChannel } from '../../../src/linux/shim.ts';

it('operations beyond what the shim takes at once wait, in order', () => {
  const opWords = new Int32Array(16);
  const taken: number[] = [];
  const shim = {
    opWords, op: () => 0, setSector: () => {}, setOffset: () => {}, publish: () => { taken.push(opWords[OpWord.cookie]!); },
  };
  const answer = new DataView(new ArrayBuffer(128));
  answer.setBigUint64(16, 1n << 20n, true);
  const done: number[] = [];
  const lower = new ShimLowerDevice(shim as unknown as ShimChannel, 0, 0, answer, {
    lowerDone: (cookie) => {
      done.push(cookie);
      if (cookie === 0) lower.submit(LowerOp.flush, 0, 0, 0, null, 0, 99_999, -1);
    },
  }, () => {});
  const all = shimMaxLower + 3000;
  for (let cookie = 0; cookie < all; cookie++) lower.submit(LowerOp.discard, 0, 0, 4096, null, 0, cookie, -1);
  expect(taken.length).toBe(shimMaxLower);
  expect(lower.inFlight()).toBe(all);
  for (let i = 0; i <= all; i++) {
    lower.done(taken[i]!, 0, false);
    expect(taken.length - done.length).toBeLessThanOrEqual(shimMaxLower);
  }
  expect(taken).toEqual([...Array(all).keys(), 99_999]);
  expect(lower.inFlight()).toBe(0);
});
