// SPDX-License-Identifier: GPL-2.0-or-later
/** attach and detach, step by step; each refusal undoes what was done. @spec state.md 7.3, 7.4, metadata.md 8 */
import type { AdoptedDevice } from '../host/block.ts';
import type { BackingFile, LowerDevice } from '../host/lower.ts';
import { Err } from '../genl/codes.ts';
import type { DiskConf } from '../genl/config-attrs.ts';
import { AL_WAITERS } from '../io/env.ts';
import { alExtentsLimit } from '../meta/activity-log.ts';
import { recoverActivityLog } from '../meta/al-recovery.ts';
import { checkAttach } from '../meta/attach-checks.ts';
import type { ReadSuperBlock, RefusedSuperBlock } from '../meta/attach-checks.ts';
import { MDF, MDF_PEER } from '../meta/flags.ts';
import { mdKind } from '../meta/layout.ts';
import { alExtentsMin } from '../meta/limits.ts';
import { MdArea } from '../meta/md-area.ts';
import { LogLevel } from '../host/log.ts';
import { min0, newRegionIsZero } from '../state/size-agreement.ts';
import { Ss } from '../state/ss.ts';
import { Cs, Disk as State, Repl, Role, diskNames } from '../state/states.ts';
import { isStray } from '../state/uuid-diskless.ts';
import { attachDagtag, justCreated } from '../state/uuid-generation.ts';
import { uuidJustCreated, uuidPrimaryBit, uuidText } from '../state/uuid-types.ts';
import { backTo, formerUuid } from '../state/uuid-unused.ts';
import { run, until } from './admin/steps.ts';
import type { Steps } from './admin/steps.ts';
import { Disk, DiskRouter, mdCookieBase } from './disk.ts';
import type { DiskClaims } from './disk.ts';
import type { Device } from './device.ts';
import { pushFacts } from './facts.ts';
import { deviceOptions } from './options.ts';
import { determineDeviceSize, reconsiderLimits } from './sizes.ts';
import { allocateSlots, applyUuids, deviceContext, peerContext, peerDevicesOf, pushMd, uuidsOf } from './uuids.ts';

export interface Answer {
  readonly code: number;
  readonly texts: readonly string[];
}
export type Outcome = (code: number, texts: readonly string[]) => void;

/** The peers have not let the data of this generation in. */
interface Refused extends Answer { readonly stray?: bigint; readonly unused?: boolean }
/** What is on the disk; or the generation before, since nothing was written in this one; or nothing of it counts. */
type Data = 'present' | 'former' | 'none';

const refuse = (code: number, ...texts: string[]): Answer => ({ code, texts });
const isAnswer = (value: object): value is Answer => 'code' in value && 'texts' in value;
const settling: readonly State[] = [State.attaching, State.negotiating, State.detaching];

export function attach(device: Device, conf: DiskConf, pid: number, outcome: Outcome): void {
  run(attachSteps(device, conf, pid), ({ code, texts }) => outcome(code, texts));
}

function* attachSteps(device: Device, conf: DiskConf, pid: number): Steps<Answer> {
  const first = yield* attempt(device, conf, pid, 'present');
  const answer = first.unused ? yield* attempt(device, conf, pid, 'former') : first;
  if (answer.stray === undefined || !isStray(deviceContext(device), device.lostUuid, answer.stray)) return answer;
  return yield* attempt(device, conf, pid, 'none');
}

function* attempt(device: Device, conf: DiskConf, pid: number, data: Data): Steps<Refused> {
  const { resource, vnr } = device;
  if (resource.deviceRow(vnr).disk > State.diskless || device.disk) return refuse(Err.DISK_CONFIGURED);
  resource.dispatch({ kind: 'deviceFacts', vnr, facts: { forceDetach: false } });
  const router = new DiskRouter();
  const claims = claim(device, conf, pid, router);
  if (isAnswer(claims)) return claims;
  router.md = claims.area.io;
  router.data = device.io;
  const read = yield* until<ReadSuperBlock | RefusedSuperBlock>((resume) =>
    claims.area.readSuperBlock(conf.metaDevIdx, claims.lower.limits.sectors, resource.nodeId, resume, data !== 'present'));
  const refusal = read.kind === 'refused' ? read : objection(device, conf, claims, read);
  if (refusal !== null) {
    giveBack(claims);
    device.log.line(LogLevel.err, refusal.text);
    return refuse(refusal.code, refusal.text);
  }
  return yield* attachDisk(device, conf, claims, read as ReadSuperBlock, data);
}

