// SPDX-License-Identifier: GPL-2.0-or-later
/** Online verify: its start and its end. @spec uuid.md 7.9, 8 */
import { LogLevel } from '../host/log.ts';
import type { Change } from '../state/events.ts';
import { Cs, Repl } from '../state/states.ts';
import type { PeerDevice } from './peer-device.ts';

/** In the worker: every block has its result, or the stop sector is reached. True: `next` will be called. */
export function endVerify(pd: PeerDevice, next: () => void): boolean {
  const { device, connection } = pd;
  const { resource, vnr } = device;
  const { nodeId } = connection;
  report(pd);
  const changes: Change[] = [
    { set: 'resyncActive', vnr, nodeId, value: false },
    { set: 'repl', vnr, nodeId, repl: Repl.established },
  ];
  const { rc } = resource.dispatch({ kind: 'change', request: 0, tag: 'resync-finished', flags: Cs.verbose, changes });
  if (rc < 1) return false;
  pd.io.progress.clear();
  device.disk?.meta.sync({ done: () => {} });
  if (pd.io.bitsOutOfSync === 0) return false;
  resource.engine.helpers.run(resource, 'out-of-sync', { device, connection }, next);
  return true;
}

function report(pd: PeerDevice): void {
  const { verify, progress, bitsOutOfSync } = pd.io;
  verify.endRuns();
  const nowMs = pd.device.resource.engine.host.clock.nowMs();
  const seconds = Math.max(1, Math.floor((nowMs - progress.startMs - progress.pausedMs) / 1000));
  const rate = Math.floor((progress.total - verify.left) * 4 / seconds);
  const skipped = verify.skipped > 0 ? ` but ${verify.skipped} 4k blocks skipped` : '';
  pd.log.info(`Online verify done${skipped} (total ${seconds} sec; paused ${Math.floor(progress.pausedMs / 1000)} sec; ${rate} K/sec)`);
  if (bitsOutOfSync > 0) pd.log.line(LogLevel.alert, `Online verify found ${bitsOutOfSync} 4k blocks out of sync!`);
}
