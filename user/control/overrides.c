/* SPDX-License-Identifier: MIT */
/*
 * overrides.c - see overrides.h. Owned by the supervisor, called by reload.c. An entry is an address
 * or a DNS name in a group; both may hold for an endpoint, and then the address's values do. Every
 * change is on trial until its revision is in force.
 */
#include "control/overrides.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "config/nearest.h"

struct override_values {
	bool has_weight, has_drain;
	bool drained;
	uint32_t weight;
	enum sluice_health forced;
	uint64_t drain_until_ns;
	/* as the file had them when the command came */
	uint32_t file_weight;
	bool file_drain;
};

struct override {
	struct list link;
	char *group;
	char *name; /* "host:port" of a DNS backend; NULL: address */
	struct addr address;
	struct override_values now, committed;
};

void overrides_init(struct overrides *overrides)
{
	list_init(&overrides->entries);
}

static void override_free(struct override *override)
{
	list_del(&override->link);
	free(override->group);
	free(override->name);
	free(override);
}

void overrides_done(struct overrides *overrides)
{
	struct override *override, *tmp;

	if (!overrides->entries.next)
		return;
	list_for_each_safe(override, tmp, &overrides->entries, link)
		override_free(override);
}

static bool says_nothing(const struct override_values *values)
{
	return !values->has_weight && !values->has_drain &&
	       values->forced == SLUICE_HEALTH_UNKNOWN;
}

static const char *backend_name(const struct config_backend *backend, char text[OVERRIDE_TEXT_MAX])
{
	snprintf(text, OVERRIDE_TEXT_MAX, "%s:%u", backend->host, backend->port);
	return text;
}

/* ---- commands ---- */

struct nearest {
	char text[OVERRIDE_TEXT_MAX];
	unsigned distance;
};

static void nearest_offer(struct nearest *nearest, const char *word, const char *known)
{
	unsigned distance = nearest_distance(word, known);

	if (distance >= nearest->distance || !nearest_is_slip(word, known, distance))
		return;
	nearest->distance = distance;
	snprintf(nearest->text, sizeof(nearest->text), "%s", known);
}

static const struct config_group *find_group(const struct config *config, const char *name,
					     char *why, size_t size)
{
	struct nearest nearest = { .distance = UINT_MAX };

	for (size_t g = 0; g < config->n_groups; g++)
		if (!strcmp(config->groups[g].name, name))
			return &config->groups[g];
	for (size_t g = 0; g < config->n_groups; g++)
		nearest_offer(&nearest, name, config->groups[g].name);
	snprintf(why, size, nearest.text[0] ? "no group \"%s\", did you mean \"%s\"?" :
					      "no group \"%s\"", name, nearest.text);
	return NULL;
}

/* What a command means by its backend: a DNS name, or an address that the group has now. */
struct meant {
	const struct config_backend *backend;
	const char *name; /* NULL: address */
	struct addr address;
};

static int find_backend(const struct config_group *group, const char *text, struct meant *meant,
			char *why, size_t size)
{
	struct nearest nearest = { .distance = UINT_MAX };
	bool is_address = !addr_parse(&meant->address, text);
	char known[OVERRIDE_TEXT_MAX];

	meant->name = is_address ? NULL : text;
	for (size_t i = 0; is_address && i < group->n_endpoints; i++) {
		const struct config_endpoint *endpoint = &group->endpoints[i];

		if (!addr_equal(&endpoint->address, &meant->address))
			continue;
		meant->backend = &group->backends[endpoint->backend];
		return 0;
	}
	for (size_t b = 0; !is_address && b < group->n_backends; b++) {
		meant->backend = &group->backends[b];
		if (meant->backend->is_name &&
		    !strcasecmp(backend_name(meant->backend, known), text))
			return 0;
	}
	for (size_t b = 0; b < group->n_backends; b++)
		if (group->backends[b].is_name)
			nearest_offer(&nearest, text, backend_name(&group->backends[b], known));
	for (size_t i = 0; i < group->n_endpoints; i++)
		nearest_offer(&nearest, text, addr_format(&group->endpoints[i].address, known,
							  ADDR_TEXT_MAX));
	snprintf(why, size, nearest.text[0] ?
			 "group \"%s\" has no backend \"%s\", did you mean \"%s\"?" :
			 "group \"%s\" has no backend \"%s\" (address:port, or name:port as in the file)",
		 group->name, text, nearest.text);
	return -ENOENT;
}

