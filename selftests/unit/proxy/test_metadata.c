/* SPDX-License-Identifier: MIT */
/*
 * test_metadata.c - what routes change in metadata: the order of remove, set and add, values from the
 * call made safe, :authority and :path, trailers, and no memory.
 */
#include <errno.h>

#include "fault.h"
#include "proxy/downstream.h"
#include "proxy/metadata.h"
#include "proxy/pool.h"
#include "proxy/route_help.h"
#include "proxy/router.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

static struct worker worker;
static struct downstream client;
static struct router router;
static struct router_listener listener;
static struct router_group group;
static struct pool_endpoint endpoint;
static struct stream stream;
static struct stream_headers request;

static int setup(void **state)
{
	memset(&stream, 0, sizeof(stream));
	memset(&client, 0, sizeof(client));
	arena_init(&stream.arena, stream.arena_bytes, sizeof(stream.arena_bytes));
	stream.worker = &worker;
	stream.client = &client;
	stream.router = &router;
	addr_from_ip(&client.peer, "192.0.2.1", 5000);
	addr_format_ip(&client.peer, client.peer_ip, sizeof(client.peer_ip));
	stream.client_ip = client.peer_ip;
	return 0;
}

static int teardown(void **state)
{
	arena_done(&stream.arena);
	help_done();
	return 0;
}

/* The route that has these, and the stream on it. */
static void route_with(const char *actions)
{
	char text[8192];

	snprintf(text, sizeof(text), "  - {name: r1, group: a, %s}\n", actions);
	help_routes(text);
	router.config = help.config;
	router.listeners = &listener;
	listener.config = &help.config->listeners[0];
	client.listener_id = listener.config->id;
	group.config = &help.config->groups[0];
	stream.group = &group;
	stream.route = &help.table->routes[0].route;
}

/* A call in one line, as route_help.h has it; "_" in values becomes a space. */
static void call(const char *line)
{
	help_call(line);
	for (size_t i = 0; i < help.facts.n; i++)
		for (char *p = (char *)help.headers[i].value; *p; p++)
			*p = *p == '_' ? ' ' : *p;
	request = (struct stream_headers){ .fields = help.headers, .n = help.facts.n };
}

static const char *text_of(const struct stream_headers *headers)
{
	static char text[20000];
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < headers->n; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%.*s: %.*s|",
					(int)headers->fields[i].name_len, headers->fields[i].name,
					(int)headers->fields[i].value_len,
					headers->fields[i].value);
	return text;
}

static const char *edited(void)
{
	struct stream_headers headers = request;

	assert_int_equal(metadata_edit(stream.route->request, &stream, &headers, &request), 0);
	return text_of(&headers);
}

static void expect(const char *line, const char *want)
{
	call(line);
	assert_string_equal(edited(), want);
}

static void a_route_without_edits_has_none(void **state)
{
	route_with("match: {}");
	assert_null(stream.route->request);
	assert_null(stream.route->response);
}

static void keys_are_removed_set_and_added_in_this_order(void **state)
{
	route_with("request: {add: {x-a: added, x-c: c}, set: {x-a: set, x-b: b}, remove: [x-r, x-c]}");
	expect("h /s/m", ":authority: h|:path: /s/m|x-a: set|x-b: b|x-a: added|x-c: c|");
	expect("h /s/m x-a=1 x-r=1 x-k=1 x-a=2 x-r=2 x-c=3 x-b=4",
	       ":authority: h|:path: /s/m|x-k: 1|x-a: set|x-b: b|x-a: added|x-c: c|");
}

static void added_keys_leave_those_that_are_there(void **state)
{
	route_with("request: {add: {x-a: \"2\"}}");
	expect("h /s/m x-a=1", ":authority: h|:path: /s/m|x-a: 1|x-a: 2|");
}

