// SPDX-License-Identifier: GPL-2.0-or-later
/* /dev/drbd-control: the engine's side of everything. */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include "shim.h"

#define FEATURES (DRBD_SHIM_F_CLONE | DRBD_SHIM_F_KEEP_ROOM | DRBD_SHIM_F_STATE_ARENA | DRBD_SHIM_F_TRANSPORT)

struct engine {
	u32 generation;
	bool greeted;
	struct shim_arena *rings;
};

static int control_open(struct inode *inode, struct file *file)
{
	struct engine *engine;
	int rc;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	engine = kzalloc(sizeof(*engine), GFP_KERNEL);
	if (!engine)
		return -ENOMEM;
	engine->rings = shim_arena_make(DRBD_SHIM_RINGS_BYTES);
	rc = PTR_ERR_OR_ZERO(engine->rings);
	if (rc)
		goto free;
	rc = shim_engine_attach(&engine->generation);
	if (rc)
		goto drop;
	shim_channel_open((void *)engine->rings->addr, engine->generation);
	shim_requests_count();
	file->private_data = engine;
	file->f_mode |= FMODE_NOWAIT;	/* io_uring may ring the doorbell inline */
	return stream_open(inode, file);
drop:
	shim_arena_drop(engine->rings);
free:
	kfree(engine);
	return rc;
}

static int control_release(struct inode *inode, struct file *file)
{
	struct engine *engine = file->private_data;

	mutex_lock(&shim_channel.calls);
	shim_channel_close();
	shim_devices_orphan(engine->generation);
	shim_transports_drop();
	mutex_unlock(&shim_channel.calls);
	shim_requests_orphan();
	shim_engine_detach();
	shim_arena_drop(engine->rings);
	kfree(engine);
	return 0;
}

static __poll_t control_poll(struct file *file, poll_table *wait)
{
	poll_wait(file, &shim_channel.wait, wait);
	return shim_channel_readable() ? EPOLLIN | EPOLLRDNORM : 0;
}

static ssize_t control_read(struct file *file, char __user *buf, size_t size, loff_t *pos)
{
	struct engine *engine = file->private_data;

	return engine->greeted ? shim_request_read(buf, size) : -EPERM;
}

/* The doorbell. What is written says nothing. */
static ssize_t control_write(struct kiocb *iocb, struct iov_iter *from)
{
	struct engine *engine = iocb->ki_filp->private_data;
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
	rc = engine->greeted ? shim_doorbell() : -EPERM;
	mutex_unlock(&shim_channel.calls);
	if (rc)
		return rc;
	iov_iter_advance(from, size);
	return size;
}

static int control_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct engine *engine = file->private_data;
	struct shim_arena *arena;
	int rc;

	if (!vma->vm_pgoff)
		return shim_arena_mmap(engine->rings, vma);
	arena = shim_arena_find((u64)vma->vm_pgoff << PAGE_SHIFT);
	if (!arena)
		return -ENXIO;
	rc = shim_arena_mmap(arena, vma);
	shim_arena_put(arena);
	return rc;
}

/* ---- ioctls ---- */

union arg {
	struct drbd_shim_hello hello;
	struct drbd_shim_reply reply;
	struct drbd_shim_multicast multicast;
	struct drbd_shim_switch sw;
	struct drbd_shim_log log;
	struct drbd_shim_transport transport;
	struct drbd_shim_device device;
	struct drbd_shim_device_id device_id;
	struct drbd_shim_device_info device_info;
	struct drbd_shim_capacity capacity;
	struct drbd_shim_limits limits;
	struct drbd_shim_state_arena state_arena;
	struct drbd_shim_backing backing;
};

#define CALL(cmd) [_IOC_NR(cmd)] = cmd
static const u32 calls[] = {
	CALL(DRBD_SHIM_HELLO), CALL(DRBD_SHIM_REPLY), CALL(DRBD_SHIM_DUMP), CALL(DRBD_SHIM_MULTICAST),
	CALL(DRBD_SHIM_PIN), CALL(DRBD_SHIM_LEAVING), CALL(DRBD_SHIM_LOG), CALL(DRBD_SHIM_TRANSPORT),
	CALL(DRBD_SHIM_DEVICE_CREATE), CALL(DRBD_SHIM_DEVICE_ADOPT),
	CALL(DRBD_SHIM_DEVICE_START), CALL(DRBD_SHIM_DEVICE_DESTROY), CALL(DRBD_SHIM_DEVICE_INFO),
	CALL(DRBD_SHIM_SET_CAPACITY), CALL(DRBD_SHIM_SET_LIMITS), CALL(DRBD_SHIM_STATE_ARENA),
	CALL(DRBD_SHIM_BACKING_CLAIM), CALL(DRBD_SHIM_BACKING_INFO), CALL(DRBD_SHIM_BACKING_RELEASE),
};

