/* SPDX-License-Identifier: MIT */
/*
 * config.h - the configuration as plain data: what config_load makes of a file, what the
 * supervisor resolves and sends, what workers and the monitor hold. Immutable once shared; a
 * stream keeps a reference to the one it began with. docs/CONFIG.md gives every key.
 */
#ifndef SLUICE_CONFIG_CONFIG_H
#define SLUICE_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/log.h"
#include "config/routes.h"
#include "sluice/abi.h"

enum config_kernel_mode { KERNEL_AUTO, KERNEL_REQUIRED, KERNEL_OFF };
enum config_cookies { COOKIES_AUTO, COOKIES_ALWAYS, COOKIES_OFF };
enum config_xdp_mode { XDP_MODE_AUTO, XDP_MODE_NATIVE, XDP_MODE_GENERIC };

struct config_interface {
	char *name;
	enum config_xdp_mode xdp;
	struct config_place place;
};

struct config_acl_file {
	char *path;
	size_t first, end; /* which of the list's prefixes it holds: first..end-1 */
	struct config_place place; /* where the config names it */
};

/* An access list: its prefixes from the config file, then those from the files that it names. The
 * supervisor's only: not sent to children; clones of a config have the same arrays. */
struct config_acl {
	struct prefix *deny, *allow;
	size_t n_deny, n_allow;
	struct config_acl_file *deny_files, *allow_files;
	size_t n_deny_files, n_allow_files;
	struct config_place place;
	unsigned *shared; /* how many configs have these arrays; NULL: one */
};

/* What evidence makes of a source: shared/sources.h. */
struct config_penalties {
	bool enabled;
	uint32_t threshold;    /* points that bring a penalty */
	uint32_t half_life_ms; /* of points */
	uint32_t first_ms, max_ms; /* the first one's length; each further one doubles it, up to max */
	uint32_t forget_ms;	   /* so long without one halves what counts for the next's length */
	/* penalties before all packets are dropped, not only new connections; 0: at once */
	uint32_t packets_after;
	uint32_t bad_percent; /* points must be so much of points and good calls together: shared NAT */
	uint32_t points[SLUICE_EVIDENCE_MAX]; /* of one piece of evidence */
	struct prefix *never;		      /* sources that never get one */
	size_t n_never;
};

struct config_kernel {
	enum config_kernel_mode mode;
	char *pin_path;
	bool keep; /* leave links and pins at a clean exit */
	bool xdp_chain; /* attach by libxdp's dispatcher, beside other programs */
	uint32_t chain_priority; /* ... in this place: lower runs first */
	struct config_interface *interfaces;
	size_t n_interfaces;
	struct config_acl acl;
	struct config_rate per_source; /* of new connections */
	uint32_t source_connections; /* open at once from one source, on all listeners; 0: any number */
	struct config_rate strays; /* packets of one source to listeners' addresses, of no connection */
	uint8_t source_v4_prefix, source_v6_prefix;
	struct config_penalties penalties;
	struct config_rate events; /* sampled for `sluicectl events` and `capture` */
};

/* PEM bytes, read and checked by the supervisor; workers cannot read the files. */
struct config_certificate {
	char *chain_path, *key_path;
	uint8_t *chain_pem, *key_pem;
	size_t chain_len, key_len;
	struct config_place place;
};

/* Whose methods sluice answers itself where a listener has health_service. */
#define CONFIG_HEALTH_SERVICE "/grpc.health.v1.Health/"

struct config_listener {
	uint32_t id; /* index in the maps; given by the supervisor, stable over reloads */
	char *name;
	struct addr address;
	struct config_certificate *certificates; /* at least one; e.g. one ECDSA and one RSA */
	size_t n_certificates;
	struct config_rate new_connections;
	enum config_cookies syn_cookies;
	struct config_rate syn_cookies_above; /* auto: SYNs beyond this rate get them */
	struct config_acl acl; /* beside the kernel's, for this listener only */
	/* The group that all its calls go to, as an index into config.groups, or CONFIG_NO_GROUP where
	 * routes send them to several: XDP's on_all_down goes by it. */
	uint32_t group;
	struct config_route *routes; /* first match wins; the listener's own group is the last one */
	size_t n_routes;
	/* client certificates: NULL, or PEM of the CAs whose names routes may match */
	char *client_ca_path;
	uint8_t *client_ca_pem;
	size_t client_ca_len;
	bool client_required; /* no handshake without one */
	uint32_t trusted_hops; /* x-forwarded-for entries that proxies in front have added */
	bool request_id;       /* make x-request-id where the client sent none */
	bool health_service;   /* answer grpc.health.v1 here */
	/* timeouts, ms */
	uint32_t handshake_timeout_ms; /* accept to the end of the TLS handshake and preface */
	uint32_t header_timeout_ms;    /* first to last byte of a header block */
	uint32_t idle_timeout_ms;      /* no stream open */
	uint32_t stall_timeout_ms;     /* a response waits, and the client takes nothing of it */
	uint32_t max_age_ms;	       /* of a connection, ± 10 %; then it drains; 0: none */
	uint32_t max_age_grace_ms;     /* drained for age: its calls are cut then; 0: never */
	uint32_t keepalive_interval_ms; /* nothing came from the client: PING; 0: off */
	uint32_t keepalive_timeout_ms;	/* and no answer: it is gone */
	uint32_t min_ping_interval_ms;	/* of the client's PINGs; three too early end it; 0: any */
	bool ping_without_calls;	/* the client may PING while it has no call open */
	/* limits */
	uint32_t max_streams;	   /* concurrent, a connection (SETTINGS_MAX_CONCURRENT_STREAMS) */
	uint32_t max_header_bytes; /* of a header list, as RFC 9113 6.5.2 counts */
	uint32_t max_calls;	   /* of a connection in its life; then it drains; 0: any */
	struct config_place place;
};

