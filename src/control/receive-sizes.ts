// SPDX-License-Identifier: GPL-2.0-or-later
/** P_SIZES: what does not fit ends the connect for good, or an established connection. @spec uuid.md 5.4 */
import { TAKEN } from '../conn/handlers.ts';
import type { Verdict } from '../conn/handlers.ts';
import type { PSizes } from '../wire/packets/sizes.ts';
import type { PeerDevice } from './peer-device.ts';
import * as sizes from './sizes.ts';

export function sizesReceived(pd: PeerDevice, packet: PSizes): Verdict {
  const { device: { resource }, connection: { nodeId } } = pd;
  const why = sizes.receiveSizes(pd, packet);
  if (why === '' || resource.view.twopc === null) return why;
  resource.dispatch({ kind: 'handshakeSizesError', nodeId });
  return TAKEN;
}
