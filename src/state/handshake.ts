// SPDX-License-Identifier: GPL-2.0-or-later
/** State of a connect transaction's handshake. @spec state.md 6.8, 7.7 */
import type { Draft } from './draft.ts';
import { pdAt } from './facts.ts';
import { Cstate, Disk, Repl } from './states.ts';
import type { View } from './types.ts';
import { connectionIndex, noConnectState, replaceConnection, replacePeerDevicesOf } from './view.ts';

/** drbd_init_connect_state: nothing of an earlier attempt may count. */
export const noHandshake = { initialStateSent: false, initialStateReceived: false, haveSizes: false, uuidsReceived: false,
  follows: false, currentUuidReceived: false, peerQuorate: false, connectState: noConnectState } as const;

export const initConnectState = (view: View, nodeId: number): View =>
  replaceConnection(replacePeerDevicesOf(view, nodeId, noHandshake), nodeId, { handshake: 'none' });

export function abortConnect(view: View, nodeId: number): View {
  return replacePeerDevicesOf(view, nodeId, { holdingUuidLock: false, initialStateSent: false, initialStateReceived: false,
    uuidsReceived: false, currentUuidReceived: false, follows: false });
}

/** CONN_HANDSHAKE_READY: the peer's initial states of all volumes came. */
export function handshakeReady(view: View, nodeId: number): boolean {
  const c = connectionIndex(view, nodeId);
  return c < 0 || view.devices.every((_, d) => pdAt(view, d, c).initialStateReceived);
}

/** apply_connect: what the handshake decided becomes the state. */
export function applyConnect(draft: Draft, c: number): void {
  let refused = false;
  draft.devices.forEach((device, d) => {
    const i = draft.index(d, c);
    const { connectState } = pdAt(draft, d, c);
    if (connectState.disk !== Disk.mask) draft.setDevice(d, { disk: connectState.disk });
    if (connectState.conn === Repl.off) refused = true;
    else if (device.disk !== Disk.negotiating) draft.setPeerDevice(i, { repl: connectState.conn });
    else draft.setPeerDevice(i, { repl: Repl.established, negotiationResult: connectState.conn }); // Acted on with the attach's end.
    draft.setPeerDevice(i, { pdsk: connectState.pdsk, suspPeer: connectState.peerIsp });
  });
  draft.setConnection(c, { discardMyData: false });
  if (refused) draft.setCstate(c, Cstate.disconnecting);
}

