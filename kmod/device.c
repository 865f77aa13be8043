// SPDX-License-Identifier: GPL-2.0-or-later
/* /dev/drbdN: made, changed and removed on the engine's order. Callers hold channel.calls. */
#include <linux/bitmap.h>
#include <linux/kobject.h>
#include <linux/major.h>
#include <linux/vmalloc.h>
#include "shim.h"

#define DRBD_MAJOR 147

static DEFINE_XARRAY_ALLOC(devices);
static u32 n_devices;

static void disk_freed(struct gendisk *disk)
{
	struct shim_device *dev = disk->private_data;

	bitmap_free(dev->room);
	kvfree(dev->slots);
	kfree(dev);
	module_put(THIS_MODULE);
}

static const struct block_device_operations disk_ops = {
	.owner = THIS_MODULE,
	.submit_bio = shim_submit_bio,
	.open = shim_open,
	.release = shim_release,
	.free_disk = disk_freed,
};

struct shim_device *shim_device(u32 id)
{
	return xa_load(&devices, id);
}

u32 shim_devices_count(void)
{
	return READ_ONCE(n_devices);
}

int shim_devices_init(void)
{
	return register_blkdev(DRBD_MAJOR, "drbd");
}

void shim_devices_exit(void)
{
	unregister_blkdev(DRBD_MAJOR, "drbd");
}

/* ---- making ---- */

static void device_free(struct shim_device *dev)
{
	if (dev->arenas[DRBD_SHIM_DATA_ARENA])
		shim_arena_drop(dev->arenas[DRBD_SHIM_DATA_ARENA]);
	bitmap_free(dev->room);
	kvfree(dev->slots);
	kfree(dev);
}

static int data_arena(struct shim_device *dev, struct drbd_shim_device *arg, struct shim_arena **arena)
{
	u64 bio_bytes = (u64)dev->bio_pages << PAGE_SHIFT;
	int rc;

	if (arg->engine_bytes > DRBD_SHIM_MAX_ARENA)
		return -EINVAL;
	*arena = shim_arena_make(bio_bytes + arg->engine_bytes);
	if (IS_ERR(*arena))
		return PTR_ERR(*arena);
	rc = shim_arena_offer(*arena, &arg->mmap_offset);
	if (rc)
		shim_arena_drop(*arena);
	arg->bio_bytes = bio_bytes;
	return rc;
}

static struct shim_device *device_make(struct drbd_shim_device *arg)
{
	struct shim_device *dev = kzalloc(sizeof(*dev), GFP_KERNEL);
	u32 i;

	if (!dev)
		return NULL;
	dev->minor = arg->minor;
	dev->max_tags = arg->max_tags;
	dev->bio_pages = arg->bio_bytes >> PAGE_SHIFT;
	dev->generation = dev->adopted = shim_channel.generation;
	spin_lock_init(&dev->lock);
	INIT_LIST_HEAD(&dev->free);
	INIT_LIST_HEAD(&dev->busy);
	INIT_LIST_HEAD(&dev->openers);
	init_waitqueue_head(&dev->wait);
	INIT_WORK(&dev->admit_work, shim_admit_work);
	shim_event_init(&dev->count_event, NULL);
	shim_event_init(&dev->close_event, NULL);
	shim_event_init(&dev->policy_event, NULL);
	dev->room = bitmap_zalloc(dev->bio_pages, GFP_KERNEL);
	dev->slots = kvcalloc(dev->max_tags, sizeof(*dev->slots), GFP_KERNEL);
	if (!dev->room || !dev->slots) {
		device_free(dev);
		return NULL;
	}
	for (i = 0; i < dev->max_tags; i++) {
		shim_event_init(&dev->slots[i].ev, NULL);
		list_add_tail(&dev->slots[i].node, &dev->free);
	}
	return dev;
}

