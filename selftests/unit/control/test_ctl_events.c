/* SPDX-License-Identifier: MIT */
/*
 * test_ctl_events.c - what `events` and `capture` are made of: verdicts by name, durations, blocks of a
 * pcapng file. Includes the .c files: sluicectl's own sources are in no library.
 */
#include "ctl/duration.c"
#include "ctl/listen.c"
#include "ctl/pcapng.c"

#include <sys/socket.h>

#include "cm.h"


const char *ctl_option(const struct ctl *ctl, const char *name)
{
	for (int i = ctl->n_options; i-- > 0;)
		if (!strcmp(ctl->options[i].name, name))
			return ctl->options[i].value;
	return NULL;
}

static int peer = -1; /* the daemon's end */

int client_open(const struct ctl *ctl, json_t *request, char why[CLIENT_WHY_MAX])
{
	int pair[2];

	json_decref(request);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	peer = pair[1];
	return pair[0];
}

/* ---- verdicts ---- */

static int parse(const char *text, uint64_t *mask)
{
	struct ctl ctl = { .n_options = 1, .options = { { "reason", text } } };
	struct listen listen = { 0 };
	int ret = listen_options(&ctl, &listen);

	*mask = listen.mask;
	return ret;
}

static void verdicts_are_named_listed_and_begun(void **state)
{
	uint64_t mask;

	(void)state;
	assert_int_equal(parse("drop_acl", &mask), CTL_OK);
	assert_int_equal(mask, 1ull << VERDICT_DROP_ACL);
	assert_int_equal(parse("drop_acl,pass_new", &mask), CTL_OK);
	assert_int_equal(mask, 1ull << VERDICT_DROP_ACL | 1ull << VERDICT_PASS_NEW);
	assert_int_equal(parse("all", &mask), CTL_OK);
	assert_int_equal(mask, (1ull << VERDICT_MAX) - 1);
	assert_int_equal(parse("drop_*", &mask), CTL_OK);
	assert_int_equal(mask, listen_mask_drops());
	assert_true(mask & 1ull << VERDICT_DROP_STRAY_LIMIT);
	assert_false(mask & 1ull << VERDICT_RESET_ALL_DOWN);
	for (unsigned i = 0; i < VERDICT_MAX; i++)
		assert_int_equal(listen_reason(listen_reasons[i]), i);
	assert_int_equal(listen_reason("drop"), VERDICT_MAX);
	assert_int_equal(listen_reason(NULL), VERDICT_MAX);
}

static void other_names_are_refused(void **state)
{
	static const char *const wrong[] = { "", "drop", "drop_acl,", ",drop_acl", "x*",
					     "DROP_ACL", "alle", "drop_acl pass_new" };
	uint64_t mask;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(parse(wrong[i], &mask), CTL_USAGE);
}

static void durations_have_a_unit_and_a_bound(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms; /* 0: refused */
	} cases[] = {
		{ "1ms", 1 },	   { "60s", 60000 }, { "10m", 600000 }, { "24h", 86400000 },
		{ "86400s", 86400000 }, { "25h", 0 }, { "0s", 0 },	{ "1", 0 },
		{ "-1s", 0 },	   { "1d", 0 },	     { "", 0 },		{ "s", 0 },
		{ " 1s", 0 },	   { "99999999999999999999s", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t ms = 0;

		assert_int_equal(duration_parse(cases[i].text, &ms), cases[i].ms ? 0 : -EINVAL);
		assert_int_equal(ms, cases[i].ms);
	}
}

/* ---- lines ---- */

struct heard {
	unsigned events;
	char last[64];
};

static int on_event(void *context, const json_t *event, const char *line)
{
	struct heard *heard = context;

	heard->events++;
	snprintf(heard->last, sizeof(heard->last), "%s",
		 json_string_value(json_object_get(event, "reason")));
	return 0;
}

/* Sends text to a reader in pieces; what the last listen_read answered. */
static int feed(struct listen *listen, const char *text, size_t piece)
{
	struct ctl ctl = { 0 };
	struct listen_reader *reader = listen_start(&ctl, listen);
	int ret = 0;

	assert_non_null(reader);
	for (size_t at = 0; text[at] && !ret; at += piece) {
		size_t len = strnlen(text + at, piece);

		assert_int_equal(write(peer, text + at, len), len);
		ret = listen_read(reader);
		if (len < piece)
			break;
	}
	close(peer);
	if (!ret)
		ret = listen_read(reader); /* the end */
	listen_stop(reader);
	return ret;
}

