/* SPDX-License-Identifier: MIT */
/*
 * tls_check.h - whether a certificate and its key can serve: what config_load asks about each pair
 * before any worker sees it.
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

#endif
