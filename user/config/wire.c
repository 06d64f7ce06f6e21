/* SPDX-License-Identifier: MIT */
/*
 * wire.c - config_encode, config_decode, config_clone: a config as a flat byte string for the
 * channel. One description of the struct serves all directions (measure, write, read), so they
 * cannot drift apart. Both ends are the same binary on the same machine: host byte order.
 *
 * Reading trusts nothing: lengths are held against what is left, numbers that index or switch
 * against their ranges.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

#define WIRE_MAGIC 0x31676663656c73ull /* changes with the form */
#define WIRE_ABSENT UINT64_MAX /* the length of a text that is NULL */

enum wire_mode { WIRE_MEASURE, WIRE_WRITE, WIRE_READ };

struct wire {
	enum wire_mode mode;
	uint8_t *out;
	const uint8_t *in;
	size_t at, len; /* len: of in, or of out */
	bool failed;	/* reading: malformed, or no memory */
};

static void wire_raw(struct wire *wire, void *bytes, size_t size)
{
	switch (wire->mode) {
	case WIRE_MEASURE:
		break;
	case WIRE_WRITE:
		memcpy(wire->out + wire->at, bytes, size);
		break;
	case WIRE_READ:
		if (wire->failed || size > wire->len - wire->at) {
			wire->failed = true;
			return;
		}
		memcpy(bytes, wire->in + wire->at, size);
		break;
	}
	wire->at += size;
}

static void wire_u64(struct wire *wire, uint64_t *value)
{
	wire_raw(wire, value, sizeof(*value));
}

static void wire_u32(struct wire *wire, uint32_t *value)
{
	wire_raw(wire, value, sizeof(*value));
}

static void wire_u16(struct wire *wire, uint16_t *value)
{
	wire_raw(wire, value, sizeof(*value));
}

static void wire_u8(struct wire *wire, uint8_t *value)
{
	wire_raw(wire, value, sizeof(*value));
}

static void wire_bool(struct wire *wire, bool *value)
{
	uint8_t byte = *value;

	wire_u8(wire, &byte);
	if (byte > 1)
		wire->failed = true;
	else
		*value = byte;
}

/* What is below limit; an enum's value, an index. */
static uint32_t wire_below(struct wire *wire, uint32_t value, uint32_t limit)
{
	wire_u32(wire, &value);
	if (value < limit)
		return value;
	wire->failed = true;
	return 0;
}

#define WIRE_ENUM(wire, value, limit)                                                              \
	((value) = (__typeof__(value))wire_below(wire, (uint32_t)(value), limit))

/* Malloced bytes; *bytes may be NULL with *len 0. */
static void wire_bytes(struct wire *wire, uint8_t **bytes, size_t *len)
{
	uint64_t n = *len;

	wire_u64(wire, &n);
	if (wire->mode == WIRE_READ) {
		if (wire->failed || n > wire->len - wire->at) {
			wire->failed = true;
			return;
		}
		if (!n)
			return;
		*bytes = malloc(n);
		if (!*bytes) {
			wire->failed = true;
			return;
		}
		*len = n;
	}
	if (n)
		wire_raw(wire, *bytes, n);
}

static void wire_text(struct wire *wire, char **text)
{
	uint64_t n = *text ? strlen(*text) : WIRE_ABSENT;

	wire_u64(wire, &n);
	if (wire->failed || n == WIRE_ABSENT)
		return;
	if (wire->mode == WIRE_READ) {
		if (n > wire->len - wire->at || memchr(wire->in + wire->at, '\0', n)) {
			wire->failed = true;
			return;
		}
		*text = calloc(1, n + 1);
		if (!*text) {
			wire->failed = true;
			return;
		}
	}
	wire_raw(wire, *text, n);
}

/* A text that the rest of the program takes for granted. */
static void wire_some_text(struct wire *wire, char **text)
{
	wire_text(wire, text);
	if (!*text)
		wire->failed = true;
}

