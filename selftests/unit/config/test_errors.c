/* SPDX-License-Identifier: MIT */
/*
 * test_errors.c - every error that a config text can hold: its place and its words.
 */
#include "errors_help.h"

#include <stdio.h>

/* One line of the top level before a correct rest. */
#define TOP(line) line "\n" A_LISTENER A_GROUP

static void unknown_keys_name_the_nearest_known(void **state)
{
	static const struct error_case cases[] = {
		{ TOP("worker: 2"),
		  "f:1:1: unknown key \"worker\" in the config file, did you mean \"workers\"?\n" },
		{ TOP("lisenters: 2"),
		  "f:1:1: unknown key \"lisenters\" in the config file, did you mean "
		  "\"listeners\"?\n" },
		{ TOP("colour: red"),
		  "f:1:1: unknown key \"colour\" in the config file, want one of: listeners, "
		  "groups, workers, runtime, control, log, drain, errors, limits, kernel\n" },
		{ TOP("kernel: {mod: off}"),
		  "f:1:10: unknown key \"mod\" in kernel, did you mean \"mode\"?\n" },
		{ TOP("kernel: {per_source: {new_connections: 1/s, brust: 2}, mode: auto, "
		      "interfaces: [{name: a}]}"),
		  "f:1:45: unknown key \"brust\" in per_source, did you mean \"burst\"?\n" },
		{ IN_GROUP("  health: {}"),
		  "f:5:3: unknown key \"health\" in group, did you mean \"health_check\"?\n" },
		{ IN_GROUP("  health_check: {intervall: 2s, color: 1}"),
		  "f:5:18: unknown key \"intervall\" in health_check, did you mean "
		  "\"interval\"?\n"
		  "f:5:33: unknown key \"color\" in health_check, want one of: protocol, method, "
		  "path, authority, codes, service, interval, timeout, healthy_threshold, "
		  "unhealthy_threshold, port\n" },
		{ IN_LISTENER("  certificates: {}"),
		  "f:7:3: unknown key \"certificates\" in listener, did you mean "
		  "\"certificate\"?\n" },
		{ TOP("\"\": 1"),
		  "f:1:1: unknown key \"\" in the config file, want one of: listeners, groups, "
		  "workers, runtime, control, log, drain, errors, limits, kernel\n" },
		{ TOP("<<: {}"),
		  "f:1:1: unknown key \"<<\" in the config file, want one of: listeners, groups, "
		  "workers, runtime, control, log, drain, errors, limits, kernel\n" },
	};

	EXPECT(cases);
}

static void what_is_missing_is_said_with_an_example(void **state)
{
	static const struct error_case cases[] = {
		{ A_GROUP, "f:1:1: the config file without listeners, want for example listeners: "
			   "[{name: grpc, address: \"[::]:443\", ...}]\n" },
		{ "workers: 1\n",
		  "f:1:1: the config file without listeners, want for example listeners: "
		  "[{name: grpc, address: \"[::]:443\", ...}]\n"
		  "f:1:1: the config file without groups, want for example groups: "
		  "[{name: greeter, backends: [{address: 192.0.2.11:50051}]}]\n" },
		{ "listeners:\n- protocol: https\n" A_GROUP,
		  "f:2:3: listener without name, want for example name: grpc\n"
		  "f:2:3: listener without address, want for example address: \"[::]:443\"\n"
		  "f:2:3: listener without certificate, want for example certificate: {chain: "
		  "/etc/sluice/tls/chain.pem, key: /etc/sluice/tls/key.pem}\n"
		  "f:2:3: listener without group, want for example group: greeter (or routes)\n" },
		{ A_LISTENER "groups:\n- {name: g}\n",
		  "f:3:3: group without backends, want for example backends: [{address: "
		  "192.0.2.11:50051}]\n" },
		{ A_LISTENER "groups:\n- {name: g, backends: []}\n",
		  "f:3:23: backends is empty, want at least one: [{address: 192.0.2.11:50051}]\n" },
		{ A_LISTENER "groups:\n- {name: g, backends: [{weight: 1}]}\n",
		  "f:3:24: backend without address, want for example address: "
		  "192.0.2.11:50051\n" },
		{ "listeners: []\n" A_GROUP,
		  "f:1:12: listeners is empty, want at least one: [{name: grpc, address: "
		  "\"[::]:443\", ...}]\n" },
		{ "groups: []\n" A_LISTENER,
		  "f:1:9: groups is empty, want at least one: [{name: greeter, backends: "
		  "[{address: 192.0.2.11:50051}]}]\n" },
		{ TOP("kernel: {per_source: {burst: 2}, interfaces: [{xdp: auto}]}"),
		  "f:1:23: burst without new_connections, want for example new_connections: "
		  "100/s\n"
		  "f:1:47: interface without name, want for example name: eth0\n" },
		{ A_GROUP "listeners: [{name: l, address: \"[::]:1\", group: g, certificate: []}]\n",
		  "f:2:65: certificate is empty, want at least one: {chain: "
		  "/etc/sluice/tls/chain.pem, key: /etc/sluice/tls/key.pem}\n" },
		{ A_GROUP "listeners: [{name: l, address: \"[::]:1\", group: g, certificate: "
			  "{chain: a}}]\n",
		  "f:2:65: certificate without key, want for example key: "
		  "/etc/sluice/tls/key.pem\n" },
	};

	EXPECT(cases);
}

