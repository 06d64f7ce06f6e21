/* SPDX-License-Identifier: MIT */
/*
 * tls_internal.h - what the tls*.c files share: tls.c the connection, tls_context.c what both kinds
 * of context need, tls_server.c and tls_client.c one kind each, tls_peer.c who the client is.
 */
#ifndef SLUICE_PROXY_TLS_INTERNAL_H
#define SLUICE_PROXY_TLS_INTERNAL_H

#include <openssl/ssl.h>
#include <stdint.h>

#include "proxy/tls.h"

struct tls_store;
struct tls_sessions;
struct tls_client;
struct tls_peer_facts;

struct tls_context {
	unsigned refs;
	SSL_CTX *ctx;
	struct tls_store *store; /* NULL: nobody is verified */
	/* of client contexts */
	struct tls_sessions *sessions; /* NULL: none yet */
	uint8_t digest[32];	       /* of the settings */
};

struct tls {
	SSL *ssl;
	int fd;
	int write_errno; /* the socket failed; nothing can be sent any more */
	bool alpn_refused;
	bool certificate_refused;
	bool eof;
	uint8_t *waiting; /* ciphertext that the socket did not take yet */
	size_t waiting_at, waiting_len;
	struct tls_client *client;   /* NULL: the server's side */
	struct tls_peer_facts *peer; /* NULL: nobody asked */
	char error[96];
};

/* ---- tls_context.c ---- */

/* With what both sides have in common. NULL with the reason in why. */
struct tls_context *tls_context_new(const SSL_METHOD *method, char *why, size_t why_size);
int tls_context_certificate(struct tls_context *context,
			    const struct config_certificate *certificate, char *why,
			    size_t why_size);
/* Peers are verified by these CAs; memory is shared between contexts with equal ones. ask: a server
 * names them to its clients. */
int tls_context_cas(struct tls_context *context, const uint8_t *pem, size_t len, bool ask, char *why,
		    size_t why_size);
void tls_why(char *why, size_t size, const char *what);

/* ---- tls.c ---- */

/* A connection without a side yet. */
struct tls *tls_alloc(struct tls_context *context, int fd);

/* ---- tls_client.c ---- */

/* Whether the backend chose h2; else tls->error says so. */
bool tls_client_check(struct tls *tls);
/* Before the SSL object goes. */
void tls_client_done(struct tls *tls);
void tls_sessions_free(struct tls_sessions *sessions);

/* ---- tls_peer.c ---- */

void tls_peer_free(struct tls_peer_facts *peer); /* takes NULL */

#endif
