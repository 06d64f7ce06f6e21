/* SPDX-License-Identifier: MIT */
/*
 * health_target.c - see health_target.h: when a backend is checked, what the results make of it, and
 * its words in the maps. A word is written only where it changes, so that a hand edit by bpftool holds
 * until the facts next change. A health that is forced by command stands in the maps instead of the
 * verdict, which the checks go on making.
 */
#include "monitor/health_target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/tls.h"
#include "shared/eject.h"
#include "shared/health_text.h"

/* Lines a second of one backend. */
#define CHANGES_LOGGED 5

static uint64_t health_random(struct health *health)
{
	health->random ^= health->random << 13;
	health->random ^= health->random >> 7;
	health->random ^= health->random << 17;
	return health->random;
}

static struct sluice_backend *target_words(const struct target *target)
{
	return &target->health->state->backends[target->id];
}

static void store32_if_changed(__u32 *word, uint32_t value)
{
	if (state_load32(word) != value)
		state_store32(word, value);
}

static void add64(__u64 *word, uint64_t n)
{
	state_store64(word, state_load64(word) + n);
}

void health_store_live(struct health *health, uint32_t group)
{
	struct sluice_group *words = &health->state->groups[group];

	state_store32(&words->live, health->live[group]);
	state_store64(&words->changed_ns, loop_now(health->loop));
}

static bool target_is_forced(const struct target *target)
{
	return target->endpoint->forced != SLUICE_HEALTH_UNKNOWN;
}

enum sluice_health target_health(const struct target *target)
{
	return target_is_forced(target) ? target->endpoint->forced : target->verdict.health;
}

static void target_store_reason(struct target *target)
{
	const struct health_result forced = { SLUICE_REASON_FORCED, 0 };
	const struct health_result *why = target_is_forced(target) ? &forced : &target->failure;
	struct sluice_backend *words = target_words(target);

	store32_if_changed(&words->health_detail, why->detail);
	store32_if_changed(&words->health_reason, why->reason);
}

static void target_store_health(struct target *target)
{
	struct sluice_backend *words = target_words(target);
	enum sluice_health health = target_health(target);

	if (state_load32(&words->health) == health)
		return;
	/* It was down and is well: what it was ejected for is over too. */
	if (state_load32(&words->health) == SLUICE_HEALTH_DOWN)
		eject_lift(target->health->state, target->id, loop_now(target->health->loop));
	state_store64(&words->health_changed_ns, loop_now(target->health->loop));
	state_store32(&words->health, health);
	state_group_changed(target->health->state, target->group->id);
}

/* Brings the group's live count in line with the backend's health. */
static void target_count(struct target *target)
{
	bool live = target->counts && target_health(target) != SLUICE_HEALTH_DOWN;

	if (live == target->in_live)
		return;
	target->in_live = live;
	target->health->live[target->group->id] += live ? 1 : -1;
	health_store_live(target->health, target->group->id);
}

static void target_log(const struct target *target)
{
	const struct health_result *result = &target->failure;
	const struct health *health = target->health;
	char backend[ADDR_TEXT_MAX], reason[HEALTH_TEXT_MAX];
	uint32_t live = health->live[target->group->id];

	addr_format(&target->endpoint->address, backend, sizeof(backend));
	if (target->verdict.health == SLUICE_HEALTH_UP) {
		log_info("backend is up", F_STR("group", target->group->name),
			 F_STR("backend", backend), F_UINT("live", live));
		return;
	}
	health_reason_text(result->reason, result->detail, target->group->health_check.codes,
			   reason, sizeof(reason));
	if ((result->reason == SLUICE_REASON_GRPC_STATUS || result->reason == SLUICE_REASON_TLS) &&
	    target->probe.reply.message[0])
		log_warn("backend is down", F_STR("group", target->group->name),
			 F_STR("backend", backend), F_STR("reason", reason),
			 F_STR("message", target->probe.reply.message), F_UINT("live", live));
	else
		log_warn("backend is down", F_STR("group", target->group->name),
			 F_STR("backend", backend), F_STR("reason", reason), F_UINT("live", live));
}