static void wire_addr(struct wire *wire, struct addr *addr)
{
	uint32_t len = addr->len;

	wire_u32(wire, &len);
	if (wire->failed || (len != 0 && len != sizeof(addr->v4) && len != sizeof(addr->v6))) {
		wire->failed = true;
		return;
	}
	wire_raw(wire, &addr->sa, len);
	if (wire->failed)
		return;
	if (len && addr->sa.sa_family != (len == sizeof(addr->v4) ? AF_INET : AF_INET6))
		wire->failed = true;
	addr->len = len;
}

/* The length of an array, and when reading its zeroed memory. Every item takes at least one byte,
 * so a length beyond what is left is malformed; max keeps memory in bounds. */
static size_t wire_array(struct wire *wire, void *items_, size_t *count, size_t size, size_t max)
{
	void **items = items_;
	uint64_t n = *count;

	wire_u64(wire, &n);
	if (wire->mode != WIRE_READ)
		return n;
	if (wire->failed || n > wire->len - wire->at || n > max) {
		wire->failed = true;
		return 0;
	}
	if (!n)
		return 0;
	*items = calloc(n, size);
	if (!*items) {
		wire->failed = true;
		return 0;
	}
	*count = n;
	return n;
}

static void wire_place(struct wire *wire, struct config_place *place)
{
	wire_u32(wire, &place->line);
	wire_u32(wire, &place->column);
}

static void wire_rate(struct wire *wire, struct config_rate *rate)
{
	wire_u64(wire, &rate->interval_ns);
	wire_u32(wire, &rate->burst);
}

static void wire_prefix(struct wire *wire, struct prefix *prefix)
{
	wire_raw(wire, prefix->bytes, sizeof(prefix->bytes));
	wire_u8(wire, &prefix->family);
	wire_u8(wire, &prefix->len);
	if (!(prefix->family == AF_INET && prefix->len <= 32) &&
	    !(prefix->family == AF_INET6 && prefix->len <= 128))
		wire->failed = true;
}

static void wire_kernel(struct wire *wire, struct config_kernel *kernel)
{
	size_t n;

	WIRE_ENUM(wire, kernel->mode, KERNEL_OFF + 1);
	wire_some_text(wire, &kernel->pin_path);
	wire_bool(wire, &kernel->keep);
	n = wire_array(wire, &kernel->interfaces, &kernel->n_interfaces,
		       sizeof(*kernel->interfaces), SLUICE_MAX_LISTENERS);
	for (size_t i = 0; i < n && !wire->failed; i++) {
		wire_some_text(wire, &kernel->interfaces[i].name);
		WIRE_ENUM(wire, kernel->interfaces[i].xdp, XDP_MODE_GENERIC + 1);
		wire_place(wire, &kernel->interfaces[i].place);
	}
	n = wire_array(wire, &kernel->deny, &kernel->n_deny, sizeof(*kernel->deny),
		       SLUICE_MAX_ACL);
	for (size_t i = 0; i < n && !wire->failed; i++)
		wire_prefix(wire, &kernel->deny[i]);
	n = wire_array(wire, &kernel->allow, &kernel->n_allow, sizeof(*kernel->allow),
		       SLUICE_MAX_ACL);
	for (size_t i = 0; i < n && !wire->failed; i++)
		wire_prefix(wire, &kernel->allow[i]);
	wire_rate(wire, &kernel->per_source);
	wire_u8(wire, &kernel->source_v4_prefix);
	wire_u8(wire, &kernel->source_v6_prefix);
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
		       sizeof(*listener->certificates), 64);
	for (size_t i = 0; i < n && !wire->failed; i++) {
		struct config_certificate *certificate = &listener->certificates[i];

		wire_some_text(wire, &certificate->chain_path);
		wire_some_text(wire, &certificate->key_path);
		wire_bytes(wire, &certificate->chain_pem, &certificate->chain_len);
		wire_bytes(wire, &certificate->key_pem, &certificate->key_len);
		wire_place(wire, &certificate->place);
	}
	wire_rate(wire, &listener->new_connections);
	wire_u32(wire, &listener->group);
	wire_u32(wire, &listener->handshake_timeout_ms);
	wire_u32(wire, &listener->header_timeout_ms);
	wire_u32(wire, &listener->idle_timeout_ms);
	wire_u32(wire, &listener->stall_timeout_ms);
	wire_u32(wire, &listener->max_streams);
	wire_u32(wire, &listener->max_header_bytes);
	wire_place(wire, &listener->place);
}

