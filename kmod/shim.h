/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the module share. Locks, outer first: channel.calls, a device's lock, channel.lock. */
#ifndef SHIM_H
#define SHIM_H

#include <linux/bio.h>
#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kobject.h>
#include <linux/llist.h>
#include <linux/mempool.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netlink.h>
#include <linux/nospec.h>
#include <linux/oom.h>
#include <linux/pagemap.h>
#include <linux/poll.h>
#include <linux/proc_fs.h>
#include <linux/random.h>
#include <linux/refcount.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/umh.h>
#include <linux/vmalloc.h>
#include <linux/xarray.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include "compat.h"
#include "transport.h"

#undef pr_fmt
#define pr_fmt(fmt) "drbd: " fmt

struct shim_device;
/* Calls of the engine: `data` is the copy of a struct drbd_shim_*, which is written back; `dev` is NULL if it names none. */
#define SHIM_CALL(name) int name(struct shim_device *dev, void *data)

/* main.c */
extern uint shim_engine_wait, shim_open_wait, shim_close_wait, shim_io_wait;
extern struct workqueue_struct *shim_wq;	/* slow work that needs no order */
extern u64 shim_instance;

/* channel.c */
struct shim_event {
	struct list_head node;			/* in channel.pending while the ring is full */
	struct drbd_shim_event e;
	void (*told)(struct shim_event *ev);	/* the entry is in the ring, or nobody wants it; any context */
};

struct shim_channel {
	struct mutex calls;		/* ioctls and doorbells, one at a time */
	spinlock_t lock;
	struct list_head pending;
	wait_queue_head_t wait;		/* poll of the control file */
	struct drbd_shim_rings *rings;	/* NULL: no engine */
	u32 generation;			/* of the engine that is here; 0: none */
	bool greeted;
	u32 event_tail, op_head;
};
extern struct shim_channel shim_channel;

static inline void shim_event_init(struct shim_event *ev, void (*told)(struct shim_event *ev))
{
	INIT_LIST_HEAD(&ev->node);
	ev->told = told;
}

void shim_emit(struct shim_event *ev, u32 generation, const struct drbd_shim_event *e);
#define shim_tell(ev, generation, ...) shim_emit(ev, generation, &(const struct drbd_shim_event) { __VA_ARGS__ })
void shim_event_cancel(struct shim_event *ev);
void shim_channel_set(struct drbd_shim_rings *rings, u32 generation);
void shim_channel_requests(void);
extern struct miscdevice shim_control;

/* arena.c */
struct shim_arena {
	refcount_t ref;
	struct file *file;
	struct page **pages;
	char *addr;
	u64 bytes;
	u32 key;			/* names it in mmap offsets */
	bool provable;			/* shim_arena_held() can tell: no page is part of a huge one */
	struct work_struct free_work;
};

/* mmap offset of an arena: its key in the upper half, so that an offset within it can't hit another one. */
static inline u64 shim_arena_offset(const struct shim_arena *arena) { return (u64)arena->key << 32; }

#define SHIM_RINGS_KEY XA_LIMIT(0, 0)
#define SHIM_ARENA_KEYS XA_LIMIT(1, INT_MAX / 2)
struct shim_arena *shim_arena_make(u64 bytes, struct xa_limit keys);
void shim_arena_put(struct shim_arena *arena);
u32 shim_arena_held(struct shim_arena *arena, u32 at, u32 end);
SHIM_CALL(shim_held);
void shim_arena_drop(struct shim_arena *arena);
int shim_arena_mmap(struct file *file, struct vm_area_struct *vma);

/* device.c */
#define DRBD_MAJOR 147

struct shim_slot {
	struct list_head node;		/* device.busy in order of arrival, or device.free */
	struct bio *bio;		/* NULL: ended, or free */
	unsigned long start;		/* of its accounting */
	u64 room;			/* offset in the data arena */
	u32 room_pages;
	u32 flying;			/* LOWERs that name it: it is not free before they have ended */
	u32 local;			/* how those LOWERs have ended; LOCAL_NEW: no engine was told of the bio */
	struct shim_event ev;
};

struct shim_backing {
	struct shim_device *dev;
	u32 role;
	struct block_device *bdev;	/* NULL: not claimed */
	void *handle;
	struct kobject *holder_dir;	/* of bdev, where our link is; NULL: no link */
	struct workqueue_struct *wq;
	struct work_struct work;
	struct llist_head queue;	/* of struct lower */
	u32 flying, late, late_generation;	/* device.lock */
	bool direct;			/* the doorbell may send to it */
};

enum { SHIM_COUNT, SHIM_CLOSE, SHIM_POLICY, SHIM_QUIET, SHIM_EVENTS = SHIM_QUIET + DRBD_SHIM_ROLES };

