/* SPDX-License-Identifier: MIT */
/*
 * config.c - the life of a struct config: references, copies, and freeing all that it holds. One thread
 * a process, so counts are plain numbers.
 */
#include "config/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct config *config_ref(struct config *config)
{
	config->refs++;
	return config;
}

static void config_free_secret(uint8_t *bytes, size_t len)
{
	if (bytes)
		explicit_bzero(bytes, len);
	free(bytes);
}

static void config_done_acl(struct config_acl *acl)
{
	if (acl->shared && --*acl->shared)
		return;
	for (size_t i = 0; i < acl->n_deny_files; i++)
		free(acl->deny_files[i].path);
	for (size_t i = 0; i < acl->n_allow_files; i++)
		free(acl->allow_files[i].path);
	free(acl->deny_files);
	free(acl->allow_files);
	free(acl->deny);
	free(acl->allow);
	free(acl->shared);
}

static int config_share_acl(struct config_acl *to, struct config_acl *from)
{
	if (!from->deny && !from->allow && !from->deny_files && !from->allow_files)
		return 0;
	if (!from->shared) {
		from->shared = malloc(sizeof(*from->shared));
		if (!from->shared)
			return -ENOMEM;
		*from->shared = 1;
	}
	++*from->shared;
	*to = *from;
	return 0;
}

struct config *config_clone(const struct config *config)
{
	struct config *source = (struct config *)config; /* its counts go up */
	struct config *clone = NULL;
	uint8_t *bytes;
	size_t len;
	int err;

	if (config_encode(config, &bytes, &len))
		return NULL;
	clone = config_decode(bytes, len);
	explicit_bzero(bytes, len);
	free(bytes);
	if (!clone)
		return NULL;
	err = config_share_acl(&clone->kernel.acl, &source->kernel.acl);
	for (size_t i = 0; i < clone->n_listeners && !err; i++)
		err = config_share_acl(&clone->listeners[i].acl, &source->listeners[i].acl);
	if (!err)
		return clone;
	config_unref(clone);
	return NULL;
}

static void config_done_kernel(struct config_kernel *kernel)
{
	for (size_t i = 0; i < kernel->n_interfaces; i++)
		free(kernel->interfaces[i].name);
	free(kernel->interfaces);
	free(kernel->pin_path);
	free(kernel->penalties.never);
	config_done_acl(&kernel->acl);
}

static void config_done_certificate(struct config_certificate *certificate)
{
	free(certificate->chain_path);
	free(certificate->key_path);
	free(certificate->chain_pem);
	config_free_secret(certificate->key_pem, certificate->key_len);
}

static void config_done_texts(struct config_texts *texts)
{
	for (size_t i = 0; i < texts->n; i++)
		free(texts->items[i]);
	free(texts->items);
}

static void config_done_match(struct config_match *match)
{
	config_done_texts(&match->hosts);
	for (size_t i = 0; i < match->n_paths; i++)
		free(match->paths[i].text);
	free(match->paths);
	for (size_t i = 0; i < match->n_metadata; i++) {
		free(match->metadata[i].key);
		config_done_texts(&match->metadata[i].values);
	}
	free(match->metadata);
	free(match->sources);
	config_done_texts(&match->snis);
	config_done_texts(&match->sans);
}

static void config_done_edits(struct config_edits *edits)
{
	for (size_t i = 0; i < edits->n; i++) {
		free(edits->items[i].key);
		free(edits->items[i].value);
	}
	free(edits->items);
}

static void config_done_route(struct config_route *route)
{
	free(route->name);
	config_done_match(&route->match);
	free(route->splits);
	free(route->sticky.metadata);
	free(route->message);
	config_done_edits(&route->request);
	config_done_edits(&route->response);
	free(route->rewrite_authority);
	free(route->rewrite_prefix);
	free(route->rewrite_to);
	free(route->calls_key.metadata);
}

static void config_done_listener(struct config_listener *listener)
{
	for (size_t i = 0; i < listener->n_certificates; i++)
		config_done_certificate(&listener->certificates[i]);
	free(listener->certificates);
	for (size_t i = 0; i < listener->n_routes; i++)
		config_done_route(&listener->routes[i]);
	free(listener->routes);
	config_done_acl(&listener->acl);
	free(listener->client_ca_path);
	free(listener->client_ca_pem);
	free(listener->name);
}

void config_share_system_cas(struct config *config, struct config_group *group)
{
	if (!group->tls.enabled || !group->tls.verify || group->tls.ca_path)
		return;
	group->tls.ca_pem = config->system_ca_pem;
	group->tls.ca_len = config->system_ca_len;
}

static void config_done_group(struct config_group *group)
{
	for (size_t i = 0; i < group->n_backends; i++)
		free(group->backends[i].host);
	free(group->backends);
	free(group->endpoints);
	free(group->health_check.authority);
	free(group->health_check.path);
	free(group->health_check.service);
	free(group->hash_key.metadata);
	if (group->tls.ca_path) /* else the config's */
		free(group->tls.ca_pem);
	free(group->tls.ca_path);
	free(group->tls.server_name);
	if (group->tls.certificate)
		config_done_certificate(group->tls.certificate);
	free(group->tls.certificate);
	free(group->name);
}

void config_unref(struct config *config)
{
	if (!config || --config->refs)
		return;
	for (size_t i = 0; i < config->n_listeners; i++)
		config_done_listener(&config->listeners[i]);
	for (size_t i = 0; i < config->n_groups; i++)
		config_done_group(&config->groups[i]);
	config_done_kernel(&config->kernel);
	free(config->listeners);
	free(config->groups);
	free(config->system_ca_pem);
	free(config->path);
	free(config->user);
	free(config->group);
	free(config->control_socket);
	free(config);
}
