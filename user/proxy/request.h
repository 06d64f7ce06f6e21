/* SPDX-License-Identifier: MIT */
/*
 * request.h - a request's headers: what sluice needs to know of them, and what it forwards. Called
 * by dispatch only.
 */
#ifndef SLUICE_PROXY_REQUEST_H
#define SLUICE_PROXY_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "config/config.h"
#include "proxy/h2.h"

struct stream;

struct request_facts {
	bool grpc;	  /* POST with a gRPC content-type */
	bool bad_timeout; /* grpc-timeout is there and malformed */
	bool has_timeout;
	bool head, connect; /* :method */
	uint64_t timeout_ns;
};

void request_read(struct request_facts *facts, const struct h2_header *headers, size_t n);

/* The client's address as hops (≥ 1) trusted proxies in front give it: that many entries from the end
 * of x-forwarded-for. Where it is not there or no address, *source stays what it is. */
void request_source(struct addr *source, const struct h2_header *headers, size_t n, uint32_t hops);

/* Fills stream->request (and client_ip, request_id, timeout_field) with what goes to the backend:
 * everything in order without fields of one hop, te only as trailers; then the route's edits. What sluice
 * says of the client no client can say itself:
 *
 * x-forwarded-for    the entries of listener.trusted_hops proxies (none where there are fewer), and the
 *		      address that the connection came from
 * x-forwarded-proto  https; behind trusted hops what they say, if that is http or https
 * x-request-id	      where listener.request_id: the client's first, if it is short and plain, else a
 *		      random one
 *
 * 0 or -ENOMEM. */
int request_build(struct stream *stream, const struct config_listener *listener,
		  const struct h2_header *headers, size_t n);

/* Fills stream->up.trailers with a request's, but for what sluice or the route sets: who reads them
 * as headers shall not read a client's. 0 or -ENOMEM. */
int request_trailers(struct stream *stream, const struct h2_header *headers, size_t n);

#endif
