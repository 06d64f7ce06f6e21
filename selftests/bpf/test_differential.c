/* SPDX-License-Identifier: MIT */
/*
 * test_differential.c - the gate against the model of its rules: frames by chance through both, in
 * worlds whose maps are filled by chance, and the same verdict, action, bytes, events, counters
 * and clocks from both. SLUICE_SEED repeats a run (or the one world that a failure names),
 * SLUICE_PACKETS says how many frames: `make differential` sends a million.
 */
#include "random_world.h"

#ifndef FRAMES_IN_CHECK
#define FRAMES_IN_CHECK 400000
#endif
#define FRAMES_A_WORLD	2000

/*
 * The segment that ends the handshake of one of the cookies that were sent, now and then a bit
 * off.
 */
static void make_cookie_return(const struct model *model, struct random_frame *frame)
{
	unsigned n = model->n_cookies < MODEL_COOKIES ? model->n_cookies : MODEL_COOKIES;
	const struct model_cookie *cookie = &model->cookies[random_below(n)];
	uint8_t *tcp;

	random_frame_of(frame, &cookie->tuple, IPPROTO_TCP);
	tcp = frame->bytes + frame->l4;
	model_put32(tcp + 4, cookie->client_sequence + 1);
	model_put32(tcp + 8, cookie->cookie + 1);
	tcp[13] = random_chance(80) ? ACK : random_flags();
	if (random_chance(20))
		tcp[4 + random_below(8)] ^= (uint8_t)(1 << random_below(8));
	if (random_chance(5))
		random_damage(frame);
}

static void run_world(struct duel *duel, uint64_t seed, uint32_t frames)
{
	static struct random_frame frame;

	world_make(duel, seed);
	while (frames--) {
		if (duel->model.n_cookies && random_chance(10))
			make_cookie_return(&duel->model, &frame);
		else
			random_frame_make(&duel->model, &frame);
		duel_frame(duel, frame.bytes, frame.len);
		if (!random_below(1000))
			world_set_syncookies(&duel->model, random_below(3));
	}
	duel_check_maps(duel);
}

static void gate_and_model_agree_on_frames_by_chance(void **state)
{
	uint64_t seed = random_seed();
	uint64_t frames = random_setting("SLUICE_PACKETS", random_scaled(FRAMES_IN_CHECK));
	struct duel *duel = world_begin();
	uint64_t worlds = (frames + FRAMES_A_WORLD - 1) / FRAMES_A_WORLD;

	(void)state;
	print_message("SLUICE_SEED=%llu: %llu frames in %llu worlds\n", (unsigned long long)seed,
		      (unsigned long long)frames, (unsigned long long)worlds);
	for (uint64_t i = 0; i < worlds; i++)
		run_world(duel, seed + i, FRAMES_A_WORLD);
	/* A run of that length that never came to a rule has proved nothing about it. */
	for (unsigned i = 0; i < VERDICT_MAX; i++) {
		print_message("  %-26s %llu\n", verdict_name(i), (unsigned long long)duel->met[i]);
		if (frames >= FRAMES_IN_CHECK)
			assert_true(duel->met[i] >= frames / 10000);
	}
	duel_free(duel);
}

int main(void)
{
	static const char *const tools[] = { "ip", NULL };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gate_and_model_agree_on_frames_by_chance),
	};
	int failed;

	if (!bpf_is_allowed() || !world_enter(tools))
		return 77;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	world_leave();
	return failed;
}
