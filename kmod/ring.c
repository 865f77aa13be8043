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

void shim_event_init(struct shim_event *ev, void (*told)(struct shim_event *ev))
{
	INIT_LIST_HEAD(&ev->node);
	ev->told = told;
}

/* Pairs with the engine's barrier between storing `sleeping` and looking at the words again. */
static void wake(void)
{
	smp_mb();
	if (READ_ONCE(chan.rings->sleeping) && xchg(&chan.rings->sleeping, 0))
		wake_up_poll(&chan.wait, EPOLLIN | EPOLLRDNORM);
}

static bool ring_has_room(void)
{
	return chan.event_tail - smp_load_acquire(&chan.rings->event_head) < DRBD_SHIM_EVENTS;
}

static void ring_put(const struct drbd_shim_event *e)
{
	struct drbd_shim_event *ring = (void *)chan.rings + DRBD_SHIM_EVENTS_AT;

	ring[chan.event_tail & (DRBD_SHIM_EVENTS - 1)] = *e;
	smp_store_release(&chan.rings->event_tail, ++chan.event_tail);
}

static void event_told(struct shim_event *ev)
{
	list_del_init(&ev->node);
	if (ev->told)
		ev->told(ev);
}

/*
 * Gives an event to the engine of `generation` (0: to whichever is there). One that still waits for room is replaced.
 */
void shim_emit(struct shim_event *ev, const struct drbd_shim_event *e, u32 generation)
{
	unsigned long flags;

	spin_lock_irqsave(&chan.lock, flags);
	if (!chan.rings || (generation && generation != chan.generation)) {
		event_told(ev);
	} else if (!list_empty(&ev->node)) {
		ev->e = *e;
	} else if (list_empty(&chan.pending) && ring_has_room()) {
		ring_put(e);
		event_told(ev);
		wake();
	} else {
		ev->e = *e;
		list_add_tail(&ev->node, &chan.pending);
		wake();
	}
	spin_unlock_irqrestore(&chan.lock, flags);
}

void shim_event_cancel(struct shim_event *ev)
{
	unsigned long flags;

	spin_lock_irqsave(&chan.lock, flags);
	list_del_init(&ev->node);
	spin_unlock_irqrestore(&chan.lock, flags);
}

static void pump(void)
{
	struct shim_event *ev;

	while (!list_empty(&chan.pending) && ring_has_room()) {
		ev = list_first_entry(&chan.pending, struct shim_event, node);
		ring_put(&ev->e);
		event_told(ev);
	}
}

void shim_channel_open(struct drbd_shim_rings *rings, u32 generation)
{
	spin_lock_irq(&chan.lock);
	chan.rings = rings;
	chan.generation = generation;
	chan.event_tail = chan.op_head = 0;
	spin_unlock_irq(&chan.lock);
}

void shim_channel_close(void)
{
	spin_lock_irq(&chan.lock);
	chan.rings = NULL;
	chan.generation = 0;
	while (!list_empty(&chan.pending))
		event_told(list_first_entry(&chan.pending, struct shim_event, node));
	spin_unlock_irq(&chan.lock);
}

/* For poll: are there events that the engine has not consumed? Also fills the ring from what had no room. */
bool shim_channel_readable(void)
{
	bool readable;

	spin_lock_irq(&chan.lock);
	pump();
	readable = chan.event_tail != READ_ONCE(chan.rings->event_head) || READ_ONCE(chan.rings->requests);
	spin_unlock_irq(&chan.lock);
	return readable;
}

void shim_channel_requests(u32 count)
{
	unsigned long flags;

	spin_lock_irqsave(&chan.lock, flags);
	if (chan.rings) {
		WRITE_ONCE(chan.rings->requests, count);
		if (count)
			wake();
	}
	spin_unlock_irqrestore(&chan.lock, flags);
}

static int run_op(const struct drbd_shim_op *op)
{
	struct shim_device *dev;

	if (memchr_inv(op->reserved, 0, sizeof(op->reserved)))
		return -EINVAL;
	if (op->type == DRBD_SHIM_OP_NOP)
		return 0;
	dev = shim_device(op->device);
	if (!dev || dev->adopted != chan.generation || (!dev->started && op->type != DRBD_SHIM_OP_LOWER))
		return -ENODEV;
	switch (op->type) {
	case DRBD_SHIM_OP_COMPLETE:	return shim_complete(dev, op);
	case DRBD_SHIM_OP_LOWER:	return shim_lower(dev, op);
	case DRBD_SHIM_OP_POLICY:	return shim_policy(dev, op);
	case DRBD_SHIM_OP_OPEN_ANSWER:	return shim_open_answer(dev, op);
	case DRBD_SHIM_OP_DRAINED:	return shim_drained(dev);
	case DRBD_SHIM_OP_FREE:		return shim_free(dev, op);
	}
	return -EINVAL;
}

/* With channel.calls held by the engine's own call, so rings can't go away. */
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
	spin_lock_irq(&chan.lock);
	pump();
	spin_unlock_irq(&chan.lock);
	return 0;
}
