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
#include "proxy/request.h"
#include "proxy/stream.h"

#define FIELD(n, v) { (n), (v), sizeof(n) - 1, sizeof(v) - 1, false }

static struct stream stream;

static int setup(void **state)
{
	memset(&stream, 0, sizeof(stream));
	arena_init(&stream.arena, stream.arena_bytes, sizeof(stream.arena_bytes));
	return 0;
}

static int teardown(void **state)
{
	arena_done(&stream.arena);
	return 0;
}

/* "name: value|name: value|" of what was built. */
static const char *built(const struct h2_header *fields, size_t n, const char *client_ip)
{
	static char text[4096];
	size_t len = 0;

	assert_int_equal(request_build(&stream, fields, n, client_ip), 0);
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
	assert_string_equal(built(fields, n, "192.0.2.1"), all);
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

static void the_client_is_added_to_x_forwarded_for(void **state)
{
	static const struct h2_header fields[] = {
		FIELD("x-forwarded-for", "203.0.113.9"), FIELD("x-a", "1"),
		FIELD("x-forwarded-for", "10.0.0.1, 10.0.0.2"),
	};

	assert_string_equal(built(fields, 3, "2001:db8::7"),
			    "x-a: 1|x-forwarded-for: 203.0.113.9, 10.0.0.1, 10.0.0.2, 2001:db8::7|"
			    "x-forwarded-proto: https|");
}

static void x_forwarded_proto_is_ours_alone(void **state)
{
	static const struct h2_header fields[] = {
		FIELD("x-forwarded-proto", "http"), FIELD("x-forwarded-proto", "gopher"),
		FIELD("x-forwarded-port", "80"),
	};

	assert_builds(fields, 3, "x-forwarded-port: 80|");
}

static void the_timeout_can_be_written_anew(void **state)
{
	static const struct h2_header fields[] = { FIELD("x-a", "1"), FIELD("grpc-timeout", "10S"),
						   FIELD("x-b", "2") };

	assert_builds(fields, 3, "x-a: 1|grpc-timeout: 10S|x-b: 2|");
	assert_ptr_equal(stream.timeout_field, &stream.request.fields[1]);
}

static void what_must_not_be_indexed_stays_so(void **state)
{
	static const struct h2_header fields[] = {
		{ "authorization", "Bearer x", 13, 8, true }, FIELD("x-a", "1"),
	};

	built(fields, 2, "192.0.2.1");
	assert_true(stream.request.fields[0].sensitive);
	assert_false(stream.request.fields[1].sensitive);
}

/* The copies live in the stream, not in the connection's buffer. */
static void nothing_points_into_what_was_given(void **state)
{
	char *name = strdup("x-a"), *value = strdup("payload");
	struct h2_header field = { name, value, 3, 7, false };

	built(&field, 1, "192.0.2.1");
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
	assert_int_equal(request_build(&stream, fields, 16, "192.0.2.1"), 0);
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
		err = request_build(&stream, fields, 2, "192.0.2.1");
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
				      bad[] = { FIELD("grpc-timeout", "150") };
	struct request_facts facts = facts_of(good, 1);

	assert_true(facts.has_timeout && !facts.bad_timeout);
	assert_int_equal(facts.timeout_ns, 150000000);
	assert_true(facts_of(bad, 1).bad_timeout);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(order_repeated_and_binary_keys_are_kept),
		TEST(what_concerns_one_hop_only_is_left_out),
		TEST(the_client_is_added_to_x_forwarded_for),
		TEST(x_forwarded_proto_is_ours_alone),
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
