/* SPDX-License-Identifier: MIT */
/*
 * system.c - see system.h: interfaces and users. Changes nothing on the machine.
 */
#include "config/system.h"

#include <grp.h>
#include <net/if.h>
#include <pwd.h>

static void system_check_interfaces(struct reporter *reporter, const struct config *config,
				    const struct node *interfaces)
{
	const struct node *item;
	char quoted[REPORT_QUOTE_MAX];
	size_t i = 0;

	if (!interfaces || !config->kernel.n_interfaces || config->kernel.mode == KERNEL_OFF)
		return;
	node_for_each(item, interfaces) {
		const char *name = config->kernel.interfaces[i++].name;
		const struct node *node = node_get(item, "name");

		if (name && node && !if_nametoindex(name))
			report_warning(reporter, node->place,
				       "interface %s does not exist, XDP is attached when it appears",
				       report_quote(quoted, name));
	}
}

static void system_check_runtime(struct reporter *reporter, const struct config *config,
				 const struct node *runtime)
{
	const struct node *user = node_get(runtime, "user"), *group = node_get(runtime, "group");
	char quoted[REPORT_QUOTE_MAX];

	if (user && config->user && !getpwnam(config->user))
		report_error(reporter, user->place,
			     "user %s does not exist, want an existing one, or the key left out",
			     report_quote(quoted, config->user));
	if (group && config->group && !getgrnam(config->group))
		report_error(reporter, group->place,
			     "group %s does not exist, want an existing one, or the key left out",
			     report_quote(quoted, config->group));
}

void system_check(struct reporter *reporter, struct config *config, const struct node *root,
		  const struct config_hooks *hooks)
{
	system_check_pem(reporter, config, root, hooks);
	system_check_acls(reporter, config);
	system_check_interfaces(reporter, config, node_get(node_get(root, "kernel"), "interfaces"));
	system_check_runtime(reporter, config, node_get(root, "runtime"));
}