static void wrong_types_say_what_stands_there_and_what_should(void **state)
{
	static const struct error_case cases[] = {
		{ TOP("workers: many"), "f:1:10: workers is text (\"many\"), want auto, or a whole "
					"number 1 to 128\n" },
		{ TOP("workers: \"4\""), "f:1:10: workers is text in quotes (\"4\"), want auto, or "
					 "a whole number 1 to 128\n" },
		{ TOP("workers:"),
		  "f:1:9: workers has no value, want auto, or a whole number 1 to 128\n" },
		{ TOP("workers: [1]"),
		  "f:1:10: workers is a sequence, want auto, or a whole number 1 to 128\n" },
		{ TOP("runtime: {user: 1000}"),
		  "f:1:17: user is a number (\"1000\"), want text such as sluice (in quotes, "
		  "where it looks like a number)\n" },
		{ TOP("runtime: sluice"),
		  "f:1:10: runtime is text (\"sluice\"), want a mapping: user: ...\n" },
		{ TOP("runtime: {user: [a]}"),
		  "f:1:17: user is a sequence, want text such as sluice\n" },
		{ TOP("control: {socket: }"), "f:1:19: socket has no value, want text such as "
					      "/run/sluice/control.sock\n" },
		{ TOP("kernel: {keep: yes}"),
		  "f:1:16: keep is text (\"yes\"), want true or false\n" },
		{ TOP("kernel: {keep: \"true\"}"),
		  "f:1:16: keep is text in quotes (\"true\"), want true or false\n" },
		{ TOP("kernel: {mode: maybe}"),
		  "f:1:16: mode \"maybe\" is unknown, want auto, required or off\n" },
		{ TOP("kernel: {mode: [off]}"),
		  "f:1:16: mode is a sequence, want auto, required or off\n" },
		{ TOP("kernel: {mode: }"),
		  "f:1:16: mode has no value, want auto, required or off\n" },
		{ TOP("kernel: {interfaces: lo}"),
		  "f:1:22: interfaces is text (\"lo\"), want a sequence: \"- ...\" for "
		  "each interface\n" },
		{ TOP("kernel: {interfaces: [lo]}"),
		  "f:1:23: interface is text (\"lo\"), want a mapping: name: ...\n" },
		{ TOP("kernel: {interfaces: [{name: lo, xdp: fast}]}"),
		  "f:1:39: xdp \"fast\" is unknown, want auto, native or generic\n" },
		{ TOP("log: {level: trace, format: xml}"),
		  "f:1:14: level \"trace\" is unknown, want error, warn, info or debug\n"
		  "f:1:29: format \"xml\" is unknown, want text or json\n" },
		{ IN_LISTENER("  protocol: http"),
		  "f:7:13: protocol \"http\" is unknown, want https\n" },
		{ IN_GROUP("  protocol: http"), "f:5:13: protocol \"http\" is unknown, want "
		  "grpc or http2\n" },
		{ IN_GROUP("  balance: best"), "f:5:12: balance \"best\" is unknown, want "
					       "weighted_round_robin, least_request, "
					       "consistent_hash or random\n" },
		{ IN_GROUP("  on_all_down: close"),
		  "f:5:16: on_all_down \"close\" is unknown, want accept, reset or drop\n" },
		{ IN_GROUP("  health_check: {protocol: http, method: GET}"),
		  "f:5:28: protocol \"http\" is unknown, want grpc or tcp\n"
		  "f:5:42: method \"GET\" is unknown, want POST or WATCH\n" },
		{ IN_GROUP("  health_check: true"),
		  "f:5:17: health_check is a truth value (\"true\"), want a mapping: protocol: "
		  "...\n" },
		{ A_LISTENER "groups: {g: {}}\n",
		  "f:2:9: groups is a mapping, want a sequence: \"- ...\" for each group\n" },
		{ A_GROUP "listeners: [{name: l, address: [\"::\"], certificate: c, group: {}}]\n",
		  "f:2:32: address is a sequence, want text such as \"[::]:443\"\n"
		  "f:2:53: certificate is text (\"c\"), want a sequence: \"- ...\" for "
		  "each certificate\n"
		  "f:2:63: group is a mapping, want text such as greeter\n" },
		{ IN_GROUP("  connections: {max: a, connect_timeout: soon}"),
		  "f:5:22: max is text (\"a\"), want a whole number 1 to 1024\n"
		  "f:5:42: connect_timeout is text (\"soon\"), want a duration such as 2s\n" },
		{ TOP("limits: {buffer: much}"),
		  "f:1:18: buffer is text (\"much\"), want a size such as 64KiB\n" },
		{ TOP("drain: {grace: 1.5s}"),
		  "f:1:16: grace is text (\"1.5s\"), want a duration such as 2s\n" },
	};

	EXPECT(cases);
}

