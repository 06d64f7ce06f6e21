/* SPDX-License-Identifier: MIT */
/*
 * test_route_errors.c - every error and warning about a listener's routes: its place and its words.
 */
#include "errors_help.h"

#include <stdio.h>

#define GROUPS                                                                                     \
	"groups: [{name: g, backends: [{address: a:1}]}, {name: h, backends: [{address: b:1}]}]\n"
/* Routes, the first on line 7. */
#define ROUTES(lines)                                                                              \
	GROUPS "listeners:\n- name: l\n  address: \"[::]:443\"\n"                                  \
	       "  certificate: {chain: c, key: k}\n  routes:\n" lines "\n"
/* A route on line 7; what is given stands from column 16 on. */
#define ROUTE(keys) ROUTES("  - {group: g, " keys "}")
#define MATCH(keys) ROUTE("match: {" keys "}")

static void a_route_has_one_action(void **state)
{
	static const struct error_case cases[] = {
		{ ROUTES("  - {name: a}"),
		  "f:7:5: route without group, groups or status, want one of them\n" },
		{ ROUTE("groups: [{name: g, weight: 1}]"),
		  "f:7:16: groups beside group on line 7, want one action for a route\n" },
		{ ROUTE("status: {code: 5}"),
		  "f:7:16: status beside group on line 7, want one action for a route\n" },
		{ ROUTES("  - {groups: [{name: g, weight: 0}, {name: h, weight: 0}]}"),
		  "f:7:14: all weights are 0, want one above 0\n" },
		{ ROUTES("  - {groups: [{name: g, weight: 1}, {name: h, weight: 0}]}"),
		  "f:7:14: warning: all weights but one are 0: the route has one group\n" },
		{ ROUTES("  - {groups: [{name: g, weight: 1}, {name: g, weight: 2}]}"),
		  "f:7:44: group \"g\" is in this split already, want each once\n" },
		{ ROUTES("  - {groups: [{name: g}, {weight: 1}]}"),
		  "f:7:15: groups item without weight, want for example weight: 90\n"
		  "f:7:26: groups item without name, want for example name: greeter\n" },
		{ ROUTES("  - {groups: [{name: g, weight: 10001}]}"),
		  "f:7:33: weight \"10001\" is out of range, want 0 to 10000\n" },
		{ ROUTES("  - {groups: []}"),
		  "f:7:14: groups is empty, want at least one: [{name: stable, weight: 90}, {name: "
		  "canary, weight: 10}]\n" },
		{ ROUTE("sticky: source"),
		  "f:7:16: sticky without groups, want groups: [{name: ..., weight: ...}, ...]\n" },
		{ ROUTES("  - {status: {message: a}}"),
		  "f:7:14: status without code, want for example code: UNAVAILABLE\n" },
		{ ROUTES("  - {status: {code: 17}}"),
		  "f:7:21: bad code \"17\", want a grpc-status such as UNAVAILABLE, or its number 0 "
		  "to 16\n" },
		{ ROUTES("  - {status: {code: unavailable}}"),
		  "f:7:21: bad code \"unavailable\", did you mean UNAVAILABLE?\n" },
		{ ROUTES("  - {status: {code: UNAVAILBLE}}"),
		  "f:7:21: bad code \"UNAVAILBLE\", did you mean UNAVAILABLE?\n" },
		{ ROUTES("  - {status: {code: [5]}}"),
		  "f:7:21: code is a sequence, want a grpc-status such as UNAVAILABLE, or its "
		  "number 0 to 16\n" },
		{ ROUTES("  - {status: {code: 5}, mirror: {group: g, share: 1%}, retry: {codes: [1]}, "
			 "rewrite: {authority: a}, request: {remove: a}, response: {remove: a}}"),
		  "f:7:25: mirror with status, which sends the call nowhere: want a group, or no "
		  "mirror\n"
		  "f:7:56: retry with status, which sends the call nowhere: want a group, or no "
		  "retry\n"
		  "f:7:77: rewrite with status, which sends the call nowhere: want a group, or no "
		  "rewrite\n"
		  "f:7:102: request with status, which sends the call nowhere: want a group, or no "
		  "request\n"
		  "f:7:124: response with status, which sends the call nowhere: want a group, or no "
		  "response\n" },
	};

	EXPECT(cases);
}