static bool is_for(const struct override *override, const char *group, const struct meant *meant)
{
	if (strcmp(override->group, group) || !override->name != !meant->name)
		return false;
	return meant->name ? !strcasecmp(override->name, meant->name) :
			     addr_equal(&override->address, &meant->address);
}

static struct override *find_or_add(struct overrides *overrides, const char *group,
				    const struct meant *meant)
{
	struct override *override;

	list_for_each(override, &overrides->entries, link)
		if (is_for(override, group, meant))
			return override;
	override = calloc(1, sizeof(*override));
	if (!override)
		return NULL;
	list_init(&override->link);
	override->group = strdup(group);
	override->name = meant->name ? strdup(meant->name) : NULL;
	override->address = meant->address;
	if (!override->group || (meant->name && !override->name)) {
		override_free(override);
		return NULL;
	}
	list_add_tail(&overrides->entries, &override->link);
	return override;
}

static void take_back(struct override_values *values, enum override_verb verb)
{
	switch (verb) {
	case OVERRIDE_DRAIN:
	case OVERRIDE_UNDRAIN:
		values->has_drain = false;
		break;
	case OVERRIDE_WEIGHT:
		values->has_weight = false;
		break;
	case OVERRIDE_HEALTH:
		values->forced = SLUICE_HEALTH_UNKNOWN;
		break;
	}
}

/* A command for a name is for all its addresses, whatever was said of one of them before. */
static void take_back_addresses(struct overrides *overrides, const struct config_group *group,
				const struct config_backend *backend, enum override_verb verb)
{
	struct override *override;

	list_for_each(override, &overrides->entries, link) {
		if (override->name || strcmp(override->group, group->name))
			continue;
		for (size_t i = 0; i < group->n_endpoints; i++)
			if (&group->backends[group->endpoints[i].backend] == backend &&
			    addr_equal(&group->endpoints[i].address, &override->address))
				take_back(&override->now, verb);
	}
}

int overrides_set(struct overrides *overrides, const struct config *config,
		  const struct override_command *command, uint64_t now_ns, char *why, size_t size)
{
	const struct config_group *group = find_group(config, command->group, why, size);
	struct override *override;
	struct override_values *now;
	struct meant meant;

	if (!group || find_backend(group, command->backend, &meant, why, size))
		return -ENOENT;
	override = find_or_add(overrides, command->group, &meant);
	if (!override) {
		snprintf(why, size, "no memory");
		return -ENOMEM;
	}
	if (meant.name)
		take_back_addresses(overrides, group, meant.backend, command->verb);
	now = &override->now;
	switch (command->verb) {
	case OVERRIDE_DRAIN:
	case OVERRIDE_UNDRAIN:
		now->drained = command->verb == OVERRIDE_DRAIN;
		now->drain_until_ns = command->drain_for_ns ? now_ns + command->drain_for_ns : 0;
		now->file_drain = meant.backend->drain;
		/* One address of a drained name must be able to say otherwise. */
		now->has_drain = now->drained != now->file_drain || now->drain_until_ns ||
				 (!meant.name && meant.backend->is_name);
		break;
	case OVERRIDE_WEIGHT:
		now->has_weight = command->weight != OVERRIDE_WEIGHT_FILE &&
				  (command->weight != meant.backend->weight ||
				   (!meant.name && meant.backend->is_name));
		now->weight = command->weight;
		now->file_weight = meant.backend->weight;
		break;
	case OVERRIDE_HEALTH:
		now->forced = command->forced;
		break;
	}
	return 0;
}

/* ---- in a revision ---- */

static int compare_groups(const void *a, const void *b)
{
	return strcmp((*(struct config_group *const *)a)->name,
		      (*(struct config_group *const *)b)->name);
}

static int compare_name(const void *name, const void *group)
{
	return strcmp(name, (*(struct config_group *const *)group)->name);
}

