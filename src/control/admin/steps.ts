// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Commands that wait, written down in one piece: a generator yields what starts the waiting, and goes on inside the
 * turn in which it ends. (A promise would go on after the turn, when its batch has been handed over.)
 */

/** Starts something; `resume` is called once with its result, at once or later. */
export type Start = (resume: (value: unknown) => void) => void;
export type Steps<T> = Generator<Start, T, unknown>;

/** The result of something that calls back. */
export function* until<T>(start: (resume: (value: T) => void) => void): Steps<T> {
  return (yield start as Start) as T;
}

/** Runs all steps; `ended` gets what they return, at once when nothing waits. */
export function run<T>(steps: Steps<T>, ended: (value: T) => void): void {
  const proceed = (value: unknown): void => {
    const next = steps.next(value);
    if (next.done) ended(next.value);
    else next.value(proceed);
  };
  proceed(undefined);
}
