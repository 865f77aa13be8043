// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * A new engine takes over what an earlier one left: objects by the journal, /dev/drbdN and disks from the shim, the
 * sticky facts, then waiting I/O, then the connections. Listeners get one picture of the result.
 */
import { DEVICE_CONF_DEFAULTS, DISK_CONF_DEFAULTS, NET_CONF_DEFAULTS, PEER_DEVICE_CONF_DEFAULTS,
  RESOURCE_OPTS_DEFAULTS, transportClassName } from '../../genl/options.ts';
import type { DiskConf, NetConf, PeerDeviceConf, ResourceOpts } from '../../genl/config-attrs.ts';
import type { AdoptedDevice } from '../../host/block.ts';
import { LogLevel } from '../../host/log.ts';
import type { LowerDevice } from '../../host/lower.ts';
import type { Sticky } from '../../state/effects.ts';
import { Cs, Disk, Role } from '../../state/states.ts';
import { readopt as readoptDisk } from '../attach.ts';
import type { Device } from '../device.ts';
import type { Engine } from '../engine.ts';
import { keyOf } from '../journal.ts';
import type { JournalValue, PathRecord, VolumeRecord } from '../journal.ts';
import { pushFacts } from '../facts.ts';
import { restoreReplaced } from '../replaced.ts';
import type { Resource } from '../resource.ts';
import { withdrawUnshown } from '../unused.ts';
import { addConnection, addDevice, addPath, addResource, newPath } from './objects.ts';
import { connectAgain, crashed, frozen, reconnected } from './lost-peers.ts';
import type { Steps } from './steps.ts';
import { until } from './steps.ts';

/** A resource whose objects are there, and what remains to be done before it may be used. */
export interface TakeOver { readonly resource: Resource; readonly steps: Steps<void> }

export function readopt(engine: Engine): TakeOver[] {
  const { host: { log, block, admin }, journal } = engine;
  if (journal.unreadable > 0) {
    log.line(LogLevel.err, `drbd: ${journal.unreadable} records of the journal can not be read and are left out`);
  }
  const adopted = new Map(block.adopt().map((each) => [each.device.minor, each]));
  const all = records(engine).map((left) => makeObjects(engine, left, adopted));
  // What no record names was about to be made or removed: its request comes again.
  for (const each of adopted.values()) each.device.destroy();
  if (all.length === 0) admin.pin(false);
  return all;
}

/** Records of one resource, by what they are. */
interface Left {
  readonly name: string;
  readonly opts: ResourceOpts;
  readonly volumes: { readonly vnr: number; readonly record: VolumeRecord }[];
  readonly disks: Map<number, DiskConf>;
  readonly peers: { readonly nodeId: number; readonly conf: NetConf }[];
  readonly paths: { readonly nodeId: number; readonly record: PathRecord }[];
  readonly peerDevices: { readonly nodeId: number; readonly vnr: number; readonly conf: PeerDeviceConf }[];
  readonly facts: Sticky[];
}

function records({ journal }: Engine): Left[] {
  const all = new Map<string, Left>();
  for (const [[name, ...rest], value] of journal.entries()) {
    if (rest.length === 0) {
      all.set(name!, { name: name!, opts: { ...RESOURCE_OPTS_DEFAULTS, ...value as ResourceOpts }, volumes: [],
        disks: new Map(), peers: [], paths: [], peerDevices: [], facts: [] });
    }
    const left = all.get(name!);
    if (left) sortIn(left, rest, value);
  }
  return [...all.values()];
}

/** By the key below the resource's name: see keyOf in journal.ts. */
function sortIn(left: Left, [kind, of, below, id, ...more]: readonly string[], value: JournalValue): void {
  const is = (...parts: readonly (string | undefined)[]): boolean => parts[0] === kind && parts[1] === below;
  const nr = Number(of);
  if ('kind' in value) left.facts.push(value);
  else if (is('volume', undefined)) left.volumes.push({ vnr: nr, record: value as VolumeRecord });
  else if (is('volume', 'disk')) left.disks.set(nr, { ...DISK_CONF_DEFAULTS, ...value as DiskConf });
  else if (is('peer', undefined)) left.peers.push({ nodeId: nr, conf: { ...NET_CONF_DEFAULTS, ...value as NetConf } });
  else if (is('peer', 'path')) left.paths.push({ nodeId: nr, record: value as PathRecord });
  else if (is('peer', 'volume') && more.length === 0) {
    const conf = { ...PEER_DEVICE_CONF_DEFAULTS, ...value as PeerDeviceConf };
    left.peerDevices.push({ nodeId: nr, vnr: Number(id), conf });
  }
}

