/* SPDX-License-Identifier: MIT */
/*
 * tls_check.c - see tls_check.h. Loads the pair into a context as a worker does, so that what
 * passes here is not refused there.
 */
#include "proxy/tls_check.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

struct tls_check {
	SSL_CTX *ctx;
	X509 *leaf;
	EVP_PKEY *key;
	bool encrypted; /* the key asked for a passphrase */
	char *why;
	size_t why_size;
	bool *expired;
};

/* Never asks on a terminal. */
static int tls_check_passphrase(char *buf, int size, int rwflag, void *check_)
{
	struct tls_check *check = check_;

	check->encrypted = true;
	return -1;
}

static const char *tls_check_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	return reason ? reason : "unknown reason";
}

/* The first certificate found not valid now decides what why says. */
static void tls_check_dates(struct tls_check *check, const X509 *certificate, unsigned index)
{
	const ASN1_TIME *from = X509_get0_notBefore(certificate);
	const ASN1_TIME *until = X509_get0_notAfter(certificate);
	const char *which = index ? "has an issuer's certificate that " : "";
	struct tm day = { 0 };

	if (*check->expired)
		return;
	if (X509_cmp_current_time(until) < 0) {
		*check->expired = true;
		ASN1_TIME_to_tm(until, &day);
		snprintf(check->why, check->why_size, "%sexpired on %04d-%02d-%02d, renew it",
			 which, day.tm_year + 1900, day.tm_mon + 1, day.tm_mday);
	} else if (X509_cmp_current_time(from) > 0) {
		*check->expired = true;
		ASN1_TIME_to_tm(from, &day);
		snprintf(check->why, check->why_size,
			 "%sis not valid before %04d-%02d-%02d, wait or look at the clock", which,
			 day.tm_year + 1900, day.tm_mon + 1, day.tm_mday);
	}
}

static int tls_check_chain(struct tls_check *check, BIO *bio)
{
	X509 *certificate;
	unsigned n;
	int usable;

	for (n = 0;; n++) {
		certificate = PEM_read_bio_X509(bio, NULL, tls_check_passphrase, check);
		if (!certificate)
			break;
		tls_check_dates(check, certificate, n);
		if (n == 0) {
			check->leaf = certificate;
			usable = SSL_CTX_use_certificate(check->ctx, certificate);
		} else {
			usable = SSL_CTX_add1_chain_cert(check->ctx, certificate);
			X509_free(certificate);
		}
		if (usable != 1) {
			snprintf(check->why, check->why_size,
				 "cannot be used (%s), want another certificate",
				 tls_check_reason());
			return -EBADMSG;
		}
	}
	if (!n) {
		snprintf(check->why, check->why_size,
			 "holds no certificate, want PEM (-----BEGIN CERTIFICATE-----)");
		return -EBADMSG;
	}
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
		snprintf(check->why, check->why_size,
			 "is broken after %u certificates (%s), want whole PEM blocks", n,
			 tls_check_reason());
		return -EBADMSG;
	}
	ERR_clear_error();
	return 0;
}

static int tls_check_key(struct tls_check *check, BIO *bio)
{
	check->key = PEM_read_bio_PrivateKey(bio, NULL, tls_check_passphrase, check);
	if (!check->key) {
		snprintf(check->why, check->why_size,
			 check->encrypted ?
				 "is encrypted, want a key without a passphrase" :
				 "holds no private key, want PEM (-----BEGIN PRIVATE KEY-----)");
		return -EKEYREJECTED;
	}
	if (X509_check_private_key(check->leaf, check->key) != 1) {
		snprintf(check->why, check->why_size,
			 "does not match the certificate, want the key it was made with");
		return -EKEYREJECTED;
	}
	if (SSL_CTX_use_PrivateKey(check->ctx, check->key) != 1) {
		snprintf(check->why, check->why_size, "cannot be used (%s), want another key",
			 tls_check_reason());
		return -EKEYREJECTED;
	}
	return 0;
}

int tls_check_certificate(const uint8_t *chain_pem, size_t chain_len, const uint8_t *key_pem,
			  size_t key_len, char *why, size_t why_size, bool *expired)
{
	struct tls_check check = { .why = why, .why_size = why_size, .expired = expired };
	BIO *chain = BIO_new_mem_buf(chain_pem, (int)chain_len);
	BIO *key = BIO_new_mem_buf(key_pem, (int)key_len);
	int err = -ENOMEM;

	*expired = false;
	ERR_clear_error();
	check.ctx = SSL_CTX_new(TLS_server_method());
	if (!chain || !key || !check.ctx)
		goto out;
	err = tls_check_chain(&check, chain);
	if (!err) {
		/* the dates are said only where nothing is worse */
		err = tls_check_key(&check, key);
	}
out:
	ERR_clear_error();
	EVP_PKEY_free(check.key);
	X509_free(check.leaf);
	SSL_CTX_free(check.ctx);
	BIO_free(chain);
	BIO_free(key);
	return err;
}

int tls_check_key_type(const uint8_t *chain_pem, size_t chain_len, char *type, size_t size)
{
	BIO *bio = BIO_new_mem_buf(chain_pem, (int)chain_len);
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	EVP_PKEY *key = certificate ? X509_get0_pubkey(certificate) : NULL;
	const char *name = key ? EVP_PKEY_get0_type_name(key) : NULL;

	if (name)
		snprintf(type, size, "%s", name);
	ERR_clear_error();
	X509_free(certificate);
	BIO_free(bio);
	if (!bio)
		return -ENOMEM;
	return name ? 0 : -EBADMSG;
}

int tls_check_ca(const uint8_t *pem, size_t len, char *why, size_t why_size, bool *expired)
{
	struct tls_check check = { .why = why, .why_size = why_size, .expired = expired };
	BIO *bio = BIO_new_mem_buf(pem, (int)len);
	int err = -ENOMEM;

	*expired = false;
	ERR_clear_error();
	check.ctx = SSL_CTX_new(TLS_server_method());
	if (bio && check.ctx)
		err = tls_check_chain(&check, bio);
	ERR_clear_error();
	X509_free(check.leaf);
	SSL_CTX_free(check.ctx);
	BIO_free(bio);
	return err;
}
