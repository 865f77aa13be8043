// SPDX-License-Identifier: GPL-2.0-or-later
/* Bios: those that go to the engine in slots with room in the arena, and reads that bypass it. */
#include <linux/bitmap.h>
#include "shim.h"

struct bypass {
	struct shim_device *dev;
	struct bio *orig;
	unsigned long start;
	struct bio clone;		/* last: its vectors follow */
};

static struct bio_set bypass_set;

int shim_bio_init(void)
{
	return bioset_init(&bypass_set, BIO_POOL_SIZE, offsetof(struct bypass, clone), 0);
}

void shim_bio_exit(void)
{
	bioset_exit(&bypass_set);
}

/* ---- slots and rooms ---- */

/* The slot of a bio that the engine was told of and has not ended; device.lock. */
struct shim_slot *shim_slot(struct shim_device *dev, s32 tag)
{
	struct shim_slot *slot;

	if (tag < 0 || tag >= dev->max_tags)
		return NULL;
	slot = &dev->slots[array_index_nospec(tag, dev->max_tags)];
	return slot->told && slot->bio ? slot : NULL;
}

/* Frees what nobody holds any more; true if a bio may now leave its waiting list. device.lock. */
bool shim_slot_put(struct shim_device *dev, struct shim_slot *slot)
{
	if (slot->bio || slot->flying || slot->kept)
		return false;
	if (slot->room_pages)
		bitmap_clear(dev->room, slot->room_page, slot->room_pages);
	slot->told = false;
	list_move(&slot->node, &dev->free);
	dev->n_busy--;
	return dev->n_waiting > 0;
}

static bool room_take(struct shim_device *dev, struct shim_slot *slot, u32 pages)
{
	unsigned long at = bitmap_find_next_zero_area(dev->room, dev->bio_pages, dev->room_hint, pages, 0);

	if (at >= dev->bio_pages)
		at = bitmap_find_next_zero_area(dev->room, dev->bio_pages, 0, pages, 0);
	if (at >= dev->bio_pages)
		return false;
	bitmap_set(dev->room, at, pages);
	slot->room_page = at;
	dev->room_hint = at + pages;
	return true;
}

static u8 io_kind(struct bio *bio)
{
	switch (bio_op(bio)) {
	case REQ_OP_READ:		return DRBD_SHIM_READ;
	case REQ_OP_DISCARD:		return DRBD_SHIM_DISCARD;
	case REQ_OP_WRITE_ZEROES:	return DRBD_SHIM_WRITE_ZEROES;
	default:			return bio->bi_iter.bi_size ? DRBD_SHIM_WRITE : DRBD_SHIM_FLUSH;
	}
}

static u16 io_flags(struct bio *bio)
{
	blk_opf_t opf = bio->bi_opf;

	return (opf & REQ_PREFLUSH ? DRBD_SHIM_PREFLUSH : 0) | (opf & REQ_FUA ? DRBD_SHIM_FUA : 0) |
		(opf & REQ_SYNC ? DRBD_SHIM_SYNC : 0) | (opf & REQ_META ? DRBD_SHIM_META : 0) |
		(opf & REQ_RAHEAD ? DRBD_SHIM_RAHEAD : 0) |
		(bio_op(bio) == REQ_OP_WRITE_ZEROES && !(opf & REQ_NOUNMAP) ? DRBD_SHIM_UNMAP : 0);
}

static u32 local_state(const struct shim_slot *slot)
{
	if (!slot->told)
		return DRBD_SHIM_LOCAL_NEW;
	if (slot->flying)
		return DRBD_SHIM_LOCAL_FLYING;
	if (slot->failed)
		return DRBD_SHIM_LOCAL_FAILED;
	return slot->done && !slot->dropped ? DRBD_SHIM_LOCAL_DONE : DRBD_SHIM_LOCAL_NONE;
}

