/* SPDX-License-Identifier: MIT */
/*
 * control_command.c - see control_command.h. Called by control.c only. Whether group and backend
 * exist is not known here: overrides.c says so when the command's turn comes.
 */
#include "control/control_command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/loop.h"

#define WEIGHT_MAX   100
#define DRAIN_MAX_MS (24ull * 3600 * 1000)

static const char *const verbs[] = {
	[OVERRIDE_DRAIN] = "drain",
	[OVERRIDE_UNDRAIN] = "undrain",
	[OVERRIDE_WEIGHT] = "weight",
	[OVERRIDE_HEALTH] = "health",
};

bool control_command_is(const char *command)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(verbs[i], command))
			return true;
	return false;
}

static int read_drain(json_t *request, struct override_command *what, char *why, size_t size)
{
	const json_t *value = json_object_get(request, "for_ms");
	json_int_t for_ms = json_integer_value(value);

	if (!value)
		return 0;
	if (!json_is_integer(value) || for_ms < 1 || (uint64_t)for_ms > DRAIN_MAX_MS) {
		snprintf(why, size, "for_ms wants whole milliseconds, 1 to %llu (24h)",
			 (unsigned long long)DRAIN_MAX_MS);
		return -EINVAL;
	}
	what->drain_for_ns = (uint64_t)for_ms * NS_PER_MS;
	return 0;
}

static int read_weight(json_t *request, struct override_command *what, char *why, size_t size)
{
	const json_t *value = json_object_get(request, "weight");
	json_int_t weight = json_integer_value(value);

	what->weight = OVERRIDE_WEIGHT_FILE;
	if (json_is_string(value) && !strcmp(json_string_value(value), "file"))
		return 0;
	if (!json_is_integer(value) || weight < 0 || weight > WEIGHT_MAX) {
		snprintf(why, size, "weight wants a whole number from 0 to %d, or \"file\"",
			 WEIGHT_MAX);
		return -EINVAL;
	}
	what->weight = (uint32_t)weight;
	return 0;
}

static int read_health(json_t *request, struct override_command *what, char *why, size_t size)
{
	static const char *const words[] = {
		[SLUICE_HEALTH_UNKNOWN] = "auto",
		[SLUICE_HEALTH_UP] = "up",
		[SLUICE_HEALTH_DOWN] = "down",
	};
	const char *word = json_string_value(json_object_get(request, "health"));

	for (size_t i = 0; word && i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(words[i], word))
			continue;
		what->forced = (enum sluice_health)i;
		return 0;
	}
	snprintf(why, size, "health wants up, down or auto");
	return -EINVAL;
}

int control_command_read(json_t *request, struct override_command *what, char *why, size_t size)
{
	static int (*const readers[])(json_t *, struct override_command *, char *, size_t) = {
		[OVERRIDE_DRAIN] = read_drain,
		[OVERRIDE_WEIGHT] = read_weight,
		[OVERRIDE_HEALTH] = read_health,
	};
	static const char *const values[] = {
		[OVERRIDE_DRAIN] = "for_ms", [OVERRIDE_UNDRAIN] = "",
		[OVERRIDE_WEIGHT] = "weight", [OVERRIDE_HEALTH] = "health",
	};
	const char *command = json_string_value(json_object_get(request, "command"));
	const char *group = json_string_value(json_object_get(request, "group"));
	const char *backend = json_string_value(json_object_get(request, "backend"));
	const char *key;
	json_t *value;

	memset(what, 0, sizeof(*what));
	while (what->verb < OVERRIDE_HEALTH && strcmp(verbs[what->verb], command))
		what->verb++;
	json_object_foreach(request, key, value) {
		if (strcmp(key, "command") && strcmp(key, "group") && strcmp(key, "backend") &&
		    strcmp(key, values[what->verb])) {
			snprintf(why, size, "%s takes no \"%s\"", command, key);
			return -EINVAL;
		}
	}
	if (!group || !backend || strlen(group) >= sizeof(what->group) ||
	    strlen(backend) >= sizeof(what->backend)) {
		snprintf(why, size, "%s wants a group and a backend", command);
		return -EINVAL;
	}
	strcpy(what->group, group);
	strcpy(what->backend, backend);
	return readers[what->verb] ? readers[what->verb](request, what, why, size) : 0;
}
