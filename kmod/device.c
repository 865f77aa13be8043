// SPDX-License-Identifier: GPL-2.0-or-later
/* /dev/drbdN: made, changed and removed on the engine's order. Callers hold channel.calls. */
#include "shim.h"

DEFINE_XARRAY_ALLOC(shim_device_table);
#define devices shim_device_table

static void device_free(struct shim_device *dev)
{
	u32 i;

	for (i = 0; i < DRBD_SHIM_ARENAS; i++)
		shim_arena_drop(dev->arenas[i]);
	bitmap_free(dev->room);
	kvfree(dev->slots);
	kfree(dev);
}

static void disk_freed(struct gendisk *disk)
{
	device_free(disk->private_data);
	module_put(THIS_MODULE);
}

static const struct block_device_operations disk_ops = {
	.owner = THIS_MODULE, .submit_bio = shim_submit_bio, .open = shim_open, .release = shim_release,
	.free_disk = disk_freed,
};

static int data_arena(struct shim_device *dev, struct drbd_shim_device *arg)
{
	struct shim_arena *arena;

	arg->bio_bytes = (u64)dev->bio_pages << PAGE_SHIFT;
	if (arg->engine_bytes > DRBD_SHIM_MAX_ARENA)
		return -EINVAL;
	arena = shim_arena_make(arg->bio_bytes + arg->engine_bytes, SHIM_ARENA_KEYS);
	if (IS_ERR(arena))
		return PTR_ERR(arena);
	arg->mmap_offset = shim_arena_offset(arena);
	arg->flags = arena->provable ? DRBD_SHIM_ARENA_SPLICE : 0;
	dev->arenas[DRBD_SHIM_DATA_ARENA] = arena;
	dev->adopted = shim_channel.generation;
	return 0;
}

static int device_init(struct shim_device *dev, const struct drbd_shim_device *arg)
{
	u32 i;

	dev->minor = arg->minor;
	dev->max_tags = arg->max_tags;
	dev->bio_pages = arg->bio_bytes >> PAGE_SHIFT;
	dev->generation = shim_channel.generation;
	spin_lock_init(&dev->lock);
	INIT_LIST_HEAD(&dev->free);
	INIT_LIST_HEAD(&dev->busy);
	INIT_LIST_HEAD(&dev->openers);
	init_waitqueue_head(&dev->wait);
	INIT_DELAYED_WORK(&dev->admit, shim_admit);
	for (i = 0; i < SHIM_EVENTS; i++)
		shim_event_init(&dev->events[i], NULL);
	dev->room = bitmap_zalloc(dev->bio_pages, GFP_KERNEL);
	dev->slots = kvcalloc(dev->max_tags, sizeof(*dev->slots), GFP_KERNEL);
	if (!dev->room || !dev->slots)
		return -ENOMEM;
	for (i = 0; i < dev->max_tags; i++) {
		shim_event_init(&dev->slots[i].ev, NULL);
		list_add_tail(&dev->slots[i].node, &dev->free);
	}
	return 0;
}

static int disk_make(struct shim_device *dev)
{
	struct gendisk *disk = shim_alloc_disk();
	int rc;

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
	dev->started = true;
	rc = add_disk(disk);
	if (rc)
		put_disk(disk);		/* without free_disk: it was never added */
	return rc;
}

SHIM_CALL(shim_device_create)
{
	struct drbd_shim_device *arg = data;
	unsigned long id;
	int rc;

	if (arg->flags || arg->minor >> MINORBITS || !arg->max_tags || arg->max_tags > DRBD_SHIM_MAX_TAGS ||
	    arg->bio_bytes < 4 * DRBD_SHIM_MAX_IO || arg->bio_bytes > DRBD_SHIM_MAX_ARENA || arg->bio_bytes & ~PAGE_MASK)
		return -EINVAL;
	xa_for_each(&devices, id, dev)
		if (dev->minor == arg->minor)
			return -EEXIST;
	dev = kzalloc(sizeof(*dev), GFP_KERNEL);
	rc = dev ? xa_alloc(&devices, &dev->id, dev, XA_LIMIT(0, DRBD_SHIM_MAX_DEVICES - 1), GFP_KERNEL) : -ENOMEM;
	if (rc) {
		kfree(dev);
		return rc;
	}
	rc = device_init(dev, arg) ? : data_arena(dev, arg) ? : disk_make(dev);
	if (rc) {
		xa_erase(&devices, dev->id);
		device_free(dev);
		return rc;
	}
	arg->device = dev->id;
	return 0;
}

/* The engine of `generation` is gone: what it has in flight is late from now on. */
void shim_devices_orphan(u32 generation)
{
	struct shim_backing *b;
	struct shim_device *dev;
	unsigned long id;

	xa_for_each(&devices, id, dev) {
		guard(spinlock_irq)(&dev->lock);
		dev->started = dev->closing = false;
		dev->policy = dev->policy_closing = 0;
		for (b = dev->backing; b < dev->backing + DRBD_SHIM_ROLES; b++) {
			b->late += b->flying;
			b->flying = 0;
			b->late_generation = generation;
		}
		wake_up_all(&dev->wait);
	}
}

