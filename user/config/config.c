/* SPDX-License-Identifier: MIT */
/*
 * config.c - the life of a struct config: references, and freeing all that it holds. One thread a
 * process, so the count is a plain number.
 */
#include "config/config.h"

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

static void config_done_kernel(struct config_kernel *kernel)
{
	for (size_t i = 0; i < kernel->n_interfaces; i++)
		free(kernel->interfaces[i].name);
	free(kernel->interfaces);
	free(kernel->pin_path);
	free(kernel->deny);
	free(kernel->allow);
}

static void config_done_listener(struct config_listener *listener)
{
	for (size_t i = 0; i < listener->n_certificates; i++) {
		struct config_certificate *certificate = &listener->certificates[i];

		free(certificate->chain_path);
		free(certificate->key_path);
		free(certificate->chain_pem);
		config_free_secret(certificate->key_pem, certificate->key_len);
	}
	free(listener->certificates);
	free(listener->name);
}

static void config_done_group(struct config_group *group)
{
	for (size_t i = 0; i < group->n_backends; i++)
		free(group->backends[i].host);
	free(group->backends);
	free(group->endpoints);
	free(group->health_check.path);
	free(group->health_check.service);
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
	free(config->path);
	free(config->user);
	free(config->group);
	free(config->control_socket);
	free(config);
}
