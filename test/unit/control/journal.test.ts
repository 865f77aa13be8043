// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import { EngineJournal, keyOf } from '../../../src/control/journal.ts';
import { DISK_CONF_DEFAULTS, NET_CONF_DEFAULTS, RESOURCE_OPTS_DEFAULTS } from '../../../src/genl/options.ts';
import type { Journal } from '../../../src/host/journal.ts';

class Memory implements Journal {
  records: Uint8Array[] = [];
  rewrites = 0;
  read(): readonly Uint8Array[] { return this.records; }
  append(record: Uint8Array): void { this.records.push(record.slice()); }
  rewrite(records: readonly Uint8Array[]): void { this.records = records.map((r) => r.slice()); this.rewrites++; }
}

const path = { myAddr: Uint8Array.of(2, 0, 0x1b, 0x58), peerAddr: Uint8Array.of(2, 0, 0x1b, 0x59), netns: 7 };

function filled(memory: Memory): EngineJournal {
  const journal = new EngineJournal(memory);
  journal.put(keyOf.resource('r0'), RESOURCE_OPTS_DEFAULTS);
  journal.put(keyOf.peer('r0', 1), NET_CONF_DEFAULTS);
  journal.put(keyOf.path('r0', 1, path), path);
  journal.put(keyOf.disk('r0', 0), { ...DISK_CONF_DEFAULTS, backingDev: '/dev/vdb' });
  journal.put(keyOf.resource('r00'), RESOURCE_OPTS_DEFAULTS);
  return journal;
}

const keys = (journal: EngineJournal): string[] => [...journal.entries()].map(([key]) => key.join('/'));

describe('journal of an engine', () => {
  it('gives the next engine every value as it was last put', () => {
    const memory = new Memory();
    const journal = filled(memory);
    journal.sticky({ name: 'r0' }, { kind: 'members', members: 0xffff_ffff_ffff_fffen });
    journal.sticky({ name: 'r0' }, { kind: 'standAlone', nodeId: 1, standAlone: true });
    journal.sticky({ name: 'r0' }, { kind: 'standAlone', nodeId: 1, standAlone: false });
    const next = new EngineJournal(memory);
    expect([...next.entries()]).toEqual([...journal.entries()]);
    const values = new Map([...next.entries()].map(([key, value]) => [key.join('/'), value]));
    expect(values.get('r0/fact/members')).toEqual({ kind: 'members', members: 0xffff_ffff_ffff_fffen });
    expect(values.get('r0/peer/1/fact/standAlone')).toEqual({ kind: 'standAlone', nodeId: 1, standAlone: false });
    expect(values.get('r0/peer/1/path/02001b58/02001b59')).toEqual(path);
  });

  it('removes what lies below a key, and nothing else', () => {
    const memory = new Memory();
    const journal = filled(memory);
    journal.remove(keyOf.peer('r0', 1));
    expect(keys(journal)).toEqual(['r0', 'r0/volume/0/disk', 'r00']);
    journal.remove(keyOf.resource('r0'));
    expect(keys(new EngineJournal(memory))).toEqual(['r00']);
  });

  it('renames a resource with all of its values, in their place', () => {
    const memory = new Memory();
    const journal = filled(memory);
    journal.rename('r0', 'new');
    expect(keys(journal)).toEqual(['new', 'new/peer/1', 'new/peer/1/path/02001b58/02001b59', 'new/volume/0/disk', 'r00']);
    expect(keys(new EngineJournal(memory))).toEqual(keys(journal));
  });

  it('stays small however often values change', () => {
    const memory = new Memory();
    const journal = filled(memory);
    for (let i = 0; i < 5_000; i++) journal.sticky({ name: 'r0' }, { kind: 'exposedUuid', vnr: 0, uuid: BigInt(i) });
    expect(memory.records.length).toBeLessThan(300);
    expect(memory.rewrites).toBeGreaterThan(10);
    expect([...new EngineJournal(memory).entries()]).toEqual([...journal.entries()]);
    journal.clear();
    expect(memory.records).toEqual([]);
  });

  it('leaves out what it can not read and counts it', () => {
    const memory = new Memory();
    filled(memory);
    memory.records.splice(1, 0, Uint8Array.of(1, 2, 3), new TextEncoder().encode('[1]'), new TextEncoder().encode('{"k":1}'));
    const journal = new EngineJournal(memory);
    expect(journal.unreadable).toBe(3);
    expect(keys(journal)).toHaveLength(5);
  });
});
