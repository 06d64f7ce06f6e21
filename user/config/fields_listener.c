/* SPDX-License-Identifier: MIT */
/*
 * fields_listener.c - see fields.h: the tables of a listener, but for its routes.
 */
#include "config/bounds.h"
#include "config/fields.h"
#include "config/fields_tables.h"
#include "config/values.h"

static const struct schema_choice listener_protocols[] = { { "https", 0 }, { 0 } };
static const struct schema_choice cookie_modes[] = {
	{ "auto", COOKIES_AUTO }, { "always", COOKIES_ALWAYS }, { "off", COOKIES_OFF }, { 0 }
};

static const struct schema_field certificate_fields[] = {
	{ "chain", SCHEMA_TEXT, SCHEMA_REQUIRED, AT(config_certificate, chain_path),
	  .example = "/etc/sluice/tls/chain.pem", .check = values_check_file },
	{ "key", SCHEMA_TEXT, SCHEMA_REQUIRED, AT(config_certificate, key_path),
	  .example = "/etc/sluice/tls/key.pem", .check = values_check_file },
	{ 0 }
};
const struct schema_map fields_certificate = {
	.what = "certificate", .size = sizeof(struct config_certificate),
	.place_offset = offsetof(struct config_certificate, place), .fields = certificate_fields,
};

static const struct schema_field listener_timeout_fields[] = {
	{ "handshake", SCHEMA_DURATION, NUMBER(config_listener, handshake_timeout_ms), .min = 100,
	  .max = 5 * MINUTE, .preset = 10 * SECOND },
	{ "header", SCHEMA_DURATION, NUMBER(config_listener, header_timeout_ms), .min = 100,
	  .max = 5 * MINUTE, .preset = 10 * SECOND },
	{ "idle", SCHEMA_DURATION, NUMBER(config_listener, idle_timeout_ms), .min = SECOND,
	  .max = 24 * HOUR, .preset = 15 * SECOND },
	{ "stall", SCHEMA_DURATION, NUMBER(config_listener, stall_timeout_ms), .min = SECOND,
	  .max = 24 * HOUR, .preset = MINUTE },
	{ "max_age", SCHEMA_DURATION, SCHEMA_OR_ZERO, NUMBER(config_listener, max_age_ms),
	  .min = SECOND, .max = WEEK },
	{ "age_grace", SCHEMA_DURATION, SCHEMA_OR_ZERO, NUMBER(config_listener, max_age_grace_ms),
	  .min = 100, .max = WEEK },
	{ 0 }
};
static const struct schema_map listener_timeouts_map = {
	.what = "timeouts", .place_offset = SCHEMA_NO_PLACE, .fields = listener_timeout_fields,
};

static const struct schema_field listener_limit_fields[] = {
	{ "streams", SCHEMA_UINT, NUMBER(config_listener, max_streams), .min = 1, .max = 65535,
	  .preset = 128 },
	{ "header_list", SCHEMA_SIZE, NUMBER(config_listener, max_header_bytes), .min = KIB,
	  .max = MIB, .preset = 64 * KIB },
	{ "calls", SCHEMA_UINT, NUMBER(config_listener, max_calls), .max = 1000000000 },
	{ 0 }
};
static const struct schema_map listener_limits_map = {
	.what = "limits", .place_offset = SCHEMA_NO_PLACE, .fields = listener_limit_fields,
};

static const struct schema_field keepalive_fields[] = {
	{ "interval", SCHEMA_DURATION, SCHEMA_OR_ZERO,
	  NUMBER(config_listener, keepalive_interval_ms), .min = 100, .max = 24 * HOUR,
	  .preset = MINUTE },
	{ "timeout", SCHEMA_DURATION, NUMBER(config_listener, keepalive_timeout_ms), .min = 100,
	  .max = 10 * MINUTE, .preset = 20 * SECOND },
	{ "min_ping_interval", SCHEMA_DURATION, SCHEMA_OR_ZERO,
	  NUMBER(config_listener, min_ping_interval_ms), .min = 10, .max = HOUR,
	  .preset = 10 * SECOND },
	{ "pings_without_calls", SCHEMA_BOOL, NUMBER(config_listener, ping_without_calls),
	  .preset = true },
	{ 0 }
};
static const struct schema_map keepalive_map = {
	.what = "keepalive", .place_offset = SCHEMA_NO_PLACE, .fields = keepalive_fields,
};