static void groups_of_routes_must_be_defined(void **state)
{
	static const struct error_case cases[] = {
		{ ROUTES("  - {group: nothing}"),
		  "f:7:13: group \"nothing\" is not defined, want a name given under groups\n" },
		{ ROUTES("  - {groups: [{name: gg, weight: 1}]}"),
		  "f:7:22: group \"gg\" is not defined, want a name given under groups\n" },
		{ ROUTE("mirror: {group: none, share: 1%}"),
		  "f:7:32: group \"none\" is not defined, want a name given under groups\n" },
		{ ROUTE("mirror: {group: g, share: 1%}"),
		  "f:7:32: warning: mirror to the route's own group: each mirrored call is made "
		  "twice there\n" },
		{ ROUTE("mirror: {group: h}"),
		  "f:7:24: mirror without share, want for example share: 5%\n" },
		{ ROUTE("mirror: {group: h, share: 0%}"),
		  "f:7:42: share \"0%\" is out of range, want 0.01% to 100%\n" },
		{ ROUTE("mirror: {group: h, share: 100.01%}"),
		  "f:7:42: share \"100.01%\" is out of range, want 0.01% to 100%\n" },
		{ ROUTE("mirror: {group: h, share: 5}"),
		  "f:7:42: share \"5\" has no unit, want %: a share of at most two decimals "
		  "such as 0.25%\n" },
		{ ROUTE("mirror: {group: h, share: 0.125%}"),
		  "f:7:42: share is text (\"0.125%\"), want a share of at most two decimals "
		  "such as 0.25%\n" },
	};

	EXPECT(cases);
}

static void names_of_routes_are_given_once(void **state)
{
	static const struct error_case cases[] = {
		{ ROUTES("  - {name: a, match: {path: /a/b}, group: g}\n"
			 "  - {name: a, match: {path: /a/c}, group: g}"),
		  "f:8:12: route \"a\" is on line 7 already, want each once\n" },
		{ ROUTES("  - {name: default, match: {path: /a/b}, group: g}\n  group: g"),
		  "f:7:12: name \"default\" is that of the listener's group, want another\n" },
		{ ROUTES("  - {name: a b, group: g}"),
		  "f:7:12: name \"a b\" has a character that names cannot have, want letters, "
		  "digits, ., _ and - only\n" },
		{ ROUTES("  - {name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, group: g}"),
		  "f:7:12: name \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" is empty or too long, "
		  "want 1 to 39 characters\n" },
		{ ROUTES("  - {nam: a, group: g}"),
		  "f:7:6: unknown key \"nam\" in route, did you mean \"name\"?\n" },
		{ ROUTES("  - a"), "f:7:5: route is text (\"a\"), want a mapping: name: ...\n" },
		{ ROUTES("    []"), "f:7:5: routes is empty, want at least one: [{match: {path: "
				  "/package.Service/}, group: greeter}]\n" },
	};

	EXPECT(cases);
}

#define HOST_ERROR(quoted, words) "f:7:30: host " quoted " " words "\n"

