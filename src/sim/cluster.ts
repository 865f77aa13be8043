// SPDX-License-Identifier: GPL-2.0-or-later
/** A cluster of complete engines in one process, built and driven as an administrator would. */
import { assert } from '../assert.ts';
import { Engine } from '../control/engine.ts';
import type { Resource } from '../control/resource.ts';
import type { DiskConf, NetConf, ResourceOpts } from '../genl/config-attrs.ts';
import { TcpTransportClass } from '../transport/tcp.ts';
import { applyActivityLog } from './apply-al.ts';
import { createSuperBlock } from './create-md.ts';
import { Drbdsetup, sockaddr } from './drbdsetup.ts';
import type { Answer } from './drbdsetup.ts';
import { SimFabric } from './net.ts';
import { SimNode } from './node.ts';
import { World } from './world.ts';

export interface ClusterOptions {
  readonly nodes: number;
  readonly volumes: number;
  /** Of each backing disk, meta-data included. */
  readonly diskSectors: number;
  /** 1 A, 2 B, 3 C. */
  readonly wireProtocol: number;
  /** Further options of every connection, resource and disk. */
  readonly net?: Partial<NetConf>;
  readonly resource?: Partial<ResourceOpts>;
  readonly disk?: Partial<DiskConf>;
  /** Nodes without a disk, on purpose: clients, tiebreakers. */
  readonly diskless?: readonly number[];
}

const RESOURCE = 'r0';
const LIMIT_MS = 60_000;

export class SimMember {
  readonly id: number;
  readonly node: SimNode;
  readonly setup: Drbdsetup;
  engine: Engine | null = null;

  constructor(world: World, fabric: SimFabric, id: number) {
    this.id = id;
    this.node = new SimNode(world, fabric, `n${id}`, `10.0.0.${id + 1}`, (host) => {
      this.engine = new Engine(host, [new TcpTransportClass(host)]);
      this.engine.start();
    });
    this.setup = new Drbdsetup(this.node);
  }

  get resource(): Resource {
    const found = this.engine?.resources.get(RESOURCE);
    assert(found, `n${this.id} has the resource`);
    return found;
  }
}

export class SimCluster {
  readonly world: World;
  readonly fabric: SimFabric;
  readonly members: SimMember[] = [];
  readonly options: ClusterOptions;

  constructor(seed: number, options: ClusterOptions) {
    this.options = options;
    this.world = new World(seed);
    this.fabric = new SimFabric(this.world);
    for (let id = 0; id < options.nodes; id++) {
      const member = new SimMember(this.world, this.fabric, id);
      this.members.push(member);
      for (let v = 0; v < options.volumes; v++) {
        createSuperBlock(member.node.addDisk(`/dev/disk${v}`, options.diskSectors), options.nodes - 1);
      }
    }
  }

  /** Runs virtual time until the answer is there. */
  async admin(answer: Promise<Answer>): Promise<Answer> {
    let got: Answer | null = null;
    void answer.then((a) => { got = a; });
    await this.until('an answer', () => got !== null);
    return got!;
  }

  /** Runs virtual time until it holds; answers of promises are let through between steps. */
  async until(what: string, holds: () => boolean, limitMs = LIMIT_MS): Promise<void> {
    const end = this.world.nowMs + limitMs;
    while (!holds()) {
      if (this.world.nowMs > end || !this.world.step()) {
        throw new Error(`${what} did not come in ${limitMs} ms; waiting: ${this.world.waiting().slice(0, 20).join('; ')}`);
      }
      await Promise.resolve();
    }
  }

  /** drbdadm up. */
  async up(id: number): Promise<void> {
    const { setup } = this.members[id]!;
    const ok = async (answer: Promise<Answer>): Promise<void> => {
      const { code, text } = await this.admin(answer);
      assert(code === 101 || code === 1, `up of n${id}: ${code} ${text}`);
    };
    await ok(setup.newResource(RESOURCE, id, this.options.resource));
    const volumes = Array.from({ length: this.options.volumes }, (_, v) => v);
    const diskless = (node: number): boolean => this.options.diskless?.includes(node) ?? false;
    for (const v of volumes) await ok(setup.newMinor(RESOURCE, this.minor(id, v), v, { intentionalDiskless: diskless(id) }));
    for (const peer of this.members) {
      if (peer.id === id) continue;
      await ok(setup.newPeer(RESOURCE, peer.id, { name: peer.node.name,
        wireProtocol: this.options.wireProtocol, ...this.options.net }));
      await ok(setup.newPath(RESOURCE, peer.id, sockaddr(this.members[id]!.node.address, this.port(id, peer.id)),
        sockaddr(peer.node.address, this.port(peer.id, id))));
      if (diskless(peer.id)) for (const v of volumes) await ok(setup.peerDeviceOptions(RESOURCE, peer.id, v, { bitmap: false }));
    }
    if (!diskless(id)) {
      for (const disk of this.members[id]!.node.disks.values()) applyActivityLog(disk);
      for (const v of volumes) await ok(setup.attach(this.minor(id, v), `/dev/disk${v}`, this.options.disk));
    }
    for (const peer of this.members) if (peer.id !== id) await ok(setup.connect(RESOURCE, peer.id));
  }

  minor(id: number, volume: number): number { return id * 100 + volume; }
  /** As drbdadm does: one port a resource. */
  port(_own: number, _peer: number): number { return 7000; }
}
