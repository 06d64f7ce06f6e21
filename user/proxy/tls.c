/* SPDX-License-Identifier: MIT */
/*
 * tls.c - a TLS connection, either side, see tls.h. Its BIO reads straight from the socket and gathers
 * what OpenSSL writes, record by record, in one scratch area of the process, so that a turn's records
 * leave in one system call; only what the socket does not take is kept with the connection.
 */
#include "proxy/tls_internal.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SCRATCH_SIZE ((size_t)96 * 1024)
/* More than is ever written while the socket blocks: it is the answers to key updates that grow
 * without end where a peer asks for them and takes none. */
#define WAITING_MAX  ((size_t)256 * 1024)

static struct {
	size_t len;
	uint8_t bytes[SCRATCH_SIZE];
} scratch;

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

/* ---- connections ---- */

struct tls *tls_alloc(struct tls_context *context, int fd)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	BIO *bio = NULL;

	if (!tls)
		return NULL;
	tls->fd = fd;
	tls->ssl = SSL_new(context->ctx);
	bio = bio_method() ? BIO_new(bio_method()) : NULL;
	if (!tls->ssl || !bio) {
		BIO_free(bio);
		tls_free(tls);
		return NULL;
	}
	BIO_set_data(bio, tls);
	SSL_set_bio(tls->ssl, bio, bio);
	SSL_set_app_data(tls->ssl, tls);
	return tls;
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	tls_client_done(tls);
	SSL_free(tls->ssl);
	tls_peer_free(tls->peer);
	free(tls->waiting);
	free(tls);
}

/* An alert of the peer's about our certificate. */
static bool is_about_certificate(unsigned long error)
{
	if (ERR_GET_LIB(error) != ERR_LIB_SSL)
		return false;
	switch (ERR_GET_REASON(error)) {
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
		return true;
	default:
		return false;
	}
}

/* The errno for a failed OpenSSL call; -EAGAIN where it only has to wait. */
static int tls_failure(struct tls *tls, int rc)
{
	int error = SSL_get_error(tls->ssl, rc);
	const char *reason;

	if (error == SSL_ERROR_ZERO_RETURN) /* close_notify */
		tls->eof = true;
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ||
	    error == SSL_ERROR_WANT_CLIENT_HELLO_CB)
		return -EAGAIN;
	reason = ERR_reason_error_string(ERR_peek_error());
	if (ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_SSL &&
	    ERR_GET_REASON(ERR_peek_error()) == SSL_R_CERTIFICATE_VERIFY_FAILED)
		reason = X509_verify_cert_error_string(SSL_get_verify_result(tls->ssl));
	snprintf(tls->error, sizeof(tls->error), "%s",
		 tls->alpn_refused ? "client does not offer h2" :
		 reason ? reason : tls->eof ? "connection closed" : strerror(errno));
	tls->certificate_refused = is_about_certificate(ERR_peek_error());
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
	if (err == 1 && tls->client && !tls_client_check(tls))
		return -EPROTO;
	return tls->write_errno && err != -EPROTO ? -tls->write_errno : err;
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
	return rc == -ECONNRESET ? 0 : rc;
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

bool tls_certificate_refused(const struct tls *tls)
{
	return tls->certificate_refused;
}

bool tls_heard(const struct tls *tls)
{
	return SSL_get_state(tls->ssl) != TLS_ST_BEFORE;
}

const char *tls_error(const struct tls *tls)
{
	return tls->error[0] ? tls->error : "no error";
}
