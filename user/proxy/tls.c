/* SPDX-License-Identifier: MIT */
/*
 * tls.c - OpenSSL behind tls.h. Its BIO reads straight from the socket and gathers what OpenSSL
 * writes, record by record, in one scratch area of the process, so that a turn's records leave in
 * one system call; only what the socket does not take is kept with the connection.
 */
#include "proxy/tls.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SCRATCH_SIZE ((size_t)96 * 1024)
/* More than is ever written while the socket blocks: it is the answers to key updates that grow
 * without end where a peer asks for them and takes none. */
#define WAITING_MAX  ((size_t)256 * 1024)
#define READ_BUFFER  ((size_t)64 * 1024)

struct tls_context {
	SSL_CTX *ctx;
};

struct tls {
	SSL *ssl;
	int fd;
	int write_errno; /* the socket failed; nothing can be sent any more */
	bool alpn_refused;
	bool eof;
	uint8_t *waiting; /* ciphertext that the socket did not take yet */
	size_t waiting_at, waiting_len;
	char error[96];
};

static struct {
	size_t len;
	uint8_t bytes[SCRATCH_SIZE];
} scratch;

static struct channel_tickets ticket_keys;

/* ---- output ---- */

static int keep_waiting(struct tls *tls, const uint8_t *bytes, size_t size)
{
	size_t have = tls->waiting_len - tls->waiting_at;
	uint8_t *grown = have + size <= WAITING_MAX ? malloc(have + size) : NULL;

	if (!grown)
		return -ENOMEM;
	if (have)
		memcpy(grown, tls->waiting + tls->waiting_at, have);
	memcpy(grown + have, bytes, size);
	free(tls->waiting);
	tls->waiting = grown;
	tls->waiting_at = 0;
	tls->waiting_len = have + size;
	return 0;
}

/* Sends the scratch area; what the socket does not take waits with the connection. */
static void scratch_flush(struct tls *tls)
{
	size_t sent = 0;

	while (!tls->write_errno && !tls->waiting && sent < scratch.len) {
		ssize_t n = send(tls->fd, scratch.bytes + sent, scratch.len - sent, MSG_NOSIGNAL);

		if (n >= 0)
			sent += (size_t)n;
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			break;
		else if (errno != EINTR)
			tls->write_errno = errno;
	}
	if (!tls->write_errno && sent < scratch.len &&
	    keep_waiting(tls, scratch.bytes + sent, scratch.len - sent))
		tls->write_errno = ENOMEM;
	scratch.len = 0;
}

int tls_flush(struct tls *tls)
{
	while (!tls->write_errno && tls->waiting) {
		ssize_t n = send(tls->fd, tls->waiting + tls->waiting_at,
				 tls->waiting_len - tls->waiting_at, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return -EAGAIN;
		if (n < 0 && errno != EINTR)
			tls->write_errno = errno;
		if (n > 0)
			tls->waiting_at += (size_t)n;
		if (tls->waiting_at == tls->waiting_len) {
			free(tls->waiting);
			tls->waiting = NULL;
			tls->waiting_at = tls->waiting_len = 0;
		}
	}
	return -tls->write_errno;
}

bool tls_has_output(const struct tls *tls)
{
	return tls->waiting != NULL;
}

/* ---- the BIO ---- */

static int bio_write(BIO *bio, const char *bytes, int size)
{
	struct tls *tls = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (scratch.len + (size_t)size > SCRATCH_SIZE)
		scratch_flush(tls);
	if (tls->write_errno || (size_t)size > SCRATCH_SIZE)
		return -1;
	memcpy(scratch.bytes + scratch.len, bytes, (size_t)size);
	scratch.len += (size_t)size;
	return size;
}

static int bio_read(BIO *bio, char *bytes, int size)
{
	struct tls *tls = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	do
		n = recv(tls->fd, bytes, (size_t)size, 0);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		tls->eof = true;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		BIO_set_retry_read(bio);
	return (int)n;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

static BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *method;

	if (method)
		return method;
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sluice socket");
	if (method) {
		BIO_meth_set_write(method, bio_write);
		BIO_meth_set_read(method, bio_read);
		BIO_meth_set_ctrl(method, bio_ctrl);
		BIO_meth_set_create(method, bio_create);
	}
	return method;
}

/* ---- contexts ---- */

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

static void why_openssl(char *why, size_t size, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	snprintf(why, size, "%s: %s", what, reason ? reason : "unknown error");
	ERR_clear_error();
}

static int use_certificate(SSL_CTX *ctx, const struct config_certificate *certificate, char *why,
			   size_t why_size)
{
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
		why_openssl(why, why_size, "certificate");
		goto out;
	}
	/* The check is for a key of another type, which would only be put beside the certificate. */
	if (!key || SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
		why_openssl(why, why_size, "key");
		goto out;
	}
	SSL_CTX_clear_chain_certs(ctx);
	while ((ca = PEM_read_bio_X509(chain, NULL, NULL, NULL)))
		if (SSL_CTX_add0_chain_cert(ctx, ca) != 1) {
			X509_free(ca);
			why_openssl(why, why_size, "chain");
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

struct tls_context *tls_context_new(const struct config_certificate *certificates, size_t n,
				    char *why, size_t why_size)
{
	struct tls_context *context = calloc(1, sizeof(*context));
	SSL_CTX *ctx = context ? SSL_CTX_new(TLS_server_method()) : NULL;

	if (!ctx || !bio_method()) {
		snprintf(why, why_size, "no memory for a TLS context");
		tls_context_free(context);
		return NULL;
	}
	context->ctx = ctx;
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	/* RFC 9113 9.2: ephemeral keys and AEAD only, no renegotiation, no compression. */
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					 SSL_OP_IGNORE_UNEXPECTED_EOF);
	/* The client's order of ciphers holds: it knows whether it has AES in hardware, and all that
	 * are offered here are good. */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, READ_BUFFER);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket_key);
	SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	if (SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
	    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"sluice", 6) != 1) {
		why_openssl(why, why_size, "TLS settings");
		tls_context_free(context);
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		if (use_certificate(ctx, &certificates[i], why, why_size)) {
			tls_context_free(context);
			return NULL;
		}
	return context;
}

