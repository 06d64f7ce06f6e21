/* SPDX-License-Identifier: MIT */
/*
 * tls.h - server-side TLS 1.2 and 1.3 over a non-blocking socket, ALPN h2 only. The only place
 * with OpenSSL; transport.c is its only caller on the data path.
 */
#ifndef SLUICE_PROXY_TLS_H
#define SLUICE_PROXY_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "config/config.h"
#include "shared/channel.h"

struct tls_context;
struct tls;

/* From PEM bytes: one certificate chain and key for each key type. NULL with the reason in why.
 * Connections hold their own reference, so a context can be freed while they live. */
struct tls_context *tls_context_new(const struct config_certificate *certificates, size_t n,
				    char *why, size_t why_size);
void tls_context_free(struct tls_context *context);

/* The session ticket keys of every context of this process; keys[0] seals. */
void tls_set_ticket_keys(const struct channel_tickets *tickets);

/* fd stays the caller's. NULL: no memory. */
struct tls *tls_new(struct tls_context *context, int fd);
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
	const char *const *sans; /* its DNS, URI, email and IP names, plain */
	size_t n_sans;
};
/* Worked out at the first call. NULL: no memory, or before the handshake was done. */
const struct tls_peer *tls_peer(struct tls *tls);
bool tls_resumed(const struct tls *tls);
/* The handshake was refused because the client did not offer h2. */
bool tls_alpn_refused(const struct tls *tls);
const char *tls_error(const struct tls *tls); /* never NULL */

#endif
