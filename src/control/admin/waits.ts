// SPDX-License-Identifier: GPL-2.0-or-later
/** Waiting that more than one command does. */
import type { Device } from '../device.ts';
import type { Resource } from '../resource.ts';
import type { Steps } from './steps.ts';
import { until } from './steps.ts';

const POLL_MS = 10;

/** Until it holds: looked at now, then every 10 ms. `what` says in a hang what is waited for. */
export function* untilHolds(resource: Resource, what: string, holds: () => boolean): Steps<void> {
  const { clock } = resource.engine.host;
  while (!holds()) yield* until<void>((resume) => { clock.timer(what, POLL_MS, () => resume()); });
}

/** Until all that the worker has now is done. */
export const workerFlushed = (resource: Resource): Steps<void> =>
  until<void>((resume) => resource.worker.flush(() => resume()));

/** Application I/O of a volume stands still while `body` runs. */
export function* withIoSuspended<T>(device: Device, body: () => Steps<T>): Steps<T> {
  yield* until<void>((resume) => device.suspendIo(() => resume()));
  try {
    return yield* body();
  } finally {
    device.resumeIo();
  }
}
