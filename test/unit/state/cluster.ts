// SPDX-License-Identifier: GPL-2.0-or-later
/** Several views in one process that exchange effects: just enough of a control layer to replay the spec's traces. */
import type { Effect, Notified } from '../../../src/state/effects.ts';
import type { Change, Event } from '../../../src/state/events.ts';
import { receiveState } from '../../../src/state/receive-state.ts';
import type { Decider } from '../../../src/state/receive-state.ts';
import { stateWordOf, unpackState } from '../../../src/state/state-word.ts';
import { Cs, Cstate, Disk, MdFlag, Repl, Role, UuidFlag, cstateNames, diskNames, replNames, roleNames } from '../../../src/state/states.ts';
import { step } from '../../../src/state/step.ts';
import type { Live, MdFacts, PeerDeviceRow, View } from '../../../src/state/types.ts';
import {
  connectionIndex, defaultConnectionOptions, defaultDeviceOptions, deviceIndex, emptyView, findConnection, findDevice, findPeerDevice,
} from '../../../src/state/view.ts';
import { deviceStable, resolvedUuid } from '../../../src/state/facts.ts';

export const slots = (): MdFacts['slots'] => Array.from({ length: 32 }, () => ({ flags: 0, bitmapIndex: -1, bitmapUuid: 0n }));

export const md = (flags: number, peers: readonly number[] = []): MdFacts => ({ flags, members: 0n, maxPeers: 7,
  slots: slots().map((slot, n) => peers.includes(n) ? { ...slot, bitmapIndex: peers.indexOf(n), flags: 0x10 } : slot) });

export interface Timers { now: number }

const describeObject = (n: Notified): string => {
  switch (n.object) {
    case 'resource': return `resource ${roleNames[n.info.role]}${n.info.suspFen ? ' suspended:fencing' : ''}${n.info.suspQuorum ? ' suspended:quorum' : ''}`;
    case 'connection': return `connection ${n.nodeId} ${cstateNames[n.info.cstate]} ${roleNames[n.info.peerRole]}`;
    case 'device': return `device ${n.vnr} ${diskNames[n.info.disk]}`;
    case 'peerDevice': return `peer-device ${n.nodeId}/${n.vnr} ${replNames[n.info.repl]} ${diskNames[n.info.pdsk]}`;
  }
};

export class Node {
  view: View;
  readonly cluster: Cluster;
  readonly id: number;
  readonly lines: string[] = [];
  readonly logs: string[] = [];
  readonly done = new Map<number, number>();
  readonly timers = new Map<string, number>();
  readonly work: Effect[] = [];
  readonly helpers: string[] = [];
  bits = new Map<string, number>();
  helperExit = 4;

  constructor(cluster: Cluster, id: number) {
    this.cluster = cluster;
    this.id = id;
    this.view = emptyView('r0', id);
  }

  capacity = 1000;
  localMaxSize = 2000;
  readonly live: Live = {
    outOfSyncBits: (vnr, nodeId) => this.bits.get(`${vnr}/${nodeId}`) ?? 0,
    peerRequestsInFlight: () => false,
    below: (bound) => this.cluster.below(bound),
    capacity: () => this.capacity,
    localMaxSize: () => this.localMaxSize,
    sizeAfterResize: (_vnr, userSize, _ddsFlags, maxPossible) => userSize || maxPossible,
  };

  give(event: Event): number {
    const result = step(this.view, event, this.live);
    this.view = result.view;
    this.cluster.check(this);
    this.work.push(...result.work);
    for (const effect of result.effects) this.perform(effect);
    return result.result.rc;
  }

  /** One piece of the worker's queue. */
  runWork(): boolean {
    const effect = this.work.shift();
    if (effect === undefined) return false;
    this.perform(effect);
    return true;
  }

  say(line: string): void {
    this.lines.push(line);
    this.cluster.lines.push(`${this.id} ${line}`);
  }

