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
	struct list_head node;		/* in backing.queue */
	struct shim_backing *b;
	struct shim_arena *arena;	/* NULL: no data */
	struct drbd_shim_op op;
	u32 seq;			/* of the slot that op.tag names */
	u32 generation;
	atomic_t pending;		/* its bios, and one for the sender */
	blk_status_t status;
	bool dropped, direct;		/* direct: sent by the doorbell */
	struct shim_event ev;
};

static struct kmem_cache *cache;
static mempool_t pool;
static struct bio_set lower_set;

void shim_lower_exit(void)
{
	bioset_exit(&lower_set);
	mempool_exit(&pool);
	kmem_cache_destroy(cache);
}

int shim_lower_init(void)
{
	int rc;

	cache = KMEM_CACHE(lower, 0);
	rc = cache ? mempool_init_slab_pool(&pool, RESERVE, cache) : -ENOMEM;
	rc = rc ? : bioset_init(&lower_set, RESERVE, 0, BIOSET_NEED_BVECS);
	if (rc)
		shim_lower_exit();
	return rc;
}

/* ---- the end ---- */

static void lower_told(struct shim_event *ev)
{
	mempool_free(container_of(ev, struct lower, ev), &pool);
}

/* device.lock; true if bios that wait may go on */
static bool end_slot(struct shim_device *dev, struct lower *l)
{
	struct shim_slot *slot = &dev->slots[l->op.tag];

	if (slot->seq != l->seq)
		return false;
	slot->flying--;
	slot->dropped |= l->dropped;
	slot->failed |= l->status != BLK_STS_OK;
	slot->done |= !l->dropped;
	return shim_slot_put(dev, slot);
}

/* device.lock */
static void lower_queue(struct lower *l)
{
	l->direct = false;
	l->status = BLK_STS_OK;
	list_add_tail(&l->node, &l->b->queue);
	queue_work(l->b->wq, &l->b->work);
}

/* Any context. */
static void lower_put(struct lower *l)
{
	struct shim_backing *b = l->b;
	struct shim_device *dev = b->dev;
	struct drbd_shim_event e = {
		.type = DRBD_SHIM_EV_LOWER_DONE, .op = l->op.role, .device = l->op.device, .tag = l->op.cookie,
	}, quiet = { .type = DRBD_SHIM_EV_BACKING_QUIET, .op = l->op.role, .device = l->op.device };

	if (!atomic_dec_and_test(&l->pending))
		return;
	if (l->direct && l->status) {
		guard(spinlock_irqsave)(&dev->lock);
		b->direct &= l->status == BLK_STS_AGAIN;
		return lower_queue(l);
	}
	e.flags = bdev_write_cache(b->bdev) ? 0 : DRBD_SHIM_STABLE;
	e.error = -blk_status_to_errno(l->status);
	scoped_guard(spinlock_irqsave, &dev->lock) {
		if (l->op.tag >= 0 && end_slot(dev, l))
			queue_work(shim_wq, &dev->admit_work);
		if (l->generation > b->late_generation)
			b->flying--;
		else if (!--b->late)
			shim_emit(&b->quiet, &quiet, 0);
	}
	/* b and dev may be gone from here on */
	if (l->arena)
		shim_arena_put(l->arena);
	shim_emit(&l->ev, &e, l->generation);
}

static void lower_bio_end(struct bio *bio)
{
	struct lower *l = bio->bi_private;

	if (bio->bi_status)
		WRITE_ONCE(l->status, bio->bi_status);
	bio_put(bio);
	lower_put(l);
}

/* The engine is gone: what it has in flight is late from now on. device.lock */
void shim_lower_orphan(struct shim_device *dev, u32 generation)
{
	struct shim_backing *b;
	u32 i;

	for (i = 0; i < DRBD_SHIM_ROLES; i++) {
		b = dev->backing[i];
		if (!b)
			continue;
		b->late += b->flying;
		b->flying = 0;
		b->late_generation = generation;
	}
}