static void hosts_are_names_without_port(void **state)
{
	static const struct error_case cases[] = {
		{ MATCH("host: a.example:443"),
		  HOST_ERROR("\"a.example:443\"", "has a port, want the host alone") },
		{ MATCH("host: \"[::1]:443\""),
		  HOST_ERROR("\"[::1]:443\"", "has a port, want the host alone") },
		{ MATCH("host: a.*.example"),
		  HOST_ERROR("\"a.*.example\"", "has a * in another place, want *.example.com") },
		{ MATCH("host: \"*a.example\""),
		  HOST_ERROR("\"*a.example\"", "has a * in another place, want *.example.com") },
		{ MATCH("host: \"*\""),
		  HOST_ERROR("\"*\"", "has a * in another place, want *.example.com") },
		{ MATCH("host: a_b..c"),
		  HOST_ERROR("\"a_b..c\"", "is no host, want api.example.com or *.example.com") },
		{ MATCH("host: a.example."),
		  HOST_ERROR("\"a.example.\"", "ends in a dot, want it without") },
		{ MATCH("host: 192.0.2.300"),
		  HOST_ERROR("\"192.0.2.300\"", "is no host, want api.example.com or *.example.com") },
		{ MATCH("host: {a: b}"),
		  "f:7:30: host is a mapping, want text such as api.example.com\n" },
		{ MATCH("host: []"), "f:7:30: host is empty, want for example api.example.com\n" },
		{ MATCH("host: [a, 5]"),
		  "f:7:34: host is a number (\"5\"), want text such as api.example.com\n" },
		{ MATCH("sni: \"a:1\""), "f:7:29: sni \"a:1\" has a port, want the host alone\n" },
		{ MATCH("san: a"), "f:7:29: san in a listener without client_certificates, want for "
				   "example client_certificates: {ca: "
				   "/etc/sluice/tls/clients-ca.pem}\n" },
		{ ROUTES("  - {groups: [{name: g, weight: 1}, {name: h, weight: 1}], sticky: san, "
			 "limits: {calls: 1/s, key: san}}"),
		  "f:7:68: sticky san in a listener without client_certificates, want for example "
		  "client_certificates: {ca: /etc/sluice/tls/clients-ca.pem}\n"
		  "f:7:99: key san in a listener without client_certificates, want for example "
		  "client_certificates: {ca: /etc/sluice/tls/clients-ca.pem}\n" },
		{ ROUTES("  - {group: g, match: {san: [\"a b\", \"a*\"]}}\n"
			 "  client_certificates: {ca: f}"),
		  "f:7:30: san \"a b\" has a character that names in certificates cannot have, want "
		  "client.example or spiffe://example/client\n"
		  "f:7:37: san \"a*\" has a * in another place, want *.example.com\n" },
		{ MATCH("source: 10.0.0.1/8"),
		  "f:7:32: prefix \"10.0.0.1/8\" has bits set behind its length, want them 0\n" },
		{ MATCH("source: {}"),
		  "f:7:32: source is a mapping, want a sequence of prefixes: [203.0.113.0/24]\n" },
	};

	EXPECT(cases);
}

#define NO_PATH                                                                                    \
	"has a character that matches no path (queries are not looked at), want "                  \
	"/package.Service/Method, {prefix: ...} or {regex: ...}"

static void paths_are_of_a_known_kind(void **state)
{
	static const struct error_case cases[] = {
		{ MATCH("path: a.B/C"),
		  "f:7:30: path \"a.B/C\" does not begin with /, want /package.Service/Method, "
		  "/package.Service/, {prefix: /package.} or {regex: \"...\"}\n" },
		{ MATCH("path: \"\""),
		  "f:7:30: path \"\" does not begin with /, want /package.Service/Method, "
		  "/package.Service/, {prefix: /package.} or {regex: \"...\"}\n" },
		{ MATCH("path: /"), "f:7:30: path \"/\" is no service, want /package.Service/ (any "
				    "method of it) or {prefix: /...}\n" },
		{ MATCH("path: \"/a b\""), "f:7:30: path \"/a b\" " NO_PATH "\n" },
		{ MATCH("path: \"/a?b\""), "f:7:30: path \"/a?b\" " NO_PATH "\n" },
		{ MATCH("path: /a/*"), "f:7:30: path \"/a/*\" " NO_PATH "\n" },
		{ MATCH("path: {suffix: a}"),
		  "f:7:31: path is a mapping of another kind, want {prefix: /package.} or {regex: "
		  "\"...\"}\n" },
		{ MATCH("path: {}"), "f:7:30: path is a mapping of another kind, want {prefix: "
				     "/package.} or {regex: \"...\"}\n" },
		{ MATCH("path: {prefix: a}"),
		  "f:7:39: prefix \"a\" does not begin with /, want the begin of a path such as "
		  "/package.\n" },
		{ MATCH("path: {regex: \"\"}"),
		  "f:7:38: regex \"\" is empty or too long, want 1 to 1024 characters\n" },
		{ MATCH("path: [/a/b, 5]"),
		  "f:7:37: path is a number (\"5\"), want text such as "
		  "/package.Service/Method\n" },
		{ MATCH("path: []"),
		  "f:7:30: path is empty, want for example /package.Service/Method\n" },
		{ MATCH("paths: /a"), "f:7:24: unknown key \"paths\" in match, did you mean \"path\"?\n" },
	};

	EXPECT(cases);
}