static void lines_come_whole_however_they_are_cut(void **state)
{
	static const char text[] = "{\"listening\":[]}\n{\"reason\":\"drop_acl\"}\n"
				   "{\"lost\":{\"limited\":3,\"ring_full\":2,\"slow\":1}}\n"
				   "{\"reason\":\"pass_new\"}\n"
				   "{\"lost\":{\"limited\":4,\"ring_full\":0,\"slow\":0}}\n{\"rea";

	(void)state;
	for (size_t piece = 1; piece < sizeof(text); piece += 3) {
		struct heard heard = { 0 };
		struct listen listen = { .on_event = on_event, .context = &heard };

		assert_int_equal(feed(&listen, text, piece), -ECONNRESET);
		assert_int_equal(heard.events, 2);
		assert_int_equal(listen.events, 2);
		assert_string_equal(heard.last, "pass_new");
		assert_int_equal(listen.limited, 7);
		assert_int_equal(listen.ring_full, 2);
		assert_int_equal(listen.slow, 1);
		assert_string_equal(listen.why, "sluiced closed the connection");
	}
}

static void a_refusal_and_nonsense_end_it_with_the_reason(void **state)
{
	struct heard heard = { 0 };
	struct listen listen = { .on_event = on_event, .context = &heard };

	(void)state;
	assert_int_equal(feed(&listen, "{\"error\":\"as many as may\"}\n", 100), -EPROTO);
	assert_string_equal(listen.why, "as many as may");
	assert_int_equal(feed(&listen, "<html>\n", 100), -EPROTO);
	assert_non_null(strstr(listen.why, "not JSON"));
	char *endless = malloc(LINES_BYTES + 1);

	memset(endless, 'x', LINES_BYTES);
	endless[LINES_BYTES] = '\0';
	assert_int_equal(feed(&listen, endless, 4096), -EPROTO);
	assert_non_null(strstr(listen.why, "too long"));
	free(endless);
	assert_int_equal(heard.events, 0);
}

static void it_ends_at_the_count(void **state)
{
	struct heard heard = { 0 };
	struct listen listen = { .on_event = on_event, .context = &heard, .count = 2 };

	(void)state;
	assert_true(feed(&listen, "{\"reason\":\"a\"}\n{\"reason\":\"b\"}\n{\"reason\":\"c\"}\n",
			 1000) > 0);
	assert_string_equal(heard.last, "b");
}

/* ---- pcapng ---- */

static uint32_t word(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static void blocks_are_whole_and_name_each_interface_once(void **state)
{
	static const uint8_t frame[SLUICE_EVENT_SNAP] = { 1, 2, 3 };
	struct pcapng_packet packet = {
		.ifindex = 7, .interface = "eth0", .bytes = frame, .comment = "drop_acl: x",
		.time_ns = 0x1122334455667788,
	};
	uint32_t kinds[256] = { 0 };
	struct pcapng pcapng;
	size_t size, at;
	char *bytes;
	FILE *file = open_memstream(&bytes, &size);

	(void)state;
	assert_int_equal(pcapng_begin(&pcapng, file, "test"), 0);
	for (uint32_t len = 0; len <= SLUICE_EVENT_SNAP; len++) {
		packet.len = len;
		packet.wire_bytes = len + 1;
		packet.ifindex = 7 + len % 2;
		packet.interface = len % 2 ? NULL : "eth0";
		assert_int_equal(pcapng_write(&pcapng, &packet), 0);
	}
	packet.len = SLUICE_EVENT_SNAP + 1;
	assert_int_equal(pcapng_write(&pcapng, &packet), -EMSGSIZE);
	pcapng_done(&pcapng);
	fclose(file);
	for (at = 0; at < size; at += word((uint8_t *)bytes + at + 4)) {
		const uint8_t *block = (uint8_t *)bytes + at;
		uint32_t len = word(block + 4);

		assert_true(len % 4 == 0 && len >= 12 && at + len <= size);
		assert_int_equal(word(block + len - 4), len);
		kinds[block[0]]++;
		if (word(block) != BLOCK_PACKET)
			continue;
		assert_int_equal(word(block + 12), 0x11223344);
		assert_int_equal(word(block + 16), 0x55667788);
		assert_int_equal(word(block + 20) + 1, word(block + 24));
		assert_memory_equal(block + 28, frame, word(block + 20));
	}
	assert_int_equal(at, size);
	assert_int_equal(kinds[BLOCK_SECTION & 0xff], 1);
	assert_int_equal(kinds[BLOCK_INTERFACE], 2);
	assert_int_equal(kinds[BLOCK_PACKET], SLUICE_EVENT_SNAP + 1);
	assert_non_null(memmem(bytes, size, "if8", 4));
	free(bytes);
}

static void a_full_disk_is_an_error(void **state)
{
	FILE *file = fopen("/dev/full", "w");
	struct pcapng pcapng;

	(void)state;
	setvbuf(file, NULL, _IONBF, 0);
	assert_int_equal(pcapng_begin(&pcapng, file, "test"), -ENOSPC);
	pcapng_done(&pcapng);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts_are_named_listed_and_begun),
		cmocka_unit_test(other_names_are_refused),
		cmocka_unit_test(durations_have_a_unit_and_a_bound),
		cmocka_unit_test(lines_come_whole_however_they_are_cut),
		cmocka_unit_test(a_refusal_and_nonsense_end_it_with_the_reason),
		cmocka_unit_test(it_ends_at_the_count),
		cmocka_unit_test(blocks_are_whole_and_name_each_interface_once),
		cmocka_unit_test(a_full_disk_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
