// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Safety rules that can be switched off one at a time, to see that the checker shouts. Each is one edit of a source text,
 * made while it is loaded (scripts/mutate.ts): the product knows nothing of it, and an edit that no longer fits fails.
 */
export interface Mutation {
  /** The rule that is switched off. */
  readonly name: string;
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly from: string;
  readonly to: string;
}

const mutation = (name: string, file: string, from: string, to: string): Mutation => ({ name, file: `src/${file}`, from, to });

export const mutations: readonly Mutation[] = [
  // --- activity log and bitmap on disk
  mutation('al: an extent is active before its transaction is on disk', 'meta/activity-log.ts',
    'if (!this.#updates || this.#frozen) {\n      this.#unlogged = true;', 'if (this.#ringJob === null) {\n      this.#unlogged = false;'),
  mutation('al: replay marks nothing', 'meta/al-recovery.ts', 'if (first >= bitmap.bits) continue;', 'continue;'),
  mutation('al: an evicted extent\'s bits need not be on disk', 'meta/activity-log.ts',
    'if (count === 0 || !this.#o.bitmap.writeExtents(this.#evicted, count, this.#bitmapJob)) this.#writeBlock();', 'this.#writeBlock();'),
  mutation('al: a write gives its extent back before it is settled', 'io/device-io.ts',
    'pool.local[slot] |= Rq.IN_ACT_LOG;\n      this.conflictSubmit(slot);',
    'this.alComplete(pool.sector[slot], pool.size[slot]);\n      this.conflictSubmit(slot);'),
  // --- bits
  mutation('bits: a peer that missed a write gets no bit', 'io/device-bits.ts',
    'if ((okMask & bit) === 0) this.setSlot(slot, sector, size);\n      else', ''),
  mutation('bits: writes that a lost Primary left unsettled get no bits', 'io/peer-writes.ts',
    'while (this.list.head >= 0) this.settle(this.list.head, 0);', 'while (this.list.head >= 0) this.settle(this.list.head, -1);'),
  mutation('bits: the sent bitmap leaves out what the peer has not acknowledged', 'io/connection-io.ts',
    'if (pool.device[slot] !== peer.device.index || isWritten(words[slot])) continue;', 'continue;'),
  mutation('bits: a bit of a block is cleared though the write covers half of it', 'meta/bitmap.ts',
    'const first = Math.ceil(sector / sectorsPerBit);\n    const last = (end === this.#sectors ? this.#bits : Math.floor(end / sectorsPerBit)) - 1;',
    'const first = Math.floor(sector / sectorsPerBit);\n    const last = Math.ceil(end / sectorsPerBit) - 1;'),
  mutation('bits: P_NEG_ACK counts as an ack', 'io/mod.ts',
    "{ event: 'NEG_ACKED', write: true, netClear: Net.OK | Net.PENDING },", "{ event: 'NEG_ACKED', write: true, netClear: Net.PENDING, netSet: Net.OK },"),
  mutation('bits: a lost connection leaves its writes as acknowledged', 'io/mod.ts',
    "{ event: 'CONNECTION_LOST', any: NET_MASK, none: Net.DONE, netClear: Net.PENDING | Net.OK, netSet: Net.DONE },",
    "{ event: 'CONNECTION_LOST', any: NET_MASK, none: Net.DONE, netClear: Net.PENDING, netSet: Net.OK | Net.DONE },"),
  mutation('bits: the slot of another peer takes the place of the own bits', 'control/finished-resyncs.ts', "kind: 'join'", "kind: 'copy'"),
  // --- acknowledgements and order
  mutation('ack: protocol C does not wait for the peer', 'io/mod.ts',
    '[Protocol.C, Net.EXP_BARR_ACK | Net.EXP_WRITE_ACK]', '[Protocol.C, Net.EXP_BARR_ACK]'),
  mutation('ack: the peer acknowledges before its disk has the write', 'io/peer-writes.ts',
    'p.flags[slot] |= PeerFlag.SUBMITTED;\n',
    'p.flags[slot] |= PeerFlag.SUBMITTED;\n    if ((flags & PeerFlag.SEND_WRITE_ACK) !== 0) this.ack(this.connection.peers[device.index], Cmd.WRITE_ACK, slot);\n'
      + '    p.flags[slot] &= ~PeerFlag.SEND_WRITE_ACK;\n'),
  mutation('ack: a failed write of the peer is acknowledged', 'io/peer-writes.ts',
    'this.ack(peer, failed ? Cmd.NEG_ACK : inSync', 'this.ack(peer, inSync'),
  mutation('barrier: it is acknowledged without a flush of the disk', 'io/peer-writes.ts',
    'if (resource.writeOrdering < Ordering.flush) return false;', 'return false;'),
  mutation('barrier: the disk is flushed before the writes of the epoch are over', 'io/peer-writes.ts',
    ': this.active > (this.hold === Hold.room ? 1 : 0)) return;', ': this.hold !== Hold.barrier && this.active > (this.hold === Hold.room ? 1 : 0)) return;'),
  mutation('flush: a flush is answered without one of the local disk', 'io/submit.ts',
    'if (device.diskUsable) {\n    requests.mod(slot, RqEvent.TO_BE_SUBMITTED, -1);\n    device.submitLocal(slot);\n  }\n  requests.dropSubmitterRef(slot);\n}\n\nfunction submitRead',
    'requests.dropSubmitterRef(slot);\n}\n\nfunction submitRead'),
  mutation('flush: FUA is not passed to the local disk', 'io/device-io.ts', 'pool.flags[slot] & LOWER_FLAGS,', '0,'),
  mutation('conflict: overlapping writes go to the disks at once', 'io/intervals.ts',
    'const wide = this.conflictIn(this.wideHead, x, find);\n    if (wide >= 0) return wide;', 'if (find === 0) return -1;'),
  // --- resync
  mutation('resync: a block that the target could not write counts as written', 'io/resync-target.ts',
    'if (failed) peer.progress.failed += device.bits.count(peer, sector, size);\n    else device.bits', 'device.bits'),
  mutation('resync: the source does not wait for writes in flight', 'io/resync-source.ts',
    'if (device.intervals.findConflict(p.interval[slot], 0) >= 0) {\n      device.intervals.wait(p.interval[slot]);\n      return;\n    }\n    device.intervals.flags[p.interval[slot]] |= IvFlag.SUBMITTED;\n    this.start(device, slot);',
    'device.intervals.flags[p.interval[slot]] |= IvFlag.SUBMITTED;\n    this.start(device, slot);'),
  mutation('resync: a target does not hear of writes while bitmaps are exchanged', 'io/routing.ts',
    'if (repl === Repl.ahead || repl === Repl.wfBitMapS ||', 'if (repl === Repl.ahead ||'),
  mutation('read: an Inconsistent disk may serve any read', 'io/device-bits.ts',
    'if (disk.bitmap.countOutOfSync(slot, sector, size) > 0) return false;', ''),
  mutation('read: the shim may bypass to a disk that is not UpToDate', 'control/read-bypass.ts',
    'device.disk === Disk.upToDate && device.readBalancing', 'device.disk >= Disk.inconsistent && device.readBalancing'),
  // --- generations
  mutation('uuid: a lost peer causes no new generation', 'state/finish.ts',
    'f.createNewUuid && !at.draft.old.resource.suspUuid,', 'false,'),
  mutation('uuid: own bitmap UUID equals the generation of the peer, and no resync follows', 'state/uuid-compare.ts',
    "row(22, 'bitmapSelf', 'source-use-bitmap', 'bitmap-self')", "row(22, 'bitmapSelf', 'no-sync', 'bitmap-self')"),
  mutation('uuid: bitmap UUID of the peer equals the own generation, and no resync follows', 'state/uuid-compare.ts',
    "row(20, 'bitmapPeer', 'target-use-bitmap', 'bitmap-peer')", "row(20, 'bitmapPeer', 'no-sync', 'bitmap-peer')"),
  mutation('uuid: a crashed Primary is equal to its peer', 'state/uuid-compare.ts',
    "row(17, 'equal selfCrashed', 'source-if-both-failed', 'both-off'),\n  row(18, 'equal peerCrashed', 'target-if-both-failed', 'both-off'),", ''),
  mutation('uuid: bits of equal generations are cleared unseen', 'state/uuid-handshake.ts',
    "if (!v.reconcileBits || w.strategy !== 'no-sync' || !equalRules.has(w.rule)) return;", 'return;'),
  // --- roles
  // Four places refuse a second Primary; all ask this option.
  mutation('role: two Primaries are accepted', 'control/options.ts', 'allowTwoPrimaries: n.twoPrimaries', 'allowTwoPrimaries: true'),
  mutation('role: a node without good data may become Primary', 'state/guards.ts',
    'refuses: (at) => at.draft.resource.role === Role.primary && !dataAccessible(at.draft, at.d)\n', 'refuses: (at) => at.d < 0 && !dataAccessible(at.draft, at.d)\n'),
  mutation('role: a node without quorum may become Primary', 'state/guards.ts',
    'refuses: (at) => at.draft.resource.role === Role.primary && !at.device.haveQuorum\n', 'refuses: (at) => at.d < 0 && !at.device.haveQuorum\n'),
  // --- an engine takes over
  mutation('take-over: a new engine does not wait for a dead one\'s writes', 'control/attach.ts',
    `lower = adopted.readopt(role, router, () => {
      quiet = true;
      if (lower !== null) resume(lower);
    });
    if (lower === null || quiet) resume(lower);`, 'quiet = true;\n    resume(adopted.readopt(role, router, () => {}));'),
];
