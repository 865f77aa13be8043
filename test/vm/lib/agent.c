// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * First process of a test guest once its root is set up: runs commands for the host over a virtio-serial port and
 * passes on the kernel log. Linked statically, so it works while every page of the root is being fought over.
 *
 * Frame, both ways: u32 payload bytes, u32 job id, u8 type, 3 bytes zero, payload. Little endian.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXEC = 1, STDIN = 2, CLOSE_STDIN = 3, SIGNAL = 4, HELLO = 16, OUT = 17, ERR = 18, EXIT = 19, KMSG = 20, REFUSED = 21 };
enum { JOBS = 128, ARGS = 256, FRAME_MAX = 1 << 20, CHUNK = 64 << 10 };

struct header { uint32_t length, id; uint8_t type, zero[3]; };
struct job { uint32_t id; pid_t pid; int in, out, err; char *pending; size_t pending_size; int close_in; };

static struct job jobs[JOBS];
static int port, kmsg, signals;
static char buffer[CHUNK];
static char payload[FRAME_MAX + 1];

static void die(const char *what)
{
	fprintf(stderr, "agent: %s: %m\n", what);
	_exit(1);
}

static void write_all(const void *data, size_t size)
{
	for (const char *p = data; size;) {
		ssize_t n = write(port, p, size);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			die("write to the host");
		p += n, size -= n;
	}
}

static void read_all(void *data, size_t size)
{
	for (char *p = data; size;) {
		ssize_t n = read(port, p, size);
		if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
			struct pollfd wait = { .fd = port, .events = POLLIN };
			poll(&wait, 1, -1);
			continue;
		}
		if (n <= 0)
			die("read from the host");
		p += n, size -= n;
	}
}

static void send_frame(uint8_t type, uint32_t id, const void *data, uint32_t length)
{
	struct header h = { .length = length, .id = id, .type = type };
	write_all(&h, sizeof h);
	write_all(data, length);
}

static struct job *job_by_id(uint32_t id)
{
	for (int i = 0; i < JOBS; i++)
		if (jobs[i].pid && jobs[i].id == id)
			return &jobs[i];
	return NULL;
}

static void forward(int *fd, uint8_t type, uint32_t id)
{
	ssize_t n = read(*fd, buffer, sizeof buffer);
	if (n > 0)
		send_frame(type, id, buffer, n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		close(*fd), *fd = -1;
}

static void run_child(char **argv, int in, int out, int err)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	dup2(in, 0), dup2(out, 1), dup2(err, 2);
	int f = open("/proc/self/oom_score_adj", O_WRONLY);
	if (f >= 0 && write(f, "0", 1) == 1)
		close(f);
	execvp(argv[0], argv);
	fprintf(stderr, "%s: %m\n", argv[0]);
	_exit(127);
}

static void set_nonblock(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void start(uint32_t id, const char *data, size_t size)
{
	char *argv[ARGS];
	int argc = 0, want_stdin = size > 0 && data[0], p[3][2];
	struct job *j = NULL;

	for (size_t at = 1; at < size && argc < ARGS - 1; at += strlen(data + at) + 1)
		argv[argc++] = (char *)data + at;
	argv[argc] = NULL;
	for (int i = 0; i < JOBS && !j; i++)
		if (!jobs[i].pid)
			j = &jobs[i];
	if (!j || !argc) {
		send_frame(REFUSED, id, "no room for another job, or no command", 38);
		return;
	}
	for (int i = 0; i < 3; i++)
		if (pipe2(p[i], O_CLOEXEC))
			die("pipe");
	pid_t pid = fork();
	if (pid < 0) {
		for (int i = 0; i < 3; i++)
			close(p[i][0]), close(p[i][1]);
		send_frame(REFUSED, id, strerror(errno), strlen(strerror(errno)));
		return;
	}
	if (!pid)
		run_child(argv, p[0][0], p[1][1], p[2][1]);
	close(p[0][0]), close(p[1][1]), close(p[2][1]);
	*j = (struct job){ .id = id, .pid = pid, .in = p[0][1], .out = p[1][0], .err = p[2][0] };
	set_nonblock(j->in), set_nonblock(j->out), set_nonblock(j->err);
	if (!want_stdin)
		close(j->in), j->in = -1;
}

static void flush_stdin(struct job *j)
{
	while (j->in >= 0 && j->pending_size) {
		ssize_t n = write(j->in, j->pending, j->pending_size);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			j->close_in = 1, j->pending_size = 0;
			break;
		}
		memmove(j->pending, j->pending + n, j->pending_size -= n);
	}
	if (j->in >= 0 && j->close_in)
		close(j->in), j->in = -1;
}

