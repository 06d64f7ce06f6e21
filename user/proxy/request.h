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

#include "proxy/h2.h"

struct stream;

struct request_facts {
	bool grpc;	  /* POST with a gRPC content-type */
	bool bad_timeout; /* grpc-timeout is there and malformed */
	bool has_timeout;
	uint64_t timeout_ns;
};

void request_read(struct request_facts *facts, const struct h2_header *headers, size_t n);

/* Fills stream->request (and timeout_field) with what goes to the backend: everything in order,
 * without hop-by-hop fields, te only as trailers, x-forwarded-for with client_ip added,
 * x-forwarded-proto set. 0 or -ENOMEM. */
int request_build(struct stream *stream, const struct h2_header *headers, size_t n,
		  const char *client_ip);

#endif