  perform(effect: Effect): void {
    const { cluster } = this;
    switch (effect.kind) {
      case 'notify': return this.say(`${effect.more ? '+ ' : ''}${describeObject(effect.object)}`);
      case 'log': this.logs.push(effect.text); return;
      case 'done': this.done.set(effect.request, effect.rc); return;
      case 'raise': this.give(effect.event); return;
      case 'timerStart': this.timers.set(effect.name, cluster.now + effect.delayMs); return;
      case 'timerStop': this.timers.delete(effect.name); return;
      case 'helper':
        this.helpers.push(effect.name);
        if (effect.token > 0) cluster.soon(() => this.give({ kind: 'helperDone', token: effect.token, exit: this.helperExit }));
        return;
      case 'ping': cluster.soon(() => this.give({ kind: 'pinged', token: effect.token })); return;
      case 'sendTwopc': cluster.packets.push(`${this.id}>${effect.nodeId} ${effect.packet.kind}`);
        if (effect.packet.kind === 'prepare') cluster.words.push(`${effect.packet.mask.toString(16)} ${effect.packet.val.toString(16)}`);
        return cluster.deliver(this.id, effect.nodeId, (peer) => peer.give({ kind: 'twopc', from: this.id, packet: effect.packet }));
      case 'sendTwopcReply': cluster.packets.push(`${this.id}>${effect.nodeId} ${effect.packet.kind}`);
        return cluster.deliver(this.id, effect.nodeId, (peer) => peer.give({ kind: 'twopcReply', from: this.id, packet: effect.packet }));
      case 'sendState': cluster.packets.push(`${this.id}>${effect.nodeId} state`);
        return cluster.deliver(this.id, effect.nodeId, (peer) => peer.receive(this.id, effect.vnr, effect.word));
      case 'sendUuids': cluster.packets.push(`${this.id}>${effect.nodeId} uuids`); return this.sendUuids(effect.nodeId, effect.vnr, effect.flags);
      case 'sendInitialPackets': return this.initial(effect.nodeId);
      case 'sendDisconnect': return cluster.deliver(this.id, effect.nodeId, (peer) =>
        peer.give({ kind: 'lost', nodeId: this.id, cstate: Cstate.disconnecting, tag: 'receive-disconnect' }));
      case 'startConnecting': cluster.soon(() => this.connecting(effect.nodeId)); return;
      case 'teardown': cluster.soon(() => {
        cluster.cut(this.id, effect.nodeId);
        this.give({ kind: 'fencePeer', nodeId: effect.nodeId });
        this.helpers.push('disconnected');
        this.give({ kind: 'tornDown', nodeId: effect.nodeId });
      }); return;
      case 'newCurrentUuid': {
        const device = findDevice(this.view, effect.vnr)!;
        if (!effect.forced && !device.newCurUuid) return;
        this.give({ kind: 'deviceFacts', vnr: effect.vnr, facts: { newCurUuid: false,
          ...(device.md === null ? {} : { currentUuid: BigInt(cluster.below(1 << 30)) << 4n }) } });
        return;
      }
      case 'ldevReference': if (!effect.acquire) this.lastReference(effect.vnr); return;
      default: return;
    }
  }

  lastReference(vnr: number): void {
    const disk = findDevice(this.view, vnr)!.disk;
    if (disk === Disk.failed || disk === Disk.detaching) this.give({ kind: 'goDiskless', vnr });
    else if (disk === Disk.diskless) this.give({ kind: 'deviceFacts', vnr, facts: { md: null, currentUuid: 0n } });
  }

  connecting(nodeId: number): void {
    if (findConnection(this.view, nodeId)?.cstate !== Cstate.unconnected) return;
    this.give({ kind: 'change', request: 0, tag: 'connecting', flags: Cs.verbose, changes: [{ set: 'cstate', nodeId, cstate: Cstate.connecting }] });
    this.cluster.tryLink(this.id, nodeId);
  }

