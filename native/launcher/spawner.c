// SPDX-License-Identifier: GPL-2.0-or-later
// Runs usermode helpers for the engine, which is too large to fork and has flags that a helper must not inherit.
//
// Request: u32 bytes (of all), u32 id, u32 argc, u32 envc, then argc + envc strings, each ending with NUL.
// Answers: u32 kind, u32 id, then for output (1) u32 bytes and the bytes, for the status (2) the i32 wait status,
// or -errno when the program could not be started. Little endian.
#define _GNU_SOURCE
#include "spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILDREN_MAX = 64, REQUEST_MAX = 65536, STRINGS_MAX = 256, OUTPUT_MAX = 4096 };
enum { KIND_OUTPUT = 1, KIND_STATUS = 2 };

struct child {
	pid_t pid; /* 0: free */
	uint32_t id;
	int pidfd;
	int output;
};

static struct child children[CHILDREN_MAX];

static int send_all(int fd, const void *data, size_t bytes)
{
	const char *at = data;

	while (bytes) {
		ssize_t n = send(fd, at, bytes, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		at += n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int receive_all(int fd, void *data, size_t bytes)
{
	char *at = data;

	while (bytes) {
		ssize_t n = recv(fd, at, bytes, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		at += n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int answer_status(int fd, uint32_t id, int32_t status)
{
	uint32_t frame[3] = { KIND_STATUS, id, (uint32_t)status };

	return send_all(fd, frame, sizeof(frame));
}

static struct child *free_child(void)
{
	for (int i = 0; i < CHILDREN_MAX; i++)
		if (!children[i].pid)
			return &children[i];
	return NULL;
}

/* Splits `bytes` of strings into argv and envp; 0, or an errno. */
static int split(char *text, size_t bytes, uint32_t argc, uint32_t envc, char **argv, char **envp)
{
	char *end = text + bytes;

	if (!argc || argc >= STRINGS_MAX || envc >= STRINGS_MAX)
		return E2BIG;
	for (uint32_t i = 0; i < argc + envc; i++) {
		char *stop = memchr(text, 0, (size_t)(end - text));
		if (!stop)
			return EINVAL;
		*(i < argc ? &argv[i] : &envp[i - argc]) = text;
		text = stop + 1;
	}
	argv[argc] = envp[envc] = NULL;
	return text == end ? 0 : EINVAL;
}

static int start(struct child *child, char **argv, char **envp)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t all, none;
	int out[2], rc;

	if (pipe2(out, O_CLOEXEC) < 0)
		return errno;
	/* Only our end: the helper writes as it is used to. */
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	sigfillset(&all);
	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	posix_spawn_file_actions_adddup2(&actions, out[1], 2);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	rc = posix_spawn(&child->pid, argv[0], &actions, &attributes, argv, envp);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	close(out[1]);
	if (rc) {
		child->pid = 0;
		close(out[0]);
		return rc;
	}
	child->output = out[0];
	child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
	return 0;
}

/* One request; -1 when the engine is gone or speaks nonsense. */
static int serve(int fd)
{
	static char text[REQUEST_MAX];
	static char *argv[STRINGS_MAX], *envp[STRINGS_MAX];
	uint32_t head[4];
	struct child *child;
	int error;

	if (receive_all(fd, head, sizeof(head)) || head[0] < sizeof(head) || head[0] > REQUEST_MAX)
		return -1;
	if (receive_all(fd, text, head[0] - sizeof(head)))
		return -1;
	child = free_child();
	error = child ? split(text, head[0] - sizeof(head), head[2], head[3], argv, envp) : EAGAIN;
	if (!error)
		error = start(child, argv, envp);
	if (error)
		return answer_status(fd, head[1], -error);
	child->id = head[1];
	return 0;
}

/* Passes on what the child has printed; 0 when there is nothing more now, -1 when the engine is gone. */
static int pass_output(int fd, struct child *child)
{
	char text[OUTPUT_MAX];
	ssize_t n;

	while (child->output >= 0 && (n = read(child->output, text, sizeof(text))) != 0) {
		uint32_t frame[3] = { KIND_OUTPUT, child->id, (uint32_t)n };

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return 0;
		if (send_all(fd, frame, sizeof(frame)) || send_all(fd, text, (size_t)n))
			return -1;
	}
	if (child->output >= 0)
		close(child->output);
	child->output = -1;
	return 0;
}

/* The child has ended; one that left a grandchild with the pipe is not waited for. */
static int finish(int fd, struct child *child)
{
	int status = 0;

	if (waitpid(child->pid, &status, WNOHANG) != child->pid)
		return 0;
	if (pass_output(fd, child))
		return -1;
	if (child->output >= 0)
		close(child->output);
	if (child->pidfd >= 0)
		close(child->pidfd);
	child->pid = 0;
	return answer_status(fd, child->id, status);
}

int spawner_run(int fd)
{
	struct pollfd polled[1 + 2 * CHILDREN_MAX];

	for (;;) {
		struct child *of[1 + 2 * CHILDREN_MAX] = { NULL };
		nfds_t count = 0;
		int lacks_pidfd = 0;

		polled[count++] = (struct pollfd){ fd, POLLIN, 0 };
		for (int i = 0; i < CHILDREN_MAX; i++) {
			struct child *child = &children[i];

			if (!child->pid)
				continue;
			lacks_pidfd |= child->pidfd < 0;
			of[count] = child;
			polled[count++] = (struct pollfd){ child->pidfd, POLLIN, 0 };
			of[count] = child;
			polled[count++] = (struct pollfd){ child->output, POLLIN, 0 };
		}
		if (poll(polled, count, lacks_pidfd ? 100 : -1) < 0 && errno != EINTR)
			return 1;
		for (nfds_t i = 1; i < count; i += 2) {
			if (pass_output(fd, of[i]) || finish(fd, of[i]))
				return 0;
		}
		if (polled[0].revents && serve(fd))
			return 0;
	}
}