static void numbers_out_of_range_say_the_range(void **state)
{
	static const struct error_case cases[] = {
		{ TOP("workers: 0"), "f:1:10: workers \"0\" is out of range, want auto, or a whole "
				     "number 1 to 128\n" },
		{ TOP("workers: 129"), "f:1:10: workers \"129\" is out of range, want auto, or a "
				       "whole number 1 to 128\n" },
		{ TOP("workers: -1"), "f:1:10: workers \"-1\" is out of range, want auto, or a "
				      "whole number 1 to 128\n" },
		{ A_LISTENER "groups: [{name: g, backends: [{address: 192.0.2.1:1, weight: 101}, "
			     "{address: 192.0.2.2:1, weight: -1}]}]\n",
		  "f:2:62: weight \"101\" is out of range, want 0 to 100\n"
		  "f:2:99: weight \"-1\" is out of range, want 0 to 100\n" },
		{ IN_GROUP("  health_check: {interval: 50ms, timeout: 6m, healthy_threshold: 0, "
			   "unhealthy_threshold: 101, port: 65536}"),
		  "f:5:28: interval \"50ms\" is out of range, want 100ms to 1h\n"
		  "f:5:43: timeout \"6m\" is out of range, want 10ms to 5m\n"
		  "f:5:66: healthy_threshold \"0\" is out of range, want 1 to 100\n"
		  "f:5:90: unhealthy_threshold \"101\" is out of range, want 1 to 100\n"
		  "f:5:101: port \"65536\" is out of range, want 0 to 65535\n" },
		{ IN_GROUP("  connections: {max: 0, streams: 0, connect_timeout: 1ms, idle: 0s, "
			   "keepalive_interval: 50ms, keepalive_timeout: 0s}"),
		  "f:5:22: max \"0\" is out of range, want 1 to 1024\n"
		  "f:5:34: streams \"0\" is out of range, want 1 to 65535\n"
		  "f:5:54: connect_timeout \"1ms\" is out of range, want 10ms to 1m\n"
		  "f:5:65: idle \"0s\" is out of range, want 1s to 24h\n"
		  "f:5:89: keepalive_interval \"50ms\" is out of range, want 0s (off) or 100ms to "
		  "1h\n"
		  "f:5:114: keepalive_timeout \"0s\" is out of range, want 100ms to 10m\n" },
		{ IN_LISTENER("  timeouts: {handshake: 0s, header: 10m, idle: 25h}"),
		  "f:7:25: handshake \"0s\" is out of range, want 100ms to 5m\n"
		  "f:7:37: header \"10m\" is out of range, want 100ms to 5m\n"
		  "f:7:48: idle \"25h\" is out of range, want 1s to 24h\n" },
		{ IN_LISTENER("  limits: {streams: 0, header_list: 2MiB}"),
		  "f:7:21: streams \"0\" is out of range, want 1 to 65535\n"
		  "f:7:37: header_list \"2MiB\" is out of range, want 1KiB to 1MiB\n" },
		{ TOP("limits: {connections: 0, buffer: 1KiB, stream_buffer: 32MiB}"),
		  "f:1:23: connections \"0\" is out of range, want 1 to 1000000\n"
		  "f:1:34: buffer \"1KiB\" is out of range, want 1MiB to 1024GiB\n"
		  "f:1:55: stream_buffer \"32MiB\" is out of range, want 16KiB to 16MiB\n" },
		{ TOP("drain: {grace: 2h}"), "f:1:16: grace \"2h\" is out of range, want 0s to 1h\n" },
		{ TOP("kernel: {interfaces: [{name: a}], chain_priority: 1001, strays: {rate: "
		      "0/s}, penalties: {threshold: 0, half_life: 0s, first: 169h, max: 1ms, forget: "
		      "1ms, packets_after: 101, bad_percent: 101, never: [10.0.0.1/8], points: "
		      "{abuse: 1000001}}, events: {rate: 0/s}}"),
		  "f:1:51: chain_priority \"1001\" is out of range, want 0 to 1000\n"
		  "f:1:72: rate \"0/s\" is out of range, want 1/s to 10000000/s\n"
		  "f:1:101: threshold \"0\" is out of range, want 1 to 1000000\n"
		  "f:1:115: half_life \"0s\" is out of range, want 100ms to 24h\n"
		  "f:1:126: first \"169h\" is out of range, want 100ms to 168h\n"
		  "f:1:137: max \"1ms\" is out of range, want 100ms to 168h\n"
		  "f:1:150: forget \"1ms\" is out of range, want 1s to 168h\n"
		  "f:1:170: packets_after \"101\" is out of range, want 0 to 100\n"
		  "f:1:188: bad_percent \"101\" is out of range, want 0 to 100\n"
		  "f:1:201: prefix \"10.0.0.1/8\" has bits set behind its length, want them 0\n"
		  "f:1:230: abuse \"1000001\" is out of range, want 0 to 1000000\n"
		  "f:1:256: rate \"0/s\" is out of range, want 1/s to 1000000/s\n" },
		{ TOP("kernel: {penalties: {first: 2h}}"),
		  "f:1:29: first is above max, want a max that is not below first\n" },
		{ TOP("kernel: {penalties: {first: 2m, max: 1m}}"),
		  "f:1:38: max is below first, want a max that is not below first\n" },
		{ TOP("kernel: {interfaces: [{name: a}], strays: {burst: 1}}"),
		  "f:1:43: strays without rate, want for example rate: 1000/s\n" },
		{ TOP("kernel: {mode: auto, interfaces: [{name: a}], per_source: {new_connections: "
		      "0/s, burst: 0, ipv4_prefix: 33, ipv6_prefix: 129}}"),
		  "f:1:77: new_connections \"0/s\" is out of range, want 1/s to 1000000/s\n"
		  "f:1:89: burst \"0\" is out of range, want 1 to 1000000\n"
		  "f:1:105: ipv4_prefix \"33\" is out of range, want 0 to 32\n"
		  "f:1:122: ipv6_prefix \"129\" is out of range, want 0 to 128\n" },
	};

	EXPECT(cases);
}

