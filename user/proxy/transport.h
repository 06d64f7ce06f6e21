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

enum transport_state {
	TRANSPORT_CONNECTING,
	TRANSPORT_HANDSHAKE,
	TRANSPORT_OPEN,
	TRANSPORT_CLOSED,
};

struct transport;

/* Called from the loop, never from within a transport_ function. Any of them may close. */
struct transport_events {
	/* Connected, and the TLS handshake (where there is one) done. */
	void (*on_open)(struct transport *transport);
	void (*on_readable)(struct transport *transport);
	/* Everything written has gone out after transport_blocked was true. */
	void (*on_writable)(struct transport *transport);
	/* Connect or handshake failed: err is an errno; EPROTO for TLS (transport_error says why).
	 * The owner closes. */
	void (*on_failed)(struct transport *transport, int err);
};

struct transport {
	struct loop *loop;
	struct loop_io io;
	struct tls *tls; /* NULL: cleartext */
	enum transport_state state;
	bool want_read;	 /* on_readable is wanted */
	bool want_write; /* on_writable is wanted */
	const struct transport_events *events;
};

/* Takes the accepted, non-blocking socket fd; with tls_context: runs the server's handshake, else
 * on_open follows in the next turn. 0, or -errno (fd stays the caller's). */
int transport_accept(struct transport *transport, struct loop *loop, int fd,
		     struct tls_context *tls_context, const struct transport_events *events);
/* Starts a connect; on_open or on_failed follows. tls_context: with the client's handshake, for
 * server_name (tls_connect_new); NULL: cleartext. 0, or -errno. */
int transport_connect(struct transport *transport, struct loop *loop, const struct addr *to,
		      struct tls_context *tls_context, const char *server_name,
		      const struct transport_events *events);
/* Bytes read, 0 at the peer's end, -EAGAIN, or -errno. */
ssize_t transport_read(struct transport *transport, void *buf, size_t size);
/* True where a read now may give bytes although the socket has none (TLS holds them). */
bool transport_pending(const struct transport *transport);
/* Bytes taken (maybe fewer; on_writable follows), -EAGAIN (on_writable follows), or -errno. */
ssize_t transport_write(struct transport *transport, const void *buf, size_t size);
/* Bytes taken earlier still wait for the socket: on_writable follows. */
bool transport_blocked(const struct transport *transport);
/* Asks for on_writable in the next turn although nothing is blocked: to yield to others. */
void transport_yield(struct transport *transport);
/* Whether on_readable is wanted (true from the start). */
void transport_want_read(struct transport *transport, bool want);
/* Ends the sending side in order (TLS close_notify, FIN); reading goes on. */
void transport_shutdown(struct transport *transport);
/* What a TLS failure was, for the log; never NULL. */
const char *transport_error(const struct transport *transport);
/* Idempotent. Closes the socket at once. No callback follows. */
void transport_close(struct transport *transport);

#endif