/* Rooms keep their places in the new arena; writes' data move with them. */
SHIM_CALL(shim_device_adopt)
{
	struct drbd_shim_device *arg = data;
	struct shim_arena *old = dev->arenas[DRBD_SHIM_DATA_ARENA];
	struct shim_slot *slot;
	int rc;

	if (arg->flags || (arg->bio_bytes && arg->bio_bytes != (u64)dev->bio_pages << PAGE_SHIFT))
		return -EINVAL;
	if (dev->adopted == shim_channel.generation)
		return -EBUSY;
	shim_wait_copying(dev);
	rc = data_arena(dev, arg);
	if (rc)
		return rc;
	/* no lock: while the device isn't started nobody ends a bio or gives it room */
	for (slot = dev->slots; slot < dev->slots + dev->max_tags; slot++)
		if (slot->bio && shim_slot_written(slot))
			memcpy(dev->arenas[DRBD_SHIM_DATA_ARENA]->addr + slot->room, old->addr + slot->room,
			       slot->bio->bi_iter.bi_size);
	shim_arena_drop(old);
	arg->minor = dev->minor;
	arg->max_tags = dev->max_tags;
	return 0;
}

SHIM_CALL(shim_device_destroy)
{
	struct gendisk *disk = dev->disk;
	u32 i;

	if (dev->backing[DRBD_SHIM_DATA].bdev || dev->backing[DRBD_SHIM_META_DISK].bdev)
		return -EBUSY;
	xa_erase(&devices, dev->id);
	__module_get(THIS_MODULE);	/* until free_disk, which files that are open delay */
	scoped_guard(spinlock_irq, &dev->lock) {
		dev->dead = true;
		dev->started = dev->closing = false;
		dev->generation = U32_MAX;	/* of no engine: closes of old files tell nobody */
		wake_up_all(&dev->wait);
	}
	shim_bios_fail(dev);	/* before: del_gendisk() waits for them */
	del_gendisk(disk);
	shim_bios_fail(dev);	/* what came in between */
	cancel_delayed_work_sync(&dev->admit);
	for (i = 0; i < SHIM_EVENTS; i++)
		shim_event_cancel(&dev->events[i]);
	for (i = 0; i < dev->max_tags; i++)
		shim_event_cancel(&dev->slots[i].ev);
	put_disk(disk);
	return 0;
}

SHIM_CALL(shim_device_info)
{
	struct drbd_shim_device_info *arg = data;
	unsigned long id = arg->device;
	u32 i;

	dev = xa_find(&devices, &id, DRBD_SHIM_MAX_DEVICES - 1, XA_PRESENT);
	if (!dev)
		return -ENOENT;
	guard(spinlock_irq)(&dev->lock);
	*arg = (struct drbd_shim_device_info) {
		.device = id, .minor = dev->minor, .opens = dev->opens, .max_tags = dev->max_tags,
		.policy = dev->policy, .sectors = get_capacity(dev->disk),
		.bypassed_reads = atomic64_read(&dev->bypassed_reads),
		.bypassed_sectors = atomic64_read(&dev->bypassed_sectors),
		.tags_used = list_count_nodes(&dev->busy), .waiting = bio_list_size(&dev->waiting),
		.flags = (dev->writers ? DRBD_SHIM_DEV_WRITERS : 0) | (dev->started ? DRBD_SHIM_DEV_STARTED : 0),
	};
	for (i = 0; i < DRBD_SHIM_ROLES; i++) {
		arg->flags |= !dev->backing[i].bdev ? 0 : i ? DRBD_SHIM_DEV_META : DRBD_SHIM_DEV_DATA;
		arg->lowers[i] = dev->backing[i].flying;
		arg->late[i] = dev->backing[i].late;
	}
	for (i = 1; i < DRBD_SHIM_ARENAS; i++)
		arg->state_bytes[i] = dev->arenas[i] ? dev->arenas[i]->bytes : 0;
	return 0;
}

SHIM_CALL(shim_device_capacity)
{
	const struct drbd_shim_capacity *arg = data;

	if (arg->reserved || arg->sectors > (u64)LLONG_MAX >> SECTOR_SHIFT)
		return -EINVAL;
	/* from and to 0 the block layer itself is silent */
	if (get_capacity(dev->disk) != arg->sectors && !set_capacity_and_notify(dev->disk, arg->sectors))
		kobject_uevent(&disk_to_dev(dev->disk)->kobj, KOBJ_CHANGE);
	return 0;
}

SHIM_CALL(shim_device_state_arena)
{
	struct drbd_shim_state_arena *arg = data;
	struct shim_arena *old, *arena;

	if (arg->reserved || !arg->kind || arg->kind >= DRBD_SHIM_ARENAS)
		return -EINVAL;
	old = arena = dev->arenas[arg->kind];
	arg->fresh = !old || old->bytes != arg->bytes;
	if (arg->fresh) {
		arena = arg->bytes ? shim_arena_make(arg->bytes, SHIM_ARENA_KEYS) : NULL;
		if (IS_ERR(arena))
			return PTR_ERR(arena);
		dev->arenas[arg->kind] = arena;
		shim_arena_drop(old);
	}
	arg->mmap_offset = arena ? shim_arena_offset(arena) : 0;
	return 0;
}
