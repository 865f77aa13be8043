// SPDX-License-Identifier: GPL-2.0-or-later
/* /dev/drbd-control: the engine's side of everything. private_data of its file is the arena of the rings. */
#include "shim.h"

static int control_open(struct inode *inode, struct file *file)
{
	struct shim_arena *rings;
	int rc;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	rings = shim_arena_make(DRBD_SHIM_RINGS_BYTES, SHIM_RINGS_KEY);
	if (IS_ERR(rings))
		return PTR_ERR(rings);
	rc = shim_engine_attach((void *)rings->addr);
	if (rc) {
		shim_arena_drop(rings);
		return rc;
	}
	shim_channel_requests();
	file->private_data = rings;
	file->f_mode |= FMODE_NOWAIT;	/* io_uring may ring the doorbell inline */
	return stream_open(inode, file);
}

static int control_release(struct inode *inode, struct file *file)
{
	shim_engine_detach(file->private_data);
	return 0;
}

/* The doorbell. What is written says nothing. */
static ssize_t control_write(struct kiocb *iocb, struct iov_iter *from)
{
	size_t size = iov_iter_count(from);
	int rc;

	if (!size || size > sizeof(u64))
		return -EINVAL;
	if (!mutex_trylock(&shim_channel.calls)) {
		if (iocb->ki_flags & IOCB_NOWAIT)
			return -EAGAIN;
		if (mutex_lock_killable(&shim_channel.calls))
			return -EINTR;
	}
	rc = shim_channel.greeted ? shim_doorbell() : -EPERM;
	mutex_unlock(&shim_channel.calls);
	if (rc)
		return rc;
	iov_iter_advance(from, size);
	return size;
}

static SHIM_CALL(hello)
{
	struct drbd_shim_hello *arg = data;

	if (shim_channel.greeted)
		return -EALREADY;
	if (arg->abi != DRBD_SHIM_ABI)
		return -EPROTO;
	if (arg->owner)
		return -EINVAL;
	arg->features &= DRBD_SHIM_F_STATE_ARENA | DRBD_SHIM_F_TRANSPORT;
	arg->instance = shim_instance;
	arg->generation = shim_channel.generation;
	arg->flags = shim_pinned ? DRBD_SHIM_HELLO_PINNED : 0;
	arg->devices = shim_devices;
	arg->family = shim_family.id;
	WRITE_ONCE(shim_channel.greeted, true);
	return 0;
}

static SHIM_CALL(log_line)
{
	const struct drbd_shim_log *arg = data;
	u32 bytes = min(arg->bytes, 1000u), i;
	char *text;

	if (arg->level > LOGLEVEL_DEBUG)
		return -EINVAL;
	text = memdup_user_nul(u64_to_user_ptr(arg->text), bytes);
	if (IS_ERR(text))
		return PTR_ERR(text);
	for (i = 0; i < bytes; i++)
		if ((u8)text[i] < ' ' || text[i] == 0x7f)
			text[i] = '?';
	printk("%c%c%s\n", KERN_SOH_ASCII, '0' + arg->level, text);
	kfree(text);
	return 0;
}

/* Calls about a device get it from its id, which lies in their structure. */
#define CALL(cmd, function) [_IOC_NR(cmd)] = { cmd, function, -1 }
#define DEVICE_CALL(cmd, type, function) [_IOC_NR(cmd)] = { cmd, function, offsetof(struct type, device) }
static const struct {
	u32 cmd;
	int (*function)(struct shim_device *dev, void *data);
	int device_at;
} calls[] = {
	CALL(DRBD_SHIM_HELLO, hello),
	CALL(DRBD_SHIM_REPLY, shim_reply),
	CALL(DRBD_SHIM_DUMP, shim_dump_answer),
	CALL(DRBD_SHIM_MULTICAST, shim_multicast),
	CALL(DRBD_SHIM_PIN, shim_pin),
	CALL(DRBD_SHIM_LEAVING, shim_leaving),
	CALL(DRBD_SHIM_LOG, log_line),
	CALL(DRBD_SHIM_TRANSPORT, shim_transport),
	CALL(DRBD_SHIM_DEVICE_CREATE, shim_device_create),
	CALL(DRBD_SHIM_DEVICE_INFO, shim_device_info),
	DEVICE_CALL(DRBD_SHIM_DEVICE_ADOPT, drbd_shim_device, shim_device_adopt),
	DEVICE_CALL(DRBD_SHIM_DEVICE_START, drbd_shim_device_id, shim_device_start),
	DEVICE_CALL(DRBD_SHIM_DEVICE_DESTROY, drbd_shim_device_id, shim_device_destroy),
	DEVICE_CALL(DRBD_SHIM_SET_CAPACITY, drbd_shim_capacity, shim_device_capacity),
	DEVICE_CALL(DRBD_SHIM_SET_LIMITS, drbd_shim_limits, shim_device_limits),
	DEVICE_CALL(DRBD_SHIM_STATE_ARENA, drbd_shim_state_arena, shim_device_state_arena),
	DEVICE_CALL(DRBD_SHIM_BACKING_CLAIM, drbd_shim_backing, shim_backing_claim),
	DEVICE_CALL(DRBD_SHIM_BACKING_INFO, drbd_shim_backing, shim_backing_info),
	DEVICE_CALL(DRBD_SHIM_BACKING_RELEASE, drbd_shim_backing, shim_backing_release),
};

static int call(u32 nr, void *data)
{
	int at = calls[nr].device_at;
	struct shim_device *dev = at < 0 ? NULL : shim_device(*(u32 *)(data + at));

	if (!shim_channel.greeted && calls[nr].function != hello)
		return -EPERM;
	return at < 0 || dev ? calls[nr].function(dev, data) : -ENODEV;
}

/* The caller's structure may be of another size than ours: see the header. */
static long control_ioctl(struct file *file, unsigned int cmd, unsigned long addr)
{
	u32 nr = _IOC_NR(cmd), size = _IOC_SIZE(cmd), ours = nr < ARRAY_SIZE(calls) ? calls[nr].cmd : 0;
	u64 data[24] = { };
	int rc;

	BUILD_BUG_ON(sizeof(struct drbd_shim_device_info) > sizeof(data));
	if (!ours || _IOC_TYPE(cmd) != _IOC_TYPE(ours) || _IOC_DIR(cmd) != _IOC_DIR(ours))
		return -ENOTTY;
	rc = copy_struct_from_user(data, _IOC_SIZE(ours), (void __user *)addr, size);
	if (rc)
		return rc == -E2BIG ? -EINVAL : rc;
	if (mutex_lock_killable(&shim_channel.calls))
		return -EINTR;
	rc = call(nr, data);
	mutex_unlock(&shim_channel.calls);
	if (!rc && _IOC_DIR(ours) & _IOC_READ && copy_to_user((void __user *)addr, data, min(size, _IOC_SIZE(ours))))
		return -EFAULT;
	return rc;
}

static const struct file_operations control_fops = {
	.owner = THIS_MODULE, .open = control_open, .release = control_release,
	.read = shim_request_read, .write_iter = control_write, .poll = shim_channel_poll, .mmap = shim_arena_mmap,
	.unlocked_ioctl = control_ioctl, .compat_ioctl = compat_ptr_ioctl,
};

struct miscdevice shim_control = {
	.minor = MISC_DYNAMIC_MINOR, .name = "drbd-control", .mode = 0600, .fops = &control_fops,
};
