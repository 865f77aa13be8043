// SPDX-License-Identifier: GPL-2.0-or-later
/* The modules drbd_transport_*: they do nothing but be counted, since tools and tests look at lsmod. */
#include "shim.h"
#include "transport.h"

static DEFINE_MUTEX(lock);
static LIST_HEAD(transports);

int drbd_shim_register_transport(struct drbd_shim_transport_module *t)
{
	mutex_lock(&lock);
	list_add_tail(&t->node, &transports);
	mutex_unlock(&lock);
	return 0;
}
EXPORT_SYMBOL_GPL(drbd_shim_register_transport);

void drbd_shim_unregister_transport(struct drbd_shim_transport_module *t)
{
	mutex_lock(&lock);
	list_del(&t->node);
	mutex_unlock(&lock);
}
EXPORT_SYMBOL_GPL(drbd_shim_unregister_transport);

static int use(struct drbd_shim_transport_module *t, bool up)
{
	if (up ? !try_module_get(t->module) : !t->uses)
		return -ENOENT;
	if (!up)
		module_put(t->module);
	t->uses += up ? 1 : -1;
	return 0;
}

int shim_transport(struct drbd_shim_transport *arg)
{
	struct drbd_shim_transport_module *t;
	int rc = -ENOENT;

	if (arg->up > 1 || arg->reserved || strnlen(arg->name, sizeof(arg->name)) == sizeof(arg->name))
		return -EINVAL;
	mutex_lock(&lock);
	list_for_each_entry(t, &transports, node)
		if (!strcmp(t->name, arg->name))
			rc = use(t, arg->up);
	mutex_unlock(&lock);
	return rc;
}

/* The engine that counted them is gone. */
void shim_transports_drop(void)
{
	struct drbd_shim_transport_module *t;

	mutex_lock(&lock);
	list_for_each_entry(t, &transports, node)
		while (t->uses)
			use(t, false);
	mutex_unlock(&lock);
}

void shim_transports_show(struct seq_file *m)
{
	struct drbd_shim_transport_module *t;

	mutex_lock(&lock);
	list_for_each_entry(t, &transports, node)
		seq_printf(m, " %s (%s)", t->name, t->module->version);
	mutex_unlock(&lock);
}
