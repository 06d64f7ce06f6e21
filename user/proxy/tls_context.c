/* SPDX-License-Identifier: MIT */
/*
 * tls_context.c - what server and client contexts have in common: settings, the certificate that
 * is shown, the CAs that the peer's is checked by. A thousand groups that trust the same CAs hold
 * them once.
 */
#include "proxy/tls_internal.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_BUFFER ((size_t)64 * 1024)

struct tls_store {
	struct tls_store *next;
	unsigned refs;
	uint8_t *pem; /* a copy */
	size_t len;
	X509_STORE *store;
};

static struct tls_store *stores;

void tls_why(char *why, size_t size, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	snprintf(why, size, "%s: %s", what, reason ? reason : "unknown error");
	ERR_clear_error();
}

/* ---- CAs ---- */

static void store_unref(struct tls_store *store)
{
	struct tls_store **at = &stores;

	if (!store || --store->refs)
		return;
	while (*at != store)
		at = &(*at)->next;
	*at = store->next;
	X509_STORE_free(store->store);
	free(store->pem);
	free(store);
}

static int store_read(X509_STORE *store, const uint8_t *pem, size_t len, char *why, size_t why_size)
{
	BIO *bio = BIO_new_mem_buf(pem, (int)len);
	X509 *ca;
	unsigned n = 0;
	int err = -EINVAL;

	ERR_clear_error();
	while (bio && (ca = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		int ok = X509_STORE_add_cert(store, ca);

		X509_free(ca);
		if (ok != 1) {
			tls_why(why, why_size, "CA");
			goto out;
		}
		n++;
	}
	/* The end of the file is an "error" too. */
	if (n && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
		err = 0;
	else
		tls_why(why, why_size, n ? "CA" : "no CA certificate");
out:
	ERR_clear_error();
	BIO_free(bio);
	return err;
}

static struct tls_store *store_get(const uint8_t *pem, size_t len, char *why, size_t why_size)
{
	struct tls_store *store;

	snprintf(why, why_size, "no memory");
	for (store = stores; store; store = store->next)
		if (store->len == len && !memcmp(store->pem, pem, len)) {
			store->refs++;
			return store;
		}
	store = calloc(1, sizeof(*store));
	if (!store)
		return NULL;
	store->pem = malloc(len + 1);
	store->store = X509_STORE_new();
	if (!store->pem || !store->store || store_read(store->store, pem, len, why, why_size)) {
		X509_STORE_free(store->store);
		free(store->pem);
		free(store);
		return NULL;
	}
	memcpy(store->pem, pem, len);
	store->len = len;
	store->refs = 1;
	store->next = stores;
	stores = store;
	return store;
}

/* The names of the CAs, so that a client with several certificates knows which one to show. */
static int ask_by_name(SSL_CTX *ctx, X509_STORE *store)
{
	STACK_OF(X509) *cas = X509_STORE_get1_all_certs(store);
	int ok = cas != NULL;

	for (int i = 0; ok && i < sk_X509_num(cas); i++)
		ok = SSL_CTX_add_client_CA(ctx, sk_X509_value(cas, i)) == 1;
	sk_X509_pop_free(cas, X509_free);
	return ok ? 0 : -ENOMEM;
}

int tls_context_cas(struct tls_context *context, const uint8_t *pem, size_t len, bool ask, char *why,
		    size_t why_size)
{
	context->store = store_get(pem, len, why, why_size);
	if (!context->store)
		return -EINVAL;
	SSL_CTX_set1_cert_store(context->ctx, context->store->store);
	if (ask && ask_by_name(context->ctx, context->store->store)) {
		snprintf(why, why_size, "no memory");
		return -ENOMEM;
	}
	/* What the file holds is trusted, also where it is an intermediate CA or a certificate itself. */
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context->ctx), X509_V_FLAG_PARTIAL_CHAIN);
	return 0;
}

/* ---- certificates ---- */

int tls_context_certificate(struct tls_context *context,
			    const struct config_certificate *certificate, char *why,
			    size_t why_size)
{
	SSL_CTX *ctx = context->ctx;
	BIO *chain = BIO_new_mem_buf(certificate->chain_pem, (int)certificate->chain_len);
	BIO *key_bio = BIO_new_mem_buf(certificate->key_pem, (int)certificate->key_len);
	X509 *leaf = chain ? PEM_read_bio_X509_AUX(chain, NULL, NULL, NULL) : NULL, *ca;
	/* An encrypted key fails, instead of asking on a terminal. */
	char passphrase[] = "";
	EVP_PKEY *key = NULL;
	int err = -EINVAL;

	if (key_bio)
		key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, passphrase);
	if (!leaf || SSL_CTX_use_certificate(ctx, leaf) != 1) {
		tls_why(why, why_size, "certificate");
		goto out;
	}
	/* The check is for a key of another type, which would only be put beside the certificate. */
	if (!key || SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
		tls_why(why, why_size, "key");
		goto out;
	}
	SSL_CTX_clear_chain_certs(ctx);
	while ((ca = PEM_read_bio_X509(chain, NULL, NULL, NULL)))
		if (SSL_CTX_add0_chain_cert(ctx, ca) != 1) {
			X509_free(ca);
			tls_why(why, why_size, "chain");
			goto out;
		}
	ERR_clear_error(); /* the end of the chain is an "error" too */
	err = 0;
out:
	X509_free(leaf);
	EVP_PKEY_free(key);
	BIO_free(chain);
	BIO_free(key_bio);
	return err;
}

/* ---- contexts ---- */

struct tls_context *tls_context_new(const SSL_METHOD *method, char *why, size_t why_size)
{
	struct tls_context *context = calloc(1, sizeof(*context));
	SSL_CTX *ctx = context ? SSL_CTX_new(method) : NULL;

	if (!ctx) {
		snprintf(why, why_size, "no memory for a TLS context");
		free(context);
		return NULL;
	}
	context->refs = 1;
	context->ctx = ctx;
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	/* RFC 9113 9.2: ephemeral keys and AEAD only, no renegotiation, no compression. */
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					 SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, READ_BUFFER);
	if (SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) {
		tls_why(why, why_size, "TLS settings");
		tls_context_free(context);
		return NULL;
	}
	return context;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
	if (context)
		context->refs++;
	return context;
}

void tls_context_free(struct tls_context *context)
{
	if (!context || --context->refs)
		return;
	tls_sessions_free(context->sessions);
	SSL_CTX_free(context->ctx);
	store_unref(context->store);
	free(context);
}