static int disk_make(struct shim_device *dev)
{
	static const struct drbd_shim_limits start = {
		.logical_bytes = 512, .physical_bytes = 512, .max_io_bytes = DRBD_SHIM_MAX_IO,
		.flags = DRBD_SHIM_LIMIT_WRITE_CACHE,
	};
	struct gendisk *disk = shim_alloc_disk(&start);

	if (IS_ERR(disk))
		return PTR_ERR(disk);
	disk->major = DRBD_MAJOR;
	disk->first_minor = dev->minor;
	disk->minors = 1;
	disk->flags |= GENHD_FL_NO_PART;
	disk->fops = &disk_ops;
	disk->private_data = dev;
	snprintf(disk->disk_name, sizeof(disk->disk_name), "drbd%u", dev->minor);
	dev->disk = disk;
	return 0;
}

static bool minor_taken(u32 minor)
{
	struct shim_device *dev;
	unsigned long id;

	xa_for_each(&devices, id, dev)
		if (dev->minor == minor)
			return true;
	return false;
}

int shim_device_create(struct drbd_shim_device *arg)
{
	struct shim_device *dev;
	int rc;

	if (arg->reserved || arg->minor >> MINORBITS || !arg->max_tags || arg->max_tags > DRBD_SHIM_MAX_TAGS ||
	    arg->bio_bytes < 4 * DRBD_SHIM_MAX_IO || arg->bio_bytes > DRBD_SHIM_MAX_ARENA || arg->bio_bytes & ~PAGE_MASK)
		return -EINVAL;
	if (minor_taken(arg->minor))
		return -EEXIST;
	dev = device_make(arg);
	if (!dev)
		return -ENOMEM;
	rc = data_arena(dev, arg, &dev->arenas[DRBD_SHIM_DATA_ARENA]);
	if (rc) {
		dev->arenas[DRBD_SHIM_DATA_ARENA] = NULL;
		goto free;
	}
	rc = xa_alloc(&devices, &dev->id, dev, XA_LIMIT(0, DRBD_SHIM_MAX_DEVICES - 1), GFP_KERNEL);
	if (rc)
		goto free;
	rc = disk_make(dev);
	if (rc)
		goto erase;
	dev->started = true;
	__module_get(THIS_MODULE);	/* until free_disk */
	n_devices++;
	rc = add_disk(dev->disk);
	if (rc) {
		/* free_disk is not called for a disk that was never added */
		n_devices--;
		put_disk(dev->disk);
		module_put(THIS_MODULE);
		goto erase;
	}
	arg->device = dev->id;
	return 0;
erase:
	xa_erase(&devices, dev->id);
free:
	device_free(dev);
	return rc;
}

/* ---- engines come and go ---- */

/* The engine of `generation` is gone. */
void shim_devices_orphan(u32 generation)
{
	struct shim_device *dev;
	unsigned long id;

	xa_for_each(&devices, id, dev) {
		spin_lock_irq(&dev->lock);
		dev->started = false;
		dev->closing = false;
		dev->policy = 0;
		clear_bit(0, &dev->policy_closing);
		shim_bios_orphan(dev);
		shim_lower_orphan(dev, generation);
		spin_unlock_irq(&dev->lock);
		wake_up_all(&dev->wait);
	}
}

/* No engine has come for too long: bios fail, until one comes. */
void shim_devices_fail(bool on)
{
	struct shim_device *dev;
	unsigned long id;

	WRITE_ONCE(shim_io_lost, on);
	if (on)
		xa_for_each(&devices, id, dev)
			shim_bios_fail(dev);
}

