// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An engine without DRBD in it, to test the shim: one resource "r0" that exists while the pin is set, devices that pass
 * everything to one disk by LOWER. Options are words in /run/shim-test/conf:
 *   disk=/dev/vda   the backing device of every minor
 *   bypass          reads bypass the engine
 *   erofs           opens for writing are refused
 *   mute            opens are never answered
 *   die=N           kill -9 itself after N bios
 *   crash           kill -9 itself at a request
 *   slow=N          milliseconds of sleep a turn
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "drbd_shim.h"

#define BIO_BYTES	(8u << 20)
#define ENGINE_BYTES	(1u << 20)
#define MAX_MINORS	8

enum { GET_RESOURCES = 30, GET_INITIAL_STATE = 38, NEW_MINOR = 5, DEL_MINOR = 6, NEW_RESOURCE = 7, DOWN = 27, PRIMARY = 14,
	NEW_PEER = 44, DEL_PEER = 46 };

struct drbd_header { __u32 minor; __s32 ret_code; };

struct bio { __u8 op; __u16 flags; __u64 sector; __u32 bytes; __s64 offset; bool lower; };

struct device { bool used; struct drbd_shim_device d; struct bio bios[256]; bool wait_quiet; };

static int control;
static struct drbd_shim_rings *rings;
static struct drbd_shim_event *events;
static struct drbd_shim_op *ops;
static __u32 event_head, op_tail, family;
static struct device devices[MAX_MINORS];
static char conf[512];
static bool pinned, leave;
static long bios_seen, die_after, slow;

static void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	say("FAILED: %s: %s", what, strerror(errno));
	exit(1);
}

static const char *option(const char *name)
{
	static char value[128];
	size_t len = strlen(name);

	for (char *p = conf; (p = strstr(p, name)); p += len) {
		if ((p != conf && p[-1] != ' ') || !strchr("= \n", p[len]))
			continue;
		if (p[len] != '=')
			return "";
		sscanf(p + len + 1, "%127s", value);
		return value;
	}
	return NULL;
}

static void call(unsigned long cmd, void *arg, const char *what)
{
	need(!ioctl(control, cmd, arg), what);
}

/* ---- ops ---- */

static void doorbell(void)
{
	char bell[8] = { 0 };

	do {
		atomic_thread_fence(memory_order_release);
		atomic_store_explicit((_Atomic __u32 *)&rings->op_tail, op_tail, memory_order_release);
		need(write(control, bell, sizeof(bell)) == sizeof(bell), "doorbell");
		if (rings->refused) {
			say("FAILED: op %u refused: %s", rings->refused_index, strerror(rings->refused_errno));
			exit(1);
		}
	} while (rings->op_head != op_tail);
}

static void op(struct drbd_shim_op o)
{
	if (op_tail - atomic_load((_Atomic __u32 *)&rings->op_head) == DRBD_SHIM_OPS)
		doorbell();
	ops[op_tail++ & (DRBD_SHIM_OPS - 1)] = o;
}

static void complete(struct device *dev, int tag, int error)
{
	struct bio *bio = &dev->bios[tag];

	op((struct drbd_shim_op) { .type = DRBD_SHIM_OP_COMPLETE, .device = dev->d.device, .tag = tag, .error = error,
		.offset = bio->offset });
}

static void lower(struct device *dev, int tag)
{
	struct bio *bio = &dev->bios[tag];

	bio->lower = true;
	op((struct drbd_shim_op) { .type = DRBD_SHIM_OP_LOWER, .device = dev->d.device, .role = DRBD_SHIM_DATA, .tag = tag,
		.cookie = tag, .op = bio->op, .flags = bio->flags & ~DRBD_SHIM_BYPASS_FAILED,
		.sector = bio->sector, .bytes = bio->bytes, .offset = bio->offset < 0 ? 0 : bio->offset });
}

