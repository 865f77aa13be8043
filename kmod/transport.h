/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a module drbd_transport_NAME is to the module drbd. */
#ifndef SHIM_TRANSPORT_H
#define SHIM_TRANSPORT_H

#include <linux/list.h>
#include <linux/module.h>

struct drbd_shim_transport_module {
	struct list_head node;
	const char *name;
	struct module *module;
	u32 uses;			/* by the engine that is here */
};

int drbd_shim_register_transport(struct drbd_shim_transport_module *t);
void drbd_shim_unregister_transport(struct drbd_shim_transport_module *t);

#define DRBD_SHIM_TRANSPORT_MODULE(transport_name)						\
	static struct drbd_shim_transport_module transport = { .name = transport_name, .module = THIS_MODULE }; \
	static int __init transport_init(void) { return drbd_shim_register_transport(&transport); }	\
	static void __exit transport_exit(void) { drbd_shim_unregister_transport(&transport); }	\
	module_init(transport_init);								\
	module_exit(transport_exit);								\
	MODULE_VERSION(DRBD_SHIM_VERSION);							\
	MODULE_DESCRIPTION("drbdd: use count of transport " transport_name);			\
	MODULE_AUTHOR("The drbdd authors");							\
	MODULE_LICENSE("GPL")

#endif
