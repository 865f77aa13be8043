// SPDX-License-Identifier: GPL-2.0-or-later
import { encodeStruct } from './codec.ts';
import { Err } from './codes.ts';
import { connectionInfo, connectionStatistics, deviceInfo, deviceStatistics, helperInfo, notificationHeader, pathInfo,
  peerDeviceInfo, peerDeviceStatistics, renameResourceInfo, resourceInfo, resourceStatistics } from './info-attrs.ts';
import type { Envelope } from './message.ts';
import { message, NO_MINOR } from './message.ts';
import { Event } from './ops.ts';
import type { CfgContext } from './command-attrs.ts';
import type { ConnectionNamed } from './shown.ts';
import { connectionContext, deviceContext, pathContext, peerDeviceContext, putContext, putPathList,
  resourceContext } from './shown.ts';
import type { ConnectionShown, DeviceShown, PathShown, PeerDeviceShown, ResourceShown } from './snapshot.ts';
import type { Writer } from './tlv.ts';

/** nh_type. */
export const Notify = { exists: 0, create: 1, change: 2, destroy: 3, call: 4, response: 5, rename: 6 } as const;
export type Notify = (typeof Notify)[keyof typeof Notify];

/** In nh_type: the next notification belongs to the same change. */
export const NOTIFY_CONTINUES = 0x8000;

type Lifecycle = typeof Notify.exists | typeof Notify.create | typeof Notify.change | typeof Notify.destroy;

/** One event. `continues`: another one of the same atomic change follows. */
export type Notification = { readonly continues?: boolean } & (
  | { readonly kind: 'resource'; readonly type: Lifecycle; readonly resource: ResourceShown }
  /** `resource` has the old name. */
  | { readonly kind: 'resource'; readonly type: typeof Notify.rename; readonly resource: ResourceShown;
    readonly newName: string }
  | { readonly kind: 'device'; readonly type: Lifecycle; readonly resourceName: string; readonly device: DeviceShown }
  | { readonly kind: 'connection'; readonly type: Lifecycle; readonly resourceName: string;
    readonly connection: ConnectionShown }
  | { readonly kind: 'peerDevice'; readonly type: Lifecycle; readonly resourceName: string;
    readonly connection: ConnectionNamed; readonly peerDevice: PeerDeviceShown }
  | { readonly kind: 'path'; readonly type: Lifecycle; readonly resourceName: string;
    readonly connection: ConnectionNamed; readonly path: PathShown }
  | HelperNotification);

/** `status`: 0 for a call; for a response the raw wait status, or -errno. */
export interface HelperNotification {
  readonly kind: 'helper';
  readonly type: typeof Notify.call | typeof Notify.response;
  readonly resourceName: string;
  readonly connection?: ConnectionNamed;
  readonly device?: { readonly minor: number; readonly volume: number };
  readonly name: string;
  readonly status: number;
}

/** A name longer than this is cut: helper_name has 32 bytes. */
const HELPER_NAME_CHARS = 31;

/**
 * A complete message for the group "events".
 * @spec genetlink.md 5
 */
export function encodeNotification(envelope: Envelope, event: Notification): Uint8Array {
  const nhType = event.type | (event.continues ? NOTIFY_CONTINUES : 0);
  const info = event.type !== Notify.destroy;
  const send = (cmd: Event, minor: number, context: CfgContext, body: (w: Writer) => void) =>
    message(envelope, 0, cmd, minor, Err.NO_ERROR, (w) => {
      putContext(w, context);
      encodeStruct(w, notificationHeader, { nhType });
      body(w);
    });
  switch (event.kind) {
    case 'resource': {
      const { name, info: shown, statistics } = event.resource;
      return send(Event.RESOURCE_STATE, NO_MINOR, resourceContext(name), (w) => {
        if (info && event.type !== Notify.rename) encodeStruct(w, resourceInfo, shown);
        encodeStruct(w, resourceStatistics, statistics);
        if (event.type === Notify.rename) encodeStruct(w, renameResourceInfo, { resNewName: event.newName });
      });
    }
    case 'device': {
      const { device } = event;
      return send(Event.DEVICE_STATE, device.minor, deviceContext(event.resourceName, device.volume), (w) => {
        if (info) encodeStruct(w, deviceInfo, device.info);
        encodeStruct(w, deviceStatistics, device.statistics);
      });
    }
    case 'connection': {
      const { connection } = event;
      return send(Event.CONNECTION_STATE, NO_MINOR, connectionContext(event.resourceName, connection), (w) => {
        if (info) encodeStruct(w, connectionInfo, connection.info);
        putPathList(w, connection.paths);
        encodeStruct(w, connectionStatistics, connection.statistics);
      });
    }
    case 'peerDevice': {
      const { peerDevice } = event;
      const context = peerDeviceContext(event.resourceName, event.connection, peerDevice.volume);
      return send(Event.PEER_DEVICE_STATE, NO_MINOR, context, (w) => {
        if (info) encodeStruct(w, peerDeviceInfo, peerDevice.info);
        encodeStruct(w, peerDeviceStatistics, peerDevice.statistics);
      });
    }
    case 'path':
      return send(Event.PATH_STATE, NO_MINOR, pathContext(event.resourceName, event.connection, event.path),
        (w) => encodeStruct(w, pathInfo, event.path.info));
    case 'helper':
      return send(Event.HELPER, event.device?.minor ?? NO_MINOR, helperContext(event), (w) =>
        encodeStruct(w, helperInfo,
          { helperName: event.name.slice(0, HELPER_NAME_CHARS), helperStatus: event.status }));
  }
}

function helperContext({ resourceName, connection, device }: HelperNotification): CfgContext {
  const context = connection ? connectionContext(resourceName, connection) : resourceContext(resourceName);
  return device ? { volume: device.volume, ...context } : context;
}

/** Ends the notifications of GET_INITIAL_STATE. */
export const encodeInitialStateDone = (envelope: Envelope) =>
  message(envelope, 0, Event.INITIAL_STATE_DONE, NO_MINOR, Err.NO_ERROR,
    (w) => encodeStruct(w, notificationHeader, { nhType: Notify.exists }));
