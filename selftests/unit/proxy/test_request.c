/* SPDX-License-Identifier: MIT */
/*
 * test_request.c - what sluice reads in a request's headers, and what it makes of them for the
 * backend.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cm.h"
#include "fault.h"
#include "proxy/downstream.h"
#include "proxy/request.h"
#include "proxy/route.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

#define FIELD(n, v) { (n), (v), sizeof(n) - 1, sizeof(v) - 1, false }

static struct worker worker;
static struct downstream client;
static struct config_listener listener;
static struct route route;
static struct stream stream;

static void come_from(const char *ip)
{
	assert_int_equal(addr_from_ip(&client.peer, ip, 5000), 0);
	addr_format_ip(&client.peer, client.peer_ip, sizeof(client.peer_ip));
}

static int setup(void **state)
{
	memset(&stream, 0, sizeof(stream));
	memset(&listener, 0, sizeof(listener));
	worker.random_state = 1;
	come_from("192.0.2.1");
	stream.worker = &worker;
	stream.client = &client;
	stream.route = &route;
	stream.grpc = true;
	arena_init(&stream.arena, stream.arena_bytes, sizeof(stream.arena_bytes));
	return 0;
}

static int teardown(void **state)
{
	arena_done(&stream.arena);
	return 0;
}

/* "name: value|name: value|" of what was built. */
static const char *built(const struct h2_header *fields, size_t n)
{
	static char text[4096];
	size_t len = 0;

	assert_int_equal(request_build(&stream, &listener, fields, n), 0);
	text[0] = '\0';
	for (size_t i = 0; i < stream.request.n; i++) {
		const struct h2_header *field = &stream.request.fields[i];

		len += (size_t)snprintf(text + len, sizeof(text) - len, "%.*s: %.*s|",
					(int)field->name_len, field->name, (int)field->value_len,
					field->value);
	}
	return text;
}

static const char tail[] = "x-forwarded-for: 192.0.2.1|x-forwarded-proto: https|";

static void assert_builds(const struct h2_header *fields, size_t n, const char *want)
{
	char all[4096];

	snprintf(all, sizeof(all), "%s%s", want, tail);
	assert_string_equal(built(fields, n), all);
}

static void order_repeated_and_binary_keys_are_kept(void **state)
{
	static const struct h2_header fields[] = {
		FIELD(":method", "POST"), FIELD(":scheme", "https"), FIELD(":path", "/a.B/C"),
		FIELD(":authority", "host:443"), FIELD("content-type", "application/grpc+proto"),
		FIELD("te", "trailers"), FIELD("x-a", "1"), FIELD("x-b-bin", "AAEC/w"),
		FIELD("x-a", "2"), FIELD("x-empty", ""), FIELD("x-a", "1"),
		FIELD("grpc-encoding", "gzip"),
	};

	assert_builds(fields, sizeof(fields) / sizeof(fields[0]),
		      ":method: POST|:scheme: http|:path: /a.B/C|:authority: host:443|"
		      "content-type: application/grpc+proto|te: trailers|x-a: 1|x-b-bin: AAEC/w|"
		      "x-a: 2|x-empty: |x-a: 1|grpc-encoding: gzip|");
}

static void what_concerns_one_hop_only_is_left_out(void **state)
{
	static const struct h2_header fields[] = {
		FIELD(":method", "POST"), FIELD("connection", "keep-alive, x-a"),
		FIELD("keep-alive", "5"), FIELD("proxy-connection", "x"),
		FIELD("transfer-encoding", "chunked"), FIELD("upgrade", "h2c"), FIELD("te", "gzip"),
		FIELD("te", "trailers, deflate"), FIELD("te", "trailers"), FIELD("connectio", "y"),
		FIELD("xe", "gzip"), FIELD("upgrades", "z"),
	};

	assert_builds(fields, sizeof(fields) / sizeof(fields[0]),
		      ":method: POST|te: trailers|connectio: y|xe: gzip|upgrades: z|");
}

static void there_is_one_host(void **state)
{
	static const struct h2_header both[] = { FIELD(":authority", "a"), FIELD(":path", "/s/m"),
						 FIELD("host", "b"), FIELD("hosts", "c") },
				      one[] = { FIELD(":path", "/s/m"), FIELD("host", "b") };

	assert_builds(both, 4, ":authority: a|:path: /s/m|hosts: c|");
	assert_builds(one, 2, ":path: /s/m|host: b|");
}