#define WHEN(keys) MATCH("metadata: {" keys "}")

static void metadata_conditions_have_a_key_and_one_kind(void **state)
{
	static const struct error_case cases[] = {
		{ WHEN("exact: a"),
		  "f:7:34: metadata condition without key, want for example key: x-user\n" },
		{ WHEN("key: a"), "f:7:34: metadata condition without exact, prefix, suffix, regex, "
				  "present or absent, want one of them\n" },
		{ WHEN("key: a, exact: b, prefix: c"),
		  "f:7:53: prefix beside exact, want one of them for each key (another item for a "
		  "second)\n" },
		{ WHEN("key: X-User, present: true"),
		  "f:7:40: key \"X-User\" has large letters, want a key in small ones\n" },
		{ WHEN("key: \":path\", present: true"),
		  "f:7:40: key \":path\" is a pseudo-header, want a metadata key (rewrite changes "
		  ":authority and :path)\n" },
		{ WHEN("key: a b, present: true"),
		  "f:7:40: key \"a b\" has a character that metadata keys cannot have, want small "
		  "letters, digits, -, _ and . only\n" },
		{ WHEN("key: a, present: false"),
		  "f:7:52: present is a truth value (\"false\"), want true\n" },
		{ WHEN("key: a, absent: yes"), "f:7:51: absent is text (\"yes\"), want true\n" },
		{ WHEN("key: a, prefix: \"\""),
		  "f:7:51: prefix \"\" is empty, want present: true for any value\n" },
		{ WHEN("key: a, exact: 5"),
		  "f:7:50: exact is a number (\"5\"), want text such as alice\n" },
		{ WHEN("key: a, exact: []"), "f:7:50: exact is empty, want for example alice\n" },
		{ WHEN("key: a-bin, exact: [YQ, \"Y!\"]"),
		  "f:7:54: exact \"Y!\" is not base64, which keys that end in -bin want\n" },
		{ MATCH("metadata: []"),
		  "f:7:34: metadata is empty, want at least one: [{key: x-user, exact: alice}]\n" },
	};

	EXPECT(cases);
}

static void keys_that_calls_rest_on_cannot_be_changed(void **state)
{
	static const char *const fixed[] = { "connection", "te", "host", "content-type",
					     "content-length", "trailer", "transfer-encoding",
					     "upgrade", "keep-alive", "proxy-connection" };
	char text[512], report[512];

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		snprintf(text, sizeof(text), ROUTE("request: {remove: %s}"), fixed[i]);
		snprintf(report, sizeof(report), "f:7:34: remove \"%s\" is what the call itself rests "
			 "on, want another key\n", fixed[i]);
		help_expect_report(text, strlen(text), report);
	}
	static const struct error_case cases[] = {
		{ ROUTE("request: {set: {grpc-timeout: 1S}}"),
		  "f:7:32: set \"grpc-timeout\" is reserved by gRPC, want another key\n" },
		{ ROUTE("response: {add: {X-A: b}}"),
		  "f:7:33: add \"X-A\" has large letters, want a key in small ones\n" },
		{ ROUTE("response: {set: {\":status\": b}}"),
		  "f:7:33: set \":status\" is a pseudo-header, want a metadata key (rewrite changes "
		  ":authority and :path)\n" },
		{ ROUTE("request: {set: [a]}"),
		  "f:7:31: set is a sequence, want a mapping of keys to values: {x-client-ip: "
		  "\"{client.ip}\"}\n" },
		{ ROUTE("request: {set: {a: {b: c}}}"),
		  "f:7:35: set is a mapping, want text such as \"{client.ip}\"\n" },
		{ ROUTE("request: {remove: [a, {b: c}]}"),
		  "f:7:38: remove is a mapping, want text such as [x-debug]\n" },
	};

	EXPECT(cases);
}