/* Rooms keep their places in the new arena; writes' data move with them. */
int shim_device_adopt(struct drbd_shim_device *arg)
{
	struct shim_device *dev = shim_device(arg->device);
	struct shim_arena *arena, *old;
	struct shim_slot *slot;
	int rc;

	if (!dev)
		return -ENODEV;
	if (arg->reserved || (arg->bio_bytes && arg->bio_bytes != (u64)dev->bio_pages << PAGE_SHIFT))
		return -EINVAL;
	if (dev->adopted == shim_channel.generation)
		return -EBUSY;
	shim_wait_copying(dev);
	rc = data_arena(dev, arg, &arena);
	if (rc)
		return rc;
	old = dev->arenas[DRBD_SHIM_DATA_ARENA];
	/* no lock: while the device isn't started nobody ends a bio or gives it room */
	for (slot = dev->slots; slot < dev->slots + dev->max_tags; slot++) {
		u64 at = (u64)slot->room_page << PAGE_SHIFT;

		if (slot->bio && slot->room_pages && op_is_write(bio_op(slot->bio)))
			memcpy(arena->addr + at, old->addr + at, slot->bio->bi_iter.bi_size);
	}
	dev->arenas[DRBD_SHIM_DATA_ARENA] = arena;
	dev->adopted = shim_channel.generation;
	shim_arena_drop(old);
	arg->minor = dev->minor;
	arg->max_tags = dev->max_tags;
	return 0;
}

int shim_device_start(struct drbd_shim_device_id *arg)
{
	struct shim_device *dev = shim_device(arg->device);

	if (!dev)
		return -ENODEV;
	if (dev->adopted != shim_channel.generation)
		return -EINVAL;
	if (dev->started)
		return -EBUSY;
	spin_lock_irq(&dev->lock);
	dev->generation = shim_channel.generation;
	dev->started = true;
	shim_openers_retell(dev);
	shim_bios_retell(dev);
	spin_unlock_irq(&dev->lock);
	shim_admit(dev);
	return 0;
}

int shim_device_destroy(struct drbd_shim_device_id *arg)
{
	struct shim_device *dev = shim_device(arg->device);
	struct gendisk *disk;
	u32 i;

	if (!dev)
		return -ENODEV;
	if (dev->backing[DRBD_SHIM_DATA] || dev->backing[DRBD_SHIM_META_DISK])
		return -EBUSY;
	disk = dev->disk;
	xa_erase(&devices, dev->id);
	n_devices--;
	spin_lock_irq(&dev->lock);
	dev->dead = true;
	dev->started = false;
	dev->closing = false;
	dev->generation = U32_MAX;	/* of no engine: closes of old files tell nobody */
	spin_unlock_irq(&dev->lock);
	wake_up_all(&dev->wait);
	shim_bios_fail(dev);	/* before: del_gendisk() waits for them */
	del_gendisk(disk);
	shim_bios_fail(dev);	/* what came in between */
	cancel_work_sync(&dev->admit_work);
	shim_event_cancel(&dev->count_event);
	shim_event_cancel(&dev->close_event);
	shim_event_cancel(&dev->policy_event);
	for (i = 0; i < dev->max_tags; i++)
		shim_event_cancel(&dev->slots[i].ev);
	for (i = 0; i < DRBD_SHIM_ARENAS; i++)
		if (dev->arenas[i])
			shim_arena_drop(dev->arenas[i]);
	put_disk(disk);
	return 0;
}

/* ---- questions and settings ---- */

int shim_device_info(struct drbd_shim_device_info *arg)
{
	unsigned long id = arg->device;
	struct shim_device *dev = xa_find(&devices, &id, DRBD_SHIM_MAX_DEVICES - 1, XA_PRESENT);
	struct shim_backing *b;
	u32 i;

	if (!dev)
		return -ENOENT;
	spin_lock_irq(&dev->lock);
	*arg = (struct drbd_shim_device_info) {
		.device = id, .minor = dev->minor, .opens = dev->opens, .max_tags = dev->max_tags,
		.policy = dev->policy, .sectors = get_capacity(dev->disk),
		.bypassed_reads = atomic64_read(&dev->bypassed_reads),
		.bypassed_sectors = atomic64_read(&dev->bypassed_sectors),
		.tags_used = dev->n_busy, .waiting = dev->n_waiting,
		.flags = (dev->writers ? DRBD_SHIM_DEV_WRITERS : 0) | (dev->started ? DRBD_SHIM_DEV_STARTED : 0) |
			(dev->backing[DRBD_SHIM_DATA] ? DRBD_SHIM_DEV_DATA : 0) |
			(dev->backing[DRBD_SHIM_META_DISK] ? DRBD_SHIM_DEV_META : 0),
	};
	for (i = 0; i < DRBD_SHIM_ROLES; i++) {
		b = dev->backing[i];
		arg->lowers[i] = b ? b->flying : 0;
		arg->late[i] = b ? b->late : 0;
	}
	for (i = 1; i < DRBD_SHIM_ARENAS; i++)
		arg->state_bytes[i] = dev->arenas[i] ? dev->arenas[i]->bytes : 0;
	spin_unlock_irq(&dev->lock);
	return 0;
}