static void wire_backend(struct wire *wire, struct config_backend *backend)
{
	wire_some_text(wire, &backend->host);
	wire_u16(wire, &backend->port);
	wire_bool(wire, &backend->is_name);
	wire_addr(wire, &backend->address);
	wire_u32(wire, &backend->weight);
	wire_place(wire, &backend->place);
}

static void wire_endpoint(struct wire *wire, struct config_endpoint *endpoint, size_t n_backends)
{
	endpoint->id = wire_below(wire, endpoint->id, SLUICE_MAX_BACKENDS);
	wire_u32(wire, &endpoint->generation);
	endpoint->backend = wire_below(wire, endpoint->backend, (uint32_t)n_backends);
	wire_u32(wire, &endpoint->weight);
	wire_addr(wire, &endpoint->address);
}

static void wire_health_check(struct wire *wire, struct config_health_check *check)
{
	wire_bool(wire, &check->enabled);
	wire_some_text(wire, &check->path);
	wire_some_text(wire, &check->service);
	wire_bool(wire, &check->standard_path);
	wire_u64(wire, &check->codes);
	wire_u32(wire, &check->interval_ms);
	wire_u32(wire, &check->timeout_ms);
	wire_u32(wire, &check->healthy_threshold);
	wire_u32(wire, &check->unhealthy_threshold);
	wire_u16(wire, &check->port);
}

static void wire_group(struct wire *wire, struct config_group *group)
{
	size_t n;

	group->id = wire_below(wire, group->id, SLUICE_MAX_GROUPS);
	wire_some_text(wire, &group->name);
	WIRE_ENUM(wire, group->balance, BALANCE_LEAST_REQUEST + 1);
	WIRE_ENUM(wire, group->on_all_down, SLUICE_ALL_DOWN_DROP + 1);
	n = wire_array(wire, &group->backends, &group->n_backends, sizeof(*group->backends),
		       SLUICE_MAX_BACKENDS);
	for (size_t i = 0; i < n && !wire->failed; i++)
		wire_backend(wire, &group->backends[i]);
	n = wire_array(wire, &group->endpoints, &group->n_endpoints, sizeof(*group->endpoints),
		       SLUICE_MAX_BACKENDS);
	for (size_t i = 0; i < n && !wire->failed; i++)
		wire_endpoint(wire, &group->endpoints[i], group->n_backends);
	wire_health_check(wire, &group->health_check);
	wire_u32(wire, &group->max_connections);
	wire_u32(wire, &group->max_streams);
	wire_u32(wire, &group->connect_timeout_ms);
	wire_u32(wire, &group->idle_timeout_ms);
	wire_u32(wire, &group->keepalive_interval_ms);
	wire_u32(wire, &group->keepalive_timeout_ms);
	wire_place(wire, &group->place);
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
	for (size_t i = 0; i < config->n_listeners; i++) {
		if (config->listeners[i].id >= SLUICE_MAX_LISTENERS ||
		    config->listeners[i].group >= config->n_groups)
			wire->failed = true;
	}
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

struct config *config_clone(const struct config *config)
{
	struct config *clone;
	uint8_t *bytes;
	size_t len;

	if (config_encode(config, &bytes, &len))
		return NULL;
	clone = config_decode(bytes, len);
	explicit_bzero(bytes, len);
	free(bytes);
	return clone;
}
