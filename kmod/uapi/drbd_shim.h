/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The contract between the module `drbd` (the shim) and the engine, a process that opens /dev/drbd-control.
 * docs/reference/shim-abi.md tells the order of things; this header tells the meaning of every word.
 *
 * General rules:
 * - All integers are in host byte order. Offsets into structures are asserted below.
 * - Reserved fields and unknown flag bits must be zero; otherwise the call fails with EINVAL.
 * - Whatever is shared is untrusted on both sides: the shim keeps private copies of its own indices.
 * - Sectors are 512 bytes. "errno" fields are positive (EIO is 5), 0 is success.
 * - Errors of calls are those of ioctl(2): -1 and errno.
 */
#ifndef DRBD_SHIM_H
#define DRBD_SHIM_H

#include <linux/types.h>
#include <linux/ioctl.h>

#ifdef __cplusplus
#define DRBD_SHIM_ASSERT(cond) static_assert(cond, #cond)
#else
#define DRBD_SHIM_ASSERT(cond) _Static_assert(cond, #cond)
#endif
#define DRBD_SHIM_SIZE(type, size) DRBD_SHIM_ASSERT(sizeof(struct type) == (size))
#define DRBD_SHIM_AT(type, field, at) DRBD_SHIM_ASSERT(__builtin_offsetof(struct type, field) == (at))

/* misc device, mode 0600. open(2): EPERM without CAP_SYS_ADMIN in the initial user namespace, EBUSY while it is open. */
#define DRBD_SHIM_PATH		"/dev/drbd-control"
/* Raised when an old engine could not work any more; everything else is a feature bit. */
#define DRBD_SHIM_ABI		2

/* ---- limits ------------------------------------------------------------------------------------------------ */

/* Largest read or write, of a bio and of a LOWER. Discard and write-zeroes may have up to 2^32 - 512 bytes. */
#define DRBD_SHIM_MAX_IO	(1u << 20)
/* Largest netlink message: a request, all messages of one REPLY, one MULTICAST. One message of a DUMP: 16 KiB. */
#define DRBD_SHIM_MAX_MESSAGE	(64u << 10)
#define DRBD_SHIM_MAX_DUMP_MESSAGE (16u << 10)
#define DRBD_SHIM_MAX_DUMP	(64u << 20)
/* Requests waiting or handed out; one more is answered with ENOBUFS by the core of netlink. */
#define DRBD_SHIM_MAX_REQUESTS	1024
/* A request that was in the hands of so many engines when they died is answered with an error by the shim. */
#define DRBD_SHIM_MAX_DEATHS	3
#define DRBD_SHIM_MAX_DEVICES	4096
#define DRBD_SHIM_MAX_TAGS	4096
/* LOWERs of one device and role in flight; one more is refused. */
#define DRBD_SHIM_MAX_LOWER	8192
/* Bytes of one arena; all arenas together get at most half of the machine's memory (ENOMEM). */
#define DRBD_SHIM_MAX_ARENA	(1ull << 30)
#define DRBD_SHIM_EVENTS	8192	/* entries of the event ring, a power of two */
#define DRBD_SHIM_OPS		8192	/* entries of the op ring, a power of two */

/* ---- words that events, ops and structures share ------------------------------------------------------------ */

/* Operation of a bio or of a LOWER. */
enum drbd_shim_io {
	DRBD_SHIM_READ		= 0,
	DRBD_SHIM_WRITE		= 1,
	DRBD_SHIM_FLUSH		= 2,	/* no data, sector and bytes are 0 */
	DRBD_SHIM_DISCARD	= 3,
	DRBD_SHIM_WRITE_ZEROES	= 4,	/* zero pages are written where the disk says that it can't */
};

