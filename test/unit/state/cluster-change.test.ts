// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import { applyChange } from '../../../src/state/cluster-change.ts';
import { Cstate, Disk, Repl, Role } from '../../../src/state/states.ts';
import { draftOf } from './build.ts';
import { md } from './cluster.ts';

describe('the empty transaction', () => {
  const FENCING = 0x4;
  const after = (role: Role, slotFlags: number): Disk => {
    const facts = md(0x411, [1]);
    const parts = { resource: { role },
      device: { disk: Disk.consistent, md: { ...facts, slots: facts.slots.map((slot) => slot.bitmapIndex < 0 ? slot : { ...slot, flags: slotFlags }) } },
      connections: [{ cstate: Cstate.connecting, peerRole: Role.unknown }], peers: [{ repl: Repl.off, pdsk: Disk.unknown }] };
    const draft = draftOf(parts, parts);
    applyChange(draft, { what: 'empty' }, 'local', null);
    return draft.devices[0]!.disk;
  };

  it('makes a Consistent disk UpToDate, but not a Primary\'s while an absent peer is not fenced', () => {
    expect(after(Role.secondary, 0x10 | FENCING)).toBe(Disk.upToDate);
    expect(after(Role.primary, 0x10)).toBe(Disk.upToDate);
    expect(after(Role.primary, 0x10 | FENCING)).toBe(Disk.consistent);
  });
});
