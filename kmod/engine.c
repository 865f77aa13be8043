// SPDX-License-Identifier: GPL-2.0-or-later
/* The engine process: started when something waits for it, noticed when it dies, started again. */
#include <linux/delay.h>
#include <linux/kmod.h>
#include <linux/oom.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/umh.h>
#include "shim.h"

#define STEADY_SECONDS	60	/* an engine that lived so long starts the back-off afresh */
#define MAX_BACKOFF	8	/* seconds; below engine_wait, so that requests survive a restart */

static void watch(struct work_struct *work);
static void lost(struct work_struct *work);
static void answer_at_close(struct work_struct *work);
static DEFINE_MUTEX(lock);
static DECLARE_DELAYED_WORK(watch_work, watch);
static DECLARE_DELAYED_WORK(lost_work, lost);
static DECLARE_WORK(close_work, answer_at_close);
static bool here, leaving, pinned;
static u32 generations, deaths;		/* deaths in a row */
static unsigned long attached_at, next_start;
static int count_at_close;		/* the module's use count while the file was still open */

bool shim_engine_answers_dumps(void)
{
	return (READ_ONCE(here) && !READ_ONCE(leaving)) || READ_ONCE(pinned) || shim_devices_count();
}

bool shim_engine_pinned(void)
{
	return READ_ONCE(pinned);
}

void shim_engine_leaving(bool on)
{
	WRITE_ONCE(leaving, on);
}

/* Called by the engine, whose open file keeps the module. */
void shim_engine_pin(bool on)
{
	if (on == pinned)
		return;
	WRITE_ONCE(pinned, on);
	if (on)
		__module_get(THIS_MODULE);
	else
		module_put(THIS_MODULE);
}

static bool wanted(void)
{
	return shim_requests_any() || pinned || shim_devices_count();
}

/* Runs in the new process before exec: what a process in the write-back path needs, inherited by all its threads. */
static int prepare(struct subprocess_info *info, struct cred *new)
{
	struct rlimit *limits = current->signal->rlim;

	current->flags |= PF_MEMALLOC_NOIO | PF_LOCAL_THROTTLE;
	current->signal->oom_score_adj = OOM_SCORE_ADJ_MIN;
	task_lock(current->group_leader);
	limits[RLIMIT_NOFILE] = (struct rlimit) { 65536, 65536 };
	limits[RLIMIT_MEMLOCK] = (struct rlimit) { RLIM_INFINITY, RLIM_INFINITY };
	task_unlock(current->group_leader);
	return 0;
}

static int start_engine(const char *path)
{
	/* systemd-shutdown spares processes whose name begins so: a file system may still be mounted on a device */
	static char *argv[] = { "@drbdd", NULL };
	static char *envp[] = { "HOME=/", "TERM=linux", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	struct subprocess_info *info = call_usermodehelper_setup(path, argv, envp, GFP_KERNEL, prepare, NULL, NULL);

	return info ? call_usermodehelper_exec(info, UMH_WAIT_EXEC) : -ENOMEM;
}

/* Starts an engine when one is wanted, answers requests that have waited too long. */
static void watch(struct work_struct *work)
{
	char *path = shim_engine_path(), text[128];
	int rc;

	mutex_lock(&lock);
	if (here || !path)
		goto out;
	shim_requests_fail("no engine came within the time allowed", shim_engine_wait * HZ);
	if (!wanted())
		goto out;
	if (*path && strcmp(path, "none") && time_after_eq(jiffies, next_start)) {
		next_start = jiffies + shim_engine_wait * HZ;
		/* it opens the control file, which takes the lock */
		mutex_unlock(&lock);
		rc = start_engine(path);
		mutex_lock(&lock);
		if (rc) {
			next_start = jiffies + MAX_BACKOFF * HZ;
			snprintf(text, sizeof(text), "can't start the engine %.64s: error %d", path, rc);
			pr_err("%s\n", text);
			shim_requests_fail(text, 0);
		}
	}
	if (!here)
		mod_delayed_work(shim_wq, &watch_work, HZ / 2);
out:
	mutex_unlock(&lock);
	kfree(path);
}

void shim_engine_want(void)
{
	if (!READ_ONCE(here))
		mod_delayed_work(shim_wq, &watch_work, 0);
}

int shim_engine_attach(u32 *generation)
{
	int rc = -EBUSY;

	mutex_lock(&lock);
	if (!here) {
		rc = 0;
		here = true;
		leaving = false;
		attached_at = jiffies;
		*generation = ++generations;
	}
	mutex_unlock(&lock);
	if (rc)
		return rc;
	cancel_delayed_work_sync(&lost_work);
	shim_devices_fail(false);
	return 0;
}

/* In release() of the control file, so its reference to the module still counts. */
void shim_engine_detach(void)
{
	mutex_lock(&lock);
	here = false;
	deaths = leaving || time_after(jiffies, attached_at + STEADY_SECONDS * HZ) ? 0 : deaths + 1;
	next_start = jiffies + (deaths < 2 ? 0 : min(1 << min(deaths - 2, 8u), MAX_BACKOFF)) * HZ;
	count_at_close = module_refcount(THIS_MODULE);
	mutex_unlock(&lock);
	if (wanted())
		pr_warn("the engine is gone, starting another one\n");
	if (shim_io_wait && shim_devices_count())
		mod_delayed_work(shim_wq, &lost_work, shim_io_wait * HZ);
	queue_work(shim_wq, &close_work);
	mod_delayed_work(shim_wq, &watch_work, next_start - jiffies);
}

/* Only when the use count has fallen, or `rmmod` right after the answer could still find the module in use. */
static void answer_at_close(struct work_struct *work)
{
	int i;

	for (i = 0; i < 100 && module_refcount(THIS_MODULE) >= count_at_close; i++)
		usleep_range(100, 1000);
	shim_replies_at_close();
}

static void lost(struct work_struct *work)
{
	mutex_lock(&shim_channel.calls);
	if (!READ_ONCE(here)) {
		pr_err("no engine for %u s: I/O fails\n", shim_io_wait);
		shim_devices_fail(true);
	}
	mutex_unlock(&shim_channel.calls);
}

/* No request can come any more; those that wait get an answer. */
void shim_engine_exit(void)
{
	flush_work(&close_work);
	cancel_delayed_work_sync(&lost_work);
	cancel_delayed_work_sync(&watch_work);
	shim_requests_fail("the module is being unloaded", 0);
}
