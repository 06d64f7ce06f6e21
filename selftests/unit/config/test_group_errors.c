/* SPDX-License-Identifier: MIT */
/*
 * test_group_errors.c - errors and warnings about a group's balancing, health, TLS, circuit breaker and
 * outlier detection, and about a listener's keys that are not routes: their places and words.
 */
#include "errors_help.h"

#include <stdio.h>

static void balancing_keys_fit_together(void **state)
{
	static const struct error_case cases[] = {
		{ IN_GROUP("  hash: source"), "f:5:3: hash without consistent_hash, want balance: "
					      "consistent_hash or no hash\n" },
		{ IN_GROUP("  balance: consistent_hash\n  hash: ip"),
		  "f:6:9: hash \"ip\" is unknown, want source, san, path or metadata:KEY\n" },
		{ IN_GROUP("  balance: consistent_hash\n  hash: metadata:X"),
		  "f:6:9: hash \"metadata:X\" has large letters, want a key in small ones\n" },
		{ IN_GROUP("  slow_start: 10ms"),
		  "f:5:15: slow_start \"10ms\" is out of range, want 0s (off) or 100ms to 1h\n" },
		{ IN_GROUP("  panic_below: 0.5\n  backup_below: 120%"),
		  "f:5:16: panic_below is a number (\"0.5\"), want a whole share such as 20%\n"
		  "f:6:17: backup_below \"120%\" is out of range, want 0% to 100%\n" },
		{ IN_GROUP("  connections: {min: 9}"),
		  "f:5:22: min 9 is more than max 8, want at most max\n" },
		{ IN_GROUP("  backup_below: 50%"),
		  "f:5:3: warning: backup_below has no effect without a backend with backup: "
		  "true\n" },
		{ A_LISTENER "groups:\n- name: g\n  backends: [{address: a:1, backup: true}]\n",
		  "f:4:13: warning: all backends are backups: want some without backup: true\n" },
		{ A_LISTENER "groups:\n- name: g\n  backends: [{address: a:1, drain: true}, {address: "
			     "b:1, weight: 0}]\n",
		  "f:4:13: warning: all backends have weight 0 or drain: no call can be served\n" },
	};

	EXPECT(cases);
}

static void health_checks_ask_for_what_their_method_has(void **state)
{
	static const struct error_case cases[] = {
		{ IN_GROUP("  health_check: {protocol: tcp, path: /a.B/C, codes: [0]}"),
		  "f:5:33: path with protocol tcp, want protocol grpc or no path\n"
		  "f:5:47: codes with protocol tcp, want protocol grpc or no codes\n" },
		{ IN_GROUP("  health_check: {service: a, protocol: tcp, authority: b, method: WATCH}"),
		  "f:5:18: service with protocol tcp, want protocol grpc or no service\n"
		  "f:5:45: authority with protocol tcp, want protocol grpc or no authority\n"
		  "f:5:59: method with protocol tcp, want protocol grpc or no method\n" },
		{ IN_GROUP("  health_check: {method: WATCH, path: /a.B/C}"),
		  "f:5:39: path with method WATCH, want method POST or no path\n" },
		{ IN_GROUP("  health_check: {authority: \"a b\"}"),
		  "f:5:29: authority \"a b\" has a character that authorities cannot have, want "
		  "greeter.example or greeter.example:443\n" },
	};

	EXPECT(cases);
}

static void tls_and_breakers_fit_together(void **state)
{
	static const struct error_case cases[] = {
		{ IN_GROUP("  tls: {ca: f, verify: false}"),
		  "f:5:9: warning: ca has no effect with verify: false\n" },
		{ IN_GROUP("  tls: {server_name: \"a b\"}"),
		  "f:5:22: server_name \"a b\" is no host name, want the one in the backends' "
		  "certificates\n" },
		{ IN_GROUP("  tls: {certificate: {chain: a}}"),
		  "f:5:22: certificate without key, want for example key: "
		  "/etc/sluice/tls/key.pem\n" },
		{ IN_GROUP("  tls: true"),
		  "f:5:8: tls is a truth value (\"true\"), want a mapping: ca: ...\n" },
		{ IN_GROUP("  circuit_breaker: {pending_timeout: 1s}"),
		  "f:5:21: pending_timeout without pending, want for example pending: 100\n" },
		{ IN_GROUP("  circuit_breaker: {status: 14}"),
		  "f:5:29: status \"14\" is unknown, want UNAVAILABLE or RESOURCE_EXHAUSTED\n" },
		{ IN_GROUP("  circuit_breaker: {call: 1}"),
		  "f:5:21: unknown key \"call\" in circuit_breaker, did you mean \"calls\"?\n" },
	};

	EXPECT(cases);
}

