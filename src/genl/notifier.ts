// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { Notification } from './notify.ts';
import { encodeNotification } from './notify.ts';

/** nlmsg_seq of the first notification after the module was loaded, as with genuine. */
export const FIRST_NOTIFICATION_SEQ = 3;

/**
 * Numbers notifications, without gap over all kinds, and marks those that belong together.
 * @spec genetlink.md 5
 */
export class Notifier {
  readonly #family: number;
  readonly #multicast: (message: Uint8Array) => void;
  #seq: number;

  constructor(family: number, nextSeq: number, multicast: (message: Uint8Array) => void) {
    this.#family = family;
    this.#seq = nextSeq;
    this.#multicast = multicast;
  }

  /** Number of the next one: to be kept for an engine that comes after this one. */
  get nextSeq() { return this.#seq; }

  /** One atomic change: all but the last are marked as continued. Paths and helpers come alone. */
  notify(...events: readonly Notification[]) {
    assert(events.length < 2 || events.every(({ kind }) => kind !== 'path' && kind !== 'helper'),
      'a path or helper notification inside a group');
    events.forEach((event, i) => {
      const envelope = { type: this.#family, seq: this.#seq, portid: 0 };
      this.#seq = (this.#seq + 1) >>> 0;
      this.#multicast(encodeNotification(envelope, { ...event, continues: i < events.length - 1 }));
    });
  }
}
