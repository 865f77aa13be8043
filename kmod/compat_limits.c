// SPDX-License-Identifier: GPL-2.0-or-later
/* Queue limits between the uapi and the two kernels' ways of keeping them. */
#include "shim.h"

/* Of a new device. */
static const struct drbd_shim_limits start = {
	.logical_bytes = 512, .physical_bytes = 512, .max_io_bytes = DRBD_SHIM_MAX_IO, .flags = DRBD_SHIM_LIMIT_WRITE_CACHE,
};

#ifdef SHIM_NEW_BLOCK
static void shim_fill_limits(struct queue_limits *lim, const struct drbd_shim_limits *l)
{
	lim->max_hw_discard_sectors = l->max_discard_sectors;
	lim->max_user_discard_sectors = UINT_MAX;
	lim->features = BLK_FEAT_STABLE_WRITES | BLK_FEAT_IO_STAT |
		(l->flags & DRBD_SHIM_LIMIT_WRITE_CACHE ? BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA : 0) |
		(l->flags & DRBD_SHIM_LIMIT_ROTATIONAL ? BLK_FEAT_ROTATIONAL : 0);
}
#else
static void shim_fill_limits(struct queue_limits *lim, const struct drbd_shim_limits *l)
{
	lim->max_hw_discard_sectors = l->max_discard_sectors;
	lim->max_discard_sectors = l->max_discard_sectors;
}
#endif

static void shim_common_limits(struct queue_limits *lim, const struct drbd_shim_limits *l)
{
	blk_set_stacking_limits(lim);
	lim->logical_block_size = l->logical_bytes;
	lim->physical_block_size = l->physical_bytes;
	lim->io_min = l->io_min_bytes ? : l->physical_bytes;
	lim->io_opt = l->io_opt_bytes;
	lim->max_hw_sectors = l->max_io_bytes >> 9;
	lim->max_sectors = l->max_io_bytes >> 9;
	lim->max_dev_sectors = l->max_io_bytes >> 9;
	lim->max_write_zeroes_sectors = l->max_write_zeroes_sectors;
	lim->max_zone_append_sectors = 0;
	lim->discard_granularity = l->discard_granularity;
	shim_fill_limits(lim, l);
}

#ifdef SHIM_NEW_BLOCK
struct gendisk *shim_alloc_disk(void)
{
	struct queue_limits lim = { };

	shim_common_limits(&lim, &start);
	return blk_alloc_disk(&lim, NUMA_NO_NODE);
}

static int set_limits(struct gendisk *disk, const struct drbd_shim_limits *l)
{
	struct queue_limits lim = queue_limits_start_update(disk->queue);

	shim_common_limits(&lim, l);
	return queue_limits_commit_update(disk->queue, &lim);
}
#else
static int set_limits(struct gendisk *disk, const struct drbd_shim_limits *l)
{
	struct request_queue *q = disk->queue;
	struct queue_limits lim;
	bool cache = l->flags & DRBD_SHIM_LIMIT_WRITE_CACHE;

	shim_common_limits(&lim, l);
	q->limits = lim;
	blk_queue_write_cache(q, cache, cache);
	blk_queue_flag_set(QUEUE_FLAG_STABLE_WRITES, q);
	if (l->flags & DRBD_SHIM_LIMIT_ROTATIONAL)
		blk_queue_flag_clear(QUEUE_FLAG_NONROT, q);
	else
		blk_queue_flag_set(QUEUE_FLAG_NONROT, q);
	return 0;
}

struct gendisk *shim_alloc_disk(void)
{
	struct gendisk *disk = blk_alloc_disk(NUMA_NO_NODE);

	if (!disk)
		return ERR_PTR(-ENOMEM);
	set_limits(disk, &start);
	return disk;
}
#endif

SHIM_CALL(shim_device_limits)
{
	const struct drbd_shim_limits *l = data;
	u32 unit = l->logical_bytes - 1, max = UINT_MAX >> SECTOR_SHIFT;

	if (l->flags & ~(DRBD_SHIM_LIMIT_ROTATIONAL | DRBD_SHIM_LIMIT_WRITE_CACHE) ||
	    !is_power_of_2(l->logical_bytes) || l->logical_bytes < 512 || l->logical_bytes > PAGE_SIZE ||
	    !is_power_of_2(l->physical_bytes) || l->physical_bytes < l->logical_bytes ||
	    l->physical_bytes > DRBD_SHIM_MAX_IO || l->max_io_bytes < PAGE_SIZE || l->max_io_bytes > DRBD_SHIM_MAX_IO ||
	    (l->io_min_bytes | l->io_opt_bytes | l->max_io_bytes | l->discard_granularity) & unit ||
	    l->max_discard_sectors > max || l->max_write_zeroes_sectors > max ||
	    (l->max_discard_sectors && !l->discard_granularity))
		return -EINVAL;
	return set_limits(dev->disk, l);
}

void shim_get_limits(struct block_device *bdev, struct drbd_shim_backing *arg)
{
	arg->flags = (bdev_nonrot(bdev) ? 0 : DRBD_SHIM_LIMIT_ROTATIONAL) |
		(bdev_write_cache(bdev) ? DRBD_SHIM_LIMIT_WRITE_CACHE : 0);
	arg->sectors = bdev_nr_sectors(bdev);
	arg->logical_bytes = bdev_logical_block_size(bdev);
	arg->physical_bytes = bdev_physical_block_size(bdev);
	arg->io_min_bytes = bdev_io_min(bdev);
	arg->io_opt_bytes = bdev_io_opt(bdev);
	arg->max_io_bytes = min(queue_max_hw_sectors(bdev_get_queue(bdev)), DRBD_SHIM_MAX_IO >> SECTOR_SHIFT)
		<< SECTOR_SHIFT;
	arg->discard_granularity = bdev_get_queue(bdev)->limits.discard_granularity;
	arg->discard_alignment = bdev_discard_alignment(bdev);
	arg->max_discard_sectors = bdev_max_discard_sectors(bdev);
	arg->max_write_zeroes_sectors = bdev_write_zeroes_sectors(bdev);
	arg->major = MAJOR(bdev->bd_dev);
	arg->minor = MINOR(bdev->bd_dev);
	snprintf(arg->name, sizeof(arg->name), "%pg", bdev);
}
