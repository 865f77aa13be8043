// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { BlockDevice, BlockHandler, DeviceLimits } from '../host/block.ts';
import type { BackingFile, LowerDevice, LowerHandler } from '../host/lower.ts';
import { LinuxArena } from './arena.ts';
import type { LinuxBacking } from './backing.ts';
import { EventWord, Ioctls, LimitFlag, LowerDoneFlag, OpenFlag, OpWord, Policy, Role, ShimEvent, ShimOp, dataArena, shimMaxIo } from './shim-abi.ts';
import { ShimLowerDevice } from './shim-lower.ts';
import { ShimError } from './shim.ts';
import type { DeviceSink, ShimChannel } from './shim.ts';

/** Sizes of a device's arena: rooms of bios, then what peers' data and meta-data buffers get; multiples of 4096. */
export interface ArenaSizes {
  readonly maxTags: number;
  readonly bioBytes: number;
  readonly peerBytes: number;
  readonly metaBytes: number;
}

/** struct drbd_shim_device, as it came back. */
export interface DeviceAnswer {
  readonly minor: number;
  readonly maxTags: number;
  /** Pages of the data arena may be spliced into sockets. */
  readonly splice: boolean;
  readonly mapOffset: bigint;
}

/** One /dev/drbdN of the shim. */
export class ShimBlockDevice implements BlockDevice, DeviceSink {
  readonly minor: number;
  readonly maxTags: number;
  readonly data: LinuxArena;
  readonly meta: LinuxArena;
  private readonly shim: ShimChannel;
  private readonly id: number;
  private readonly memory: ArrayBuffer;
  private readonly states: ArrayBuffer[] = [];
  private readonly lowers: (ShimLowerDevice | null)[] = [null, null];
  private handler: BlockHandler | null = null;

  /** `answer`: of the ioctl that made or adopted it. */
  constructor(shim: ShimChannel, id: number, answer: DeviceAnswer, sizes: ArenaSizes) {
    const total = sizes.bioBytes + sizes.peerBytes + sizes.metaBytes;
    const metaAt = total - sizes.metaBytes;
    this.shim = shim;
    this.id = id;
    this.minor = answer.minor;
    this.maxTags = answer.maxTags;
    this.memory = shim.map(answer.mapOffset, total);
    const place = { arena: dataArena, base: 0 };
    this.data = new LinuxArena(shim.turn, new Uint8Array(this.memory, 0, metaAt), sizes.bioBytes, place,
      answer.splice ? (offset, bytes) => this.held(offset, bytes) : null);
    this.meta = new LinuxArena(shim.turn, new Uint8Array(this.memory, metaAt), 0, { arena: dataArena, base: metaAt });
    shim.devices.set(id, this);
  }

  setHandler(handler: BlockHandler): void { this.handler = handler; }

  complete(tag: number, errno: number, arenaOffset: number): void {
    const at = this.shim.op(ShimOp.complete, 0, 0, this.id);
    this.shim.opWords[at + OpWord.tag] = tag;
    this.shim.opWords[at + OpWord.error] = errno;
    this.shim.setOffset(at, arenaOffset);
    this.shim.publish();
  }

  setCapacity(sectors: number): void {
    this.shim.call('capacity', Ioctls.setCapacity, (view) => {
      view.setUint32(0, this.id, true);
      view.setBigUint64(8, BigInt(sectors), true);
    });
  }

  setLimits(limits: DeviceLimits): void {
    const flags = (limits.rotational ? LimitFlag.rotational : 0) | (limits.writeCache ? LimitFlag.writeCache : 0);
    this.shim.call('limits', Ioctls.setLimits, (view) => {
      const words = [this.id, flags, limits.logicalBlockBytes, limits.physicalBlockBytes, 0, 0,
        Math.min(limits.maxBioBytes, shimMaxIo), limits.discardGranularityBytes, limits.maxDiscardSectors,
        limits.maxWriteZeroesSectors];
      words.forEach((word, index) => view.setUint32(index * 4, word, true));
    });
  }

  setReadBypass(allowed: boolean): void {
    this.shim.op(ShimOp.policy, 0, allowed ? Policy.readBypass : 0, this.id);
    this.shim.publish();
  }

  bypassed(): { readonly reads: number; readonly sectors: number } {
    const info = this.shim.call('device info', Ioctls.deviceInfo, (view) => view.setUint32(0, this.id, true));
    return { reads: Number(info.getBigUint64(32, true)), sectors: Number(info.getBigUint64(40, true)) };
  }

  answerOpen(openId: number, errno: number): void {
    const at = this.shim.op(ShimOp.openAnswer, 0, 0, this.id);
    this.shim.opWords[at + OpWord.tag] = openId;
    this.shim.opWords[at + OpWord.error] = errno;
    this.shim.publish();
  }

  drained(): void {
    this.shim.op(ShimOp.drained, 0, 0, this.id);
    this.shim.publish();
  }

