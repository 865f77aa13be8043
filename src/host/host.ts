// SPDX-License-Identifier: GPL-2.0-or-later
import type { Admin } from './admin.ts';
import type { BitmapPrimitives } from './bitmap.ts';
import type { BlockFrontend } from './block.ts';
import type { Clock } from './clock.ts';
import type { Crypto } from './crypto.ts';
import type { Helper } from './helper.ts';
import type { Journal } from './journal.ts';
import type { Log } from './log.ts';
import type { Net } from './net.ts';
import type { Random } from './random.ts';

/** Everything that an engine has of the world. `linux/` gives real ones, `sim/` simulated ones. */
export interface Host {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly admin: Admin;
  readonly block: BlockFrontend;
  readonly net: Net;
  readonly helper: Helper;
  readonly journal: Journal;
  readonly crypto: Crypto;
  readonly bitmap: BitmapPrimitives;
}
