// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import { run, until } from '../../../src/control/admin/steps.ts';
import type { Steps } from '../../../src/control/admin/steps.ts';

describe('steps of a command', () => {
  it('end at once when nothing waits', () => {
    function* command(): Steps<number> {
      const a = yield* until<number>((resume) => resume(1));
      const b = yield* until<number>((resume) => resume(2));
      return a + b;
    }
    const ended: number[] = [];
    run(command(), (value) => ended.push(value));
    expect(ended).toEqual([3]);
  });

  it('go on inside the call that ends the waiting', () => {
    let resume: (value: string) => void = () => {};
    function* inner(): Steps<string> { return yield* until<string>((r) => { resume = r; }); }
    function* command(): Steps<string> { return `${yield* inner()}, ${yield* inner()}`; }
    const ended: string[] = [];
    run(command(), (value) => ended.push(value));
    resume('first');
    expect(ended).toEqual([]);
    resume('second');
    expect(ended).toEqual(['first, second']);
  });

  it('run the end of what surrounds them when the inner part throws', () => {
    const seen: string[] = [];
    function* command(): Steps<void> {
      try {
        yield* until<void>((resume) => resume());
        throw new Error('inside');
      } finally {
        seen.push('left');
      }
    }
    expect(() => run(command(), () => seen.push('ended'))).toThrow('inside');
    expect(seen).toEqual(['left']);
  });
});