static const struct schema_field client_certificate_fields[] = {
	{ "ca", SCHEMA_TEXT, SCHEMA_REQUIRED, AT(config_listener, client_ca_path),
	  .example = "/etc/sluice/tls/clients-ca.pem", .check = values_check_file },
	{ "required", SCHEMA_BOOL, NUMBER(config_listener, client_required) },
	{ 0 }
};
static const struct schema_map client_certificates_map = {
	.what = "client_certificates", .place_offset = SCHEMA_NO_PLACE,
	.fields = client_certificate_fields,
};

static void fields_finish_listener(struct reporter *reporter, const struct node *node,
				   void *object)
{
	if (!node_get(node, "group") && !node_get(node, "routes"))
		report_error(reporter, node->place,
			     "listener without group, want for example group: greeter (or routes)");
}

/* protocol has one value and so nowhere to go. */
static const struct schema_field listener_fields[] = {
	{ "name", SCHEMA_TEXT, SCHEMA_REQUIRED, AT(config_listener, name), .example = "grpc",
	  .check = values_check_name },
	{ "address", SCHEMA_CUSTOM, SCHEMA_REQUIRED, AT(config_listener, address),
	  .example = "\"[::]:443\"", .read = values_read_listen_address },
	{ "protocol", SCHEMA_CHOICE, .choices = listener_protocols },
	{ "certificate", SCHEMA_LIST, SCHEMA_REQUIRED | SCHEMA_OR_ONE,
	  ARRAY_OF(config_listener, certificates, n_certificates), .min = 1,
	  .max = BOUNDS_CERTIFICATES, .map = &fields_certificate,
	  .example = "{chain: /etc/sluice/tls/chain.pem, key: /etc/sluice/tls/key.pem}" },
	{ "new_connections", SCHEMA_RATE, AT(config_listener, new_connections), .min = 1,
	  .max = 1000000 },
	{ "syn_cookies", SCHEMA_CHOICE, NUMBER(config_listener, syn_cookies),
	  .choices = cookie_modes, .preset = COOKIES_AUTO },
	{ "syn_cookies_above", SCHEMA_RATE, AT(config_listener, syn_cookies_above), .min = 1,
	  .max = 10000000, .preset = 10000 },
	{ "acl", SCHEMA_MAP, AT(config_listener, acl), .map = &fields_acl },
	{ "client_certificates", SCHEMA_MAP, .map = &client_certificates_map },
	{ "trusted_hops", SCHEMA_UINT, NUMBER(config_listener, trusted_hops), .max = 16 },
	{ "request_id", SCHEMA_BOOL, NUMBER(config_listener, request_id), .preset = true },
	{ "health_service", SCHEMA_BOOL, NUMBER(config_listener, health_service) },
	{ "group", SCHEMA_CUSTOM, .example = "greeter", .read = values_read_group_reference },
	{ "routes", SCHEMA_LIST, ARRAY_OF(config_listener, routes, n_routes), .min = 1,
	  .max = BOUNDS_ROUTES, .map = &fields_route,
	  .example = "[{match: {path: /package.Service/}, group: greeter}]" },
	{ "timeouts", SCHEMA_MAP, .map = &listener_timeouts_map },
	{ "keepalive", SCHEMA_MAP, .map = &keepalive_map },
	{ "limits", SCHEMA_MAP, .map = &listener_limits_map },
	{ 0 }
};
const struct schema_map fields_listener = {
	.what = "listener", .size = sizeof(struct config_listener),
	.place_offset = offsetof(struct config_listener, place), .fields = listener_fields,
	.finish = fields_finish_listener,
};
