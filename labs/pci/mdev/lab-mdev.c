// SPDX-License-Identifier: GPL-2.0-only
/* Debian's sample mtty, whose parent is a PCI function here: vendors' parents are cards, mtty's own is none. */
#include <linux/device.h>
#include <linux/mdev.h>
#include <linux/module.h>
#include <linux/pci.h>

static char *parent = "";
module_param(parent, charp, 0444);
MODULE_PARM_DESC(parent, "PCI function to divide, as 0000:45:00.0");

static struct device *function;

static int register_function(struct mdev_parent *of, struct device *unused, struct mdev_driver *driver,
			     struct mdev_type **types, unsigned int count)
{
	int error;

	function = bus_find_device_by_name(&pci_bus_type, NULL, parent);
	if (!function)
		return -ENODEV;
	error = mdev_register_parent(of, function, driver, types, count);
	if (error)
		put_device(function);
	return error;
}

static void unregister_function(struct mdev_parent *of)
{
	mdev_unregister_parent(of);
	put_device(function);
}

#define mdev_register_parent register_function
#define mdev_unregister_parent unregister_function
#include "mtty.c"