static void policy(struct device *dev, bool bypass)
{
	op((struct drbd_shim_op) { .type = DRBD_SHIM_OP_POLICY, .device = dev->d.device,
		.flags = bypass && option("bypass") ? DRBD_SHIM_READ_BYPASS : 0 });
}

/* ---- devices ---- */

static void map_arena(struct device *dev)
{
	void *at = mmap(NULL, dev->d.bio_bytes + dev->d.engine_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, control,
			dev->d.mmap_offset);

	need(at != MAP_FAILED, "mmap of an arena");
	munmap(at, dev->d.bio_bytes + dev->d.engine_bytes);
}

static int device_create(__u32 minor)
{
	struct drbd_shim_device d = { .minor = minor, .max_tags = 256, .bio_bytes = BIO_BYTES, .engine_bytes = ENGINE_BYTES };
	struct drbd_shim_backing b = { .role = DRBD_SHIM_DATA };
	struct drbd_shim_limits l = { .logical_bytes = 512, .physical_bytes = 512, .max_io_bytes = DRBD_SHIM_MAX_IO,
		.flags = DRBD_SHIM_LIMIT_WRITE_CACHE, .discard_granularity = 512, .max_discard_sectors = 8192,
		.max_write_zeroes_sectors = 8192 };
	struct drbd_shim_state_arena s = { .kind = 1, .bytes = 8192 };
	struct drbd_shim_capacity c;

	if (ioctl(control, DRBD_SHIM_DEVICE_CREATE, &d))
		return errno;
	need(d.device < MAX_MINORS, "id");
	devices[d.device] = (struct device) { .used = true, .d = d };
	map_arena(&devices[d.device]);
	b.device = l.device = s.device = d.device;
	b.fd = open(option("disk"), O_RDWR | O_CLOEXEC);
	need(b.fd >= 0, "open of the disk");
	call(DRBD_SHIM_BACKING_CLAIM, &b, "claim");
	close(b.fd);
	call(DRBD_SHIM_SET_LIMITS, &l, "limits");
	c = (struct drbd_shim_capacity) { .device = d.device, .sectors = b.sectors };
	call(DRBD_SHIM_SET_CAPACITY, &c, "capacity");
	call(DRBD_SHIM_STATE_ARENA, &s, "state arena");
	need(s.fresh, "fresh state arena");
	say("minor %u on %s, %llu sectors", minor, b.name, b.sectors);
	policy(&devices[d.device], true);
	return 0;
}

static void device_destroy(struct device *dev)
{
	struct drbd_shim_backing b = { .device = dev->d.device, .role = DRBD_SHIM_DATA };
	struct drbd_shim_device_id id = { .device = dev->d.device };

	policy(dev, false);
	doorbell();
	while (ioctl(control, DRBD_SHIM_BACKING_RELEASE, &b)) {
		need(errno == EBUSY, "release");
		usleep(1000);
	}
	call(DRBD_SHIM_DEVICE_DESTROY, &id, "destroy");
	dev->used = false;
}

static void start(struct device *dev)
{
	struct drbd_shim_device_id id = { .device = dev->d.device };

	dev->wait_quiet = false;
	call(DRBD_SHIM_DEVICE_START, &id, "start");
	policy(dev, true);
}

static void adopt(void)
{
	struct drbd_shim_device_info info = { 0 };
	struct drbd_shim_state_arena s = { .kind = 1, .bytes = 8192 };

	for (; !ioctl(control, DRBD_SHIM_DEVICE_INFO, &info); info.device++) {
		struct device *dev = &devices[info.device];

		*dev = (struct device) { .used = true, .d = { .device = info.device, .engine_bytes = ENGINE_BYTES } };
		call(DRBD_SHIM_DEVICE_ADOPT, &dev->d, "adopt");
		map_arena(dev);
		s.device = info.device;
		call(DRBD_SHIM_STATE_ARENA, &s, "state arena");
		need(!s.fresh, "old state arena");
		say("adopt minor %u: %u held, %u waiting, %u late", info.minor, info.tags_used, info.waiting, info.late[0]);
		dev->wait_quiet = info.late[0];
		if (!dev->wait_quiet)
			start(dev);
	}
	need(errno == ENOENT, "device info");
}

