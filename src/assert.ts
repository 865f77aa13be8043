// SPDX-License-Identifier: GPL-2.0-or-later

/** A bug of ours: the state is not what the code was written for. Never thrown for bad input. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** Checks what must hold whatever the input; on in production. `message` is a constant: it is built on every call. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** Closes a switch over a union: TypeScript refuses a case that is missing, and a value from outside the type throws. */
export function unreachable(value: never, message = 'unreachable'): never {
  throw new AssertionError(`${message}: ${String(value)}`);
}