static void units_missing_or_unknown_are_named(void **state)
{
	static const struct error_case cases[] = {
		{ TOP("drain: {grace: 30}"), "f:1:16: grace \"30\" has no unit, want ms, s, m or h: "
					     "a duration such as 2s\n" },
		{ TOP("drain: {grace: 30sec}"),
		  "f:1:16: grace \"30sec\" has an unknown unit, want ms, s, m or h: a duration "
		  "such as 2s\n" },
		{ TOP("limits: {buffer: 1048576}"),
		  "f:1:18: buffer \"1048576\" has no unit, want B, KiB, MiB or GiB: a size such "
		  "as 64KiB\n" },
		{ TOP("limits: {buffer: 64MB}"),
		  "f:1:18: buffer \"64MB\" has an unknown unit, want B, KiB, MiB or GiB: a size "
		  "such as 64KiB\n" },
		{ TOP("kernel: {interfaces: [{name: a}], per_source: {new_connections: 100}}"),
		  "f:1:65: new_connections \"100\" has no unit, want /s or /m: a rate such as "
		  "100/s\n" },
		{ TOP("kernel: {interfaces: [{name: a}], per_source: {new_connections: 100/h}}"),
		  "f:1:65: new_connections \"100/h\" has an unknown unit, want /s or /m: a rate "
		  "such as 100/s\n" },
	};

	EXPECT(cases);
}

#define LISTEN(address)                                                                            \
	A_GROUP "listeners: [{name: l, group: g, certificate: {chain: c, key: k}, address: " address \
		"}]\n"
#define LISTEN_ERROR(words) "f:2:75: " words "\n"
#define BAD_LISTEN(quoted)                                                                         \
	LISTEN_ERROR("bad address " quoted ", want an IP address and port such as \"[::]:443\" or " \
		     "192.0.2.1:443")

static void bad_listening_addresses_are_refused(void **state)
{
	static const struct error_case cases[] = {
		{ LISTEN("\"[::]:0\""),
		  LISTEN_ERROR("address \"[::]:0\" has port 0, want 1 to 65535") },
		{ LISTEN("\"[::]:65536\""),
		  LISTEN_ERROR("address \"[::]:65536\" has a bad port, want 1 to 65535") },
		{ LISTEN("192.0.2.1"),
		  LISTEN_ERROR("address \"192.0.2.1\" has a bad port, want 1 to 65535") },
		{ LISTEN("192.0.2.1:x"),
		  LISTEN_ERROR("address \"192.0.2.1:x\" has a bad port, want 1 to 65535") },
		{ LISTEN("192.0.2.256:443"), BAD_LISTEN("\"192.0.2.256:443\"") },
		{ LISTEN("\"::1:443\""), BAD_LISTEN("\"::1:443\"") },
		{ LISTEN("localhost:443"), BAD_LISTEN("\"localhost:443\"") },
		{ LISTEN("\":443\""), BAD_LISTEN("\":443\"") },
		{ LISTEN("\"\""), BAD_LISTEN("\"\"") },
	};

	EXPECT(cases);
}

#define BACKEND(address) A_LISTENER "groups: [{name: g, backends: [{address: " address "}]}]\n"
#define BACKEND_ERROR(quoted, words) "f:2:41: address " quoted " " words "\n"
#define BAD_BACKEND                                                                                \
	"is a bad address, want 192.0.2.11:50051, \"[2001:db8::11]:50051\" or name.example:50051"