#define SET(value) ROUTE("request: {set: {a: " value "}}")

static void templates_are_checked_at_the_place(void **state)
{
	static const char unknown[] =
		": value of \"a\": unknown variable, want one such as {client.ip} or "
		"{request.header.x-user} ({{ for a brace)\n";
	static const struct {
		const char *text;
		unsigned column;
		const char *rest; /* NULL: unknown */
	} cases[] = {
		{ SET("\"{clientip}\""), 36, NULL },
		{ SET("\"v {client.ip} {nobody}\""), 50, NULL },
		{ SET("\"\xc3\xa4\""), 36,
		  ": value of \"a\" has a character that metadata cannot have, want printable ASCII\n" },
		{ SET("\" a\""), 35,
		  ": value of \"a\" begins or ends with a space, want it without\n" },
		{ SET("\"a{\""), 37, ": value of \"a\": a { without its }, want {{ for a brace\n" },
		{ SET("\"a{b{c}}\""), 37, ": value of \"a\": a { without its }, want {{ for a brace\n" },
		{ SET("\"a}b\""), 37, ": value of \"a\": a } without a {, want }} for a brace\n" },
		{ SET("\"{}\""), 36, NULL },
		{ SET("\"{request.header.}\""), 36,
		  ": value of \"a\": no metadata key, want for example {request.header.x-user}\n" },
		{ SET("\"{request.header.X}\""), 36,
		  ": value of \"a\": no metadata key, want for example {request.header.x-user}\n" },
		{ SET("\"x{backend.address}\""), 37,
		  ": value of \"a\": not known before a backend is picked, want it in response only\n" },
		{ SET("\"{group.name}\""), 36,
		  ": value of \"a\": not known before a backend is picked, want it in response only\n" },
	};
	char report[512];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(report, sizeof(report), "f:7:%u%s", cases[i].column,
			 cases[i].rest ? cases[i].rest : unknown);
		help_expect_report(cases[i].text, strlen(cases[i].text), report);
	}
}

static void a_rewrite_has_both_halves(void **state)
{
	static const struct error_case cases[] = {
		{ ROUTE("rewrite: {prefix: /a}"), "f:7:26: prefix without to, want both\n" },
		{ ROUTE("rewrite: {to: /a}"), "f:7:26: to without prefix, want both\n" },
		{ ROUTE("rewrite: {prefix: a, to: /b}"),
		  "f:7:34: prefix \"a\" does not begin with /, want the begin of a path such as "
		  "/package.\n" },
		{ ROUTE("match: {path: [/a.B/, {prefix: /c}]}, rewrite: {prefix: /d, to: /e}"),
		  "f:7:72: warning: no path of the route begins with prefix \"/d\": nothing is "
		  "rewritten\n" },
		{ ROUTE("match: {path: [/a.B/, {prefix: /c}]}, rewrite: {prefix: /c.d, to: /e}"), "" },
		{ ROUTE("match: {path: /a.B/C}, rewrite: {prefix: /a.B/, to: /}"), "" },
		{ ROUTE("match: {path: {regex: x}}, rewrite: {prefix: /a.B/, to: /}"), "" },
		{ ROUTE("rewrite: {authority: \"a/b\"}"),
		  "f:7:37: authority \"a/b\" is no authority, want one such as "
		  "greeter.example:443\n" },
		{ ROUTE("rewrite: {authority: \"{x}\"}"),
		  "f:7:38: value of \"authority\": unknown variable, want one such as {client.ip} or "
		  "{request.header.x-user} ({{ for a brace)\n" },
	};

	EXPECT(cases);
}

