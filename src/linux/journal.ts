// SPDX-License-Identifier: GPL-2.0-or-later
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, writeSync } from 'node:fs';
import { assert } from '../assert.ts';
import type { Journal } from '../host/journal.ts';
import { native } from './native.ts';

const magic = 0x6a626472;
const headerBytes = 12;
/** A record is an admin request or smaller facts; a file beyond this is not one of ours. */
const recordBytesMax = 1 << 20;

/**
 * A file of records, each with its length and CRC-32C, named after the load of the module it belongs to: records of an
 * earlier load are void and removed. It lies in memory (tmpfs), so written is there.
 */
export class FileJournal implements Journal {
  private readonly path: string;
  private readonly folder: string;
  private fd: number;

  /** `instance`: the shim's random number of this load, in hex. */
  constructor(folder: string, instance: string) {
    assert(/^[0-9a-f]+$/.test(instance), 'an instance is a hex number');
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.folder = folder;
    const name = `journal-${instance}`;
    for (const other of readdirSync(folder)) {
      if (other.startsWith('journal-') && other !== name) rmSync(`${folder}/${other}`);
    }
    this.path = `${folder}/${name}`;
    this.fd = openSync(this.path, 'a+', 0o600);
    this.cutTornTail();
  }

  read(): readonly Uint8Array[] { return parseRecords(readFileSync(this.path)).records; }

  append(record: Uint8Array): void { writeAll(this.fd, frame(record)); }

  rewrite(records: readonly Uint8Array[]): void {
    const next = `${this.path}.new`;
    const fd = openSync(next, 'w', 0o600);
    writeAll(fd, Buffer.concat(records.map(frame)));
    renameSync(next, this.path);
    closeSync(fd);
    closeSync(this.fd);
    this.fd = openSync(this.path, 'a', 0o600);
  }

  /** Bytes it has now: when to compact. */
  sizeBytes(): number { return fstatSync(this.fd).size; }

  /** The configuration is gone: so are its records. */
  remove(): void {
    closeSync(this.fd);
    rmSync(this.path, { force: true });
  }

  get folderPath(): string { return this.folder; }

  /** The next record must not stand behind half a one. */
  private cutTornTail(): void {
    const { end } = parseRecords(readFileSync(this.path));
    if (end < this.sizeBytes()) ftruncateSync(this.fd, end);
  }
}

function frame(record: Uint8Array): Uint8Array {
  assert(record.length <= recordBytesMax, 'a journal record is small');
  const out = new Uint8Array(headerBytes + record.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, magic, true);
  view.setUint32(4, record.length, true);
  out.set(record, headerBytes);
  view.setUint32(8, checksum(out, record.length), true);
  return out;
}

/** Over the length and the record, so that a length of zeroes is no record. */
function checksum(bytes: Uint8Array, length: number): number {
  const seed = (0xffffffff ^ length) >>> 0;
  return native.crc32c(seed, bytes, headerBytes, headerBytes + length);
}

/** All whole records from the start, and where they end. */
export function parseRecords(bytes: Uint8Array): { readonly records: Uint8Array[]; readonly end: number } {
  const records: Uint8Array[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (at + headerBytes <= bytes.length && view.getUint32(at, true) === magic) {
    const length = view.getUint32(at + 4, true);
    if (length > recordBytesMax || at + headerBytes + length > bytes.length) break;
    if (view.getUint32(at + 8, true) !== checksum(bytes.subarray(at), length)) break;
    records.push(bytes.slice(at + headerBytes, at + headerBytes + length));
    at += headerBytes + length;
  }
  return { records, end: at };
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done);
}