function makeObjects(engine: Engine, left: Left, adopted: Map<number, AdoptedDevice>): TakeOver {
  const resource = addResource(engine, left.name, left.opts);
  engine.notifier.mute(resource, true);
  const devices: AdoptedVolume[] = [];
  for (const { vnr, record } of left.volumes) {
    const found = adopted.get(record.minor) ?? null;
    adopted.delete(record.minor);
    const block = found?.device ?? engine.host.block.create(record.minor);
    if (typeof block === 'number') {
      engine.journal.remove(keyOf.volume(left.name, vnr));
      resource.log.err(`volume ${vnr} is lost: /dev/drbd${record.minor} can not be made, errno ${block}`);
      continue;
    }
    const conf = { ...DEVICE_CONF_DEFAULTS, ...record.conf };
    const device = addDevice(resource, vnr, record.minor, conf, block);
    if (found !== null) device.readBypass.hold();
    devices.push({ device, adopted: found });
  }
  for (const { nodeId, conf } of left.peers) {
    if (engine.transports.find(transportClassName(conf))) addConnection(resource, nodeId, conf);
    else resource.log.err(`connection to node ${nodeId} is lost: no transport ${transportClassName(conf)}`);
  }
  for (const { nodeId, record } of left.paths) {
    const connection = resource.connections.get(nodeId);
    const path = newPath(record.myAddr, record.peerAddr, record.netns);
    if (connection && path) addPath(connection, path);
  }
  for (const { nodeId, vnr, conf } of left.peerDevices) {
    const peerDevice = resource.connections.get(nodeId)?.peerDevices.get(vnr);
    if (!peerDevice) continue;
    peerDevice.conf = conf;
    resource.dispatch({ kind: 'wantBitmap', vnr, nodeId, wantBitmap: conf.bitmap });
  }
  return { resource, steps: takeOver(resource, left, devices) };
}

interface AdoptedVolume { readonly device: Device; readonly adopted: AdoptedDevice | null }

/** Waiting I/O starts only when all of the resource is as it was: nothing is answered by a half restored state. */
function* takeOver(resource: Resource, left: Left, volumes: readonly AdoptedVolume[]): Steps<void> {
  const { engine: { notifier } } = resource;
  for (const { device, adopted } of volumes) {
    if (!adopted) continue;
    device.capacity = device.io.sectors = adopted.sectors;
    yield* takeOverDisk(device, left, adopted);
  }
  resource.restore(left.facts.filter((fact) => fact.kind !== 'disk' || usable(resource, fact)));
  restoreReplaced(resource, left.facts);
  for (const { device } of volumes) withdrawUnshown(device);
  for (const { device } of volumes) if (resource.view.resource.role === Role.primary) crashed(device, left.facts);
  resource.dispatch({ kind: 'change', request: 0, tag: 'readopt', flags: Cs.hard | Cs.forceRecalc,
    changes: frozen(resource, left.facts) });
  pushFacts(resource);
  for (const { device, adopted } of volumes) if (adopted) device.openers.count(adopted.openTotal, adopted.openWriters);
  const fails = resource.view.devices.some((device) => device.errIo) && !resource.view.resource.failIo;
  if (!fails) start(resource, volumes);
  yield* until<void>((resume) => resource.worker.flush(() => resume()));
  notifier.mute(resource, false);
  notifier.everythingChanged(resource);
  resource.log.info('taken over from an earlier engine');
  connectAgain(resource, left.facts);
  if (!fails) return;
  yield* reconnected(resource);
  start(resource, volumes);
}

function start(resource: Resource, volumes: readonly AdoptedVolume[]): void {
  for (const { device, adopted } of volumes) {
    if (!adopted) continue;
    adopted.start();
    device.readBypass.start();
  }
  pushFacts(resource);
  for (const { device } of volumes) device.openers.settleUnused();
}

/** Only states that a disk rests in are taken over; others are found anew. */
const usable = (resource: Resource, fact: Sticky & { kind: 'disk' }): boolean =>
  resource.devices.get(fact.vnr)?.disk != null && fact.disk >= Disk.inconsistent && fact.disk <= Disk.upToDate;

function* takeOverDisk(device: Device, left: Left, adopted: AdoptedDevice): Steps<void> {
  const { resource, vnr } = device;
  const conf = left.disks.get(vnr);
  const disk = left.facts.find((fact) => fact.kind === 'disk' && fact.vnr === vnr);
  const wanted = conf && !(disk?.kind === 'disk' && disk.disk < Disk.inconsistent);
  if (!wanted) {
    // A detach had begun, or an attach had not ended.
    for (const role of ['data', 'meta'] as const) yield* releaseClaim(adopted, role);
    resource.engine.journal.remove(keyOf.disk(resource.name, vnr));
    return;
  }
  const errno = yield* until<number>((resume) => readoptDisk(device, conf, adopted, resume));
  if (errno === 0) return;
  device.log.err(`the disk can not be taken over: errno ${errno}`);
  resource.engine.journal.remove(keyOf.disk(resource.name, vnr));
}

function* releaseClaim(adopted: AdoptedDevice, role: 'data' | 'meta'): Steps<void> {
  let lower: LowerDevice | null = null;
  yield* until<void>((resume) => {
    lower = adopted.readopt(role, { lowerDone: () => {} }, () => resume());
    if (!lower) resume();
  });
  (lower as LowerDevice | null)?.release();
}
