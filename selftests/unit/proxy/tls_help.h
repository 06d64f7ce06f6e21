/* SPDX-License-Identifier: MIT */
/*
 * tls_help.h - what the tests of TLS share that make certificates: PEM as a config holds it.
 */
#ifndef SLUICE_SELFTESTS_TLS_HELP_H
#define SLUICE_SELFTESTS_TLS_HELP_H

#include <openssl/bio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What was written to bio, which ends here; the caller's to free. */
static inline uint8_t *pem_of(BIO *bio, size_t *len)
{
	char *bytes;
	uint8_t *copy;

	*len = (size_t)BIO_get_mem_data(bio, &bytes);
	copy = malloc(*len);
	memcpy(copy, bytes, *len);
	BIO_free(bio);
	return copy;
}

#endif
