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
#endif

/* compat_limits.c */
struct gendisk *shim_alloc_disk(void);
void shim_get_limits(struct block_device *bdev, struct drbd_shim_backing *arg);

#endif
