// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * LOWER: the engine's I/O to a backing device, on the arena's own pages. The doorbell sends what the disk takes without
 * a wait; the rest, and what failed that way for any reason, goes by a worker that may block.
 */
#include <linux/blk-integrity.h>
#include <linux/blk-mq.h>
#include "shim.h"

/* LOWERs that work without free memory; more of them only while memory is there. */
#define RESERVE 256

struct lower {
	struct llist_node node;		/* in backing.queue */
	struct shim_backing *b;
	struct shim_arena *arena;	/* NULL: no data */
	struct drbd_shim_op op;
	struct shim_slot *slot;		/* NULL: of no bio */
	u32 generation;
	bool dropped, direct;		/* direct: sent by the doorbell */
	struct shim_event ev;
	struct bio bio;			/* last: its vectors follow */
};

static struct bio_set lower_set;

int shim_bios_init(void)
{
	int rc = bioset_init(&shim_bypass_set, BIO_POOL_SIZE, offsetof(struct shim_bypass, clone), 0);

	return rc ? : bioset_init(&lower_set, RESERVE, offsetof(struct lower, bio), BIOSET_NEED_BVECS);
}

/* Also after a failure of the other one. */
void shim_bios_exit(void)
{
	bioset_exit(&lower_set);
	bioset_exit(&shim_bypass_set);
}

static void lower_told(struct shim_event *ev)
{
	bio_put(&container_of(ev, struct lower, ev)->bio);
}

/* device.lock, without which the LOWER could end before the worker is queued, and the claim with it. */
static void lower_queue(struct lower *l)
{
	l->direct = false;
	if (llist_add(&l->node, &l->b->queue))
		queue_work(l->b->wq, &l->b->work);
}

/* Any context. */
static void lower_end(struct bio *bio)
{
	struct lower *l = container_of(bio, struct lower, bio);
	struct shim_backing *b = l->b;
	struct shim_device *dev = b->dev;
	struct drbd_shim_event e = {
		.type = DRBD_SHIM_EV_LOWER_DONE, .op = b->role, .device = dev->id, .tag = l->op.cookie,
		.error = -blk_status_to_errno(bio->bi_status), .flags = bdev_write_cache(b->bdev) ? 0 : DRBD_SHIM_STABLE,
	};

	scoped_guard(spinlock_irqsave, &dev->lock) {
		if (l->direct && bio->bi_status) {
			b->direct &= bio->bi_status == BLK_STS_AGAIN;
			return lower_queue(l);
		}
		if (l->slot) {
			l->slot->flying--;
			if (bio->bi_status)
				l->slot->local = DRBD_SHIM_LOCAL_FAILED;
			else if (l->dropped && l->slot->local == DRBD_SHIM_LOCAL_DONE)
				l->slot->local = DRBD_SHIM_LOCAL_NONE;
			if (shim_slot_put(dev, l->slot))
				mod_delayed_work(shim_wq, &dev->admit, 0);
		}
		if (l->generation > b->late_generation)
			b->flying--;
		else if (!--b->late)
			shim_tell(&dev->events[SHIM_QUIET + b->role], 0, .type = DRBD_SHIM_EV_BACKING_QUIET,
				  .op = b->role, .device = dev->id);
	}
	/* the device may be gone from here on */
	if (l->arena)
		shim_arena_put(l->arena);
	shim_emit(&l->ev, l->generation, &e);
}

/* Discard and zeroes: the block layer makes the bios, ours waits for them. */
static void send_range(struct lower *l)
{
	sector_t sector = l->op.sector, sectors = l->op.bytes >> SECTOR_SHIFT;
	struct bio *bio = NULL;
	int rc;

	if (l->op.op == DRBD_SHIM_DISCARD)
		rc = __blkdev_issue_discard(l->b->bdev, sector, sectors, GFP_NOIO, &bio);
	else
		rc = __blkdev_issue_zeroout(l->b->bdev, sector, sectors, GFP_NOIO, &bio,
					    l->op.flags & DRBD_SHIM_UNMAP ? 0 : BLKDEV_ZERO_NOUNMAP);
	l->bio.bi_status = errno_to_blk_status(rc);
	if (bio) {
		bio_chain(bio, &l->bio);
		submit_bio_noacct(bio);
	}
	bio_endio(&l->bio);
}

/* In the backing device's worker, or in the doorbell. */
static void lower_send(struct lower *l)
{
	u32 left = l->arena ? l->op.bytes : 0, len;
	u64 at = l->op.offset;
	u16 f = l->op.op == DRBD_SHIM_FLUSH ? DRBD_SHIM_PREFLUSH : l->op.flags;

	bio_reset(&l->bio, l->b->bdev, (l->op.op == DRBD_SHIM_READ ? REQ_OP_READ : REQ_OP_WRITE) |
		  (f & DRBD_SHIM_PREFLUSH ? REQ_PREFLUSH : 0) | (f & DRBD_SHIM_FUA ? REQ_FUA : 0) |
		  (f & DRBD_SHIM_SYNC ? REQ_SYNC : 0) |
		  (f & DRBD_SHIM_META ? REQ_META | REQ_PRIO : 0) | (f & DRBD_SHIM_RAHEAD ? REQ_RAHEAD : 0) |
		  (l->direct ? REQ_NOWAIT | REQ_IDLE : 0));
	l->bio.bi_iter.bi_sector = l->op.sector;
	l->bio.bi_end_io = lower_end;
	l->dropped = l->generation != READ_ONCE(shim_channel.generation);
	if (l->dropped)
		return bio_endio(&l->bio);
	if (l->op.op > DRBD_SHIM_FLUSH)
		return send_range(l);
	for (; left; left -= len, at += len) {
		len = min_t(u32, left, PAGE_SIZE - offset_in_page(at));
		/* Neighbours become one vector: fewer segments than the disk takes, mostly. */
		if (WARN_ON_ONCE(bio_add_page(&l->bio, l->arena->pages[at >> PAGE_SHIFT], len, offset_in_page(at)) != len))
			return bio_io_error(&l->bio);
	}
	submit_bio_noacct(&l->bio);
}

