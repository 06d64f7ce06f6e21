/* SPDX-License-Identifier: MIT */
/*
 * penalties.c - see penalties.h. What workers say is taken as a claim: a penalty that the configuration
 * would not give is not given. Nothing here is on the path of a packet or a call, and everything is
 * bounded by PENALTIES_MAX.
 */
#include "control/penalties.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/bpf_loader_penalties.h"
#include "control/supervisor.h"
#include "shared/sources.h"

#define HEADS	  65536u
#define NONE	  UINT32_MAX
#define CAP_FIRST 64
#define LOGS_A_SECOND 20
/* Of so many drawn by lot, the one that ends first makes room. */
#define DRAWS 16

static struct supervisor *supervisor_of(const struct penalties *penalties)
{
	return penalties->supervisor;
}

static struct state *state_of(const struct penalties *penalties)
{
	return &supervisor_of(penalties)->state;
}

static uint64_t now_of(const struct penalties *penalties)
{
	return loop_now(&supervisor_of(penalties)->loop);
}

/* ---- the table ---- */

static uint32_t *head_of(const struct penalties *penalties, const uint32_t source[4])
{
	uint64_t hash = source_hash(source, state_of(penalties)->switches->hash_key);

	return &penalties->heads[hash % HEADS];
}

static uint32_t find(const struct penalties *penalties, const uint32_t source[4])
{
	uint32_t at = penalties->heads ? *head_of(penalties, source) : 0;

	while (at && memcmp(penalties->rows[at - 1].source, source, 16))
		at = penalties->rows[at - 1].next;
	return at ? at - 1 : NONE;
}

/* What points to a row. */
static uint32_t *link_of(struct penalties *penalties, uint32_t row)
{
	uint32_t *link = head_of(penalties, penalties->rows[row].source);

	while (*link != row + 1)
		link = &penalties->rows[*link - 1].next;
	return link;
}

static void take_out(struct penalties *penalties, uint32_t row)
{
	uint32_t last = penalties->n - 1;

	*link_of(penalties, row) = penalties->rows[row].next;
	if (row != last) {
		*link_of(penalties, last) = row + 1;
		penalties->rows[row] = penalties->rows[last];
	}
	penalties->n--;
}

