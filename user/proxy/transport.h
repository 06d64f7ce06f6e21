/* SPDX-License-Identifier: MIT */
/*
 * transport.h - a byte stream for h2: a non-blocking socket, with TLS on it or not. Owns the
 * socket and the TLS object. Reports readiness; reads and writes are the caller's to ask for.
 */
#ifndef SLUICE_PROXY_TRANSPORT_H
#define SLUICE_PROXY_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/loop.h"

struct tls;
struct tls_context;

enum transport_state { TRANSPORT_CONNECTING, TRANSPORT_HANDSHAKE, TRANSPORT_OPEN, TRANSPORT_FAILED };

struct transport;

struct transport_events {
	/* Connected, and the TLS handshake (where there is one) done. */
	void (*on_open)(struct transport *transport);
	void (*on_readable)(struct transport *transport);
	/* A write that had come back short can go on. */
	void (*on_writable)(struct transport *transport);
	/* Connect or handshake failed: err is an errno (ETIMEDOUT is the caller's own), or EPROTO for
	 * TLS with the reason in transport_error. Nothing follows it. */
	void (*on_failed)(struct transport *transport, int err);
};

struct transport {
	struct loop *loop;
	struct loop_io io;
	struct tls *tls;
	enum transport_state state;
	bool want_write;
	const struct transport_events *events;
};

/* Takes the accepted socket fd; with tls_context: runs the server's handshake, else is open at
 * once (on_open is not called then). 0, or -errno (fd stays the caller's). */
int transport_accept(struct transport *transport, struct loop *loop, int fd,
		     struct tls_context *tls_context, const struct transport_events *events);
/* Starts a cleartext connect. 0 (on_open or on_failed follows, never from within), or -errno. */
int transport_connect(struct transport *transport, struct loop *loop, const struct addr *to,
		      const struct transport_events *events);
/* Bytes read, 0 at the peer's end, -EAGAIN, or -errno. */
ssize_t transport_read(struct transport *transport, void *buf, size_t size);
/* True where a read now may give bytes although the socket has none (TLS holds them). */
bool transport_pending(const struct transport *transport);
/* Bytes written (maybe fewer), -EAGAIN (on_writable follows), or -errno. After -EAGAIN the next
 * call must begin with the same bytes. */
ssize_t transport_write(struct transport *transport, const void *buf, size_t size);
/* Whether on_readable is wanted (true from the start). */
void transport_want_read(struct transport *transport, bool want);
/* What a TLS failure was, for the log; never NULL. */
const char *transport_error(const struct transport *transport);
/* Idempotent. Sends TLS close_notify where it can without waiting, closes the socket. No callback
 * follows. */
void transport_close(struct transport *transport);

#endif