static void bad_backend_addresses_are_refused(void **state)
{
	static const struct error_case cases[] = {
		{ BACKEND("192.0.2.1:0"),
		  BACKEND_ERROR("\"192.0.2.1:0\"", "has port 0, want 1 to 65535") },
		{ BACKEND("a.example:0"),
		  BACKEND_ERROR("\"a.example:0\"", "has port 0, want 1 to 65535") },
		{ BACKEND("192.0.2.1:65536"),
		  BACKEND_ERROR("\"192.0.2.1:65536\"", "has a bad port, want 1 to 65535") },
		{ BACKEND("a.example:65536"),
		  BACKEND_ERROR("\"a.example:65536\"", "has a bad port, want 1 to 65535") },
		{ BACKEND("\"a.example:\""),
		  BACKEND_ERROR("\"a.example:\"", "has a bad port, want 1 to 65535") },
		{ BACKEND("a.example"),
		  BACKEND_ERROR("\"a.example\"",
				"has no port, want address:port such as 192.0.2.11:50051") },
		{ BACKEND("0.0.0.0:1"),
		  BACKEND_ERROR("\"0.0.0.0:1\"",
				"is no address to connect to, want a server's address") },
		{ BACKEND("\"[::]:1\""),
		  BACKEND_ERROR("\"[::]:1\"",
				"is no address to connect to, want a server's address") },
		{ BACKEND("192.0.2.300:1"), BACKEND_ERROR("\"192.0.2.300:1\"", BAD_BACKEND) },
		{ BACKEND("fd00::1:50051"), BACKEND_ERROR("\"fd00::1:50051\"", BAD_BACKEND) },
		{ BACKEND("-a.example:1"), BACKEND_ERROR("\"-a.example:1\"", BAD_BACKEND) },
		{ BACKEND("a-.example:1"), BACKEND_ERROR("\"a-.example:1\"", BAD_BACKEND) },
		{ BACKEND("a..example:1"), BACKEND_ERROR("\"a..example:1\"", BAD_BACKEND) },
		{ BACKEND("a b:1"), BACKEND_ERROR("\"a b:1\"", BAD_BACKEND) },
		{ BACKEND("dns:///a.example:1"), BACKEND_ERROR("\"dns:///a.example:1\"", BAD_BACKEND) },
		{ BACKEND("\":1\""), BACKEND_ERROR("\":1\"", BAD_BACKEND) },
		{ BACKEND("a\xc3\xa4:1"), BACKEND_ERROR("\"a\xc3\xa4:1\"", BAD_BACKEND) },
		{ BACKEND("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1"),
		  BACKEND_ERROR("\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa..."
				"\"", BAD_BACKEND) },
	};

	EXPECT(cases);
}

#define ACL(acl) TOP("kernel: {interfaces: [{name: a}], acl: " acl "}")

static void bad_prefixes_are_refused(void **state)
{
	static const struct error_case cases[] = {
		{ ACL("{deny: [203.0.113.0/33]}"),
		  "f:1:48: prefix \"203.0.113.0/33\" has a bad length, want 0 to 32 for IPv4 and 0 "
		  "to 128 for IPv6\n" },
		{ ACL("{deny: [\"2001:db8::/129\"]}"),
		  "f:1:48: prefix \"2001:db8::/129\" has a bad length, want 0 to 32 for IPv4 and 0 "
		  "to 128 for IPv6\n" },
		{ ACL("{deny: [203.0.113.1/24]}"),
		  "f:1:48: prefix \"203.0.113.1/24\" has bits set behind its length, want them "
		  "0\n" },
		{ ACL("{deny: [10.0.0/8, here]}"),
		  "f:1:48: bad prefix \"10.0.0/8\", want one such as 203.0.113.0/24 or "
		  "2001:db8::/48\n"
		  "f:1:58: bad prefix \"here\", want one such as 203.0.113.0/24 or "
		  "2001:db8::/48\n" },
		{ ACL("{deny: [2001:db8:: ]}"),
		  "f:1:48: prefix is a mapping, want a prefix such as 203.0.113.0/24 (in quotes, "
		  "where it ends in a colon)\n" },
		{ ACL("{deny: 10.0.0.0/8}"),
		  "f:1:47: deny is text (\"10.0.0.0/8\"), want a sequence of prefixes: "
		  "[203.0.113.0/24]\n" },
		{ ACL("{deny: [~]}"), "f:1:48: prefix has no value, want a prefix such as "
				      "203.0.113.0/24 (in quotes, where it ends in a colon)\n" },
		{ ACL("{deny_files: list.txt, allow_files: [\"\", 5, a]}"),
		  "f:1:53: deny_files is text (\"list.txt\"), want a sequence of files: "
		  "[/etc/sluice/acl/list.txt]\n"
		  "f:1:77: allow_files \"\" is empty, want a file's path\n"
		  "f:1:81: allow_files is a number (\"5\"), want text such as "
		  "/etc/sluice/acl/list.txt\n" },
		{ "kernel: {interfaces: [{name: a}]}\n"
		  IN_LISTENER("  acl: {deny: [\"::/0\"], allow: [\"::/0\"]}"),
		  "f:8:33: prefix \"::/0\" is in deny too (line 8), want it in one of the lists\n" },
		{ ACL("{deny: [10.0.0.0/8, 192.0.2.1], allow: [192.0.2.1/32, 10.0.0.0/9]}"),
		  "f:1:80: prefix \"192.0.2.1/32\" is in deny too (line 1), want it in one of the "
		  "lists\n" },
	};

	EXPECT(cases);
}

