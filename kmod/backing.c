// SPDX-License-Identifier: GPL-2.0-or-later
/* Claims of backing devices. They belong to the device and so outlive engines. Callers hold channel.calls. */
#include "shim.h"

static struct shim_backing *backing_of(const struct drbd_shim_backing *arg)
{
	struct shim_device *dev = shim_device(arg->device);

	return dev && arg->role < DRBD_SHIM_ROLES ? dev->backing[arg->role] : NULL;
}

/*
 * The links that lsblk follows, made once if both roles claim one disk. Not by bd_link_disk_holder(): that takes
 * open_mutex of our own disk, which an open holds while it waits for the engine, which waits for this call.
 */
static void link_holder(struct shim_backing *b)
{
	struct gendisk *lower = b->bdev->bd_disk, *disk = b->dev->disk;
	struct kobject *dir = NULL, *bdev = bdev_kobj(b->bdev);

	mutex_lock(&lower->open_mutex);
	if (!inode_unhashed(shim_bdev_inode(lower->part0)))	/* it is not just being removed */
		dir = kobject_get(b->bdev->bd_holder_dir);
	mutex_unlock(&lower->open_mutex);
	if (dir && !sysfs_create_link_nowarn(dir, &disk_to_dev(disk)->kobj, disk->disk_name)) {
		if (sysfs_create_link_nowarn(disk->slave_dir, bdev, kobject_name(bdev)))
			pr_warn("drbd%u: no link to its backing device in sysfs\n", b->dev->minor);
		b->holder_dir = dir;
	} else {
		kobject_put(dir);
	}
}

static void unlink_holder(struct shim_backing *b)
{
	if (!b->holder_dir)
		return;
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

SHIM_CALL(shim_backing_info)
{
	struct drbd_shim_backing *arg = data;
	struct shim_backing *b = backing_of(arg);
	struct block_device *bdev;

	if (!b)
		return -ENODEV;
	bdev = b->bdev;
	*arg = (struct drbd_shim_backing) {
		.device = b->dev->id, .role = b->role, .fd = -1,
		.flags = (bdev_nonrot(bdev) ? 0 : DRBD_SHIM_LIMIT_ROTATIONAL) |
			(bdev_write_cache(bdev) ? DRBD_SHIM_LIMIT_WRITE_CACHE : 0),
		.sectors = bdev_nr_sectors(bdev), .io_min_bytes = bdev_io_min(bdev), .io_opt_bytes = bdev_io_opt(bdev),
		.logical_bytes = bdev_logical_block_size(bdev), .physical_bytes = bdev_physical_block_size(bdev),
		.max_io_bytes = min(queue_max_hw_sectors(bdev_get_queue(bdev)), DRBD_SHIM_MAX_IO >> SECTOR_SHIFT) << SECTOR_SHIFT,
		.discard_granularity = bdev_get_queue(bdev)->limits.discard_granularity,
		.discard_alignment = bdev_discard_alignment(bdev), .max_discard_sectors = bdev_max_discard_sectors(bdev),
		.max_write_zeroes_sectors = bdev_write_zeroes_sectors(bdev),
		.major = MAJOR(bdev->bd_dev), .minor = MINOR(bdev->bd_dev),
	};
	snprintf(arg->name, sizeof(arg->name), "%pg", bdev);
	return 0;
}

SHIM_CALL(shim_backing_claim)
{
	struct drbd_shim_backing *arg = data;
	struct shim_device *dev = shim_device(arg->device);
	struct shim_backing *b;
	dev_t devt;
	int rc;

	if (!dev || arg->role >= DRBD_SHIM_ROLES)
		return -ENODEV;
	if (dev->backing[arg->role])
		return -EBUSY;
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
	return shim_backing_info(arg);
close:
	shim_bdev_close(b->handle);
wq:
	destroy_workqueue(b->wq);
free:
	kfree(b);
	return rc;
}

SHIM_CALL(shim_backing_release)
{
	struct shim_backing *b = backing_of(data);
	struct shim_device *dev;
	bool busy;

	if (!b)
		return -ENODEV;
	dev = b->dev;
	spin_lock_irq(&dev->lock);
	busy = b->flying || b->late;
	if (b->role == DRBD_SHIM_DATA)
		busy |= dev->policy || atomic_read(&dev->bypassing);
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