static int grow(struct penalties *penalties)
{
	uint32_t cap = penalties->cap ? penalties->cap * 2 : CAP_FIRST;
	struct penalty *rows;

	if (!penalties->heads)
		penalties->heads = calloc(HEADS, sizeof(*penalties->heads));
	if (!penalties->heads)
		return -ENOMEM;
	if (penalties->n < penalties->cap)
		return 0;
	rows = realloc(penalties->rows, cap * sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	penalties->rows = rows;
	penalties->cap = cap;
	return 0;
}

/* A new row for a source that has none; NONE: no memory. */
static uint32_t put_in(struct penalties *penalties, const uint32_t source[4])
{
	struct penalty *penalty;
	uint32_t *head;

	if (grow(penalties))
		return NONE;
	penalty = &penalties->rows[penalties->n];
	memset(penalty, 0, sizeof(*penalty));
	memcpy(penalty->source, source, sizeof(penalty->source));
	head = head_of(penalties, source);
	penalty->next = *head;
	*head = ++penalties->n;
	return penalties->n - 1;
}

/* ---- what others go by ---- */

static void raise_hints(struct penalties *penalties, const struct penalty *penalty)
{
	struct sluice_switches *switches = state_of(penalties)->switches;

	if (penalty->until_ns > state_load64(&switches->penalties_until_ns))
		state_store64(&switches->penalties_until_ns, penalty->until_ns);
	if (penalty->level == SLUICE_PENALTY_PACKETS &&
	    penalty->until_ns > state_load64(&switches->packets_until_ns))
		state_store64(&switches->packets_until_ns, penalty->until_ns);
}

/* Where there is none any more, XDP looks nothing up. */
static void lower_hints(struct penalties *penalties)
{
	struct sluice_switches *switches = state_of(penalties)->switches;
	uint64_t all_ns = 0, packets_ns = 0;

	for (uint32_t i = 0; i < penalties->n; i++) {
		const struct penalty *penalty = &penalties->rows[i];

		if (penalty->until_ns > all_ns)
			all_ns = penalty->until_ns;
		if (penalty->level == SLUICE_PENALTY_PACKETS && penalty->until_ns > packets_ns)
			packets_ns = penalty->until_ns;
	}
	state_store64(&switches->penalties_until_ns, all_ns);
	state_store64(&switches->packets_until_ns, packets_ns);
}

static int tell_xdp(struct penalties *penalties, const struct penalty *penalty)
{
	const struct sluice_penalty value = {
		.until_ns = penalty->until_ns,
		.since_ns = penalty->since_ns,
		.level = penalty->level,
		.reason = penalty->reason,
	};
	struct bpf *bpf = supervisor_of(penalties)->kernel.bpf;

	return bpf ? bpf_penalty_set(bpf, penalty->source, &value) : 0;
}

static void end_one(struct penalties *penalties, uint32_t row)
{
	struct bpf *bpf = supervisor_of(penalties)->kernel.bpf;

	if (bpf)
		bpf_penalty_del(bpf, penalties->rows[row].source);
	take_out(penalties, row);
}

/* xorshift64: what is drawn matters to nobody. */
static uint32_t draw(struct penalties *penalties, uint32_t below)
{
	uint64_t x = penalties->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	penalties->random = x;
	return (uint32_t)(x >> 32) % below;
}

static void make_room(struct penalties *penalties)
{
	uint32_t victim = draw(penalties, penalties->n);

	for (int i = 1; i < DRAWS; i++) {
		uint32_t other = draw(penalties, penalties->n);

		if (penalties->rows[other].until_ns < penalties->rows[victim].until_ns)
			victim = other;
	}
	source_pardon(state_of(penalties), penalties->rows[victim].source);
	end_one(penalties, victim);
	penalties->pushed_out++;
}

static void log_new(struct penalties *penalties, const struct penalty *penalty)
{
	char text[ADDR_TEXT_MAX];

	if (!log_limit_allow(&penalties->log_limit, now_of(penalties), LOGS_A_SECOND))
		return;
	log_warn("source under a penalty",
		 F_STR("source", source_format(state_of(penalties), penalty->source, text,
					       sizeof(text))),
		 F_STR("reason", source_evidence_name(penalty->reason)),
		 F_STR("level", source_level_name(penalty->level)),
		 F_UINT("for_ms", (penalty->until_ns - penalty->since_ns) / NS_PER_MS),
		 F_UINT("count", penalty->count));
}

/* Enters wanted, or lets it lengthen and raise the one that holds. 0 or -errno. */
static int enter(struct penalties *penalties, const struct penalty *wanted)
{
	uint32_t row = find(penalties, wanted->source);
	struct penalty *penalty;
	int err;

	if (row == NONE && penalties->n >= PENALTIES_MAX)
		make_room(penalties);
	if (row == NONE)
		row = put_in(penalties, wanted->source);
	if (row == NONE)
		return -ENOMEM;
	penalty = &penalties->rows[row];
	if (penalty->until_ns <= wanted->since_ns) { /* a new one, or one that is over */
		penalty->since_ns = wanted->since_ns;
		penalty->level = 0;
	}
	if (wanted->until_ns > penalty->until_ns)
		penalty->until_ns = wanted->until_ns;
	if (wanted->level > penalty->level)
		penalty->level = wanted->level;
	penalty->reason = wanted->reason;
	penalty->count = wanted->count;
	err = tell_xdp(penalties, penalty);
	raise_hints(penalties, penalty);
	if (err && log_limit_allow(&penalties->log_limit, now_of(penalties), LOGS_A_SECOND))
		log_error("cannot put a penalty into the maps", F_ERR(err));
	return err;
}

/* ---- evidence ---- */

/* What a worker may have given by the configuration in force; false: not this. */
static bool is_plausible(const struct penalties *penalties, struct penalty *penalty)
{
	const struct config_kernel *kernel = &supervisor_of(penalties)->current.config->kernel;
	uint64_t latest_ns = penalty->since_ns + kernel->penalties.max_ms * NS_PER_MS;
	const struct state *state = state_of(penalties);
	struct addr first;
	uint32_t source[4];

	if (!kernel->penalties.enabled || penalty->until_ns <= penalty->since_ns ||
	    !penalty->reason || penalty->reason >= SLUICE_EVIDENCE_BY_HAND)
		return false;
	addr_from_mapped(&first, (const uint8_t *)penalty->source, 0);
	source_of_addr(state, &first, source);
	if (memcmp(source, penalty->source, sizeof(source)) ||
	    source_is_exempt(state, &kernel->penalties, source))
		return false;
	if (penalty->until_ns > latest_ns)
		penalty->until_ns = latest_ns;
	if (penalty->level != SLUICE_PENALTY_PACKETS)
		penalty->level = SLUICE_PENALTY_CONNECTIONS;
	return true;
}

static void look_at(struct penalties *penalties, uint32_t row)
{
	const struct sluice_source_state *source = source_at(state_of(penalties), row);
	struct penalty wanted = { .since_ns = now_of(penalties) };
	uint32_t known;

	if (!source || !source_is_penalized(source, wanted.since_ns))
		return;
	memcpy(wanted.source, source->address, sizeof(wanted.source));
	wanted.until_ns = state_load64(&source->penalized_until_ns);
	wanted.level = state_load32(&source->penalty_level);
	wanted.reason = state_load32(&source->reason);
	wanted.count = state_load32(&source->penalty_count);
	known = find(penalties, wanted.source);
	if (known != NONE && penalties->rows[known].until_ns >= wanted.until_ns)
		return;
	if (!is_plausible(penalties, &wanted)) {
		source_pardon(state_of(penalties), wanted.source);
		return;
	}
	if (enter(penalties, &wanted))
		return;
	penalties->given[wanted.reason]++;
	log_new(penalties, &wanted);
}

void penalties_on_message(struct penalties *penalties, const struct channel_penalized *message)
{
	loop_refresh(&supervisor_of(penalties)->loop);
	if (message->row == CHANNEL_PENALIZED_SOME)
		penalties->some_untold = true;
	else
		look_at(penalties, message->row);
}

/* The whole table is looked at once a second at most, whatever workers say. */
static void look_at_all(struct penalties *penalties)
{
	penalties->some_untold = false;
	for (uint32_t row = 0; row < SOURCES_MAX; row++)
		if (state_load64(&source_at(state_of(penalties), row)->penalized_until_ns))
			look_at(penalties, row);
}

/* ---- by command ---- */

int penalties_penalize(struct penalties *penalties, const struct addr *addr, uint64_t for_ns,
		       enum sluice_penalty_level level)
{
	const struct config_kernel *kernel = &supervisor_of(penalties)->current.config->kernel;
	uint64_t now_ns = now_of(penalties);
	struct penalty wanted = {
		.level = level,
		.reason = SLUICE_EVIDENCE_BY_HAND,
		.count = 1,
		.since_ns = now_ns,
		.until_ns = now_ns + for_ns,
	};
	uint32_t known;
	int err, row_err;

	source_of_addr(state_of(penalties), addr, wanted.source);
	if (source_is_exempt(state_of(penalties), &kernel->penalties, wanted.source))
		return -EPERM;
	known = find(penalties, wanted.source);
	if (known != NONE) /* what the operator says replaces what was */
		end_one(penalties, known);
	err = enter(penalties, &wanted);
	if (err)
		return err;
	row_err = source_penalize(state_of(penalties), wanted.source, wanted.until_ns, level,
				  SLUICE_EVIDENCE_BY_HAND, now_ns);
	/* XDP keeps it out all the same; what it has open stays open. */
	if (row_err && !supervisor_of(penalties)->kernel.bpf) {
		end_one(penalties, find(penalties, wanted.source));
		lower_hints(penalties);
		return row_err;
	}
	penalties->given[SLUICE_EVIDENCE_BY_HAND]++;
	log_new(penalties, &wanted);
	return 0;
}

int penalties_pardon(struct penalties *penalties, const struct addr *addr)
{
	char text[ADDR_TEXT_MAX];
	uint32_t source[4], row;
	int err;

	source_of_addr(state_of(penalties), addr, source);
	err = source_pardon(state_of(penalties), source);
	if (err)
		return err;
	row = find(penalties, source);
	if (row == NONE)
		return -ENOENT;
	end_one(penalties, row);
	lower_hints(penalties);
	log_info("source pardoned by command",
		 F_STR("source", source_format(state_of(penalties), source, text, sizeof(text))));
	return 0;
}

static uint32_t end_where(struct penalties *penalties,
			  bool (*wanted)(const struct penalties *penalties,
					 const struct penalty *penalty))
{
	uint32_t ended = 0;

	/* The last row takes the place of one that goes, so backwards. */
	for (uint32_t row = penalties->n; row-- > 0;) {
		if (wanted && wanted(penalties, &penalties->rows[row]))
			continue;
		source_pardon(state_of(penalties), penalties->rows[row].source);
		end_one(penalties, row);
		ended++;
	}
	if (ended)
		lower_hints(penalties);
	return ended;
}

uint32_t penalties_pardon_all(struct penalties *penalties)
{
	uint32_t n = end_where(penalties, NULL);

	log_info("all sources pardoned by command", F_UINT("sources", n));
	return n;
}

uint64_t penalties_dropped(const struct penalties *penalties, const struct penalty *penalty)
{
	const struct bpf *bpf = supervisor_of(penalties)->kernel.bpf;
	struct sluice_penalty value;

	return bpf && !bpf_penalty_get(bpf, penalty->source, &value) ? value.dropped : 0;
}

/* ---- life ---- */

void penalties_init(struct supervisor *supervisor)
{
	supervisor->penalties = (struct penalties){ .supervisor = supervisor,
						    .random = 0x9e3779b97f4a7c15ull };
}

void penalties_done(struct penalties *penalties)
{
	free(penalties->rows);
	free(penalties->heads);
	penalties->rows = NULL;
	penalties->heads = NULL;
	penalties->n = penalties->cap = 0;
}

static void adopt_one(void *ctx, const uint32_t source[4], const struct sluice_penalty *value)
{
	struct penalties *penalties = ctx;
	struct penalty wanted = {
		.level = value->level,
		.reason = value->reason,
		.count = 1,
		.since_ns = value->since_ns,
		.until_ns = value->until_ns,
	};
	struct addr first;

	addr_from_mapped(&first, (const uint8_t *)source, 0);
	source_of_addr(state_of(penalties), &first, wanted.source);
	/* Of other prefixes, or over. */
	if (memcmp(wanted.source, source, sizeof(wanted.source)) ||
	    value->until_ns <= now_of(penalties) || enter(penalties, &wanted))
		bpf_penalty_del(supervisor_of(penalties)->kernel.bpf, source);
	else
		source_penalize(state_of(penalties), source, value->until_ns, value->level,
				value->reason, now_of(penalties));
}

void penalties_adopt(struct penalties *penalties, const struct config *config)
{
	struct bpf *bpf = supervisor_of(penalties)->kernel.bpf;

	if (penalties->adopted)
		return;
	penalties->adopted = true;
	penalties->v4_prefix = config->kernel.source_v4_prefix;
	penalties->v6_prefix = config->kernel.source_v6_prefix;
	if (bpf)
		bpf_penalty_each(bpf, adopt_one, penalties);
	if (penalties->n)
		log_info("penalties of an earlier run hold", F_UINT("sources", penalties->n));
}

static bool still_wanted(const struct penalties *penalties, const struct penalty *penalty)
{
	const struct config_penalties *config =
		&supervisor_of(penalties)->current.config->kernel.penalties;

	if (source_is_exempt(state_of(penalties), config, penalty->source))
		return false;
	return config->enabled || penalty->reason == SLUICE_EVIDENCE_BY_HAND;
}

static bool none_wanted(const struct penalties *penalties, const struct penalty *penalty)
{
	return false;
}

void penalties_configure(struct penalties *penalties, const struct config *config)
{
	const struct config_kernel *kernel = &config->kernel;
	bool renamed = penalties->v4_prefix != kernel->source_v4_prefix ||
		       penalties->v6_prefix != kernel->source_v6_prefix;
	uint32_t ended;

	/* Under other prefixes these would be other sources. */
	ended = end_where(penalties, renamed ? none_wanted : still_wanted);
	penalties->v4_prefix = kernel->source_v4_prefix;
	penalties->v6_prefix = kernel->source_v6_prefix;
	if (ended)
		log_info("penalties ended by the new configuration", F_UINT("sources", ended));
}

void penalties_sweep(struct penalties *penalties, uint64_t now_ns)
{
	bool any = false;

	if (penalties->some_untold)
		look_at_all(penalties);
	for (uint32_t row = penalties->n; row-- > 0;) {
		if (penalties->rows[row].until_ns > now_ns)
			continue;
		end_one(penalties, row);
		any = true;
	}
	if (any)
		lower_hints(penalties);
}
