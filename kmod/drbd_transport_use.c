// SPDX-License-Identifier: GPL-2.0-or-later
/* The modules drbd_transport_* do nothing but be counted, since tools and tests look at lsmod. Part of the module drbd. */
#include "shim.h"

const bool drbd_shim_is_loaded = true;	/* they use it, so lsmod shows them as our users */
EXPORT_SYMBOL_GPL(drbd_shim_is_loaded);

/* Use counts of an earlier engine are dropped when a later one counts. */
SHIM_CALL(shim_transport)
{
	struct drbd_shim_transport *arg = data;
	struct drbd_shim_transport_use *t;
	char symbol[64];

	if (arg->up > 1 || arg->reserved || strnlen(arg->name, sizeof(arg->name)) == sizeof(arg->name))
		return -EINVAL;
	snprintf(symbol, sizeof(symbol), "drbd_transport_%s_use", arg->name);
	strreplace(symbol, '-', '_');
	t = (void *)__symbol_get(symbol);
	if (!t)
		return -ENOENT;
	for (; t->generation != shim_channel.generation && t->uses; t->uses--)
		__symbol_put(symbol);
	t->generation = shim_channel.generation;
	if (!arg->up && t->uses) {
		t->uses--;
		__symbol_put(symbol);
	}
	if (arg->up)
		t->uses++;
	else
		__symbol_put(symbol);
	return 0;
}
