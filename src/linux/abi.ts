// SPDX-License-Identifier: GPL-2.0-or-later
// Records that cross to native code (native/abi.h has the same numbers; a unit test compares).

export const EventKind = {
  none: 0, packet: 1, sent: 2, writable: 3, closed: 4, connected: 5, accepted: 6, lowerDone: 7, room: 8,
} as const;

export const OpKind = { send: 1, lower: 2 } as const;

/** Words of the turn's head. */
export const Head = {
  nowMs: 0, deadlineMs: 1, events: 2, ops: 3, turns: 4, busyMs: 5, busyMaxMs: 6, room: 7,
  shimFrom: 8, shimTo: 9, shimOps: 10, shimTaken: 11, shimRequests: 12, flushes: 13,
} as const;

/** Words of a stream's queue: the first three are Float64, the others Int32. */
export const Queue = { committed: 0, sent: 1, receivedMs: 2, tail: 8, head: 9, read: 10, wanted: 11, segments: 16 } as const;

/** Words of a page map. */
export const Pages = { count: 0, cursor: 1, free: 2, nativeWaits: 3, scriptWaits: 4, bits: 8 } as const;

export const Sizes = {
  eventWords: 8, eventsMax: 8192, packetsMax: 4096, opWords: 12, opsMax: 8192, headWords: 16,
  segmentWords: 6, segmentsMax: 1024, outputBytes: 262_144, inputBytes: 262_144,
  queueSegments: Queue.segments, pagesBits: Pages.bits, streamsMax: 1024,
} as const;