/* Flags of a bio or of a LOWER. */
#define DRBD_SHIM_PREFLUSH	(1u << 0)	/* flush the disk's cache before the write */
#define DRBD_SHIM_FUA		(1u << 1)	/* on stable storage when done */
#define DRBD_SHIM_SYNC		(1u << 2)
#define DRBD_SHIM_META		(1u << 3)
#define DRBD_SHIM_UNMAP		(1u << 4)	/* write-zeroes may free the blocks */
#define DRBD_SHIM_RAHEAD	(1u << 5)	/* read-ahead: may fail early */
/* Only in a BIO event: the read went down by itself, failed there, and the shim has closed the bypass. */
#define DRBD_SHIM_BYPASS_FAILED	(1u << 6)
/* Only in a LOWER_DONE event: the disk has no volatile write cache, so what ended is on stable storage. */
#define DRBD_SHIM_STABLE	(1u << 7)

/*
 * How far the local part of a bio had got when it is delivered: the LOWERs that named its tag since the last time that
 * none of them was in flight. It is precise if the local part is one LOWER and others name no tag.
 */
enum drbd_shim_local {
	DRBD_SHIM_LOCAL_NEW	= 0,	/* the bio was never delivered before */
	DRBD_SHIM_LOCAL_NONE	= 1,	/* delivered to an earlier engine; nothing was given to the disk */
	DRBD_SHIM_LOCAL_FLYING	= 2,	/* given to the disk, not done yet; its end will not be told */
	DRBD_SHIM_LOCAL_DONE	= 3,	/* done, without an error */
	DRBD_SHIM_LOCAL_FAILED	= 4,	/* done, with an error */
};

/* Role of a backing device. Internal meta-data: claim the same disk in both roles, or use DATA for everything. */
enum drbd_shim_role {
	DRBD_SHIM_DATA		= 0,
	DRBD_SHIM_META_DISK	= 1,
	DRBD_SHIM_ROLES		= 2,
};

/* Arenas of a device: 0 is the data arena, 1..7 are state arenas whose meaning only the engine knows. */
#define DRBD_SHIM_DATA_ARENA	0
#define DRBD_SHIM_ARENAS	8

/* Bits of a device's policy (op POLICY). */
#define DRBD_SHIM_READ_BYPASS	(1u << 0)	/* reads go to the data device without the engine */

/* ---- rings -------------------------------------------------------------------------------------------------- */

/*
 * mmap(2) of the control file at offset 0, DRBD_SHIM_RINGS_BYTES long, MAP_SHARED, read and write. A fresh one for each
 * open of the control file. Indices run freely from 0 over all 32 bits; an entry's place is index & (entries - 1).
 *
 * Sleeping: the engine stores 1 into `sleeping`, executes a full barrier, looks at `event_tail` and `requests` again,
 * and only if there is nothing new waits for POLLIN on the control file. The shim publishes, executes a full barrier,
 * takes the word by exchange with 0, and wakes if it was 1. An engine that did not sleep after all stores 0.
 * POLLIN also comes (level) while unread events or requests exist, so a poll can't be late.
 */
struct drbd_shim_rings {
	/* Written by the shim only (release); the engine reads it with acquire. */
	__u32 event_tail;
	__u32 reserved0[15];
	/* Written by the engine only: events before it are consumed and may be overwritten. */
	__u32 event_head;
	__u32 reserved1[15];
	/* Written by the engine only (release): ops before it are complete. */
	__u32 op_tail;
	__u32 reserved2[15];
	/* Written by the shim only: ops before it are taken. Normally equal to op_tail when the doorbell returns. */
	__u32 op_head;
	/*
	 * Written by the shim only: count of ops that were skipped because a field of theirs was wrong. It never rises
	 * with a right engine; the two words after it tell the index and the errno of the latest one.
	 */
	__u32 refused;
	__u32 refused_index;
	__u32 refused_errno;
	__u32 reserved3[12];
	/* Written by both, see above. */
	__u32 sleeping;
	__u32 reserved4[15];
	/* Written by the shim only: admin requests that read(2) would give now. */
	__u32 requests;
	__u32 reserved5[15];
};
DRBD_SHIM_SIZE(drbd_shim_rings, 384);
DRBD_SHIM_AT(drbd_shim_rings, event_head, 64);
DRBD_SHIM_AT(drbd_shim_rings, op_tail, 128);
DRBD_SHIM_AT(drbd_shim_rings, op_head, 192);
DRBD_SHIM_AT(drbd_shim_rings, sleeping, 256);
DRBD_SHIM_AT(drbd_shim_rings, requests, 320);

