/* SPDX-License-Identifier: MIT */
/*
 * tls.h - TLS 1.2 and 1.3 over a non-blocking socket, either side, ALPN h2 only. OpenSSL lives in
 * tls*.c and nowhere else; transport.c is the only caller on the data path, the router and the
 * monitor make contexts.
 */
#ifndef SLUICE_PROXY_TLS_H
#define SLUICE_PROXY_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/addr.h"
#include "config/config.h"
#include "shared/channel.h"

struct tls_context;
struct tls;

/* Of a listener: one certificate chain and key for each key type; where it names CAs, clients are
 * asked for a certificate. NULL with the reason in why. */
struct tls_context *tls_server_context_new(const struct config_listener *config, char *why,
					   size_t why_size);
/* Of connections to a group's backends. It remembers their sessions, for shorter handshakes. NULL
 * with the reason in why. */
struct tls_context *tls_client_context_new(const struct config_upstream_tls *config, char *why,
					   size_t why_size);
struct tls_context *tls_context_ref(struct tls_context *context);
/* Takes NULL. Connections hold what they need, so a context can go while they live. */
void tls_context_free(struct tls_context *context);
/* Whether two client contexts ask the same of a backend. Either may be NULL. */
bool tls_context_is_same(const struct tls_context *a, const struct tls_context *b);

/* The session ticket keys of every server context of this process; keys[0] seals. */
void tls_set_ticket_keys(const struct channel_tickets *tickets);

/* The server's side. fd stays the caller's. NULL: no memory. */
struct tls *tls_new(struct tls_context *context, int fd);
/* The client's side, to a backend at to: server_name is what its certificate must be for, and the
 * SNI unless it is an IP address. */
struct tls *tls_connect_new(struct tls_context *context, int fd, const struct addr *to,
			    const char *server_name);
void tls_free(struct tls *tls);

/* 1: done; -EAGAIN; -EPROTO (tls_error says why). */
int tls_handshake(struct tls *tls);
/* Bytes, 0 at the peer's end, -EAGAIN, -EPROTO or -errno. */
ssize_t tls_read(struct tls *tls, void *buf, size_t size);
/* Takes all of size or none: bytes, -EAGAIN (ciphertext of earlier calls waits: tls_flush first),
 * -EPROTO or -errno. */
ssize_t tls_write(struct tls *tls, const void *buf, size_t size);
/* Sends ciphertext that waits. 0: none left; -EAGAIN; -errno. */
int tls_flush(struct tls *tls);
bool tls_has_output(const struct tls *tls);
/* True where tls_read can give bytes without the socket. */
bool tls_has_input(const struct tls *tls);
/* close_notify, as far as it goes without waiting. */
void tls_shutdown(struct tls *tls);
/* What a handshake said of the client. Texts live as long as the tls object. */
struct tls_peer {
	const char *sni;	 /* lower case; "": none */
	const char *subject;	 /* of its verified certificate, RFC 2253; "": none */
	const char *fingerprint; /* SHA-256 of it, lower-case hex; "": none */
	const char *const *sans; /* its DNS (lower case), URI, email and IP names, plain */
	size_t n_sans;
};
/* Worked out at the first call. NULL: no memory, or before the handshake was done. */
const struct tls_peer *tls_peer(struct tls *tls);
bool tls_resumed(const struct tls *tls);
/* The handshake was refused because the client did not offer h2. */
bool tls_alpn_refused(const struct tls *tls);
/* The peer ended the handshake since it does not like our certificate. */
bool tls_certificate_refused(const struct tls *tls);
/* A message of the client's handshake has come, whatever became of it. */
bool tls_heard(const struct tls *tls);
const char *tls_error(const struct tls *tls); /* never NULL */

#endif
