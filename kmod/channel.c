// SPDX-License-Identifier: GPL-2.0-or-later
/* /dev/drbd-control: two rings, events to the engine and operations from it, and the engine's calls. */
#include "shim.h"

struct shim_channel shim_channel = {
	.calls = __MUTEX_INITIALIZER(shim_channel.calls),
	.lock = __SPIN_LOCK_UNLOCKED(shim_channel.lock),
	.pending = LIST_HEAD_INIT(shim_channel.pending),
	.wait = __WAIT_QUEUE_HEAD_INITIALIZER(shim_channel.wait),
};
#define chan shim_channel

/* Pairs with the engine's barrier between storing `sleeping` and looking at the words again. */
static void wake(void)
{
	smp_mb();
	if (READ_ONCE(chan.rings->sleeping) && xchg(&chan.rings->sleeping, 0))
		wake_up_poll(&chan.wait, EPOLLIN | EPOLLRDNORM);
}

static void event_told(struct shim_event *ev)
{
	list_del_init(&ev->node);
	if (ev->told)
		ev->told(ev);
}

static void pump(void)
{
	struct drbd_shim_event *ring = (void *)chan.rings + DRBD_SHIM_EVENTS_AT;
	struct shim_event *ev;

	while (!list_empty(&chan.pending) &&
	       chan.event_tail - smp_load_acquire(&chan.rings->event_head) < DRBD_SHIM_EVENTS) {
		ev = list_first_entry(&chan.pending, struct shim_event, node);
		ring[chan.event_tail & (DRBD_SHIM_EVENTS - 1)] = ev->e;
		smp_store_release(&chan.rings->event_tail, ++chan.event_tail);
		event_told(ev);
	}
}

/* Gives an event to the engine of `generation` (0: to whichever is there). One that still waits for room is replaced. */
void shim_emit(struct shim_event *ev, u32 generation, const struct drbd_shim_event *e)
{
	guard(spinlock_irqsave)(&chan.lock);
	if (!chan.rings || (generation && generation != chan.generation))
		return event_told(ev);
	ev->e = *e;
	if (list_empty(&ev->node))
		list_add_tail(&ev->node, &chan.pending);
	pump();
	wake();
}

void shim_event_cancel(struct shim_event *ev)
{
	guard(spinlock_irqsave)(&chan.lock);
	list_del_init(&ev->node);
}

/* An engine comes, or goes (NULL, 0). */
void shim_channel_set(struct drbd_shim_rings *rings, u32 generation)
{
	guard(spinlock_irq)(&chan.lock);
	chan.rings = rings;
	chan.generation = generation;
	chan.event_tail = chan.op_head = 0;
	chan.greeted = false;
	while (!list_empty(&chan.pending))
		event_told(list_first_entry(&chan.pending, struct shim_event, node));
}

/* Also fills the ring from what had no room. */
static __poll_t control_poll(struct file *file, poll_table *wait)
{
	poll_wait(file, &chan.wait, wait);
	guard(spinlock_irq)(&chan.lock);
	pump();
	return chan.event_tail != READ_ONCE(chan.rings->event_head) || READ_ONCE(shim_requests) ? EPOLLIN | EPOLLRDNORM : 0;
}

/* shim_requests has changed, or an engine has come. */
void shim_channel_requests(void)
{
	guard(spinlock_irq)(&chan.lock);
	if (!chan.rings)
		return;
	WRITE_ONCE(chan.rings->requests, READ_ONCE(shim_requests));
	if (READ_ONCE(shim_requests))
		wake();
}

static int run_op(const struct drbd_shim_op *op)
{
	struct shim_device *dev = shim_device(op->device);

	if (!dev || dev->adopted != chan.generation || (!dev->started && op->type != DRBD_SHIM_OP_LOWER))
		return -ENODEV;
	if (memchr_inv(op->reserved, 0, sizeof(op->reserved)))
		return -EINVAL;
	switch (op->type) {
	case DRBD_SHIM_OP_COMPLETE:	return shim_complete(dev, op);
	case DRBD_SHIM_OP_LOWER:	return shim_lower(dev, op);
	case DRBD_SHIM_OP_POLICY:	return shim_policy(dev, op);
	case DRBD_SHIM_OP_OPEN_ANSWER:	return shim_open_answer(dev, op);
	case DRBD_SHIM_OP_DRAINED:	return shim_drained(dev);
	}
	return -EINVAL;
}

