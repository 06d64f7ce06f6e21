/* SPDX-License-Identifier: MIT */
/*
 * wire.c - config_encode, config_decode: a config as a flat byte string for the
 * channel. One description of the struct serves all directions (measure, write, read), so they
 * cannot drift apart. Both ends are the same binary on the same machine: host byte order.
 * The pieces are in wire_base.c, routes in wire_route.c, groups in wire_group.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/wire_base.h"

#define WIRE_MAGIC 0x33676663656c73ull /* changes with the form */

static void wire_penalties(struct wire *wire, struct config_penalties *penalties)
{
	size_t n;

	wire_bool(wire, &penalties->enabled);
	wire_u32(wire, &penalties->threshold);
	wire_u32(wire, &penalties->half_life_ms);
	wire_u32(wire, &penalties->first_ms);
	wire_u32(wire, &penalties->max_ms);
	wire_u32(wire, &penalties->forget_ms);
	wire_u32(wire, &penalties->packets_after);
	wire_u32(wire, &penalties->bad_percent);
	for (size_t i = 0; i < SLUICE_EVIDENCE_MAX; i++)
		wire_u32(wire, &penalties->points[i]);
	n = wire_array(wire, &penalties->never, &penalties->n_never, sizeof(*penalties->never),
		       BOUNDS_SOURCES);
	for (size_t i = 0; i < n && !wire->failed; i++)
		wire_prefix(wire, &penalties->never[i]);
}

/* All but the access lists: they can be long, and are no business of children. */
static void wire_kernel(struct wire *wire, struct config_kernel *kernel)
{
	size_t n;

	WIRE_ENUM(wire, kernel->mode, KERNEL_OFF + 1);
	wire_some_text(wire, &kernel->pin_path);
	wire_bool(wire, &kernel->keep);
	n = wire_array(wire, &kernel->interfaces, &kernel->n_interfaces,
		       sizeof(*kernel->interfaces), BOUNDS_INTERFACES);
	for (size_t i = 0; i < n && !wire->failed; i++) {
		wire_some_text(wire, &kernel->interfaces[i].name);
		WIRE_ENUM(wire, kernel->interfaces[i].xdp, XDP_MODE_GENERIC + 1);
		wire_place(wire, &kernel->interfaces[i].place);
	}
	wire_bool(wire, &kernel->xdp_chain);
	wire_u32(wire, &kernel->chain_priority);
	wire_rate(wire, &kernel->per_source);
	wire_u8(wire, &kernel->source_v4_prefix);
	wire_u8(wire, &kernel->source_v6_prefix);
	wire_u32(wire, &kernel->source_connections);
	wire_rate(wire, &kernel->strays);
	wire_penalties(wire, &kernel->penalties);
	wire_rate(wire, &kernel->events);
	if (kernel->source_v4_prefix > 32 || kernel->source_v6_prefix > 128)
		wire->failed = true;
}

static void wire_listener(struct wire *wire, struct config_listener *listener)
{
	size_t n;

	wire_u32(wire, &listener->id);
	wire_some_text(wire, &listener->name);
	wire_addr(wire, &listener->address);
	n = wire_array(wire, &listener->certificates, &listener->n_certificates,
		       sizeof(*listener->certificates), BOUNDS_CERTIFICATES);
	for (size_t i = 0; i < n && !wire->failed; i++)
		wire_certificate(wire, &listener->certificates[i]);
	wire_rate(wire, &listener->new_connections);
	WIRE_ENUM(wire, listener->syn_cookies, COOKIES_OFF + 1);
	wire_rate(wire, &listener->syn_cookies_above);
	wire_u32(wire, &listener->group);
	n = wire_array(wire, &listener->routes, &listener->n_routes, sizeof(*listener->routes),
		       BOUNDS_ROUTES + 1);
	for (size_t i = 0; i < n && !wire->failed; i++)
		wire_route(wire, &listener->routes[i]);
	wire_text(wire, &listener->client_ca_path);
	wire_bytes(wire, &listener->client_ca_pem, &listener->client_ca_len);
	wire_bool(wire, &listener->client_required);
	wire_u32(wire, &listener->trusted_hops);
	wire_bool(wire, &listener->request_id);
	wire_bool(wire, &listener->health_service);
	wire_u32(wire, &listener->handshake_timeout_ms);
	wire_u32(wire, &listener->header_timeout_ms);
	wire_u32(wire, &listener->idle_timeout_ms);
	wire_u32(wire, &listener->stall_timeout_ms);
	wire_u32(wire, &listener->max_age_ms);
	wire_u32(wire, &listener->max_age_grace_ms);
	wire_u32(wire, &listener->keepalive_interval_ms);
	wire_u32(wire, &listener->keepalive_timeout_ms);
	wire_u32(wire, &listener->min_ping_interval_ms);
	wire_bool(wire, &listener->ping_without_calls);
	wire_u32(wire, &listener->max_streams);
	wire_u32(wire, &listener->max_header_bytes);
	wire_u32(wire, &listener->max_calls);
	wire_place(wire, &listener->place);
}

