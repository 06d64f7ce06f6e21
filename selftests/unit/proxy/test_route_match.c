/* SPDX-License-Identifier: MIT */
/*
 * test_route_match.c - which route a call takes: every kind of condition, "and" and "or", the order
 * of the file, and that it is found by hash and not by a walk.
 */
#include "proxy/route_help.h"

static int teardown(void **state)
{
	help_done();
	return 0;
}

static void hosts_match_whole_or_by_suffix(void **state)
{
	help_routes("  - {name: exact, match: {host: api.example.com}, group: a}\n"
		    "  - {name: suffix, match: {host: \"*.example.net\"}, group: b}\n"
		    "  - {name: six, match: {host: \"[2001:db8::1]\"}, group: b}\n"
		    "  - {name: two, match: {host: [x.org, \"*.y.org\"]}, group: c}\n");
	help_expect("api.example.com /s/m", "exact");
	help_expect("API.Example.COM:8443 /s/m", "exact");
	help_expect("api.example.com: /s/m", "exact");
	help_expect("api.example.com. /s/m", "exact");
	help_expect("api.example.com.:443 /s/m", "exact");
	help_expect("x.api.example.com /s/m", "-");
	help_expect("xapi.example.com /s/m", "-");
	help_expect("api.example.co /s/m", "-");
	help_expect("a.example.net /s/m", "suffix");
	help_expect("a.b.Example.net:1 /s/m", "suffix");
	help_expect("example.net /s/m", "-");
	help_expect(".example.net /s/m", "-");
	help_expect("aexample.net /s/m", "-");
	help_expect("[2001:DB8:0::1]:443 /s/m", "six");
	help_expect("[2001:db8::1] /s/m", "six");
	help_expect("[2001:db8::2] /s/m", "-");
	help_expect("x.org /s/m", "two");
	help_expect("z.y.org /s/m", "two");
	help_expect("- /s/m host=x.org", "two");
	help_expect("a.org /s/m host=x.org", "-");
	help_expect("- /s/m", "-");
}

static void paths_match_by_method_service_prefix_and_expression(void **state)
{
	help_routes("  - {name: method, match: {path: /p.S/Get}, group: a}\n"
		    "  - {name: service, match: {path: /p.S/}, group: a}\n"
		    "  - {name: prefix, match: {path: {prefix: /q.}}, group: a}\n"
		    "  - {name: regex, match: {path: {regex: \"/r\\\\.[A-Z]+/.*\"}}, group: a}\n"
		    "  - {name: list, match: {path: [/t.A/B, /u.C/, {prefix: /v}]}, group: a}\n");
	help_expect("h /p.S/Get", "method");
	help_expect("h /p.S/Put", "service");
	help_expect("h /p.S/", "service");
	help_expect("h /p.S", "-");
	help_expect("h /p.s/Get", "-");
	help_expect("h /p.S/a/b", "-"); /* a method of the service p.S/a */
	help_expect("h /x/p.S/Get", "-");
	help_expect("h /q.Anything/At/all", "prefix");
	help_expect("h /q", "-");
	help_expect("h /r.ABC/x", "regex");
	help_expect("h /r.ABC", "-");
	help_expect("h /xr.ABC/x", "-");
	help_expect("h /rxABC/x", "-");
	help_expect("h /t.A/B", "list");
	help_expect("h /t.A/C", "-");
	help_expect("h /u.C/anything", "list");
	help_expect("h /vvv", "list");
	/* A query is no part of the method. */
	help_expect("h /p.S/Get?a=/b", "method");
	help_expect("h /p.S/?a", "service");
	help_expect("h -", "-");
}