/* With channel.calls held, in a call of the engine, so that the rings can't go away. */
static int take_ops(void)
{
	struct drbd_shim_rings *rings = chan.rings;
	const struct drbd_shim_op *ring = (void *)rings + DRBD_SHIM_OPS_AT;
	u32 tail = smp_load_acquire(&rings->op_tail);
	struct drbd_shim_op op;
	int rc;

	if (tail - chan.op_head > DRBD_SHIM_OPS)
		return -EINVAL;
	for (; chan.op_head != tail; chan.op_head++) {
		/* a copy, made once: the engine may change the original while it is checked */
		op = ring[chan.op_head & (DRBD_SHIM_OPS - 1)];
		barrier();
		rc = run_op(&op);
		if (rc == -EAGAIN)
			break;
		if (!rc)
			continue;
		WRITE_ONCE(rings->refused_index, chan.op_head);
		WRITE_ONCE(rings->refused_errno, -rc);
		WRITE_ONCE(rings->refused, rings->refused + 1);
		pr_warn_ratelimited("op %u of device %u, tag %d: refused (%d)\n", op.type, op.device, op.tag, rc);
	}
	smp_store_release(&rings->op_head, chan.op_head);
	guard(spinlock_irq)(&chan.lock);
	pump();
	return 0;
}

/* The doorbell. What is written says nothing. */
static ssize_t control_write(struct kiocb *iocb, struct iov_iter *from)
{
	size_t size = iov_iter_count(from);
	int rc;

	if (!size || size > sizeof(u64))
		return -EINVAL;
	if (iocb->ki_flags & IOCB_NOWAIT ? !mutex_trylock(&chan.calls) : mutex_lock_killable(&chan.calls))
		return iocb->ki_flags & IOCB_NOWAIT ? -EAGAIN : -EINTR;
	rc = chan.greeted ? take_ops() : -EPERM;
	mutex_unlock(&chan.calls);
	if (rc)
		return rc;
	iov_iter_advance(from, size);
	return size;
}

static SHIM_CALL(hello)
{
	struct drbd_shim_hello *arg = data;

	if (chan.greeted)
		return -EALREADY;
	if (arg->abi != DRBD_SHIM_ABI)
		return -EPROTO;
	if (arg->owner || arg->reserved)
		return -EINVAL;
	arg->features &= DRBD_SHIM_F_STATE_ARENA | DRBD_SHIM_F_TRANSPORT;
	arg->instance = shim_instance;
	arg->generation = chan.generation;
	arg->flags = shim_pinned ? DRBD_SHIM_HELLO_PINNED : 0;
	arg->family = shim_family.id;
	WRITE_ONCE(chan.greeted, true);
	return 0;
}

static SHIM_CALL(log_line)
{
	const struct drbd_shim_log *arg = data;
	u32 bytes = min(arg->bytes, 1000u), i;
	char *text;

	if (arg->level > LOGLEVEL_DEBUG)
		return -EINVAL;
	text = memdup_user_nul(u64_to_user_ptr(arg->text), bytes);
	if (IS_ERR(text))
		return PTR_ERR(text);
	for (i = 0; i < bytes; i++)
		if ((u8)text[i] < ' ' || text[i] == 0x7f)
			text[i] = '?';
	printk("%c%c%s\n", KERN_SOH_ASCII, '0' + arg->level, text);
	kfree(text);
	return 0;
}