struct shim_device {
	u32 id, minor, max_tags;
	struct gendisk *disk;
	spinlock_t lock;
	bool started, dead, closing;	/* closing: a last close waits for DRAINED */
	u32 generation;			/* of the engine that it was started for */
	u32 adopted;			/* generation that its data arena was made for */
	struct shim_slot *slots;
	struct list_head free, busy;
	struct bio_list waiting;	/* not yet in a slot */
	u32 n_copying;
	struct delayed_work admit;
	u32 bio_pages;
	unsigned long *room;		/* pages of the shim's part in use */
	struct shim_arena *arenas[DRBD_SHIM_ARENAS];
	struct shim_backing backing[DRBD_SHIM_ROLES];
	unsigned long policy;		/* DRBD_SHIM_READ_BYPASS */
	unsigned long policy_closing;	/* bit 0: POLICY_CLOSED is owed */
	atomic_t bypassing;		/* reads on their way below, and looks at the policy */
	atomic64_t bypassed_reads, bypassed_sectors;
	u32 opens;
	bool writers;
	struct list_head openers;
	wait_queue_head_t wait;		/* openers, last close, copying */
	struct shim_event events[SHIM_EVENTS];
};

extern struct xarray shim_device_table;
static inline struct shim_device *shim_device(u32 id) { return xa_load(&shim_device_table, id); }
static inline bool shim_any_device(void) { return !xa_empty(&shim_device_table); }
void shim_devices_orphan(u32 generation);
SHIM_CALL(shim_device_create);
SHIM_CALL(shim_device_adopt);
SHIM_CALL(shim_device_start);
SHIM_CALL(shim_device_destroy);
SHIM_CALL(shim_device_info);
SHIM_CALL(shim_device_capacity);
SHIM_CALL(shim_device_limits);
SHIM_CALL(shim_device_state_arena);

/* open.c */
int shim_open(SHIM_OPEN_ARGS);
void shim_release(SHIM_RELEASE_ARGS);
void shim_openers_retell(struct shim_device *dev);
int shim_open_answer(struct shim_device *dev, const struct drbd_shim_op *op);
int shim_drained(struct shim_device *dev);

/* bio.c */
bool shim_slot_put(struct shim_device *dev, struct shim_slot *slot);
/* A write with data: they are in its room. */
static inline bool shim_slot_written(const struct shim_slot *slot)
{
	return slot->room_pages && op_is_write(bio_op(slot->bio));
}

void shim_admit(struct work_struct *work);
void shim_bios_fail(struct shim_device *dev);
static inline void shim_wait_copying(struct shim_device *dev)
{
	wait_event(dev->wait, !READ_ONCE(dev->n_copying));
}

int shim_complete(struct shim_device *dev, const struct drbd_shim_op *op);
int shim_policy(struct shim_device *dev, const struct drbd_shim_op *op);
void shim_submit_bio(struct bio *bio);

struct shim_bypass {
	struct bio *orig;
	unsigned long start;
	struct bio clone;		/* last: its vectors follow */
};
extern struct bio_set shim_bypass_set;

/* backing.c */
struct shim_backing *shim_claimed(struct shim_device *dev, u32 role);
SHIM_CALL(shim_backing_claim);
SHIM_CALL(shim_backing_info);
SHIM_CALL(shim_backing_release);

/* lower.c */
int shim_bios_init(void);
void shim_bios_exit(void);
bool shim_lower_direct(struct block_device *bdev);
int shim_lower(struct shim_device *dev, const struct drbd_shim_op *op);
void shim_lower_work(struct work_struct *work);

/* genl.c */
extern struct genl_family shim_family;
int shim_genl_init(void);
void shim_genl_exit(void);
struct sk_buff *shim_genl_failure(const struct drbd_shim_request *r, const char *text);
int shim_messages_get(u64 addr, u32 bytes, u32 max_message, void *to);
struct sk_buff *shim_messages_skb(u64 addr, u32 bytes);
SHIM_CALL(shim_multicast);

/* request.c */
struct shim_request {
	struct list_head node;		/* in order of arrival */
	enum { SHIM_HANDED, SHIM_WAITING, SHIM_CLOSING } state;	/* CLOSING: `answer` goes when the engine is gone */
	struct sk_buff *answer;
	struct shim_event gone;
	struct net *net;
	unsigned long since;		/* jiffies from which it waits for an engine */
	struct drbd_shim_request r;
	char message[];
};

extern u32 shim_requests;		/* that wait for an engine */
int shim_request_queue(struct net *net, u32 port, const struct nlmsghdr *nlh, u32 flags);
ssize_t shim_request_read(struct file *file, char __user *buf, size_t size, loff_t *pos);
void shim_requests_orphan(void);
void shim_requests_end(int state, const char *text, unsigned long older);
extern struct notifier_block shim_requester_notifier;
SHIM_CALL(shim_reply);
SHIM_CALL(shim_dump_answer);

/* engine.c */
extern bool shim_pinned, shim_leaving;
extern bool shim_io_lost;			/* no engine came for too long: bios fail at once */
bool shim_engine_answers_dumps(void);
void shim_engine_want(void);
int shim_engine_open(struct inode *inode, struct file *file);
int shim_engine_release(struct inode *inode, struct file *file);
void shim_engine_exit(void);
SHIM_CALL(shim_transport);


#endif