/** Steps 5 to 12. From Attaching on a failure means "force diskless", which releases the disk. */
function* attachDisk(device: Device, conf: DiskConf, claims: DiskClaims, read: ReadSuperBlock, data: Data): Steps<Refused> {
  const disk = makeDisk(device, conf, claims, read);
  yield* until<void>((resume) => device.suspendIo(() => resume()));
  device.disk = disk;
  device.resource.dispatch({ kind: 'deviceOptions', vnr: device.vnr, options: deviceOptions(conf) });
  pushMd(device);
  const attaching = yield* diskChange(device, State.attaching, 'attach');
  device.resumeIo();
  if (attaching.rc < Ss.success) {
    disk.release();
    return refuse(attaching.rc);
  }
  const noSlot = allocateSlots(device, peerDevicesOf(device));
  if (noSlot !== '') return yield* forceDiskless(device, refuse(Err.INVALID_REQUEST, noSlot));
  if (data === 'none') forgetData(device, disk);
  if (data === 'former') returnToFormer(device, disk);
  takeSuperBlock(device, disk);
  if (disk.bitmap.sectors > 0) {
    const errno = data === 'present' ? yield* until<number>((resume) => disk.readBitmap(resume))
      : yield* readBitmapAndLog(disk, claims, read);
    if (errno !== 0) return yield* forceDiskless(device, refuse(Err.IO_MD_DISK));
  }
  device.io.attach(disk);
  const size = determineDeviceSize(device, newRegionIsZero(regionOf(disk)) ? 2 : 0);
  if (size === 'error-shrink' || size === 'error-space-md') {
    return yield* forceDiskless(device, refuse(size === 'error-shrink' ? Err.IMPLICIT_SHRINK : Err.MD_LAYOUT_NO_FIT));
  }
  if (size === 'grew') for (const pd of peerDevicesOf(device)) pd.resyncAfterNegotiation = true;
  if (data === 'none') yield* setSlots(disk, Array.from({ length: disk.bitmap.slots }, (_, slot) => slot));
  yield* setFullSyncSlots(device, disk);
  const rows = peerDevicesOf(device).map((pd) => device.resource.peerDeviceRow(device.vnr, pd.connection.nodeId));
  if (rows.every(({ repl }) => repl < Repl.established)) disk.suspendAl(true);
  disk.al.setUpdates(!disk.alDisabled);
  reconsiderLimits(device);
  const negotiating = yield* diskChange(device, State.negotiating, 'attach');
  if (negotiating.rc < Ss.success) {
    return yield* forceDiskless(device, refuse(negotiating.rc, ...(negotiating.rc === Ss.cwFailedByPeer
      ? ['Probably this node is marked as intentional diskless on a peer'] : [])));
  }
  return yield* settle(device, disk);
}

/** Its own are of no use to anybody: it needs all of the peer's. */
function forgetData(device: Device, disk: Disk): void {
  const { superBlock } = disk.meta;
  device.log.info(`data generation ${uuidText(superBlock.currentUuid)} has got to nobody who has gone on: starting anew`);
  applyUuids(device, justCreated(uuidsOf(device)));
  for (const flag of [MDF.consistent, MDF.wasUpToDate, MDF.crashedPrimary]) disk.meta.setFlag(flag, false);
}

/** Others have gone on from that one. */
function returnToFormer(device: Device, disk: Disk): void {
  const { currentUuid } = disk.meta.superBlock;
  device.log.info(`nothing was written in data generation ${uuidText(currentUuid)}: back to the one before`);
  const uuids = uuidsOf(device);
  const { nodeId } = device.resource;
  applyUuids(device, backTo(formerUuid(uuids, nodeId), uuids, nodeId));
}

/** Steps 11 and 12. */
function* settle(device: Device, disk: Disk): Steps<Refused> {
  const { resource, vnr } = device;
  const { currentUuid } = disk.meta.superBlock;
  const { unused } = disk;
  resource.dispatch({ kind: 'deviceFacts', vnr, facts: { intentionalDiskless: false } });
  const errno = yield* until<number>((resume) => disk.meta.sync({ done: resume }));
  const state = errno !== 0 ? State.failed : yield* until<State>((resume) => disk.waitWhile(settling, resume));
  pushFacts(resource);
  const text = `attach negotiation ended in unexpected state ${diskNames[state]}`;
  if (state === State.diskless) {
    if (device.disk === disk) yield* until<void>((resume) => disk.whenReleased(() => resume()));
    return { ...refuse(Err.DATA_NOT_CURRENT, text), stray: currentUuid, unused };
  }
  return state === State.failed ? refuse(Err.IO_MD_DISK, text) : refuse(Err.NO_ERROR);
}

