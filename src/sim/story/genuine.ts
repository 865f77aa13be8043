// SPDX-License-Identifier: GPL-2.0-or-later
/** Peers that know what genuine DRBD knows: features of our own are gone from what they offer each other. */
import { Feature } from '../../wire/features.ts';
import { PConnectionFeatures } from '../../wire/packets/connection-features.ts';
import { parseHeader } from '../header.ts';
import type { SimFabric } from '../net.ts';

export function likeGenuine(fabric: SimFabric): void {
  const { holds } = fabric;
  fabric.holds = (stream, packet) => {
    const header = parseHeader(packet, 'h80');
    if (header?.command === PConnectionFeatures.command) {
      const view = new DataView(packet.buffer);
      const at = header.headerBytes + PConnectionFeatures.offset.featureFlags;
      view.setUint32(at, view.getUint32(at) & ~Feature.reconcileBits);
    }
    return holds?.(stream, packet) ?? false;
  };
}