static void variables_speak_of_the_call(void **state)
{
	route_with("request: {set: {x-1: \"{client.ip} {client.port}\", x-2: "
		    "\"{listener.name}{route.name}\", "
		   "x-3: \"{request.authority}|{request.path}|{request.header.x-u}\", x-4: \"{request.id}\", "
		   "x-5: \"{{{client.ip}}}\"}}");
	stream.request_id = "abc";
	expect("h /s/m x-u=me x-u=you",
	       ":authority: h|:path: /s/m|x-u: me|x-u: you|x-1: 192.0.2.1 5000|x-2: lr1|"
	       "x-3: h|/s/m|me|x-4: abc|x-5: {192.0.2.1}|");
	stream.request_id = NULL; /* none made: the client's, if it sent one */
	call("h /s/m x-request-id=own");
	assert_non_null(strstr(edited(), "x-4: own|"));
	stream.request_id = "abc";
	stream.client_ip = "203.0.113.7";
	expect("h /s/m", ":authority: h|:path: /s/m|x-1: 203.0.113.7|x-2: lr1|"
			 "x-3: h|/s/m||x-4: abc|x-5: {203.0.113.7}|");
}

static void what_variables_put_in_is_a_valid_value(void **state)
{
	static char line[6000];

	route_with("request: {set: {x-s: \"{request.header.x-u}\", x-p: \"<{request.header.x-u}>\"}}");
	expect("h /s/m x-u=\x01\x1f\x7f\xc3\xa9\tz",
	       ":authority: h|:path: /s/m|x-u: \x01\x1f\x7f\xc3\xa9\tz|x-s: ??????z|x-p: <??????z>|");
	expect("h /s/m x-u=__a_b__",
	       ":authority: h|:path: /s/m|x-u:   a b  |x-s: a b|x-p: <  a b  >|");
	/* Empty: left out, and what the client sent too. */
	expect("h /s/m x-s=forged", ":authority: h|:path: /s/m|x-p: <>|");
	expect("h /s/m x-s=forged x-u=___", ":authority: h|:path: /s/m|x-u:    |x-p: <   >|");
	/* Too long: none, rather than a part that may be another's name. */
	memset(line, 'u', sizeof(line) - 1);
	memcpy(line, "h /s/m x-u=", 11);
	line[11 + METADATA_VALUE_MAX] = '\0';
	call(line);
	assert_null(strstr(edited(), "x-p"));
	assert_non_null(strstr(edited(), "x-s"));
	line[11 + METADATA_VALUE_MAX] = 'u';
	line[12 + METADATA_VALUE_MAX] = '\0';
	call(line);
	assert_null(strstr(edited(), "x-s"));
}

static void constant_values_may_be_empty(void **state)
{
	route_with("request: {set: {x-s: \"\"}}");
	expect("h /s/m x-s=1", ":authority: h|:path: /s/m|x-s: |");
}

static void binary_values_go_out_as_base64(void **state)
{
	route_with("request: {set: {a-bin: hello, b-bin: \"{request.header.x-u}\"}}");
	expect("h /s/m x-u=\xff\xfe\xfd", ":authority: h|:path: /s/m|x-u: \xff\xfe\xfd|a-bin: "
		    "aGVsbG8|b-bin: //79|");
}

static void authority_and_path_are_rewritten(void **state)
{
	route_with("match: {path: {prefix: /}}, rewrite: {authority: "
		    "\"{request.header.x-t}.example\", prefix: /old/, to: /new.v1/}");
	expect("h /old/m x-t=a", ":authority: a.example|:path: /new.v1/m|x-t: a|");
	expect("h /older/m x-t=a", ":authority: a.example|:path: /older/m|x-t: a|");
	route_with("rewrite: {authority: \"{request.header.x-t}:80\"}");
	expect("h /s/m", ":authority: h|:path: /s/m|"); /* no host came out */
	route_with("match: {path: {prefix: /}}, rewrite: {authority: "
		    "\"{request.header.x-t}.example\", prefix: /old/, to: /new.v1/}");
	expect("- /old/ host=h x-t=a", ":authority: a.example|:path: /new.v1/|x-t: a|");
	expect("h /s/m host=h x-t=a/b", ":authority: h|:path: /s/m|host: h|x-t: a/b|");
	expect("h /s/m x-t=a@b", ":authority: h|:path: /s/m|x-t: a@b|");
	expect("h /s/m x-t=a_b", ":authority: h|:path: /s/m|x-t: a b|");
}

