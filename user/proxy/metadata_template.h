/* SPDX-License-Identifier: MIT */
/*
 * metadata_template.h - a template of the configuration, taken apart once, and the values that its
 * variables have for a call. For metadata.c.
 */
#ifndef SLUICE_PROXY_METADATA_TEMPLATE_H
#define SLUICE_PROXY_METADATA_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

struct metadata_template;
struct stream;
struct stream_headers;

/* text must outlive it, and be one that config_load took. NULL: no memory. */
struct metadata_template *metadata_template_new(const char *text);
void metadata_template_free(struct metadata_template *template); /* takes NULL */
/* Whether it has no variables. */
bool metadata_template_is_constant(const struct metadata_template *template);
/* The bytes written, without spaces at either end; 0 where it does not fit. any_byte: values stay as
 * they are; else bytes outside printable ASCII become "?". */
size_t metadata_template_fill(const struct metadata_template *template, struct stream *stream,
			      const struct stream_headers *request, bool any_byte, char *out,
			      size_t size);

#endif
