// SPDX-License-Identifier: GPL-2.0-or-later
/** Meta-data images of genuine nodes (test/fixtures/md). */
import { readFileSync, readdirSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

const folder = new URL('../../fixtures/md/', import.meta.url);

export interface Image {
  readonly name: string;
  /** Capacity of the device in sectors. */
  readonly capacity: number;
  readonly metaDevIdx: number;
  readonly superBlockSector: number;
  readonly areaSector: number;
  readonly area: Uint8Array;
  readonly superBlock: Uint8Array;
  readonly json: Record<string, string | number>;
}

const idx: Record<string, number> = { internal: -3, flexible: -2 };

export function image(name: string): Image {
  const json = JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8')) as Record<string, string | number>;
  const area = new Uint8Array(gunzipSync(readFileSync(new URL(`${name}.md.gz`, folder))));
  const at = Number(json.superblock_offset) - Number(json.area_offset);
  return {
    name, json, area,
    capacity: Number(json.device_bytes) / 512,
    metaDevIdx: idx[String(json.kind)] ?? Number(json.kind),
    superBlockSector: Number(json.superblock_offset) / 512,
    areaSector: Number(json.area_offset) / 512,
    superBlock: area.subarray(at, at + 4096),
  };
}

export const imageNames = readdirSync(folder).filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -5));
export const names09 = imageNames.filter((name) => name.startsWith('v09'));
export const names08 = imageNames.filter((name) => name.startsWith('v08'));

/** Part of the area, by offset from the super block in sectors. */
export function part(img: Image, offsetSectors: number, bytes: number): Uint8Array {
  const at = (img.superBlockSector + offsetSectors - img.areaSector) * 512;
  return img.area.subarray(at, at + bytes);
}
