// SPDX-License-Identifier: GPL-2.0-or-later
/* Module `drbd`: loading, parameters, /proc/drbd. */
#include "shim.h"

#define SECONDS(name, start, what) \
	uint shim_##name = start; module_param_named(name, shim_##name, uint, 0644); MODULE_PARM_DESC(name, "seconds " what)
SECONDS(engine_wait, 10, "that a request waits for an engine");
SECONDS(open_wait, 30, "that an open waits for the engine's answer");
SECONDS(close_wait, 30, "that the last close waits for the engine");
SECONDS(io_wait, 0, "that I/O waits for another engine; 0: for ever");

/* These only the engine reads. */
static char usermode_helper[80] = "/sbin/drbdadm";
module_param_string(usermode_helper, usermode_helper, sizeof(usermode_helper), 0644);
static int enable_faults, fault_rate, fault_devs;
static bool strict_names = true, allow_oos;
module_param(enable_faults, int, 0644);
module_param(fault_rate, int, 0644);
module_param(fault_devs, int, 0644);
module_param(strict_names, bool, 0644);
module_param(allow_oos, bool, 0644);

struct workqueue_struct *shim_wq;
u64 shim_instance;

static int proc_show(struct seq_file *m, void *unused)
{
	seq_puts(m, "version: " DRBD_SHIM_VERSION " (api:2/proto:118-124)\nGIT-hash: " DRBD_SHIM_GIT_HASH "\n");
	return 0;
}

static int __init shim_init(void)
{
	int rc = -ENOMEM;

	shim_instance = get_random_u64();
	shim_wq = alloc_workqueue("drbd", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!shim_wq)
		return rc;
	rc = shim_bios_init() ? : register_blkdev(DRBD_MAJOR, "drbd");
	if (rc)
		goto bios;
	rc = misc_register(&shim_control);
	if (rc)
		goto major;
	rc = proc_create_single("drbd", 0444, NULL, proc_show) ? shim_genl_init() : -ENOMEM;
	if (!rc)
		return 0;
	remove_proc_subtree("drbd", NULL);
	misc_deregister(&shim_control);
major:
	unregister_blkdev(DRBD_MAJOR, "drbd");
bios:
	shim_bios_exit();
	destroy_workqueue(shim_wq);
	return rc;
}

/* Nothing can be in use: no engine, pin or device. Requests may still wait, and arenas may be on their way out. */
static void __exit shim_exit(void)
{
	shim_genl_exit();
	shim_engine_exit();
	remove_proc_entry("drbd", NULL);
	misc_deregister(&shim_control);
	unregister_blkdev(DRBD_MAJOR, "drbd");
	shim_bios_exit();
	destroy_workqueue(shim_wq);
}

module_init(shim_init);
module_exit(shim_exit);
MODULE_VERSION(DRBD_SHIM_VERSION);
MODULE_DESCRIPTION("drbdd: kernel part of a DRBD whose engine is a process");
MODULE_AUTHOR("The drbdd authors");
MODULE_LICENSE("GPL");
MODULE_ALIAS_BLOCKDEV_MAJOR(DRBD_MAJOR);
MODULE_ALIAS_GENL_FAMILY("drbd");
