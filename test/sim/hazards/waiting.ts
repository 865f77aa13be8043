// SPDX-License-Identifier: GPL-2.0-or-later
/** Rows without a scenario of their own: what they wait for, or where else they are shown. */

/** What rows wait for: a feature of the engine, or somebody who scripts them. */
export const waiting: Readonly<Record<string, string>> = {
  'H-065': 'equal-UUID reconcile at a reconnect (feature bit 512), hazards 15.6',
  'H-119': 'resync without replication (9.3, feature bit 128): not offered',
  'H-213': 'a half packet before the end of a stream: the simulated net delivers whole packets; native stream tests',
  'H-220': 'time that work takes: the simulation has no slow code; metrics of the turn',
  'H-288': 'bitmap granularity (9.3, feature bit 256): not offered',
};

/** Shown outside of these stories: the file must name the row. */
export const elsewhere: Readonly<Record<string, string>> = {};