function claim(device: Device, conf: DiskConf, pid: number, router: DiskRouter): DiskClaims | Answer {
  const { host } = device.resource.engine;
  const cannotOpen = (path: string, code: number, errno: number): Answer => {
    device.log.line(LogLevel.err, `open("${path}") failed with -${errno}`);
    return refuse(code);
  };
  const file = host.block.openBacking(conf.backingDev, pid);
  if (typeof file === 'number') return cannotOpen(conf.backingDev, Err.OPEN_DISK, file);
  const internal = mdKind(conf.metaDevIdx) === 'internal';
  const mdFile = internal ? file : host.block.openBacking(conf.metaDev, pid);
  if (typeof mdFile === 'number') {
    file.close();
    return cannotOpen(conf.metaDev, Err.OPEN_MD_DISK, mdFile);
  }
  const files = internal ? [file] : [file, mdFile];
  const giveBackOpen = (...lowers: LowerDevice[]): void => {
    for (const lower of lowers) lower.release();
    for (const each of files) each.close();
  };
  // Genuine DRBD opens exclusively: a disk that somebody has claimed cannot be opened.
  const lower = device.block.claim(file, 'data', router);
  if (typeof lower === 'number') {
    giveBackOpen();
    return cannotOpen(conf.backingDev, Err.OPEN_DISK, lower);
  }
  const mdLower = internal ? lower : device.block.claim(mdFile, 'meta', router);
  if (typeof mdLower === 'number') {
    giveBackOpen(lower);
    return cannotOpen(conf.metaDev, Err.OPEN_MD_DISK, mdLower);
  }
  const claims = withArea(device, lower, mdLower, files);
  if (claims !== null) return claims;
  giveBackOpen(...new Set([lower, mdLower]));
  return refuse(Err.NOMEM);
}

function withArea(device: Device, lower: LowerDevice, mdLower: LowerDevice, files: readonly BackingFile[]): DiskClaims | null {
  const { clock, crypto } = device.resource.engine.host;
  const area = MdArea.open({
    lower: mdLower, data: mdLower === lower ? null : lower, arena: device.block.meta, clock, cookieBase: mdCookieBase,
    crc32c: (seed, bytes, from, to) => crypto.crc32c(seed, bytes, from, to),
  });
  return area === null ? null : { lower, mdLower, files, area };
}

function giveBack({ area, lower, mdLower, files }: DiskClaims): void {
  area.close();
  lower.release();
  if (mdLower !== lower) mdLower.release();
  for (const file of files) file.close();
}

/** Steps 8 to 11 of metadata.md 8. */
function objection(device: Device, conf: DiskConf, { mdLower }: DiskClaims, read: ReadSuperBlock) {
  const { resource, vnr } = device;
  const peers = peerDevicesOf(device).map(peerContext);
  return checkAttach({
    ...read, diskSize: conf.diskSize, mdCapacity: mdLower.limits.sectors,
    peersWithBitmap: peers.filter((peer) => peer.wantBitmap).map((peer) => peer.nodeId),
    primary: resource.view.resource.role === Role.primary, exposedDataUuid: resource.deviceRow(vnr).exposedUuid,
    upToDatePeer: peers.some((peer) => peer.pdsk === State.upToDate),
  });
}

function makeDisk(device: Device, conf: DiskConf, claims: DiskClaims, read: ReadSuperBlock): Disk {
  const { superBlock, layout, usable } = read;
  const extents = Math.max(alExtentsMin, Math.min(conf.alExtents, alExtentsLimit(layout.alSize4k)));
  return new Disk(device, conf, claims, read, {
    sectors: Math.min(usable, min0(superBlock.effectiveSize, device.capacity)), extents, waitersMax: AL_WAITERS,
  });
}