static bool is_endpoint_of(const struct override *override, const struct config_group *group,
			   const struct config_endpoint *endpoint)
{
	const struct config_backend *backend = &group->backends[endpoint->backend];
	char text[OVERRIDE_TEXT_MAX];

	if (!override->name)
		return addr_equal(&endpoint->address, &override->address);
	return backend->is_name && !strcasecmp(backend_name(backend, text), override->name);
}

/* Lets go of what the file says otherwise by now. */
static void yield_to_file(struct override_values *values, const struct config_backend *backend)
{
	if (values->has_weight && backend->weight != values->file_weight)
		values->has_weight = false;
	if (values->has_drain && backend->drain != values->file_drain)
		values->has_drain = false;
}

/* Whether the group has its backend still. */
static bool override_apply(struct override *override, struct config_group *group, bool from_file)
{
	struct override_values *now = &override->now;
	bool found = false;

	for (size_t i = 0; i < group->n_endpoints; i++) {
		struct config_endpoint *endpoint = &group->endpoints[i];

		if (!is_endpoint_of(override, group, endpoint))
			continue;
		found = true;
		if (from_file)
			yield_to_file(now, &group->backends[endpoint->backend]);
		if (now->has_weight)
			endpoint->weight = now->weight;
		if (now->has_drain) {
			endpoint->drained = now->drained;
			endpoint->drain_until_ns = now->drained ? now->drain_until_ns : 0;
		}
		if (now->forced != SLUICE_HEALTH_UNKNOWN)
			endpoint->forced = now->forced;
	}
	/* A name without an address now is still the file's. */
	for (size_t b = 0; override->name && !found && b < group->n_backends; b++) {
		char text[OVERRIDE_TEXT_MAX];

		found = group->backends[b].is_name &&
			!strcasecmp(backend_name(&group->backends[b], text), override->name);
	}
	return found;
}

int overrides_apply(struct overrides *overrides, struct config *config, bool from_file)
{
	struct config_group **groups;
	struct override *override;

	if (list_empty(&overrides->entries))
		return 0;
	groups = calloc(config->n_groups, sizeof(struct config_group *));
	if (!groups)
		return -ENOMEM;
	for (size_t g = 0; g < config->n_groups; g++)
		groups[g] = &config->groups[g];
	qsort(groups, config->n_groups, sizeof(struct config_group *), compare_groups);
	for (int pass = 0; pass < 2; pass++) { /* names first: addresses have the last word */
		list_for_each(override, &overrides->entries, link) {
			struct config_group **group;

			if (!override->name != (pass == 1))
				continue;
			group = bsearch(override->group, groups, config->n_groups,
					sizeof(struct config_group *), compare_name);
			if ((!group || !override_apply(override, *group, from_file)) && from_file)
				override->now = (struct override_values){ 0 };
		}
	}
	free(groups);
	return 0;
}

static void log_taken_back(const struct override *override, const char *what)
{
	char text[ADDR_TEXT_MAX];

	log_info("the file has taken a command back", F_STR("group", override->group),
		 F_STR("backend", override->name ? override->name :
						   addr_format(&override->address, text,
							       sizeof(text))),
		 F_STR("what", what));
}

void overrides_commit(struct overrides *overrides, bool from_file)
{
	struct override *override, *tmp;

	list_for_each_safe(override, tmp, &overrides->entries, link) {
		const struct override_values *old = &override->committed, *now = &override->now;

		if (from_file && old->has_weight && !now->has_weight)
			log_taken_back(override, "weight");
		if (from_file && old->has_drain && !now->has_drain)
			log_taken_back(override, old->drained ? "drain" : "undrain");
		if (from_file && old->forced != now->forced)
			log_taken_back(override, "health");
		override->committed = override->now;
		if (says_nothing(&override->now))
			override_free(override);
	}
}

void overrides_revert(struct overrides *overrides)
{
	struct override *override, *tmp;

	list_for_each_safe(override, tmp, &overrides->entries, link) {
		override->now = override->committed;
		if (says_nothing(&override->now))
			override_free(override);
	}
}