/* ---- requests ---- */

static const char resource_r0[] =
	"0c00020007000240723000007c0004800500010000000000080002000000000005000300000000000800040001000000080005000010000008"
	"0006002c01000008000700010000000800080064000000080009001400000008000a00401f000008000b000000000008000c00010000000800"
	"0d000000000008000e000000000005000f000000000034000f8008000100020000000500020000000000050003000000000005000400000000"
	"00050005000000000005000600000000000c0013800800010002000000";

static size_t message(char *to, const struct drbd_shim_request *r, int cmd, int flags, __u32 minor, int code, const char *hex)
{
	struct nlmsghdr *nlh = (void *)to;
	struct genlmsghdr *genl = (void *)(nlh + 1);
	struct drbd_header *h = (void *)(genl + 1);
	char *at = (char *)(h + 1);

	for (; *hex; hex += 2)
		sscanf(hex, "%2hhx", at++);
	*nlh = (struct nlmsghdr) { .nlmsg_len = at - to, .nlmsg_type = family, .nlmsg_flags = flags, .nlmsg_seq = r ? r->seq : 0,
		.nlmsg_pid = r ? r->port : 0 };
	*genl = (struct genlmsghdr) { .cmd = cmd, .version = 2 };
	*h = (struct drbd_header) { .minor = minor, .ret_code = code };
	return at - to;
}

static void reply(const struct drbd_shim_request *r, int cmd, __u32 minor, int code, int flags)
{
	char data[256];
	struct drbd_shim_reply a = { .id = r->id, .data = (__u64)data, .flags = flags };

	a.bytes = message(data, r, cmd, 0, minor, code, "");
	if (ioctl(control, DRBD_SHIM_REPLY, &a))
		say("reply to %llu: %s", r->id, strerror(errno));
}

static void dump(const struct drbd_shim_request *r, int cmd)
{
	char data[1024];
	struct drbd_shim_reply a = { .id = r->id, .data = (__u64)data };

	if (cmd == GET_RESOURCES && pinned)
		a.bytes = message(data, r, cmd, NLM_F_MULTI, -1, 101, resource_r0);
	if (cmd == GET_INITIAL_STATE)
		a.bytes = message(data, r, 41, 0, -1, 101, "0c0017800800010000000000");
	if (!a.bytes) {
		*(struct nlmsghdr *)data = (struct nlmsghdr) { .nlmsg_len = a.bytes = NLMSG_LENGTH(sizeof(int)),
			.nlmsg_type = NLMSG_DONE, .nlmsg_flags = NLM_F_MULTI, .nlmsg_seq = r->seq, .nlmsg_pid = r->port };
		*(int *)NLMSG_DATA((struct nlmsghdr *)data) = 0;
		need(!ioctl(control, DRBD_SHIM_REPLY, &a), "end of a dump");
	} else if (ioctl(control, DRBD_SHIM_DUMP, &a))
		say("dump to %llu: %s", r->id, strerror(errno));
}

static void event(const char *what)
{
	char data[256];
	struct drbd_shim_multicast m = { .data = (__u64)data };

	/* RESOURCE_STATE of r0: context, CREATE or DESTROY */
	m.bytes = message(data, NULL, 34, 0, -1, 101, what);
	call(DRBD_SHIM_MULTICAST, &m, "multicast");
}

static void pin(bool on)
{
	struct drbd_shim_switch s = { .on = on };

	call(DRBD_SHIM_PIN, &s, "pin");
	pinned = on;
}

static void down(const struct drbd_shim_request *r, __u32 minor)
{
	struct drbd_shim_switch s = { .on = 1 };

	for (int i = 0; i < MAX_MINORS; i++)
		if (devices[i].used)
			device_destroy(&devices[i]);
	event("0c00020007000240723000000c0017800800010003000000");
	pin(false);
	reply(r, DOWN, minor, 101, DRBD_SHIM_REPLY_AT_CLOSE);
	call(DRBD_SHIM_LEAVING, &s, "leaving");
	leave = true;
}