static bool wire_is_group(const struct config *config, uint32_t index)
{
	return index < config->n_groups;
}

/* What only shows when all is there: whether the groups that are named exist. */
static void wire_check_listener(struct wire *wire, const struct config *config,
				const struct config_listener *listener)
{
	if (listener->id >= SLUICE_MAX_LISTENERS ||
	    (listener->group != CONFIG_NO_GROUP && !wire_is_group(config, listener->group)))
		wire->failed = true;
	for (size_t i = 0; i < listener->n_routes; i++) {
		const struct config_route *route = &listener->routes[i];

		if (route->mirror_group != CONFIG_NO_GROUP &&
		    !wire_is_group(config, route->mirror_group))
			wire->failed = true;
		for (size_t j = 0; j < route->n_splits; j++)
			if (!wire_is_group(config, route->splits[j].group))
				wire->failed = true;
	}
}

static void wire_system_cas(struct wire *wire, struct config *config)
{
	wire_bytes(wire, &config->system_ca_pem, &config->system_ca_len);
	if (wire->mode != WIRE_READ)
		return;
	for (size_t i = 0; i < config->n_groups; i++)
		config_share_system_cas(config, &config->groups[i]);
}

static void wire_config(struct wire *wire, struct config *config)
{
	uint64_t magic = WIRE_MAGIC;
	size_t n;

	wire_u64(wire, &magic);
	if (magic != WIRE_MAGIC)
		wire->failed = true;
	wire_u64(wire, &config->revision);
	wire_text(wire, &config->path);
	wire_u32(wire, &config->workers);
	wire_text(wire, &config->user);
	wire_text(wire, &config->group);
	wire_some_text(wire, &config->control_socket);
	WIRE_ENUM(wire, config->log_level, LOG_DEBUG + 1);
	WIRE_ENUM(wire, config->log_format, LOG_JSON + 1);
	wire_u32(wire, &config->drain_grace_ms);
	wire_u32(wire, &config->drain_jitter_ms);
	wire_bool(wire, &config->error_addresses);
	wire_u32(wire, &config->max_connections);
	wire_u64(wire, &config->max_buffer_bytes);
	wire_u32(wire, &config->leg_buffer_bytes);
	wire_kernel(wire, &config->kernel);
	n = wire_array(wire, &config->listeners, &config->n_listeners, sizeof(*config->listeners),
		       SLUICE_MAX_LISTENERS);
	for (size_t i = 0; i < n && !wire->failed; i++)
		wire_listener(wire, &config->listeners[i]);
	n = wire_array(wire, &config->groups, &config->n_groups, sizeof(*config->groups),
		       SLUICE_MAX_GROUPS);
	for (size_t i = 0; i < n && !wire->failed; i++)
		wire_group(wire, &config->groups[i]);
	wire_system_cas(wire, config);
	for (size_t i = 0; i < config->n_listeners && !wire->failed; i++)
		wire_check_listener(wire, config, &config->listeners[i]);
}

int config_encode(const struct config *config, uint8_t **out, size_t *out_len)
{
	struct wire wire = { .mode = WIRE_MEASURE };
	struct config *source = (struct config *)config; /* only read, but in WIRE_READ */
	uint8_t *bytes;

	/* Measured first, so that no realloc leaves a copy of a key behind. */
	wire_config(&wire, source);
	if (wire.failed)
		return -EINVAL;
	bytes = malloc(wire.at);
	if (!bytes)
		return -ENOMEM;
	wire = (struct wire){ .mode = WIRE_WRITE, .out = bytes, .len = wire.at };
	wire_config(&wire, source);
	*out = bytes;
	*out_len = wire.at;
	return 0;
}

struct config *config_decode(const uint8_t *bytes, size_t len)
{
	struct wire wire = { .mode = WIRE_READ, .in = bytes, .len = len };
	struct config *config = calloc(1, sizeof(*config));

	if (!config)
		return NULL;
	config->refs = 1;
	wire_config(&wire, config);
	if (!wire.failed && wire.at == len)
		return config;
	config_unref(config);
	return NULL;
}
