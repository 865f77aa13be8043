// SPDX-License-Identifier: GPL-2.0-or-later
import { text, u32 } from '../fields.ts';
import { ALGORITHM_NAME_BYTES } from '../limits.ts';
import { packet, type ValueOf } from '../schema.ts';
import { groupTail, textTail } from '../tails.ts';
import { speaks } from '../versions.ts';

/** Up to version 88. @spec wire.md 5.4 */
export const PSyncParam = packet({
  name: 'P_SYNC_PARAM',
  command: 0x0a,
  stream: 'data',
  scope: 'volume',
  versions: [86, 88],
  fields: { resyncRate: u32() },
  tail: textTail('verifyAlg', ALGORITHM_NAME_BYTES, (agreed) => speaks(agreed, 'verifyAlgInSyncParam')),
});
export type PSyncParam = ValueOf<typeof PSyncParam>;

/** resyncRate, cMaxRate: KiB/s; cPlanAhead, cDelayTarget: 0.1 s; cFillTarget: sectors. @spec wire.md 5.4 */
export const PSyncParam89 = packet({
  name: 'P_SYNC_PARAM89',
  command: 0x23,
  stream: 'data',
  scope: 'volume',
  versions: [89, 0xffff],
  fields: { resyncRate: u32(), verifyAlg: text(ALGORITHM_NAME_BYTES), csumsAlg: text(ALGORITHM_NAME_BYTES) },
  tail: groupTail(
    'controller',
    { cPlanAhead: u32(), cDelayTarget: u32(), cFillTarget: u32(), cMaxRate: u32() },
    (agreed) => speaks(agreed, 'syncParamController'),
  ),
});
export type PSyncParam89 = ValueOf<typeof PSyncParam89>;
