// SPDX-License-Identifier: GPL-2.0-or-later
/** resize. @spec uuid.md 5.5 */
import { Err } from '../../genl/codes.ts';
import { resizeParms } from '../../genl/command-attrs.ts';
import { parms } from '../../genl/parms.ts';
import { OK, refusal } from '../../genl/reply.ts';
import type { Reply } from '../../genl/reply.ts';
import { alExtentsLimit } from '../../meta/activity-log.ts';
import { DdsFlag } from '../../state/size-agreement.ts';
import { Ss } from '../../state/ss.ts';
import { Repl } from '../../state/states.ts';
import type { Device } from '../device.ts';
import type { Disk } from '../disk.ts';
import { determineDeviceSize } from '../sizes.ts';
import type { AlStripes } from '../sizes.ts';
import type { Call } from './call.ts';
import type { Steps } from './steps.ts';
import { untilHolds } from './waits.ts';

const AL_KIB_MAX = 16_777_216;
const AL_KIB_MIN = 32;
const KIB_A_BLOCK = 4;

export function* resize(call: Call): Steps<Reply> {
  const { device } = call;
  const { resource, vnr, disk } = device;
  if (!disk) return refusal(Err.NO_DISK);
  const { layout } = disk.meta;
  const before = { alStripes: layout.alStripes, alStripeSize: layout.alStripeSize4k * KIB_A_BLOCK };
  const given = parms(call.request, resizeParms, { resizeSize: 0, resizeForce: false, noResync: false, ...before });
  if (given.refused) return given.refused;
  const { resizeSize, resizeForce, noResync, alStripes, alStripeSize } = given.value;
  if (resource.view.peerDevices.some((pd) => pd.vnr === vnr && pd.repl > Repl.established)) return refusal(Err.RESIZE_RESYNC);
  const stripes = alStripes === before.alStripes && alStripeSize === before.alStripeSize ? null
    : { alStripes, alStripeSize4k: Math.floor(alStripeSize / KIB_A_BLOCK) };
  const bad = objection(device, disk, resizeSize, stripes);
  if (bad) return bad;
  device.wantedStripes = stripes;
  const flags = (resizeForce ? DdsFlag.assumePeerHasSpace : 0) | (noResync ? DdsFlag.noResync : 0);
  const { rc } = yield* call.ask(resource, (request) => ({ kind: 'resize', request, vnr, userSizeSectors: resizeSize, ddsFlags: flags }));
  if (rc === Ss.nothingToDo) moveOnly(device, resizeSize, flags);
  device.wantedStripes = null;
  if (rc < Ss.success) return refusal(rc);
  yield* untilHolds(resource, 'meta-data of the new size', () => !device.rewriting);
  if (device.resized === 'error-space-md') return refusal(Err.MD_LAYOUT_NO_FIT);
  return device.resized === 'error-shrink' ? refusal(Err.IMPLICIT_SHRINK) : OK;
}

function objection(device: Device, disk: Disk, wanted: number, stripes: AlStripes | null): Reply | null {
  const kib = stripes ? stripes.alStripes * stripes.alStripeSize4k * KIB_A_BLOCK : AL_KIB_MIN;
  if (kib > AL_KIB_MAX) return refusal(Err.MD_LAYOUT_TOO_BIG);
  if (kib < AL_KIB_MIN || alExtentsLimit(kib / KIB_A_BLOCK) < disk.al.slots.count) return refusal(Err.MD_LAYOUT_TOO_SMALL);
  const { usable } = disk.layoutNow(stripes?.alStripes, stripes?.alStripeSize4k);
  if (wanted > usable) return refusal(stripes ? Err.MD_LAYOUT_NO_FIT : Err.DISK_TOO_SMALL);
  if (stripes && wanted === 0 && usable < device.capacity) {
    device.log.warn(`Implicit shrink not allowed. Use --size=${usable}s for explicit shrink.`);
    return refusal(Err.IMPLICIT_SHRINK);
  }
  return null;
}

/** The size stays, but the backing device has grown, or the activity log gets another layout: the meta-data move. */
function moveOnly(device: Device, userSize: number, flags: number): void {
  const { disk, capacity, wantedStripes } = device;
  device.resized = 'unchanged';
  if (!disk || capacity === 0) return;
  if (userSize !== 0) disk.conf = { ...disk.conf, diskSize: userSize };
  device.resized = determineDeviceSize(device, flags, { size: capacity, stripes: wantedStripes });
}
