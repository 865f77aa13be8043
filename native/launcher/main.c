// SPDX-License-Identifier: GPL-2.0-or-later
// /usr/sbin/drbdd: makes this process what the write-back path needs, leaves a spawner behind, becomes the engine.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../kmod/uapi/drbd_shim.h"
#include "spawner.h"

#ifndef DRBDD_LIBDIR
#define DRBDD_LIBDIR "/usr/lib/drbdd"
#endif
#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

enum { FILES_MAX = 65536, ARGUMENTS_MAX = 64 };
#define CGROUP "/sys/fs/cgroup/drbdd"
#define MEMORY_MIN "268435456"

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -1 : 0;
}

/*
 * Started by the kernel there is no file open at all, and the first ones opened would become 0, 1 and 2. The last words of
 * the runtime and of the watchdog go to standard error: to the kernel log then, or nobody would know why an engine ended.
 */
static void open_standard_files(void)
{
	int fd = open("/dev/null", O_RDWR), log;

	while (fd >= 0 && fd < STDERR_FILENO)
		fd = dup(fd);
	if (fd > STDERR_FILENO)
		close(fd);
	if (fd != STDERR_FILENO || (log = open("/dev/kmsg", O_WRONLY)) < 0)
		return;
	dup2(log, STDERR_FILENO);
	close(log);
}

/* To `value`, or as far as we may. */
static void raise_limit(int resource, rlim_t value)
{
	struct rlimit limit = { value, value };

	if (setrlimit(resource, &limit) == 0 || getrlimit(resource, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(resource, &limit);
}

/* All best effort: as an ordinary user, for trials, none of it is permitted, and none of it is needed. */
static void prepare_engine(int own_cgroup)
{
	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	write_file("/proc/self/oom_score_adj", "-1000");
	raise_limit(RLIMIT_NOFILE, FILES_MAX);
	raise_limit(RLIMIT_MEMLOCK, RLIM_INFINITY);
	if (!own_cgroup || (mkdir(CGROUP, 0755) < 0 && errno != EEXIST))
		return;
	write_file(CGROUP "/memory.min", MEMORY_MIN);
	write_file(CGROUP "/memory.swap.max", "0");
	write_file(CGROUP "/cgroup.procs", "0");
}

/* Helpers must not have what the engine has, whoever gave it to us. */
static void prepare_spawner(void)
{
	prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0);
	prctl(PR_SET_NAME, "drbdd-spawner", 0, 0, 0);
	write_file("/proc/self/oom_score_adj", "0");
}

/* The spawner's process is started first; returns our end of its socket. */
static int start_spawner(void)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	pid = fork();
	if (pid < 0)
		return -1;
	if (pid == 0) {
		close(ends[0]);
		prepare_spawner();
		_exit(spawner_run(ends[1]));
	}
	close(ends[1]);
	fcntl(ends[0], F_SETFD, 0);
	return ends[0];
}

/* The number of a file that stays open, for the program that this process becomes. */
static void name_file(const char *variable, int fd)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", fd);
	setenv(variable, text, 1);
}

/* Before the engine's threads are there: whatever the shim gives to its opener is for all of them. */
static void open_control(void)
{
	int fd = open(DRBD_SHIM_PATH, O_RDWR | O_NONBLOCK);

	if (fd >= 0)
		name_file("DRBDD_CONTROL_FD", fd);
}

static int usage(void)
{
	fputs("usage: drbdd [--node PATH] [--script PATH] [--no-cgroup] [-- ENGINE-ARGUMENTS]\n"
	      "The DRBD engine; started by the module drbd when it is needed.\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	const char *node = DRBDD_LIBDIR "/node", *script = DRBDD_LIBDIR "/start.cjs";
	char *arguments[ARGUMENTS_MAX];
	int own_cgroup = 1, count = 0, fd, i;

	open_standard_files();
	for (i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if (!strcmp(argv[i], "--node") && i + 1 < argc)
			node = argv[++i];
		else if (!strcmp(argv[i], "--script") && i + 1 < argc)
			script = argv[++i];
		else if (!strcmp(argv[i], "--no-cgroup"))
			own_cgroup = 0;
		else
			return usage();
	}
	/* systemd leaves processes alone at shutdown whose name starts with '@'. */
	arguments[count++] = "@drbdd";
	arguments[count++] = "--disable-warning=ExperimentalWarning";
	/* V8 collects all of the heap after quiet seconds to give memory back: up to half a second of a CPU, for a megabyte.
	 * The Makefile names it as well: the code cache is one of these flags. */
	arguments[count++] = "--no-memory-reducer";
	arguments[count++] = (char *)script;
	for (i++; i < argc && count < ARGUMENTS_MAX - 1; i++)
		arguments[count++] = argv[i];
	arguments[count] = NULL;
	if (chdir("/") < 0 || (fd = start_spawner()) < 0) {
		perror("drbdd: spawner");
		return 1;
	}
	name_file("DRBDD_SPAWNER_FD", fd);
	if (!getenv("PATH"))
		setenv("PATH", "/sbin:/usr/sbin:/bin:/usr/bin", 1);
	prepare_engine(own_cgroup);
	open_control();
	execv(node, arguments);
	fprintf(stderr, "drbdd: %s: %s\n", node, strerror(errno));
	return 1;
}
