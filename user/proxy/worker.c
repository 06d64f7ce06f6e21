/* SPDX-License-Identifier: MIT */
/*
 * worker.c - the worker process: obeys the channel (config, listeners, tickets, drain), keeps its
 * heartbeat, and owns what the rest of proxy/ works on. It has no rights: all it has came through
 * the channel.
 */
#include "proxy/worker.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "proxy/downstream.h"
#include "proxy/evidence.h"
#include "proxy/listener.h"
#include "proxy/stream.h"
#include "proxy/tls.h"
#include "shared/channel.h"

uint64_t worker_random(struct worker *worker)
{
	uint64_t x = worker->random_state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	worker->random_state = x;
	return x * 0x2545f4914f6cdd1dull;
}

void worker_check_idle(struct worker *worker)
{
	if (worker->draining && list_empty(&worker->downstreams))
		loop_stop(&worker->loop);
}

static void on_reap(struct loop_task *task)
{
	stream_reap(container_of(task, struct worker, reap_task));
}

/* After a flood of buffers malloc keeps what it had: give it back once most of it is free. */
#define TRIM_BYTES ((size_t)64 * 1024 * 1024)

static void trim_memory(struct worker *worker)
{
	size_t in_use = buf_in_use();

	if (in_use > worker->buffer_peak)
		worker->buffer_peak = in_use;
	if (worker->buffer_peak < TRIM_BYTES || in_use > worker->buffer_peak / 4)
		return;
	worker->buffer_peak = in_use;
	malloc_trim(0);
}

static void on_heartbeat(struct loop_timer *timer)
{
	struct worker *worker = container_of(timer, struct worker, heartbeat_timer);

	state_store64(&worker->stats->heartbeat_ns, loop_now(&worker->loop));
	state_store64(&worker->stats->buffered_bytes, buf_in_use() + worker->header_bytes);
	trim_memory(worker);
	evidence_heartbeat(worker);
	loop_timer_set(&worker->loop, timer, SLUICE_HEARTBEAT_NS);
}

/* ---- draining ---- */

/* Where the grace is over, for the answers to the calls that are cut. */
#define CUT_NS (200 * NS_PER_MS)
/* GOAWAYs to many connections are spread, so that their clients do not all come back at once: one
 * in so long, but all within drain_jitter. */
#define DRAIN_STEP_NS (1 * NS_PER_MS)

static void on_grace_over(struct loop_timer *timer)
{
	struct worker *worker = container_of(timer, struct worker, grace_timer);
	struct downstream *downstream, *next;

	if (!worker->cut) {
		log_warn("drain grace is over: calls are cut",
			 F_UINT("connections", worker->stats->connections),
			 F_UINT("calls", worker->stats->active_rpcs));
		worker->cut = true;
		list_for_each_safe(downstream, next, &worker->downstreams, link)
			downstream_cut(downstream, CUT_SHUTDOWN);
		loop_timer_set(&worker->loop, timer, CUT_NS);
		return;
	}
	while (!list_empty(&worker->downstreams))
		downstream_close(list_first(&worker->downstreams, struct downstream, link));
	loop_stop(&worker->loop);
}

/* All connections, those of one listener, or those whose listener the router has no more. */
enum drain_which { DRAIN_ALL, DRAIN_LISTENER, DRAIN_REMOVED };

static bool is_drained(const struct worker *worker, const struct downstream *downstream,
		       enum drain_which which, uint32_t listener_id)
{
	if (which == DRAIN_LISTENER)
		return downstream->listener_id == listener_id;
	return which == DRAIN_ALL || !router_listener(worker->router, downstream->listener_id);
}

static void drain_connections(struct worker *worker, enum drain_which which, uint32_t listener_id,
			      uint64_t within_ns)
{
	uint64_t spread = worker->router ? worker->router->config->drain_jitter_ms * NS_PER_MS : 0;
	struct downstream *downstream, *next;
	uint64_t n = 0, i = 0, step;

	list_for_each_safe(downstream, next, &worker->downstreams, link)
		n += is_drained(worker, downstream, which, listener_id);
	if (spread > within_ns)
		spread = within_ns;
	step = n && spread / n < DRAIN_STEP_NS ? spread / n : DRAIN_STEP_NS;
	list_for_each_safe(downstream, next, &worker->downstreams, link)
		if (is_drained(worker, downstream, which, listener_id))
			downstream_drain(downstream, step * i++);
}

static void drain_listener(struct worker *worker, uint32_t id)
{
	struct listener *listener, *next;

	list_for_each_safe(listener, next, &worker->listeners, link)
		if (listener->id == id)
			listener_close(listener);
	drain_connections(worker, DRAIN_LISTENER, id, UINT64_MAX);
}

