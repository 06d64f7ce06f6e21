/* SPDX-License-Identifier: MIT */
/*
 * duel.h - one frame to the gate and to the model, and the same demanded of both: verdict, action,
 * every byte, the event; at a world's end also all counters and clocks. random_world.h fills both
 * with the same rules, test_differential.c and test_gate_fuzz.c choose the frames.
 */
#ifndef SLUICE_SELFTESTS_DUEL_H
#define SLUICE_SELFTESTS_DUEL_H

/* test_differential_chain.c has the other object, under this one's name. */
#ifdef DUEL_CHAIN
#include "sluice/ports.h"
#include "sluice/trace.h"
#include "gate_chain.skel.h"
#define __GATE_BPF_SKEL_H__
#define gate_bpf		gate_chain_bpf
#define gate_bpf__open_and_load gate_chain_bpf__open_and_load
#define gate_bpf__destroy	gate_chain_bpf__destroy
#define DUEL_KEEPS_LENGTH true
#else
#define DUEL_KEEPS_LENGTH false
#endif

#include "gate_help.h"
#include "model_judge.h"
#include "random.h"

#define DUEL_CLOCK_SLACK_NS (2 * MODEL_SECOND_NS) /* between the clocks of both, on a busy machine */

struct duel {
	struct gate_bpf *gate;
	struct model model;
	uint64_t seed; /* of this world */
	uint64_t frames;
	uint32_t linear_max; /* so many bytes of a frame lie in its first page */
	struct sluice_verdict_count counted[VERDICT_MAX];
	uint64_t met[VERDICT_MAX]; /* in all worlds */
	struct model_oracle oracle;
	struct sluice_verdict_count *per_cpu;
	unsigned cpus;
	struct ring_buffer *ring;
	struct sluice_event event;
	unsigned n_events;
	struct model_bucket event_bucket;
	uint64_t events_limited;
};

static inline int duel_on_event(void *context, void *data, size_t bytes)
{
	struct duel *duel = context;

	if (bytes != sizeof(duel->event))
		return -EINVAL;
	memcpy(&duel->event, data, sizeof(duel->event));
	duel->n_events++;
	return 0;
}

/* How much of a frame XDP programs see at once here: the answer of a program that subtracts. */
static inline uint32_t duel_probe_linear(void)
{
	static uint8_t bytes[MODEL_FRAME_MAX];
	const struct bpf_insn insns[] = {
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 0, .src_reg = 1, .off = 4 },
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1, .off = 0 },
		{ .code = BPF_ALU64 | BPF_SUB | BPF_X, .dst_reg = 0, .src_reg = 2 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .prog_flags = BPF_F_XDP_HAS_FRAGS,
		    .expected_attach_type = BPF_XDP);
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = bytes, .data_size_in = sizeof(bytes));
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "linear", "GPL", insns, 4, &options);

	assert_true(fd >= 0);
	assert_int_equal(bpf_prog_test_run_opts(fd, &run), 0);
	close(fd);
	return run.retval;
}

static inline struct duel *duel_new(void)
{
	struct duel *duel = calloc(1, sizeof(*duel));

	assert_non_null(duel);
	duel->gate = gate_bpf__open_and_load();
	assert_non_null(duel->gate);
	duel->cpus = (unsigned)libbpf_num_possible_cpus();
	duel->per_cpu = calloc((size_t)duel->cpus * VERDICT_MAX, sizeof(*duel->per_cpu));
	assert_non_null(duel->per_cpu);
	duel->ring = ring_buffer__new(bpf_map__fd(duel->gate->maps.events), duel_on_event, duel, NULL);
	assert_non_null(duel->ring);
	duel->linear_max = duel_probe_linear();
	return duel;
}

static inline void duel_free(struct duel *duel)
{
	ring_buffer__free(duel->ring);
	gate_bpf__destroy(duel->gate);
	free(duel->per_cpu);
	free(duel);
}