  claim(file: BackingFile, role: 'data' | 'meta', handler: LowerHandler): LowerDevice | number {
    const number = Role[role];
    assert(this.lowers[number] === null, 'a role is claimed once');
    try {
      const answer = this.shim.call('claim', Ioctls.backingClaim, (view) => {
        view.setUint32(0, this.id, true);
        view.setUint32(4, number, true);
        view.setInt32(8, (file as LinuxBacking).fd, true);
      });
      return this.lower(number, answer, handler);
    } catch (error) {
      if (error instanceof ShimError) return error.errno;
      throw error;
    }
  }

  /** The claim of an earlier engine; quiet() comes when nothing of dead engines is in flight. */
  readopt(role: 'data' | 'meta', handler: LowerHandler, quiet: () => void): LowerDevice {
    const number = Role[role];
    const answer = this.shim.call('claim of an earlier engine', Ioctls.backingInfo, (view) => {
      view.setUint32(0, this.id, true);
      view.setUint32(4, number, true);
    });
    const lower = this.lower(number, answer, handler);
    const late = this.shim.call('device info', Ioctls.deviceInfo, (view) => view.setUint32(0, this.id, true))
      .getUint32(64 + number * 4, true);
    if (late > 0) lower.quiet = quiet;
    else this.shim.turn.clock.soon({ name: 'backing device quiet', queued: false, run: quiet });
    return lower;
  }

  private held(offset: number, sizeBytes: number): boolean {
    const answer = this.shim.call('pages held', Ioctls.held, (view) => {
      view.setUint32(0, this.id, true);
      view.setBigUint64(8, BigInt(offset), true);
      view.setBigUint64(16, BigInt(sizeBytes), true);
    });
    return answer.getUint32(4, true) !== 0;
  }

  stateArena(kind: number, sizeBytes: number): { readonly bytes: Uint8Array; readonly fresh: boolean } {
    const rounded = Math.ceil(sizeBytes / 4096) * 4096;
    const answer = this.shim.call('state arena', Ioctls.stateArena, (view) => {
      view.setUint32(0, this.id, true);
      view.setUint32(4, kind, true);
      view.setBigUint64(8, BigInt(rounded), true);
    });
    const memory = this.shim.map(answer.getBigUint64(16, true), rounded);
    this.states.push(memory);
    return { bytes: new Uint8Array(memory, 0, sizeBytes), fresh: answer.getUint32(24, true) === 1 };
  }

  destroy(): void {
    this.shim.call('end of a device', Ioctls.deviceDestroy, (view) => view.setUint32(0, this.id, true));
    this.shim.devices.delete(this.id);
    this.data.remove();
    this.meta.remove();
    for (const memory of [this.memory, ...this.states]) this.shim.turn.native.unmap(memory);
  }

  event(type: number, at: number): void {
    const { events } = this.shim;
    const handler = this.handler;
    if (type === ShimEvent.lowerDone) {
      this.lowers[events[at]! >>> 8 & 0xff]!.done(events[at + EventWord.tag]!, events[at + EventWord.error]!,
        (events[at]! >>> 16 & LowerDoneFlag.stable) !== 0);
      return;
    }
    if (type === ShimEvent.backingQuiet) {
      const lower = this.lowers[events[at]! >>> 8 & 0xff];
      lower?.quiet?.();
      if (lower) lower.quiet = null;
      return;
    }
    assert(handler !== null, 'a device that is started has a handler');
    switch (type) {
      case ShimEvent.bio:
        handler.bio(events[at + EventWord.tag]!, (events[at]! >>> 8 & 0xff) as 0, events[at]! >>> 16,
          this.shim.eventU64(at + EventWord.sector), events[at + EventWord.bytes]! >>> 0,
          this.shim.eventU64(at + EventWord.offset), events[at + EventWord.local]!);
        return;
      case ShimEvent.open:
        this.open(handler, at);
        return;
      case ShimEvent.openGone:
        handler.openGone(this.shim.eventU64(at + EventWord.id));
        return;
      case ShimEvent.openCount:
        handler.openCount(events[at + EventWord.tag]!, (events[at]! >>> 16 & 1) === 1);
        return;
      case ShimEvent.lastClose:
        handler.lastClose();
        return;
      case ShimEvent.policyClosed:
        handler.bypassClosed();
    }
  }

  private open(handler: BlockHandler, at: number): void {
    const { events } = this.shim;
    const flags = events[at]! >>> 16;
    const comm = Buffer.from(events.buffer, events.byteOffset + (at + EventWord.comm) * 4, 16);
    const end = comm.indexOf(0);
    handler.open(this.shim.eventU64(at + EventWord.id), (flags & OpenFlag.write) !== 0, (flags & OpenFlag.excl) !== 0,
      (flags & OpenFlag.ndelay) !== 0, events[at + EventWord.bytes]!, comm.toString('latin1', 0, end < 0 ? 16 : end));
  }

  private lower(role: number, answer: DataView, handler: LowerHandler): ShimLowerDevice {
    const lower = new ShimLowerDevice(this.shim, this.id, role, answer, handler, () => { this.lowers[role] = null; });
    this.lowers[role] = lower;
    return lower;
  }
}
