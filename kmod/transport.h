/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a module drbd_transport_NAME is: a use count that lsmod shows, and a user of the module drbd. */
#ifndef SHIM_TRANSPORT_H
#define SHIM_TRANSPORT_H

#include <linux/module.h>

struct drbd_shim_transport_use {
	u32 uses, generation;		/* by the engine of that generation */
};

extern const bool drbd_shim_is_loaded;

#define DRBD_SHIM_TRANSPORT_MODULE(name)							\
	extern struct drbd_shim_transport_use drbd_transport_##name##_use;			\
	struct drbd_shim_transport_use drbd_transport_##name##_use;				\
	EXPORT_SYMBOL_GPL(drbd_transport_##name##_use);						\
	static int __init transport_init(void) { return READ_ONCE(drbd_shim_is_loaded) ? 0 : -ENXIO; }	\
	static void __exit transport_exit(void) { }						\
	module_init(transport_init);								\
	module_exit(transport_exit);								\
	MODULE_VERSION(DRBD_SHIM_VERSION);							\
	MODULE_DESCRIPTION("drbdd: use count of a transport");					\
	MODULE_AUTHOR("The drbdd authors");							\
	MODULE_LICENSE("GPL")

#endif
