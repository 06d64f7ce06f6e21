/* SPDX-License-Identifier: MIT */
/*
 * tls_client.c - TLS towards backends: whom to trust and for which name, the certificate to show,
 * h2 or nothing by ALPN, and the sessions that make the next handshake with a backend short.
 * Contexts are made by the router and the monitor, one a group.
 */
#include "proxy/tls_internal.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Backends that a context remembers a session of; those that share a place push each other out. */
#define SESSIONS	64
#define SESSION_SECONDS 3600

/* A session says that its peer was verified: it is for the same backend by the same name only. */
struct tls_sessions {
	struct {
		struct addr to;
		char *server_name;
		SSL_SESSION *session; /* NULL: none */
	} of[SESSIONS];
};

struct tls_client {
	struct tls_context *context;
	struct addr to;
	char server_name[];
};

/* ---- sessions ---- */

static unsigned place_of(const struct addr *to)
{
	uint8_t bytes[16];
	uint32_t hash = addr_port(to);

	addr_to_mapped(to, bytes);
	for (int i = 0; i < 16; i++)
		hash = hash * 31 + bytes[i];
	return hash % SESSIONS;
}

void tls_sessions_free(struct tls_sessions *sessions)
{
	if (!sessions)
		return;
	for (int i = 0; i < SESSIONS; i++) {
		SSL_SESSION_free(sessions->of[i].session);
		free(sessions->of[i].server_name);
	}
	free(sessions);
}

/* 1: the session is ours now. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
	const struct tls *tls = SSL_get_app_data(ssl);
	struct tls_context *context = tls->client->context;
	unsigned place = place_of(&tls->client->to);
	char *server_name = strdup(tls->client->server_name);

	if (!context->sessions)
		context->sessions = calloc(1, sizeof(*context->sessions));
	if (!context->sessions || !server_name) {
		free(server_name);
		return 0;
	}
	SSL_SESSION_free(context->sessions->of[place].session);
	free(context->sessions->of[place].server_name);
	context->sessions->of[place].to = tls->client->to;
	context->sessions->of[place].server_name = server_name;
	context->sessions->of[place].session = session;
	return 1;
}

static void offer_session(const struct tls *tls)
{
	const struct tls_sessions *sessions = tls->client->context->sessions;
	unsigned place = place_of(&tls->client->to);

	if (sessions && sessions->of[place].session &&
	    addr_equal(&sessions->of[place].to, &tls->client->to) &&
	    !strcmp(sessions->of[place].server_name, tls->client->server_name))
		SSL_set_session(tls->ssl, sessions->of[place].session);
}

/* ---- contexts ---- */

static bool digest_add(EVP_MD_CTX *digest, const void *bytes, size_t len)
{
	/* With its length, so that no two lists of parts look alike. */
	return EVP_DigestUpdate(digest, &len, sizeof(len)) == 1 &&
	       (!len || EVP_DigestUpdate(digest, bytes, len) == 1);
}

/* Equal CAs are one store while a context holds them. */
static bool digest_settings(struct tls_context *context, const struct config_upstream_tls *config)
{
	const struct config_certificate *own = config->certificate;
	const char *name = config->server_name;
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	bool ok = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
		  digest_add(digest, &context->store, sizeof(context->store)) &&
		  digest_add(digest, name, name ? strlen(name) : 0) &&
		  digest_add(digest, own ? own->chain_pem : NULL, own ? own->chain_len : 0) &&
		  digest_add(digest, own ? own->key_pem : NULL, own ? own->key_len : 0) &&
		  EVP_DigestFinal_ex(digest, context->digest, NULL) == 1;

	EVP_MD_CTX_free(digest);
	return ok;
}

struct tls_context *tls_client_context_new(const struct config_upstream_tls *config, char *why,
					   size_t why_size)
{
	struct tls_context *context = tls_context_new(TLS_client_method(), why, why_size);
	SSL_CTX *ctx;

	if (!context)
		return NULL;
	ctx = context->ctx;
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_set_timeout(ctx, SESSION_SECONDS);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
	if (config->verify) {
		if (tls_context_cas(context, config->ca_pem, config->ca_len, false, why, why_size))
			goto fail;
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	}
	if (!digest_settings(context, config) ||
	    SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\2h2", 3)) {
		tls_why(why, why_size, "TLS settings");
		goto fail;
	}
	if (config->certificate &&
	    tls_context_certificate(context, config->certificate, why, why_size))
		goto fail;
	return context;
fail:
	tls_context_free(context);
	return NULL;
}

bool tls_context_is_same(const struct tls_context *a, const struct tls_context *b)
{
	return a == b || (a && b && !memcmp(a->digest, b->digest, sizeof(a->digest)));
}

/* ---- connections ---- */

/* By SAN alone: names in a subject are of the past (RFC 6125). */
static bool expect_name(SSL *ssl, const char *name, bool is_ip)
{
	if (is_ip)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
				       X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, name) == 1;
}

struct tls *tls_connect_new(struct tls_context *context, int fd, const struct addr *to,
			    const char *server_name)
{
	struct tls *tls = tls_alloc(context, fd);
	struct addr number;
	bool is_ip = !addr_from_ip(&number, server_name, 0);

	if (!tls)
		return NULL;
	tls->client = calloc(1, sizeof(*tls->client) + strlen(server_name) + 1);
	if (!tls->client)
		goto fail;
	strcpy(tls->client->server_name, server_name);
	tls->client->context = tls_context_ref(context);
	tls->client->to = *to;
	if (context->store && !expect_name(tls->ssl, server_name, is_ip))
		goto fail;
	if (!is_ip && SSL_set_tlsext_host_name(tls->ssl, server_name) != 1)
		goto fail;
	SSL_set_connect_state(tls->ssl);
	offer_session(tls);
	return tls;
fail:
	tls_free(tls);
	return NULL;
}

bool tls_client_check(struct tls *tls)
{
	const unsigned char *alpn;
	unsigned len;

	SSL_get0_alpn_selected(tls->ssl, &alpn, &len);
	if (len == 2 && !memcmp(alpn, "h2", 2))
		return true;
	snprintf(tls->error, sizeof(tls->error), "the backend does not choose h2 (ALPN)");
	return false;
}

void tls_client_done(struct tls *tls)
{
	if (!tls->client)
		return;
	/* Or OpenSSL would call the session bad where the backend just went away. */
	if (tls->ssl && (tls->eof || !tls->error[0]))
		SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	tls_context_free(tls->client->context);
	free(tls->client);
}