  sendUuids(nodeId: number, vnr: number, flags: number): void {
    const device = findDevice(this.view, vnr)!;
    const uuid = resolvedUuid(this.view, deviceIndex(this.view, vnr), nodeId);
    const stable = deviceStable(this.view) ? UuidFlag.stable : 0;
    const current = device.md === null ? device.exposedUuid : uuid;
    const hasDisk = device.md !== null && device.disk >= Disk.negotiating;
    this.give({ kind: 'peerDeviceFacts', vnr, nodeId, facts: { commCurrentUuid: current } });
    this.cluster.deliver(this.id, nodeId, (peer) => peer.give({ kind: 'peerDeviceFacts', vnr, nodeId: this.id,
      facts: { ...(hasDisk ? { uuidsReceived: true } : { currentUuidReceived: true }), peerCurrentUuid: current, uuidFlags: flags | stable } }));
  }

  initial(nodeId: number): void {
    const c = connectionIndex(this.view, nodeId);
    this.view.devices.forEach(({ vnr }, d) => {
      this.give({ kind: 'peerDeviceFacts', vnr, nodeId, facts: { initialStateSent: true, holdingUuidLock: true } });
      this.sendUuids(nodeId, vnr, 0);
      const word = stateWordOf(this.view, d, c);
      this.cluster.deliver(this.id, nodeId, (peer) => peer.receive(this.id, vnr, word));
    });
  }

  receive(from: number, vnr: number, word: number): void {
    for (const action of receiveState(this.view, from, vnr, word, this.decider(from, vnr))) {
      if (action.do === 'event') this.give(action.event);
      if (action.do === 'verifyFinished') this.set('verify-done', [{ set: 'repl', vnr, nodeId: from, repl: Repl.established }]);
      if (action.do === 'startResyncAsTarget') {
        this.set('resync-after-behind', [{ set: 'disk', vnr, disk: Disk.inconsistent }]);
        this.set('start-resync', [{ set: 'repl', vnr, nodeId: from, repl: Repl.syncTarget }]);
      }
      if (action.do === 'resyncFinished') {
        this.give({ kind: 'change', request: 0, tag: 'resync-finished', flags: Cs.verbose, changes: [
          { set: 'resyncActive', vnr, nodeId: from, value: false }, { set: 'repl', vnr, nodeId: from, repl: Repl.established },
          { set: 'pdsk', vnr, nodeId: from, pdsk: unpackState(word).disk }] });
      }
    }
  }

  /** A local transaction. */
  set(tag: string, changes: readonly Change[], flags: number = Cs.verbose): number {
    return this.give({ kind: 'change', request: 0, tag, flags, changes });
  }

  /** Newer data = the current UUID that the test calls so; Inconsistent loses. */
  decider(from: number, vnr: number): Decider {
    const pd = (): PeerDeviceRow => findPeerDevice(this.view, vnr, from)!;
    const device = findDevice(this.view, vnr)!;
    const compare = (pdsk: Disk): { repl: Repl } | { how: 'disconnect' } => {
      const good = device.disk === Disk.negotiating ? (device.md!.flags & MdFlag.consistent) !== 0 : device.disk > Disk.inconsistent;
      if (this.cluster.splitBrain) return { how: 'disconnect' };
      if ((pd().peerCurrentUuid | 1n) === (device.currentUuid | 1n)
        && good === (pdsk > Disk.inconsistent)) return { repl: Repl.established };
      if (!good && pdsk === Disk.inconsistent) return { repl: Repl.established };
      if (!good) return { repl: Repl.wfBitMapT };
      if (pdsk === Disk.inconsistent) return { repl: Repl.wfBitMapS };
      return { repl: (device.currentUuid | 1n) > (pd().peerCurrentUuid | 1n) ? Repl.wfBitMapS : Repl.wfBitMapT };
    };
    return { handshake: compare, attach: compare, diskless: () => 'ok', older: () => false, turnedAway: () => false };
  }
}

