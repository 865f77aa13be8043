// SPDX-License-Identifier: GPL-2.0-or-later
/* /dev/drbd-control: the engine's side of everything. */
#include "shim.h"

/* The doorbell. What is written says nothing. */
static ssize_t control_write(struct kiocb *iocb, struct iov_iter *from)
{
	size_t size = iov_iter_count(from);
	int rc;

	if (!size || size > sizeof(u64))
		return -EINVAL;
	if (iocb->ki_flags & IOCB_NOWAIT ? !mutex_trylock(&shim_channel.calls) : mutex_lock_killable(&shim_channel.calls))
		return iocb->ki_flags & IOCB_NOWAIT ? -EAGAIN : -EINTR;
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

/* A call is a function, about a device whose id lies in the structure or not, or sets a word. */
#define CALL(cmd, function) [_IOC_NR(cmd)] = { cmd, function, -1 }
#define DEVICE_CALL(cmd, type, function) [_IOC_NR(cmd)] = { cmd, function, offsetof(struct type, device) }
#define SWITCH(cmd, word) [_IOC_NR(cmd)] = { cmd, NULL, -1, &(word) }
static const struct {
	u32 cmd;
	int (*function)(struct shim_device *dev, void *data);
	int device_at;
	bool *word;
} calls[] = {
	CALL(DRBD_SHIM_HELLO, hello),
	CALL(DRBD_SHIM_REPLY, shim_reply),
	CALL(DRBD_SHIM_DUMP, shim_dump_answer),
	CALL(DRBD_SHIM_MULTICAST, shim_multicast),
	SWITCH(DRBD_SHIM_PIN, shim_pinned),
	SWITCH(DRBD_SHIM_LEAVING, shim_leaving),
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
	const struct drbd_shim_switch *arg = data;
	int at = calls[nr].device_at;
	struct shim_device *dev = at < 0 ? NULL : shim_device(*(u32 *)(data + at));

	if (!shim_channel.greeted && calls[nr].function != hello)
		return -EPERM;
	if (calls[nr].function)
		return at < 0 || dev ? calls[nr].function(dev, data) : -ENODEV;
	if (arg->on > 1 || arg->reserved)
		return -EINVAL;
	WRITE_ONCE(*calls[nr].word, arg->on);
	return 0;
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
	.owner = THIS_MODULE, .open = shim_engine_open, .release = shim_engine_release,
	.read = shim_request_read, .write_iter = control_write, .poll = shim_channel_poll, .mmap = shim_arena_mmap,
	.unlocked_ioctl = control_ioctl, .compat_ioctl = compat_ptr_ioctl,
};

struct miscdevice shim_control = {
	.minor = MISC_DYNAMIC_MINOR, .name = "drbd-control", .mode = 0600, .fops = &control_fops,
};