static void limits_times_and_retries_fit_together(void **state)
{
	static const struct error_case cases[] = {
		{ ROUTE("limits: {burst: 5, key: source}"),
		  "f:7:25: burst without calls, want for example calls: 100/s\n"
		  "f:7:35: key without calls, want for example calls: 100/s\n" },
		{ ROUTE("limits: {calls: 5/s, key: header:x}"),
		  "f:7:42: key \"header:x\" is unknown, want source, san, path or metadata:KEY\n" },
		{ ROUTE("limits: {calls: 5/s, key: \"metadata:\"}"),
		  "f:7:42: key \"metadata:\" is empty or too long, want 1 to 256 characters\n" },
		{ ROUTE("limits: {calls: 0/s}"),
		  "f:7:32: calls \"0/s\" is out of range, want 1/s to 10000000/s\n" },
		{ ROUTE("timeouts: {default: 10s, max: 5s}"),
		  "f:7:36: default is longer than max, want default at most max\n" },
		{ ROUTE("timeouts: {idle: 1ms}"),
		  "f:7:33: idle \"1ms\" is out of range, want 0s (off) or 100ms to 24h\n" },
		{ ROUTE("timeouts: {idle: 5}"),
		  "f:7:33: idle \"5\" has no unit, want ms, s, m or h: a duration such as 2s\n" },
		{ ROUTE("retry: {}"), "f:7:23: retry without codes or on_reset, want for example "
				      "codes: [UNAVAILABLE]\n" },
		{ ROUTE("retry: {codes: [0]}"),
		  "f:7:32: bad code \"0\", want grpc-status names, numbers 1 to 16 or ranges: "
		  "[UNAVAILABLE, 10]\n" },
		{ ROUTE("retry: {codes: [OK, 15-17, unavailable]}"),
		  "f:7:32: bad code \"OK\", want grpc-status names, numbers 1 to 16 or ranges: "
		  "[UNAVAILABLE, 10]\n"
		  "f:7:36: bad code \"15-17\", want grpc-status names, numbers 1 to 16 or ranges: "
		  "[UNAVAILABLE, 10]\n"
		  "f:7:43: bad code \"unavailable\", did you mean UNAVAILABLE?\n" },
		{ ROUTE("retry: {codes: [1], attempts: 1}"),
		  "f:7:46: attempts \"1\" is out of range, want 2 to 5\n" },
		{ ROUTE("retry: {codes: [1], attempts: 6}"),
		  "f:7:46: attempts \"6\" is out of range, want 2 to 5\n" },
		{ ROUTE("retry: {codes: [1], backoff: {base: 1s}}"),
		  "f:7:45: backoff base is longer than max, want base at most max\n" },
		{ ROUTE("retry: {codes: [1], budget: {share: 101%}}"),
		  "f:7:52: share \"101%\" is out of range, want 0% to 100%\n" },
		{ ROUTE("retry: {codes: [1], budget: {share: 1.5%}}"),
		  "f:7:52: share is text (\"1.5%\"), want a whole share such as 20%\n" },
		{ ROUTE("retry: {codes: [1], budget: {share: 0%, floor: 0}}"),
		  "f:7:44: warning: a budget of 0% and floor 0 allows no retry\n" },
	};

	EXPECT(cases);
}

/* Two routes, on lines 7 and 8; the second never matches (or does, with NULL). */
static void expect_shadow(const char *first, const char *second, bool shadowed)
{
	char text[1024];

	snprintf(text, sizeof(text),
		 ROUTES("  - {name: a, group: g%s%s}\n  - {name: b, group: h%s%s}\n"
			"  client_certificates: {ca: f}"),
		 *first ? ", match: " : "", first, *second ? ", match: " : "", second);
	help_expect_report(text, strlen(text),
			   shadowed ? "f:8:5: warning: route \"b\" can never match: route \"a\" on line "
				      "7 takes all its calls\n" :
				      "");
}

