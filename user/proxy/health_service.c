/* SPDX-License-Identifier: MIT */
/*
 * health_service.c - see health_service.h. A Watch stays open, and one timer of the worker looks after
 * all of them, only while there are some: a look is a load from the map for each. A watcher that does
 * not read holds one message; it gets the newest status once it has taken that.
 */
#include "proxy/health_service.h"

#include <errno.h>
#include <string.h>

#include "base/protobuf.h"
#include "proxy/deadline.h"
#include "proxy/downstream.h"
#include "proxy/listener.h"
#include "proxy/reply.h"
#include "proxy/request.h"
#include "proxy/router.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

#define FRAME_HEADER 5
#define REQUEST_MAX  1024 /* far more than the longest group's name takes */
#define LIST_MAX     100  /* as the protocol has it */
#define WATCHERS_MAX 16384
#define LOOK_NS	     (100 * NS_PER_MS)

enum serving {
	SERVING_NONE = 0, /* nothing sent yet */
	SERVING = 1,
	NOT_SERVING = 2,
	SERVICE_UNKNOWN = 3,
};

enum health_method { HEALTH_CHECK, HEALTH_WATCH, HEALTH_LIST };

/* In the stream's arena. */
struct health_call {
	struct stream *stream;
	enum health_method method;
	bool asked;	  /* its request is answered, or is being */
	struct list link; /* in the worker's watchers */
	char *service;
	bool looked_up;
	uint64_t revision; /* of the config where group was looked up */
	uint32_t group;	   /* id, or CONFIG_NO_GROUP */
	enum serving sent;
};

/* ---- what the maps say ---- */

static bool is_draining(const struct stream *stream)
{
	const struct worker *worker = stream->worker;
	const struct listener *listener;

	if (worker->draining)
		return true;
	list_for_each(listener, &worker->listeners, link)
		if (listener->id == stream->client->listener_id)
			return false;
	return true;
}

static enum serving group_serving(const struct worker *worker, uint32_t group)
{
	return state_load32(&worker->state.groups[group].live) ? SERVING : NOT_SERVING;
}

/* Names mean groups of the committed config; a look-up holds until the next commit. */
static enum serving call_serving(struct health_call *call)
{
	struct worker *worker = call->stream->worker;
	const struct config *config = worker->router->config;

	if (!call->looked_up || call->revision != config->revision) {
		call->looked_up = true;
		call->revision = config->revision;
		call->group = CONFIG_NO_GROUP;
		for (size_t g = 0; g < config->n_groups && *call->service; g++)
			if (!strcmp(config->groups[g].name, call->service))
				call->group = config->groups[g].id;
	}
	if (*call->service && call->group == CONFIG_NO_GROUP)
		return SERVICE_UNKNOWN;
	if (is_draining(call->stream))
		return NOT_SERVING;
	return *call->service ? group_serving(worker, call->group) : SERVING;
}

/* ---- answers ---- */

#define HEADER(n, v) { .name = (n), .name_len = sizeof(n) - 1, .value = (v), .value_len = sizeof(v) - 1 }

/* Appends one message. Where there is no memory for it the stream ends. */
static bool send_message(struct stream *stream, const uint8_t *message, size_t len)
{
	static const struct h2_header headers[] = {
		HEADER(":status", "200"),
		HEADER("content-type", "application/grpc"),
	};
	const uint8_t frame[FRAME_HEADER] = { 0, (uint8_t)(len >> 24), (uint8_t)(len >> 16),
					      (uint8_t)(len >> 8), (uint8_t)len };

	if (!stream->response_started &&
	    h2_submit_response(stream->down.h2, stream->down.id, headers, 2, false)) {
		h2_reset(stream->down.h2, stream->down.id, H2_INTERNAL_ERROR);
		return false;
	}
	stream->response_started = true;
	stream->taken_ns = loop_now(&stream->worker->loop);
	if (buf_append(&stream->down.out, frame, sizeof(frame)) ||
	    buf_append(&stream->down.out, message, len)) {
		reply_error(stream, ERROR_NO_MEMORY);
		return false;
	}
	h2_resume(stream->down.h2, stream->down.id);
	return true;
}