static inline void duel_read_verdicts(struct duel *duel, struct sluice_verdict_count *counts)
{
	__u32 keys[VERDICT_MAX], n = VERDICT_MAX, next;

	/* -ENOENT: that was all. */
	if (bpf_map_lookup_batch(bpf_map__fd(duel->gate->maps.verdicts), NULL, &next, keys,
				 duel->per_cpu, &n, NULL) && errno != ENOENT)
		fail_msg("the verdicts cannot be read: %s", strerror(errno));
	assert_int_equal(n, VERDICT_MAX);
	memset(counts, 0, VERDICT_MAX * sizeof(*counts));
	for (__u32 i = 0; i < n; i++) {
		for (unsigned cpu = 0; cpu < duel->cpus; cpu++) {
			counts[keys[i]].packets += duel->per_cpu[i * duel->cpus + cpu].packets;
			counts[keys[i]].bytes += duel->per_cpu[i * duel->cpus + cpu].bytes;
		}
	}
}

static inline void duel_dump(const char *what, const uint8_t *bytes, uint32_t len)
{
	print_error("%s, %u bytes:", what, len);
	for (uint32_t i = 0; i < len && i < 256; i++)
		print_error("%s%02x", i % 16 ? " " : "\n  ", bytes[i]);
	print_error("%s\n", len > 256 ? " ..." : "");
}

/* Prints what was sent and why it is wrong, and ends the test. */
#define DUEL_FAIL(duel, bytes, len, ...)                                                           \
	do {                                                                                       \
		print_error(__VA_ARGS__);                                                          \
		print_error("\nframe %llu of the world SLUICE_SEED=%llu\n",                        \
			    (unsigned long long)(duel)->frames, (unsigned long long)(duel)->seed); \
		duel_dump("the frame", bytes, len);                                                \
		fail();                                                                            \
	} while (0)

static inline void duel_check_event(struct duel *duel, const struct model_answer *want,
				    const uint8_t *bytes, uint32_t len)
{
	const struct sluice_switches *on = &duel->model.on;
	const struct sluice_event *got = &duel->event;
	uint32_t snap = len < SLUICE_EVENT_SNAP ? len : SLUICE_EVENT_SNAP;
	unsigned wanted = 0;

	if (!on->events_mask)
		return; /* the ring is not even looked at */
	if (on->events_mask & (1ull << want->reason)) {
		wanted = model_take(&duel->event_bucket, now_ns(), on->events_interval_ns,
				    on->events_tolerance_ns);
		duel->events_limited += !wanted;
	}
	duel->n_events = 0;
	ring_buffer__consume(duel->ring);
	if (duel->n_events != wanted)
		DUEL_FAIL(duel, bytes, len, "%u events for %s, want %u", duel->n_events,
			  verdict_name(want->reason), wanted);
	if (!wanted)
		return;
	if (got->reason != want->reason || got->listener != want->listener ||
	    got->packet_bytes != len || got->snap_bytes != snap || memcmp(got->snap, bytes, snap) ||
	    got->known != (want->addresses_known | want->ports_known << 1))
		DUEL_FAIL(duel, bytes, len, "the event of %s is another: %s, listener %u (%u), "
			  "%u bytes, known %u, snap %s", verdict_name(want->reason),
			  verdict_name(got->reason), got->listener, want->listener,
			  got->packet_bytes, got->known,
			  memcmp(got->snap, bytes, snap) ? "not as it came" : "as it came");
	if (want->addresses_known &&
	    (got->ipv4 != want->tuple.ipv4 || memcmp(got->source, want->tuple.source, 16) ||
	     memcmp(got->destination, want->tuple.destination, 16)))
		DUEL_FAIL(duel, bytes, len, "the event has other addresses");
	if (want->ports_known && (ntohs(got->source_port) != want->tuple.source_port ||
				  ntohs(got->destination_port) != want->tuple.destination_port))
		DUEL_FAIL(duel, bytes, len, "the event has other ports");
}

