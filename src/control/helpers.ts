// SPDX-License-Identifier: GPL-2.0-or-later
/** Usermode helpers: arguments, environment, notifications. @spec genetlink.md 8 */
import type { Helper } from '../host/helper.ts';
import { Cstate, cstateNames, Disk } from '../state/states.ts';
import type { Connection } from './connection.ts';
import type { Device } from './device.ts';
import type { Notifier } from './notify.ts';
import type { Resource } from './resource.ts';

export interface About { readonly device?: Device | undefined; readonly connection?: Connection | undefined }

/** Exit code; negative: it could not start or was killed; null: helpers are disabled, proceed as if it had agreed. */
export type HelperEnded = (exit: number | null) => void;

export class Helpers {
  readonly #helper: Helper;
  readonly #notifier: Notifier;

  constructor(helper: Helper, notifier: Notifier) {
    this.#helper = helper;
    this.#notifier = notifier;
  }

  run(resource: Resource, name: string, about: About, ended: HelperEnded): void {
    const path = this.#helper.path();
    if (path === 'disabled') return ended(null);
    const { log } = resource;
    const command = `helper command: ${path} ${name}`;
    log.info(command);
    this.#notifier.helperCalled(resource, about, name);
    this.#helper.run([path, name, resource.name], environment(resource, name, about), (status) => {
      const exit = status < 0 ? status : (status >> 8) & 0xff;
      const text = `${command} exit code ${exit} (0x${(status >>> 0).toString(16)})`;
      if (status === 0) log.info(text);
      else log.warn(text);
      this.#notifier.helperEnded(resource, about, name, status);
      ended(status >= 0 && (status & 0x7f) !== 0 ? -1 : exit);
    });
  }
}

function environment(resource: Resource, name: string, { device, connection }: About): string[] {
  const env = ['HOME=/', 'TERM=linux', 'PATH=/sbin:/usr/sbin:/bin:/usr/bin'];
  if (device) {
    env.push(`DRBD_MINOR=${device.minor}`, `DRBD_VOLUME=${device.vnr}`);
    if (device.disk) env.push(`DRBD_BACKING_DEV=${device.disk.conf.backingDev}`);
  }
  if (connection) {
    env.push(...addresses(connection), `DRBD_PEER_NODE_ID=${connection.nodeId}`,
      `DRBD_CSTATE=${cstateNames[connection.cstate()] ?? cstateNames[Cstate.standAlone]}`);
    if (!device) for (const each of resource.devices.values()) env.push(...volume(each));
  }
  if (name.includes('fence')) env.push(`UP_TO_DATE_NODES=0x${hex(upToDateNodes(resource))}`);
  return env;
}

const volume = (device: Device): string[] => [`DRBD_MINOR_${device.vnr}=${device.minor}`,
  ...(device.disk ? [`DRBD_BACKING_DEV_${device.vnr}=${device.disk.conf.backingDev}`] : [])];

function addresses(connection: Connection): string[] {
  const path = connection.paths[0]?.path;
  if (!path) return [];
  return [`DRBD_MY_AF=${path.local.family}`, `DRBD_MY_ADDRESS=${path.local.address}`,
    `DRBD_PEER_AF=${path.peer.family}`, `DRBD_PEER_ADDRESS=${path.peer.address}`];
}

/** Nodes whose data are UpToDate on every volume. */
function upToDateNodes({ view, nodeId }: Resource): bigint {
  let nodes = ~0n;
  view.devices.forEach((device, d) => {
    let mask = device.disk === Disk.upToDate ? 1n << BigInt(nodeId) : 0n;
    view.connections.forEach((c, i) => {
      if (view.peerDevices[d * view.connections.length + i]!.pdsk === Disk.upToDate) mask |= 1n << BigInt(c.nodeId);
    });
    nodes &= mask;
  });
  return view.devices.length === 0 ? 0n : nodes;
}

const hex = (mask: bigint): string => mask.toString(16).toUpperCase().padStart(8, '0');