static void metadata_matches_in_every_way(void **state)
{
	help_routes(
		"  - {name: both, match: {metadata: [{key: x-a, exact: \"1\"}, {key: x-b, present: "
		"true}]}, group: a}\n"
		"  - {name: exact, match: {metadata: [{key: x-user, exact: [alice, bob]}]}, group: a}\n"
		"  - {name: prefix, match: {metadata: [{key: x-user, prefix: test-}]}, group: a}\n"
		"  - {name: suffix, match: {metadata: [{key: x-user, suffix: \"@corp\"}]}, group: a}\n"
		"  - {name: regex, match: {metadata: [{key: x-user, regex: \"u[0-9]+\"}]}, group: a}\n"
		"  - {name: present, match: {metadata: [{key: x-debug, present: true}]}, group: a}\n"
		"  - {name: absent, match: {metadata: [{key: authorization, absent: true}]}, group: a}\n");
	help_expect("h /s/m authorization=x x-a=1 x-b=", "both");
	help_expect("h /s/m authorization=x x-a=1", "-");
	help_expect("h /s/m authorization=x x-a=11 x-b=2", "-");
	help_expect("h /s/m authorization=x x-user=bob", "exact");
	help_expect("h /s/m authorization=x x-user=bobby", "-");
	help_expect("h /s/m authorization=x x-user=Bob", "-");
	help_expect("h /s/m authorization=x x-user=carol x-user=alice", "exact");
	help_expect("h /s/m authorization=x x-user=alice,carol", "-");
	help_expect("h /s/m authorization=x x-user=test-1", "prefix");
	help_expect("h /s/m authorization=x x-user=xtest-", "-");
	help_expect("h /s/m authorization=x x-user=me@corp", "suffix");
	help_expect("h /s/m authorization=x x-user=@corpx", "-");
	help_expect("h /s/m authorization=x x-user=u42", "regex");
	help_expect("h /s/m authorization=x x-user=u42x", "-");
	help_expect("h /s/m authorization=x x-user=xu42", "-");
	help_expect("h /s/m authorization=x x-debug=", "present");
	help_expect("h /s/m x-user=nobody", "absent");
	help_expect("h /s/m authorization=", "-");
}

static void binary_metadata_is_compared_decoded(void **state)
{
	/* "hello" is aGVsbG8 (=), "he" aGU (=), "llo" bGxv */
	help_routes("  - {name: exact, match: {metadata: [{key: a-bin, exact: aGVsbG8=}]}, group: a}\n"
		    "  - {name: prefix, match: {metadata: [{key: b-bin, prefix: aGU}]}, group: a}\n"
		    "  - {name: suffix, match: {metadata: [{key: c-bin, suffix: bGxv}]}, group: a}\n"
		    "  - {name: regex, match: {metadata: [{key: d-bin, regex: \"h.*o\"}]}, group: a}\n"
		    "  - {name: present, match: {metadata: [{key: e-bin, present: true}]}, group: a}\n");
	help_expect("h /s/m a-bin=aGVsbG8", "exact");
	help_expect("h /s/m a-bin=aGVsbG8=", "exact");
	help_expect("h /s/m a-bin=AAAA,aGVsbG8", "exact");
	help_expect("h /s/m a-bin=AAAA a-bin=aGVsbG8=,AAAA", "exact");
	help_expect("h /s/m a-bin=hello", "-");
	help_expect("h /s/m a-bin=aGVsbG8h", "-");
	help_expect("h /s/m a-bin=!", "-");
	help_expect("h /s/m b-bin=aGVsbG8", "prefix");
	help_expect("h /s/m b-bin=aA", "-");
	help_expect("h /s/m c-bin=aGVsbG8=", "suffix");
	help_expect("h /s/m c-bin=bGw", "-");
	help_expect("h /s/m d-bin=aGVsbG8", "regex");
	help_expect("h /s/m d-bin=aGVsbGg", "-");
	help_expect("h /s/m e-bin=!!!", "present");
}

static void sources_match_by_prefix(void **state)
{
	help_routes("  - {name: ten, match: {source: 10.0.0.0/8}, group: a}\n"
		    "  - {name: six, match: {source: [192.0.2.7, \"2001:db8::/32\"]}, group: a}\n");
	help_call("h /s/m");
	assert_string_equal(help_taken(), "-"); /* nothing known of the source */
	help.facts.source = &help.source;
	addr_from_ip(&help.source, "10.1.2.3", 1);
	assert_string_equal(help_taken(), "ten");
	addr_from_ip(&help.source, "::ffff:10.1.2.3", 1);
	assert_string_equal(help_taken(), "ten");
	addr_from_ip(&help.source, "11.1.2.3", 1);
	assert_string_equal(help_taken(), "-");
	addr_from_ip(&help.source, "192.0.2.7", 1);
	assert_string_equal(help_taken(), "six");
	addr_from_ip(&help.source, "2001:db8:1::1", 1);
	assert_string_equal(help_taken(), "six");
}