static void bad_status_codes_are_refused(void **state)
{
	static const char want[] = "want grpc-status names, numbers 0 to 63 or ranges: [0, 12, 4-5]\n";
	static const char *const bad[] = { "64", "-1", "5-4", "0-64", "1-", "1-2-3", "a",
					   "1.5", "0 - 5", "999", "1 2", "0x1", "0-63x" };
	char text[512], report[512];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), IN_GROUP("  health_check: {codes: [0, %s]}"), bad[i]);
		snprintf(report, sizeof(report), "f:5:29: bad code \"%s\", %s", bad[i], want);
		help_expect_report(text, strlen(text), report);
	}
	static const struct error_case cases[] = {
		{ IN_GROUP("  health_check: {codes: 0}"),
		  "f:5:25: codes is a number (\"0\"), want grpc-status names, numbers 0 to 63 or ranges: "
		  "[0, 12, 4-5]\n" },
		{ IN_GROUP("  health_check: {codes: []}"),
		  "f:5:25: codes is empty, want grpc-status names, numbers 0 to 63 or ranges: [0, 12, "
		  "4-5]\n" },
		{ IN_GROUP("  health_check: {codes: [[0]]}"),
		  "f:5:26: code is a sequence, want grpc-status names, numbers 0 to 63 or ranges: [0, 12, "
		  "4-5]\n" },
	};
	EXPECT(cases);
}

