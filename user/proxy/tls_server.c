/* SPDX-License-Identifier: MIT */
/*
 * tls_server.c - a listener's TLS: its certificates, h2 or nothing by ALPN, session tickets that any
 * worker can open, client certificates. Contexts are made by the router, once a configuration.
 */
#include "proxy/tls_internal.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

static struct channel_tickets ticket_keys;

/* ALPN must offer h2: without the extension OpenSSL would not even ask us (RFC 7301 3.2). */
static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
	const unsigned char *alpn;
	size_t len;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation,
				      &alpn, &len)) {
		for (size_t i = 2; i < len; i += alpn[i] + 1u)
			if (alpn[i] == 2 && i + 2 < len && !memcmp(alpn + i + 1, "h2", 2))
				return SSL_CLIENT_HELLO_SUCCESS;
	}
	((struct tls *)SSL_get_app_data(ssl))->alpn_refused = true;
	*alert = SSL_AD_NO_APPLICATION_PROTOCOL;
	return SSL_CLIENT_HELLO_ERROR;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		   const unsigned char *in, unsigned int in_len, void *arg)
{
	for (unsigned i = 0; i < in_len; i += in[i] + 1u)
		if (in[i] == 2 && i + 2 < in_len && !memcmp(in + i + 1, "h2", 2)) {
			*out = in + i + 1;
			*out_len = 2;
			return SSL_TLSEXT_ERR_OK;
		}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Taken note of, so that a session that is resumed by TLS 1.2 still knows its name. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
	return SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) ? SSL_TLSEXT_ERR_OK :
								    SSL_TLSEXT_ERR_NOACK;
}

void tls_set_ticket_keys(const struct channel_tickets *tickets)
{
	ticket_keys = *tickets;
	if (ticket_keys.n > TICKET_KEYS_MAX)
		ticket_keys.n = 0;
}

/* 1: use it; 2: use it and send a new ticket; 0: no key (full handshake); -1: error. */
static int on_ticket_key(SSL *ssl, unsigned char name[16], unsigned char *iv,
			 EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int enc)
{
	struct channel_ticket_key *key = NULL;
	OSSL_PARAM params[3];

	for (uint32_t i = 0; i < ticket_keys.n && !key; i++)
		if (enc || !memcmp(name, ticket_keys.keys[i].name, 16))
			key = &ticket_keys.keys[i];
	if (!key)
		return 0;
	if (enc) {
		memcpy(name, key->name, 16);
		if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
			return -1;
	}
	params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->hmac,
						      sizeof(key->hmac));
	params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"sha256", 0);
	params[2] = OSSL_PARAM_construct_end();
	if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv, enc) != 1 ||
	    EVP_MAC_CTX_set_params(mac, params) != 1)
		return -1;
	return !enc && key != &ticket_keys.keys[0] ? 2 : 1;
}

/* Tickets hold who the client was, as verified by this listener's CAs: under another listener's,
 * or these CAs' successors, they must mean nothing; nor may one that was given to a client without
 * a certificate get it in where one is required. */
static bool bind_sessions(SSL_CTX *ctx, const struct config_listener *config)
{
	uint8_t id[32] = "sluice";
	unsigned len = 6;

	if (config->client_ca_pem) {
		if (EVP_Digest(config->client_ca_pem, config->client_ca_len, id, &len,
			       EVP_sha256(), NULL) != 1)
			return false;
		id[0] ^= config->client_required;
	}
	return SSL_CTX_set_session_id_context(ctx, id, len) == 1;
}

struct tls_context *tls_server_context_new(const struct config_listener *config, char *why,
					   size_t why_size)
{
	struct tls_context *context = tls_context_new(TLS_server_method(), why, why_size);
	SSL_CTX *ctx;

	if (!context)
		return NULL;
	ctx = context->ctx;
	/* The client's order of ciphers holds: it knows whether it has AES in hardware, and all that
	 * are offered here are good. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket_key);
	SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
	SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	if (!bind_sessions(ctx, config)) {
		tls_why(why, why_size, "TLS settings");
		goto fail;
	}
	for (size_t i = 0; i < config->n_certificates; i++)
		if (tls_context_certificate(context, &config->certificates[i], why, why_size))
			goto fail;
	if (config->client_ca_pem) {
		if (tls_context_cas(context, config->client_ca_pem, config->client_ca_len, true, why,
				    why_size))
			goto fail;
		SSL_CTX_set_verify(ctx,
				   SSL_VERIFY_PEER | (config->client_required ?
							      SSL_VERIFY_FAIL_IF_NO_PEER_CERT :
							      0),
				   NULL);
	}
	return context;
fail:
	tls_context_free(context);
	return NULL;
}

struct tls *tls_new(struct tls_context *context, int fd)
{
	struct tls *tls = tls_alloc(context, fd);

	if (tls)
		SSL_set_accept_state(tls->ssl);
	return tls;
}