export class Cluster {
  readonly nodes: Node[];
  readonly lines: string[] = [];
  readonly packets: string[] = [];
  /** mask and val of each PREPARE, hexadecimal. */
  readonly words: string[] = [];
  readonly queue: (() => void)[] = [];
  readonly links = new Set<string>();
  /** Pairs that cannot reach each other. */
  readonly broken = new Set<string>();
  now = 0;
  seed = 12345;
  splitBrain = false;
  check: (node: Node) => void = () => undefined;

  constructor(count: number) {
    this.nodes = Array.from({ length: count }, (_, id) => new Node(this, id));
  }

  below(bound: number): number {
    this.seed = (this.seed * 1103515245 + 12345) % 2147483648;
    return Math.floor(this.seed / 2147483648 * bound);
  }

  soon(job: () => void): void { this.queue.push(job); }
  key(a: number, b: number): string { return a < b ? `${a}-${b}` : `${b}-${a}`; }
  deliver(from: number, to: number, act: (peer: Node) => void): void {
    this.soon(() => { if (this.links.has(this.key(from, to))) act(this.nodes[to]!); });
  }

  tryLink(a: number, b: number): void {
    const key = this.key(a, b);
    const ready = (x: number, y: number): boolean => findConnection(this.nodes[x]!.view, y)?.cstate === Cstate.connecting;
    if (!ready(a, b) || !ready(b, a) || this.broken.has(key) || this.links.has(key)) return;
    this.links.add(key);
    for (const [x, y] of [[a, b], [b, a]] as const) {
      this.nodes[x]!.give({ kind: 'connectionFacts', nodeId: y, facts: { agreedVersion: 124, agreedFeatures: 64 + 32 } });
    }
    for (const [x, y] of [[a, b], [b, a]] as const) this.nodes[x]!.give({ kind: 'handshakeStart', nodeId: y });
  }

  /** The other end notices; at once, or never if it is gone. */
  cut(a: number, b: number): void {
    if (!this.links.delete(this.key(a, b))) return;
    for (const [x, y] of [[a, b], [b, a]] as const) {
      const cstate = findConnection(this.nodes[x]!.view, y)?.cstate;
      if (cstate !== undefined && cstate >= Cstate.connecting) {
        this.nodes[x]!.give({ kind: 'lost', nodeId: y, cstate: Cstate.brokenPipe, tag: 'broken' });
      }
    }
  }

  breakLink(a: number, b: number): void {
    this.broken.add(this.key(a, b));
    this.cut(a, b);
  }

  /** Until nothing is queued; then time goes on to the next timer, at most `untilMs`. */
  run(forMs = 5_000): void {
    const end = this.now + forMs;
    for (let n = 0; n < 100_000; n++) {
      if (this.nodes.some((node) => node.runWork())) continue;
      const job = this.queue.shift();
      if (job !== undefined) { job(); continue; }
      if (!this.fireNext(end)) return;
    }
    throw new Error('does not come to rest');
  }

  private fireNext(end: number): boolean {
    let next: { node: Node; name: string; at: number } | null = null;
    for (const node of this.nodes) {
      for (const [name, at] of node.timers) if (at <= end && (next === null || at < next.at)) next = { node, name, at };
    }
    if (next === null) return false;
    this.now = Math.max(this.now, next.at);
    next.node.timers.delete(next.name);
    next.node.give({ kind: 'timer', name: next.name });
    return true;
  }

  /** Devices, connections between all, attached. disk from md flags. */
  up(flags: readonly number[], uuids: readonly bigint[], options: Partial<typeof defaultConnectionOptions> = {}): void {
    const ids = this.nodes.map((n) => n.id);
    this.nodes.forEach((node, n) => {
      const peers = ids.filter((id) => id !== node.id);
      node.give({ kind: 'addDevice', vnr: 0, minor: 1000, options: defaultDeviceOptions, intentionalDiskless: false, wantBitmap: [] });
      for (const nodeId of peers) {
        node.give({ kind: 'addConnection', nodeId, name: `n${nodeId}`,
          options: { ...defaultConnectionOptions, ...options }, wantBitmap: [] });
      }
      node.give({ kind: 'clusterChange', request: 1, tag: 'attach', flags: Cs.verbose | Cs.serialize, transient: true, change: { what: 'disk', vnr: 0, disk: Disk.attaching } });
      node.give({ kind: 'deviceFacts', vnr: 0, facts: { md: md(flags[n]!, peers), currentUuid: uuids[n]! } });
      node.give({ kind: 'clusterChange', request: 2, tag: 'attach', flags: Cs.verbose | Cs.serialize, transient: true, change: { what: 'disk', vnr: 0, disk: Disk.negotiating } });
    });
    this.run(0);
  }