static void responses_know_the_backend(void **state)
{
	struct h2_header fields[] = { { ":status", "200", 7, 3, false },
				      { "x-internal", "1", 10, 1, false } };
	struct stream_headers response = { .fields = fields, .n = 2 }, trailers;

	route_with("response: {remove: [x-internal], set: {x-by: \"{backend.address} {group.name} "
		    "{request.path}\"}, add: {x-a: a}}");
	call("h /s/m");
	snprintf(endpoint.name, sizeof(endpoint.name), "192.0.2.9:50051");
	stream.endpoint = &endpoint;
	assert_int_equal(metadata_edit(stream.route->response, &stream, &response, &request), 0);
	assert_string_equal(text_of(&response),
			    ":status: 200|x-by: 192.0.2.9:50051 a /s/m|x-a: a|");

	struct h2_header ends[] = { { "grpc-status", "0", 11, 1, false },
				    { "x-internal", "1", 10, 1, false },
				    { "x-by", "me", 4, 2, false }, { "x-a", "b", 3, 1, false } };

	trailers = (struct stream_headers){ .fields = ends, .n = 4 };
	assert_int_equal(metadata_edit_trailers(stream.route->response, &stream, &trailers), 0);
	assert_string_equal(text_of(&trailers), "grpc-status: 0|x-a: b|");
	trailers = (struct stream_headers){ .fields = ends, .n = 1 };
	assert_int_equal(metadata_edit_trailers(stream.route->response, &stream, &trailers), 0);
	assert_ptr_equal(trailers.fields, ends); /* nothing to do, nothing done */
}

static void without_memory_it_says_so(void **state)
{
	static char line[3000];

	memset(line, 'u', sizeof(line) - 1);
	memcpy(line, "h /old/m x-u=", 13);
	route_with("match: {path: {prefix: /}}, request: {set: {x-s: \"{request.header.x-u}\"}}, "
		    "rewrite: {authority: x.example, prefix: /old/, to: /new/}");
	call(line);
	FAULT_EACH(n) {
		struct stream_headers headers = request;
		int err;

		arena_done(&stream.arena);
		arena_init(&stream.arena, stream.arena_bytes, 8); /* all else is malloced */
		fault_start(n);
		err = metadata_edit(stream.route->request, &stream, &headers, &request);
		fault_stop();
		assert_int_equal(err, fault_hit() ? -ENOMEM : 0);
		if (err)
			assert_ptr_equal(headers.fields, request.fields);
	}
}

static void without_memory_a_table_is_not_made(void **state)
{
	char why[160];

	help_routes("  - {match: {host: [h, \"*.i\"], path: [/s/m, /t/, {prefix: /u}], metadata: "
		    "[{key: x-bin, exact: AAAA}], source: 10.0.0.0/8}, groups: [{name: a, weight: 1}, "
		    "{name: b, weight: 1}], request: {set: {x-a: \"{client.ip}\"}}}\n"
		    "  - {match: {host: h, path: /s/m}, group: a, rewrite: {authority: x}}\n"
		    "  - {match: {host: h}, group: a}\n"
		    "  - {group: b}\n");
	FAULT_EACH(n) {
		struct route_table *table;

		fault_start(n);
		table = route_table_new(help.config, &help.config->listeners[0], 0, why,
					sizeof(why));
		fault_stop();
		if (fault_hit()) {
			assert_null(table);
			assert_string_equal(why, "no memory");
		} else {
			assert_non_null(table);
		}
		route_table_free(table);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_route_without_edits_has_none),
		TEST(keys_are_removed_set_and_added_in_this_order),
		TEST(added_keys_leave_those_that_are_there),
		TEST(variables_speak_of_the_call),
		TEST(what_variables_put_in_is_a_valid_value),
		TEST(constant_values_may_be_empty),
		TEST(binary_values_go_out_as_base64),
		TEST(authority_and_path_are_rewritten),
		TEST(responses_know_the_backend),
		TEST(without_memory_it_says_so),
		TEST(without_memory_a_table_is_not_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