static int transport(bool up)
{
	struct drbd_shim_transport t = { .name = "tcp", .up = up };

	return ioctl(control, DRBD_SHIM_TRANSPORT, &t);
}

static void request(void)
{
	static char buffer[sizeof(struct drbd_shim_request) + DRBD_SHIM_MAX_MESSAGE];
	struct drbd_shim_request *r = (void *)buffer;
	struct nlmsghdr *nlh = (void *)(r + 1);
	struct genlmsghdr *genl = (void *)(nlh + 1);
	struct drbd_header *h = (void *)(genl + 1);
	ssize_t n = read(control, buffer, sizeof(buffer));
	int rc;

	if (n < 0) {
		need(errno == EAGAIN, "read");
		return;
	}
	need(n == (ssize_t)(sizeof(*r) + r->bytes) && nlh->nlmsg_len == r->bytes, "request");
	say("request %llu: cmd %u, seq %u, tgid %u, flags %u, deaths %u", r->id, genl->cmd, r->seq, r->tgid, r->flags, r->deaths);
	if (option("crash"))
		kill(getpid(), SIGKILL);
	if (r->flags & DRBD_SHIM_REQ_DUMP) {
		dump(r, genl->cmd);
		return;
	}
	switch (genl->cmd) {
	case NEW_RESOURCE:
		pin(true);
		event("0c00020007000240723000000c0017800800010001000000");
		reply(r, genl->cmd, h->minor, 101, 0);
		break;
	case NEW_MINOR:
		rc = device_create(h->minor);
		reply(r, genl->cmd, h->minor, rc ? 162 : 101, 0);
		break;
	case DOWN:
		down(r, h->minor);
		break;
	case NEW_PEER:
	case DEL_PEER:
		rc = transport(genl->cmd == NEW_PEER);
		reply(r, genl->cmd, h->minor, rc ? 162 : 101, 0);
		break;
	case PRIMARY:	/* one that waits: answered never */
		say("request %llu waits", r->id);
		break;
	default:
		reply(r, genl->cmd, h->minor, 162, 0);
	}
}

/* ---- events ---- */

static void bio(struct device *dev, const struct drbd_shim_event *e)
{
	struct bio *bio = &dev->bios[e->tag];

	*bio = (struct bio) { .op = e->op, .flags = e->flags, .sector = e->sector, .bytes = e->bytes, .offset = e->offset };
	if (e->flags & DRBD_SHIM_BYPASS_FAILED)
		say("bypass failed: sector %llu", e->sector);
	need(e->local != DRBD_SHIM_LOCAL_FLYING, "no late LOWER after quiet");
	if (e->local == DRBD_SHIM_LOCAL_DONE && e->op != DRBD_SHIM_READ)
		complete(dev, e->tag, 0);
	else if (e->local == DRBD_SHIM_LOCAL_FAILED)
		complete(dev, e->tag, EIO);
	else
		lower(dev, e->tag);
	if (++bios_seen == die_after) {
		doorbell();
		kill(getpid(), SIGKILL);
	}
}

static void lower_done(struct device *dev, const struct drbd_shim_event *e)
{
	struct bio *bio = &dev->bios[e->tag];

	need(bio->lower, "LOWER_DONE of a LOWER");
	bio->lower = false;
	complete(dev, e->tag, e->error);
}

static void open_device(struct device *dev, const struct drbd_shim_event *e)
{
	say("open %llu by %s (%u), flags %u", e->id, e->comm, e->bytes, e->flags);
	if (!option("mute"))
		op((struct drbd_shim_op) { .type = DRBD_SHIM_OP_OPEN_ANSWER, .device = dev->d.device, .tag = e->id,
			.error = e->flags & DRBD_SHIM_OPEN_WRITE && option("erofs") ? EROFS : 0 });
}