static void take_frame(void)
{
	struct header h;
	read_all(&h, sizeof h);
	if (h.length > FRAME_MAX)
		die("frame too long");
	read_all(payload, h.length);
	payload[h.length] = 0;
	if (h.type == EXEC) {
		start(h.id, payload, h.length);
		return;
	}
	struct job *j = job_by_id(h.id);
	if (!j)
		return;
	if (h.type == SIGNAL && h.length == 1)
		kill(-j->pid, payload[0]);
	if (h.type == CLOSE_STDIN)
		j->close_in = 1;
	if (h.type == STDIN) {
		j->pending = realloc(j->pending, j->pending_size + h.length);
		if (!j->pending)
			die("stdin buffer");
		memcpy(j->pending + j->pending_size, payload, h.length);
		j->pending_size += h.length;
	}
	flush_stdin(j);
}

/* Background processes may hold the pipes open for ever: what is there at the job's end is passed on, no more. */
static void finish(struct job *j, int status)
{
	int32_t code = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
	for (int pass = 0; pass < 2; pass++) {
		int *fd = pass ? &j->err : &j->out;
		struct pollfd p = { .fd = *fd, .events = POLLIN };
		while (*fd >= 0 && poll(&p, 1, 0) > 0)
			forward(fd, pass ? ERR : OUT, j->id);
		if (*fd >= 0)
			close(*fd);
	}
	if (j->in >= 0)
		close(j->in);
	free(j->pending);
	send_frame(EXIT, j->id, &code, sizeof code);
	memset(j, 0, sizeof *j);
}

static void reap(void)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(signals, &info, sizeof info) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < JOBS; i++)
			if (jobs[i].pid == pid)
				finish(&jobs[i], status);
}

static void forward_kmsg(void)
{
	ssize_t n;
	while ((n = read(kmsg, buffer, sizeof buffer)) > 0 || (n < 0 && errno == EPIPE)) {
		if (n < 0)
			send_frame(KMSG, 0, "4,0,0,-;agent: kernel log records were lost\n", 44);
		else
			send_frame(KMSG, 0, buffer, n);
	}
}

static void turn(void)
{
	struct pollfd fds[3 + 3 * JOBS];
	nfds_t count = 3;

	fds[0] = (struct pollfd){ .fd = port, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = signals, .events = POLLIN };
	fds[2] = (struct pollfd){ .fd = kmsg, .events = POLLIN };
	for (int i = 0; i < JOBS; i++) {
		struct job *j = &jobs[i];
		fds[count++] = (struct pollfd){ .fd = j->pid ? j->out : -1, .events = POLLIN };
		fds[count++] = (struct pollfd){ .fd = j->pid ? j->err : -1, .events = POLLIN };
		fds[count++] = (struct pollfd){ .fd = j->pid && j->pending_size ? j->in : -1, .events = POLLOUT };
	}
	if (poll(fds, count, -1) < 0 && errno != EINTR)
		die("poll");
	if (fds[2].revents)
		forward_kmsg();
	for (int i = 0; i < JOBS; i++) {
		struct pollfd *f = &fds[3 + 3 * i];
		if (f[0].revents)
			forward(&jobs[i].out, OUT, jobs[i].id);
		if (f[1].revents)
			forward(&jobs[i].err, ERR, jobs[i].id);
		if (f[2].revents)
			flush_stdin(&jobs[i]);
	}
	if (fds[1].revents)
		reap();
	if (fds[0].revents & POLLIN)
		take_frame();
	else if (fds[0].revents & (POLLHUP | POLLERR))
		die("the host is gone");
}

int main(int argc, char **argv)
{
	sigset_t set;

	(void)argc;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	port = open(argv[1], O_RDWR | O_CLOEXEC);
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (port < 0 || kmsg < 0 || signals < 0)
		die("open");
	mlockall(MCL_CURRENT | MCL_FUTURE);
	send_frame(HELLO, 0, "drbdd-agent 1", 13);
	for (;;)
		turn();
}