static int hello(struct engine *engine, struct drbd_shim_hello *arg)
{
	if (engine->greeted)
		return -EALREADY;
	if (arg->abi != DRBD_SHIM_ABI)
		return -EPROTO;
	if (arg->owner)
		return -EINVAL;
	arg->features &= FEATURES;
	arg->instance = shim_instance;
	arg->generation = engine->generation;
	arg->flags = shim_engine_pinned() ? DRBD_SHIM_HELLO_PINNED : 0;
	arg->devices = shim_devices_count();
	arg->family = shim_genl_family();
	engine->greeted = true;
	return 0;
}

static int log_line(const struct drbd_shim_log *arg)
{
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

static int flip(const struct drbd_shim_switch *arg, void (*set)(bool on))
{
	if (arg->on > 1 || arg->reserved)
		return -EINVAL;
	set(arg->on);
	return 0;
}

static int call(struct engine *engine, u32 cmd, union arg *arg)
{
	if (cmd == DRBD_SHIM_HELLO)
		return hello(engine, &arg->hello);
	if (!engine->greeted)
		return -EPERM;
	switch (cmd) {
	case DRBD_SHIM_REPLY:		return shim_request_reply(&arg->reply);
	case DRBD_SHIM_DUMP:		return shim_dump_answer(&arg->reply);
	case DRBD_SHIM_MULTICAST:	return shim_genl_multicast(&arg->multicast);
	case DRBD_SHIM_PIN:		return flip(&arg->sw, shim_engine_pin);
	case DRBD_SHIM_LEAVING:		return flip(&arg->sw, shim_engine_leaving);
	case DRBD_SHIM_LOG:		return log_line(&arg->log);
	case DRBD_SHIM_TRANSPORT:	return shim_transport(&arg->transport);
	case DRBD_SHIM_DEVICE_CREATE:	return shim_device_create(&arg->device);
	case DRBD_SHIM_DEVICE_ADOPT:	return shim_device_adopt(&arg->device);
	case DRBD_SHIM_DEVICE_START:	return shim_device_start(&arg->device_id);
	case DRBD_SHIM_DEVICE_DESTROY:	return shim_device_destroy(&arg->device_id);
	case DRBD_SHIM_DEVICE_INFO:	return shim_device_info(&arg->device_info);
	case DRBD_SHIM_SET_CAPACITY:	return shim_device_capacity(&arg->capacity);
	case DRBD_SHIM_SET_LIMITS:	return shim_device_limits(&arg->limits);
	case DRBD_SHIM_STATE_ARENA:	return shim_device_state_arena(&arg->state_arena);
	case DRBD_SHIM_BACKING_CLAIM:	return shim_backing_claim(&arg->backing);
	case DRBD_SHIM_BACKING_INFO:	return shim_backing_info(&arg->backing);
	case DRBD_SHIM_BACKING_RELEASE:	return shim_backing_release(&arg->backing);
	}
	return -ENOTTY;
}

/* The caller's structure may be of another size than ours: see the header. */
static long control_ioctl(struct file *file, unsigned int cmd, unsigned long addr)
{
	u32 nr = _IOC_NR(cmd), size = _IOC_SIZE(cmd), ours = nr < ARRAY_SIZE(calls) ? calls[nr] : 0;
	union arg arg = { };
	int rc;

	if (!ours || _IOC_TYPE(cmd) != _IOC_TYPE(ours) || _IOC_DIR(cmd) != _IOC_DIR(ours))
		return -ENOTTY;
	rc = copy_struct_from_user(&arg, _IOC_SIZE(ours), (void __user *)addr, size);
	if (rc)
		return rc == -E2BIG ? -EINVAL : rc;
	if (mutex_lock_killable(&shim_channel.calls))
		return -EINTR;
	rc = call(file->private_data, ours, &arg);
	mutex_unlock(&shim_channel.calls);
	if (!rc && _IOC_DIR(ours) & _IOC_READ && copy_to_user((void __user *)addr, &arg, min(size, _IOC_SIZE(ours))))
		return -EFAULT;
	return rc;
}

static const struct file_operations control_fops = {
	.owner = THIS_MODULE,
	.open = control_open,
	.release = control_release,
	.read = control_read,
	.write_iter = control_write,
	.poll = control_poll,
	.mmap = control_mmap,
	.unlocked_ioctl = control_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice control = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "drbd-control",
	.mode = 0600,
	.fops = &control_fops,
};

int shim_control_init(void)
{
	return misc_register(&control);
}

void shim_control_exit(void)
{
	misc_deregister(&control);
}