static void sni_and_certificate_names_match(void **state)
{
	static const char *const sans[] = { "other.example", "client.Example.net",
					    "spiffe://example/Client", "10.0.0.9", "me@b.example.org",
					    "https://x.b.example.org" };

	help_routes_and("  - {name: sni, match: {sni: [api.example.com, \"*.svc.example\"]}, group: a}\n"
			"  - {name: uri, match: {san: spiffe://example/Client}, group: a}\n"
			"  - {name: wrong, match: {san: spiffe://example/client}, group: a}\n"
			"  - {name: ip, match: {san: 10.0.0.9}, group: a}\n"
			"  - {name: dns, match: {san: \"*.b.example.org\"}, group: a}\n",
			"  client_certificates: {ca: ca.pem}\n");
	assert_true(route_table_wants_peer(help.table));
	help_call("h /s/m");
	assert_string_equal(help_taken(), "-");
	help.facts.peer = &help.peer;
	help.peer = (struct tls_peer){ .sni = "", .subject = "", .fingerprint = "" };
	assert_string_equal(help_taken(), "-");
	help.peer.sni = "api.example.com";
	assert_string_equal(help_taken(), "sni");
	help.peer.sni = "x.svc.example";
	assert_string_equal(help_taken(), "sni");
	help.peer.sni = "svc.example";
	assert_string_equal(help_taken(), "-");
	help.peer.sans = sans;
	help.peer.n_sans = 2;
	assert_string_equal(help_taken(), "-");
	help.peer.n_sans = 3;
	assert_string_equal(help_taken(), "uri");
	help.peer.sans = sans + 3;
	help.peer.n_sans = 1;
	assert_string_equal(help_taken(), "ip");
	/* What a URI or mail address ends with is no DNS name. */
	help.peer.sans = sans + 4;
	help.peer.n_sans = 2;
	assert_string_equal(help_taken(), "-");
	help.peer.sans = (const char *const[]){ "a.b.example.org" };
	help.peer.n_sans = 1;
	assert_string_equal(help_taken(), "dns");
}

static void all_conditions_of_a_route_must_hold(void **state)
{
	help_routes("  - {name: all, match: {host: h, path: /s/m, metadata: [{key: x-a, present: "
		    "true}], source: 10.0.0.0/8}, group: a}\n"
		    "  - {name: rest, group: b}\n");
	help_call("h /s/m x-a=1");
	help.facts.source = &help.source;
	addr_from_ip(&help.source, "10.1.2.3", 1);
	assert_string_equal(help_taken(), "all");
	addr_from_ip(&help.source, "11.1.2.3", 1);
	assert_string_equal(help_taken(), "rest");
	help_expect("g /s/m x-a=1", "rest");
	help_expect("h /s/n x-a=1", "rest");
	help_expect("h /s/m", "rest");
}

/* Each stands in another index; the file's order decides all the same. */
static void the_first_route_in_the_file_wins(void **state)
{
	static const char *const lines[] = {
		"{name: n%u, match: {path: /s/m}, group: a}\n",
		"{name: n%u, match: {path: /s/}, group: a}\n",
		"{name: n%u, match: {host: h}, group: a}\n",
		"{name: n%u, match: {host: h, path: /s/m}, group: a}\n",
		"{name: n%u, match: {host: [h, i], path: [/t/, /s/]}, group: a}\n",
		"{name: n%u, match: {path: {prefix: /}}, group: a}\n",
	};
	char text[1024], name[16];
	unsigned order[6] = { 0, 1, 2, 3, 4, 5 };

	for (unsigned round = 0; round < 60; round++) {
		size_t len = 0;

		for (unsigned i = 0; i < 6; i++) { /* some permutation */
			unsigned other = (i + round * 7 + i * round) % 6, swap = order[i];

			order[i] = order[other];
			order[other] = swap;
		}
		for (unsigned i = 0; i < 6; i++) {
			len += (size_t)snprintf(text + len, sizeof(text) - len, "  - ");
			len += (size_t)snprintf(text + len, sizeof(text) - len, lines[order[i]],
						order[i]);
		}
		help_done();
		/* The later ones can never match, which the file's check says. */
		struct config_report report = { 0 };
		static char file[4096];
		char why[160];

		snprintf(file, sizeof(file),
			 "listeners:\n- name: l\n  address: \"[::]:443\"\n"
			 "  certificate: {chain: c, key: k}\n  routes:\n%s" A_GROUP, text);
		for (char *p = file; (p = strstr(p, "group: a")); p++)
			memcpy(p, "group: g", 8);
		help.config = help_read(file, strlen(file), &report);
		assert_int_equal(report.errors, 0);
		config_report_done(&report);
		help.table = route_table_new(help.config, &help.config->listeners[0], 0, why,
					     sizeof(why));
		assert_non_null(help.table);
		snprintf(name, sizeof(name), "n%u", order[0]);
		help_expect("h /s/m", name);
	}
}

