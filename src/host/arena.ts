// SPDX-License-Identifier: GPL-2.0-or-later
import type { Job } from './clock.ts';

/** Memory that disks and sockets share. The core names ranges by offset and never looks at the data in them. */
export interface Arena {
  /** Id that Stream and LowerDevice know this arena by. */
  readonly id: number;
  readonly sizeBytes: number;
  /** Room for `sizeBytes` (rounded up to 4 KiB, contiguous) in the engine's own part; -1 when there is none now. */
  alloc(sizeBytes: number): number;
  /** Gives back what `alloc` or a received payload took. Both numbers as they were given. */
  free(offset: number, sizeBytes: number): void;
  /**
   * The same for a `lasting` payload (Stream.commit) that the peer has not answered, of a stream that is closed: nobody gets
   * the room before the kernel has let go of it.
   */
  freeSent(offset: number, sizeBytes: number): void;
  /** Called once when room was given back after a failed `alloc`. */
  onRoom(job: Job): void;
}

/** An arena whose bytes the core may read and write: meta-data buffers. */
export interface MetaArena extends Arena {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}
