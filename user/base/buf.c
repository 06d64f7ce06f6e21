/* SPDX-License-Identifier: MIT */
/*
 * buf.c - chunked byte queues with two chunk sizes: small ones for unary messages, large ones (a
 * full HTTP/2 frame) for streams. Freed chunks are kept for reuse up to a bound.
 */
#include "base/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct buf_chunk {
	struct buf_chunk *next;
	uint32_t read, end, cap;
	uint8_t bytes[];
};

enum { CLASS_SMALL, CLASS_LARGE, CLASSES };

static const uint32_t class_size[CLASSES] = { 512, 16384 + 64 };
static const uint32_t class_keep[CLASSES] = { 4096, 256 };

static struct {
	struct buf_chunk *free[CLASSES];
	uint32_t n_free[CLASSES];
	size_t in_use;
} pool;

static struct buf_chunk *chunk_get(size_t want)
{
	int class = want + sizeof(struct buf_chunk) <= class_size[CLASS_SMALL] ? CLASS_SMALL :
										 CLASS_LARGE;
	struct buf_chunk *chunk = pool.free[class];

	if (chunk) {
		pool.free[class] = chunk->next;
		pool.n_free[class]--;
	} else {
		chunk = malloc(class_size[class]);
		if (!chunk)
			return NULL;
	}
	chunk->next = NULL;
	chunk->read = chunk->end = 0;
	chunk->cap = class_size[class] - sizeof(*chunk);
	pool.in_use += class_size[class];
	return chunk;
}

static void chunk_put(struct buf_chunk *chunk)
{
	int class = chunk->cap == class_size[CLASS_SMALL] - sizeof(*chunk) ? CLASS_SMALL :
									     CLASS_LARGE;

	pool.in_use -= class_size[class];
	if (pool.n_free[class] >= class_keep[class]) {
		free(chunk);
		return;
	}
	chunk->next = pool.free[class];
	pool.free[class] = chunk;
	pool.n_free[class]++;
}

void buf_init(struct buf *buf)
{
	memset(buf, 0, sizeof(*buf));
}

void buf_done(struct buf *buf)
{
	struct buf_chunk *chunk, *next;

	for (chunk = buf->head; chunk; chunk = next) {
		next = chunk->next;
		chunk_put(chunk);
	}
	memset(buf, 0, sizeof(*buf));
}

int buf_append(struct buf *buf, const void *bytes, size_t size)
{
	const uint8_t *from = bytes;
	struct buf_chunk *tail = buf->tail, *fresh = NULL, **link = &fresh, *last = tail;
	size_t room = tail ? tail->cap - tail->end : 0, left;

	/* Take the new chunks first, so that a failure changes nothing. */
	for (left = size > room ? size - room : 0; left;) {
		struct buf_chunk *chunk = chunk_get(left);

		if (!chunk) {
			while (fresh) {
				struct buf_chunk *next = fresh->next;

				chunk_put(fresh);
				fresh = next;
			}
			return -ENOMEM;
		}
		*link = chunk;
		link = &chunk->next;
		last = chunk;
		left -= left < chunk->cap ? left : chunk->cap;
	}
	if (tail)
		tail->next = fresh;
	else
		buf->head = fresh;
	if (!buf->reader && size)
		buf->reader = room ? tail : fresh;
	buf->unread += size;
	for (struct buf_chunk *chunk = room ? tail : fresh; size; chunk = chunk->next) {
		size_t n = chunk->cap - chunk->end;

		if (n > size)
			n = size;
		memcpy(chunk->bytes + chunk->end, from, n);
		chunk->end += (uint32_t)n;
		from += n;
		size -= n;
	}
	buf->tail = last;
	return 0;
}

/* Frees the chunks in front of the reader. */
static void drop_read(struct buf *buf)
{
	while (buf->head && buf->head != buf->reader) {
		struct buf_chunk *next = buf->head->next;

		chunk_put(buf->head);
		buf->head = next;
	}
	if (!buf->head)
		buf->tail = NULL;
}

size_t buf_pull(struct buf *buf, void *dst, size_t size)
{
	uint8_t *to = dst;
	size_t pulled = 0;

	while (pulled < size && buf->reader) {
		struct buf_chunk *chunk = buf->reader;
		size_t n = chunk->end - chunk->read;

		if (n > size - pulled)
			n = size - pulled;
		memcpy(to + pulled, chunk->bytes + chunk->read, n);
		chunk->read += (uint32_t)n;
		pulled += n;
		if (chunk->read == chunk->end)
			buf->reader = chunk->next;
		else
			break;
	}
	buf->unread -= pulled;
	if (buf->retain)
		buf->retained += pulled;
	else
		drop_read(buf);
	return pulled;
}

void buf_retain(struct buf *buf)
{
	buf->retain = true;
}

void buf_rewind(struct buf *buf)
{
	for (struct buf_chunk *chunk = buf->head; chunk; chunk = chunk->next)
		chunk->read = 0;
	buf->unread += buf->retained;
	buf->retained = 0;
	buf->reader = buf->head;
}

void buf_release(struct buf *buf)
{
	buf->retain = false;
	buf->retained = 0;
	drop_read(buf);
}

size_t buf_in_use(void)
{
	return pool.in_use;
}

void buf_pool_trim(void)
{
	for (int class = 0; class < CLASSES; class++) {
		while (pool.free[class]) {
			struct buf_chunk *next = pool.free[class]->next;

			free(pool.free[class]);
			pool.free[class] = next;
		}
		pool.n_free[class] = 0;
	}
}
