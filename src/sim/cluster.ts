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
  /** Node ids without disks, on purpose; the others keep no bitmap for them. */
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
      if (this.isDiskless(id)) continue;
      const slots = options.nodes - 1 - (options.diskless?.length ?? 0);
      for (let v = 0; v < options.volumes; v++) {
        createSuperBlock(member.node.addDisk(`/dev/disk${v}`, options.diskSectors), Math.max(1, slots));
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

  isDiskless(id: number): boolean { return this.options.diskless?.includes(id) ?? false; }

  /** drbdadm up; throws at the first refusal. */
  async up(id: number): Promise<void> {
    for (const { name, run } of this.upSteps(id)) {
      const answer = run();
      if (!answer) continue;
      const { code, text } = await this.admin(answer);
      assert(code === 101 || code === 1, `${name} of n${id}: ${code} ${text}`);
    }
  }

  /** What drbdadm up does, one command after the other. */
  upSteps(id: number): { readonly name: string; readonly run: () => Promise<Answer> | null }[] {
    const { setup, node } = this.members[id]!;
    const { options } = this;
    const peers = this.members.filter((m) => m.id !== id);
    const volumes = Array.from({ length: options.volumes }, (_, v) => v);
    const diskless = this.isDiskless(id);
    return [
      { name: 'new-resource', run: () => setup.newResource(RESOURCE, id, options.resource) },
      ...volumes.map((v) => ({ name: 'new-minor', run: () => setup.newMinor(RESOURCE, this.minor(id, v), v,
        diskless ? { intentionalDiskless: true } : {}) })),
      ...peers.flatMap((peer) => [
        { name: 'new-peer', run: () => setup.newPeer(RESOURCE, peer.id, { name: peer.node.name,
          wireProtocol: options.wireProtocol, ...options.net }) },
        { name: 'new-path', run: () => setup.newPath(RESOURCE, peer.id, sockaddr(node.address, this.port(id, peer.id)),
          sockaddr(peer.node.address, this.port(peer.id, id))) },
        ...this.isDiskless(peer.id) ? volumes.map((v) => ({ name: 'peer-device-options',
          run: () => setup.peerDeviceOptions(RESOURCE, peer.id, v, { bitmap: false }) })) : [],
      ]),
      ...diskless ? [] : volumes.flatMap((v) => [
        { name: 'apply-al', run: () => { applyActivityLog(node.disks.get(`/dev/disk${v}`)!); return null; } },
        { name: 'attach', run: () => setup.attach(this.minor(id, v), `/dev/disk${v}`, options.disk) },
      ]),
      ...peers.map((peer) => ({ name: 'connect', run: () => setup.connect(RESOURCE, peer.id) })),
    ];
  }

  minor(id: number, volume: number): number { return id * 100 + volume; }
  /** As drbdadm does: one port a resource. */
  port(_own: number, _peer: number): number { return 7000; }
}