enum config_balance {
	BALANCE_WEIGHTED_ROUND_ROBIN,
	BALANCE_LEAST_REQUEST,
	BALANCE_CONSISTENT_HASH,
	BALANCE_RANDOM,
};

enum config_protocol {
	PROTOCOL_GRPC,
	PROTOCOL_HTTP2, /* anything over h2c: sluice's own errors are plain text with an HTTP status */
};

/* One resolved address of a backend. Filled in by the supervisor, not by the parser. */
struct config_endpoint {
	uint32_t id;	     /* index in the backends map */
	uint32_t generation; /* of that id */
	uint32_t backend;    /* index into group.backends */
	uint32_t weight;     /* as the file has it, or as `sluicectl weight` set it */
	uint32_t file_weight; /* as the file has it */
	bool backup;
	bool drained; /* no new calls: by the file or by `sluicectl drain` */
	uint64_t drain_until_ns; /* then its running calls are cut; 0: never. CLOCK_MONOTONIC */
	enum sluice_health forced; /* UNKNOWN: not forced */
	struct addr address;
};

struct config_backend {
	char *host; /* IP address or DNS name, without port */
	uint16_t port;
	bool is_name;	     /* host wants DNS; else address holds it */
	struct addr address; /* with port, where !is_name */
	uint32_t weight;     /* 0..100 */
	bool backup;	     /* second tier */
	bool drain;	     /* no new calls */
	struct config_place place;
};

enum config_health_method {
	HEALTH_METHOD_CALL,  /* a unary call of path, judged by codes (POST, as ALB names it) */
	HEALTH_METHOD_WATCH, /* a standing grpc.health.v1 Watch; CALL of Check where UNIMPLEMENTED */
	HEALTH_METHOD_TCP,   /* a connect that succeeds */
};

#define HEALTH_SERVICE_MAX 255
struct config_health_check {
	bool enabled; /* false where the group has no health_check: backends count as up */
	enum config_health_method method;
	char *authority; /* NULL: the backend's host:port */
	char *path;
	char *service;	    /* with the standard path only; never NULL */
	bool standard_path; /* path is /grpc.health.v1.Health/Check */
	uint64_t codes;	    /* bit n: grpc-status n means healthy */
	uint32_t interval_ms, timeout_ms;
	uint32_t healthy_threshold, unhealthy_threshold;
	uint16_t port; /* 0: the backend's own */
};

/* TLS to backends. PEM bytes are read and checked by the supervisor. */
struct config_upstream_tls {
	bool enabled;
	bool verify;	   /* by ca and name */
	char *ca_path;	   /* NULL: the system's CAs */
	uint8_t *ca_pem;   /* always there where verify; without ca_path it is config.system_ca_pem */
	size_t ca_len;
	char *server_name; /* SNI, and the SAN that must match; NULL: the backend's host */
	struct config_certificate *certificate; /* the client's; NULL: none */
};

/* Refused beyond these; 0: no limit. Counted over all workers of the node. */
struct config_breaker {
	uint32_t backend_calls, backend_connections;
	uint32_t group_calls, group_connections;
	uint32_t pending;	     /* calls of the group that wait for a connection */
	uint32_t pending_timeout_ms; /* how long one may wait; 0: its deadline */
	uint32_t status;	     /* grpc-status of a refused call: 14 or 8 */
};

/* Outlier detection; each kind is off where its threshold is 0. */
struct config_outlier {
	bool enabled;
	uint32_t codes;		       /* bit n: grpc-status n is a failure, as lost connections are */
	uint32_t consecutive_failures;
	uint32_t interval_ms;	       /* of the looks at success rate and latency */
	uint32_t min_calls;	       /* a backend and interval, to be judged by them */
	uint32_t min_backends;	       /* with as many calls, to have a group to compare with */
	uint32_t success_rate_stdev_permille; /* below the mean by so many deviations / 1000 */
	uint32_t latency_factor_permille;     /* above the group's median by this factor / 1000 */
	uint32_t base_ejection_ms, max_ejection_ms; /* base × count of ejections, at most max */
	uint32_t max_ejected_percent;  /* of the group's backends; one may always be */
};

