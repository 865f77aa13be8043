// SPDX-License-Identifier: GPL-2.0-or-later
/** Rows without a scenario of their own: what they wait for, or where else they are shown. */

/** What rows wait for: a feature of the engine, or somebody who scripts them. */
export const waiting: Readonly<Record<string, string>> = {
  'H-119': 'resync without replication (9.3, feature bit 128): not offered',
  'H-288': 'bitmap granularity (9.3, feature bit 256): not offered',
};

/** Shown outside of these stories: the file must name the row. */
export const elsewhere: Readonly<Record<string, string>> = {
  'H-213': 'test/unit/linux/stream.test.ts',
  'H-220': 'test/vm/large-volume.test.ts',
};
