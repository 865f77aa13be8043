// SPDX-License-Identifier: GPL-2.0-or-later
// Records that cross between native code and JavaScript; src/linux/abi.ts has the same numbers, a unit test compares.
#pragma once
#include <cstdint>

namespace drbdd {

/// A record of the event array: eight Int32; words 4 and 5, 6 and 7 can be one Float64.
constexpr uint32_t kEventWords = 8;
/// A record of the operation array: twelve, likewise.
constexpr uint32_t kOpWords = 12;
constexpr uint32_t kEventsMax = 8192;
/// A turn cuts no more packets than this; the rest of the array is for everything else.
constexpr uint32_t kPacketsMax = 4096;
constexpr uint32_t kOpsMax = 8192;

#define DRBDD_EVENT_KINDS(X)                                                                          \
  X(none, 0)                                                                                          \
  /* stream, command, volume, fixed offset, fixed bytes, payload offset or -1, payload bytes */       \
  X(packet, 1)                                                                                        \
  /* stream, -, -, f64 position */                                                                    \
  X(sent, 2)                                                                                          \
  /* stream */                                                                                        \
  X(writable, 3)                                                                                      \
  /* stream, cause (0 eof, 1 error, 2 protocol), errno */                                             \
  X(closed, 4)                                                                                        \
  /* request, stream or -1, errno */                                                                  \
  X(connected, 5)                                                                                     \
  /* listener, stream */                                                                              \
  X(accepted, 6)                                                                                      \
  /* lower device, cookie, errno */                                                                   \
  X(lowerDone, 7)                                                                                     \
  /* arena */                                                                                         \
  X(room, 8)

enum class EventKind : int32_t {
#define X(name, value) name = value,
  DRBDD_EVENT_KINDS(X)
#undef X
};

#define DRBDD_OP_KINDS(X)                                                                             \
  /* stream: it has something to send */                                                              \
  X(send, 1)                                                                                          \
  /* device, op | flags << 8, arena or -1, f64 sector, size, offset, cookie */                        \
  X(lower, 2)

enum class OpKind : int32_t {
#define X(name, value) name = value,
  DRBDD_OP_KINDS(X)
#undef X
};

/// Words of the turn's head: Float64, written by one side each.
enum HeadWord {
  kHeadNowMs = 0,       ///< native: CLOCK_MONOTONIC of this turn
  kHeadDeadlineMs = 1,  ///< script: when it wants to be called at the latest; Infinity: never
  kHeadEvents = 2,      ///< native: records in the event array
  kHeadOps = 3,         ///< script: records in the operation array
  kHeadTurns = 4,       ///< native: turns so far
  kHeadBusyMs = 5,      ///< native: how long the last turn's script part took
  kHeadBusyMaxMs = 6,   ///< native: the longest so far
  kHeadRoom = 7,        ///< script: counts page runs given back while native code waits for room
  kHeadShimFrom = 8,    ///< native: first new entry of the shim's event ring (counting)
  kHeadShimTo = 9,      ///< native: end of the new entries
  kHeadShimOps = 10,    ///< script: ops written to the shim's op ring (counting)
  kHeadShimTaken = 11,  ///< native: ops that the shim has taken
  kHeadShimRequests = 12, ///< native: admin requests that wait in the shim
  kHeadFlushes = 13,    ///< native: counts hand-overs of the operation array
  kHeadWords = 16,
};

/// Words of a stream's shared queue; Float64 at 0..3, Int32 from word 8.
enum QueueWord {
  kQueueCommittedF64 = 0,
  kQueueSentF64 = 1,
  kQueueReceivedMsF64 = 2,
  kQueueTail = 8,    ///< script: segments committed, counting
  kQueueHead = 9,    ///< native: segments fully sent, counting
  kQueueRead = 10,   ///< native: output is free up to here
  kQueueWanted = 11, ///< script: call writable() when there is room; native clears it
  kQueueSegments = 16,
};
/// A segment: offset in output, bytes, arena or -1, payload offset, payload bytes, 1 if the payload stays until the peer has it.
constexpr uint32_t kSegmentWords = 6;
constexpr uint32_t kSegmentsMax = 1024;
constexpr uint32_t kOutputBytes = 256 * 1024;
constexpr uint32_t kInputBytes = 256 * 1024;

}  // namespace drbdd
