/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What differs between the kernels 6.1 and 6.12. */
#ifndef SHIM_COMPAT_H
#define SHIM_COMPAT_H

#include <linux/blkdev.h>
#include <linux/version.h>
#include "uapi/drbd_shim.h"

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
#define SHIM_NEW_BLOCK 1
#endif

#ifdef SHIM_NEW_BLOCK
#define SHIM_OPEN_ARGS		struct gendisk *disk, blk_mode_t mode
#define SHIM_OPEN_DISK		disk
#define SHIM_RELEASE_ARGS	struct gendisk *disk
#define SHIM_MODE_WRITE		BLK_OPEN_WRITE
#define SHIM_MODE_EXCL		BLK_OPEN_EXCL
#define SHIM_MODE_NDELAY	BLK_OPEN_NDELAY

static inline struct inode *shim_bdev_inode(struct block_device *bdev) { return bdev->bd_mapping->host; }

/* *handle is what shim_bdev_close() wants. */
static inline struct block_device *shim_bdev_open(dev_t dev, void *holder, void **handle)
{
	struct file *file = bdev_file_open_by_dev(dev, BLK_OPEN_READ | BLK_OPEN_WRITE, holder, NULL);

	*handle = file;
	return IS_ERR(file) ? ERR_CAST(file) : file_bdev(file);
}

static inline void shim_bdev_close(void *handle) { bdev_fput(handle); }

static inline void shim_fill_limits(struct queue_limits *lim, const struct drbd_shim_limits *l)
{
	lim->max_hw_discard_sectors = l->max_discard_sectors;
	lim->max_user_discard_sectors = UINT_MAX;
	lim->features = BLK_FEAT_STABLE_WRITES | BLK_FEAT_IO_STAT |
		(l->flags & DRBD_SHIM_LIMIT_WRITE_CACHE ? BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA : 0) |
		(l->flags & DRBD_SHIM_LIMIT_ROTATIONAL ? BLK_FEAT_ROTATIONAL : 0);
}
#else
#define SHIM_OPEN_ARGS		struct block_device *bdev, fmode_t mode
#define SHIM_OPEN_DISK		(bdev->bd_disk)
#define SHIM_RELEASE_ARGS	struct gendisk *disk, fmode_t mode
#define SHIM_MODE_WRITE		FMODE_WRITE
#define SHIM_MODE_EXCL		FMODE_EXCL
#define SHIM_MODE_NDELAY	FMODE_NDELAY

static inline struct inode *shim_bdev_inode(struct block_device *bdev) { return bdev->bd_inode; }

static inline struct block_device *shim_bdev_open(dev_t dev, void *holder, void **handle)
{
	return *handle = blkdev_get_by_dev(dev, FMODE_READ | FMODE_WRITE | FMODE_EXCL, holder);
}

static inline void shim_bdev_close(void *handle)
{
	blkdev_put(handle, FMODE_READ | FMODE_WRITE | FMODE_EXCL);
}

static inline void shim_fill_limits(struct queue_limits *lim, const struct drbd_shim_limits *l)
{
	lim->max_hw_discard_sectors = l->max_discard_sectors;
	lim->max_discard_sectors = l->max_discard_sectors;
}
#endif

static inline void shim_common_limits(struct queue_limits *lim, const struct drbd_shim_limits *l)
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
static inline struct gendisk *shim_alloc_disk(const struct drbd_shim_limits *l)
{
	struct queue_limits lim = { };

	shim_common_limits(&lim, l);
	return blk_alloc_disk(&lim, NUMA_NO_NODE);
}

static inline int shim_set_limits(struct gendisk *disk, const struct drbd_shim_limits *l)
{
	struct queue_limits lim = queue_limits_start_update(disk->queue);

	shim_common_limits(&lim, l);
	return queue_limits_commit_update(disk->queue, &lim);
}
#else
static inline int shim_set_limits(struct gendisk *disk, const struct drbd_shim_limits *l)
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

static inline struct gendisk *shim_alloc_disk(const struct drbd_shim_limits *l)
{
	struct gendisk *disk = blk_alloc_disk(NUMA_NO_NODE);

	if (!disk)
		return ERR_PTR(-ENOMEM);
	shim_set_limits(disk, l);
	return disk;
}
#endif
#endif
