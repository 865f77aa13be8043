// SPDX-License-Identifier: GPL-2.0-or-later
import { Ss } from '../../state/ss.ts';
import type { Resource } from '../resource.ts';

/** Who holds the devices open, in genuine's words, where that is why a change was refused. @spec state.md 7.1, 7.4 */
export function openerTexts(resource: Resource, rc: number): string[] {
  if (rc !== Ss.deviceInUse && rc !== Ss.noUpToDateDisk) return [];
  return [...resource.devices.values()].flatMap((device) => {
    const { openCount, writable } = resource.deviceRow(device.vnr);
    if (openCount === 0) return [];
    return [`/dev/drbd${device.minor} open_cnt:${openCount}, writable:${Number(writable)}; list of openers follows`,
      ...device.openers.known.map(({ comm, pid, sinceSeconds }) =>
        `drbd${device.minor} opened by ${comm} (pid ${pid}) at ${stamp(sinceSeconds)}`)];
  });
}

const stamp = (seconds: number): string => new Date(seconds * 1000).toISOString().replace('T', ' ').replace('Z', '');