struct trace_text {
	char text[512];
};

static void on_passed_over(void *ctx, const struct config_route *route, const char *condition)
{
	struct trace_text *trace = ctx;
	size_t len = strlen(trace->text);

	snprintf(trace->text + len, sizeof(trace->text) - len, "%s: %s|", route->name, condition);
}

static void the_trace_says_why_routes_were_passed_over(void **state)
{
	struct trace_text text = { 0 };
	struct route_trace trace = { .ctx = &text, .passed_over = on_passed_over };

	help_routes("  - {name: h, match: {host: x}, group: a}\n"
		    "  - {name: p, match: {path: /x/}, group: a}\n"
		    "  - {match: {metadata: [{key: x-a, present: true}, {key: x-b, absent: true}]}, "
		    "group: a}\n"
		    "  - {name: s, match: {source: 10.0.0.0/8}, group: a}\n"
		    "  - {name: n, match: {sni: x}, group: a}\n"
		    "  - {name: end, group: a}\n");
	help_call("h /s/m x-a=1 x-b=1");
	assert_string_equal(route_match(help.table, &help.facts, &trace)->config->name, "end");
	assert_string_equal(text.text, "h: host|p: path|route 3: metadata x-b|s: source|n: sni|");
}

/* ---- cost ---- */

static uint64_t cost_of(unsigned n, const char *line, const char *route)
{
	static char text[1 << 20];
	size_t len = 0;
	uint64_t before;

	for (unsigned i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"  - {name: m%u, match: {path: /pkg.S%u/M}, group: a}\n", i,
					i);
	snprintf(text + len, sizeof(text) - len, "  - {name: rest, group: b}\n");
	help_routes(text);
	help_call(line);
	before = help.table->checked;
	assert_string_equal(help_taken(), route);
	return help.table->checked - before;
}

static void a_thousand_methods_cost_what_ten_cost(void **state)
{
	uint64_t ten = cost_of(10, "h /pkg.S9/M", "m9");

	assert_int_equal(ten, 1);
	assert_int_equal(cost_of(1000, "h /pkg.S999/M", "m999"), ten);
	assert_int_equal(cost_of(1000, "h /pkg.S0/M", "m0"), ten);
	assert_int_equal(cost_of(1000, "h /pkg.S1000/M", "rest"), 0);
	assert_int_equal(cost_of(10, "h /pkg.S1000/M", "rest"), 0);
}

static void a_thousand_hosts_with_one_method_are_found_by_both(void **state)
{
	static char text[1 << 20];
	size_t len = 0;
	uint64_t before;

	for (unsigned i = 0; i < 1000; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"  - {name: t%u, match: {host: t%u.example, path: /p.S/}, "
					"group: a}\n",
					i, i);
	help_routes(text);
	help_call("t777.example:443 /p.S/M");
	before = help.table->checked;
	assert_string_equal(help_taken(), "t777");
	assert_int_equal(help.table->checked - before, 2); /* host and path */
}

/* ---- bounds ---- */

static void an_expression_that_explodes_counts_as_no_match(void **state)
{
	static char line[4000];

	help_routes("  - {name: bad, match: {metadata: [{key: x, regex: \"(a+)+b\"}]}, group: a}\n"
		    "  - {name: plain, match: {metadata: [{key: x, regex: \".*c\"}]}, group: a}\n"
		    "  - {name: rest, group: b}\n");
	memset(line, 'a', sizeof(line) - 1);
	memcpy(line, "h /s/m x=", 9);
	line[sizeof(line) - 3] = 'b';
	help_expect(line, "rest");
	line[sizeof(line) - 2] = 'c';
	help_expect(line, "plain");
	help_expect("h /s/m x=aaaab", "bad");
}