static void what_a_client_says_of_its_address_is_dropped(void **state)
{
	static const struct h2_header fields[] = {
		FIELD("x-forwarded-for", "203.0.113.9"), FIELD("x-a", "1"),
		FIELD("x-forwarded-for", "10.0.0.1, 10.0.0.2"), FIELD("x-forwarded-proto", "http"),
		FIELD("x-forwarded-proto", "gopher"), FIELD("x-forwarded-port", "80"),
		FIELD("sluice-mirror", "1"),
	};

	assert_builds(fields, 7, "x-a: 1|x-forwarded-port: 80|");
	assert_string_equal(stream.client_ip, "192.0.2.1");
	come_from("2001:db8::7");
	assert_string_equal(built(fields, 2),
			    "x-a: 1|x-forwarded-for: 2001:db8::7|x-forwarded-proto: https|");
}

static void expect_hops(uint32_t hops, const char *one, const char *two, const char *forwarded,
			const char *client_ip)
{
	const struct h2_header fields[] = {
		{ "x-forwarded-for", one, 15, (uint32_t)strlen(one), false },
		FIELD("x-forwarded-proto", "http"),
		{ "x-forwarded-for", two, 15, (uint32_t)strlen(two), false },
	};
	char want[256];

	snprintf(want, sizeof(want), "x-forwarded-for: %s|x-forwarded-proto: http|", forwarded);
	listener.trusted_hops = hops;
	stream.client_ip = NULL;
	assert_string_equal(built(fields, two[0] ? 3 : 2), want);
	assert_string_equal(stream.client_ip, client_ip);
}

static void trusted_hops_are_believed_and_no_one_before_them(void **state)
{
	expect_hops(1, "203.0.113.9", "", "203.0.113.9, 192.0.2.1", "203.0.113.9");
	expect_hops(1, "6.6.6.6, 203.0.113.9", "", "203.0.113.9, 192.0.2.1", "203.0.113.9");
	expect_hops(1, "6.6.6.6,203.0.113.9", "", "203.0.113.9, 192.0.2.1", "203.0.113.9");
	expect_hops(1, "6.6.6.6", "203.0.113.9", "203.0.113.9, 192.0.2.1", "203.0.113.9");
	expect_hops(2, "6.6.6.6, 203.0.113.9", "10.0.0.1", "203.0.113.9, 10.0.0.1, 192.0.2.1",
		    "203.0.113.9");
	expect_hops(2, "6.6.6.6", "203.0.113.9, 10.0.0.1", "203.0.113.9, 10.0.0.1, 192.0.2.1",
		    "203.0.113.9");
	expect_hops(3, "6.6.6.6", "203.0.113.9, 10.0.0.1",
		    "6.6.6.6, 203.0.113.9, 10.0.0.1, 192.0.2.1", "6.6.6.6");
	expect_hops(1, "[2001:db8::5]:4711", "", "[2001:db8::5]:4711, 192.0.2.1", "2001:db8::5");
	expect_hops(1, "203.0.113.9:99", "", "203.0.113.9:99, 192.0.2.1", "203.0.113.9");
	expect_hops(1, "[2001:db8::5]", "", "[2001:db8::5], 192.0.2.1", "2001:db8::5");
	/* Not through all of them, or no address: the connection's own counts. */
	expect_hops(3, "203.0.113.9, 10.0.0.1", "", "192.0.2.1", "192.0.2.1");
	expect_hops(1, "unknown", "", "unknown, 192.0.2.1", "192.0.2.1");
	expect_hops(1, "", "", ", 192.0.2.1", "192.0.2.1");
	expect_hops(1, "203.0.113.9,", "", ", 192.0.2.1", "192.0.2.1");
}

static void behind_trusted_hops_only_http_and_https_are_schemes(void **state)
{
	static const struct h2_header fields[] = { FIELD("x-forwarded-proto", "gopher") },
				      https[] = { FIELD("x-forwarded-proto", "http"),
						  FIELD("x-forwarded-proto", "https") };

	listener.trusted_hops = 1;
	assert_builds(fields, 1, "");
	assert_builds(https, 2, "");
	assert_builds(NULL, 0, "");
}

