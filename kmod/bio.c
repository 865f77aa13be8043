// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Bios of /dev/drbdN. In the engine's hands each has a slot and, for data, room in the arena; all others wait in lists.
 * Reads may bypass the engine.
 */
#include "shim.h"

/* Mark in bi_opf of a bio that failed when it bypassed the engine. */
#define SHIM_BYPASS_FAILED REQ_DRV

/* Frees what nobody holds any more; true if a bio may now leave its waiting list. device.lock */
bool shim_slot_put(struct shim_device *dev, struct shim_slot *slot)
{
	if (slot->bio || slot->flying)
		return false;
	bitmap_clear(dev->room, slot->room >> PAGE_SHIFT, slot->room_pages);
	slot->local = DRBD_SHIM_LOCAL_NEW;
	list_move(&slot->node, &dev->free);
	return !bio_list_empty(&dev->waiting);
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
		(opf & REQ_RAHEAD ? DRBD_SHIM_RAHEAD : 0) | (opf & SHIM_BYPASS_FAILED ? DRBD_SHIM_BYPASS_FAILED : 0) |
		(bio_op(bio) == REQ_OP_WRITE_ZEROES && !(opf & REQ_NOUNMAP) ? DRBD_SHIM_UNMAP : 0);
}

/* device.lock */
static void tell(struct shim_device *dev, struct shim_slot *slot)
{
	struct bio *bio = slot->bio;
	u32 local = slot->local;

	if (local == DRBD_SHIM_LOCAL_NEW)
		WRITE_ONCE(slot->local, DRBD_SHIM_LOCAL_NONE);
	shim_tell(&slot->ev, dev->generation, .type = DRBD_SHIM_EV_BIO, .device = dev->id, .tag = slot - dev->slots,
		  .local = slot->flying ? DRBD_SHIM_LOCAL_FLYING : local, .op = io_kind(bio), .flags = io_flags(bio),
		  .sector = bio->bi_iter.bi_size ? bio->bi_iter.bi_sector : 0, .bytes = bio->bi_iter.bi_size,
		  .offset = slot->room_pages ? slot->room : -1);
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

/* First page of free room that nobody holds, or bio_pages; looked for again later if some is held. device.lock */
static u32 find_room(struct shim_device *dev, u32 pages)
{
	u32 i, at = 0;
	bool held = false;

	while ((at = bitmap_find_next_zero_area(dev->room, dev->bio_pages, at, pages, 0)) < dev->bio_pages) {
		i = shim_arena_held(dev->arenas[DRBD_SHIM_DATA_ARENA], at, at + pages);
		if (i == at + pages)
			return at;
		at = i + 1;
		held = true;
	}
	if (held)
		mod_delayed_work(shim_wq, &dev->admit, 1);
	return dev->bio_pages;
}

/* Moves the oldest waiting bio into a slot; NULL if there is none, or no slot or room for it. device.lock */
static struct shim_slot *admit_one(struct shim_device *dev)
{
	struct bio *bio = bio_list_peek(&dev->waiting);
	struct shim_slot *slot = list_first_entry_or_null(&dev->free, struct shim_slot, node);
	u32 pages, at;

	if (!dev->started || !bio || !slot)
		return NULL;
	pages = io_kind(bio) <= DRBD_SHIM_WRITE ? DIV_ROUND_UP(bio->bi_iter.bi_size, PAGE_SIZE) : 0;
	at = pages ? find_room(dev, pages) : 0;
	if (at >= dev->bio_pages)
		return NULL;
	bitmap_set(dev->room, at, pages);
	slot->bio = bio_list_pop(&dev->waiting);
	slot->room = (u64)at << PAGE_SHIFT;
	slot->room_pages = pages;
	slot->start = bio_start_io_acct(bio);
	list_move_tail(&slot->node, &dev->busy);
	return slot;
}

/* Gives waiting bios to the engine as far as there is room. Copies data: not in interrupts. */
void shim_admit(struct work_struct *work)
{
	struct shim_device *dev = container_of(work, struct shim_device, admit.work);
	struct shim_slot *slot;

	guard(spinlock_irq)(&dev->lock);
	while ((slot = admit_one(dev))) {
		if (shim_slot_written(slot)) {
			dev->n_copying++;
			spin_unlock_irq(&dev->lock);
			copy_bio(slot->bio, dev->arenas[DRBD_SHIM_DATA_ARENA]->addr + slot->room, true);
			spin_lock_irq(&dev->lock);
			if (!--dev->n_copying)
				wake_up_all(&dev->wait);
		}
		if (dev->started)
			tell(dev, slot);
	}
}

int shim_complete(struct shim_device *dev, const struct drbd_shim_op *op)
{
	struct shim_arena *arena = dev->arenas[DRBD_SHIM_DATA_ARENA];
	struct shim_slot *slot;
	struct bio *bio;
	bool admit;

	if (op->flags || op->error < 0 || op->error > MAX_ERRNO || op->tag < 0 || op->tag >= dev->max_tags)
		return -EINVAL;
	/* no lock: only calls of the engine end a told bio, and they come one at a time */
	slot = &dev->slots[array_index_nospec(op->tag, dev->max_tags)];
	bio = READ_ONCE(slot->local) != DRBD_SHIM_LOCAL_NEW ? slot->bio : NULL;
	if (!bio)
		return -ENOENT;
	if (bio_op(bio) == REQ_OP_READ && !op->error) {
		if (op->offset < 0 || op->offset > arena->bytes || bio->bi_iter.bi_size > arena->bytes - op->offset)
			return -EINVAL;
		copy_bio(bio, arena->addr + op->offset, false);
	}
	bio_end_io_acct(bio, slot->start);
	scoped_guard(spinlock_irq, &dev->lock) {
		slot->bio = NULL;
		admit = shim_slot_put(dev, slot);
	}
	bio->bi_status = errno_to_blk_status(-op->error);
	bio_endio(bio);
	if (admit)
		shim_admit(&dev->admit.work);
	return 0;
}

/* Tells a new engine of everything that is not ended, in order of arrival. */
SHIM_CALL(shim_device_start)
{
	const struct drbd_shim_device_id *arg = data;
	struct shim_slot *slot;

	if (arg->reserved || dev->adopted != shim_channel.generation)
		return -EINVAL;
	if (dev->started)
		return -EBUSY;
	scoped_guard(spinlock_irq, &dev->lock) {
		dev->generation = shim_channel.generation;
		dev->started = true;
		shim_openers_retell(dev);
		list_for_each_entry(slot, &dev->busy, node)
			if (slot->bio)
				tell(dev, slot);
	}
	shim_admit(&dev->admit.work);
	return 0;
}

/* Ends all bios with EIO. The device must not be started. */
void shim_bios_fail(struct shim_device *dev)
{
	struct shim_slot *slot, *next;
	struct bio_list bios;
	struct bio *bio;

	shim_wait_copying(dev);
	scoped_guard(spinlock_irq, &dev->lock) {
		bios = dev->waiting;
		bio_list_init(&dev->waiting);
		list_for_each_entry_safe(slot, next, &dev->busy, node) {
			if (!slot->bio)
				continue;
			bio_end_io_acct(slot->bio, slot->start);
			bio_list_add(&bios, slot->bio);
			slot->bio = NULL;
			shim_slot_put(dev, slot);
		}
	}
	while ((bio = bio_list_pop(&bios)))
		bio_io_error(bio);
}

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
	struct bio *orig = b->orig;
	struct shim_device *dev = orig->bi_bdev->bd_disk->private_data;

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
		mod_delayed_work(shim_wq, &dev->admit, 0);
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
		shim_admit(&dev->admit.work);
}
