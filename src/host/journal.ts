// SPDX-License-Identifier: GPL-2.0-or-later
/** Records that outlive the engine, not the node. A record is on the journal when append() returns. */
export interface Journal {
  /** Records of earlier engines of this load of the module, oldest first; a torn last one is left out. */
  read(): readonly Uint8Array[];
  append(record: Uint8Array): void;
  /** Replaces everything, atomically: compaction. */
  rewrite(records: readonly Uint8Array[]): void;
}
