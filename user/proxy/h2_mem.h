/* SPDX-License-Identifier: MIT */
/*
 * h2_mem.h - memory for HTTP/2 sessions: free lists for the small blocks that every stream takes
 * and gives back, and page-aligned slots for the few large ones of a connection, so that a page
 * that is not touched is not there. Per process, one thread. Used by h2_session.c only.
 */
#ifndef SLUICE_PROXY_H2_MEM_H
#define SLUICE_PROXY_H2_MEM_H

#include <stddef.h>

/* With the semantics of malloc, calloc, realloc and free. */
void *h2_mem_alloc(size_t size);
void *h2_mem_zalloc(size_t n, size_t size);
void *h2_mem_resize(void *block, size_t size);
void h2_mem_free(void *block);

/* The block's content is not needed any more, its place still is: gives back the pages of a large
 * block; they read as zeros then. Nothing for a small one. */
void h2_mem_discard(void *block);

/* Gives the free lists back to the system, for a leak-clean exit. */
void h2_mem_trim(void);

#endif