/* Places in the mapping, in bytes. */
#define DRBD_SHIM_EVENTS_AT	4096u
#define DRBD_SHIM_OPS_AT	(DRBD_SHIM_EVENTS_AT + DRBD_SHIM_EVENTS * 64u)
#define DRBD_SHIM_RINGS_BYTES	(DRBD_SHIM_OPS_AT + DRBD_SHIM_OPS * 64u)

/* ---- events: shim -> engine --------------------------------------------------------------------------------- */

enum drbd_shim_event_type {
	/*
	 * A bio: device, tag, op, flags, sector, bytes, offset, local. `offset` is the place of its room in the data
	 * arena (`bytes` long; a write's data lie there, a read's data may be put there), -1 if it has none (flush,
	 * discard, write-zeroes). Ended by op COMPLETE.
	 */
	DRBD_SHIM_EV_BIO		= 1,
	/*
	 * A LOWER has ended: device, op (the role), tag (its cookie), error, flags (DRBD_SHIM_STABLE). Only of this
	 * engine's own LOWERs.
	 */
	DRBD_SHIM_EV_LOWER_DONE		= 2,
	/*
	 * open(2) of /dev/drbdN waits: device, id (the open's), flags (DRBD_SHIM_OPEN_*), bytes (tgid), comm. Answered by
	 * op OPEN_ANSWER. An open that still waits is told again to the next engine, with the same id.
	 */
	DRBD_SHIM_EV_OPEN		= 3,
	/* The opener went away while it waited: device, id. An answer that crosses it is ignored. */
	DRBD_SHIM_EV_OPEN_GONE		= 4,
	/*
	 * The count of opens changed, by a granted open or by a close: device, tag (opens now), flags bit 0 (one of them
	 * since the count was last 0 was for writing). Changes that follow each other fast may be told as one.
	 */
	DRBD_SHIM_EV_OPEN_COUNT		= 5,
	/*
	 * The count fell to 0 and one had written: device. close(2) waits, at most param close_wait (30 s), for op
	 * DRAINED. Comes instead of OPEN_COUNT. After it no write of the closer is outstanding above.
	 */
	DRBD_SHIM_EV_LAST_CLOSE		= 6,
	/* Answer to op POLICY without READ_BYPASS: no bypassed read is in flight, none starts. device. */
	DRBD_SHIM_EV_POLICY_CLOSED	= 7,
	/* The sender of request `id` is gone; the id is not valid any more, no answer is owed. */
	DRBD_SHIM_EV_REQUEST_GONE	= 8,
	/* LOWERs of dead engines to device and op (role) have all ended. Comes once, when the last one ends. */
	DRBD_SHIM_EV_BACKING_QUIET	= 9,
};

#define DRBD_SHIM_OPEN_WRITE	(1u << 0)
#define DRBD_SHIM_OPEN_EXCL	(1u << 1)
#define DRBD_SHIM_OPEN_NDELAY	(1u << 2)

struct drbd_shim_event {
	__u8  type;		/* enum drbd_shim_event_type */
	__u8  op;		/* BIO: enum drbd_shim_io. LOWER_DONE, BACKING_QUIET: enum drbd_shim_role */
	__u16 flags;
	__u32 device;		/* id from DEVICE_CREATE, not the minor */
	__s32 tag;		/* BIO: 0 .. max_tags - 1. LOWER_DONE: the cookie. OPEN_COUNT: opens now */
	__s32 error;		/* LOWER_DONE: errno or 0 */
	__u64 sector;		/* BIO */
	__s64 offset;		/* BIO: room in the data arena or -1 */
	__u32 bytes;		/* BIO: size. OPEN: tgid of the opener in the initial pid namespace */
	__u32 local;		/* BIO: enum drbd_shim_local */
	__u64 id;		/* OPEN, OPEN_GONE: open id (below 2^31). REQUEST_GONE: request id */
	char  comm[16];		/* OPEN: the opener's command name, NUL terminated */
};
DRBD_SHIM_SIZE(drbd_shim_event, 64);
DRBD_SHIM_AT(drbd_shim_event, sector, 16);
DRBD_SHIM_AT(drbd_shim_event, bytes, 32);
DRBD_SHIM_AT(drbd_shim_event, comm, 48);

