// SPDX-License-Identifier: GPL-2.0-or-later
import type { Checked } from './options.ts';
import { checked, defaults } from './options.ts';
import type { Request } from './request.ts';
import { payload, requiredPayload } from './request.ts';
import type { Infer, Nest } from './schema.ts';

/**
 * Parameters of a command over `base` (the defaults; false, 0 or '' where there is none), or genuine's refusal.
 * A nest that the command requires must be there.
 * @spec genetlink.md 2.1 (10)
 */
export const parms = <N extends Nest>(request: Request, nest: N, base: Infer<N> = defaults(nest)): Checked<Infer<N>> =>
  checked(() => {
    const given = request.op.use === 'required' ? requiredPayload(request, nest) : payload(request, nest);
    return { value: { ...base, ...given } };
  });