static const char *request_id_of(const struct h2_header *fields, size_t n)
{
	unsigned seen = 0;

	listener.request_id = true;
	built(fields, n);
	for (size_t i = 0; i < stream.request.n; i++)
		if (H2_HEADER_IS(&stream.request.fields[i], "x-request-id")) {
			seen++;
			assert_true(stream.request.fields[i].sensitive);
			assert_int_equal(stream.request.fields[i].value_len,
					 strlen(stream.request_id));
			assert_memory_equal(stream.request.fields[i].value, stream.request_id,
					    strlen(stream.request_id));
		}
	assert_int_equal(seen, 1);
	return stream.request_id;
}

static void a_request_without_an_id_gets_one_of_its_own(void **state)
{
	char first[33];

	snprintf(first, sizeof(first), "%s", request_id_of(NULL, 0));
	assert_int_equal(strlen(stream.request_id), 32);
	assert_int_equal(strspn(first, "0123456789abcdef"), 32);
	assert_string_not_equal(request_id_of(NULL, 0), first);
}

static void a_short_and_plain_id_of_the_clients_is_kept(void **state)
{
	static char longest[130];
	struct h2_header given = FIELD("x-request-id", "abc-123");
	const struct h2_header twice[] = { FIELD("x-request-id", "first"),
					   FIELD("x-request-id", "second") };

	assert_string_equal(request_id_of(&given, 1), "abc-123");
	assert_string_equal(request_id_of(twice, 2), "first");
	memset(longest, 'a', 129);
	given.value = longest;
	given.value_len = 128;
	assert_int_equal(strlen(request_id_of(&given, 1)), 128);
	given.value_len = 129;
	assert_int_equal(strlen(request_id_of(&given, 1)), 32);
	given.value = "two words";
	given.value_len = 9;
	assert_int_equal(strlen(request_id_of(&given, 1)), 32);
	given.value_len = 0;
	assert_int_equal(strlen(request_id_of(&given, 1)), 32);
}

static void where_ids_are_off_the_clients_go_through(void **state)
{
	static const struct h2_header fields[] = { FIELD("x-request-id", "two words"),
						   FIELD("x-request-id", "x") };

	assert_builds(fields, 2, "x-request-id: two words|x-request-id: x|");
	assert_null(stream.request_id);
}

static void trailers_cannot_say_what_headers_could_not(void **state)
{
	static const struct h2_header fields[] = {
		FIELD("x-forwarded-for", "6.6.6.6"), FIELD("x-a", "1"),
		FIELD("x-forwarded-proto", "http"), FIELD("x-request-id", "2"),
		FIELD("sluice-mirror", "1"),
	};

	assert_int_equal(request_trailers(&stream, fields, 5), 0);
	assert_int_equal(stream.up.trailers.n, 1);
	assert_memory_equal(stream.up.trailers.fields[0].name, "x-a", 3);
}

static void the_timeout_can_be_written_anew(void **state)
{
	static const struct h2_header fields[] = { FIELD("x-a", "1"), FIELD("grpc-timeout", "10S"),
						   FIELD("x-b", "2") },
				      several[] = { FIELD("grpc-timeout", "10S"), FIELD("x-a", "1"),
						    FIELD("grpc-timeout", "1S") };

	assert_builds(fields, 3, "x-a: 1|grpc-timeout: 10S|x-b: 2|");
	assert_ptr_equal(stream.timeout_field, &stream.request.fields[1]);
	/* One only, whatever a backend makes of several. */
	stream.timeout_field = NULL;
	assert_builds(several, 3, "grpc-timeout: 10S|x-a: 1|");
	assert_ptr_equal(stream.timeout_field, &stream.request.fields[0]);
}

static void what_must_not_be_indexed_stays_so(void **state)
{
	static const struct h2_header fields[] = {
		{ "authorization", "Bearer x", 13, 8, true }, FIELD("x-a", "1"),
	};

	built(fields, 2);
	assert_true(stream.request.fields[0].sensitive);
	assert_false(stream.request.fields[1].sensitive);
}

/* The copies live in the stream, not in the connection's buffer. */
static void nothing_points_into_what_was_given(void **state)
{
	char *name = strdup("x-a"), *value = strdup("payload");
	struct h2_header field = { name, value, 3, 7, false };

	built(&field, 1);
	free(name);
	free(value);
	assert_memory_equal(stream.request.fields[0].name, "x-a", 3);
	assert_memory_equal(stream.request.fields[0].value, "payload", 7);
}