/* The one verdict that was counted. */
static inline unsigned duel_verdict(struct duel *duel, const uint8_t *bytes, uint32_t len,
				    uint64_t *counted_bytes)
{
	struct sluice_verdict_count now[VERDICT_MAX];
	unsigned reason = VERDICT_MAX;

	duel_read_verdicts(duel, now);
	for (unsigned i = 0; i < VERDICT_MAX; i++) {
		uint64_t n = now[i].packets - duel->counted[i].packets;

		if (n && (n > 1 || reason != VERDICT_MAX))
			DUEL_FAIL(duel, bytes, len, "more than one verdict: %s and %s",
				  verdict_name(reason), verdict_name(i));
		if (n) {
			reason = i;
			*counted_bytes = now[i].bytes - duel->counted[i].bytes;
		}
	}
	memcpy(duel->counted, now, sizeof(now));
	return reason;
}

static inline void duel_note_cookie(struct duel *duel, const struct model_answer *answer)
{
	struct model_cookie *cookie = &duel->model.cookies[duel->model.n_cookies++ % MODEL_COOKIES];

	cookie->tuple = answer->tuple;
	cookie->cookie = model_get32(answer->bytes + answer->l4 + 4);
	cookie->mss_index = answer->mss_index;
	cookie->client_sequence = model_get32(answer->bytes + answer->l4 + 8) - 1;
}

/* Both sides get the frame. The model's answer stays in a buffer until the next one. */
static inline const struct model_answer *duel_frame(struct duel *duel, const uint8_t *bytes,
						    uint32_t len)
{
	static struct model_answer want;
	static uint8_t out[MODEL_FRAME_MAX + 64];
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = bytes, .data_size_in = len,
		    .data_out = out, .data_size_out = sizeof(out), .repeat = 1);
	uint32_t linear = len < duel->linear_max ? len : duel->linear_max;
	uint64_t counted_bytes = 0, now = now_ns();
	unsigned reason;

	duel->frames++;
	if (bpf_prog_test_run_opts(bpf_program__fd(duel->gate->progs.gate), &options))
		DUEL_FAIL(duel, bytes, len, "it cannot be run: %s", strerror(errno));
	reason = duel_verdict(duel, bytes, len, &counted_bytes);
	duel->oracle.reason = reason;
	model_judge(&duel->model, bytes, len, linear, now, &duel->oracle, &want);
	if (reason != want.reason || options.retval != want.action)
		DUEL_FAIL(duel, bytes, len, "the gate says %s (action %u), the model %s (%u)",
			  verdict_name(reason), options.retval, verdict_name(want.reason),
			  want.action);
	duel->met[reason]++;
	if (reason == VERDICT_COOKIE_SENT && options.data_size_out >= want.len) {
		model_put_cookie(&want, out, now_ns());
		duel_note_cookie(duel, &want);
	}
	if (options.data_size_out != want.len || memcmp(out, want.bytes, want.len)) {
		duel_dump("the gate's", out, options.data_size_out);
		duel_dump("the model's", want.bytes, want.len);
		DUEL_FAIL(duel, bytes, len, "%s, but with other bytes", verdict_name(reason));
	}
	/* Where the headers say that the packet ends in the first page, no more than that may be
	 * counted. */
	if (counted_bytes != (want.action == XDP_TX ? want.len : len) && counted_bytes != linear)
		DUEL_FAIL(duel, bytes, len, "%s counts %llu bytes", verdict_name(reason),
			  (unsigned long long)counted_bytes);
	duel_check_event(duel, &want, bytes, len);
	return &want;
}

/* What one bucket of the model's has to be as a clock of the gate's. */
static inline bool duel_same_clock(const struct model_bucket *bucket, uint64_t tat_ns)
{
	uint64_t want = bucket->filled_ns + bucket->level_ns;

	if (!bucket->used)
		return !tat_ns;
	return tat_ns + DUEL_CLOCK_SLACK_NS > want && tat_ns < want + DUEL_CLOCK_SLACK_NS;
}

#define DUEL_CHECK_STAT(stats, want, id, field)                                                    \
	do {                                                                                       \
		if ((stats).field != (want)->field)                                                \
			fail_msg("listener %u: " #field " is %llu, want %llu (SLUICE_SEED=%llu)",  \
				 id, (unsigned long long)(stats).field,                            \
				 (unsigned long long)(want)->field,                                \
				 (unsigned long long)duel->seed);                                  \
	} while (0)