static void routes_that_can_never_match_are_warned_of(void **state)
{
	static const char *const covered[][2] = {
		{ "", "" },
		{ "", "{host: a}" },
		{ "{host: a}", "{host: a}" },
		{ "{host: A.Example}", "{host: a.example}" },
		{ "{host: [a, b]}", "{host: b}" },
		{ "{host: \"*.a.example\"}", "{host: [b.a.example, \"*.c.a.example\"]}" },
		{ "{path: /a.B/}", "{path: /a.B/C}" },
		{ "{path: [/a.B/, /a.D/E]}", "{path: [/a.D/E, /a.B/C]}" },
		{ "{path: {prefix: /a.}}", "{path: [/a.B/, /a.B/C, {prefix: /a.B}]}" },
		{ "{path: {prefix: /}}", "{path: {regex: \"/.*\"}}" },
		{ "{path: {prefix: /}}", "{host: a}" },
		{ "{path: {regex: \".*\"}}", "{path: /a.B/}" },
		{ "{path: [/x, {regex: \"/.*\"}]}", "" },
		{ "{path: {regex: a}}", "{path: {regex: a}}" },
		{ "{path: /a.B/C}", "{path: /a.B/C, host: x, source: 10.0.0.0/8}" },
		{ "{source: 10.0.0.0/8}", "{source: [10.1.0.0/16, 10.2.3.4]}" },
		{ "{source: [10.0.0.0/9, \"::/0\"]}", "{source: [10.64.0.0/10, \"fd00::/8\"]}" },
		{ "{metadata: {key: a, present: true}}", "{metadata: {key: a, exact: b}}" },
		{ "{metadata: {key: a, exact: [b, c]}}",
		  "{metadata: [{key: d, absent: true}, {key: a, exact: c}]}" },
		{ "{metadata: {key: a, prefix: b}}", "{metadata: {key: a, exact: [bc, b]}}" },
		{ "{metadata: {key: a, suffix: b}}", "{metadata: {key: a, suffix: cb}}" },
		{ "{metadata: {key: a, regex: b}}", "{metadata: {key: a, regex: b}}" },
		{ "{metadata: {key: a, absent: true}}", "{metadata: {key: a, absent: true}}" },
		{ "{sni: \"*.a\"}", "{sni: b.a}" },
		{ "{san: [\"*.a\", spiffe://x/y]}", "{san: [b.a, spiffe://x/y]}" },
	};
	static const char *const open[][2] = {
		{ "{host: a}", "" },
		{ "{host: a}", "{host: b}" },
		{ "{host: \"*.a.example\"}", "{host: a.example}" },
		{ "{host: \"*.a.example\"}", "{host: xa.example}" },
		{ "{host: a}", "{host: [a, b]}" },
		{ "{path: /a.B/C}", "{path: /a.B/}" },
		{ "{path: /a.B/}", "{path: /a.B/C/D}" },
		{ "{path: /a.B/}", "{path: {prefix: /a.B/}}" },
		{ "{path: {prefix: /b}}", "{path: {regex: /b.*}}" },
		{ "{path: /a.B/C, host: x}", "{path: /a.B/C}" },
		{ "{source: 10.1.0.0/16}", "{source: 10.0.0.0/8}" },
		{ "{source: 10.0.0.0/9}", "{source: 10.128.0.0/10}" },
		{ "{source: 0.0.0.0/0}", "{source: \"::/0\"}" },
		{ "{metadata: {key: a, exact: b}}", "{metadata: {key: a, present: true}}" },
		{ "{metadata: {key: a, exact: b}}", "{metadata: {key: c, exact: b}}" },
		{ "{metadata: {key: a, present: true}}", "{metadata: {key: a, absent: true}}" },
		{ "{metadata: {key: a, prefix: bc}}", "{metadata: {key: a, prefix: b}}" },
		{ "{metadata: {key: a-bin, prefix: YQ}}", "{metadata: {key: a-bin, exact: YQE}}" },
		{ "{san: \"*.a\"}", "{san: x@b.a}" },
	};

	for (size_t i = 0; i < sizeof(covered) / sizeof(covered[0]); i++)
		expect_shadow(covered[i][0], covered[i][1], true);
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++)
		expect_shadow(open[i][0], open[i][1], false);
}

