// SPDX-License-Identifier: GPL-2.0-or-later
/* Claims of backing devices. They belong to the device and so outlive engines. Callers hold channel.calls. */
#include "shim.h"

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
		b->holder_dir = dir;
		if (sysfs_create_link_nowarn(disk->slave_dir, bdev, kobject_name(bdev)))
			pr_warn("drbd%u: no link to its backing device in sysfs\n", b->dev->minor);
	} else {
		kobject_put(dir);
	}
}

/* Also after a claim that failed on its way. */
static void backing_free(struct shim_backing *b)
{
	if (b->holder_dir) {
		sysfs_remove_link(b->dev->disk->slave_dir, kobject_name(bdev_kobj(b->bdev)));
		sysfs_remove_link(b->holder_dir, b->dev->disk->disk_name);
		kobject_put(b->holder_dir);
	}
	if (b->wq)
		destroy_workqueue(b->wq);
	if (!IS_ERR_OR_NULL(b->bdev))
		shim_bdev_close(b->handle);
	b->bdev = NULL;
}

struct shim_backing *shim_claimed(struct shim_device *dev, u32 role)
{
	return role < DRBD_SHIM_ROLES && dev->backing[role].bdev ? &dev->backing[role] : NULL;
}

SHIM_CALL(shim_backing_info)
{
	struct drbd_shim_backing *arg = data;
	struct shim_backing *b = shim_claimed(dev, arg->role);

	if (!b)
		return -ENODEV;
	shim_get_limits(b->bdev, arg);
	return 0;
}

SHIM_CALL(shim_backing_claim)
{
	struct drbd_shim_backing *arg = data;
	struct file *file __free(fput) = fget(arg->fd);
	struct shim_backing *b;
	int rc;

	if (arg->role >= DRBD_SHIM_ROLES)
		return -EINVAL;
	b = &dev->backing[arg->role];
	if (b->bdev)
		return -EBUSY;
	if (!file || !S_ISBLK(file_inode(file)->i_mode))
		return file ? -ENOTBLK : -EBADF;
	/* its open would wait for the engine, which is here */
	if (imajor(file_inode(file)) == dev->disk->major)
		return -ELOOP;
	*b = (struct shim_backing) { .dev = dev, .role = arg->role };
	INIT_WORK(&b->work, shim_lower_work);
	b->wq = alloc_ordered_workqueue("drbd%u_lower%u", WQ_MEM_RECLAIM | WQ_HIGHPRI, dev->minor, b->role);
	b->bdev = b->wq ? shim_bdev_open(file_inode(file)->i_rdev, dev, &b->handle) : ERR_PTR(-ENOMEM);
	rc = PTR_ERR_OR_ZERO(b->bdev);
	if (!rc)
		rc = bdev_read_only(b->bdev) ? -EROFS : sync_blockdev(b->bdev);
	if (rc) {
		backing_free(b);
		return rc;
	}
	invalidate_bdev(b->bdev);
	b->direct = shim_lower_direct(b->bdev);
	link_holder(b);
	return shim_backing_info(dev, arg);
}

SHIM_CALL(shim_backing_release)
{
	const struct drbd_shim_backing *arg = data;
	struct shim_backing *b = shim_claimed(dev, arg->role);

	if (!b)
		return -ENODEV;
	scoped_guard(spinlock_irq, &dev->lock)
		if (b->flying || b->late || (!b->role && (dev->policy || atomic_read(&dev->bypassing))))
			return -EBUSY;
	shim_event_cancel(&dev->events[SHIM_QUIET + b->role]);
	backing_free(b);
	return 0;
}
