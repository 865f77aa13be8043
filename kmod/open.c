// SPDX-License-Identifier: GPL-2.0-or-later
/* open(2) and close(2) of /dev/drbdN: the engine decides, callers may wait. Both run under the disk's open_mutex. */
#include "shim.h"

struct opener {
	struct list_head node;		/* in device.openers until it is answered */
	struct shim_event ev;
	int rc;
};

static void opener_free(struct shim_event *ev)
{
	kfree(container_of(ev, struct opener, ev));
}

/* device.lock */
static void tell_count(struct shim_device *dev)
{
	shim_tell(&dev->events[SHIM_COUNT], dev->generation, .type = DRBD_SHIM_EV_OPEN_COUNT, .device = dev->id,
		  .tag = dev->opens, .flags = dev->writers);
}

int shim_open(SHIM_OPEN_ARGS)
{
	static atomic_t ids;
	struct shim_device *dev = SHIM_OPEN_DISK->private_data;
	struct opener *o = kzalloc(sizeof(*o), GFP_NOIO);	/* the engine may wait for open_mutex in DESTROY */
	int rc;

	if (!o)
		return -ENOMEM;
	shim_event_init(&o->ev, NULL);
	o->ev.e = (struct drbd_shim_event) {
		.type = DRBD_SHIM_EV_OPEN, .device = dev->id, .bytes = current->tgid,
		.id = atomic_inc_return(&ids) & INT_MAX,
		.flags = (mode & SHIM_MODE_WRITE ? DRBD_SHIM_OPEN_WRITE : 0) |
			(mode & SHIM_MODE_EXCL ? DRBD_SHIM_OPEN_EXCL : 0) |
			(mode & SHIM_MODE_NDELAY ? DRBD_SHIM_OPEN_NDELAY : 0),
	};
	get_task_comm(o->ev.e.comm, current);
	scoped_guard(spinlock_irq, &dev->lock) {
		list_add_tail(&o->node, &dev->openers);
		if (dev->started)
			shim_emit(&o->ev, dev->generation, &o->ev.e);
	}
	rc = wait_event_interruptible_timeout(dev->wait, list_empty_careful(&o->node) || READ_ONCE(dev->dead),
					      shim_open_wait * HZ);
	guard(spinlock_irq)(&dev->lock);
	shim_event_cancel(&o->ev);
	if (list_empty(&o->node)) {
		rc = o->rc;
		kfree(o);
		return rc;
	}
	list_del(&o->node);
	o->ev.e.type = DRBD_SHIM_EV_OPEN_GONE;
	shim_event_init(&o->ev, opener_free);
	shim_emit(&o->ev, dev->generation, &o->ev.e);
	return dev->dead ? -ENODEV : rc < 0 ? -EINTR : -EAGAIN;
}

/* A granted open counts from here, even if a signal has come meanwhile. */
int shim_open_answer(struct shim_device *dev, const struct drbd_shim_op *op)
{
	struct opener *o;

	if (op->error < 0 || op->error > MAX_ERRNO)
		return -EINVAL;
	guard(spinlock_irq)(&dev->lock);
	list_for_each_entry(o, &dev->openers, node) {
		if (o->ev.e.id != op->tag)
			continue;
		if (!op->error) {
			dev->opens++;
			dev->writers |= o->ev.e.flags & DRBD_SHIM_OPEN_WRITE;
			tell_count(dev);
		}
		o->rc = -op->error;
		list_del_init(&o->node);
		wake_up_all(&dev->wait);
		break;
	}
	return 0;
}

/* Tells a new engine of the opens. device.lock */
void shim_openers_retell(struct shim_device *dev)
{
	struct opener *o;

	tell_count(dev);
	list_for_each_entry(o, &dev->openers, node)
		shim_emit(&o->ev, dev->generation, &o->ev.e);
}

void shim_release(SHIM_RELEASE_ARGS)
{
	struct shim_device *dev = disk->private_data;

	scoped_guard(spinlock_irq, &dev->lock) {
		dev->opens--;
		dev->closing = !dev->opens && dev->writers && dev->started;
		dev->writers = dev->opens && dev->writers;
		if (dev->closing)
			shim_tell(&dev->events[SHIM_CLOSE], dev->generation,
				  .type = DRBD_SHIM_EV_LAST_CLOSE, .device = dev->id);
		else
			tell_count(dev);
	}
	if (wait_event_killable_timeout(dev->wait, !READ_ONCE(dev->closing), shim_close_wait * HZ) <= 0)
		shim_drained(dev);
}

int shim_drained(struct shim_device *dev)
{
	WRITE_ONCE(dev->closing, false);
	wake_up_all(&dev->wait);
	return 0;
}
