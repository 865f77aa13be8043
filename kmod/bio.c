// SPDX-License-Identifier: GPL-2.0-or-later
/* What the block layer submits; reads that bypass the engine. */
#include "shim.h"

struct bio_set shim_bypass_set;

/* Under the device's lock when the last one is gone, so that RELEASE can exclude it. */
static void bypass_put(struct shim_device *dev)
{
	unsigned long flags;

	if (!atomic_dec_and_lock_irqsave(&dev->bypassing, &dev->lock, flags))
		return;
	if (test_and_clear_bit(0, &dev->policy_closing))
		shim_tell(&dev->events[SHIM_POLICY], dev->generation, .type = DRBD_SHIM_EV_POLICY_CLOSED, .device = dev->id);
	spin_unlock_irqrestore(&dev->lock, flags);
}

static void bypass_end(struct bio *clone)
{
	struct shim_bypass *b = container_of(clone, struct shim_bypass, clone);
	struct shim_device *dev = b->dev;
	struct bio *orig = b->orig;

	bio_end_io_acct(orig, b->start);
	if (!clone->bi_status || orig->bi_opf & REQ_RAHEAD) {
		atomic64_inc(&dev->bypassed_reads);
		atomic64_add(bio_sectors(orig), &dev->bypassed_sectors);
		orig->bi_status = clone->bi_status;
		bio_endio(orig);
	} else {
		clear_bit(ilog2(DRBD_SHIM_READ_BYPASS), &dev->policy);
		orig->bi_opf |= SHIM_BYPASS_FAILED;
		guard(spinlock_irqsave)(&dev->lock);
		bio_list_add_head(&dev->waiting, orig);
		queue_work(shim_wq, &dev->admit);
	}
	bio_put(clone);
	bypass_put(dev);
}

/* False: the policy does not allow it. */
static bool bypass(struct shim_device *dev, struct bio *bio)
{
	struct bio *clone;
	struct shim_bypass *b;

	if (!(READ_ONCE(dev->policy) & DRBD_SHIM_READ_BYPASS))
		return false;
	atomic_inc(&dev->bypassing);
	smp_mb__after_atomic();	/* pairs with shim_policy(): either it sees our count, or we see it closed */
	if (!(READ_ONCE(dev->policy) & DRBD_SHIM_READ_BYPASS)) {
		bypass_put(dev);
		return false;
	}
	clone = bio_alloc_clone(dev->backing[DRBD_SHIM_DATA].bdev, bio, GFP_NOIO, &shim_bypass_set);
	b = container_of(clone, struct shim_bypass, clone);
	b->dev = dev;
	b->orig = bio;
	b->start = bio_start_io_acct(bio);
	clone->bi_end_io = bypass_end;
	submit_bio_noacct(clone);
	return true;
}

int shim_policy(struct shim_device *dev, const struct drbd_shim_op *op)
{
	if (op->flags & ~DRBD_SHIM_READ_BYPASS)
		return -EINVAL;
	if (op->flags && !dev->backing[DRBD_SHIM_DATA].bdev)
		return -ENXIO;
	WRITE_ONCE(dev->policy, op->flags);
	if (op->flags)
		return 0;
	/* counted like a read itself: whoever is last tells */
	atomic_inc(&dev->bypassing);
	set_bit(0, &dev->policy_closing);
	smp_mb__after_atomic();
	bypass_put(dev);
	return 0;
}

void shim_submit_bio(struct bio *bio)
{
	struct shim_device *dev = bio->bi_bdev->bd_disk->private_data;
	bool refuse;

	bio = bio_split_to_limits(bio);
	if (!bio)
		return;
	if (bio_op(bio) == REQ_OP_READ && bypass(dev, bio))
		return;
	scoped_guard(spinlock_irq, &dev->lock) {
		refuse = dev->dead || READ_ONCE(shim_io_lost);
		if (!refuse)
			bio_list_add(&dev->waiting, bio);
	}
	if (refuse)
		bio_io_error(bio);
	else
		shim_admit(&dev->admit);
}
