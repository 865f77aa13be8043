// SPDX-License-Identifier: GPL-2.0-or-later
import type { AdoptedDevice, BlockFrontend } from '../host/block.ts';
import type { BackingFile, LowerDevice, LowerHandler } from '../host/lower.ts';
import { LinuxBacking } from './backing.ts';
import { ShimBlockDevice } from './block-device.ts';
import type { ArenaSizes, DeviceAnswer } from './block-device.ts';
import { ArenaFlag, DeviceFlag, Ioctls } from './shim-abi.ts';
import { ShimError } from './shim.ts';
import type { ShimChannel } from './shim.ts';

const ENOENT = 2;

function deviceAnswer(view: DataView): DeviceAnswer {
  return {
    minor: view.getUint32(0, true),
    maxTags: view.getUint32(8, true),
    splice: (view.getUint32(12, true) & ArenaFlag.splice) !== 0,
    mapOffset: view.getBigUint64(32, true),
  };
}

/** /dev/drbdN through the module. */
export class ShimBlockFrontend implements BlockFrontend {
  private readonly shim: ShimChannel;
  private readonly sizes: ArenaSizes;

  constructor(shim: ShimChannel, sizes: ArenaSizes) {
    this.shim = shim;
    this.sizes = sizes;
  }

  create(minor: number): ShimBlockDevice | number {
    try {
      const answer = this.shim.call('new device', Ioctls.deviceCreate, (view) => {
        view.setUint32(0, minor, true);
        view.setUint32(8, this.sizes.maxTags, true);
        this.sizeFields(view);
      });
      return new ShimBlockDevice(this.shim, answer.getUint32(4, true), deviceAnswer(answer), this.sizes);
    } catch (error) {
      if (error instanceof ShimError) return error.errno;
      throw error;
    }
  }

  adopt(): readonly AdoptedDevice[] {
    const found: AdoptedDevice[] = [];
    for (let next = 0; ; next++) {
      const info = this.info(next);
      if (info === null) return found;
      next = info.getUint32(0, true);
      found.push(this.adoptOne(info));
    }
  }

  openBacking(path: string, pid: number): BackingFile | number { return LinuxBacking.open(path, pid, false); }

  private info(from: number): DataView | null {
    try {
      return this.shim.call('device info', Ioctls.deviceInfo, (view) => view.setUint32(0, from, true));
    } catch (error) {
      if (error instanceof ShimError && error.errno === ENOENT) return null;
      throw error;
    }
  }

  private adoptOne(info: DataView): AdoptedDevice {
    const id = info.getUint32(0, true);
    const answer = this.shim.call('adoption of a device', Ioctls.deviceAdopt, (view) => {
      view.setUint32(4, id, true);
      this.sizeFields(view);
    });
    const device = new ShimBlockDevice(this.shim, id, deviceAnswer(answer), this.sizes);
    const flags = info.getUint32(12, true);
    return {
      device,
      sectors: Number(info.getBigUint64(24, true)),
      openTotal: info.getUint32(8, true),
      openWriters: (flags & DeviceFlag.writers) !== 0,
      readopt: (role: 'data' | 'meta', handler: LowerHandler, quiet: () => void): LowerDevice | null => {
        const claimed = (flags & (role === 'data' ? DeviceFlag.data : DeviceFlag.meta)) !== 0;
        return claimed ? device.readopt(role, handler, quiet) : null;
      },
      start: () => {
        this.shim.call('start of a device', Ioctls.deviceStart, (view) => view.setUint32(0, id, true));
      },
    };
  }

  private sizeFields(view: DataView): void {
    view.setBigUint64(16, BigInt(this.sizes.bioBytes), true);
    view.setBigUint64(24, BigInt(this.sizes.peerBytes + this.sizes.metaBytes), true);
  }
}
