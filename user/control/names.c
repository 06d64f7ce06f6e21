/* SPDX-License-Identifier: MIT */
/*
 * names.c - see names.h. Called by the supervisor when the monitor reports an answer and by
 * reload.c before a config is sent out. Asks nobody itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "control/names.h"

struct name_answer {
	struct list link;
	char *host;
	uint32_t n;
	uint8_t addresses[CHANNEL_ADDRESSES_MAX][16];
};

void names_init(struct names *names)
{
	list_init(&names->answers);
}

static void answer_free(struct name_answer *answer)
{
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
		answer_free(answer);
}

static struct name_answer *find(const struct names *names, const char *host)
{
	struct name_answer *answer;

	list_for_each(answer, &names->answers, link)
		if (!strcasecmp(answer->host, host))
			return answer;
	return NULL;
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
		if (!answer->host) {
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

static void add_endpoint(struct config_group *group, const struct addr *address, size_t backend)
{
	for (size_t i = 0; i < group->n_endpoints; i++)
		if (addr_equal(&group->endpoints[i].address, address))
			return;
	group->endpoints[group->n_endpoints++] = (struct config_endpoint){
		.backend = (uint32_t)backend,
		.weight = group->backends[backend].weight,
		.file_weight = group->backends[backend].weight,
		.backup = group->backends[backend].backup,
		.drained = group->backends[backend].drain,
		.address = *address,
	};
}

static int resolve_group(const struct names *names, struct config_group *group)
{
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
	if (n && !group->endpoints)
		return -ENOMEM;
	for (size_t b = 0; b < group->n_backends; b++) {
		const struct config_backend *backend = &group->backends[b];

		if (!backend->is_name) {
			add_endpoint(group, &backend->address, b);
			continue;
		}
		struct name_answer *answer = find(names, backend->host);

		for (uint32_t i = 0; answer && i < answer->n; i++) {
			struct addr address;

			addr_from_mapped(&address, answer->addresses[i], backend->port);
			add_endpoint(group, &address, b);
		}
	}
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

static bool config_has(const struct config *config, const char *host)
{
	for (size_t g = 0; g < config->n_groups; g++)
		for (size_t b = 0; b < config->groups[g].n_backends; b++)
			if (config->groups[g].backends[b].is_name &&
			    !strcasecmp(config->groups[g].backends[b].host, host))
				return true;
	return false;
}

void names_sweep(struct names *names, const struct config *config)
{
	struct name_answer *answer, *tmp;

	list_for_each_safe(answer, tmp, &names->answers, link)
		if (!config_has(config, answer->host))
			answer_free(answer);
}