struct config_group {
	uint32_t id; /* index in the groups map; given by the supervisor, stable over reloads */
	char *name;
	enum config_protocol protocol;
	enum config_balance balance;
	struct config_key hash_key; /* of BALANCE_CONSISTENT_HASH */
	uint32_t slow_start_ms;	    /* weight ramps up for so long after a backend became healthy; 0: off */
	uint32_t backup_below_percent; /* backups serve while the first tier's live weight is below */
	uint32_t panic_percent; /* below this live share all are balanced over; 0: only when all are down */
	enum sluice_on_all_down on_all_down;
	struct config_backend *backends;
	size_t n_backends;
	struct config_endpoint *endpoints;
	size_t n_endpoints;
	struct config_health_check health_check;
	/* upstream connections, a worker and backend */
	uint32_t min_connections; /* kept open without calls */
	uint32_t max_connections;
	uint32_t max_streams; /* a connection, besides the peer's own limit */
	uint32_t max_age_ms;  /* of a connection, ± 10 %; 0: any */
	uint32_t max_header_bytes; /* of a response's header list */
	uint32_t connect_timeout_ms;
	uint32_t idle_timeout_ms;      /* connection without streams */
	uint32_t keepalive_interval_ms; /* PING while streams are open and nothing arrives; 0: off */
	uint32_t keepalive_timeout_ms;
	struct config_upstream_tls tls;
	struct config_breaker breaker;
	struct config_outlier outlier;
	struct config_place place;
};

struct config {
	unsigned refs;
	uint64_t revision; /* counts what the supervisor has committed; 0 as parsed */
	char *path;	   /* of the file */
	uint32_t workers;  /* 0: one per CPU */
	char *user, *group; /* NULL: sluice where it exists, else nobody */
	char *control_socket;
	enum log_level log_level;
	enum log_format log_format;
	uint32_t drain_grace_ms;
	uint32_t drain_jitter_ms; /* GOAWAYs to many connections are spread over so long */
	bool error_addresses;	  /* sluice's own messages name backends' addresses */
	uint32_t max_connections; /* downstream, a worker */
	uint64_t max_buffer_bytes; /* all leg buffers of a worker together */
	uint32_t leg_buffer_bytes; /* one leg's buffer = one stream's window */
	struct config_kernel kernel;
	struct config_listener *listeners;
	size_t n_listeners;
	struct config_group *groups;
	size_t n_groups;
	/* PEM of the system's CAs, read where a group verifies by them, else NULL */
	uint8_t *system_ca_pem;
	size_t system_ca_len;
};

/* Lines of "file:line:column: what is wrong, what would be right" (errors), or the same with
 * "warning: " before the text. */
struct config_report {
	char *text; /* NUL-terminated; NULL while empty */
	size_t len, cap;
	unsigned errors, warnings;
};
void config_report_done(struct config_report *report);

/* What config_load asks of those above it, since config depends on nothing there: see
 * proxy/config_hooks.h. A NULL hook: that is not looked into. All why read on from the name of what was
 * given ("holds no certificate, want ..."). */
struct config_hooks {
	/* 0 (with *expired and why set where the certificate is not valid now), -EBADMSG for a bad
	 * chain, -EKEYREJECTED for a bad key or one of another certificate, or -ENOMEM. */
	int (*check_certificate)(const uint8_t *chain_pem, size_t chain_len, const uint8_t *key_pem,
				 size_t key_len, char *why, size_t why_size, bool *expired);
	/* Of the chain's first certificate, as "RSA"; -EBADMSG or -ENOMEM. */
	int (*key_type)(const uint8_t *chain_pem, size_t chain_len, char *type, size_t size);
	/* CA certificates: as check_certificate, without the key. */
	int (*check_ca)(const uint8_t *pem, size_t len, char *why, size_t why_size, bool *expired);
	/* 0, or -EINVAL with why. */
	int (*check_regex)(const char *pattern, char *why, size_t why_size);
};

/* Reads, checks (certificates, interfaces and users too) and returns the config with one reference,
 * or NULL with at least one error in report. Warnings may stand in report either way. hooks: NULL is
 * as all of them NULL. */
struct config *config_load(const char *path, struct config_report *report,
			   const struct config_hooks *hooks);

/* For those who fill a config in: gives a group that verifies by the system's CAs the config's. */
void config_share_system_cas(struct config *config, struct config_group *group);

struct config *config_ref(struct config *config);
void config_unref(struct config *config); /* takes NULL; wipes key material */

/* The wire form for the channel: a flat byte string with everything the children need, resolved
 * endpoints and PEM bytes included: the caller wipes it. encode: malloced bytes in *out, 0, -ENOMEM,
 * or -EINVAL where an id or index is beyond its limit. decode: NULL on malformed bytes or no memory.
 * Only sluice's own processes exchange it; decode checks bounds. */
int config_encode(const struct config *config, uint8_t **out, size_t *out_len);
struct config *config_decode(const uint8_t *bytes, size_t len);

/* A deep copy with refs 1 (the access lists are shared, not copied), for the supervisor to resolve.
 * NULL: no memory. */
struct config *config_clone(const struct config *config);

#endif
