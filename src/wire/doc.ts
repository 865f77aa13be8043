// SPDX-License-Identifier: GPL-2.0-or-later
/** The tables of docs/reference/wire.md, printed from the schemas. */
import { FEATURE_NAMES, OFFERED_FEATURES } from './features.ts';
import { type AnyPacket, PACKETS } from './packets.ts';
import { ownOffer, Since } from './versions.ts';

const hex = (value: number, digits: number): string => `0x${value.toString(16).padStart(digits, '0')}`;
const row = (...cells: string[]): string => `| ${cells.join(' | ')} |`;
const table = (head: string[], rows: string[][]): string =>
  [row(...head), row(...head.map(() => '---')), ...rows.map((cells) => row(...cells))].join('\n');

const featureText = (bits: number): string =>
  FEATURE_NAMES.filter(([bit]) => (bits & bit) !== 0).map(([, name]) => name).join(', ');

function when({ versions: [min, max], feature, withoutFeature }: AnyPacket): string {
  const parts: string[] = [];
  if (max < 0xffff) parts.push(`${min}..${max}`);
  else if (min > 86) parts.push(`≥ ${min}`);
  if (feature !== 0) parts.push(featureText(feature));
  if (withoutFeature !== 0) parts.push(`not ${featureText(withoutFeature)}`);
  return parts.join('; ');
}

function bytes(packet: AnyPacket): string {
  if (packet.blockData) return `${packet.fixedBytes} + digest + data`;
  const agreed = { version: ownOffer.max, features: 0xffffffff };
  const [min, max] = [packet.minBytes(agreed), packet.maxBytes(agreed)];
  return min === max ? String(min) : `${min}..${max}`;
}

const layout = (packet: AnyPacket): string =>
  packet.layout.map(({ name, offset, kind }) => `${offset} ${kind === 'pad' ? 'pad' : `${name} ${kind}`}`).join(', ');

export const packetTable = (): string => table(
  ['number', 'name', 'stream', 'about', 'only with', 'bytes', 'fixed part'],
  [...PACKETS].sort((a, b) => a.command - b.command).map((packet) => [
    hex(packet.command, packet.command > 0xff ? 4 : 2), packet.name, packet.stream, packet.scope, when(packet), bytes(packet),
    layout(packet),
  ]));

export const featureTable = (): string => table(
  ['bit', 'name', 'offered'],
  FEATURE_NAMES.map(([bit, name]) => [String(bit), name, (OFFERED_FEATURES & bit) !== 0 ? 'yes' : '']));

export const versionTable = (): string => table(
  ['version', 'brings'],
  [...new Set(Object.values(Since))].sort((a, b) => a - b).map((version) => [
    String(version), Object.entries(Since).filter(([, since]) => since === version).map(([name]) => name).join(', '),
  ]));
