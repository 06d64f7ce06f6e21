/* SPDX-License-Identifier: MIT */
/*
 * names.c - see names.h. Called by the supervisor when the monitor reports an answer and by
 * reload.c before a config is sent out. Asks nobody itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/names.h"

struct name_answer {
	struct list link;
	struct textmap_link by_host;
	bool wanted; /* by the config that names_sweep looks at */
	char *host;
	uint32_t n;
	uint8_t addresses[CHANNEL_ADDRESSES_MAX][16];
};

void names_init(struct names *names)
{
	list_init(&names->answers);
	names->by_host = (struct textmap){ 0 };
}

static void answer_free(struct names *names, struct name_answer *answer)
{
	textmap_del(&names->by_host, &answer->by_host);
	list_del(&answer->link);
	free(answer->host);
	free(answer);
}

void names_done(struct names *names)
{
	struct name_answer *answer, *tmp;

	if (!names->answers.next)
		return;
	list_for_each_safe(answer, tmp, &names->answers, link)
		answer_free(names, answer);
	textmap_done(&names->by_host);
}

static struct name_answer *find(const struct names *names, const char *host)
{
	struct textmap_link *link = textmap_find(&names->by_host, host);

	return link ? container_of(link, struct name_answer, by_host) : NULL;
}

int names_store(struct names *names, const struct channel_resolved *resolved)
{
	if (!memchr(resolved->host, '\0', sizeof(resolved->host)) ||
	    resolved->n > CHANNEL_ADDRESSES_MAX)
		return -EINVAL;

	struct name_answer *answer = find(names, resolved->host);

	if (!answer) {
		answer = calloc(1, sizeof(*answer));
		if (!answer)
			return -ENOMEM;
		answer->host = strdup(resolved->host);
		if (!answer->host ||
		    textmap_add(&names->by_host, &answer->by_host, answer->host)) {
			free(answer->host);
			free(answer);
			return -ENOMEM;
		}
		list_add_tail(&names->answers, &answer->link);
	}
	size_t bytes = resolved->n * sizeof(resolved->addresses[0]);

	if (!resolved->n ||
	    (answer->n == resolved->n && !memcmp(answer->addresses, resolved->addresses, bytes)))
		return 0;
	answer->n = resolved->n;
	memcpy(answer->addresses, resolved->addresses, bytes);
	return 1;
}

unsigned names_unanswered(const struct names *names, const struct config *config)
{
	unsigned n = 0;

	for (size_t g = 0; g < config->n_groups; g++) {
		const struct config_group *group = &config->groups[g];

		for (size_t b = 0; b < group->n_backends; b++)
			if (group->backends[b].is_name && !find(names, group->backends[b].host))
				n++;
	}
	return n;
}

/* The addresses that a group has by now, for groups of any size: open addressing, half full at most. */
struct address_set {
	uint32_t *slots; /* index of the endpoint + 1; 0: free */
	uint32_t mask;
};

static int set_init(struct address_set *set, size_t n)
{
	uint32_t size = 16;

	while (size < 2 * n)
		size *= 2;
	set->slots = calloc(size, sizeof(*set->slots));
	set->mask = size - 1;
	return set->slots ? 0 : -ENOMEM;
}

static uint32_t address_hash(const struct addr *address)
{
	uint8_t bytes[16];
	uint32_t hash = 2166136261u ^ addr_port(address); /* FNV-1a */

	addr_to_mapped(address, bytes);
	for (size_t i = 0; i < sizeof(bytes); i++)
		hash = (hash ^ bytes[i]) * 16777619u;
	return hash;
}

static void add_endpoint(struct config_group *group, struct address_set *set,
			 const struct addr *address, size_t backend)
{
	uint32_t at = address_hash(address) & set->mask;

	for (; set->slots[at]; at = (at + 1) & set->mask)
		if (addr_equal(&group->endpoints[set->slots[at] - 1].address, address))
			return;
	group->endpoints[group->n_endpoints++] = (struct config_endpoint){
		.backend = (uint32_t)backend,
		.weight = group->backends[backend].weight,
		.file_weight = group->backends[backend].weight,
		.backup = group->backends[backend].backup,
		.drained = group->backends[backend].drain,
		.address = *address,
	};
	set->slots[at] = (uint32_t)group->n_endpoints;
}

static int resolve_group(const struct names *names, struct config_group *group)
{
	struct address_set set;
	size_t n = 0;

	for (size_t b = 0; b < group->n_backends; b++) {
		struct name_answer *answer = group->backends[b].is_name ?
						     find(names, group->backends[b].host) :
						     NULL;

		n += group->backends[b].is_name ? (answer ? answer->n : 0) : 1;
	}
	free(group->endpoints);
	group->n_endpoints = 0;
	group->endpoints = n ? calloc(n, sizeof(*group->endpoints)) : NULL;
	if (!n)
		return 0;
	if (!group->endpoints || set_init(&set, n))
		return -ENOMEM;
	for (size_t b = 0; b < group->n_backends; b++) {
		const struct config_backend *backend = &group->backends[b];

		if (!backend->is_name) {
			add_endpoint(group, &set, &backend->address, b);
			continue;
		}
		struct name_answer *answer = find(names, backend->host);

		for (uint32_t i = 0; answer && i < answer->n; i++) {
			struct addr address;

			addr_from_mapped(&address, answer->addresses[i], backend->port);
			add_endpoint(group, &set, &address, b);
		}
	}
	free(set.slots);
	return 0;
}

int names_resolve(const struct names *names, struct config *config)
{
	for (size_t g = 0; g < config->n_groups; g++) {
		int ret = resolve_group(names, &config->groups[g]);

		if (ret)
			return ret;
	}
	return 0;
}

void names_sweep(struct names *names, const struct config *config)
{
	struct name_answer *answer, *tmp;

	list_for_each(answer, &names->answers, link)
		answer->wanted = false;
	for (size_t g = 0; g < config->n_groups; g++) {
		for (size_t b = 0; b < config->groups[g].n_backends; b++) {
			const struct config_backend *backend = &config->groups[g].backends[b];

			answer = backend->is_name ? find(names, backend->host) : NULL;
			if (answer)
				answer->wanted = true;
		}
	}
	list_for_each_safe(answer, tmp, &names->answers, link)
		if (!answer->wanted)
			answer_free(names, answer);
}