static void many_large_fields_fit(void **state)
{
	static char big[4000];
	struct h2_header fields[16];

	memset(big, 'v', sizeof(big));
	for (int i = 0; i < 16; i++)
		fields[i] = (struct h2_header){ "x-forwarded-for", big, 15, sizeof(big), false };
	listener.trusted_hops = 16;
	assert_int_equal(request_build(&stream, &listener, fields, 16), 0);
	assert_int_equal(stream.request.n, 2);
	assert_int_equal(stream.request.fields[0].value_len, 16 * 4002 + 9);
}

static void without_memory_it_says_so(void **state)
{
	static char big[4000];
	const struct h2_header fields[] = { { "x-a", big, 3, sizeof(big), false },
					    { "x-forwarded-for", big, 15, sizeof(big), false } };

	memset(big, 'v', sizeof(big));
	FAULT_EACH(n) {
		int err;

		teardown(state);
		setup(state);
		fault_start(n);
		listener.request_id = true;
		listener.trusted_hops = 1;
		err = request_build(&stream, &listener, fields, 2);
		fault_stop();
		assert_int_equal(err, fault_hit() ? -ENOMEM : 0);
	}
}

static struct request_facts facts_of(const struct h2_header *fields, size_t n)
{
	struct request_facts facts;

	memset(&facts, 0xff, sizeof(facts));
	request_read(&facts, fields, n);
	return facts;
}

static void grpc_is_a_post_with_its_content_type(void **state)
{
	static const struct h2_header post = FIELD(":method", "POST"), get = FIELD(":method", "GET"),
				      type = FIELD("content-type", "application/grpc"),
				      web = FIELD("content-type", "application/grpc-web"),
				      json = FIELD("content-type", "application/json");
	const struct h2_header both[] = { post, type }, wrong_method[] = { get, type },
			       wrong_type[] = { post, json }, wrong_grpc[] = { post, web };

	assert_true(facts_of(both, 2).grpc);
	assert_false(facts_of(both, 1).grpc);
	assert_false(facts_of(wrong_method, 2).grpc);
	assert_false(facts_of(wrong_type, 2).grpc);
	assert_false(facts_of(wrong_grpc, 2).grpc);
	assert_false(facts_of(both, 2).has_timeout);
}

static void the_timeout_is_read_and_a_malformed_one_is_told(void **state)
{
	static const struct h2_header good[] = { FIELD("grpc-timeout", "150m") },
				      bad[] = { FIELD("grpc-timeout", "150") },
				      several[] = { FIELD("grpc-timeout", "99999999H"),
						    FIELD("grpc-timeout", "150m"),
						    FIELD("grpc-timeout", "1S") },
				      mixed[] = { FIELD("grpc-timeout", "150"),
						  FIELD("grpc-timeout", "150m") };
	struct request_facts facts = facts_of(good, 1);

	assert_true(facts.has_timeout && !facts.bad_timeout);
	assert_int_equal(facts.timeout_ns, 150000000);
	assert_true(facts_of(bad, 1).bad_timeout);
	facts = facts_of(several, 3);
	assert_int_equal(facts.timeout_ns, 150000000);
	assert_true(facts.has_timeout && !facts.bad_timeout);
	assert_true(facts_of(mixed, 2).bad_timeout);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(order_repeated_and_binary_keys_are_kept),
		TEST(what_concerns_one_hop_only_is_left_out),
		TEST(there_is_one_host),
		TEST(what_a_client_says_of_its_address_is_dropped),
		TEST(trusted_hops_are_believed_and_no_one_before_them),
		TEST(behind_trusted_hops_only_http_and_https_are_schemes),
		TEST(a_request_without_an_id_gets_one_of_its_own),
		TEST(a_short_and_plain_id_of_the_clients_is_kept),
		TEST(where_ids_are_off_the_clients_go_through),
		TEST(trailers_cannot_say_what_headers_could_not),
		TEST(the_timeout_can_be_written_anew),
		TEST(what_must_not_be_indexed_stays_so),
		TEST(nothing_points_into_what_was_given),
		TEST(many_large_fields_fit),
		TEST(without_memory_it_says_so),
		cmocka_unit_test(grpc_is_a_post_with_its_content_type),
		cmocka_unit_test(the_timeout_is_read_and_a_malformed_one_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