/* A call is a function, about a device whose id lies in the structure or not, or sets a word. */
#define CALL(cmd, function) [_IOC_NR(cmd)] = { cmd, function, -1 }
#define DEVICE_CALL(cmd, type, function) [_IOC_NR(cmd)] = { cmd, function, offsetof(struct type, device) }
#define SWITCH(cmd, word) [_IOC_NR(cmd)] = { cmd, NULL, -1, &(word) }
static const struct {
	u32 cmd;
	int (*function)(struct shim_device *dev, void *data);
	int device_at;
	bool *word;
} calls[] = {
	CALL(DRBD_SHIM_HELLO, hello),
	CALL(DRBD_SHIM_REPLY, shim_reply),
	CALL(DRBD_SHIM_DUMP, shim_dump_answer),
	CALL(DRBD_SHIM_MULTICAST, shim_multicast),
	SWITCH(DRBD_SHIM_PIN, shim_pinned),
	SWITCH(DRBD_SHIM_LEAVING, shim_leaving),
	CALL(DRBD_SHIM_LOG, log_line),
	CALL(DRBD_SHIM_TRANSPORT, shim_transport),
	CALL(DRBD_SHIM_DEVICE_CREATE, shim_device_create),
	CALL(DRBD_SHIM_DEVICE_INFO, shim_device_info),
	DEVICE_CALL(DRBD_SHIM_DEVICE_ADOPT, drbd_shim_device, shim_device_adopt),
	DEVICE_CALL(DRBD_SHIM_DEVICE_START, drbd_shim_device_id, shim_device_start),
	DEVICE_CALL(DRBD_SHIM_DEVICE_DESTROY, drbd_shim_device_id, shim_device_destroy),
	DEVICE_CALL(DRBD_SHIM_SET_CAPACITY, drbd_shim_capacity, shim_device_capacity),
	DEVICE_CALL(DRBD_SHIM_SET_LIMITS, drbd_shim_limits, shim_device_limits),
	DEVICE_CALL(DRBD_SHIM_STATE_ARENA, drbd_shim_state_arena, shim_device_state_arena),
	DEVICE_CALL(DRBD_SHIM_BACKING_CLAIM, drbd_shim_backing, shim_backing_claim),
	DEVICE_CALL(DRBD_SHIM_BACKING_INFO, drbd_shim_backing, shim_backing_info),
	DEVICE_CALL(DRBD_SHIM_BACKING_RELEASE, drbd_shim_backing, shim_backing_release),
	DEVICE_CALL(DRBD_SHIM_HELD, drbd_shim_held, shim_held),
};

static int call(u32 nr, void *data)
{
	const struct drbd_shim_switch *arg = data;
	int at = calls[nr].device_at;
	struct shim_device *dev = at < 0 ? NULL : shim_device(*(u32 *)(data + at));

	if (!chan.greeted && calls[nr].function != hello)
		return -EPERM;
	if (calls[nr].function)
		return at < 0 || dev ? calls[nr].function(dev, data) : -ENODEV;
	if (arg->on > 1 || arg->reserved)
		return -EINVAL;
	WRITE_ONCE(*calls[nr].word, arg->on);
	return 0;
}

/* The caller's structure may be of another size than ours: see the header. */
static long control_ioctl(struct file *file, unsigned int cmd, unsigned long addr)
{
	u32 nr = _IOC_NR(cmd), size = _IOC_SIZE(cmd), ours = nr < ARRAY_SIZE(calls) ? calls[nr].cmd : 0;
	u64 data[24] = { };
	int rc;

	BUILD_BUG_ON(sizeof(struct drbd_shim_device_info) > sizeof(data));
	if (!ours || _IOC_TYPE(cmd) != _IOC_TYPE(ours) || _IOC_DIR(cmd) != _IOC_DIR(ours))
		return -ENOTTY;
	rc = copy_struct_from_user(data, _IOC_SIZE(ours), (void __user *)addr, size);
	if (rc)
		return rc == -E2BIG ? -EINVAL : rc;
	if (mutex_lock_killable(&chan.calls))
		return -EINTR;
	rc = call(nr, data);
	mutex_unlock(&chan.calls);
	if (!rc && _IOC_DIR(ours) & _IOC_READ && copy_to_user((void __user *)addr, data, min(size, _IOC_SIZE(ours))))
		return -EFAULT;
	return rc;
}

static const struct file_operations control_fops = {
	.owner = THIS_MODULE, .open = shim_engine_open, .release = shim_engine_release,
	.read = shim_request_read, .write_iter = control_write, .poll = control_poll, .mmap = shim_arena_mmap,
	.unlocked_ioctl = control_ioctl, .compat_ioctl = compat_ptr_ioctl,
};

struct miscdevice shim_control = {
	.minor = MISC_DYNAMIC_MINOR, .name = "drbd-control", .mode = 0600, .fops = &control_fops,
};
