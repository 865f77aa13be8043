// SPDX-License-Identifier: GPL-2.0-or-later
import fc from 'fast-check';
import { appendFileSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileJournal, parseRecords } from '../../../src/linux/journal.ts';

let folder: string;
beforeEach(() => { folder = join(mkdtempSync(join(tmpdir(), 'journal-')), 'run'); });
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const records = [Buffer.from('first'), Buffer.alloc(0), Buffer.alloc(5000, 7)];
const texts = (list: readonly Uint8Array[]) => list.map((record) => Buffer.from(record).toString('hex'));

describe('the journal', () => {
  it('gives the next engine what was appended, in order', () => {
    const journal = new FileJournal(folder, 'abc1');
    for (const record of records) journal.append(record);
    expect(texts(journal.read())).toEqual(texts(records));
    expect(texts(new FileJournal(folder, 'abc1').read())).toEqual(texts(records));
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  it('starts empty for another load of the module and drops the old one', () => {
    new FileJournal(folder, 'abc1').append(records[0]!);
    const next = new FileJournal(folder, 'abc2');
    expect(next.read()).toEqual([]);
    expect(readdirSync(folder)).toEqual(['journal-abc2']);
  });

  it('replaces everything at once, and goes on after it', () => {
    const journal = new FileJournal(folder, 'abc1');
    for (const record of records) journal.append(record);
    journal.rewrite([Buffer.from('compact')]);
    journal.append(Buffer.from('later'));
    expect(journal.read().map(String)).toEqual(journal.read().map(String));
    expect(texts(new FileJournal(folder, 'abc1').read())).toEqual(texts([Buffer.from('compact'), Buffer.from('later')]));
  });

  it('leaves out a torn last record, and what is appended then is whole', () => {
    const journal = new FileJournal(folder, 'abc1');
    journal.append(records[0]!);
    journal.append(records[2]!);
    const path = join(folder, 'journal-abc1');
    const whole = readFileSync(path);
    for (const cut of [1, 11, 12, 13, 4000]) {
      writeFileSync(path, whole.subarray(0, whole.length - cut));
      const next = new FileJournal(folder, 'abc1');
      expect(texts(next.read())).toEqual(texts([records[0]!]));
      next.append(Buffer.from('after'));
      expect(texts(new FileJournal(folder, 'abc1').read())).toEqual(texts([records[0]!, Buffer.from('after')]));
    }
  });

  it('takes no record with a changed byte, and no rubbish behind the last one', () => {
    const journal = new FileJournal(folder, 'abc1');
    journal.append(records[0]!);
    journal.append(records[2]!);
    const whole = readFileSync(join(folder, 'journal-abc1'));
    const firstBytes = 12 + records[0]!.length;
    fc.assert(fc.property(fc.nat({ max: whole.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const bytes = Buffer.from(whole);
      bytes[at]! ^= change;
      expect(parseRecords(bytes).records.length).toBe(at < firstBytes ? 0 : 1);
    }));
    appendFileSync(join(folder, 'journal-abc1'), Buffer.alloc(100));
    expect(texts(new FileJournal(folder, 'abc1').read())).toEqual(texts([records[0]!, records[2]!]));
  });
});