/* ---- ops: engine -> shim ------------------------------------------------------------------------------------ */

/*
 * Ops are taken in order by the doorbell: write(2) (or IORING_OP_WRITE, which runs inline) of any 1..8 bytes to the
 * control file. It never waits for a disk. EAGAIN with RWF_NOWAIT: another call of the engine is under way; io_uring
 * repeats it by itself. When op_head has not reached op_tail afterwards (no memory for a LOWER just now), ring again in
 * the next turn. A wrong op is skipped and counted in `refused`.
 */
enum drbd_shim_op_type {
	/*
	 * Ends a bio: device, tag, error (errno, 0 success), offset. For a read without error `offset` says where in the
	 * data arena its data lie (in the bio's room or anywhere else); otherwise it is not looked at. The tag and its
	 * room are free for another bio when COMPLETE was given and all LOWERs that name the tag have ended.
	 */
	DRBD_SHIM_OP_COMPLETE		= 1,
	/*
	 * I/O to the backing device `role` of `device`: op, flags, sector, bytes, arena and offset (multiple of 512, on
	 * the arena, in 256 pages at most; not for flush, discard, write-zeroes), cookie, tag. sector * 512 + bytes must
	 * lie on the device.
	 * `tag`: the bio whose local part this is, or -1; must be given if the range lies in the shim's part of the data
	 * arena, and the range must then lie in that bio's room. Answered by LOWER_DONE. LOWERs in flight are not ordered
	 * among each other. Refused with EBUSY unless it is a read while LOWERs of dead engines are in flight there.
	 */
	DRBD_SHIM_OP_LOWER		= 2,
	/*
	 * Sets the device's policy: device, flags (DRBD_SHIM_READ_BYPASS or 0). 0 is always answered by POLICY_CLOSED
	 * (several that follow each other fast: maybe by one). READ_BYPASS needs a claimed data device. Starts as 0; set
	 * to 0 when the engine is gone.
	 */
	DRBD_SHIM_OP_POLICY		= 3,
	/* device, tag (open id), error (0 grants, else the errno of open(2)). An id that is not waiting is ignored. */
	DRBD_SHIM_OP_OPEN_ANSWER	= 4,
	/* device: the last close may go on. Ignored when none waits. */
	DRBD_SHIM_OP_DRAINED		= 5,
};

struct drbd_shim_op {
	__u8  type;		/* enum drbd_shim_op_type */
	__u8  op;		/* LOWER: enum drbd_shim_io */
	__u16 flags;
	__u32 device;
	__s32 tag;
	__s32 error;
	__u64 sector;
	__s64 offset;
	__u32 bytes;
	__s32 cookie;		/* LOWER: comes back in LOWER_DONE.tag; any value */
	__u8  role;		/* LOWER: enum drbd_shim_role */
	__u8  arena;		/* LOWER: 0 .. DRBD_SHIM_ARENAS - 1 */
	__u8  reserved[22];
};
DRBD_SHIM_SIZE(drbd_shim_op, 64);
DRBD_SHIM_AT(drbd_shim_op, sector, 16);
DRBD_SHIM_AT(drbd_shim_op, bytes, 32);
DRBD_SHIM_AT(drbd_shim_op, role, 40);

/* ---- admin requests ----------------------------------------------------------------------------------------- */

/*
 * read(2) gives one request: this header, then the netlink message (nlmsghdr, genlmsghdr, drbd_genlmsghdr, attributes;
 * its length is nlmsg_len). EAGAIN when there is none (it never waits), EINVAL when the buffer is too small (nothing is
 * lost; header + DRBD_SHIM_MAX_MESSAGE always suffices). The request then is the engine's until REPLY (without MORE),
 * DUMP or event REQUEST_GONE. If the engine dies it is queued again for the next one, before newer ones.
 * With NLM_F_ACK in the message the reply ends with an NLMSG_ERROR 0, as the core would add it.
 */
