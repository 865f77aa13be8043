// SPDX-License-Identifier: GPL-2.0-or-later
/* The engine process: started when something waits for it, noticed when it dies, started again. */
#include "shim.h"

static char engine[256] = "/usr/sbin/drbdd";
module_param_string(engine, engine, sizeof(engine), 0644);
MODULE_PARM_DESC(engine, "program that is started when an engine is needed; none: somebody else does it");

#define STEADY		(60 * HZ)	/* an engine that lived so long starts the back-off afresh */
#define MAX_BACKOFF	8		/* seconds; below engine_wait, so that requests survive a restart */

static void watch(struct work_struct *work);
static DEFINE_MUTEX(lock);
static DECLARE_DELAYED_WORK(watch_work, watch);
static bool here;
static bool holding;			/* the module, for pin and devices, while no engine's open file does it */
static u32 generations, deaths;		/* deaths in a row */
static unsigned long changed, next_start;	/* jiffies: engine came or went; when one may be started */
static int count_at_close;		/* the module's use count while the file was still open */
bool shim_pinned, shim_leaving, shim_io_lost;

/* Only when the use count has fallen, or `rmmod` right after the answer could still find the module in use. */
static void answer_at_close(struct work_struct *work)
{
	int i;

	for (i = 0; i < 100 && module_refcount(THIS_MODULE) >= count_at_close; i++)
		usleep_range(100, 1000);
	shim_requests_end(SHIM_CLOSING, NULL, 0);
}
static DECLARE_WORK(close_work, answer_at_close);

bool shim_engine_answers_dumps(void)
{
	return (READ_ONCE(here) && !READ_ONCE(shim_leaving)) || READ_ONCE(shim_pinned) || shim_any_device();
}

static bool wanted(void)
{
	return READ_ONCE(shim_requests) || shim_pinned || shim_any_device();
}

/* Runs in the new process before exec: what a process in the write-back path needs, inherited by all its threads. */
static int prepare(struct subprocess_info *info, struct cred *new)
{
	current->flags |= PF_MEMALLOC_NOIO | PF_LOCAL_THROTTLE;
	current->signal->oom_score_adj = OOM_SCORE_ADJ_MIN;
	return 0;
}

/* No engine for too long: bios fail, until one comes. */
static void lose_io(void)
{
	struct shim_device *dev;
	unsigned long id;

	guard(mutex)(&shim_channel.calls);
	if (READ_ONCE(here))
		return;
	pr_err("no engine for %u s: I/O fails\n", shim_io_wait);
	WRITE_ONCE(shim_io_lost, true);
	xa_for_each(&shim_device_table, id, dev)
		shim_bios_fail(dev);
}

/* Starts an engine when one is wanted, answers requests that have waited too long. Runs again until one is here. */
static void watch(struct work_struct *work)
{
	/* systemd-shutdown spares processes whose name begins so: a file system may still be mounted on a device */
	static char *argv[] = { "@drbdd", NULL };
	static char *envp[] = { "HOME=/", "TERM=linux", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	/* what is dirty may be ours: memory for the next engine can't wait for I/O that waits for the next engine */
	unsigned int noio = memalloc_noio_save();
	struct subprocess_info *info;
	bool start = false, lost = false;
	char path[sizeof(engine)], text[128];
	int rc;

	kernel_param_lock(THIS_MODULE);
	strscpy(path, strim(engine), sizeof(path));
	kernel_param_unlock(THIS_MODULE);
	scoped_guard(mutex, &lock) {
		if (here)
			break;
		start = wanted() && strcmp(path, "none") && time_after_eq(jiffies, next_start);
		lost = shim_any_device() && shim_io_wait && !shim_io_lost && time_after(jiffies, changed + shim_io_wait * HZ);
		if (start)
			next_start = jiffies + shim_engine_wait * HZ;
		shim_requests_end(SHIM_WAITING, "no engine came within the time allowed", shim_engine_wait * HZ);
		if (wanted())
			mod_delayed_work(shim_wq, &watch_work, HZ / 2);
	}
	if (start) {
		info = call_usermodehelper_setup(path, argv, envp, GFP_KERNEL, prepare, NULL, NULL);
		rc = info ? call_usermodehelper_exec(info, UMH_WAIT_EXEC) : -ENOMEM;
		if (rc) {
			snprintf(text, sizeof(text), "can't start the engine %.64s: error %d", path, rc);
			pr_err("%s\n", text);
			shim_requests_end(SHIM_WAITING, text, 0);
		}
	}
	if (lost)
		lose_io();
	memalloc_noio_restore(noio);
}

void shim_engine_want(void)
{
	if (!READ_ONCE(here))
		mod_delayed_work(shim_wq, &watch_work, 0);
}

/*
 * open(2) of the control file: an engine is here. Another one would find the key of its rings in use. Dirty pages come free
 * only through it: what it becomes from here on, threads and program, takes from the reserves rather than wait for memory.
 */
int shim_engine_open(struct inode *inode, struct file *file)
{
	struct shim_arena *rings;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	rings = shim_arena_make(DRBD_SHIM_RINGS_BYTES, SHIM_RINGS_KEY);
	if (IS_ERR(rings))
		return PTR_ERR(rings);
	scoped_guard(mutex, &shim_channel.calls) {
		guard(mutex)(&lock);
		here = true;
		shim_leaving = shim_io_lost = false;
		changed = jiffies;
		shim_channel_set((void *)rings->addr, ++generations);
		if (holding)
			module_put(THIS_MODULE);
		holding = false;
	}
	current->flags |= PF_MEMALLOC;
	shim_channel_requests();
	file->private_data = rings;
	file->f_mode |= FMODE_NOWAIT;	/* io_uring may ring the doorbell inline */
	return stream_open(inode, file);
}

/* The reference of its file to the module still counts. */
int shim_engine_release(struct inode *inode, struct file *file)
{
	scoped_guard(mutex, &shim_channel.calls) {
		shim_channel_set(NULL, 0);
		shim_devices_orphan(generations);
	}
	shim_requests_orphan();
	guard(mutex)(&lock);
	here = false;
	holding = shim_pinned || shim_any_device();
	if (holding)
		__module_get(THIS_MODULE);
	deaths = shim_leaving || time_after(jiffies, changed + STEADY) ? 0 : deaths + 1;
	changed = jiffies;
	next_start = jiffies + (deaths < 2 ? 0 : min(1 << min(deaths - 2, 8u), MAX_BACKOFF)) * HZ;
	count_at_close = module_refcount(THIS_MODULE);
	if (wanted())
		pr_warn("the engine is gone, starting another one\n");
	shim_arena_drop(file->private_data);
	queue_work(shim_wq, &close_work);
	mod_delayed_work(shim_wq, &watch_work, next_start - jiffies);
	return 0;
}

/* No request can come any more; those that wait get an answer. */
void shim_engine_exit(void)
{
	flush_work(&close_work);
	cancel_delayed_work_sync(&watch_work);
	shim_requests_end(SHIM_WAITING, "the module is being unloaded", 0);
}
