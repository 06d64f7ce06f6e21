/* SPDX-License-Identifier: MIT */
/*
 * test_gate_fuzz.c - frames that nobody would send, through the gate and the model of its rules:
 * each field's every value, each length, then ever more damage for as long as one likes.
 * SLUICE_FUZZ_SECONDS says how long; with SLUICE_FUZZ_WHOLE=1 (`make fuzz-xdp`) the sweeps leave
 * nothing out. SLUICE_SEED repeats.
 */
#include "random_world.h"

#define SECONDS_IN_CHECK 5
#define FRAMES_A_WORLD	 2000
#define WORLDS_A_SWEEP	 2

static struct duel *duel;
static uint64_t seed;
static bool whole;
static uint32_t steps; /* a sweep's, at most */

/* The next value of a sweep: all of them, or about one in sixteen and the ends. */
static uint32_t next_value(uint32_t value, uint32_t last)
{
	uint32_t step = whole ? 1 : 1 + random_below(steps);

	return value < last && value + step > last ? last : value + step;
}

/* One to a listener, undamaged, with or without extras. */
static void make_whole(struct random_frame *frame, bool ipv4)
{
	struct model_tuple tuple;

	do
		random_tuple(&duel->model, &tuple);
	while (tuple.ipv4 != ipv4);
	random_frame_of(frame, &tuple, IPPROTO_TCP);
}

/* A world in which something can be sent to both families. */
static void make_world(void)
{
	static const char *const addresses[] = { "198.18.0.1", "fd00::1" };

	world_make(duel, seed++);
	for (int i = 0; i < 2; i++) {
		uint8_t address[16];

		random_parse_address(address, addresses[i]);
		world_put_listener(duel, address, 8443);
		duel->gate->bss->ports_without_address[8443 / 64] &= ~(1ull << 8443 % 64);
	}
	if (duel->gate->bss->ports.complete)
		world_copy_listeners(duel);
}

static void send_frame(const struct random_frame *frame)
{
	duel_frame(duel, frame->bytes, frame->len);
}

/* Runs a sweep over a frame of each family in some worlds. */
static void sweep(void (*over)(struct random_frame *frame, bool ipv4))
{
	static struct random_frame frame;

	for (int i = 0; i < WORLDS_A_SWEEP * 2; i++) {
		if (i % 2 == 0)
			make_world();
		memset(&frame, 0, sizeof(frame));
		make_whole(&frame, i % 2);
		over(&frame, i % 2);
		if (i % 2)
			duel_check_maps(duel);
	}
}

static void sweep_lengths(struct random_frame *frame, bool ipv4)
{
	uint32_t len = frame->len;

	for (frame->len = 14; frame->len <= len + 64; frame->len++)
		send_frame(frame);
	for (frame->len = len; frame->len <= 9018; frame->len = next_value(frame->len, 9018))
		send_frame(frame);
}

static void every_length(void **state)
{
	sweep(sweep_lengths);
}

static void sweep_field16(struct random_frame *frame, uint32_t at)
{
	uint32_t was = model_get16(frame->bytes + at);

	for (uint32_t value = 0; value <= 0xffff; value = next_value(value, 0xffff)) {
		model_put16(frame->bytes + at, value);
		send_frame(frame);
	}
	model_put16(frame->bytes + at, was);
}

static void sweep_ethertypes(struct random_frame *frame, bool ipv4)
{
	sweep_field16(frame, 12);
	sweep_field16(frame, frame->l3 - 2);
}

static void every_ethertype(void **state)
{
	sweep(sweep_ethertypes);
}

static void sweep_ip_lengths(struct random_frame *frame, bool ipv4)
{
	sweep_field16(frame, frame->l3 + (ipv4 ? 2 : 4));
}

static void every_ip_length(void **state)
{
	sweep(sweep_ip_lengths);
}

static void sweep_fragments(struct random_frame *frame, bool ipv4)
{
	uint32_t next = frame->l3 + 6;

	if (ipv4) {
		sweep_field16(frame, frame->l3 + 6);
		return;
	}
	/* A fragment header before all else: the rest moves. */
	memmove(frame->bytes + frame->l3 + 48, frame->bytes + frame->l3 + 40,
		frame->len - frame->l3 - 40);
	memset(frame->bytes + frame->l3 + 40, 0, 8);
	frame->bytes[frame->l3 + 40] = frame->bytes[next];
	frame->bytes[next] = IPPROTO_FRAGMENT;
	frame->len += 8;
	frame->l4 += 8;
	model_put16(frame->bytes + frame->l3 + 4, model_get16(frame->bytes + frame->l3 + 4) + 8);
	sweep_field16(frame, frame->l3 + 42);
}

static void every_fragment_field(void **state)
{
	sweep(sweep_fragments);
}

static void sweep_tcp(struct random_frame *frame, bool ipv4)
{
	sweep_field16(frame, frame->l4 + 12);
	frame->bytes[frame->l4 + 12] = 0x50;
	for (uint32_t flags = 0; flags < 256; flags++) {
		frame->bytes[frame->l4 + 13] = (uint8_t)flags;
		send_frame(frame);
	}
}

static void every_flag_and_header_length(void **state)
{
	sweep(sweep_tcp);
}