struct drbd_shim_request {
	__u64 id;		/* never used twice during one load of the module */
	__u32 bytes;		/* of the message */
	__u32 flags;		/* DRBD_SHIM_REQ_* */
	__u32 netns;		/* inode number of the sender's network namespace (st_ino of /proc/PID/ns/net) */
	__u32 port;		/* the sender's netlink port: nlmsg_pid of replies */
	__u32 seq;		/* nlmsg_seq of the message and of replies */
	__u32 tgid;		/* the sender's process, in the initial pid namespace; its namespaces: /proc/TGID/ns/, root */
	__u32 deaths;		/* engines that died with this request in hand */
	__u32 reserved;
};
DRBD_SHIM_SIZE(drbd_shim_request, 40);

#define DRBD_SHIM_REQ_DUMP	(1u << 0)	/* answered by DUMP, or by REPLY: an error, NLMSG_DONE */
#define DRBD_SHIM_REQ_CAPABLE	(1u << 1)	/* the sender has CAP_SYS_ADMIN; always set for do requests */

/* ---- ioctls ------------------------------------------------------------------------------------------------- */

/*
 * The size in the ioctl number may be smaller or larger than the shim's: missing fields count as zero, surplus ones must
 * be zero, and no more than the caller's size is written back. All fail with EPERM before HELLO.
 * One ioctl, doorbell or read at a time is carried out; others wait.
 */

/* Features. The engine offers what it can use, the shim answers with what both can. */
#define DRBD_SHIM_F_STATE_ARENA	(1ull << 0)
#define DRBD_SHIM_F_TRANSPORT	(1ull << 1)
#define DRBD_SHIM_F_DEBUGFS	(1ull << 2)	/* not offered yet */

/* First call of an engine. EPROTO: other abi. EALREADY: second call. */
struct drbd_shim_hello {
	__u32 abi;		/* in: DRBD_SHIM_ABI. out: the shim's */
	__u32 owner;		/* in: 0; for several engines later */
	__u64 features;		/* in: offered. out: in force */
	__u64 instance;		/* out: random number of this load of the module; the journal is bound to it */
	__u32 generation;	/* out: counts engines, from 1 */
	__u32 flags;		/* out: DRBD_SHIM_HELLO_* */
	__u32 reserved;
	__u32 family;		/* out: nlmsg_type of the family, for multicasts */
};
DRBD_SHIM_SIZE(drbd_shim_hello, 40);
#define DRBD_SHIM_HELLO_PINNED	(1u << 0)	/* an earlier engine left its pin: there is something to take over */

/*
 * Sends `bytes` of complete netlink messages (each padded to 4, last one too) in one datagram to the sender of a request
 * and ends the request, unless MORE. Not looked into except for lengths. ENOENT: no such id. ECONNREFUSED: sender gone
 * (the request ends); EAGAIN: its buffer is full (the request ends, the sender sees ENOBUFS).
 */
struct drbd_shim_reply {
	__u64 id;
	__u64 data;		/* address */
	__u32 bytes;
	__u32 flags;		/* DRBD_SHIM_REPLY_* */
};
DRBD_SHIM_SIZE(drbd_shim_reply, 24);
#define DRBD_SHIM_REPLY_MORE	(1u << 0)	/* further ones follow */
/*
 * Sent when the control file is closed and the module's use count has fallen: for the answer after which the caller may
 * unload the module. Errors of sending are not told.
 */
#define DRBD_SHIM_REPLY_AT_CLOSE (1u << 1)

/*
 * The whole answer of a dump: messages one after another, each padded to 4 and at most DRBD_SHIM_MAX_DUMP_MESSAGE long,
 * without NLMSG_DONE, which the kernel adds; one message goes into one datagram. flags must be 0. bytes must not be 0: the
 * kernel would say the end while its dump still counts as running; an empty answer is a REPLY with NLMSG_DONE.
 * Ends the request. Errors as REPLY; EBUSY: the sender has another dump running (the request ends).
 */
