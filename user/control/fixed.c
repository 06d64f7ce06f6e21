/* SPDX-License-Identifier: MIT */
/*
 * fixed.c - see fixed.h. Called by reload.c on a config that nobody else has yet.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/fixed.h"

struct kept {
	char *text;
	size_t size;
};

static void keep(struct kept *kept, const char *key)
{
	size_t len = strlen(kept->text);

	snprintf(kept->text + len, kept->size - len, "%s%s", len ? ", " : "", key);
	log_warn("this setting changes only at a restart: the running value stays",
		 F_STR("key", key));
}

static int keep_string(struct kept *kept, const char *key, char **value, const char *running)
{
	if (*value == running || (*value && running && !strcmp(*value, running)))
		return 0;
	keep(kept, key);
	char *copy = running ? strdup(running) : NULL;

	if (running && !copy)
		return -ENOMEM;
	free(*value);
	*value = copy;
	return 0;
}

int fixed_keep(struct config *config, const struct config *running, char *text, size_t size)
{
	struct kept kept = { text, size };

	text[0] = '\0';
	if (config->workers != running->workers) {
		keep(&kept, "workers");
		config->workers = running->workers;
	}
	if (config->kernel.mode != running->kernel.mode) {
		keep(&kept, "kernel.mode");
		config->kernel.mode = running->kernel.mode;
	}
	/* To change between the two, an interface would have to be without the gate for a moment. */
	if (config->kernel.xdp_chain != running->kernel.xdp_chain) {
		keep(&kept, "kernel.xdp_chain");
		config->kernel.xdp_chain = running->kernel.xdp_chain;
	}
	if (config->kernel.chain_priority != running->kernel.chain_priority) {
		keep(&kept, "kernel.chain_priority");
		config->kernel.chain_priority = running->kernel.chain_priority;
	}
	if (keep_string(&kept, "runtime.user", &config->user, running->user) ||
	    keep_string(&kept, "runtime.group", &config->group, running->group) ||
	    keep_string(&kept, "control.socket", &config->control_socket,
			running->control_socket) ||
	    keep_string(&kept, "kernel.pin_path", &config->kernel.pin_path,
			running->kernel.pin_path))
		return -ENOMEM;
	return 0;
}
