/* SPDX-License-Identifier: MIT */
/*
 * test_errors.c - the errors of errors.h that only an outage of memory or a full queue brings about,
 * word for word; the rest is produced end to end (test_errors_table.py).
 */
#include "proxy/relay_world.h"

#include <stdarg.h>

#include "fault.h"
#include "proxy/errors.h"

static int setup(void **state)
{
	relay_init(1);
	for (int i = 0; i < BACKENDS; i++)
		relay.backends[i].preset.may_fail = true;
	return 0;
}

__attribute__((format(printf, 4, 5))) static void
assert_answered(const struct record *record, int status, int http_status, const char *format, ...)
{
	char want[256] = "sluice: ";
	va_list args;

	va_start(args, format);
	vsnprintf(want + strlen(want), sizeof(want) - strlen(want), format, args);
	va_end(args);
	assert_string_equal(record->grpc_message, want);
	assert_int_equal(record->grpc_status, status);
	assert_true(http_status >= 400);
}

static void a_full_queue(void **state)
{
	struct pool_endpoint *endpoint;
	int32_t busy, waiting, refused;
	uint32_t n;

	relay.backend_options.max_streams = 1;
	relay_group()->max_connections = 1;
	relay_connect();
	busy = relay_call(10, "");
	RELAY_UNTIL(record_of(backend_side(0, 0), 1)->ended);
	waiting = relay_call(10, "");
	RELAY_UNTIL(relay.worker.stats->calls == 2);
	endpoint = relay.worker.pool.by_id[FIRST_BACKEND];
	assert_int_equal(endpoint->n_waiting, 1);
	n = endpoint->n_waiting;
	endpoint->n_waiting = POOL_WAITING_MAX;
	refused = relay_call(10, "");
	RELAY_UNTIL(call(refused)->closed);
	endpoint->n_waiting = n;
	assert_answered(call(refused), ERROR_QUEUE_FULL, "relay", endpoint->name);
	assert_false(call(busy)->closed || call(waiting)->closed);
}

static void buffers_over_their_memory(void **state)
{
	int32_t id;

	relay.worker.router->config->max_buffer_bytes = 20000;
	relay_connect();
	id = relay_call(200000, "");
	RELAY_UNTIL(call(id)->closed);
	assert_answered(call(id), ERROR_BUFFER_MEMORY);
}

static void a_listener_that_is_gone(void **state)
{
	int32_t id;

	relay_connect();
	list_first(&relay.worker.downstreams, struct downstream, link)->listener_id = 77;
	id = relay_call(10, "");
	RELAY_UNTIL(call(id)->closed);
	assert_answered(call(id), ERROR_LISTENER_GONE);
}

/* Metadata that needs memory of its own; some allocation on its way fails. Where there is memory for
 * an answer, this is it. */
static void memory_is_out(void **state)
{
	static char big[8000];
	struct h2_header fields[N_REQUEST_FIELDS + 1];
	unsigned n_told = 0;

	memset(big, '~', sizeof(big));
	memcpy(fields, request_fields, sizeof(request_fields));
	fields[N_REQUEST_FIELDS] = (struct h2_header){ "x-big", big, 5, sizeof(big), true };
	relay_connect();
	for (unsigned n = 0; n < 24; n++) {
		int32_t id;

		if (!relay.client->h2) { /* the connection itself could not go on */
			memset(relay.client, 0, sizeof(*relay.client));
			relay_connect();
		}
		id = h2_submit_request(relay.client->h2, fields, N_REQUEST_FIELDS + 1, true, &relay);
		assert_true(id > 0);
		fault_start(n);
		RELAY_FOR_MS(15);
		fault_stop();
		if (relay.client->h2 && !call(id)->closed)
			h2_reset(relay.client->h2, id, H2_CANCEL);
		RELAY_UNTIL(call(id)->closed || !relay.client->h2);
		if (call(id)->grpc_status == GRPC_RESOURCE_EXHAUSTED) {
			assert_answered(call(id), ERROR_NO_MEMORY);
			n_told++;
		}
	}
	assert_true(n_told > 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, relay_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_full_queue),
		TEST(buffers_over_their_memory),
		TEST(a_listener_that_is_gone),
		TEST(memory_is_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