static void a_call_that_makes_many_explode_gets_no_route(void **state)
{
	static char line[8000], bad[80];
	size_t len = 0;

	memset(bad, 'a', sizeof(bad) - 1);
	memcpy(bad, " x=", 3);
	memcpy(bad + sizeof(bad) - 3, "ba", 2);
	help_routes("  - {name: bad, match: {metadata: [{key: x, regex: \"(a+)+b\"}]}, group: a}\n"
		    "  - {name: rest, group: b}\n");
	for (unsigned i = 0; i < 8; i++) {
		len = (size_t)snprintf(line, sizeof(line), "h /s/m");
		for (unsigned k = 0; k < i; k++)
			len += (size_t)snprintf(line + len, sizeof(line) - len, "%s", bad);
		snprintf(line + len, sizeof(line) - len, " x=aab");
		help_expect(line, "bad");
	}
	snprintf(line + len, sizeof(line) - len, "%s x=aab", bad);
	help_expect(line, "-");
	assert_true(route_match_gave_up(help.table));
	help_expect("h /s/m x=aab", "bad");
	assert_false(route_match_gave_up(help.table));
}

/* Or what comes behind them would get past expressions that refuse. */
static void a_call_with_too_many_values_for_expressions_gets_no_route(void **state)
{
	static char line[1000];
	size_t len = (size_t)snprintf(line, sizeof(line), "h /s/m y=ok");

	help_routes("  - {name: bad, match: {metadata: {key: x, regex: \".*bad.*\"}}, group: a}\n"
		    "  - {name: first, match: {metadata: {key: y, regex: \".*b.*\"}}, group: a}\n"
		    "  - {name: rest, group: b}\n");
	help_expect(line, "rest");
	for (unsigned i = 0; i < 60; i++)
		len += (size_t)snprintf(line + len, sizeof(line) - len, " x=v");
	help_expect(line, "rest");
	snprintf(line + len, sizeof(line) - len, " x=a_bad_one");
	help_expect(line, "bad");
	help_routes("  - {name: y, match: {metadata: {key: x, regex: [q, r]}}, group: a}\n"
		    "  - {name: bad, match: {metadata: {key: x, regex: \".*bad.*\"}}, group: a}\n"
		    "  - {name: rest, group: b}\n");
	help_expect(line, "-");
	assert_true(route_match_gave_up(help.table));
}

static void long_hosts_paths_and_values_are_no_trouble(void **state)
{
	static char line[4000];

	help_routes("  - {name: bin, match: {metadata: [{key: x-bin, prefix: AAAA}]}, group: a}\n"
		    "  - {name: both, match: {host: h, path: /s/m}, group: b}\n"
		    "  - {name: host, match: {host: \"*.example\"}, group: b}\n"
		    "  - {name: rest, group: b}\n");
	memset(line, 'a', sizeof(line) - 1);
	memcpy(line, "h /", 3);
	help_expect(line, "rest");
	memset(line, 'a', sizeof(line) - 1);
	memcpy(line + 3000, ".example /s/m", 14);
	help_expect(line, "rest");
	memset(line, 'A', sizeof(line) - 1);
	memcpy(line, "h /s/m x-bin=", 13);
	line[13 + 3984] = '\0';
	help_expect(line, "bin");
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hosts_match_whole_or_by_suffix),
		TEST(paths_match_by_method_service_prefix_and_expression),
		TEST(metadata_matches_in_every_way),
		TEST(binary_metadata_is_compared_decoded),
		TEST(sources_match_by_prefix),
		TEST(sni_and_certificate_names_match),
		TEST(all_conditions_of_a_route_must_hold),
		TEST(the_first_route_in_the_file_wins),
		TEST(the_trace_says_why_routes_were_passed_over),
		TEST(a_thousand_methods_cost_what_ten_cost),
		TEST(a_thousand_hosts_with_one_method_are_found_by_both),
		TEST(an_expression_that_explodes_counts_as_no_match),
		TEST(a_call_that_makes_many_explode_gets_no_route),
		TEST(a_call_with_too_many_values_for_expressions_gets_no_route),
		TEST(long_hosts_paths_and_values_are_no_trouble),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
