/* SPDX-License-Identifier: MIT */
/*
 * buf.h - a byte queue in pooled chunks: what waits to go out on one leg of a stream. Bytes that
 * were read can be retained, so that a request can be sent again to another backend (rewind).
 * Chunks come from per-process free lists; one thread only.
 */
#ifndef SLUICE_BASE_BUF_H
#define SLUICE_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf_chunk;

struct buf {
	struct buf_chunk *head, *tail;
	struct buf_chunk *reader; /* chunk of the next unread byte; NULL: nothing unread */
	size_t unread, retained;  /* bytes */
	bool retain;
};

void buf_init(struct buf *buf);
void buf_done(struct buf *buf);

/* Copies size bytes to the end. 0 or -ENOMEM (nothing appended). */
int buf_append(struct buf *buf, const void *bytes, size_t size);
/* Moves up to size bytes out of the front; returns how many. */
size_t buf_pull(struct buf *buf, void *dst, size_t size);

/* From now on bytes pulled stay retained. */
void buf_retain(struct buf *buf);
/* Retained bytes become unread again, in front. */
void buf_rewind(struct buf *buf);
/* Frees what is retained, and retains no more. */
void buf_release(struct buf *buf);

static inline size_t buf_unread(const struct buf *buf)
{
	return buf->unread;
}

/* Memory of all chunks in use by this process, bytes. */
size_t buf_in_use(void);
/* Frees the free lists, for a leak-clean exit. */
void buf_pool_trim(void);

#endif
