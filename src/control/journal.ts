// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * What a new engine must know: the configuration that accepted requests have led to, and the sticky facts. A value by
 * key; a later one replaces the earlier, and what is removed takes all below it along. Records are appended; when most
 * of them are out of date all are written anew.
 */
import type { DeviceConf, DiskConf, NetConf, PeerDeviceConf, ResourceOpts } from '../genl/config-attrs.ts';
import type { Journal } from '../host/journal.ts';
import type { Netns } from '../host/net.ts';
import type { Sticky } from '../state/effects.ts';

export interface PathRecord { readonly myAddr: Uint8Array; readonly peerAddr: Uint8Array; readonly netns: Netns }

/** Keys are parts joined by '/', which no name has. */
export type JournalKey = readonly (string | number)[];

/** Names of keys, and what is kept there. */
export const keyOf = {
  /** ResourceOpts */
  resource: (resource: string): JournalKey => [resource],
  /** VolumeRecord */
  volume: (resource: string, vnr: number): JournalKey => [resource, 'volume', vnr],
  /** DiskConf */
  disk: (resource: string, vnr: number): JournalKey => [resource, 'volume', vnr, 'disk'],
  /** NetConf */
  peer: (resource: string, nodeId: number): JournalKey => [resource, 'peer', nodeId],
  /** PathRecord */
  path: (resource: string, nodeId: number, path: PathRecord): JournalKey =>
    [resource, 'peer', nodeId, 'path', hex(path.myAddr), hex(path.peerAddr)],
  /** PeerDeviceConf */
  peerDevice: (resource: string, nodeId: number, vnr: number): JournalKey => [resource, 'peer', nodeId, 'volume', vnr],
} as const;

export interface VolumeRecord { readonly minor: number; readonly conf: DeviceConf }

export type JournalValue = ResourceOpts | VolumeRecord | DiskConf | NetConf | PathRecord | PeerDeviceConf | Sticky;

/** A rewrite pays when that many records more than live values are there. */
const SPARE_RECORDS = 256;

export class EngineJournal {
  readonly #journal: Journal;
  /** In order of creation. */
  readonly #live = new Map<string, JournalValue>();
  #records = 0;
  /** Records that could not be read: of another version, or damaged. */
  readonly unreadable: number;

  constructor(journal: Journal) {
    this.#journal = journal;
    let unreadable = 0;
    for (const record of journal.read()) {
      const change = decode(record);
      if (change) this.#apply(change);
      else unreadable++;
      this.#records++;
    }
    this.unreadable = unreadable;
  }

  /** The values of all keys, each with the parts of its key, in order of creation. */
  *entries(): Generator<readonly [key: readonly string[], value: JournalValue]> {
    for (const [key, value] of this.#live) yield [key.split('/'), value];
  }

  put(key: JournalKey, value: JournalValue): void { this.#write({ key: key.join('/'), value }); }

  /** With everything below it. */
  remove(key: JournalKey): void { this.#write({ key: key.join('/') }); }

  sticky(resource: { readonly name: string }, fact: Sticky): void {
    this.put([resource.name, ...stickyKey(fact)], fact);
  }

  /** A resource has another name. */
  rename(before: string, after: string): void {
    const values = [...this.#live];
    this.#live.clear();
    for (const [key, value] of values) {
      const [first, ...rest] = key.split('/');
      this.#live.set([first === before ? after : first, ...rest].join('/'), value);
    }
    this.#rewrite();
  }

  /** The last resource is gone. */
  clear(): void {
    this.#live.clear();
    if (this.#records > 0) this.#rewrite();
  }

  #write(change: Change): void {
    this.#apply(change);
    if (this.#records > 2 * this.#live.size + SPARE_RECORDS) return this.#rewrite();
    this.#journal.append(encode(change));
    this.#records++;
  }

  #apply({ key, value }: Change): void {
    if (value !== undefined) {
      this.#live.set(key, value);
      return;
    }
    for (const each of this.#live.keys()) if (each === key || each.startsWith(`${key}/`)) this.#live.delete(each);
  }

  #rewrite(): void {
    this.#journal.rewrite([...this.#live].map(([key, value]) => encode({ key, value })));
    this.#records = this.#live.size;
  }
}

/** Below the object that the fact is about, so that it goes with it. */
function stickyKey(fact: Sticky): JournalKey {
  switch (fact.kind) {
    case 'role': case 'suspended': case 'members': return ['fact', fact.kind];
    case 'standAlone': case 'fencing': return ['peer', fact.nodeId, 'fact', fact.kind];
    case 'exposedUuid': case 'disk': case 'outgrown': case 'replaced': return ['volume', fact.vnr, 'fact', fact.kind];
    case 'pauseSync': return ['peer', fact.nodeId, 'volume', fact.vnr, 'fact', fact.kind];
  }
}

/** A value, or the removal of a key and all below it. */
interface Change { readonly key: string; readonly value?: JournalValue }

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
const unhex = (text: string): Uint8Array =>
  Uint8Array.from(text.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));

const encode = (change: Change): Uint8Array => new TextEncoder().encode(JSON.stringify(change, (_, value: unknown) => {
  if (typeof value === 'bigint') return { u64: value.toString(16) };
  return value instanceof Uint8Array ? { bytes: hex(value) } : value;
}));

/** null: no record of ours. */
function decode(record: Uint8Array): Change | null {
  try {
    const change: unknown = JSON.parse(new TextDecoder().decode(record), (_, value: unknown) => {
      if (typeof value !== 'object' || value === null) return value;
      if ('u64' in value && typeof value.u64 === 'string') return BigInt(`0x${value.u64}`);
      return 'bytes' in value && typeof value.bytes === 'string' ? unhex(value.bytes) : value;
    });
    const good = typeof change === 'object' && change !== null && 'key' in change && typeof change.key === 'string';
    return good ? change as Change : null;
  } catch {
    return null;
  }
}