static void drain(struct worker *worker, uint32_t grace_ms)
{
	struct listener *listener, *next_listener;

	if (worker->draining)
		return;
	/* Connections that the kernel has accepted already are served like the others. */
	list_for_each_safe(listener, next_listener, &worker->listeners, link)
		listener_close(listener);
	worker->draining = true;
	state_store32(&worker->stats->state, SLUICE_WORKER_DRAINING);
	/* The last to be told has half of the grace left. */
	drain_connections(worker, DRAIN_ALL, 0, grace_ms * NS_PER_MS / 2);
	loop_timer_set(&worker->loop, &worker->grace_timer, grace_ms * NS_PER_MS);
	worker_check_idle(worker);
}

/* ---- the channel ---- */

static void answer(struct worker *worker, uint64_t revision, const char *refusal)
{
	struct channel_config ready = { .revision = revision };
	struct channel_refused refused = { .revision = revision };
	int err;

	if (refusal) {
		snprintf(refused.reason, sizeof(refused.reason), "%s", refusal);
		err = channel_send(worker->channel_io.fd, CHANNEL_REFUSED, &refused,
				   sizeof(refused), NULL, 0);
	} else {
		err = channel_send(worker->channel_io.fd, CHANNEL_READY, &ready, sizeof(ready),
				   NULL, 0);
	}
	if (err)
		log_error("cannot answer the supervisor", F_ERR(err));
}

static void prepare(struct worker *worker, const struct channel_config *message, int fd)
{
	const uint8_t *bytes = channel_map_sealed(fd, message->length);
	struct config *config = bytes ? config_decode(bytes, message->length) : NULL;
	char why[256] = "configuration cannot be read";

	if (bytes)
		channel_unmap(bytes, message->length);
	router_unref(worker->prepared);
	worker->prepared = config ? router_new(config, worker->slot, why, sizeof(why)) : NULL;
	answer(worker, message->revision, worker->prepared ? NULL : why);
}

static void commit(struct worker *worker, const struct channel_config *message)
{
	struct listener *listener, *next_listener;
	struct downstream *downstream, *next;
	struct router *old = worker->router;

	if (!worker->prepared)
		return;
	/* What waits at a listener that goes is still accepted, and drains like the rest. */
	list_for_each_safe(listener, next_listener, &worker->listeners, link)
		if (old && !router_listener(worker->prepared, listener->id))
			listener_close(listener);
	worker->router = worker->prepared;
	worker->prepared = NULL;
	if (old)
		router_inherit(worker->router, old);
	log_init(worker->role, worker->router->config->log_level,
		 worker->router->config->log_format);
	pool_sync(&worker->pool, worker->router);
	evidence_configure(worker);
	if (!worker->draining) {
		listener_sync(worker);
		list_for_each_safe(downstream, next, &worker->downstreams, link)
			if (!router_listener(worker->router, downstream->listener_id))
				downstream_keep_router(downstream, old);
		drain_connections(worker, DRAIN_REMOVED, 0, UINT64_MAX);
		state_store32(&worker->stats->state, SLUICE_WORKER_LIVE);
	}
	router_unref(old);
	channel_send(worker->channel_io.fd, CHANNEL_COMMITTED, message, sizeof(*message), NULL, 0);
}

static int setup(struct worker *worker, const struct channel_message *message)
{
	struct channel_setup setup;
	int err;

	memcpy(&setup, message->payload, sizeof(setup));
	if (message->n_fds != STATE_FDS || setup.slot >= SLUICE_MAX_WORKERS || worker->stats)
		return -EINVAL;
	err = state_map(&worker->state, message->fds);
	if (err)
		return err;
	worker->slot = setup.slot;
	memcpy(worker->hash_key, setup.hash_key, sizeof(worker->hash_key));
	snprintf(worker->role, sizeof(worker->role), "worker %u", setup.slot);
	log_init(worker->role, LOG_INFO, LOG_TEXT);
	worker->stats = &worker->state.workers[setup.slot];
	memset(worker->stats, 0, sizeof(*worker->stats));
	worker->stats->pid = (uint32_t)getpid();
	worker->stats->started_ns = loop_now(&worker->loop);
	state_store32(&worker->stats->state, SLUICE_WORKER_STARTING);
	on_heartbeat(&worker->heartbeat_timer);
	return 0;
}

static size_t payload_size(uint32_t type)
{
	switch (type) {
	case CHANNEL_SETUP:
		return sizeof(struct channel_setup);
	case CHANNEL_TICKETS:
		return sizeof(struct channel_tickets);
	case CHANNEL_CONFIG:
	case CHANNEL_COMMIT:
	case CHANNEL_ABORT:
		return sizeof(struct channel_config);
	case CHANNEL_LISTEN:
	case CHANNEL_DRAIN_LISTENER:
		return sizeof(struct channel_listen);
	case CHANNEL_DRAIN:
		return sizeof(struct channel_drain);
	default:
		return SIZE_MAX;
	}
}

