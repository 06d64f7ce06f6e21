/* SPDX-License-Identifier: MIT */
/*
 * mirror.c - copies of calls, see mirror.h. A copy is a struct stream without a client: pick, pool
 * and upstream treat it as any other, and what its backend answers ends here. It has a buffer of
 * its own and takes no part in the original's flow control: a mirror group that is slow, dead or
 * silent costs copies, never calls. A copy is tried once.
 */
#include "proxy/mirror.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/breaker.h"
#include "proxy/pick.h"
#include "proxy/pool.h"
#include "proxy/route.h"
#include "proxy/route_call.h"
#include "proxy/router.h"
#include "proxy/worker.h"

#define COPY_BYTES_MAX ((size_t)64 * 1024)
#define COPIES_MAX     1024 /* of this process at once */
#define LINGER_NS      (10 * NS_PER_S) /* a copy outlives its original by no more */

/* So that a backend can tell a copy from a call. */
#define MARK "sluice-mirror"

struct mirror {
	struct stream *original; /* NULL: it is over */
	struct stream *copy;
};

static unsigned copies;

/* The copy is over; freed at the end of the turn. */
static void end(struct stream *copy)
{
	struct mirror *mirror = copy->mirror;
	struct worker *worker = copy->worker;

	if (copy->dead)
		return;
	copy->dead = true;
	stream_detach_up(copy, H2_CANCEL);
	breaker_leave(copy);
	loop_timer_cancel(&worker->loop, &copy->deadline_timer);
	if (mirror->original)
		mirror->original->mirror = NULL;
	free(mirror);
	copy->mirror = NULL;
	copies--;
	list_add_tail(&worker->dead_streams, &copy->down_link);
	loop_defer(&worker->loop, &worker->reap_task);
}

/* Over its bounds. */
static void drop(struct stream *copy)
{
	worker_count(&copy->worker->stats->mirror_dropped);
	end(copy);
}

static void on_time_over(struct loop_timer *timer)
{
	drop(container_of(timer, struct stream, deadline_timer));
}

/* ---- the copy's request ---- */

static bool over_memory(const struct stream *copy)
{
	/* Half is always left to the calls themselves. */
	return buf_in_use() + copy->worker->header_bytes >
	       copy->router->config->max_buffer_bytes / 2;
}

/* The original's, marked. */
static int copy_request(struct stream *copy, const struct stream *original)
{
	size_t n = original->request.n;
	struct h2_header *fields = arena_alloc(&copy->arena, (n + 1) * sizeof(*fields));
	const struct h2_header *timeout = original->timeout_field;
	struct stream_headers copied;

	if (!fields || stream_copy_headers(copy, &copied, original->request.fields, n))
		return -1;
	memcpy(fields, copied.fields, n * sizeof(*fields));
	fields[n++] = (struct h2_header){
		.name = MARK, .name_len = sizeof(MARK) - 1, .value = "1", .value_len = 1,
	};
	copy->request.fields = fields;
	copy->request.n = n;
	if (timeout)
		copy->timeout_field = &fields[timeout - original->request.fields];
	copy->header_bytes = copy->arena.held;
	copy->worker->header_bytes += copy->header_bytes;
	return 0;
}

static struct stream *copy_new(struct stream *original, uint64_t hash)
{
	struct worker *worker = original->worker;
	struct stream *copy = malloc(sizeof(*copy));
	struct mirror *mirror = malloc(sizeof(*mirror));

	if (!copy || !mirror) {
		free(copy);
		free(mirror);
		return NULL;
	}
	memset(copy, 0, offsetof(struct stream, arena_bytes));
	copy->worker = worker;
	copy->router = router_ref(original->router);
	copy->route = original->route;
	copy->group = &copy->router->groups[copy->route->config->mirror_group];
	copy->hash = hash;
	copy->started_ns = loop_now(&worker->loop);
	copy->deadline_ns = original->deadline_ns;
	copy->grpc = original->grpc;
	copy->grpc_status = -1;
	copy->up.end = original->up.end;
	copy->deadline_timer.on_timer = on_time_over;
	list_init(&copy->up_link);
	list_init(&copy->down_link);
	arena_init(&copy->arena, copy->arena_bytes, sizeof(copy->arena_bytes));
	copy->mirror = mirror;
	*mirror = (struct mirror){ .original = original, .copy = copy };
	original->mirror = mirror;
	copies++;
	return copy;
}

static bool attach(struct stream *copy)
{
	struct worker *worker = copy->worker;
	const struct config_endpoint *config;
	struct pool_endpoint *endpoint;
	bool full;

	config = pick_endpoint(copy, false, &full);
	if (!config)
		return false;
	endpoint = pool_endpoint(&worker->pool, copy->group, config);
	if (!endpoint)
		return false;
	copy->attempting = true;
	copy->tried[copy->attempts++] = config->id;
	__atomic_fetch_add(&worker->state.backends[config->id].calls, 1, __ATOMIC_RELAXED);
	if (!pool_attach(endpoint, copy))
		return true;
	stream_attempt_over(copy, endpoint, OUTCOME_CANCELLED, -1);
	return false;
}

