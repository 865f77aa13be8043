// SPDX-License-Identifier: GPL-2.0-or-later
/* The two rings: events to the engine, operations from it. */
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
__poll_t shim_channel_poll(struct file *file, poll_table *wait)
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
int shim_doorbell(void)
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
