// SPDX-License-Identifier: GPL-2.0-or-later
// A spare engine: a process that has loaded everything and waits on a socket in /run until an engine is needed, so that
// drbdsetup, which has 5 s, does not wait for a runtime of 120 MB to start. Who wakes it connects and gets one byte.
#define _GNU_SOURCE
#include "spare.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* One that dies ends the connection at once; one that has just been started may need its time. */
enum { WAKE_SECONDS = 30 };

/* The name tells which installation it is: a spare of an older one is never woken, and ends by itself. */
static int address_of(const char *script, struct sockaddr_un *address)
{
	struct stat s;

	if (stat(script, &s) < 0)
		return -1;
	address->sun_family = AF_UNIX;
	snprintf(address->sun_path, sizeof(address->sun_path), "/run/drbdd-spare.%lx.%lx.%lx", (unsigned long)s.st_ino,
		 (unsigned long)s.st_mtim.tv_sec, (unsigned long)s.st_mtim.tv_nsec);
	return 0;
}

int spare_wake(const char *script)
{
	struct timeval limit = { WAKE_SECONDS, 0 };
	struct sockaddr_un address;
	int fd, rc = -1;
	char byte;

	if (address_of(script, &address) < 0 || (fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		rc = recv(fd, &byte, 1, 0) == 1 ? 0 : -1;
	unlink(address.sun_path); /* Used up, or left by one that was killed. */
	close(fd);
	return rc;
}

int spare_become(const char *script)
{
	struct sockaddr_un address;
	char text[sizeof(address.sun_path) + 16];
	mode_t mask = umask(077);
	int fd;

	if (address_of(script, &address) < 0 || (fd = socket(AF_UNIX, SOCK_STREAM, 0)) < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
		return -1;
	umask(mask);
	snprintf(text, sizeof(text), "%d:%s", fd, address.sun_path);
	return setenv("DRBDD_SPARE", text, 1);
}