static inline void duel_check_listener(struct duel *duel, __u32 id)
{
	const struct sluice_listener_stats *want = &duel->model.stats[id];
	struct sluice_listener_stats got = read_stats(duel->gate, id);
	struct sluice_listener_time times;

	DUEL_CHECK_STAT(got, want, id, packets);
	DUEL_CHECK_STAT(got, want, id, syns);
	DUEL_CHECK_STAT(got, want, id, passed);
	DUEL_CHECK_STAT(got, want, id, denied);
	DUEL_CHECK_STAT(got, want, id, source_limited);
	DUEL_CHECK_STAT(got, want, id, listener_limited);
	DUEL_CHECK_STAT(got, want, id, all_down);
	DUEL_CHECK_STAT(got, want, id, penalized);
	DUEL_CHECK_STAT(got, want, id, source_full);
	DUEL_CHECK_STAT(got, want, id, cookies);
	DUEL_CHECK_STAT(got, want, id, cookies_back);
	DUEL_CHECK_STAT(got, want, id, strays_limited);
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(duel->gate->maps.listener_times), &id,
					     &times), 0);
	if (!duel_same_clock(&duel->model.listener_buckets[id], times.tat_ns) ||
	    !duel_same_clock(&duel->model.cookie_meters[id], times.cookie_tat_ns))
		fail_msg("listener %u: other clocks (SLUICE_SEED=%llu)", id,
			 (unsigned long long)duel->seed);
}

/* sources or strays against the model's buckets; empties the map. */
static inline void duel_check_sources(struct duel *duel, const struct bpf_map *map, bool strays)
{
	unsigned want = strays ? duel->model.n_stray_buckets : duel->model.n_source_buckets, n = 0;
	struct sluice_source_key key; /* the longer of both */
	struct sluice_source value;

	while (!bpf_map_get_next_key(bpf_map__fd(map), NULL, &key)) {
		unsigned before = strays ? duel->model.n_stray_buckets :
					   duel->model.n_source_buckets;
		const struct model_bucket *bucket;

		assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(map), &key, &value), 0);
		assert_int_equal(bpf_map_delete_elem(bpf_map__fd(map), &key), 0);
		bucket = model_bucket(&duel->model, (uint8_t *)key.address,
				      strays ? MODEL_NONE : key.listener);
		if (before != (strays ? duel->model.n_stray_buckets : duel->model.n_source_buckets) ||
		    !duel_same_clock(bucket, value.tat_ns))
			fail_msg("another clock of a source (SLUICE_SEED=%llu)",
				 (unsigned long long)duel->seed);
		n++;
	}
	if (n != want)
		fail_msg("%u clocks of sources, want %u (SLUICE_SEED=%llu)", n, want,
			 (unsigned long long)duel->seed);
}

/* At a world's end. Empties sources, strays and penalties. */
static inline void duel_check_maps(struct duel *duel)
{
	struct sluice_penalty penalty;
	struct sluice_switches on;
	__u32 zero = 0;

	for (__u32 id = 0; id < 8; id++)
		duel_check_listener(duel, id);
	duel_check_sources(duel, duel->gate->maps.sources, false);
	duel_check_sources(duel, duel->gate->maps.strays, true);
	for (unsigned i = 0; i < duel->model.n_penalties; i++) {
		const struct model_penalty *want = &duel->model.penalties[i];
		int fd = bpf_map__fd(duel->gate->maps.penalties);

		assert_int_equal(bpf_map_lookup_elem(fd, want->source, &penalty), 0);
		assert_int_equal(penalty.dropped, want->row.dropped);
		assert_int_equal(bpf_map_delete_elem(fd, want->source), 0);
	}
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(duel->gate->maps.switches), &zero, &on), 0);
	assert_int_equal(on.events_limited, duel->events_limited);
	assert_int_equal(on.events_lost, 0);
}

#endif