void mirror_begin(struct stream *stream, const struct router_listener *listener,
		  const struct h2_header *headers, size_t n)
{
	const struct config_route *config = stream->route->config;
	struct worker *worker = stream->worker;
	struct stream *copy;

	if (worker_random(worker) % 10000 >= config->mirror_permyriad)
		return;
	worker_count(&worker->stats->mirrored);
	__atomic_fetch_add(&worker->state.routes[config->id].mirrored, 1, __ATOMIC_RELAXED);
	copy = copies < COPIES_MAX ? copy_new(stream, route_call_mirror_hash(stream, listener,
									    headers, n)) :
				     NULL;
	if (!copy) {
		worker_count(&worker->stats->mirror_dropped);
		return;
	}
	if (copy_request(copy, stream) || over_memory(copy) || !breaker_enter(copy) ||
	    (copy->deadline_ns &&
	     loop_timer_set(&worker->loop, &copy->deadline_timer,
			    copy->deadline_ns > copy->started_ns ?
				    copy->deadline_ns - copy->started_ns :
				    0)) ||
	    !attach(copy))
		drop(copy);
}

void mirror_data(struct stream *stream, const uint8_t *data, size_t size)
{
	struct stream *copy = stream->mirror->copy;

	if (buf_unread(&copy->up.out) + size > COPY_BYTES_MAX || over_memory(copy) ||
	    buf_append(&copy->up.out, data, size))
		drop(copy);
	else if (copy->up.h2)
		h2_resume(copy->up.h2, copy->up.id);
}

void mirror_end(struct stream *stream)
{
	struct stream *copy = stream->mirror->copy;

	copy->up.end = true;
	if (copy->up.h2)
		h2_resume(copy->up.h2, copy->up.id);
}

void mirror_leave(struct stream *stream)
{
	struct stream *copy = stream->mirror->copy;
	struct loop *loop = &copy->worker->loop;
	uint64_t now_ns = loop_now(loop), linger_ns = LINGER_NS;

	copy->mirror->original = NULL;
	stream->mirror = NULL;
	if (copy->deadline_ns && copy->deadline_ns < now_ns + linger_ns)
		linger_ns = copy->deadline_ns > now_ns ? copy->deadline_ns - now_ns : 0;
	if (!copy->up.end)
		end(copy); /* as its original's was, the request was cancelled */
	else if (loop_timer_set(loop, &copy->deadline_timer, linger_ns))
		drop(copy);
}

/* ---- what its backend says ---- */

void mirror_failed(struct stream *copy)
{
	drop(copy);
}

void mirror_closed(struct stream *copy, enum outcome how)
{
	bool waited = !copy->upstream; /* in vain: given up, as it never got there */

	stream_attempt_over(copy, copy->endpoint, how, GRPC_UNAVAILABLE);
	copy->up.h2 = NULL;
	if (waited)
		drop(copy);
	else
		end(copy);
}

static void answered(struct stream *copy, int grpc_status)
{
	stream_attempt_over(copy, copy->endpoint, OUTCOME_STATUS, grpc_status);
	end(copy);
}

void mirror_headers(struct stream *copy, enum h2_block block, const struct h2_header *headers,
		    size_t n, bool end_)
{
	bool strict = copy->group->config->protocol == PROTOCOL_GRPC;
	int status;

	if (block == H2_BLOCK_TOO_LARGE) {
		answered(copy, GRPC_RESOURCE_EXHAUSTED);
		return;
	}
	if (block == H2_BLOCK_RESPONSE)
		outcome_answered(copy, copy->endpoint);
	else if (block != H2_BLOCK_TRAILERS || !end_)
		return;
	status = stream_status_of(copy, headers, n, end_);
	if (!strict && block == H2_BLOCK_RESPONSE)
		copy->grpc_status = stream_status_of(copy, headers, n, true);
	else if (!strict && !status)
		status = copy->grpc_status; /* trailers need not say anything */
	if (status >= 0)
		answered(copy, status);
}

void mirror_ended(struct stream *copy)
{
	bool strict = copy->group->config->protocol == PROTOCOL_GRPC;

	answered(copy, strict ? GRPC_UNKNOWN : copy->grpc_status);
}

size_t mirror_pull(struct stream *copy, uint8_t *dst, size_t size, bool *end_)
{
	size_t n = buf_pull(&copy->up.out, dst, size);

	if (copy->up.end && !buf_unread(&copy->up.out))
		*end_ = true;
	return n;
}
