/* SPDX-License-Identifier: MIT */
/*
 * tls_check.h - whether a certificate and its key can serve, and whether a file holds CAs: what
 * config_load asks before any worker sees them.
 */
#ifndef SLUICE_PROXY_TLS_CHECK_H
#define SLUICE_PROXY_TLS_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Both PEM; the chain's first certificate is the server's. 0: usable; *expired then says whether a
 * certificate of the chain is not valid now, and why on which day. -EBADMSG: the chain is no good;
 * -EKEYREJECTED: the key is no good, or is another certificate's; -ENOMEM. why reads on from the
 * file's name ("holds no certificate, want ..."). */
int tls_check_certificate(const uint8_t *chain_pem, size_t chain_len, const uint8_t *key_pem,
			  size_t key_len, char *why, size_t why_size, bool *expired);

/* What the key of the chain's first certificate is, as "RSA" or "EC". 0, -EBADMSG where there is no
 * certificate, or -ENOMEM. */
int tls_check_key_type(const uint8_t *chain_pem, size_t chain_len, char *type, size_t size);

/* A file of CA certificates, at least one. As tls_check_certificate, without the key. */
int tls_check_ca(const uint8_t *pem, size_t len, char *why, size_t why_size, bool *expired);

#endif
