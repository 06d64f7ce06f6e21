/* SPDX-License-Identifier: MIT */
/*
 * wire_group.c - see wire_base.h: groups, their backends and endpoints in flat bytes.
 */
#include "config/wire_base.h"

#include <stdlib.h>

static void wire_backend(struct wire *wire, struct config_backend *backend)
{
	wire_some_text(wire, &backend->host);
	wire_u16(wire, &backend->port);
	wire_bool(wire, &backend->is_name);
	wire_addr(wire, &backend->address);
	wire_u32(wire, &backend->weight);
	wire_bool(wire, &backend->backup);
	wire_bool(wire, &backend->drain);
	wire_place(wire, &backend->place);
}

static void wire_endpoint(struct wire *wire, struct config_endpoint *endpoint, size_t n_backends)
{
	endpoint->id = wire_below(wire, endpoint->id, SLUICE_MAX_BACKENDS);
	wire_u32(wire, &endpoint->generation);
	endpoint->backend = wire_below(wire, endpoint->backend, (uint32_t)n_backends);
	wire_u32(wire, &endpoint->weight);
	wire_u32(wire, &endpoint->file_weight);
	wire_bool(wire, &endpoint->backup);
	wire_bool(wire, &endpoint->drained);
	wire_u64(wire, &endpoint->drain_until_ns);
	WIRE_ENUM(wire, endpoint->forced, SLUICE_HEALTH_DOWN + 1);
	wire_addr(wire, &endpoint->address);
}

static void wire_health_check(struct wire *wire, struct config_health_check *check)
{
	wire_bool(wire, &check->enabled);
	WIRE_ENUM(wire, check->method, HEALTH_METHOD_TCP + 1);
	wire_text(wire, &check->authority);
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

static void wire_tls(struct wire *wire, struct config_upstream_tls *tls)
{
	bool certificate = tls->certificate != NULL;

	wire_bool(wire, &tls->enabled);
	wire_bool(wire, &tls->verify);
	wire_text(wire, &tls->ca_path);
	if (tls->ca_path) /* else the config's, given by wire.c */
		wire_bytes(wire, &tls->ca_pem, &tls->ca_len);
	wire_text(wire, &tls->server_name);
	wire_bool(wire, &certificate);
	if (!certificate || wire->failed)
		return;
	if (wire->mode == WIRE_READ)
		tls->certificate = calloc(1, sizeof(*tls->certificate));
	if (tls->certificate)
		wire_certificate(wire, tls->certificate);
	else
		wire->failed = true;
}

static void wire_breaker(struct wire *wire, struct config_breaker *breaker)
{
	wire_u32(wire, &breaker->backend_calls);
	wire_u32(wire, &breaker->backend_connections);
	wire_u32(wire, &breaker->group_calls);
	wire_u32(wire, &breaker->group_connections);
	wire_u32(wire, &breaker->pending);
	wire_u32(wire, &breaker->pending_timeout_ms);
	breaker->status = wire_below(wire, breaker->status, 17);
}

static void wire_outlier(struct wire *wire, struct config_outlier *outlier)
{
	wire_bool(wire, &outlier->enabled);
	wire_u32(wire, &outlier->codes);
	wire_u32(wire, &outlier->consecutive_failures);
	wire_u32(wire, &outlier->interval_ms);
	wire_u32(wire, &outlier->min_calls);
	wire_u32(wire, &outlier->min_backends);
	wire_u32(wire, &outlier->success_rate_stdev_permille);
	wire_u32(wire, &outlier->latency_factor_permille);
	wire_u32(wire, &outlier->base_ejection_ms);
	wire_u32(wire, &outlier->max_ejection_ms);
	outlier->max_ejected_percent = wire_below(wire, outlier->max_ejected_percent, 101);
}

void wire_group(struct wire *wire, struct config_group *group)
{
	size_t n;

	group->id = wire_below(wire, group->id, SLUICE_MAX_GROUPS);
	wire_some_text(wire, &group->name);
	WIRE_ENUM(wire, group->protocol, PROTOCOL_HTTP2 + 1);
	WIRE_ENUM(wire, group->balance, BALANCE_RANDOM + 1);
	wire_key(wire, &group->hash_key);
	wire_u32(wire, &group->slow_start_ms);
	group->backup_below_percent = wire_below(wire, group->backup_below_percent, 101);
	group->panic_percent = wire_below(wire, group->panic_percent, 101);
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
	wire_u32(wire, &group->min_connections);
	wire_u32(wire, &group->max_connections);
	wire_u32(wire, &group->max_streams);
	wire_u32(wire, &group->max_age_ms);
	wire_u32(wire, &group->max_header_bytes);
	wire_u32(wire, &group->connect_timeout_ms);
	wire_u32(wire, &group->idle_timeout_ms);
	wire_u32(wire, &group->keepalive_interval_ms);
	wire_u32(wire, &group->keepalive_timeout_ms);
	wire_tls(wire, &group->tls);
	wire_breaker(wire, &group->breaker);
	wire_outlier(wire, &group->outlier);
	wire_place(wire, &group->place);
}