/* device.lock */
static void tell(struct shim_device *dev, struct shim_slot *slot)
{
	struct bio *bio = slot->bio;
	bool flush = io_kind(bio) == DRBD_SHIM_FLUSH;
	struct drbd_shim_event e = {
		.type = DRBD_SHIM_EV_BIO,
		.op = io_kind(bio),
		.flags = io_flags(bio) | (slot->bypass_failed ? DRBD_SHIM_BYPASS_FAILED : 0),
		.device = dev->id,
		.tag = slot - dev->slots,
		.sector = flush ? 0 : bio->bi_iter.bi_sector,
		.bytes = bio->bi_iter.bi_size,
		.offset = slot->room_pages ? (s64)slot->room_page << PAGE_SHIFT : -1,
		.local = local_state(slot),
	};

	slot->told = true;
	shim_emit(&slot->ev, &e, dev->generation);
}

static void copy_bio(struct bio *bio, char *data, bool out)
{
	struct bvec_iter iter;
	struct bio_vec bv;

	bio_for_each_segment(bv, bio, iter) {
		if (out)
			memcpy_from_bvec(data, &bv);
		else
			memcpy_to_bvec(&bv, data);
		data += bv.bv_len;
	}
}

static char *room_of(struct shim_device *dev, struct shim_slot *slot)
{
	return dev->arenas[DRBD_SHIM_DATA_ARENA]->addr + ((u64)slot->room_page << PAGE_SHIFT);
}

/* ---- from the block layer to the engine ---- */

/* Moves the oldest waiting bio into a slot; NULL if there is none, or no slot or room for it. */
static struct shim_slot *admit_one(struct shim_device *dev)
{
	struct bio_list *list;
	struct shim_slot *slot;
	struct bio *bio;
	u32 pages = 0;

	lockdep_assert_held(&dev->lock);
	list = bio_list_empty(&dev->failed) ? &dev->waiting : &dev->failed;
	bio = bio_list_peek(list);
	slot = list_first_entry_or_null(&dev->free, struct shim_slot, node);
	if (!dev->started || !bio || !slot)
		return NULL;
	if (io_kind(bio) <= DRBD_SHIM_WRITE && !(dev->policy & DRBD_SHIM_NO_COPY))
		pages = DIV_ROUND_UP(bio->bi_iter.bi_size, PAGE_SIZE);
	if (pages && !room_take(dev, slot, pages))
		return NULL;
	bio_list_pop(list);
	dev->n_waiting--;
	dev->n_busy++;
	slot->bio = bio;
	slot->seq++;
	slot->room_pages = pages;
	slot->bypass_failed = list == &dev->failed;
	slot->cloned = slot->failed = slot->done = slot->dropped = false;
	slot->start = bio_start_io_acct(bio);
	slot->copying = pages && op_is_write(bio_op(bio));
	dev->n_copying += slot->copying;
	list_move_tail(&slot->node, &dev->busy);
	if (!slot->copying)
		tell(dev, slot);
	return slot;
}

/* Gives waiting bios to the engine as far as there is room. Copies data: not in interrupts. */
void shim_admit(struct shim_device *dev)
{
	struct shim_slot *slot;

	spin_lock_irq(&dev->lock);
	while ((slot = admit_one(dev))) {
		if (!slot->copying)
			continue;
		spin_unlock_irq(&dev->lock);
		copy_bio(slot->bio, room_of(dev, slot), true);
		spin_lock_irq(&dev->lock);
		slot->copying = false;
		if (!--dev->n_copying)
			wake_up_all(&dev->wait);
		if (dev->started)
			tell(dev, slot);
	}
	spin_unlock_irq(&dev->lock);
}

void shim_admit_work(struct work_struct *work)
{
	shim_admit(container_of(work, struct shim_device, admit_work));
}

/* Under the device's lock when the last one is gone, so that RELEASE can exclude it. */
static void bypass_put(struct shim_device *dev)
{
	struct drbd_shim_event e = { .type = DRBD_SHIM_EV_POLICY_CLOSED, .device = dev->id };
	unsigned long flags;

	if (!atomic_dec_and_lock_irqsave(&dev->bypassing, &dev->lock, flags))
		return;
	if (test_and_clear_bit(0, &dev->policy_closing))
		shim_emit(&dev->policy_event, &e, dev->generation);
	spin_unlock_irqrestore(&dev->lock, flags);
}

