/* SPDX-License-Identifier: MIT */
/*
 * h2_streams.c - a connection's open streams by id: a small chained table that is made with the
 * first stream and grows with them. Streams come from a per-process free list.
 */
#include <stdlib.h>
#include <string.h>

#include "proxy/h2_session.h"

#define BUCKETS_MIN 8u
#define KEEP_FREE   4096u

static struct h2_stream *free_streams;
static uint32_t n_free;

/* Ids of one side are all odd or all even. */
static uint32_t bucket_of(const struct h2_session *session, int32_t id)
{
	return ((uint32_t)id >> 1) & (session->n_buckets - 1);
}

struct h2_stream *h2_streams_find(const struct h2_session *session, int32_t id)
{
	struct h2_stream *stream;

	if (!session->n_buckets)
		return NULL;
	for (stream = session->buckets[bucket_of(session, id)]; stream; stream = stream->next)
		if (stream->id == id)
			return stream;
	return NULL;
}

static int grow(struct h2_session *session, uint32_t n_streams)
{
	uint32_t n = session->n_buckets ? session->n_buckets * 2 : BUCKETS_MIN;
	uint32_t before = session->n_buckets;
	struct h2_stream **old = session->buckets, **buckets;

	if (session->n_buckets && n_streams < 2 * session->n_buckets)
		return 0;
	buckets = calloc(n, sizeof(*buckets));
	if (!buckets)
		return session->n_buckets ? 0 : -1;
	session->buckets = buckets;
	session->n_buckets = n;
	for (uint32_t i = 0; i < before; i++) {
		struct h2_stream *stream = old[i], *next;

		for (; stream; stream = next) {
			uint32_t bucket = bucket_of(session, stream->id);

			next = stream->next;
			stream->next = buckets[bucket];
			buckets[bucket] = stream;
		}
	}
	free(old);
	return 0;
}

struct h2_stream *h2_streams_add(struct h2_session *session, int32_t id)
{
	struct h2_stream *stream = free_streams;
	uint32_t bucket;

	if (grow(session, session->n_streams + 1))
		return NULL;
	if (stream) {
		free_streams = stream->next;
		n_free--;
	} else {
		stream = malloc(sizeof(*stream));
		if (!stream)
			return NULL;
	}
	memset(stream, 0, sizeof(*stream));
	stream->id = id;
	stream->content_left = -1;
	list_init(&stream->ready);
	bucket = bucket_of(session, id);
	stream->next = session->buckets[bucket];
	session->buckets[bucket] = stream;
	session->n_streams++;
	return stream;
}

static void put_free(struct h2_stream *stream)
{
	if (n_free >= KEEP_FREE) {
		free(stream);
		return;
	}
	stream->next = free_streams;
	free_streams = stream;
	n_free++;
}

void h2_streams_remove(struct h2_session *session, struct h2_stream *stream)
{
	struct h2_stream **link = &session->buckets[bucket_of(session, stream->id)];

	while (*link != stream)
		link = &(*link)->next;
	*link = stream->next;
	list_del(&stream->ready);
	session->n_streams--;
	put_free(stream);
}

void h2_streams_each(struct h2_session *session,
		     void (*visit)(void *ctx, struct h2_stream *stream), void *ctx)
{
	for (uint32_t i = 0; i < session->n_buckets; i++) {
		struct h2_stream *stream = session->buckets[i], *next;

		for (; stream; stream = next) {
			next = stream->next;
			visit(ctx, stream);
		}
	}
}

void h2_streams_done(struct h2_session *session)
{
	for (uint32_t i = 0; i < session->n_buckets; i++) {
		struct h2_stream *stream = session->buckets[i], *next;

		for (; stream; stream = next) {
			next = stream->next;
			put_free(stream);
		}
	}
	free(session->buckets);
	session->buckets = NULL;
	session->n_buckets = session->n_streams = 0;
}

void h2_streams_pool_trim(void)
{
	while (free_streams) {
		struct h2_stream *next = free_streams->next;

		free(free_streams);
		free_streams = next;
	}
	n_free = 0;
}
