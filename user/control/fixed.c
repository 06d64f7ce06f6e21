/* SPDX-License-Identifier: MIT */
/*
 * fixed.c - see fixed.h. Called by reload.c on a config that nobody else has yet.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/fixed.h"

static void warn(const char *key)
{
	log_warn("this setting changes only at a restart: the running value stays",
		 F_STR("key", key));
}

static int keep_string(const char *key, char **value, const char *running)
{
	if (*value == running || (*value && running && !strcmp(*value, running)))
		return 0;
	warn(key);
	char *copy = running ? strdup(running) : NULL;

	if (running && !copy)
		return -ENOMEM;
	free(*value);
	*value = copy;
	return 0;
}

int fixed_keep(struct config *config, const struct config *running)
{
	if (config->workers != running->workers) {
		warn("workers");
		config->workers = running->workers;
	}
	if (config->kernel.mode != running->kernel.mode) {
		warn("kernel.mode");
		config->kernel.mode = running->kernel.mode;
	}
	if (keep_string("runtime.user", &config->user, running->user) ||
	    keep_string("runtime.group", &config->group, running->group) ||
	    keep_string("control.socket", &config->control_socket, running->control_socket) ||
	    keep_string("kernel.pin_path", &config->kernel.pin_path, running->kernel.pin_path))
		return -ENOMEM;
	return 0;
}
