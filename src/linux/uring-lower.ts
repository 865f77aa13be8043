// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { Arena } from '../host/arena.ts';
import type { LowerDevice, LowerHandler, LowerLimits, LowerOp } from '../host/lower.ts';
import { OpKind } from './abi.ts';
import { LinuxBacking, backingLimits } from './backing.ts';
import type { LinuxTurn } from './turn.ts';

/** A backing file or device by io_uring and O_DIRECT, without the module: for NBD and development. */
export class UringLowerDevice implements LowerDevice {
  readonly id: number;
  limits: LowerLimits;
  /** Nobody tells. */
  readonly unflushed = true;
  private readonly turn: LinuxTurn;
  private readonly fd: number;
  private flying = 0;

  constructor(turn: LinuxTurn, backing: LinuxBacking, handler: LowerHandler) {
    this.turn = turn;
    this.limits = backing.limits;
    this.fd = backing.take();
    this.id = turn.native.addLower(this.fd, backing.block);
    turn.lowers[this.id] = {
      done: (cookie, errno) => {
        this.flying--;
        handler.lowerDone(cookie, errno);
      },
    };
  }

  submit(op: LowerOp, flags: number, sector: number, sizeBytes: number, arena: Arena | null, offset: number,
    cookie: number, _bioTag: number): void {
    assert(sector >= 0 && sector * 512 + sizeBytes <= this.limits.sectors * 512, 'an operation lies on its device');
    this.flying++;
    const at = this.turn.op(OpKind.lower);
    const { ops, opFloats } = this.turn;
    ops[at + 1] = this.id;
    ops[at + 2] = op | flags << 8;
    ops[at + 3] = arena === null ? -1 : arena.id;
    opFloats[at / 2 + 2] = sector;
    ops[at + 6] = sizeBytes;
    ops[at + 7] = offset;
    ops[at + 8] = cookie;
  }

  inFlight(): number { return this.flying; }

  refresh(): LowerLimits {
    const limits = backingLimits(this.fd);
    if (typeof limits !== 'number') this.limits = limits;
    return this.limits;
  }

  release(): void {
    assert(this.flying === 0, 'nothing is in flight at release');
    this.turn.lowers[this.id] = undefined;
    this.turn.native.removeLower(this.id);
  }
}
