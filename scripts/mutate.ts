// SPDX-License-Identifier: GPL-2.0-or-later
/** node --import ./scripts/mutate.ts with MUTATION=name: that edit is made while its file is loaded. src/sim/mutations.ts */
import { registerHooks } from 'node:module';
import { mutations } from '../src/sim/mutations.ts';

const name = process.env.MUTATION ?? '';
const chosen = mutations.find((each) => each.name === name);
if (name !== '' && !chosen) throw new Error(`no such mutation: ${name}`);

if (chosen) {
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (!url.endsWith(`/${chosen.file}`) || !loaded.source) return loaded;
      const text = typeof loaded.source === 'string' ? loaded.source : new TextDecoder().decode(loaded.source);
      const parts = text.split(chosen.from);
      if (parts.length !== 2) throw new Error(`${chosen.name}: its text stands ${parts.length - 1} times in ${chosen.file}`);
      return { ...loaded, source: parts.join(chosen.to) };
    },
  });
}
