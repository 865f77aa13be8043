// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { Arena } from '../host/arena.ts';
import { LowerOp, type LowerDevice, type LowerHandler, type LowerLimits } from '../host/lower.ts';
import type { LinuxArena } from './arena.ts';
import { Ioctls, LimitFlag, OpWord, ShimOp, shimMaxLower } from './shim-abi.ts';
import type { ShimChannel } from './shim.ts';

/** Places of the queue that are given back at once. */
const FORGET_AT = 1024;

/** An operation that the shim has no room for. */
interface Waiting {
  readonly op: LowerOp;
  readonly flags: number;
  readonly sector: number;
  readonly sizeBytes: number;
  readonly arena: Arena | null;
  readonly offset: number;
  readonly cookie: number;
  readonly bioTag: number;
}

/**
 * A backing device that the shim has claimed, in one role of one device. The shim refuses more than so many operations at
 * once; those beyond wait here, in order.
 */
export class ShimLowerDevice implements LowerDevice {
  readonly id: number;
  limits: LowerLimits;
  /** What the last completion said of the disk: it has a volatile cache. Until then it may have one. */
  unflushed = true;
  /** Told once when nothing of dead engines is in flight any more. */
  quiet: (() => void) | null = null;
  private readonly shim: ShimChannel;
  private readonly device: number;
  private readonly role: number;
  private readonly handler: LowerHandler;
  private readonly released: () => void;
  private flying = 0;
  private waiting: Waiting[] = [];
  private waitingFirst = 0;

  constructor(shim: ShimChannel, device: number, role: number, answer: DataView, handler: LowerHandler,
    released: () => void) {
    this.shim = shim;
    this.device = device;
    this.role = role;
    this.handler = handler;
    this.released = released;
    this.id = device * 2 + role;
    this.limits = limitsOf(answer);
  }

  submit(op: LowerOp, flags: number, sector: number, sizeBytes: number, arena: Arena | null, offset: number,
    cookie: number, bioTag: number): void {
    assert(sector >= 0 && sector * 512 + sizeBytes <= this.limits.sectors * 512, 'an operation lies on its device');
    if (this.flying < shimMaxLower) this.put(op, flags, sector, sizeBytes, arena, offset, cookie, bioTag);
    else this.waiting.push({ op, flags, sector, sizeBytes, arena, offset, cookie, bioTag });
  }

  private put(op: LowerOp, flags: number, sector: number, sizeBytes: number, arena: Arena | null, offset: number,
    cookie: number, bioTag: number): void {
    this.flying++;
    const { shim } = this;
    const at = shim.op(ShimOp.lower, op, flags, this.device);
    const words = shim.opWords;
    const place = arena === null ? null : (arena as LinuxArena).place;
    words[at + OpWord.tag] = bioTag;
    shim.setSector(at, sector);
    shim.setOffset(at, place === null ? 0 : place.base + offset);
    words[at + OpWord.bytes] = sizeBytes;
    words[at + OpWord.cookie] = cookie;
    words[at + OpWord.role] = this.role | (place === null ? 0 : place.arena << 8);
    shim.publish();
  }

  inFlight(): number { return this.flying + this.waiting.length - this.waitingFirst; }

  refresh(): LowerLimits {
    this.limits = limitsOf(this.call('size of the backing device', Ioctls.backingInfo));
    return this.limits;
  }

  release(): void {
    assert(this.inFlight() === 0, 'nothing is in flight at release');
    this.call('release of the backing device', Ioctls.backingRelease);
    this.released();
  }

  done(cookie: number, errno: number, stable: boolean): void {
    this.flying--;
    this.unflushed = !stable;
    if (this.waiting.length > 0) this.putNext();
    this.handler.lowerDone(cookie, errno);
  }

  private putNext(): void {
    const w = this.waiting[this.waitingFirst++]!;
    if (this.waitingFirst === this.waiting.length || this.waitingFirst === FORGET_AT) {
      this.waiting.splice(0, this.waitingFirst);
      this.waitingFirst = 0;
    }
    this.put(w.op, w.flags, w.sector, w.sizeBytes, w.arena, w.offset, w.cookie, w.bioTag);
  }

  private call(what: string, ioctl: typeof Ioctls.backingInfo): DataView {
    return this.shim.call(what, ioctl, (view) => {
      view.setUint32(0, this.device, true);
      view.setUint32(4, this.role, true);
    });
  }
}

function limitsOf(view: DataView): LowerLimits {
  const name = new Uint8Array(view.buffer, 72, 32);
  return {
    sectors: Number(view.getBigUint64(16, true)),
    logicalBlockBytes: view.getUint32(24, true),
    physicalBlockBytes: view.getUint32(28, true),
    maxIoBytes: view.getUint32(40, true),
    discardGranularityBytes: view.getUint32(44, true),
    maxDiscardSectors: view.getUint32(52, true),
    discardZeroesIfAligned: false,
    maxWriteZeroesSectors: view.getUint32(56, true),
    rotational: (view.getUint32(12, true) & LimitFlag.rotational) !== 0,
    name: Buffer.from(name.subarray(0, name.indexOf(0))).toString('latin1'),
    major: view.getUint32(60, true),
    minor: view.getUint32(64, true),
  };
}
