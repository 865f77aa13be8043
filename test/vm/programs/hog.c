// SPDX-License-Identifier: GPL-2.0-or-later
// Keeps what is available between two bounds (MiB: arguments 1 and 2) by taking and giving back memory, and says "low"
// once it is. Its own pages stay where they are: it is to take memory, not to wait for it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, CHUNKS_MAX = 4096, LOOK_US = 20000 };

static long available_mib(void)
{
	char text[256], *found;
	FILE *file = fopen("/proc/meminfo", "re");
	size_t n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (file)
		fclose(file);
	text[n] = 0;
	found = strstr(text, "MemAvailable:");
	if (!found) {
		fputs("hog: no MemAvailable\n", stderr);
		exit(1);
	}
	return strtol(found + strlen("MemAvailable:"), NULL, 10) / 1024;
}

int main(int argc, char **argv)
{
	static void *held[CHUNKS_MAX];
	long least, most, now;
	int count = 0, said = 0;

	if (argc != 3 || mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
		return 2;
	least = atol(argv[1]);
	most = atol(argv[2]);
	for (;;) {
		now = available_mib();
		if (now > most && count < CHUNKS_MAX) {
			void *chunk = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

			if (chunk != MAP_FAILED)
				held[count++] = chunk;
		} else if (now < least && count) {
			munmap(held[--count], CHUNK);
		} else {
			if (!said)
				said = puts("low") >= 0 && fflush(stdout) == 0;
			usleep(LOOK_US);
		}
	}
}