int shim_device_capacity(struct drbd_shim_capacity *arg)
{
	struct shim_device *dev = shim_device(arg->device);

	if (!dev)
		return -ENODEV;
	if (arg->reserved || arg->sectors > (u64)LLONG_MAX >> SECTOR_SHIFT)
		return -EINVAL;
	/* from and to 0 the block layer itself is silent */
	if (get_capacity(dev->disk) != arg->sectors && !set_capacity_and_notify(dev->disk, arg->sectors))
		kobject_uevent(&disk_to_dev(dev->disk)->kobj, KOBJ_CHANGE);
	return 0;
}

int shim_device_limits(struct drbd_shim_limits *arg)
{
	struct shim_device *dev = shim_device(arg->device);

	if (!dev)
		return -ENODEV;
	if (arg->flags & ~(DRBD_SHIM_LIMIT_ROTATIONAL | DRBD_SHIM_LIMIT_WRITE_CACHE) ||
	    !is_power_of_2(arg->logical_bytes) || arg->logical_bytes < 512 || arg->logical_bytes > PAGE_SIZE ||
	    !is_power_of_2(arg->physical_bytes) || arg->physical_bytes < arg->logical_bytes ||
	    arg->physical_bytes > DRBD_SHIM_MAX_IO || arg->io_min_bytes & (arg->logical_bytes - 1) ||
	    arg->io_opt_bytes & (arg->logical_bytes - 1) || arg->max_io_bytes < PAGE_SIZE ||
	    arg->max_io_bytes > DRBD_SHIM_MAX_IO || arg->max_io_bytes & (arg->logical_bytes - 1) ||
	    arg->discard_granularity & (arg->logical_bytes - 1) ||
	    (arg->max_discard_sectors && !arg->discard_granularity) ||
	    arg->max_discard_sectors > UINT_MAX >> SECTOR_SHIFT ||
	    arg->max_write_zeroes_sectors > UINT_MAX >> SECTOR_SHIFT)
		return -EINVAL;
	return shim_set_limits(dev->disk, arg);
}

int shim_device_state_arena(struct drbd_shim_state_arena *arg)
{
	struct shim_device *dev = shim_device(arg->device);
	struct shim_arena *arena = NULL, *old;
	int rc = 0;

	if (!dev)
		return -ENODEV;
	if (arg->reserved || !arg->kind || arg->kind >= DRBD_SHIM_ARENAS)
		return -EINVAL;
	old = dev->arenas[arg->kind];
	if (old && old->bytes == arg->bytes) {
		arg->fresh = 0;
		return shim_arena_offer(old, &arg->mmap_offset);
	}
	if (arg->bytes) {
		arena = shim_arena_make(arg->bytes);
		if (IS_ERR(arena))
			return PTR_ERR(arena);
		rc = shim_arena_offer(arena, &arg->mmap_offset);
		if (rc) {
			shim_arena_put(arena);
			return rc;
		}
	}
	arg->fresh = 1;
	dev->arenas[arg->kind] = arena;
	if (old)
		shim_arena_drop(old);
	return 0;
}