/* struct drbd_shim_reply as well */

/*
 * One message to the group "events" in every network namespace. Nobody listening is no error. The shim writes its
 * nlmsg_seq: 3 for the first one of this load of the module, one more for each that follows, over all engines.
 */
struct drbd_shim_multicast {
	__u64 data;
	__u32 bytes;
	__u32 reserved;
};
DRBD_SHIM_SIZE(drbd_shim_multicast, 16);

/*
 * pin 1: the module can't be unloaded, and a dead engine is started again; stays over engines. Idempotent.
 * leaving 1: from now on dumps are answered empty by the shim and do requests are kept for the next engine.
 */
struct drbd_shim_switch {
	__u32 on;
	__u32 reserved;
};
DRBD_SHIM_SIZE(drbd_shim_switch, 8);

/*
 * Makes /dev/drbdMINOR with capacity 0 and 512-byte blocks and a data arena of bio_bytes (the shim's part, for rooms of
 * bios, at least 4 * DRBD_SHIM_MAX_IO) followed by engine_bytes (the engine's own; the shim never writes there except by
 * LOWER reads); both multiples of 4096. Started at once. EEXIST: minor in use. ENOMEM.
 * ADOPT (device in; minor, max_tags and bio_bytes out): a fresh data arena for a device of an earlier engine. bio_bytes
 * must be 0 or as it was; bios keep their tags and the offsets of their rooms, writes' data are copied over. The old arena
 * lives until the I/O of dead engines on it is over, and counts in the limit (ENOMEM). EBUSY: adopted already.
 */
struct drbd_shim_device {
	__u32 minor;		/* in (CREATE): below 2^20 */
	__u32 device;		/* out (CREATE), in (ADOPT): id below DRBD_SHIM_MAX_DEVICES, kept until DESTROY */
	__u32 max_tags;		/* in (CREATE): 1 .. DRBD_SHIM_MAX_TAGS; out (ADOPT). Bios beyond it wait in the shim */
	__u32 flags;		/* in: 0; out: DRBD_SHIM_ARENA_* */
	__u64 bio_bytes;
	__u64 engine_bytes;
	__u64 mmap_offset;	/* out: for mmap(2) of the control file, bio_bytes + engine_bytes long */
};
DRBD_SHIM_SIZE(drbd_shim_device, 40);
/*
 * Pages may be spliced into sockets: no bio's room is used again before the last of its pages is given back, and HELD
 * tells of those of the engine's part.
 */
#define DRBD_SHIM_ARENA_SPLICE	(1u << 0)

/* Does anybody besides us, a socket for one, hold pages of this range of the data arena? Multiples of 4096. */
struct drbd_shim_held {
	__u32 device;
	__u32 held;		/* in: 0; out: 1 or 0 */
	__u64 offset;
	__u64 bytes;
};
DRBD_SHIM_SIZE(drbd_shim_held, 24);

/*
 * DESTROY: new bios and waiting opens fail, bios held end with EIO, /dev/drbdN vanishes before the call returns (files
 * that are open keep a dead device). EBUSY while a backing device is claimed.
 * START: after ADOPT: OPEN_COUNT is told, then opens that wait, then unfinished bios in their order of arrival, with
 * `local`, then bios that waited. Until then ops for the device are refused (ENODEV), except that LOWER is allowed after ADOPT.
 */
struct drbd_shim_device_id {
	__u32 device;
	__u32 reserved;
};
DRBD_SHIM_SIZE(drbd_shim_device_id, 8);

