// SPDX-License-Identifier: GPL-2.0-or-later
import type { Host } from '../host/host.ts';
import { bitmapPrimitives } from '../meta/bitmap-primitives.ts';
import { KernelAdmin, SimAdmin } from './admin.ts';
import { KernelDevice, SimBlockFrontend } from './block.ts';
import { EngineLife } from './clock.ts';
import { SimCrypto } from './crypto.ts';
import { SimDisk } from './disk.ts';
import { SimFabric, SimNet } from './net.ts';
import { SimHelper, SimJournal, SimLog } from './small.ts';
import type { World } from './world.ts';

/** What starts an engine on a host: the daemon's own start, so that what is simulated is what runs. */
export type StartEngine = (host: Host) => void;

/** One machine: its disks, what its kernel keeps, and the engine of the moment. */
export class SimNode {
  readonly name: string;
  readonly world: World;
  readonly fabric: SimFabric;
  readonly log: SimLog;
  readonly disks = new Map<string, SimDisk>();
  devices = new Map<number, KernelDevice>();
  admin: KernelAdmin;
  journal = new SimJournal();
  helper: SimHelper | null = null;
  life: EngineLife | null = null;
  /** Counts power failures: who belongs to an earlier life of the machine is gone. */
  lives = 0;
  /** Of engines started from now on, and of this one from its next wait: 1 is a sound machine. */
  slowness = 1;
  /** Addresses of this machine, for the fabric. */
  readonly address: string;
  readonly #startEngine: StartEngine;

  constructor(world: World, fabric: SimFabric, name: string, address: string, startEngine: StartEngine) {
    this.world = world;
    this.fabric = fabric;
    this.name = name;
    this.address = address;
    this.#startEngine = startEngine;
    this.log = new SimLog(world, name);
    this.admin = this.#newAdmin();
  }

  addDisk(path: string, sectors: number): SimDisk {
    const disk = new SimDisk(this.world, path, sectors, this.disks.size);
    this.disks.set(path, disk);
    return disk;
  }

  /** The engine is killed; the kernel lives on and starts a new one when it is needed. */
  killEngine(): void {
    this.#endEngine(true);
    if (this.admin.pinned || this.admin.waiting.size > 0) this.start();
  }

  /** The machine loses power. */
  crash(): void {
    this.lives++;
    this.#endEngine(false);
    for (const disk of this.disks.values()) disk.powerFailure();
    this.devices = new Map();
    this.journal = new SimJournal();
    const { admin } = this;
    this.admin = this.#newAdmin();
    admin.crashed();
  }

  start(): void {
    if (this.life?.alive) return;
    const life = new EngineLife(this.world);
    life.slowness = this.slowness;
    this.life = life;
    this.helper = new SimHelper(life);
    const host: Host = {
      clock: life, random: this.world.random, log: this.log, helper: this.helper, journal: this.journal,
      admin: new SimAdmin(this.admin, life), net: new SimNet(this.fabric, life), crypto: new SimCrypto(), bitmap: bitmapPrimitives,
      block: new SimBlockFrontend(this.world, life, this.devices, this.disks),
    };
    life.turn(() => this.#startEngine(host));
  }

  slow(factor: number): void {
    this.slowness = factor;
    if (this.life) this.life.slowness = factor;
  }

  #endEngine(kernelAlive: boolean): void {
    const { life } = this;
    if (!life) return;
    life.alive = false;
    this.life = null;
    this.admin.engine = null;
    for (const device of this.devices.values()) device.orphan();
    this.fabric.engineGone(life, kernelAlive);
  }

  #newAdmin(): KernelAdmin {
    const admin = new KernelAdmin(this.world);
    admin.wanted = () => this.world.at(1, 'engine starts on demand', () => this.start());
    admin.left = () => { if (this.life) this.fabric.engineGone(this.life, true); this.life = null; };
    return admin;
  }
}