static void bypass_end(struct bio *clone)
{
	struct bypass *b = container_of(clone, struct bypass, clone);
	struct shim_device *dev = b->dev;
	struct bio *orig = b->orig;
	unsigned long flags;

	bio_end_io_acct(orig, b->start);
	if (!clone->bi_status || orig->bi_opf & REQ_RAHEAD) {
		atomic64_inc(&dev->bypassed_reads);
		atomic64_add(bio_sectors(orig), &dev->bypassed_sectors);
		orig->bi_status = clone->bi_status;
		bio_endio(orig);
	} else {
		clear_bit(ilog2(DRBD_SHIM_READ_BYPASS), &dev->policy);
		spin_lock_irqsave(&dev->lock, flags);
		bio_list_add(&dev->failed, orig);
		dev->n_waiting++;
		queue_work(shim_wq, &dev->admit_work);
		spin_unlock_irqrestore(&dev->lock, flags);
	}
	bio_put(clone);
	bypass_put(dev);
}

/* False: the policy does not allow it. */
static bool bypass(struct shim_device *dev, struct bio *bio)
{
	struct bio *clone;
	struct bypass *b;

	if (!(READ_ONCE(dev->policy) & DRBD_SHIM_READ_BYPASS))
		return false;
	atomic_inc(&dev->bypassing);
	smp_mb__after_atomic();	/* pairs with shim_policy(): either it sees our count, or we see it closed */
	if (!(READ_ONCE(dev->policy) & DRBD_SHIM_READ_BYPASS)) {
		bypass_put(dev);
		return false;
	}
	clone = bio_alloc_clone(dev->backing[DRBD_SHIM_DATA]->bdev, bio, GFP_NOIO, &bypass_set);
	b = container_of(clone, struct bypass, clone);
	b->dev = dev;
	b->orig = bio;
	b->start = bio_start_io_acct(bio);
	clone->bi_end_io = bypass_end;
	submit_bio_noacct(clone);
	return true;
}

void shim_submit_bio(struct bio *bio)
{
	struct shim_device *dev = bio->bi_bdev->bd_disk->private_data;
	bool refuse;

	bio = bio_split_to_limits(bio);
	if (!bio)
		return;
	switch (bio_op(bio)) {
	case REQ_OP_READ:
		if (bypass(dev, bio))
			return;
		break;
	case REQ_OP_WRITE: case REQ_OP_FLUSH: case REQ_OP_DISCARD: case REQ_OP_WRITE_ZEROES:
		break;
	default:
		bio->bi_status = BLK_STS_NOTSUPP;
		bio_endio(bio);
		return;
	}
	spin_lock_irq(&dev->lock);
	refuse = dev->dead || READ_ONCE(shim_io_lost);
	if (!refuse) {
		bio_list_add(&dev->waiting, bio);
		dev->n_waiting++;
	}
	spin_unlock_irq(&dev->lock);
	if (refuse)
		bio_io_error(bio);
	else
		shim_admit(dev);
}

/* ---- operations of the engine ---- */

/* A read's data are brought from the arena into its bio. */
static int bring(struct shim_device *dev, struct shim_slot *slot, s64 offset)
{
	struct shim_arena *arena = dev->arenas[DRBD_SHIM_DATA_ARENA];
	u32 bytes = slot->bio->bi_iter.bi_size;

	if (offset < 0)
		return slot->cloned ? 0 : -EINVAL;
	if (offset > arena->bytes || bytes > arena->bytes - offset)
		return -EINVAL;
	copy_bio(slot->bio, arena->addr + offset, false);
	return 0;
}

