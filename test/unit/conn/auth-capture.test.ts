// SPDX-License-Identifier: GPL-2.0-or-later
import { expect, it } from 'vitest';
import { cramHmac } from '../../../src/conn/handshake.ts';
import { SimCrypto } from '../../../src/sim/crypto.ts';
import { PAuthChallenge, PAuthResponse } from '../../../src/wire/packets/auth.ts';
import { PConnectionFeatures } from '../../../src/wire/packets/connection-features.ts';
import { readCapture } from '../wire/captures.ts';

it.each(['9.2.18', '9.3.3'])('genuine %s nodes answered their challenges as we would', (release) => {
  const ends = readCapture(release, '02-handshake-auth.pcap.gz').map(({ packets }) => {
    const body = (command: number) => packets.find((packet) => packet.command === command);
    const [features, challenge, response] = [PConnectionFeatures, PAuthChallenge, PAuthResponse].map(({ command }) => body(command));
    if (!features || !challenge || !response) return null;
    return {
      nodeId: features.body.getUint32(PConnectionFeatures.offset.senderNodeId),
      challenge: new Uint8Array(challenge.body.buffer),
      response: new Uint8Array(response.body.buffer),
    };
  }).filter((end) => end !== null);
  expect(ends.length).toBe(2);
  const [a, b] = ends;
  const answer = (to: Uint8Array, nodeId: number) => Buffer.from(cramHmac(new SimCrypto(), 'sha256', 'the-wire-secret', to, nodeId));
  expect(answer(b.challenge, a.nodeId)).toEqual(Buffer.from(a.response));
  expect(answer(a.challenge, b.nodeId)).toEqual(Buffer.from(b.response));
});