/* The device with the smallest id that is not below `device`; ENOENT if there is none. */
struct drbd_shim_device_info {
	__u32 device;		/* in and out */
	__u32 minor;
	__u32 opens;
	__u32 flags;		/* DRBD_SHIM_DEV_* */
	__u32 max_tags;
	__u32 policy;
	__u64 sectors;		/* capacity */
	__u64 bypassed_reads;	/* since it was made */
	__u64 bypassed_sectors;
	__u32 tags_used;	/* bios in the engine's hands or waiting for ADOPT */
	__u32 waiting;		/* bios that wait for a tag, for room or for an engine */
	__u32 lowers[DRBD_SHIM_ROLES];	/* in flight, of this engine */
	__u32 late[DRBD_SHIM_ROLES];	/* in flight, of dead engines */
	__u64 state_bytes[DRBD_SHIM_ARENAS];	/* sizes of the state arenas, 0 if there is none; [0] is 0 */
};
DRBD_SHIM_SIZE(drbd_shim_device_info, 136);
#define DRBD_SHIM_DEV_WRITERS	(1u << 0)	/* opened for writing since the count was 0 */
#define DRBD_SHIM_DEV_DATA	(1u << 1)	/* data device claimed */
#define DRBD_SHIM_DEV_META	(1u << 2)	/* meta-data device claimed */
#define DRBD_SHIM_DEV_STARTED	(1u << 3)	/* delivers bios to this engine */

/* Sends the block layer's and udev's change events. */
struct drbd_shim_capacity {
	__u32 device;
	__u32 reserved;
	__u64 sectors;
};
DRBD_SHIM_SIZE(drbd_shim_capacity, 16);

/* Queue limits of /dev/drbdN. EINVAL: not a power of two, out of order or beyond what a page allows. */
struct drbd_shim_limits {
	__u32 device;
	__u32 flags;			/* DRBD_SHIM_LIMIT_* */
	__u32 logical_bytes;		/* 512 .. 4096 */
	__u32 physical_bytes;		/* logical .. 1 MiB */
	__u32 io_min_bytes;		/* 0: physical */
	__u32 io_opt_bytes;		/* 0: none */
	__u32 max_io_bytes;		/* 4096 .. DRBD_SHIM_MAX_IO, multiple of logical */
	__u32 discard_granularity;	/* bytes, 0 when discard is off */
	__u32 max_discard_sectors;	/* 0: off */
	__u32 max_write_zeroes_sectors;	/* 0: off */
};
DRBD_SHIM_SIZE(drbd_shim_limits, 40);
#define DRBD_SHIM_LIMIT_ROTATIONAL	(1u << 0)
#define DRBD_SHIM_LIMIT_WRITE_CACHE	(1u << 1)	/* flushes are delivered (FUA likewise) */

/*
 * Memory of the shim that outlives engines, zeroed when made. The same kind and size gives the same memory; with another
 * size the old contents are dropped. Pages are never reclaimed or swapped. LOWER can use it.
 */
struct drbd_shim_state_arena {
	__u32 device;
	__u32 kind;		/* 1 .. DRBD_SHIM_ARENAS - 1 */
	__u64 bytes;		/* multiple of 4096; 0 drops it */
	__u64 mmap_offset;	/* out */
	__u32 fresh;		/* out: 1 when made just now */
	__u32 reserved;
};
DRBD_SHIM_SIZE(drbd_shim_state_arena, 32);

/*
 * CLAIM: takes the block device that `fd` is open on, exclusively for this device and role, drops its page cache, links
 * it in sysfs. The engine may close fd then. EBUSY: claimed by somebody, or the role is taken; ENOTBLK; EROFS;
 * ELOOP: another /dev/drbdN (its open would wait for the engine, which is in this call).
 * INFO: the same answer for a claimed one, read again (ENODEV if none is claimed); fd is not looked at.
 * RELEASE: gives it up before it returns. EBUSY while LOWERs or bypassed reads are in flight. The read bypass must be
 * closed first (EBUSY).
 */
struct drbd_shim_backing {
	__u32 device;
	__u32 role;			/* enum drbd_shim_role */
	__s32 fd;			/* in (CLAIM) */
	__u32 flags;			/* out: DRBD_SHIM_LIMIT_*, of the backing device */
	__u64 sectors;			/* out, as all that follow */
	__u32 logical_bytes;
	__u32 physical_bytes;
	__u32 io_min_bytes;
	__u32 io_opt_bytes;
	__u32 max_io_bytes;
	__u32 discard_granularity;	/* bytes */
	__u32 discard_alignment;	/* bytes */
	__u32 max_discard_sectors;	/* 0: it can't */
	__u32 max_write_zeroes_sectors;	/* 0: it can't; WRITE_ZEROES then writes zero pages */
	__u32 major;
	__u32 minor;
	__u32 reserved;
	char  name[32];			/* the kernel's, "vdb", "dm-3" */
};
DRBD_SHIM_SIZE(drbd_shim_backing, 104);

