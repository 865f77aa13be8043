/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DRBDD_SPAWNER_H
#define DRBDD_SPAWNER_H

/* Serves requests from the stream socket `fd` until its other end is closed. Returns the exit code. */
int spawner_run(int fd);

#endif
