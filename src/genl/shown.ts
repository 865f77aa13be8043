// SPDX-License-Identifier: GPL-2.0-or-later
import { BY_HAND, encodeField, encodePartial, openNest } from './codec.ts';
import type { CfgContext } from './command-attrs.ts';
import { cfgContext } from './command-attrs.ts';
import { pathParms } from './config-attrs.ts';
import type { ConnectionShown, PathShown } from './snapshot.ts';
import type { Writer } from './tlv.ts';

/** Contexts of what the kernel side shows: always in this order of fields. @spec genetlink.md 3 */

export const resourceContext = (resourceName: string): CfgContext => ({ resourceName });

export const deviceContext = (resourceName: string, volume: number): CfgContext => ({ volume, resourceName });

export const connectionContext = (resourceName: string, connection: ConnectionNamed): CfgContext =>
  ({ resourceName, peerNodeId: connection.peerNodeId, connName: connection.name });

export const peerDeviceContext = (resourceName: string, connection: ConnectionNamed, volume: number): CfgContext =>
  ({ volume, ...connectionContext(resourceName, connection) });

export const pathContext = (resourceName: string, connection: ConnectionNamed, path: PathShown): CfgContext =>
  ({ ...connectionContext(resourceName, connection), myAddr: path.myAddr, peerAddr: path.peerAddr });

/** What names a connection. */
export type ConnectionNamed = Pick<ConnectionShown, 'peerNodeId' | 'name'>;

export const putContext = (w: Writer, context: CfgContext) => encodePartial(w, cfgContext, context, BY_HAND);

/** All paths in one flat nest: my, peer, my, peer… */
export function putPathList(w: Writer, paths: readonly PathShown[]) {
  const at = openNest(w, pathParms, BY_HAND);
  for (const path of paths) {
    encodeField(w, pathParms, 'myAddr', pathParms.fields.myAddr, path.myAddr, BY_HAND);
    encodeField(w, pathParms, 'peerAddr', pathParms.fields.peerAddr, path.peerAddr, BY_HAND);
  }
  w.closeAttr(at);
}