static bool send_serving(struct stream *stream, enum serving serving)
{
	const uint8_t message[] = { 1 << 3, (uint8_t)serving };

	return send_message(stream, message, sizeof(message));
}

/* OK in trailers, behind the message. */
static void end_well(struct stream *stream)
{
	static const struct h2_header status = HEADER("grpc-status", "0");

	if (stream_copy_headers(stream, &stream->down.trailers, &status, 1)) {
		reply_error(stream, ERROR_NO_MEMORY);
		return;
	}
	worker_count(&stream->worker->stats->answered_here);
	stream->grpc_status = GRPC_OK;
	stream->down.end = true;
	h2_resume(stream->down.h2, stream->down.id);
}

static void answer_check(struct health_call *call)
{
	enum serving serving = call_serving(call);

	if (serving == SERVICE_UNKNOWN)
		reply_fixed(call->stream, GRPC_NOT_FOUND, "unknown service: no group has this name");
	else if (send_serving(call->stream, serving))
		end_well(call->stream);
}

/* An entry of HealthListResponse.statuses: a map entry with the name and a HealthCheckResponse. */
static size_t list_entry_build(uint8_t *to, const char *name, enum serving serving)
{
	size_t len = strlen(name), at = 0;

	to[at++] = 1 << 3 | 2;
	to[at++] = (uint8_t)(2 + len + 4); /* names are short: SLUICE_NAME_MAX */
	to[at++] = 1 << 3 | 2;
	to[at++] = (uint8_t)len;
	memcpy(to + at, name, len);
	at += len;
	to[at++] = 2 << 3 | 2;
	to[at++] = 2;
	to[at++] = 1 << 3;
	to[at++] = (uint8_t)serving;
	return at;
}

static void answer_list(struct health_call *call)
{
	struct worker *worker = call->stream->worker;
	const struct config *config = worker->router->config;
	bool draining = is_draining(call->stream);
	uint8_t message[LIST_MAX * (SLUICE_NAME_MAX + 8)];
	size_t len;

	if (config->n_groups + 1 > LIST_MAX) {
		reply_fixed(call->stream, GRPC_RESOURCE_EXHAUSTED,
			    "too many services to list: ask for one by its group's name");
		return;
	}
	len = list_entry_build(message, "", draining ? NOT_SERVING : SERVING);
	for (size_t g = 0; g < config->n_groups; g++)
		len += list_entry_build(message + len, config->groups[g].name,
					draining ? NOT_SERVING :
						   group_serving(worker, config->groups[g].id));
	if (send_message(call->stream, message, len))
		end_well(call->stream);
}

/* ---- Watch ---- */

static void watch_update(struct health_call *call)
{
	struct stream *stream = call->stream;
	enum serving serving = call_serving(call);

	if (stream->down.end || buf_unread(&stream->down.out))
		return;
	if (serving != call->sent) {
		call->sent = serving;
		send_serving(stream, serving);
	} else if (!h2_is_up(stream->down.h2)) {
		/* Or it would hold its connection until it is cut. The client comes again. */
		reply_fixed(stream, GRPC_UNAVAILABLE, "this connection drains");
	}
}

static void on_look(struct loop_timer *timer)
{
	struct worker *worker = container_of(timer, struct worker, watch_timer);
	struct health_call *call, *next;

	list_for_each_safe(call, next, &worker->watchers, link)
		watch_update(call);
	if (!list_empty(&worker->watchers))
		loop_timer_set(&worker->loop, timer, LOOK_NS);
}

static void begin_watch(struct health_call *call)
{
	struct worker *worker = call->stream->worker;

	if (!worker->watchers.next)
		list_init(&worker->watchers);
	worker->watch_timer.on_timer = on_look;
	if (worker->n_watchers >= WATCHERS_MAX ||
	    (!loop_timer_is_set(&worker->watch_timer) &&
	     loop_timer_set(&worker->loop, &worker->watch_timer, LOOK_NS))) {
		reply_fixed(call->stream, GRPC_RESOURCE_EXHAUSTED, "too many watch already");
		return;
	}
	worker->n_watchers++;
	list_add_tail(&worker->watchers, &call->link);
	watch_update(call);
}

/* ---- the call ---- */