/* ---- sending: in the backing device's worker, or in the doorbell ---- */

static void send_bio(struct lower *l, struct bio *bio)
{
	bio->bi_private = l;
	bio->bi_end_io = lower_bio_end;
	atomic_inc(&l->pending);
	submit_bio_noacct(bio);
}

static void send_pages(struct lower *l, blk_opf_t opf)
{
	u32 left = l->op.bytes, len;
	u64 at = l->op.offset;
	sector_t sector = l->op.sector;
	struct bio *bio;

	while (left) {
		bio = bio_alloc_bioset(l->b->bdev, bio_max_segs(DIV_ROUND_UP(offset_in_page(at) + left, PAGE_SIZE)),
				       opf, l->direct ? GFP_NOWAIT | __GFP_NOWARN : GFP_NOIO, &lower_set);
		if (!bio) {
			WRITE_ONCE(l->status, BLK_STS_AGAIN);
			return;
		}
		bio->bi_iter.bi_sector = sector;
		for (; left; left -= len, at += len, sector += len >> SECTOR_SHIFT) {
			len = min_t(u32, left, PAGE_SIZE - offset_in_page(at));
			if (bio_add_page(bio, l->arena->pages[at >> PAGE_SHIFT], len, offset_in_page(at)) != len)
				break;
		}
		send_bio(l, bio);
	}
}

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
	if (rc)
		WRITE_ONCE(l->status, errno_to_blk_status(rc));
	if (bio)
		send_bio(l, bio);
}

static void lower_send(struct lower *l)
{
	u16 f = l->op.flags;
	blk_opf_t opf = (f & DRBD_SHIM_PREFLUSH ? REQ_PREFLUSH : 0) | (f & DRBD_SHIM_FUA ? REQ_FUA : 0) |
		(f & DRBD_SHIM_SYNC ? REQ_SYNC : 0) | (f & DRBD_SHIM_META ? REQ_META | REQ_PRIO : 0) |
		(f & DRBD_SHIM_RAHEAD ? REQ_RAHEAD : 0) | (l->direct ? REQ_NOWAIT | REQ_IDLE : 0);

	atomic_set(&l->pending, 1);
	if (l->generation != READ_ONCE(shim_channel.generation))
		l->dropped = true;
	else if (l->op.op == DRBD_SHIM_READ)
		send_pages(l, REQ_OP_READ | opf);
	else if (l->op.op == DRBD_SHIM_WRITE)
		send_pages(l, REQ_OP_WRITE | opf);
	else if (l->op.op == DRBD_SHIM_FLUSH)
		send_bio(l, bio_alloc_bioset(l->b->bdev, 0, REQ_OP_WRITE | REQ_PREFLUSH, GFP_NOIO, &lower_set));
	else
		send_range(l);
	lower_put(l);
}

void shim_lower_work(struct work_struct *work)
{
	struct shim_backing *b = container_of(work, struct shim_backing, work);
	struct lower *l, *next;
	struct blk_plug plug;
	LIST_HEAD(list);

	scoped_guard(spinlock_irq, &b->dev->lock)
		list_splice_init(&b->queue, &list);
	blk_start_plug(&plug);
	list_for_each_entry_safe(l, next, &list, node)
		lower_send(l);
	blk_finish_plug(&plug);
}

/* ---- the engine's order ---- */

