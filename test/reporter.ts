// SPDX-License-Identifier: GPL-2.0-or-later
import { mkdirSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { DefaultReporter, type TestModule } from 'vitest/node';

/** The end of a full run: seconds of each file, slowest first, then vitest's summary, then one line to read by machine. */
export default class Reporter extends DefaultReporter {
  override onTestRunEnd(...[modules, errors, reason]: Parameters<DefaultReporter['onTestRunEnd']>): void {
    this.#printSeconds(modules);
    super.onTestRunEnd(modules, errors, reason);
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const count = (state: string) => tests.filter((test) => test.result().state === state).length;
    const brokenFiles = modules.filter((module) => module.errors().length > 0).length;
    const failed = count('failed') + brokenFiles + errors.length;
    const closing = `${count('passed')} passed, ${failed} failed`;
    mkdirSync('out', { recursive: true });
    writeFileSync('out/tests-done', `${closing}\n`);
    console.log(closing);
  }

  #printSeconds(modules: readonly TestModule[]): void {
    const rows = modules.map((module) => {
      const { duration, collectDuration, setupDuration } = module.diagnostic();
      return { name: relative(process.cwd(), module.moduleId), seconds: (duration + collectDuration + setupDuration) / 1000 };
    });
    rows.sort((a, b) => b.seconds - a.seconds);
    console.log('\nSeconds of each test file:');
    for (const { name, seconds } of rows) console.log(`${seconds.toFixed(1).padStart(8)}  ${name}`);
  }
}
