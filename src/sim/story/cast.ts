// SPDX-License-Identifier: GPL-2.0-or-later
/** Who plays in a story: 'A(P) B C(d)'. P: Primary at the start; d: without a disk, on purpose; a node's id is its place. */
import { assert } from '../../assert.ts';

export interface Player {
  readonly name: string;
  readonly id: number;
  readonly primary: boolean;
  readonly diskless: boolean;
}

/** mirrored: ids in the opposite order, so that everything that ids decide is decided the other way. */
export function castOf(text: string, mirrored: boolean): readonly Player[] {
  const words = text.split(/\s+/);
  return words.map((word, i) => {
    const found = /^([A-Z])(?:\(([Pd,]+)\))?$/.exec(word);
    assert(found, 'a player is a letter and its marks');
    const marks = (found[2] ?? '').split(',');
    return { name: found[1]!, id: mirrored ? words.length - 1 - i : i, primary: marks.includes('P'), diskless: marks.includes('d') };
  });
}

/** 'A-B' both ways, 'A>B' one direction: the two names, and whether it is both ways. */
export function linkOf(text: string): readonly [from: string, to: string, both: boolean] {
  const found = /^([A-Z])([->])([A-Z])$/.exec(text);
  assert(found, 'a link is A-B or A>B');
  return [found[1]!, found[3]!, found[2] === '-'];
}
