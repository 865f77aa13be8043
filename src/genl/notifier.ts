// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { Notification } from './notify.ts';
import { encodeNotification } from './notify.ts';

/**
 * Marks notifications that belong together and hands them over in order. Their numbers are filled in by who sends them
 * (host's Admin): the count outlives an engine.
 * @spec genetlink.md 5
 */
export class Notifier {
  readonly #family: number;
  readonly #multicast: (message: Uint8Array) => void;

  constructor(family: number, multicast: (message: Uint8Array) => void) {
    this.#family = family;
    this.#multicast = multicast;
  }

  /** One atomic change: all but the last are marked as continued. Paths and helpers come alone. */
  notify(...events: readonly Notification[]) {
    assert(events.length < 2 || events.every(({ kind }) => kind !== 'path' && kind !== 'helper'),
      'a path or helper notification inside a group');
    const envelope = { type: this.#family, seq: 0, portid: 0 };
    events.forEach((event, i) =>
      this.#multicast(encodeNotification(envelope, { ...event, continues: i < events.length - 1 })));
  }
}
