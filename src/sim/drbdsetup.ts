// SPDX-License-Identifier: GPL-2.0-or-later
/** What drbdsetup does, over the simulated relay: requests as drbd-utils encode them, answers decoded. */
import { decodeNest, encodePartial, UTILS } from '../genl/codec.ts';
import type { CfgContext } from '../genl/command-attrs.ts';
import { cfgContext, cfgReply, connectParms, disconnectParms, setRoleParms } from '../genl/command-attrs.ts';
import { deviceConf, diskConf, netConf, pathParms, peerDeviceConf, resourceOpts } from '../genl/config-attrs.ts';
import type { DeviceConf, DiskConf, NetConf, PeerDeviceConf, ResourceOpts } from '../genl/config-attrs.ts';
import { HEADERS, message, NLM_F_REQUEST, NO_MINOR, readHeader } from '../genl/message.ts';
import { Cmd } from '../genl/ops.ts';
import type { InferPartial, Nest } from '../genl/schema.ts';
import { NLA_TYPE_MASK, readAttrs } from '../genl/tlv.ts';
import type { SimNode } from './node.ts';

export interface Answer { readonly code: number; readonly text: string }
/** drbdsetup died with its machine. */
const GONE: Answer = { code: 0, text: 'the node is gone' };

/** A sockaddr_in as netlink carries it. */
export function sockaddr(address: string, port: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 2, true);
  view.setUint16(2, port);
  address.split('.').forEach((part, i) => { bytes[4 + i] = Number(part); });
  return bytes;
}

export class Drbdsetup {
  readonly node: SimNode;
  #seq = 1;

  constructor(node: SimNode) { this.node = node; }

  newResource(name: string, nodeId: number, opts: Partial<ResourceOpts> = {}): Promise<Answer> {
    return this.#send(Cmd.NEW_RESOURCE, { resourceName: name }, NO_MINOR, resourceOpts, { nodeId, ...opts });
  }

  newMinor(name: string, minor: number, volume: number, opts: Partial<DeviceConf> = {}): Promise<Answer> {
    return this.#send(Cmd.NEW_MINOR, { resourceName: name, volume }, minor, deviceConf, opts);
  }

  attach(minor: number, path: string, opts: Partial<DiskConf> = {}): Promise<Answer> {
    return this.#send(Cmd.ATTACH, {}, minor, diskConf, { backingDev: path, metaDev: path, metaDevIdx: -1, ...opts });
  }

  newPeer(name: string, peerNodeId: number, opts: Partial<NetConf>): Promise<Answer> {
    return this.#send(Cmd.NEW_PEER, { resourceName: name, peerNodeId }, NO_MINOR, netConf, opts);
  }

  newPath(name: string, peerNodeId: number, mine: Uint8Array, peer: Uint8Array): Promise<Answer> {
    const body = { myAddr: mine, peerAddr: peer };
    return this.#send(Cmd.NEW_PATH, { resourceName: name, peerNodeId }, NO_MINOR, pathParms, body);
  }

  peerDeviceOptions(name: string, peerNodeId: number, volume: number, opts: Partial<PeerDeviceConf>): Promise<Answer> {
    return this.#send(Cmd.CHG_PEER_DEVICE_OPTS, { resourceName: name, peerNodeId, volume }, NO_MINOR, peerDeviceConf, opts);
  }

  connect(name: string, peerNodeId: number, discardMyData = false): Promise<Answer> {
    const body = discardMyData ? { discardMyData } : {};
    return this.#send(Cmd.CONNECT, { resourceName: name, peerNodeId }, NO_MINOR, connectParms, body);
  }

  disconnect(name: string, peerNodeId: number, forceDisconnect = false): Promise<Answer> {
    return this.#send(Cmd.DISCONNECT, { resourceName: name, peerNodeId }, NO_MINOR, disconnectParms, { forceDisconnect });
  }

  primary(name: string, force = false): Promise<Answer> {
    return this.#send(Cmd.PRIMARY, { resourceName: name }, NO_MINOR, setRoleParms, { force });
  }

  secondary(name: string, force = false): Promise<Answer> {
    return this.#send(Cmd.SECONDARY, { resourceName: name }, NO_MINOR, setRoleParms, force ? { force } : {});
  }

  /** Any command without parameters of its own. */
  plain(cmd: number, context: CfgContext, minor = NO_MINOR): Promise<Answer> { return this.#send(cmd, context, minor); }

  /** Any command with its parameters. */
  with<N extends Nest>(cmd: number, context: CfgContext, nest: N, body: InferPartial<N>, minor = NO_MINOR): Promise<Answer> {
    return this.#send(cmd, context, minor, nest, body);
  }

  down(name: string): Promise<Answer> { return this.plain(Cmd.DOWN, { resourceName: name }); }

  #send<N extends Nest>(cmd: number, context: CfgContext, minor: number, nest?: N, body?: InferPartial<N>): Promise<Answer> {
    const seq = this.#seq++;
    const bytes = message({ type: 33, seq, portid: 4711 }, NLM_F_REQUEST, cmd, minor, 0, (w) => {
      encodePartial(w, cfgContext, context, UTILS);
      if (nest) encodePartial(w, nest, body!, UTILS);
    });
    return new Promise((resolve) => this.node.admin.send(bytes, false, ([reply]) => resolve(reply ? decodeAnswer(reply) : GONE)));
  }
}

function decodeAnswer(bytes: Uint8Array): Answer {
  const header = readHeader(bytes);
  if (header.type === 2) return { code: new DataView(bytes.buffer, bytes.byteOffset).getInt32(16, true), text: '' };
  let text = '';
  for (const attr of readAttrs(bytes, HEADERS, header.length, 'reply')) {
    if ((attr.type & NLA_TYPE_MASK) !== cfgReply.nr) continue;
    text = decodeNest(cfgReply, bytes, attr.start, attr.end).infoText ?? text;
  }
  return { code: header.flagsOrCode | 0, text };
}