/* The name asked for, in the arena; NULL with the refusal sent. */
static char *read_service(struct stream *stream)
{
	uint8_t request[REQUEST_MAX + 1];
	size_t len = buf_pull(&stream->up.out, request, sizeof(request)), at = FRAME_HEADER;
	struct protobuf_field field, name = { 0 };
	char *service;
	int ret;

	if (len > REQUEST_MAX) {
		reply_fixed(stream, GRPC_RESOURCE_EXHAUSTED, "request too long");
		return NULL;
	}
	if (len >= FRAME_HEADER && request[0] != 0) {
		reply_fixed(stream, GRPC_UNIMPLEMENTED, "compressed messages are not read here");
		return NULL;
	}
	if (len < FRAME_HEADER ||
	    ((size_t)request[1] << 24 | (size_t)request[2] << 16 | (size_t)request[3] << 8 |
	     request[4]) != len - FRAME_HEADER) {
		reply_fixed(stream, GRPC_INTERNAL, "the request is not one gRPC message");
		return NULL;
	}
	while ((ret = protobuf_next(request, len, &at, &field)) > 0)
		if (field.number == 1 && field.kind == PROTOBUF_BYTES)
			name = field;
	if (ret < 0) {
		reply_fixed(stream, GRPC_INTERNAL, "the request is no HealthCheckRequest");
		return NULL;
	}
	/* A NUL is in no group's name. */
	if (name.len && memchr(name.bytes, '\0', name.len)) {
		reply_fixed(stream, GRPC_INVALID_ARGUMENT, "no service has such a name");
		return NULL;
	}
	service = arena_alloc(&stream->arena, name.len + 1);
	if (!service) {
		reply_error(stream, ERROR_NO_MEMORY);
		return NULL;
	}
	if (name.len)
		memcpy(service, name.bytes, name.len);
	service[name.len] = '\0';
	return service;
}

static int find_method(const struct h2_header *headers, size_t n, enum health_method *method)
{
	static const char *const names[] = {
		[HEALTH_CHECK] = "Check",
		[HEALTH_WATCH] = "Watch",
		[HEALTH_LIST] = "List",
	};

	const struct h2_header *path = H2_HEADER_FIND(headers, n, ":path");
	size_t len = sizeof(CONFIG_HEALTH_SERVICE) - 1;

	if (!path || path->value_len < len || memcmp(path->value, CONFIG_HEALTH_SERVICE, len))
		return -ENOENT;
	for (*method = HEALTH_CHECK; *method <= HEALTH_LIST; (*method)++)
		if (path->value_len - len == strlen(names[*method]) &&
		    !memcmp(path->value + len, names[*method], strlen(names[*method])))
			return 0;
	return -ENOSYS;
}

bool health_service_take(struct stream *stream, const struct request_facts *facts,
			 const struct h2_header *headers, size_t n)
{
	enum health_method method;
	int ret = find_method(headers, n, &method);
	struct health_call *call;

	if (ret == -ENOENT)
		return false;
	if (ret) {
		reply_fixed(stream, GRPC_UNIMPLEMENTED, "grpc.health.v1.Health has no such method");
		return true;
	}
	if (facts->bad_timeout) {
		reply_error(stream, ERROR_BAD_TIMEOUT);
		return true;
	}
	call = arena_alloc(&stream->arena, sizeof(*call));
	if (!call || deadline_begin(stream, facts)) {
		reply_error(stream, ERROR_NO_MEMORY);
		return true;
	}
	*call = (struct health_call){ .stream = stream, .method = method,
				      .group = CONFIG_NO_GROUP };
	list_init(&call->link);
	stream->local = call;
	if (stream->up.end)
		health_service_request(stream);
	return true;
}

void health_service_request(struct stream *stream)
{
	struct health_call *call = stream->local;

	if (call->asked || stream->down.end)
		return;
	call->asked = true;
	call->service = read_service(stream);
	if (!call->service)
		return;
	switch (call->method) {
	case HEALTH_CHECK:
		answer_check(call);
		break;
	case HEALTH_WATCH:
		begin_watch(call);
		break;
	case HEALTH_LIST:
		answer_list(call);
		break;
	}
}

void health_service_leave(struct stream *stream)
{
	struct health_call *call = stream->local;

	if (list_empty(&call->link))
		return;
	list_del(&call->link);
	stream->worker->n_watchers--;
}