static void bad_names_and_paths_are_refused(void **state)
{
	static const struct error_case cases[] = {
		{ A_LISTENER "groups: [{name: \"a b\", backends: [{address: 192.0.2.1:1}]}, {name: "
			     "g, backends: [{address: 192.0.2.1:1}]}]\n",
		  "f:2:17: name \"a b\" has a character that names cannot have, want letters, "
		  "digits, ., _ and - only\n" },
		{ A_LISTENER "groups: [{name: \"\", backends: [{address: 192.0.2.1:1}]}, {name: "
			     "g, backends: [{address: 192.0.2.1:1}]}]\n",
		  "f:2:17: name \"\" is empty or too long, want 1 to 39 characters\n" },
		{ A_LISTENER "groups: [{name: g, backends: [{address: 192.0.2.1:1}]}, {name: "
			     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, backends: [{address: "
			     "192.0.2.1:1}]}]\n",
		  "f:2:64: name \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" is empty or too long, "
		  "want 1 to 39 characters\n" },
		{ TOP("control: {socket: run/s}"), "f:1:19: socket \"run/s\" is no absolute path, "
						   "want one that begins with /\n" },
		{ TOP("control: {socket: /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}"),
		  "f:1:19: socket \"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa..."
		  "\" is too long for a socket, want at most 107 characters\n" },
		{ TOP("kernel: {pin_path: sluice}"), "f:1:20: pin_path \"sluice\" is no absolute "
						     "path, want one that begins with /\n" },
		{ TOP("kernel: {interfaces: [{name: much_too_long_name}, {name: a/b}]}"),
		  "f:1:30: name \"much_too_long_name\" cannot be an interface, want a name of 1 to "
		  "15 characters such as eth0\n"
		  "f:1:58: name \"a/b\" cannot be an interface, want a name of 1 to 15 characters "
		  "such as eth0\n" },
		{ TOP("runtime: {user: \"a:b\", group: \"\"}"),
		  "f:1:17: user \"a:b\" cannot be a name, want one such as sluice\n"
		  "f:1:31: group \"\" cannot be a name, want one such as sluice\n" },
		{ A_GROUP "listeners: [{name: l, address: \"[::]:1\", group: g, certificate: "
			  "{chain: \"\", key: k}}]\n",
		  "f:2:73: chain \"\" is empty, want the path of a PEM file\n" },
		{ IN_GROUP("  health_check: {path: health}"),
		  "f:5:24: path \"health\" is no method path, want /package.Service/Method\n" },
		{ IN_GROUP("  health_check: {path: /health}"),
		  "f:5:24: path \"/health\" is no method path, want /package.Service/Method\n" },
		{ IN_GROUP("  health_check: {path: /a b/C}"),
		  "f:5:24: path \"/a b/C\" has a character that paths cannot have, want "
		  "/package.Service/Method\n" },
		{ IN_GROUP("  health_check: {path: /a.B/C, service: a.B}"),
		  "f:5:41: service with another path, want path /grpc.health.v1.Health/Check or no "
		  "service\n" },
	};

	EXPECT(cases);
}

static void groups_must_be_defined(void **state)
{
	static const struct error_case cases[] = {
		{ A_LISTENER "groups: [{name: other, backends: [{address: 192.0.2.1:1}]}]\n",
		  "f:1:84: group \"g\" is not defined, want a name given under groups\n" },
		{ "listeners: [{name: l, address: \"[::]:443\", certificate: {chain: c, key: k}, "
		  "group: greter}]\n"
		  "groups: [{name: a, backends: [{address: 192.0.2.1:1}]}, {name: greeter, "
		  "backends: [{address: 192.0.2.1:1}]}]\n",
		  "f:1:84: group \"greter\" is not defined under groups, did you mean "
		  "\"greeter\"?\n" },
		/* one with an error of its own is defined */
		{ A_LISTENER "groups: [{name: g, backends: []}]\n",
		  "f:2:30: backends is empty, want at least one: [{address: 192.0.2.11:50051}]\n" },
	};

	EXPECT(cases);
}

#define REST "certificate: {chain: c, key: k}, group: g}\n"

static void names_and_addresses_are_given_once(void **state)
{
	static const struct error_case cases[] = {
		{ A_GROUP "listeners:\n"
			  "- {name: a, address: \"[::]:1\", " REST
			  "- {name: b, address: \"[::]:2\", " REST
			  "- {name: a, address: \"[::]:3\", " REST,
		  "f:5:10: listener \"a\" is on line 3 already, want each once\n" },
		{ A_LISTENER "groups:\n"
			     "- {name: g, backends: [{address: 192.0.2.1:1}]}\n"
			     "- {name: g, backends: [{address: 192.0.2.1:1}]}\n"
			     "- {name: g, backends: [{address: 192.0.2.1:1}]}\n",
		  "f:4:10: group \"g\" is on line 3 already, want each once\n"
		  "f:5:10: group \"g\" is on line 3 already, want each once\n" },
		{ TOP("kernel: {interfaces: [{name: a}, {name: b}, {name: a}]}"),
		  "f:1:52: interface \"a\" is on line 1 already, want each once\n" },
		{ A_GROUP "listeners:\n"
			  "- {name: a, address: 192.0.2.1:1, " REST
			  "- {name: b, address: 192.0.2.1:1, " REST,
		  "f:4:22: address 192.0.2.1:1 is that of the listener on line 3 already, want "
		  "another\n" },
		{ A_GROUP "listeners:\n"
			  "- {name: a, address: \"[::]:443\", " REST
			  "- {name: b, address: 0.0.0.0:443, " REST,
		  "f:4:22: address 0.0.0.0:443 overlaps with [::]:443 of the listener on line 3, "
		  "want one of them ([::] takes IPv4 too)\n" },
		{ A_GROUP "listeners:\n"
			  "- {name: a, address: \"[::ffff:192.0.2.1]:1\", " REST
			  "- {name: b, address: 192.0.2.1:1, " REST,
		  "f:4:22: address 192.0.2.1:1 is that of the listener on line 3 already, want "
		  "another\n" },
		{ A_LISTENER "groups:\n"
			     "- name: g\n"
			     "  backends:\n"
			     "  - {address: \"[fd00::1]:1\"}\n"
			     "  - {address: a.example:1}\n"
			     "  - {address: \"[fd00:0::1]:1\"}\n"
			     "  - {address: A.Example:1}\n"
			     "  - {address: a.example:2}\n",
		  "f:7:15: backend \"[fd00:0::1]:1\" is on line 5 already, want each once\n"
		  "f:8:15: backend \"A.Example:1\" is on line 6 already, want each once\n" },
	};

	EXPECT(cases);
}

static void any_and_one_address_can_live_together(void **state)
{
	config_unref(help_config(
		A_GROUP "listeners:\n"
			"- {name: a, address: \"[::]:443\", " REST
			"- {name: b, address: 192.0.2.1:443, " REST
			"- {name: c, address: 0.0.0.0:444, " REST
			"- {name: d, address: \"[fd00::1]:443\", " REST));
}

static void limits_that_nothing_holds_are_warned_of(void **state)
{
	static const struct error_case cases[] = {
		{ TOP("kernel: {mode: off, interfaces: [{name: a}], acl: {deny: []}, per_source: "
		      "{new_connections: 1/s}}"),
		  "f:1:46: warning: acl has no effect with kernel mode off\n"
		  "f:1:76: warning: new_connections has no effect with kernel mode off\n" },
		{ TOP("kernel: {mode: off, per_source: {connections: 5, ipv4_prefix: 24}}"), "" },
		{ "kernel: {penalties: {}}\n" IN_LISTENER("  trusted_hops: 1"),
		  "f:1:10: warning: penalties count against the proxies in front of a listener with "
		  "trusted_hops, want their addresses under never\n" },
		{ "kernel: {penalties: {never: [192.0.2.0/24]}}\n" IN_LISTENER("  trusted_hops: 1"), "" },
		{ TOP("kernel: {strays: {rate: 1/s}, events: {}, penalties: {}}"),
		  "f:1:10: warning: strays has no effect without kernel interfaces\n"
		  "f:1:31: warning: events has no effect without kernel interfaces\n" },
		{ IN_LISTENER("  syn_cookies: always\n  syn_cookies_above: 1/s\n  acl: {}"),
		  "f:7:3: warning: syn_cookies has no effect without kernel interfaces\n"
		  "f:8:3: warning: syn_cookies_above has no effect without syn_cookies: auto\n"
		  "f:8:3: warning: syn_cookies_above has no effect without kernel interfaces\n"
		  "f:9:3: warning: acl has no effect without kernel interfaces\n" },
		{ TOP("kernel: {acl: {deny: []}}"),
		  "f:1:10: warning: acl has no effect without kernel interfaces\n" },
		{ IN_LISTENER("  new_connections: 5/s"),
		  "f:7:3: warning: new_connections has no effect without kernel interfaces\n" },
		{ A_LISTENER "groups:\n- {name: g, backends: [{address: 192.0.2.1:1, weight: 0}]}\n",
		  "f:3:23: warning: all backends have weight 0 or drain: no call can be served\n" },
	};

	EXPECT(cases);
}

static void buffers_must_hold_one_call(void **state)
{
	static const struct error_case cases[] = {
		{ TOP("limits: {buffer: 1MiB, stream_buffer: 1MiB}"),
		  "f:1:9: buffer is smaller than two of stream_buffer, want room for a call both "
		  "ways\n" },
	};

	EXPECT(cases);
}

static void every_error_is_reported_in_the_file_s_order(void **state)
{
	static const struct error_case cases[] = {
		{ "groups:\n"
		  "- {name: g, backends: [{address: 192.0.2.1:1}], balance: best}\n"
		  "workers: none\n"
		  "listeners:\n"
		  "- {name: a, address: 1, certificate: {chain: c, key: k}, group: h}\n"
		  "- x\n"
		  "drain: {grace: 1}\n",
		  "f:2:58: balance \"best\" is unknown, want weighted_round_robin, "
		  "least_request, consistent_hash or random\n"
		  "f:3:10: workers is text (\"none\"), want auto, or a whole number 1 to 128\n"
		  "f:5:22: address is a number (\"1\"), want text such as \"[::]:443\"\n"
		  "f:5:65: group \"h\" is not defined, want a name given under groups\n"
		  "f:6:3: listener is text (\"x\"), want a mapping: name: ...\n"
		  "f:7:16: grace \"1\" has no unit, want ms, s, m or h: a duration such as 2s\n" },
	};

	EXPECT(cases);
}

static void counts_beyond_the_maps_are_refused(void **state)
{
	size_t size = 4 << 20, len;
	char *text = malloc(size);
	struct config_report report = { 0 };

	len = (size_t)sprintf(text, A_GROUP "listeners:\n");
	for (unsigned i = 0; i <= SLUICE_MAX_LISTENERS; i++)
		len += (size_t)sprintf(text + len, "- {name: l%u, address: 192.0.2.1:%u, "
				       "certificate: {chain: c, key: k}, group: g}\n", i, i + 1);
	help_expect_report(text, len, "f:3:1: listeners has 257 items, want at most 256\n");

	len = (size_t)sprintf(text, A_LISTENER "groups:\n- {name: g, backends: [{address: a:1}]}\n");
	for (unsigned i = 0; i < SLUICE_MAX_GROUPS; i++)
		len += (size_t)sprintf(text + len, "- {name: g%u, backends: [{address: a:1}]}\n", i);
	help_expect_report(text, len, "f:3:1: groups has 4097 items, want at most 4096\n");

	len = (size_t)sprintf(text, A_LISTENER "groups:\n");
	for (unsigned i = 0; i < 2; i++) {
		len += (size_t)sprintf(text + len, "- name: g%.*s\n  backends:\n", (int)i, "2");
		for (unsigned j = 0; j <= SLUICE_MAX_BACKENDS / 2; j++)
			len += (size_t)sprintf(text + len, "  - {address: 10.0.%u.%u:1}\n",
					       j / 256, j % 256);
	}
	help_expect_report(text, len,
			   "f:3:1: 16386 backends in all groups together, want at most 16384\n");

	len = (size_t)sprintf(text, A_LISTENER A_GROUP "kernel:\n  interfaces: [{name: a}]\n"
			      "  acl: {deny: [");
	for (unsigned i = 0; i < SLUICE_MAX_ACL_PREFIXES / 2 + 1; i++)
		len += (size_t)sprintf(text + len, "10.%u.%u.%u,", i >> 16, i >> 8 & 255, i & 255);
	len += (size_t)sprintf(text + len, "], allow: [");
	for (unsigned i = 0; i < SLUICE_MAX_ACL_PREFIXES / 2; i++)
		len += (size_t)sprintf(text + len, "11.%u.%u.%u,", i >> 16, i >> 8 & 255, i & 255);
	len += (size_t)sprintf(text + len, "]}\n");
	config_unref(help_read(text, len, &report));
	assert_string_equal(report.text, "f:5:8: 131073 prefixes in deny and allow together, want "
					 "at most 131072\n");
	config_report_done(&report);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_keys_name_the_nearest_known),
		cmocka_unit_test(what_is_missing_is_said_with_an_example),
		cmocka_unit_test(wrong_types_say_what_stands_there_and_what_should),
		cmocka_unit_test(numbers_out_of_range_say_the_range),
		cmocka_unit_test(units_missing_or_unknown_are_named),
		cmocka_unit_test(bad_listening_addresses_are_refused),
		cmocka_unit_test(bad_backend_addresses_are_refused),
		cmocka_unit_test(bad_prefixes_are_refused),
		cmocka_unit_test(bad_status_codes_are_refused),
		cmocka_unit_test(bad_names_and_paths_are_refused),
		cmocka_unit_test(groups_must_be_defined),
		cmocka_unit_test(names_and_addresses_are_given_once),
		cmocka_unit_test(any_and_one_address_can_live_together),
		cmocka_unit_test(limits_that_nothing_holds_are_warned_of),
		cmocka_unit_test(buffers_must_hold_one_call),
		cmocka_unit_test(every_error_is_reported_in_the_file_s_order),
		cmocka_unit_test(counts_beyond_the_maps_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