void tls_context_free(struct tls_context *context)
{
	if (!context)
		return;
	SSL_CTX_free(context->ctx);
	free(context);
}

/* ---- connections ---- */

struct tls *tls_new(struct tls_context *context, int fd)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	BIO *bio = NULL;

	if (!tls)
		return NULL;
	tls->fd = fd;
	tls->ssl = SSL_new(context->ctx);
	bio = BIO_new(bio_method());
	if (!tls->ssl || !bio) {
		BIO_free(bio);
		tls_free(tls);
		return NULL;
	}
	BIO_set_data(bio, tls);
	SSL_set_bio(tls->ssl, bio, bio);
	SSL_set_app_data(tls->ssl, tls);
	SSL_set_accept_state(tls->ssl);
	return tls;
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	SSL_free(tls->ssl);
	free(tls->waiting);
	free(tls);
}

/* The errno for a failed OpenSSL call; -EAGAIN where it only has to wait. */
static int tls_failure(struct tls *tls, int rc)
{
	int error = SSL_get_error(tls->ssl, rc);
	const char *reason;

	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ||
	    error == SSL_ERROR_WANT_CLIENT_HELLO_CB)
		return -EAGAIN;
	reason = ERR_reason_error_string(ERR_peek_error());
	snprintf(tls->error, sizeof(tls->error), "%s",
		 tls->alpn_refused ? "client does not offer h2" :
		 reason ? reason : tls->eof ? "connection closed" : strerror(errno));
	ERR_clear_error();
	return tls->eof ? -ECONNRESET : -EPROTO;
}

int tls_handshake(struct tls *tls)
{
	int rc, err;

	ERR_clear_error();
	rc = SSL_do_handshake(tls->ssl);
	err = rc == 1 ? 1 : tls_failure(tls, rc);
	scratch_flush(tls); /* an alert goes out as well */
	return tls->write_errno ? -tls->write_errno : err;
}

ssize_t tls_read(struct tls *tls, void *buf, size_t size)
{
	size_t n;
	int rc;

	ERR_clear_error();
	rc = SSL_read_ex(tls->ssl, buf, size, &n);
	if (rc != 1)
		rc = tls_failure(tls, rc);
	if (scratch.len) /* a key update or an alert */
		scratch_flush(tls);
	if (rc == 1)
		return (ssize_t)n;
	if (rc != -EAGAIN && (tls->eof || SSL_get_shutdown(tls->ssl) & SSL_RECEIVED_SHUTDOWN))
		return 0;
	return rc;
}

ssize_t tls_write(struct tls *tls, const void *buf, size_t size)
{
	size_t done = 0, n;
	int err = tls_flush(tls);

	if (err)
		return err;
	ERR_clear_error();
	while (done < size) {
		int rc = SSL_write_ex(tls->ssl, (const uint8_t *)buf + done, size - done, &n);

		if (rc != 1) {
			err = tls_failure(tls, rc);
			scratch.len = 0;
			return err == -EAGAIN ? -EPROTO : err;
		}
		done += n;
	}
	scratch_flush(tls);
	return tls->write_errno ? -tls->write_errno : (ssize_t)size;
}

bool tls_has_input(const struct tls *tls)
{
	return SSL_has_pending(tls->ssl) == 1;
}

void tls_shutdown(struct tls *tls)
{
	if (SSL_in_init(tls->ssl) || tls->write_errno)
		return;
	ERR_clear_error();
	SSL_shutdown(tls->ssl);
	ERR_clear_error();
	scratch_flush(tls);
}

bool tls_resumed(const struct tls *tls)
{
	return SSL_session_reused(tls->ssl) == 1;
}

bool tls_alpn_refused(const struct tls *tls)
{
	return tls->alpn_refused;
}

const char *tls_error(const struct tls *tls)
{
	return tls->error[0] ? tls->error : "no error";
}
