// SPDX-License-Identifier: GPL-2.0-or-later
/** attach, detach, disk-options, outdate. @spec genetlink.md 2, state.md 7.3, 7.4, 7.9 */
import { Err } from '../../genl/codes.ts';
import { detachParms } from '../../genl/command-attrs.ts';
import type { DiskConf } from '../../genl/config-attrs.ts';
import { changedDiskConf, newDiskConf } from '../../genl/options.ts';
import { parms } from '../../genl/parms.ts';
import { OK, refusal } from '../../genl/reply.ts';
import type { Reply } from '../../genl/reply.ts';
import { Cs, Disk } from '../../state/states.ts';
import { Ss } from '../../state/ss.ts';
import { attach as attachDisk, detach as detachDisk } from '../attach.ts';
import type { Device } from '../device.ts';
import type { Engine } from '../engine.ts';
import { pushFacts } from '../facts.ts';
import { keyOf } from '../journal.ts';
import { deviceOptions } from '../options.ts';
import { changeReply } from './call.ts';
import type { Call } from './call.ts';
import { openerTexts } from './openers.ts';
import type { Steps } from './steps.ts';
import { until } from './steps.ts';

export function* attach(call: Call): Steps<Reply> {
  const { device, engine } = call;
  const conf = newDiskConf(call.request);
  if (conf.refused) return conf.refused;
  const badAfter = resyncAfterError(engine, device, conf.value.resyncAfter);
  if (badAfter) return refusal(badAfter);
  if (device.resource.deviceRow(device.vnr).disk > Disk.diskless) return refusal(Err.DISK_CONFIGURED);
  const reply = yield* until<Reply>((resume) =>
    attachDisk(device, conf.value, call.admin.pid, (code, texts) => resume({ code, texts })));
  if (device.disk) engine.journal.put(keyOf.disk(device.resource.name, device.vnr), device.disk.conf);
  noteDiskless(device);
  return reply;
}

/** An attach ends an intentional Diskless, a detach may begin one. */
function noteDiskless(device: Device): void {
  const { resource, vnr, minor, conf } = device;
  const { intentionalDiskless } = resource.deviceRow(vnr);
  if (conf.intentionalDiskless === intentionalDiskless) return;
  device.conf = { ...conf, intentionalDiskless };
  resource.engine.journal.put(keyOf.volume(resource.name, vnr), { minor, conf: device.conf });
}

export function* detach(call: Call): Steps<Reply> {
  const given = parms(call.request, detachParms);
  if (given.refused) return given.refused;
  return yield* endDisk(call.device, given.value.forceDetach, given.value.intentionalDisklessDetach);
}

/** Nothing to do is success here, with its own code. */
export function* endDisk(device: Device, force: boolean, intentionalDiskless: boolean): Steps<Reply> {
  const { resource, vnr } = device;
  const { code, texts } = yield* until<Reply>((resume) =>
    detachDisk(device, force, intentionalDiskless, (rc, why) => resume({ code: rc, texts: why })));
  if (code >= Ss.success) resource.engine.journal.remove(keyOf.disk(resource.name, vnr));
  noteDiskless(device);
  return { code, texts: [...texts ?? [], ...openerTexts(resource, code)] };
}

export function changeDiskOptions({ engine, request, device }: Call): Reply {
  const { disk, resource, vnr } = device;
  if (!disk) return refusal(Err.NO_DISK);
  const conf = changedDiskConf(request, disk.conf);
  if (conf.refused) return conf.refused;
  const badAfter = resyncAfterError(engine, device, conf.value.resyncAfter);
  if (badAfter) return refusal(badAfter);
  disk.changeOptions(conf.value);
  engine.journal.put(keyOf.disk(resource.name, vnr), disk.conf);
  resource.dispatch({ kind: 'deviceOptions', vnr, options: deviceOptions(disk.conf) });
  pushFacts(resource);
  return OK;
}

/** A device waits for the resync of another one: that must exist, and not wait for this one in turn. */
function resyncAfterError(engine: Engine, device: Device, resyncAfter: number): Err | null {
  const seen = new Set([device.minor]);
  for (let minor = resyncAfter; minor !== -1;) {
    const after = engine.devicesByMinor.get(minor);
    if (!after) return Err.RESYNC_AFTER;
    if (seen.has(minor)) return Err.RESYNC_AFTER_CYCLE;
    seen.add(minor);
    const conf: DiskConf | undefined = after.disk?.conf;
    minor = conf?.resyncAfter ?? -1;
  }
  return null;
}

export function* outdate(call: Call): Steps<Reply> {
  const { device: { resource, vnr } } = call;
  return changeReply(yield* call.ask(resource, (request) => ({ kind: 'clusterChange', request, tag: 'outdate',
    flags: Cs.verbose | Cs.waitComplete | Cs.serialize, transient: true,
    change: { what: 'disk', vnr, disk: Disk.outdated } })));
}
