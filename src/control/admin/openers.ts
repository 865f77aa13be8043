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

const DAY_S = 86_400;
const two = (n: number): string => String(Math.floor(n)).padStart(2, '0');

/** "2026-11-21 03:27:18.000", UTC. */
export function stamp(seconds: number): string {
  const second = seconds % DAY_S;
  // Days of the proleptic Gregorian calendar, years beginning in March: leap days come last.
  const days = Math.floor(seconds / DAY_S) + 719_468;
  const era = Math.floor(days / 146_097);
  const dayOfEra = days - era * 146_097;
  const leapDays = Math.floor(dayOfEra / 1460) - Math.floor(dayOfEra / 36_524) + Math.floor(dayOfEra / 146_096);
  const year = Math.floor((dayOfEra - leapDays) / 365);
  const dayOfYear = dayOfEra - (365 * year + Math.floor(year / 4) - Math.floor(year / 100));
  const month = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * month + 2) / 5) + 1;
  const calendar = month < 10 ? { month: month + 3, year } : { month: month - 9, year: year + 1 };
  return `${calendar.year + era * 400}-${two(calendar.month)}-${two(day)} `
    + `${two(second / 3600)}:${two(second / 60 % 60)}:${two(second % 60)}.000`;
}
