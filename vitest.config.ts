// SPDX-License-Identifier: GPL-2.0-or-later
import { defineConfig } from 'vitest/config';

/**
 * Time-outs only end what hangs: how long a test takes depends on what else a machine does.
 * Guests are few (two slots on a machine) and slow, so their files run one after the other.
 */
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 60_000 } },
      { test: { name: 'sim', include: ['test/sim/**/*.test.ts'], testTimeout: 300_000, sequence: { groupOrder: 1 } } },
      {
        test: {
          name: 'vm',
          include: ['test/vm/**/*.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 600_000,
          fileParallelism: false,
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