/* device.lock */
static int check_memory(struct shim_device *dev, const struct shim_backing *b, const struct drbd_shim_op *op,
			const struct shim_slot *slot)
{
	const struct shim_arena *arena = op->arena < DRBD_SHIM_ARENAS ? dev->arenas[op->arena] : NULL;
	u64 room;

	if (!arena || op->offset < 0 || op->offset & (bdev_dma_alignment(b->bdev) | (SECTOR_SIZE - 1)) ||
	    op->offset > arena->bytes || op->bytes > arena->bytes - op->offset || op->bytes > DRBD_SHIM_MAX_IO)
		return -EINVAL;
	if (op->arena != DRBD_SHIM_DATA_ARENA || op->offset >= (u64)dev->bio_pages << PAGE_SHIFT)
		return 0;
	if (!slot)
		return -EINVAL;
	room = (u64)slot->room_page << PAGE_SHIFT;
	return op->offset < room || op->offset + op->bytes > room + ((u64)slot->room_pages << PAGE_SHIFT) ? -EINVAL : 0;
}

/* device.lock */
static int lower_check(struct shim_device *dev, const struct shim_backing *b, const struct drbd_shim_op *op,
		       const struct shim_slot *slot)
{
	u64 size = bdev_nr_sectors(b->bdev);

	if (op->op > DRBD_SHIM_WRITE_ZEROES || (op->tag != -1 && !slot) ||
	    op->flags & ~(DRBD_SHIM_PREFLUSH | DRBD_SHIM_FUA | DRBD_SHIM_SYNC | DRBD_SHIM_META | DRBD_SHIM_UNMAP |
			  DRBD_SHIM_RAHEAD))
		return -EINVAL;
	if (b->flying >= DRBD_SHIM_MAX_LOWER || (b->late && op->op != DRBD_SHIM_READ))
		return -EBUSY;
	if (op->op == DRBD_SHIM_FLUSH)
		return op->sector || op->bytes ? -EINVAL : 0;
	if (!op->bytes || (op->bytes | op->sector << SECTOR_SHIFT) & (bdev_logical_block_size(b->bdev) - 1) ||
	    op->sector > size || op->bytes >> SECTOR_SHIFT > size - op->sector)
		return -EINVAL;
	return op->op <= DRBD_SHIM_WRITE ? check_memory(dev, b, op, slot) : 0;
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

/* One that slept all the same below us is not tried again. */
static void send_directly(struct lower *l, struct shim_backing *b)
{
	unsigned long slept = current->nvcsw;

	lower_send(l);
	if (current->nvcsw != slept)
		WRITE_ONCE(b->direct, false);
}

int shim_lower(struct shim_device *dev, const struct drbd_shim_op *op)
{
	struct shim_backing *b = op->role < DRBD_SHIM_ROLES ? dev->backing[op->role] : NULL;
	struct shim_slot *slot = NULL;
	struct lower *l;
	bool direct;
	int rc;

	if (!b)
		return -ENXIO;
	l = mempool_alloc(&pool, GFP_NOWAIT | __GFP_NOWARN);
	if (!l)
		return -EAGAIN;
	spin_lock_irq(&dev->lock);
	if (op->tag >= 0 && op->tag < dev->max_tags)
		slot = &dev->slots[array_index_nospec(op->tag, dev->max_tags)];
	if (slot && (!slot->told || !slot->bio))
		slot = NULL;
	rc = lower_check(dev, b, op, slot);
	if (rc) {
		spin_unlock_irq(&dev->lock);
		mempool_free(l, &pool);
		return rc;
	}
	direct = b->direct && (op->op == DRBD_SHIM_READ || (op->op == DRBD_SHIM_WRITE && op->flags & DRBD_SHIM_SYNC));
	*l = (struct lower) {
		.b = b, .op = *op, .generation = shim_channel.generation, .seq = slot ? slot->seq : 0,
		.direct = direct,
	};
	shim_event_init(&l->ev, lower_told);
	if (op->op <= DRBD_SHIM_WRITE) {
		l->arena = dev->arenas[op->arena];
		kref_get(&l->arena->ref);
	}
	if (slot && !slot->flying++)
		slot->failed = slot->done = slot->dropped = false;
	b->flying++;
	if (!direct)
		lower_queue(l);
	spin_unlock_irq(&dev->lock);
	if (direct)
		send_directly(l, b);
	return 0;
}
