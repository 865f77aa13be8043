// SPDX-License-Identifier: GPL-2.0-or-later
import { u32 } from '../fields.ts';
import { ALGORITHM_NAME_BYTES } from '../limits.ts';
import { packet, type ValueOf } from '../schema.ts';
import { textTail } from '../tails.ts';
import { speaks } from '../versions.ts';

/** ConnFlags of P_PROTOCOL. */
export const ConnFlag = { discardMyData: 1, dryRun: 2 } as const;

/** protocol: 1 A, 2 B, 3 C. Policies by number, wire.md 5.3. integrityAlg "" for none. */
const shape = {
  stream: 'data',
  scope: 'connection',
  fields: {
    protocol: u32(),
    afterSb0p: u32(),
    afterSb1p: u32(),
    afterSb2p: u32(),
    connFlags: u32({ hex: true }),
    twoPrimaries: u32(),
  },
  tail: textTail('integrityAlg', ALGORITHM_NAME_BYTES, (agreed) => speaks(agreed, 'dataIntegrityAlg')),
} as const;

/** Settings that must be equal on both ends. @spec wire.md 5.3 */
export const PProtocol = packet({ name: 'P_PROTOCOL', command: 0x0b, ...shape });
export type PProtocol = ValueOf<typeof PProtocol>;

/** New settings of the sender, to be adopted. @spec wire.md 5.3 */
export const PProtocolUpdate = packet({ name: 'P_PROTOCOL_UPDATE', command: 0x2d, versions: [100, 0xffff], ...shape });
export type PProtocolUpdate = ValueOf<typeof PProtocolUpdate>;