  own(n: number): string[] { return this.lines.filter((line) => line.startsWith(`${n} `)).map((line) => line.slice(2)); }

  /** Both steps of an attach. */
  attach(n: number, flags: number, uuid: bigint, peers: readonly number[]): number {
    const change = (disk: Disk) => ({ kind: 'clusterChange', request: 7, tag: 'attach', flags: Cs.verbose | Cs.serialize, transient: true,
      change: { what: 'disk', vnr: 0, disk } }) as const;
    this.request(n, change(Disk.attaching));
    this.nodes[n]!.give({ kind: 'deviceFacts', vnr: 0, facts: { md: md(flags, peers), currentUuid: uuid } });
    return this.request(n, change(Disk.negotiating));
  }

  connect(a: number, b: number): void {
    for (const [x, y] of [[a, b],
      [b, a]] as const) this.nodes[x]!.give({ kind: 'connect', request: 3, nodeId: y, discardMyData: false, tentative: false });
    this.run();
  }

  request(n: number, event: Event & { request: number }): number {
    const node = this.nodes[n]!;
    node.done.delete(event.request);
    node.give(event);
    this.run();
    return node.done.get(event.request) ?? -999;
  }

  primary(n: number, force = false): number { return this.request(n,
    { kind: 'setRole', request: 9, tag: 'primary', role: Role.primary, force }); }
  secondary(n: number): number { return this.request(n,
    { kind: 'setRole', request: 9, tag: 'secondary', role: Role.secondary, force: false }); }
  disconnect(a: number, b: number, force = false): number {
    return this.request(a, { kind: 'disconnect', request: 8, tag: 'disconnect', nodeId: b, force });
  }

  /** Bitmap exchange and resync of a pair, from end to end. */
  resync(source: number, target: number): void {
    const [s, t] = [this.nodes[source]!, this.nodes[target]!];
    s.give({ kind: 'change', request: 0, tag: 'start-resync', flags: Cs.verbose, changes: [{ set: 'repl', vnr: 0, nodeId: target, repl: Repl.syncSource }] });
    t.give({ kind: 'change', request: 0, tag: 'start-resync', flags: Cs.verbose, changes: [{ set: 'repl', vnr: 0, nodeId: source, repl: Repl.syncTarget }] });
    this.run();
    t.give({ kind: 'deviceFacts', vnr: 0, facts: { currentUuid: s.view.devices[0]!.currentUuid } });
    t.give({ kind: 'change', request: 0, tag: 'resync-finished', flags: Cs.verbose, changes: [
      { set: 'resyncActive', vnr: 0, nodeId: source, value: false }, { set: 'repl', vnr: 0, nodeId: source, repl: Repl.established },
      { set: 'disk', vnr: 0, disk: Disk.upToDate }] });
    this.run();
  }

  state(n: number): string {
    const { view } = this.nodes[n]!;
    const peers = view.connections.map((c, i) => {
      const pd = view.peerDevices[i]!;
      return `${c.nodeId}:${cstateNames[c.cstate]}/${roleNames[c.peerRole]}/${replNames[pd.repl]}/${diskNames[pd.pdsk]}`;
    });
    return [`${roleNames[view.resource.role]}/${diskNames[view.devices[0]!.disk]}`, ...peers].join(' ');
  }

  mark(): void { this.lines.length = this.packets.length = this.words.length = 0; }
}