static void other_ways_to_never_match_are_warned_of(void **state)
{
	static const struct error_case cases[] = {
		{ ROUTES("  - {match: {path: /grpc.health.v1.Health/}, group: g}\n"
			 "  - {match: {path: [/grpc.health.v1.Health/Check, /x]}, group: h}\n"
			 "  health_service: true"),
		  "f:7:5: warning: route \"route 1\" gets no gRPC calls: health_service answers "
		  "them\n" },
		{ ROUTES("  - {group: h}\n  group: g"),
		  "f:8:10: warning: group gets no calls: route \"route 1\" on line 7 takes all that "
		  "come to it\n" },
		{ MATCH("metadata: [{key: a, exact: b}, {key: a, absent: true}]"),
		  "f:7:5: warning: route \"route 1\" can never match: it wants metadata key \"a\" both "
		  "there and absent\n" },
		/* the first that does is named */
		{ ROUTES("  - {name: a, match: {path: /x/}, group: g}\n"
			 "  - {name: b, match: {path: {prefix: /x}}, group: h}\n"
			 "  - {name: c, match: {path: /x/y}, group: h}"),
		  "f:9:5: warning: route \"c\" can never match: route \"a\" on line 7 takes all its "
		  "calls\n" },
		{ ROUTES("  - {name: a, match: {path: {prefix: /x}}, group: g}\n"
			 "  - {name: b, match: {path: /x/}, group: h}\n"
			 "  - {name: c, match: {path: /x/y}, group: h}"),
		  "f:8:5: warning: route \"b\" can never match: route \"a\" on line 7 takes all its "
		  "calls\n"
		  "f:9:5: warning: route \"c\" can never match: route \"a\" on line 7 takes all its "
		  "calls\n" },
	};

	EXPECT(cases);
}

static void too_many_routes_are_refused(void **state)
{
	size_t size = 4 << 20, len = 0;
	char *text = malloc(size);

	len += (size_t)sprintf(text, GROUPS "listeners:\n");
	for (unsigned l = 0; l < 5; l++) {
		len += (size_t)sprintf(text + len,
				       "- name: l%u\n  address: 192.0.2.1:%u\n  certificate: {chain: "
				       "c, key: k}\n  group: g\n  routes:\n", l, l + 1);
		for (unsigned i = 0; i < 4000 + (l == 4); i++)
			len += (size_t)sprintf(text + len, "  - {match: {path: /a/%u}, group: g}\n", i);
	}
	help_expect_report(text, len, "f:3:1: 20006 routes in all listeners together (a listener's "
				      "group counts as one), want at most 16384\n");
	len = (size_t)sprintf(text, ROUTES(""));
	for (unsigned i = 0; i < 4097; i++)
		len += (size_t)sprintf(text + len, "  - {match: {path: /a/%u}, group: g}\n", i);
	help_expect_report(text, len, "f:8:3: routes has 4097 items, want at most 4096\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_route_has_one_action),
		cmocka_unit_test(groups_of_routes_must_be_defined),
		cmocka_unit_test(names_of_routes_are_given_once),
		cmocka_unit_test(hosts_are_names_without_port),
		cmocka_unit_test(paths_are_of_a_known_kind),
		cmocka_unit_test(metadata_conditions_have_a_key_and_one_kind),
		cmocka_unit_test(keys_that_calls_rest_on_cannot_be_changed),
		cmocka_unit_test(templates_are_checked_at_the_place),
		cmocka_unit_test(a_rewrite_has_both_halves),
		cmocka_unit_test(limits_times_and_retries_fit_together),
		cmocka_unit_test(routes_that_can_never_match_are_warned_of),
		cmocka_unit_test(other_ways_to_never_match_are_warned_of),
		cmocka_unit_test(too_many_routes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