/* One line into the kernel log: level 0..7, cut at 1,000 bytes, control characters become '?'. */
struct drbd_shim_log {
	__u64 text;
	__u32 bytes;
	__u32 level;
};
DRBD_SHIM_SIZE(drbd_shim_log, 16);

/*
 * Use count of the module drbd_transport_NAME, for lsmod. ENOENT: it isn't loaded. Counts of a dead engine are dropped
 * when a later one counts for the same module.
 */
struct drbd_shim_transport {
	char  name[24];		/* NUL terminated: "tcp", "lb-tcp" */
	__u32 up;		/* 1 get, 0 put */
	__u32 reserved;
};
DRBD_SHIM_SIZE(drbd_shim_transport, 32);

/*
 * Text of the debugfs file drbd/PATH ("resources/r0/state_twopc"), folders are made as needed. bytes 0xffffffff removes
 * the file or the folder with all in it. At most 64 KiB a file and 4,096 files.
 * Reserved: without the feature DEBUGFS, which this shim does not have yet, ENOTTY.
 */
struct drbd_shim_debugfs {
	__u64 path;		/* address, NUL terminated, at most 255 characters, no "." or ".." */
	__u64 text;
	__u32 bytes;
	__u32 reserved;
};
DRBD_SHIM_SIZE(drbd_shim_debugfs, 24);

#define DRBD_SHIM_HELLO			_IOWR('D', 0x01, struct drbd_shim_hello)
#define DRBD_SHIM_REPLY			_IOW('D', 0x02, struct drbd_shim_reply)
#define DRBD_SHIM_DUMP			_IOW('D', 0x03, struct drbd_shim_reply)
#define DRBD_SHIM_MULTICAST		_IOW('D', 0x04, struct drbd_shim_multicast)
#define DRBD_SHIM_PIN			_IOW('D', 0x05, struct drbd_shim_switch)
#define DRBD_SHIM_LEAVING		_IOW('D', 0x06, struct drbd_shim_switch)
#define DRBD_SHIM_LOG			_IOW('D', 0x07, struct drbd_shim_log)
#define DRBD_SHIM_TRANSPORT		_IOW('D', 0x08, struct drbd_shim_transport)
#define DRBD_SHIM_DEBUGFS		_IOW('D', 0x09, struct drbd_shim_debugfs)
#define DRBD_SHIM_DEVICE_CREATE		_IOWR('D', 0x10, struct drbd_shim_device)
#define DRBD_SHIM_DEVICE_ADOPT		_IOWR('D', 0x11, struct drbd_shim_device)
#define DRBD_SHIM_DEVICE_START		_IOW('D', 0x12, struct drbd_shim_device_id)
#define DRBD_SHIM_DEVICE_DESTROY	_IOW('D', 0x13, struct drbd_shim_device_id)
#define DRBD_SHIM_DEVICE_INFO		_IOWR('D', 0x14, struct drbd_shim_device_info)
#define DRBD_SHIM_SET_CAPACITY		_IOW('D', 0x15, struct drbd_shim_capacity)
#define DRBD_SHIM_SET_LIMITS		_IOW('D', 0x16, struct drbd_shim_limits)
#define DRBD_SHIM_STATE_ARENA		_IOWR('D', 0x17, struct drbd_shim_state_arena)
#define DRBD_SHIM_BACKING_CLAIM		_IOWR('D', 0x18, struct drbd_shim_backing)
#define DRBD_SHIM_BACKING_INFO		_IOWR('D', 0x19, struct drbd_shim_backing)
#define DRBD_SHIM_BACKING_RELEASE	_IOWR('D', 0x1a, struct drbd_shim_backing)
#define DRBD_SHIM_HELD			_IOWR('D', 0x1b, struct drbd_shim_held)

#endif
