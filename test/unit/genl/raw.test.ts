// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, test } from 'vitest';
import { Err, Ss } from '../../../src/genl/codes.ts';
import { netConf, pathParms, resourceOpts } from '../../../src/genl/config-attrs.ts';
import { resolve } from '../../../src/genl/context.ts';
import type { Checked } from '../../../src/genl/options.ts';
import { changedResourceOpts, newDevice, newDiskConf, newNetConf, newResourceOpts, NET_CONF_DEFAULTS,
  RESOURCE_OPTS_DEFAULTS } from '../../../src/genl/options.ts';
import { Cmd } from '../../../src/genl/ops.ts';
import type { Reply } from '../../../src/genl/reply.ts';
import { encodeReply, refusal } from '../../../src/genl/reply.ts';
import type { Request } from '../../../src/genl/request.ts';
import { decodeRequest, isRejection, requiredPayload } from '../../../src/genl/request.ts';
import { joined } from '../../../src/genl/message.ts';
import type { R } from './objects.ts';
import { objectsOf, resource } from './objects.ts';
import { portidOf, rawOf, toHex } from './vectors.ts';

/** What exists at the time of a request, in the order of the capture. */
const NOTHING: R[] = [];
const Q0 = [resource('q0', 0, [], [])];
const Q0_DEVICE = [resource('q0', 0, [], [[0, 20]])];
const Q0_PEER = [resource('q0', 0, [1], [[0, 20]])];

const digests = { digestBytes: () => 0 };
const ok = (code: number = Err.NO_ERROR): Reply => ({ code });

/** Payload checks of the commands that the capture has; what is beyond them answers `then`. */
function answer(request: Request, then: Reply): Reply {
  const checked = ((): Checked<unknown> => {
    switch (request.op.cmd) {
      case Cmd.NEW_RESOURCE: return newResourceOpts(request, true);
      case Cmd.RESOURCE_OPTS: return changedResourceOpts(request, RESOURCE_OPTS_DEFAULTS);
      case Cmd.NEW_MINOR: return newDevice(request);
      case Cmd.ATTACH: return newDiskConf(request);
      case Cmd.NEW_PEER: return newNetConf(request, true, digests);
      case Cmd.NEW_PATH: case Cmd.DEL_PATH: return { value: requiredPayload(request, pathParms) };
      default: return { value: undefined };
    }
  })();
  return checked.refused ?? then;
}

/** The whole way of a request through this layer. */
function exchange(bytes: Uint8Array, portid: number, world: R[], then: Reply): Uint8Array {
  const request = decodeRequest(bytes, { portid, capable: true });
  if (isRejection(request)) return request.message;
  const resolved = resolve(request, objectsOf(world));
  return encodeReply(request, 'refused' in resolved ? resolved.refused : answer(request, then));
}

const mustNotBeAsked = { code: -1000 };

describe('what this layer decides is answered as genuine answers, byte by byte', () => {
  const decided: [label: string, world: R[]][] = [
    ['new-resource-excl', Q0],
    ['new-resource-without-opts', Q0],
    ['new-resource-without-node-id', Q0],
    ['new-resource-bad-name', Q0],
    ['new-resource-name-all', Q0],
    ['new-resource-node-id-32', Q0],
    ['new-minor-raw-same-minor-other-volume', Q0_DEVICE],
    ['attach-without-required', Q0_DEVICE],
    ['attach-no-disk-conf', Q0_DEVICE],
    ['wrong-api-version', Q0_DEVICE],
    ['down-wrong-api-version', Q0_DEVICE],
    ['unknown-mandatory-attr-in-context', Q0_DEVICE],
    ['unknown-mandatory-attr-in-res-opts', Q0_DEVICE],
    ['change-invariant-node-id', Q0_DEVICE],
    ['wrong-length-u32', Q0_DEVICE],
    ['unknown-top-level-attr', Q0_DEVICE],
    ['context-without-nested-flag', Q0_DEVICE],
    ['no-context', Q0_DEVICE],
    ['no-context-ack', Q0_DEVICE],
    ['unknown-command-60', Q0_DEVICE],
    ['do-on-dump-only-command', Q0_DEVICE],
    ['dump-on-do-only-command', Q0_DEVICE],
    ['peer-node-id-32', Q0_DEVICE],
    ['new-peer-without-name', Q0_DEVICE],
    ['minor-of-other-resource', Q0_PEER],
    ['bad-volume', Q0_PEER],
  ];
  test.each(decided)('%s', (label, world) => {
    const { request, replies } = rawOf(label);
    const got = exchange(request, portidOf(replies[0]!), world, mustNotBeAsked);
    expect(toHex(got)).toBe(toHex(joined(replies)));
  });
});

describe('what is sound goes on to the operation, and its result is encoded as genuine does', () => {
  const passed: [label: string, world: R[], then: Reply][] = [
    ['new-resource-raw', NOTHING, ok()],
    ['new-minor-raw', Q0, ok()],
    ['new-minor-raw-again-same', Q0_DEVICE, ok()],
    ['attach-missing-disk', Q0_DEVICE, ok(Err.OPEN_DISK)],
    ['attach-not-a-blockdev', Q0_DEVICE, ok(Err.OPEN_DISK)],
    ['unknown-optional-attr-in-context', Q0_DEVICE, ok(Ss.NOTHING_TO_DO)],
    ['unknown-optional-attr-in-res-opts', Q0_DEVICE, ok()],
    ['ack-success', Q0_DEVICE, ok(Ss.NOTHING_TO_DO)],
    ['new-peer-secret', Q0_DEVICE, ok()],
    ['del-path-none', Q0_PEER,
      refusal(Err.INVALID_REQUEST, 'connection assigned to a different network namespace')],
    ['new-path-raw', Q0_PEER, ok()],
    ['new-path-second', Q0_PEER, ok()],
    ['get-timeout-type', Q0_PEER, { code: Err.NO_ERROR, timeoutType: 0 }],
    ['down-raw', Q0_PEER, ok()],
  ];
  test.each(passed)('%s', (label, world, then) => {
    const { request, replies } = rawOf(label);
    expect(toHex(exchange(request, portidOf(replies[0]!), world, then))).toBe(toHex(joined(replies)));
  });
});

test('the payload of a hand-made new-peer and new-resource', () => {
  const peer = decodeRequest(rawOf('new-peer-secret').request, { portid: 1, capable: true });
  const made = decodeRequest(rawOf('new-resource-raw').request, { portid: 1, capable: true });
  if (isRejection(peer) || isRejection(made)) throw new Error('rejected');
  expect(requiredPayload(peer, netConf)).toEqual({ name: 'x', sharedSecret: 'topsecret' });
  expect(newNetConf(peer, true, digests))
    .toEqual({ value: { ...NET_CONF_DEFAULTS, name: 'x', sharedSecret: 'topsecret' } });
  expect(requiredPayload(made, resourceOpts)).toEqual({ nodeId: 0 });
});