static void take(const struct drbd_shim_event *e)
{
	struct device *dev = &devices[e->device];

	switch (e->type) {
	case DRBD_SHIM_EV_BIO:
		bio(dev, e);
		break;
	case DRBD_SHIM_EV_LOWER_DONE:
		lower_done(dev, e);
		break;
	case DRBD_SHIM_EV_OPEN:
		open_device(dev, e);
		break;
	case DRBD_SHIM_EV_OPEN_COUNT:
		say("opens %d, writers %u", e->tag, e->flags);
		break;
	case DRBD_SHIM_EV_LAST_CLOSE:
		say("last close");
		op((struct drbd_shim_op) { .type = DRBD_SHIM_OP_DRAINED, .device = dev->d.device });
		break;
	case DRBD_SHIM_EV_BACKING_QUIET:
		say("quiet");
		if (dev->wait_quiet)
			start(dev);
		break;
	case DRBD_SHIM_EV_OPEN_GONE:
		say("open %llu gone", e->id);
		break;
	case DRBD_SHIM_EV_REQUEST_GONE:
		say("request %llu gone", e->id);
		break;
	case DRBD_SHIM_EV_POLICY_CLOSED:
		break;
	default:
		need(false, "known event");
	}
}

static void turn(void)
{
	struct pollfd p = { .fd = control, .events = POLLIN };
	__u32 tail;

	tail = atomic_load_explicit((_Atomic __u32 *)&rings->event_tail, memory_order_acquire);
	if (event_head == tail && !rings->requests) {
		atomic_store((_Atomic __u32 *)&rings->sleeping, 1);
		tail = atomic_load((_Atomic __u32 *)&rings->event_tail);
		if (event_head == tail && !atomic_load((_Atomic __u32 *)&rings->requests))
			need(poll(&p, 1, -1) == 1, "poll");
		atomic_store((_Atomic __u32 *)&rings->sleeping, 0);
		tail = atomic_load_explicit((_Atomic __u32 *)&rings->event_tail, memory_order_acquire);
	}
	while (event_head != tail) {
		take(&events[event_head & (DRBD_SHIM_EVENTS - 1)]);
		atomic_store_explicit((_Atomic __u32 *)&rings->event_head, ++event_head, memory_order_release);
	}
	if (rings->requests)
		request();
	doorbell();
	if (slow)
		usleep(slow * 1000);
}

int main(void)
{
	struct drbd_shim_hello hello = { .abi = DRBD_SHIM_ABI, .features = ~0ull };
	int fd;

	open("/dev/null", O_RDONLY);
	fd = open("/run/shim-test/log", O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(fd, 1);
	dup2(fd, 2);
	fd = open("/run/shim-test/conf", O_RDONLY | O_CLOEXEC);
	need(fd >= 0 && read(fd, conf, sizeof(conf) - 1) >= 0, "conf");
	close(fd);
	die_after = option("die") ? atol(option("die")) : 0;
	slow = option("slow") ? atol(option("slow")) : 0;
	control = open(DRBD_SHIM_PATH, O_RDWR | O_CLOEXEC);
	need(control >= 0, "open of the control device");
	need(ioctl(control, DRBD_SHIM_PIN, &hello) < 0, "no call before HELLO");
	call(DRBD_SHIM_HELLO, &hello, "hello");
	family = hello.family;
	pinned = hello.flags & DRBD_SHIM_HELLO_PINNED;
	say("engine %d: generation %u, features %llx, instance %llx, pinned %d", getpid(), hello.generation,
	    hello.features, hello.instance, pinned);
	rings = mmap(NULL, DRBD_SHIM_RINGS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, control, 0);
	need(rings != MAP_FAILED, "mmap of the rings");
	events = (void *)rings + DRBD_SHIM_EVENTS_AT;
	ops = (void *)rings + DRBD_SHIM_OPS_AT;
	adopt();
	while (!leave)
		turn();
	say("engine %d leaves", getpid());
	return 0;
}