/** What the super block says of this node, in core. @spec state.md 7.3 row 7, uuid.md 1.12 row 2 */
function takeSuperBlock(device: Device, disk: Disk): void {
  const { resource, vnr, conf } = device;
  const { superBlock: sb } = disk.meta;
  const { resource: { role, suspNod } } = resource.view;
  const row = resource.deviceRow(vnr);
  const primary = role === Role.primary;
  const has = (flag: number): boolean => (sb.flags & flag) !== 0;
  resource.io.raiseDagtag(Number(attachDagtag(0n, sb)));
  sb.nodeId = resource.nodeId;
  sb.laPeerMaxBioSize = conf.maxBioSize;
  sb.alNrExtents = disk.al.slots.count;
  if (primary && sb.currentUuid !== uuidJustCreated) sb.currentUuid |= uuidPrimaryBit;
  else if (!primary) sb.currentUuid &= ~uuidPrimaryBit;
  disk.meta.setFlag(MDF.alClean, false);
  if (row.outgrown) disk.meta.setFlag(MDF.wasUpToDate, false);
  disk.meta.markDirty();
  for (const pd of peerDevicesOf(device)) {
    pd.sent = null; // What was told last was of another disk.
    if (!primary) pd.older = 0n; // What was shown here without a disk, and they were behind, is given up.
  }
  for (const { nodeId } of peerDevicesOf(device).map(peerContext)) {
    const connected = (sb.peers[nodeId].flags & MDF_PEER.connected) !== 0;
    if (!primary && has(MDF.primaryInd) && !connected) disk.degraded.add(nodeId);
  }
  resource.dispatch({ kind: 'deviceFacts', vnr, facts: {
    restoreQuorum: has(MDF.haveQuorum) && has(MDF.wasUpToDate) && sb.members === 1n << BigInt(resource.nodeId),
    crashedPrimary: has(MDF.crashedPrimary) && !(primary && suspNod) && row.exposedUuid === 0n && !row.newCurUuid,
    primaryLostQuorum: has(MDF.primaryLostQuorum) && !row.haveQuorum,
  } });
  pushMd(device);
}

function regionOf(disk: Disk) {
  const { superBlock: sb } = disk.meta;
  return {
    discardZeroesIfAligned: disk.conf.discardZeroesIfAligned, justCreated: sb.currentUuid === uuidJustCreated,
    wasUpToDate: disk.meta.testFlag(MDF.wasUpToDate), rsDiscardGranularity: disk.conf.rsDiscardGranularity,
    allUuidsZero: sb.historyUuids.every((uuid) => uuid === 0n) && sb.peers.every((peer) => peer.bitmapUuid === 0n),
  };
}

/** Slots whose bits are not to be trusted are set completely. @spec uuid.md 5.6 */
function* setFullSyncSlots(device: Device, disk: Disk): Steps<void> {
  const noLog = disk.meta.testFlag(MDF.crashedPrimary) && disk.alDisabled;
  const slots = peerDevicesOf(device).filter(({ connection: { nodeId } }) => disk.bitmapIndex(nodeId) >= 0
    && (noLog || disk.meta.testPeerFlag(nodeId, MDF_PEER.fullSync)));
  if (slots.length === 0) return;
  device.log.line(LogLevel.info, 'Assuming that all blocks are out of sync (aka FullSync)');
  const indexes = slots.map((pd) => disk.bitmapIndex(pd.connection.nodeId));
  yield* setSlots(disk, indexes);
  for (const pd of slots) disk.setPeerFullSync(pd.connection.nodeId, false);
  pushMd(device);
}

function* setSlots(disk: Disk, slots: readonly number[]): Steps<void> {
  yield* until<void>((resume) => disk.task.start({ kind: 'set', slots }, () => resume()));
  yield* until<void>((resume) => disk.writeBitmap(() => resume()));
}

interface Ended { readonly rc: number }

function* diskChange(device: Device, state: State, tag: string): Steps<Ended> {
  const { resource, vnr } = device;
  return yield* until<Ended>((resume) => resource.request((request) => ({
    kind: 'clusterChange', request, tag, flags: Cs.verbose | Cs.serialize, transient: true,
    change: { what: 'disk', vnr, disk: state },
  }), (rc) => resume({ rc })));
}

/** A failure after Attaching. */
function* forceDiskless(device: Device, answer: Answer): Steps<Answer> {
  const { resource, vnr, disk } = device;
  device.log.line(LogLevel.err, answer.texts[0] ?? `attach failed (${answer.code})`);
  resource.dispatch({ kind: 'change', request: 0, tag: 'attach', flags: Cs.hard,
    changes: [{ set: 'disk', vnr, disk: State.diskless }] });
  if (disk && device.disk === disk) yield* until<void>((resume) => disk.whenReleased(() => resume()));
  return answer;
}

export function detach(device: Device, force: boolean, intentionalDiskless: boolean, outcome: Outcome): void {
  run(detachSteps(device, force, intentionalDiskless), ({ code, texts }) => outcome(code, texts));
}

