/* SPDX-License-Identifier: MIT */
/*
 * outcome.c - see outcome.h. Counts what attempts came to, ejects at the group's consecutive_failures,
 * ends trials. Success rate and latency are judged by the monitor from the counts kept here.
 */
#include "proxy/outcome.h"

#include "base/log.h"
#include "proxy/pool.h"
#include "proxy/router.h"
#include "proxy/stream.h"
#include "proxy/worker.h"
#include "shared/eject.h"

/* For the way there and back, besides the mean. */
#define HASTY_NS (10 * NS_PER_MS)

void outcome_answered(struct stream *stream, const struct pool_endpoint *endpoint)
{
	struct worker *worker = stream->worker;
	uint64_t now_ns = loop_now(&worker->loop), passed_us;

	if (!stream->group->config->outlier.enabled || stream->attempt.latency_us)
		return;
	if (stream->attempt.trial)
		eject_trial_answered(&worker->state.backends[endpoint->id],
				     stream->attempt.started_ns, now_ns);
	passed_us = (now_ns - stream->attempt.started_ns) / 1000;
	stream->attempt.latency_us = passed_us < 1	    ? 1 :
				     passed_us < UINT32_MAX ? (uint32_t)passed_us :
							      UINT32_MAX;
}

/* A new ejection, whatever led to it. */
static void tell_ejected(struct stream *stream, const struct pool_endpoint *endpoint,
			 uint64_t duration_ns)
{
	const struct sluice_backend *row = &stream->worker->state.backends[endpoint->id];
	char reason[EJECT_TEXT_MAX];

	worker_count(&stream->worker->stats->ejections);
	eject_reason_text(state_load32(&row->eject_reason), state_load32(&row->eject_detail),
			  reason, sizeof(reason));
	log_warn("backend is ejected", F_STR("group", stream->group->config->name),
		 F_STR("backend", endpoint->name), F_STR("reason", reason),
		 F_UINT("for_ms", duration_ns / NS_PER_MS),
		 F_UINT("count", state_load32(&row->eject_count)));
}

static void trial_ended(struct stream *stream, const struct pool_endpoint *endpoint,
			enum eject_trial how)
{
	const struct sluice_backend *row = &stream->worker->state.backends[endpoint->id];
	const struct config_group *group = stream->group->config;
	uint64_t duration_ns;

	duration_ns = eject_trial_end(&stream->worker->state, group, endpoint->id,
				      stream->attempt.started_ns, how,
				      loop_now(&stream->worker->loop));
	stream->attempt.trial = false;
	/* A trial that was taken over by another changes nothing. */
	if (how == EJECT_TRIAL_GOOD && state_load32(&row->eject_state) == SLUICE_EJECT_NONE)
		log_info("backend is back after its trial call", F_STR("group", group->name),
			 F_STR("backend", endpoint->name));
	else if (duration_ns)
		tell_ejected(stream, endpoint, duration_ns);
}

static bool is_failure(const struct config_outlier *outlier, enum outcome how, int status)
{
	if (how == OUTCOME_LOST)
		return true;
	if (status < 0 || status > 31)
		status = GRPC_UNKNOWN;
	return outlier->codes >> status & 1;
}

/* Clients give up at their deadline, which is ours too, but for the way here: that it was the client
 * who ended the call does not make the backend any better. */
static bool is_at_deadline(const struct stream *stream)
{
	uint64_t whole_ns = stream->deadline_ns - stream->started_ns;
	uint64_t slack_ns = whole_ns / 16 + 5 * NS_PER_MS;

	return stream->deadline_ns &&
	       loop_now(&stream->worker->loop) + slack_ns >= stream->deadline_ns;
}

/* A client may set any deadline: one that leaves a backend less time than its good answers take on
 * average says nothing of it. Else a few calls with a nanosecond each would eject it. */
static bool is_hasty(const struct stream *stream, const struct sluice_backend *row)
{
	uint64_t passed_ns = loop_now(&stream->worker->loop) - stream->attempt.started_ns;
	uint64_t good = state_load64(&row->outcomes) - state_load64(&row->outcome_failures);
	uint64_t mean_us = good ? state_load64(&row->outcome_latency_us) / good : 0;

	return passed_ns < HASTY_NS + mean_us * 1000;
}

static void failed(struct stream *stream, const struct pool_endpoint *endpoint,
		   struct sluice_backend *row)
{
	const struct config_group *group = stream->group->config;
	uint32_t in_a_row = __atomic_add_fetch(&row->consecutive_failures, 1, __ATOMIC_RELAXED);
	uint64_t duration_ns;

	__atomic_fetch_add(&row->outcome_failures, 1, __ATOMIC_RELAXED);
	if (stream->attempt.trial) {
		trial_ended(stream, endpoint, EJECT_TRIAL_BAD);
		return;
	}
	if (!group->outlier.consecutive_failures || in_a_row < group->outlier.consecutive_failures)
		return;
	duration_ns = eject_backend(&stream->worker->state, group, endpoint->id,
				    SLUICE_EJECT_CONSECUTIVE, in_a_row,
				    loop_now(&stream->worker->loop));
	if (duration_ns)
		tell_ejected(stream, endpoint, duration_ns);
}

void outcome_ended(struct stream *stream, const struct pool_endpoint *endpoint, enum outcome how,
		   int grpc_status)
{
	const struct config_outlier *outlier = &stream->group->config->outlier;
	struct sluice_backend *row = &stream->worker->state.backends[endpoint->id];

	/* The id may be another backend's by now. */
	if (!outlier->enabled || state_load32(&row->generation) != endpoint->generation)
		return;
	if (how == OUTCOME_CANCELLED && grpc_status < 0 && !stream->attempt.latency_us &&
	    is_at_deadline(stream)) {
		how = OUTCOME_STATUS;
		grpc_status = GRPC_DEADLINE_EXCEEDED;
	}
	if (how == OUTCOME_STATUS && grpc_status == GRPC_DEADLINE_EXCEEDED &&
	    !stream->attempt.latency_us && is_hasty(stream, row))
		how = OUTCOME_CANCELLED;
	if (how == OUTCOME_CANCELLED) {
		if (stream->attempt.trial)
			trial_ended(stream, endpoint, EJECT_TRIAL_NOTHING);
		return;
	}
	__atomic_fetch_add(&row->outcomes, 1, __ATOMIC_RELAXED);
	if (is_failure(outlier, how, grpc_status)) {
		failed(stream, endpoint, row);
		return;
	}
	__atomic_fetch_add(&row->outcome_latency_us, stream->attempt.latency_us, __ATOMIC_RELAXED);
	/* Looking first: mostly there is nothing to write. */
	if (state_load32(&row->consecutive_failures))
		state_store32(&row->consecutive_failures, 0);
	if (stream->attempt.trial)
		trial_ended(stream, endpoint, EJECT_TRIAL_GOOD);
}