/* 0, or -errno where the worker cannot go on. */
static int obey(struct worker *worker, struct channel_message *message)
{
	const void *payload = message->payload;
	int err = 0;

	if (message->length != payload_size(message->type) ||
	    (!worker->stats && message->type != CHANNEL_SETUP))
		return -EPROTO;
	switch (message->type) {
	case CHANNEL_SETUP:
		return setup(worker, message);
	case CHANNEL_TICKETS:
		tls_set_ticket_keys(payload);
		explicit_bzero(message->payload, sizeof(struct channel_tickets));
		return 0;
	case CHANNEL_CONFIG:
		if (message->n_fds != 1)
			return -EPROTO;
		prepare(worker, payload, message->fds[0]);
		return 0;
	case CHANNEL_COMMIT:
		commit(worker, payload);
		return 0;
	case CHANNEL_ABORT:
		router_unref(worker->prepared);
		worker->prepared = NULL;
		return 0;
	case CHANNEL_LISTEN:
		if (message->n_fds != 1)
			return -EPROTO;
		err = listener_add(worker, ((const struct channel_listen *)payload)->listener,
				   message->fds[0]);
		message->n_fds = 0;
		return err;
	case CHANNEL_DRAIN_LISTENER:
		drain_listener(worker, ((const struct channel_listen *)payload)->listener);
		return 0;
	default:
		drain(worker, ((const struct channel_drain *)payload)->grace_ms);
		return 0;
	}
}

static void on_channel(struct loop_io *io, uint32_t events)
{
	struct worker *worker = container_of(io, struct worker, channel_io);
	static struct channel_message message;

	for (;;) {
		int rc = channel_receive(io->fd, &message), err;

		if (rc == -EAGAIN)
			return;
		if (rc <= 0) {
			loop_io_del(&worker->loop, io);
			if (!worker->router) {
				loop_stop(&worker->loop);
				return;
			}
			log_warn("the supervisor is gone: draining");
			/* Nobody is left to read the gate's events. */
			state_store64(&worker->state.switches->events_mask, 0);
			drain(worker, worker->router->config->drain_grace_ms);
			return;
		}
		err = obey(worker, &message);
		channel_message_close_fds(&message);
		if (err) {
			log_error("message from the supervisor refused",
				  F_UINT("type", message.type), F_ERR(err));
			loop_stop(&worker->loop);
			return;
		}
	}
}

/* ---- life ---- */

static void worker_done(struct worker *worker)
{
	struct listener *listener, *next;

	list_for_each_safe(listener, next, &worker->listeners, link)
		listener_close(listener);
	while (!list_empty(&worker->downstreams))
		downstream_close(list_first(&worker->downstreams, struct downstream, link));
	pool_close_all(&worker->pool);
	/* Connections say good-bye: FIN after GOAWAY, so that no client loses the end. Each ends by
	 * itself within two seconds, also where its peer does nothing. */
	for (uint64_t until = loop_refresh(&worker->loop) + 3 * NS_PER_S;
	     h2_alive() && loop_refresh(&worker->loop) < until;)
		loop_turn(&worker->loop);
	stream_reap(worker);
	pool_done(&worker->pool);
	router_unref(worker->router);
	router_unref(worker->prepared);
	loop_timer_cancel(&worker->loop, &worker->heartbeat_timer);
	loop_timer_cancel(&worker->loop, &worker->grace_timer);
	loop_io_del(&worker->loop, &worker->channel_io);
	if (worker->stats)
		state_unmap(&worker->state);
	loop_done(&worker->loop);
	buf_pool_trim();
	h2_pool_trim();
}

int worker_main(int channel_fd)
{
	static struct worker worker;
	struct timespec ts;
	int err;

	signal(SIGPIPE, SIG_IGN);
	/* A terminal's signals reach the whole process group; the supervisor decides what they mean. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	memset(&worker, 0, sizeof(worker));
	list_init(&worker.listeners);
	list_init(&worker.downstreams);
	list_init(&worker.dead_streams);
	worker.reap_task.on_run = on_reap;
	worker.heartbeat_timer.on_timer = on_heartbeat;
	worker.grace_timer.on_timer = on_grace_over;
	worker.channel_io.on_event = on_channel;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	worker.random_state = (uint64_t)ts.tv_nsec * 0x9e3779b97f4a7c15ull + (uint64_t)getpid() + 1;
	err = loop_init(&worker.loop);
	if (!err)
		err = pool_init(&worker.pool, &worker);
	if (!err)
		err = loop_io_add(&worker.loop, &worker.channel_io, channel_fd, EPOLLIN);
	if (!err)
		err = loop_run(&worker.loop);
	if (err)
		log_error("worker failed", F_ERR(err));
	worker_done(&worker);
	return err ? 1 : 0;
}
