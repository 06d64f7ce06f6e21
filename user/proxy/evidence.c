/* SPDX-License-Identifier: MIT */
/*
 * evidence.c - see evidence.h. Judges nothing itself: points and penalties are shared/penalty_points.c's.
 * A penalty is in force for this node when its row says so; the supervisor is told so that XDP has it
 * too, and never waited for.
 */
#include "proxy/evidence.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/downstream.h"
#include "proxy/tls.h"
#include "proxy/worker.h"
#include "shared/channel.h"

/* Calls are told at once where the last ones were told so long ago, and wait for others else. */
#define TELL_NS		  (1 * NS_PER_S)
#define OVER_LIMIT_BUNDLE 16
/* Thousandths of what ends a connection: who cancels a few calls and goes has done nothing. Else one that
 * begins anew just before that limit would reset streams for ever. */
#define RESETS_OWED_MIN 250

static const struct config_kernel *kernel_of(const struct worker *worker)
{
	return &worker->router->config->kernel;
}

static uint64_t now_of(const struct worker *worker)
{
	return loop_now(&worker->loop);
}

/* ---- penalties ---- */

static void tell(struct worker *worker, uint32_t row)
{
	const struct channel_penalized message = { .row = row };
	int err = channel_try_send(worker->channel_io.fd, CHANNEL_PENALIZED, &message,
				   sizeof(message));

	worker->penalty_untold = err == -EAGAIN;
}

/* By its row, or by its address where it has none. */
static bool is_penalized(const struct worker *worker, const struct downstream *downstream)
{
	uint32_t row = downstream->source;

	if (row == SOURCE_NONE) {
		uint32_t source[4];

		source_of_addr(&worker->state, &downstream->peer, source);
		row = source_find(&worker->state, source);
	}
	return row != SOURCE_NONE &&
	       source_is_penalized(source_at(&worker->state, row), now_of(worker));
}

static void enforce(struct worker *worker)
{
	struct downstream *downstream, *next;

	list_for_each_safe(downstream, next, &worker->downstreams, link) {
		if (!is_penalized(worker, downstream))
			continue;
		worker_count(&worker->stats->penalized_closed);
		downstream_expel(downstream);
	}
}

void evidence_heartbeat(struct worker *worker)
{
	uint32_t epoch = __atomic_load_n(&worker->state.switches->penalty_epoch, __ATOMIC_ACQUIRE);

	if (worker->penalty_untold)
		tell(worker, CHANNEL_PENALIZED_SOME);
	if (epoch == worker->penalty_epoch)
		return;
	worker->penalty_epoch = epoch;
	enforce(worker);
}

/* ---- connections ---- */

/* Of a source that is not wanted: nothing is owed to it, not even TIME_WAIT. */
static void refuse(int fd)
{
	const struct linger reset = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
}

bool evidence_admit(struct worker *worker, int fd, const struct addr *peer, uint32_t *ret_source)
{
	struct sluice_worker *stats = worker->stats;
	uint32_t source[4], row;

	*ret_source = SOURCE_NONE;
	if (!worker->counts_sources) {
		/* Penalties by command need no configuration. */
		if (state_load64(&worker->state.switches->penalties_until_ns) <= now_of(worker))
			return true;
		source_of_addr(&worker->state, peer, source);
		row = source_find(&worker->state, source);
		if (row == SOURCE_NONE ||
		    !source_is_penalized(source_at(&worker->state, row), now_of(worker)))
			return true;
		worker_count(&stats->penalized_refused);
		refuse(fd);
		return false;
	}
	source_of_addr(&worker->state, peer, source);
	switch (source_open(&worker->state, worker->slot, source,
			    kernel_of(worker)->source_connections, now_of(worker), ret_source)) {
	case SOURCE_OPEN_COUNTED:
		return true;
	case SOURCE_OPEN_UNTRACKED:
		worker_count(&stats->sources_untracked);
		return true;
	case SOURCE_OPEN_FULL:
		worker_count(&stats->source_full);
		break;
	case SOURCE_OPEN_PENALIZED:
		worker_count(&stats->penalized_refused);
		break;
	}
	refuse(fd);
	return false;
}

void evidence_leave(struct downstream *downstream)
{
	struct worker *worker = downstream->worker;

	if (downstream->source == SOURCE_NONE)
		return;
	evidence_flush(downstream);
	source_close(&worker->state, worker->slot, downstream->source);
	downstream->source = SOURCE_NONE;
}