function* detachSteps(device: Device, force: boolean, intentionalDiskless: boolean): Steps<Answer> {
  const { resource, vnr } = device;
  const before = resource.deviceRow(vnr).intentionalDiskless;
  if (intentionalDiskless) resource.dispatch({ kind: 'deviceFacts', vnr, facts: { intentionalDiskless: true } });
  const { disk } = device;
  if (!disk) return refuse(Ss.nothingToDo);
  if (force) {
    resource.dispatch({ kind: 'deviceFacts', vnr, facts: { forceDetach: true } });
    resource.dispatch({ kind: 'change', request: 0, tag: 'detach', flags: Cs.hard,
      changes: [{ set: 'disk', vnr, disk: State.detaching }] });
    return refuse(Ss.success);
  }
  yield* until<void>((resume) => device.suspendIo(() => resume()));
  yield* until<void>((resume) => device.io.whenPromisedWritten(() => resume()));
  const { rc } = yield* diskChange(device, State.detaching, 'detach');
  device.resumeIo();
  if (rc < Ss.success) {
    resource.dispatch({ kind: 'deviceFacts', vnr, facts: { intentionalDiskless: before } });
    return refuse(rc);
  }
  if (device.disk === disk) yield* until<void>((resume) => disk.whenReleased(() => resume()));
  return refuse(rc);
}

/** A new engine takes the disk of a dead one over: what was active in the log is out of sync. @spec io.md 8.10 */
export function readopt(device: Device, conf: DiskConf, adopted: AdoptedDevice, done: (errno: number) => void): void {
  run(readoptSteps(device, conf, adopted), done);
}

const EIO = 5;
const ENOMEM = 12;

function* readoptSteps(device: Device, conf: DiskConf, adopted: AdoptedDevice): Steps<number> {
  const router = new DiskRouter();
  router.data = device.io;
  const lower = yield* quietClaim(adopted, 'data', router);
  if (lower === null) return EIO;
  const mdLower = mdKind(conf.metaDevIdx) === 'internal' ? lower : yield* quietClaim(adopted, 'meta', router);
  if (mdLower === null) return EIO;
  const claims = withArea(device, lower, mdLower, []);
  if (claims === null) return ENOMEM;
  router.md = claims.area.io;
  const read = yield* until<ReadSuperBlock | RefusedSuperBlock>((resume) =>
    claims.area.readSuperBlock(conf.metaDevIdx, lower.limits.sectors, device.resource.nodeId, resume, true));
  if (read.kind === 'refused') {
    device.log.line(LogLevel.err, read.text);
    giveBack(claims);
    return EIO;
  }
  device.capacity = min0(read.superBlock.effectiveSize, read.usable);
  const disk = makeDisk(device, conf, claims, read);
  device.disk = disk;
  device.resource.dispatch({ kind: 'deviceOptions', vnr: device.vnr, options: deviceOptions(conf) });
  const recovered = yield* readBitmapAndLog(disk, claims, read);
  if (recovered !== 0) {
    device.disk = null;
    giveBack(claims);
    return recovered;
  }
  device.io.attach(disk);
  device.io.sectors = device.capacity;
  yield* setFullSyncSlots(device, disk);
  disk.al.setUpdates(!disk.alDisabled);
  rememberRole(device, disk);
  pushMd(device);
  reconsiderLimits(device);
  return 0;
}

/** What a dead engine knew of a time before it, or of one as Primary that is over; for one that is Primary see lost-peers.ts. */
function rememberRole({ resource, vnr }: Device, { meta }: Disk): void {
  const { haveQuorum } = resource.deviceRow(vnr);
  resource.dispatch({ kind: 'deviceFacts', vnr, facts: {
    crashedPrimary: meta.testFlag(MDF.crashedPrimary), primaryLostQuorum: meta.testFlag(MDF.primaryLostQuorum) && !haveQuorum,
  } });
}

/** A log that drbdmeta has not applied. */
function* readBitmapAndLog(disk: Disk, { area }: DiskClaims, { layout }: ReadSuperBlock): Steps<number> {
  const errno = yield* until<number>((resume) => disk.readBitmap(resume));
  if (errno !== 0) return errno;
  return yield* until<number>((resume) => recoverActivityLog(
    { io: area.io, layout, bufferOffset: area.bufferOffset, bufferBytes: area.bufferBytes, crc32c: area.crc32c },
    disk.bitmap, disk.writer, (failed, replay) => resume(failed !== 0 ? failed : replay.kind === 'invalid' ? EIO : 0)));
}

/** The claim of the dead engine, once nothing of it is in flight. */
function* quietClaim(adopted: AdoptedDevice, role: 'data' | 'meta', router: DiskRouter): Steps<LowerDevice | null> {
  let lower: LowerDevice | null = null;
  return yield* until<LowerDevice | null>((resume) => {
    let quiet = false;
    lower = adopted.readopt(role, router, () => {
      quiet = true;
      if (lower !== null) resume(lower);
    });
    if (lower === null || quiet) resume(lower);
  });
}
