// SPDX-License-Identifier: GPL-2.0-or-later
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

const REPOSITORY = join(import.meta.dirname, '../../..');
/** `make stage` puts an installation there (`make stage OUT=out/x` into another place, for DRBDD_STAGE). */
export const STAGE = resolve(process.env.DRBDD_STAGE ?? join(REPOSITORY, 'out/stage'));
export const installed = existsSync(join(STAGE, 'usr/sbin/drbdd'));
