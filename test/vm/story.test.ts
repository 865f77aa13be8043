// SPDX-License-Identifier: GPL-2.0-or-later
import { afterAll, beforeAll, describe, test } from 'vitest';
import { bootInstalled, installed } from './lib/drbd.ts';
import { STORY, type Scene, type Teller } from './lib/story.ts';

const quiet: Teller = { say() {}, show() {}, progress() {} };

describe.skipIf(!installed)('the whole path once, in two guests', { sequential: true }, () => {
  let scene: Scene;
  let broken = false;

  beforeAll(async () => {
    const cluster = await bootInstalled(2);
    scene = { cluster, n1: cluster.guests[0]!, n2: cluster.guests[1]!, tell: quiet };
    await Promise.all(cluster.guests.map((guest) => guest.startOfTest('the whole path')));
  });
  afterAll(() => scene?.cluster.destroy());

  for (const step of STORY) {
    test(step.title, async (context) => {
      if (broken) context.skip('an earlier step failed');
      broken = true;
      await step.run(scene);
      broken = false;
    });
  }
});