/* Of a backend whose Watch changes its mind all the time not every word is written, but the last. */
static void target_log_change(struct target *target)
{
	struct health *health = target->health;

	target->unlogged = !log_limit_allow(&target->changes, loop_now(health->loop), CHANGES_LOGGED);
	if (!target->unlogged)
		target_log(target);
}

/* delay_ns counts from when the last check began. */
static void target_schedule(struct target *target, uint64_t delay_ns)
{
	uint64_t passed_ns = loop_now(target->health->loop) - target->started_ns;

	/* Cannot fail: the heap still has the place that the check's own timer has just left. */
	loop_timer_set(target->health->loop, &target->next,
		       delay_ns > passed_ns ? delay_ns - passed_ns : 0);
}

/* Takes a result in; told: the backend's own word. */
static void target_judge(struct target *target, const struct health_result *result, bool told)
{
	const struct config_health_check *check = &target->group->health_check;
	struct sluice_backend *words = target_words(target);
	bool ok = result->reason == SLUICE_REASON_NONE;

	add64(&words->checks, 1);
	target->failures = ok ? 0 : target->failures + 1;
	if (!ok) {
		add64(&words->checks_failed, 1);
		target->failure = *result;
		target_store_reason(target);
	}
	if (told ? health_verdict_told(&target->verdict, result) :
		   health_verdict_update(&target->verdict, result, check)) {
		add64(&words->health_changes, 1);
		target_store_health(target);
		target_count(target);
		target->unlogged = true;
	}
	if (target->unlogged)
		target_log_change(target);
}

static void target_log_local(const struct target *target, int err)
{
	struct health *health = target->health;

	if (log_limit_allow(&health->local_failures, loop_now(health->loop), 1))
		log_error("health check not made", F_STR("group", target->group->name), F_ERR(err));
}

static void on_done(struct probe *probe, enum probe_word word, struct health_result result)
{
	struct target *target = container_of(probe, struct target, probe);
	const struct config_health_check *check = &target->group->health_check;
	uint64_t now_ns = loop_now(target->health->loop);
	uint64_t random = health_random(target->health), delay_ns;

	delay_ns = check->interval_ms * NS_PER_MS;
	switch (word) {
	case PROBE_CHECKED:
		target_judge(target, &result, false);
		delay_ns = check->method == HEALTH_METHOD_WATCH && target->failures ?
				   health_watch_delay_ns(target->failures, check, random) :
				   health_next_delay_ns(&target->verdict, check, random);
		break;
	case PROBE_TOLD:
		target_judge(target, &result, true);
		target->started_ns = now_ns;
		break;
	case PROBE_ALIVE:
		add64(&target_words(target)->checks, 1);
		if (target->unlogged)
			target_log_change(target);
		break;
	case PROBE_AGAIN:
		/* Not as often as it likes to. */
		if (now_ns - target->again_ns > delay_ns)
			delay_ns = 0;
		target->again_ns = now_ns;
		break;
	case PROBE_LOCAL:
		target_log_local(target, (int)result.detail);
		break;
	}
	target_schedule(target, delay_ns);
}

static void on_next(struct loop_timer *timer)
{
	struct target *target = container_of(timer, struct target, next);
	const struct config_health_check *check = &target->group->health_check;

	if (probe_is_busy(&target->probe))
		return; /* its end sets the timer anew */
	target->started_ns = loop_now(target->health->loop);
	if (target->group->tls.enabled && !target->probe.tls && check->method != HEALTH_METHOD_TCP) {
		target_log_local(target, ENOMEM);
		target_schedule(target, check->interval_ms * NS_PER_MS);
		return;
	}
	probe_start(&target->probe);
}

struct target *target_new(struct health *health, const struct config_endpoint *endpoint)
{
	struct target *target = calloc(1, sizeof(*target));

	if (!target)
		return NULL;
	target->health = health;
	target->id = endpoint->id;
	target->generation = endpoint->generation;
	target->next.on_timer = on_next;
	probe_init(&target->probe, health->loop, on_done);
	return target;
}

