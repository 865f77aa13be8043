// SPDX-License-Identifier: GPL-2.0-or-later

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Asks until `probe` answers with something true, and gives that answer. A probe that throws counts as "not yet";
 * its last error is named when the time is over.
 */
export async function waitFor<T>(
  what: string,
  probe: () => Promise<T> | T,
  options: { timeoutMs?: number; intervalMs?: number } = {},
): Promise<NonNullable<T>> {
  const { timeoutMs = 120_000, intervalMs = 200 } = options;
  const end = Date.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      last = undefined;
      const answer = await probe();
      if (answer) return answer as NonNullable<T>;
    } catch (error) {
      last = error;
    }
    if (Date.now() >= end) {
      const reason = last instanceof Error ? `: ${last.message}` : '';
      throw new Error(`after ${timeoutMs} ms still waiting for ${what}${reason}`);
    }
    await sleep(intervalMs);
  }
}