/* Each byte of the headers with each value. */
static void sweep_bytes(struct random_frame *frame, bool ipv4)
{
	uint32_t end = frame->l4 + 60 < 400 ? frame->l4 + 60 : 400;

	for (uint32_t at = 0; at < end && at < frame->len; at++) {
		uint8_t was = frame->bytes[at];

		for (uint32_t value = 0; value < 256; value = next_value(value, 255)) {
			frame->bytes[at] = (uint8_t)value;
			send_frame(frame);
		}
		frame->bytes[at] = was;
	}
}

static void every_byte_of_the_headers(void **state)
{
	sweep(sweep_bytes);
}

/* IPv6 headers of every kind in every depth, cut everywhere. */
static void sweep_chains(struct random_frame *frame, bool ipv4)
{
	static const uint8_t kinds[] = { IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_FRAGMENT,
					 IPPROTO_DSTOPTS, IPPROTO_AH, IPPROTO_ESP, IPPROTO_NONE,
					 IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6 };
	uint8_t *ip = frame->bytes + frame->l3;

	if (ipv4)
		return;
	for (uint32_t i = 0; i < (whole ? 20000u : (uint32_t)random_scaled(1000)); i++) {
		uint32_t n = random_below(11), len;

		ip[0] = 0x60;
		ip[6] = RANDOM_OF(kinds);
		for (uint32_t j = 0; j < n; j++) {
			ip[40 + 8 * j] = kinds[j + 1 == n ? IPPROTO_TCP : random_below(10)];
			memset(ip + 41 + 8 * j, 0, 7);
			if (random_chance(40))
				ip[43 + 8 * j] = (uint8_t)random_below(10);
		}
		ip[40 + 8 * n + 12] = 0x50;
		ip[40 + 8 * n + 13] = SYN;
		model_put16(ip + 4, random_chance(80) ? 8 * n + 20 : random_below(8 * n + 24));
		len = frame->len = frame->l3 + 40 + 8 * n + 20;
		send_frame(frame);
		for (int cuts = 0; cuts < 3; cuts++) {
			frame->len = len - random_below(8 * n + 21);
			send_frame(frame);
		}
	}
}

static void chains_of_extension_headers(void **state)
{
	sweep(sweep_chains);
}

/* Parts of one frame over, into or out of another. */
static void graft(struct random_frame *frame, const struct random_frame *other)
{
	uint32_t from = random_below(other->len), n = 1 + random_below(64);
	uint32_t at = random_below(frame->len < 200 ? frame->len : 200);

	if (from + n > other->len)
		n = other->len - from;
	switch (random_below(3)) {
	case 0:
		if (at + n <= frame->len)
			memcpy(frame->bytes + at, other->bytes + from, n);
		return;
	case 1:
		if (frame->len + n > MODEL_FRAME_MAX)
			return;
		memmove(frame->bytes + at + n, frame->bytes + at, frame->len - at);
		memcpy(frame->bytes + at, other->bytes + from, n);
		frame->len += n;
		return;
	default:
		if (at + n + 14 > frame->len)
			return;
		memmove(frame->bytes + at, frame->bytes + at + n, frame->len - at - n);
		frame->len -= n;
	}
}

static void ever_more_damage(void **state)
{
	static struct random_frame frames[2];
	uint64_t seconds = random_setting("SLUICE_FUZZ_SECONDS", SECONDS_IN_CHECK);
	uint64_t end_ns = now_ns() + seconds * MODEL_SECOND_NS, n = 0;

	while (now_ns() < end_ns) {
		make_world();
		random_frame_make(&duel->model, &frames[1]);
		for (int i = 0; i < FRAMES_A_WORLD; i++, n++) {
			struct random_frame *frame = &frames[i % 2];

			random_frame_make(&duel->model, frame);
			for (uint32_t j = random_below(6); j && frame->len > 30; j--) {
				if (random_chance(50))
					graft(frame, &frames[1 - i % 2]);
				else if (frame->l4 + 20 < frame->len)
					random_damage(frame);
			}
			if (frame->len > MODEL_FRAME_MAX - 256)
				frame->len = MODEL_FRAME_MAX - 256;
			send_frame(frame);
		}
		duel_check_maps(duel);
	}
	print_message("  %llu frames\n", (unsigned long long)n);
}

static int begin(void **state)
{
	seed = random_seed();
	whole = random_setting("SLUICE_FUZZ_WHOLE", 0);
	steps = 31 * 1000 / (uint32_t)random_scaled(1000);
	print_message("SLUICE_SEED=%llu\n", (unsigned long long)seed);
	duel = world_begin();
	return 0;
}

static int end(void **state)
{
	duel_free(duel);
	return 0;
}

int main(void)
{
	static const char *const tools[] = { "ip", NULL };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length),
		cmocka_unit_test(every_ethertype),
		cmocka_unit_test(every_ip_length),
		cmocka_unit_test(every_fragment_field),
		cmocka_unit_test(every_flag_and_header_length),
		cmocka_unit_test(every_byte_of_the_headers),
		cmocka_unit_test(chains_of_extension_headers),
		cmocka_unit_test(ever_more_damage),
	};
	int failed;

	if (!bpf_is_allowed() || !world_enter(tools))
		return 77;
	failed = cmocka_run_group_tests(tests, begin, end);
	world_leave();
	return failed;
}