static void outlier_detection_is_bounded(void **state)
{
	static const struct error_case cases[] = {
		{ IN_GROUP("  outlier_detection: {ejection: {base: 10m}}"),
		  "f:5:33: ejection base is longer than max, want base at most max\n" },
		{ IN_GROUP("  outlier_detection: {consecutive_failures: 0, success_rate: 0}"),
		  "f:5:22: warning: outlier_detection with consecutive_failures, success_rate and "
		  "latency all off does nothing\n" },
		{ IN_GROUP("  outlier_detection: {codes: [OK]}"),
		  "f:5:31: bad code \"OK\", want grpc-status names, numbers 1 to 16 or ranges: "
		  "[UNAVAILABLE, 13]\n" },
		{ IN_GROUP("  outlier_detection: {success_rate: 0.05, latency: 1}"),
		  "f:5:37: success_rate \"0.05\" is out of range, want 0 (off) or 0.1 to 100\n"
		  "f:5:52: latency \"1\" is out of range, want 0 (off) or 1.1 to 1000\n" },
		{ IN_GROUP("  outlier_detection: {success_rate: 1.9x, latency: \"3\", min_backends: 1}"),
		  "f:5:37: success_rate is text (\"1.9x\"), want a number of at most three "
		  "decimals such as 1.9\n"
		  "f:5:52: latency is text in quotes (\"3\"), want a number of at most three "
		  "decimals such as 1.9\n"
		  "f:5:71: min_backends \"1\" is out of range, want 2 to 1000\n" },
		{ IN_GROUP("  outlier_detection: {latency: 1.2345, ejection: {share: -5%}}"),
		  "f:5:32: latency is a number (\"1.2345\"), want a number of at most three decimals "
		  "such as 1.9\n"
		  "f:5:58: share \"-5%\" is out of range, want 0% to 100%\n" },
	};

	EXPECT(cases);
}

static void listener_keys_are_bounded(void **state)
{
	static const struct error_case cases[] = {
		{ IN_LISTENER("  trusted_hops: 17"),
		  "f:7:17: trusted_hops \"17\" is out of range, want 0 to 16\n" },
		{ IN_LISTENER("  client_certificates: {required: true}"),
		  "f:7:24: client_certificates without ca, want for example ca: "
		  "/etc/sluice/tls/clients-ca.pem\n" },
		{ IN_LISTENER("  keepalive: {interval: 50ms, timeout: 0}"),
		  "f:7:25: interval \"50ms\" is out of range, want 0s (off) or 100ms to 24h\n"
		  "f:7:40: timeout \"0\" has no unit, want ms, s, m or h: a duration such as 2s\n" },
		{ IN_LISTENER("  timeouts: {max_age: 10ms}"),
		  "f:7:23: max_age \"10ms\" is out of range, want 0s (off) or 1s to 168h\n" },
		{ IN_LISTENER("  health_service: on"),
		  "f:7:19: health_service is text (\"on\"), want true or false\n" },
		{ IN_LISTENER("  request_ids: true"),
		  "f:7:3: unknown key \"request_ids\" in listener, did you mean "
		  "\"request_id\"?\n" },
	};

	EXPECT(cases);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(balancing_keys_fit_together),
		cmocka_unit_test(health_checks_ask_for_what_their_method_has),
		cmocka_unit_test(tls_and_breakers_fit_together),
		cmocka_unit_test(outlier_detection_is_bounded),
		cmocka_unit_test(listener_keys_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