int shim_complete(struct shim_device *dev, const struct drbd_shim_op *op)
{
	struct shim_slot *slot;
	unsigned long start;
	bool admit;
	struct bio *bio;
	int rc;

	if (op->flags & ~DRBD_SHIM_KEEP_ROOM || op->error < 0 || op->error > MAX_ERRNO)
		return -EINVAL;
	spin_lock_irq(&dev->lock);
	slot = shim_slot(dev, op->tag);
	rc = !slot ? -ENOENT : slot->clones ? -EBUSY : 0;
	spin_unlock_irq(&dev->lock);
	if (rc)
		return rc;
	/* only calls of the engine end a told bio, and they come one at a time */
	bio = slot->bio;
	if (bio_op(bio) == REQ_OP_READ && !op->error) {
		rc = bring(dev, slot, op->offset);
		if (rc)
			return rc;
	}
	spin_lock_irq(&dev->lock);
	start = slot->start;
	slot->bio = NULL;
	slot->kept = op->flags & DRBD_SHIM_KEEP_ROOM;
	admit = shim_slot_put(dev, slot);
	spin_unlock_irq(&dev->lock);
	bio_end_io_acct(bio, start);
	bio->bi_status = errno_to_blk_status(-op->error);
	bio_endio(bio);
	if (admit)
		shim_admit(dev);
	return 0;
}

int shim_free(struct shim_device *dev, const struct drbd_shim_op *op)
{
	struct shim_slot *slot;
	bool admit;

	if (op->tag < 0 || op->tag >= dev->max_tags)
		return -EINVAL;
	slot = &dev->slots[array_index_nospec(op->tag, dev->max_tags)];
	spin_lock_irq(&dev->lock);
	if (!slot->kept) {
		spin_unlock_irq(&dev->lock);
		return -ENOENT;
	}
	slot->kept = false;
	admit = shim_slot_put(dev, slot);
	spin_unlock_irq(&dev->lock);
	if (admit)
		shim_admit(dev);
	return 0;
}

int shim_policy(struct shim_device *dev, const struct drbd_shim_op *op)
{
	if (op->flags & ~(DRBD_SHIM_READ_BYPASS | DRBD_SHIM_NO_COPY))
		return -EINVAL;
	if (op->flags & DRBD_SHIM_READ_BYPASS && !dev->backing[DRBD_SHIM_DATA])
		return -ENXIO;
	WRITE_ONCE(dev->policy, op->flags);
	if (op->flags & DRBD_SHIM_READ_BYPASS)
		return 0;
	/* counted like a read itself: whoever is last tells */
	atomic_inc(&dev->bypassing);
	set_bit(0, &dev->policy_closing);
	smp_mb__after_atomic();
	bypass_put(dev);
	return 0;
}

/* ---- engines come and go ---- */

void shim_wait_copying(struct shim_device *dev)
{
	wait_event(dev->wait, !READ_ONCE(dev->n_copying));
}

/* The engine is gone: nothing is kept on its behalf any more. device.lock */
void shim_bios_orphan(struct shim_device *dev)
{
	struct shim_slot *slot, *next;

	list_for_each_entry_safe(slot, next, &dev->busy, node) {
		slot->kept = false;
		shim_slot_put(dev, slot);
	}
}

/* Tells a new engine of everything that is not ended, in order of arrival. device.lock */
void shim_bios_retell(struct shim_device *dev)
{
	struct shim_slot *slot;

	list_for_each_entry(slot, &dev->busy, node)
		if (slot->bio)
			tell(dev, slot);
}

static struct bio *fail_one(struct shim_device *dev)
{
	struct bio *bio = bio_list_pop(&dev->failed) ? : bio_list_pop(&dev->waiting);
	struct shim_slot *slot;

	if (bio) {
		dev->n_waiting--;
		return bio;
	}
	list_for_each_entry(slot, &dev->busy, node) {
		if (!slot->bio || slot->clones || slot->copying)
			continue;
		bio = slot->bio;
		slot->bio = NULL;
		slot->kept = false;
		bio_end_io_acct(bio, slot->start);
		shim_slot_put(dev, slot);
		return bio;
	}
	return NULL;
}

/* Ends all bios with EIO. The device must not be started. */
void shim_bios_fail(struct shim_device *dev)
{
	struct bio *bio;

	shim_wait_copying(dev);
	do {
		spin_lock_irq(&dev->lock);
		bio = fail_one(dev);
		spin_unlock_irq(&dev->lock);
		if (bio)
			bio_io_error(bio);
	} while (bio);
}