void evidence_configure(struct worker *worker)
{
	const struct config_kernel *kernel = kernel_of(worker);
	uint8_t v4 = kernel->source_v4_prefix, v6 = kernel->source_v6_prefix;
	bool counts = kernel->penalties.enabled || kernel->source_connections;
	struct downstream *downstream;
	uint32_t source[4];

	if (counts == worker->counts_sources &&
	    (!counts || (v4 == worker->source_v4_prefix && v6 == worker->source_v6_prefix)))
		return;
	worker->counts_sources = counts;
	worker->source_v4_prefix = v4;
	worker->source_v6_prefix = v6;
	list_for_each(downstream, &worker->downstreams, link) {
		evidence_leave(downstream);
		if (!counts)
			continue;
		source_of_addr(&worker->state, &downstream->peer, source);
		source_open(&worker->state, worker->slot, source, 0, now_of(worker),
			    &downstream->source);
	}
}

/* ---- evidence ---- */

static void add_part(struct downstream *downstream, enum sluice_evidence what, uint64_t thousandths)
{
	struct worker *worker = downstream->worker;
	const struct config_penalties *config = &kernel_of(worker)->penalties;

	if (downstream->source == SOURCE_NONE || !config->enabled)
		return;
	if (!source_accuse(&worker->state, worker->slot, downstream->source, config, what,
			   thousandths, now_of(worker)))
		return;
	worker_count(&worker->stats->penalties);
	tell(worker, downstream->source);
}

void evidence_add(struct downstream *downstream, enum sluice_evidence what, uint32_t n)
{
	add_part(downstream, what, (uint64_t)n * SOURCE_PIECE);
}

void evidence_flush(struct downstream *downstream)
{
	struct worker *worker = downstream->worker;
	uint32_t good = downstream->good_calls, over = downstream->over_limit;

	downstream->good_calls = downstream->over_limit = 0;
	downstream->told_ns = now_of(worker);
	if (downstream->source == SOURCE_NONE || !kernel_of(worker)->penalties.enabled)
		return;
	if (good)
		source_praise(&worker->state, worker->slot, downstream->source,
			      &kernel_of(worker)->penalties, good, now_of(worker));
	if (over)
		evidence_add(downstream, SLUICE_EVIDENCE_OVER_LIMIT, over);
}

static bool is_due(const struct downstream *downstream)
{
	return now_of(downstream->worker) - downstream->told_ns >= TELL_NS;
}

void evidence_good(struct downstream *downstream)
{
	downstream->good_calls++;
	if (downstream->source != SOURCE_NONE && is_due(downstream))
		evidence_flush(downstream);
}

void evidence_over_limit(struct downstream *downstream)
{
	if (++downstream->over_limit >= OVER_LIMIT_BUNDLE || is_due(downstream))
		evidence_flush(downstream);
}

/* What the end of a connection says against its client: SLUICE_EVIDENCE_NONE: nothing. */
static enum sluice_evidence meaning(const struct downstream *downstream, enum h2_down why, int err)
{
	const struct tls *tls = h2_tls(downstream->h2);

	switch (why) {
	case H2_DOWN_TLS:
		if (tls_alpn_refused(tls))
			return SLUICE_EVIDENCE_NOT_H2;
		/* Who connects only to see whether somebody listens: a load balancer's check. */
		if (err == ECONNRESET && !tls_heard(tls))
			return SLUICE_EVIDENCE_NONE;
		/* One that has expired is our fault, and nobody's who finds out. */
		if (tls_certificate_refused(tls))
			return SLUICE_EVIDENCE_NONE;
		return SLUICE_EVIDENCE_HANDSHAKE;
	case H2_DOWN_SETTINGS:
		return SLUICE_EVIDENCE_NOT_H2;
	case H2_DOWN_PROTOCOL:
		if (downstream->cut) /* for its PINGs, and that was told */
			return SLUICE_EVIDENCE_NONE;
		if (err == H2_ENHANCE_YOUR_CALM)
			return SLUICE_EVIDENCE_ABUSE;
		return downstream->up ? SLUICE_EVIDENCE_PROTOCOL : SLUICE_EVIDENCE_NOT_H2;
	default:
		return SLUICE_EVIDENCE_NONE;
	}
}

void evidence_down(struct downstream *downstream, enum h2_down why, int err)
{
	enum sluice_evidence what;

	if (downstream->source == SOURCE_NONE)
		return;
	what = meaning(downstream, why, err);
	if (what == SLUICE_EVIDENCE_NONE)
		return;
	evidence_flush(downstream);
	evidence_add(downstream, what, 1);
	downstream->abuse_told = what == SLUICE_EVIDENCE_ABUSE;
	if (is_penalized(downstream->worker, downstream))
		h2_stop_reading(downstream->h2);
}

void evidence_end(struct downstream *downstream)
{
	uint32_t owed;

	if (downstream->source == SOURCE_NONE || downstream->abuse_told)
		return;
	owed = h2_resets_owed(downstream->h2);
	if (owed < RESETS_OWED_MIN)
		return;
	evidence_flush(downstream);
	add_part(downstream, SLUICE_EVIDENCE_ABUSE, owed);
}