void shim_lower_work(struct work_struct *work)
{
	struct shim_backing *b = container_of(work, struct shim_backing, work);
	struct lower *l, *next;
	struct blk_plug plug;

	blk_start_plug(&plug);
	llist_for_each_entry_safe(l, next, llist_reverse_order(llist_del_all(&b->queue)), node)
		lower_send(l);
	blk_finish_plug(&plug);
}

/* device.lock. Is this order right? */
static int lower_check(struct shim_device *dev, const struct shim_backing *b, const struct drbd_shim_op *op,
		       const struct shim_slot *slot)
{
	const struct shim_arena *arena = op->arena < DRBD_SHIM_ARENAS ? dev->arenas[op->arena] : NULL;
	u64 size = bdev_nr_sectors(b->bdev);

	if (op->op > DRBD_SHIM_WRITE_ZEROES || (op->tag != -1 && !slot) ||
	    op->flags >= DRBD_SHIM_BYPASS_FAILED)	/* this one, and higher ones, only events have */
		return -EINVAL;
	if (b->flying >= DRBD_SHIM_MAX_LOWER || (b->late && op->op != DRBD_SHIM_READ))
		return -EBUSY;
	if (op->op == DRBD_SHIM_FLUSH)
		return op->sector || op->bytes ? -EINVAL : 0;
	if (!op->bytes || (op->bytes | op->sector << SECTOR_SHIFT) & (bdev_logical_block_size(b->bdev) - 1) ||
	    op->sector > size || op->bytes >> SECTOR_SHIFT > size - op->sector)
		return -EINVAL;
	if (op->op > DRBD_SHIM_WRITE)
		return 0;
	if (!arena || op->offset < 0 || op->offset & (bdev_dma_alignment(b->bdev) | (SECTOR_SIZE - 1)) ||
	    op->offset > arena->bytes || op->bytes > arena->bytes - op->offset || op->bytes > DRBD_SHIM_MAX_IO)
		return -EINVAL;
	if (op->arena != DRBD_SHIM_DATA_ARENA || op->offset >= (u64)dev->bio_pages << PAGE_SHIFT)
		return 0;
	return !slot || op->offset < slot->room || op->offset + op->bytes > slot->room + ((u64)slot->room_pages << PAGE_SHIFT) ?
		-EINVAL : 0;
}

/*
 * The engine must not wait in its doorbell. Where the disk knows REQ_NOWAIT, reads do not, and synchronous writes: the
 * throttling of writeback does not heed REQ_NOWAIT, but lets SYNC with IDLE through. Drivers that send in the caller's
 * context, and memory for checksums, do not heed it either.
 */
bool shim_lower_direct(struct block_device *bdev)
{
	const struct blk_mq_tag_set *set = bdev_get_queue(bdev)->tag_set;

	return bdev_nowait(bdev) && !(set && set->flags & BLK_MQ_F_BLOCKING) && !bdev_get_integrity(bdev);
}

int shim_lower(struct shim_device *dev, const struct drbd_shim_op *op)
{
	u64 pages = op->op <= DRBD_SHIM_WRITE ? DIV_ROUND_UP(offset_in_page(op->offset) + (u64)op->bytes, PAGE_SIZE) : 0;
	struct shim_backing *b = shim_claimed(dev, op->role);
	unsigned long slept = current->nvcsw;
	struct shim_slot *slot = NULL;
	struct lower *l;
	struct bio *bio;
	bool direct;
	int rc;

	if (!b)
		return -ENXIO;
	if (pages > BIO_MAX_VECS)
		return -EINVAL;
	/* only for the largest size a reserve of vectors exists */
	bio = bio_alloc_bioset(NULL, pages, 0, GFP_NOWAIT | __GFP_NOWARN, &lower_set) ? :
	      bio_alloc_bioset(NULL, BIO_MAX_VECS, 0, GFP_NOWAIT | __GFP_NOWARN, &lower_set);
	if (!bio)
		return -EAGAIN;
	l = container_of(bio, struct lower, bio);
	spin_lock_irq(&dev->lock);
	if (op->tag >= 0 && op->tag < dev->max_tags)
		slot = &dev->slots[array_index_nospec(op->tag, dev->max_tags)];
	if (slot && (slot->local == DRBD_SHIM_LOCAL_NEW || !slot->bio))
		slot = NULL;
	rc = lower_check(dev, b, op, slot);
	if (rc) {
		spin_unlock_irq(&dev->lock);
		bio_put(bio);
		return rc;
	}
	l->b = b;
	l->op = *op;
	l->generation = shim_channel.generation;
	l->slot = slot;
	l->direct = direct = b->direct && (op->op == DRBD_SHIM_READ || (op->op == DRBD_SHIM_WRITE && op->flags & DRBD_SHIM_SYNC));
	l->arena = pages ? dev->arenas[op->arena] : NULL;
	if (l->arena)
		refcount_inc(&l->arena->ref);
	shim_event_init(&l->ev, lower_told);
	if (slot && !slot->flying++)
		slot->local = DRBD_SHIM_LOCAL_DONE;	/* until one ends otherwise */
	b->flying++;
	if (!direct)
		lower_queue(l);
	spin_unlock_irq(&dev->lock);
	if (direct)
		lower_send(l);
	if (direct && current->nvcsw != slept)	/* it slept all the same: not tried again */
		WRITE_ONCE(b->direct, false);
	return 0;
}
