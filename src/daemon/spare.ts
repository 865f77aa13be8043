// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * The spare engine (native/launcher/spare.c): everything is loaded, nothing is opened. It is woken by a connection to
 * the socket that it has from the launcher, and ends when nobody has wanted it for a while or the module is gone.
 */
import { existsSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';

const lookMs = 30_000;
const looksMax = 20;

/** `place`: descriptor and path of the socket, "4:/run/…". */
export function whenWoken(place: string, run: () => void): void {
  const [, fd, path] = /^(\d+):(.+)$/.exec(place) ?? [];
  if (fd === undefined || path === undefined) throw new Error(`DRBDD_SPARE: not understood: ${place}`);
  let looks = 0;
  const look = setInterval(() => {
    if (++looks < looksMax && existsSync('/proc/drbd')) return;
    rmSync(path, { force: true });
    process.exit(0);
  }, lookMs);
  const server = createServer((socket) => {
    clearInterval(look);
    server.close();
    socket.on('error', () => {});
    process.title = '@drbdd';
    run();
    socket.end('\n');
  });
  server.listen({ fd: Number(fd) });
}
