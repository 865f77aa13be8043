// SPDX-License-Identifier: GPL-2.0-or-later
/* Claims of backing devices. They belong to the device and so outlive engines. Callers hold channel.calls. */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/major.h>
#include <linux/pagemap.h>
#include <linux/sysfs.h>
#include "shim.h"

static struct shim_backing *backing_of(const struct drbd_shim_backing *arg, struct shim_device **dev)
{
	*dev = shim_device(arg->device);
	return *dev && arg->role < DRBD_SHIM_ROLES ? (*dev)->backing[arg->role] : NULL;
}

static struct shim_backing *other_role(struct shim_backing *b)
{
	struct shim_backing *other = b->dev->backing[1 - b->role];

	return other && other->bdev == b->bdev ? other : NULL;
}

/*
 * The links that lsblk follows. Not by bd_link_disk_holder(): that takes open_mutex of our own disk, which an open holds
 * while it waits for the engine, which waits for this call.
 */
static void link_holder(struct shim_backing *b)
{
	struct gendisk *lower = b->bdev->bd_disk, *disk = b->dev->disk;
	struct kobject *dir = NULL;

	if (other_role(b))
		return;
	mutex_lock(&lower->open_mutex);
	if (!inode_unhashed(shim_bdev_inode(lower->part0)))
		dir = kobject_get(b->bdev->bd_holder_dir);
	mutex_unlock(&lower->open_mutex);
	if (!dir)
		return;
	if (sysfs_create_link(dir, &disk_to_dev(disk)->kobj, disk->disk_name)) {
		kobject_put(dir);
		return;
	}
	if (sysfs_create_link(disk->slave_dir, bdev_kobj(b->bdev), kobject_name(bdev_kobj(b->bdev))))
		pr_warn("drbd%u: no link to its backing device in sysfs\n", b->dev->minor);
	b->holder_dir = dir;
}

static void unlink_holder(struct shim_backing *b)
{
	struct shim_backing *other = other_role(b);

	if (!b->holder_dir)
		return;
	if (other) {
		other->holder_dir = b->holder_dir;
		return;
	}
	sysfs_remove_link(b->dev->disk->slave_dir, kobject_name(bdev_kobj(b->bdev)));
	sysfs_remove_link(b->holder_dir, b->dev->disk->disk_name);
	kobject_put(b->holder_dir);
}

static int fd_to_dev(int fd, dev_t *dev)
{
	struct file *file = fget(fd);
	bool blk;

	if (!file)
		return -EBADF;
	blk = S_ISBLK(file_inode(file)->i_mode);
	*dev = file_inode(file)->i_rdev;
	fput(file);
	return blk ? 0 : -ENOTBLK;
}

static void fill(const struct shim_backing *b, struct drbd_shim_backing *arg)
{
	struct block_device *bdev = b->bdev;
	u64 max = (u64)queue_max_hw_sectors(bdev_get_queue(bdev)) << SECTOR_SHIFT;

	*arg = (struct drbd_shim_backing) {
		.device = b->dev->id, .role = b->role, .fd = -1,
		.flags = (bdev_nonrot(bdev) ? 0 : DRBD_SHIM_LIMIT_ROTATIONAL) |
			(bdev_write_cache(bdev) ? DRBD_SHIM_LIMIT_WRITE_CACHE : 0),
		.sectors = bdev_nr_sectors(bdev),
		.logical_bytes = bdev_logical_block_size(bdev), .physical_bytes = bdev_physical_block_size(bdev),
		.io_min_bytes = bdev_io_min(bdev), .io_opt_bytes = bdev_io_opt(bdev),
		.max_io_bytes = min_t(u64, max, DRBD_SHIM_MAX_IO),
		.discard_granularity = bdev_get_queue(bdev)->limits.discard_granularity,
		.discard_alignment = bdev_discard_alignment(bdev),
		.max_discard_sectors = bdev_max_discard_sectors(bdev),
		.max_write_zeroes_sectors = bdev_write_zeroes_sectors(bdev),
		.major = MAJOR(bdev->bd_dev), .minor = MINOR(bdev->bd_dev),
	};
	snprintf(arg->name, sizeof(arg->name), "%pg", bdev);
}

int shim_backing_claim(struct drbd_shim_backing *arg)
{
	struct shim_device *dev;
	struct shim_backing *b;
	dev_t devt;
	int rc;

	if (backing_of(arg, &dev))
		return -EBUSY;
	if (!dev)
		return -ENODEV;
	if (arg->role >= DRBD_SHIM_ROLES)
		return -EINVAL;
	rc = fd_to_dev(arg->fd, &devt);
	if (rc)
		return rc;
	/* its open would wait for the engine, which is here */
	if (MAJOR(devt) == dev->disk->major)
		return -ELOOP;
	b = kzalloc(sizeof(*b), GFP_KERNEL);
	if (!b)
		return -ENOMEM;
	b->dev = dev;
	b->role = arg->role;
	INIT_LIST_HEAD(&b->queue);
	INIT_WORK(&b->work, shim_lower_work);
	shim_event_init(&b->quiet, NULL);
	b->wq = alloc_ordered_workqueue("drbd%u_lower%u", WQ_MEM_RECLAIM | WQ_HIGHPRI, dev->minor, b->role);
	rc = -ENOMEM;
	if (!b->wq)
		goto free;
	b->bdev = shim_bdev_open(devt, dev, &b->handle);
	rc = PTR_ERR_OR_ZERO(b->bdev);
	if (rc)
		goto wq;
	rc = bdev_read_only(b->bdev) ? -EROFS : sync_blockdev(b->bdev);
	if (rc)
		goto close;
	invalidate_bdev(b->bdev);
	link_holder(b);
	spin_lock_irq(&dev->lock);
	dev->backing[b->role] = b;
	spin_unlock_irq(&dev->lock);
	fill(b, arg);
	return 0;
close:
	shim_bdev_close(b->handle);
wq:
	destroy_workqueue(b->wq);
free:
	kfree(b);
	return rc;
}

int shim_backing_info(struct drbd_shim_backing *arg)
{
	struct shim_device *dev;
	struct shim_backing *b = backing_of(arg, &dev);

	if (!b)
		return -ENODEV;
	fill(b, arg);
	return 0;
}

int shim_backing_release(struct drbd_shim_backing *arg)
{
	struct shim_device *dev;
	struct shim_backing *b = backing_of(arg, &dev);
	bool busy;

	if (!b)
		return -ENODEV;
	spin_lock_irq(&dev->lock);
	busy = b->flying || b->late;
	if (b->role == DRBD_SHIM_DATA)
		busy |= dev->policy & DRBD_SHIM_READ_BYPASS || atomic_read(&dev->bypassing);
	if (!busy)
		dev->backing[b->role] = NULL;
	spin_unlock_irq(&dev->lock);
	if (busy)
		return -EBUSY;
	unlink_holder(b);
	destroy_workqueue(b->wq);
	shim_event_cancel(&b->quiet);
	shim_bdev_close(b->handle);
	kfree(b);
	return 0;
}
