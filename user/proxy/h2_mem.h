/* SPDX-License-Identifier: MIT */
/*
 * h2_mem.h - memory for the HPACK codecs: free lists for the small blocks that every header field
 * and every connection takes and gives back. Per process, one thread. Used by h2_hpack.c only.
 */
#ifndef SLUICE_PROXY_H2_MEM_H
#define SLUICE_PROXY_H2_MEM_H

#include <stddef.h>

/* With the semantics of malloc, calloc, realloc and free. */
void *h2_mem_alloc(size_t size);
void *h2_mem_zalloc(size_t n, size_t size);
void *h2_mem_resize(void *bytes, size_t size);
void h2_mem_free(void *bytes);

/* Gives the free lists back to the system, for a leak-clean exit. */
void h2_mem_trim(void);

#endif