void target_free(struct target *target)
{
	if (!target)
		return;
	loop_timer_cancel(target->health->loop, &target->next);
	probe_done(&target->probe);
	free(target);
}

/* The backend's own address and the configured name, both with the port that is asked; TLS as the
 * group's. */
static void target_address(struct target *target)
{
	const struct config_endpoint *endpoint = target->endpoint;
	const struct config_backend *backend = &target->group->backends[endpoint->backend];
	struct tls_context *tls = target->health->tls[target->group->id];
	struct addr to = endpoint->address;

	if (target->group->health_check.port)
		addr_set_port(&to, target->group->health_check.port);
	if (!addr_equal(&to, &target->probe.to) || tls != target->probe.tls) {
		probe_cancel(&target->probe);
		probe_disconnect(&target->probe);
	}
	target->probe.to = to;
	target->probe.tls = tls;
	target->probe.server_name = target->group->tls.server_name ? target->group->tls.server_name :
								     backend->host;
	if (target->group->health_check.authority)
		snprintf(target->probe.authority, sizeof(target->probe.authority), "%s",
			 target->group->health_check.authority);
	else if (backend->is_name)
		snprintf(target->probe.authority, sizeof(target->probe.authority), "%s:%u",
			 backend->host, addr_port(&to));
	else
		addr_format(&to, target->probe.authority, sizeof(target->probe.authority));
}

static bool same_question(const struct config_health_check *a, const struct config_health_check *b)
{
	const char *a_authority = a->authority ? a->authority : "";
	const char *b_authority = b->authority ? b->authority : "";

	return a->method == b->method && strcmp(a->path, b->path) == 0 &&
	       strcmp(a->service, b->service) == 0 && strcmp(a_authority, b_authority) == 0 &&
	       a->codes == b->codes && a->port == b->port && a->timeout_ms == b->timeout_ms;
}

void target_update(struct target *target, const struct config_group *group,
		   const struct config_endpoint *endpoint,
		   const struct config_health_check *old_check)
{
	const struct config_health_check *check = &group->health_check;
	bool probed = check->enabled && endpoint->weight > 0;
	struct health *health = target->health;

	target->group = group;
	target->endpoint = endpoint;
	target->probe.check = check;
	target_address(target);
	if (!probed) {
		loop_timer_cancel(health->loop, &target->next);
		probe_cancel(&target->probe);
		probe_disconnect(&target->probe);
		target->verdict = (struct health_verdict){
			.health = check->enabled ? SLUICE_HEALTH_UNKNOWN : SLUICE_HEALTH_UP,
		};
	} else if (!target->probed) {
		/* Newly asked for: nothing is known, unless verdict came from the maps. */
		if (old_check)
			target->verdict = (struct health_verdict){ 0 };
	} else if (!same_question(old_check, check)) {
		/* What is under way answers yesterday's question. */
		probe_cancel(&target->probe);
		loop_timer_set(health->loop, &target->next,
			       health_random(health) % (check->interval_ms * NS_PER_MS / 4));
	} else if (old_check->interval_ms != check->interval_ms && !probe_is_busy(&target->probe)) {
		loop_timer_set(health->loop, &target->next,
			       health_random(health) % (check->interval_ms * NS_PER_MS));
	}
	if (target->verdict.run >= check->unhealthy_threshold)
		target->verdict.run = 0;
	target->probed = probed;
	target->counts = endpoint->weight > 0 && !endpoint->drained;
	target_store_reason(target);
	target_store_health(target);
}

void target_adopt(struct target *target)
{
	const struct sluice_backend *words = target_words(target);
	uint32_t health = state_load32(&words->health);

	if (state_load32(&words->generation) != target->generation)
		return;
	/* What was forced says nothing of the backend. */
	if (state_load32(&words->health_reason) == SLUICE_REASON_FORCED)
		return;
	target->failure = (struct health_result){ state_load32(&words->health_reason),
						  state_load32(&words->health_detail) };
	if (state_load64(&words->health_changed_ns) != 0 &&
	    (health == SLUICE_HEALTH_UP || health == SLUICE_HEALTH_DOWN))
		target->verdict.health = health;
}
