// SPDX-License-Identifier: GPL-2.0-or-later
import type { Ss } from './ss.ts';

/** Why something was refused, waits or stands still: "why is this blocked?" is answered with these. */
export type Reason =
  /** A guard row refused a transition. `row` is its number in state.md 4 (H1, T16 …). */
  | { readonly kind: 'guard'; readonly row: string; readonly code: Ss; readonly text: string;
      readonly vnr: number; readonly nodeId: number }
  /** A check beyond the guards refused (6.7, 7.x). */
  | { readonly kind: 'refused'; readonly code: Ss; readonly text: string }
  /** Another node said no. */
  | { readonly kind: 'declined'; readonly nodeId: number; readonly text: string }
  /** I/O is suspended; `nodeId` for fencing, `vnr` for the volume that lacks data or quorum; -1: none in particular. */
  | { readonly kind: 'suspended'; readonly by: 'user' | 'no-data' | 'fencing' | 'quorum' | 'uuid';
      readonly vnr: number; readonly nodeId: number }
  /** Not done yet, goes on by itself. */
  | { readonly kind: 'waiting'; readonly for: WaitingFor; readonly nodeId: number };

export type WaitingFor =
  | 'other two-phase commit' | 'serialization' | 'replies' | 'initial states' | 'back-off' | 'transient state'
  | 'events settled' | 'fence-peer' | 'ping' | 'read-only opener' | 'after-state-change' | 'disk' | 'disconnect'
  | 'worker';
