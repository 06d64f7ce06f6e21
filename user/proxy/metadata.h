/* SPDX-License-Identifier: MIT */
/*
 * metadata.h - what a route changes in a call's metadata: keys removed, set and added, :authority and
 * the begin of :path rewritten, with values from the call where they have variables. Compiled once a
 * configuration by route.c; applied to requests by request.c, to responses by the relay.
 *
 * What variables put in is always a valid value: bytes that metadata cannot have become "?", and more
 * than METADATA_VALUE_MAX bytes count as none. A value that has variables and comes out empty is left
 * out; `set` removes what the client or backend sent either way.
 */
#ifndef SLUICE_PROXY_METADATA_H
#define SLUICE_PROXY_METADATA_H

#include <stddef.h>

#include "config/config.h"
#include "proxy/h2.h"

struct metadata_edits;
struct stream;
struct stream_headers;

#define METADATA_VALUE_MAX 4096

/* *ret_edits: NULL where there is nothing to change. route: for its rewrites; NULL: a response's edits.
 * config and route must outlive it. 0 or -ENOMEM. */
int metadata_edits_new(struct metadata_edits **ret_edits, const struct config_edits *config,
		       const struct config_route *route);
void metadata_edits_free(struct metadata_edits *edits); /* takes NULL */

/* Changes headers in place (fields are new ones in the stream's arena). request: the call's headers
 * that variables speak of. 0 or -ENOMEM. */
int metadata_edit(const struct metadata_edits *edits, struct stream *stream,
		  struct stream_headers *headers, const struct stream_headers *request);
/* Of a response: leaves out of trailers what its headers have removed or set. 0 or -ENOMEM. */
int metadata_edit_trailers(const struct metadata_edits *edits, struct stream *stream,
			   struct stream_headers *trailers);

#endif
