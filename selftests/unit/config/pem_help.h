/* SPDX-License-Identifier: MIT */
/*
 * pem_help.h - certificates and keys made on the spot, and a folder for them and other files.
 */
#ifndef SLUICE_SELFTESTS_PEM_HELP_H
#define SLUICE_SELFTESTS_PEM_HELP_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cm.h"

#define PEM_DAY 86400L

/* Path of name in the folder, in a buffer of its own for each of the last 16 calls. */
static inline const char *pem_path(const char *folder, const char *name)
{
	static char paths[16][256];
	static unsigned at;
	char *path = paths[at++ % 16];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static inline void pem_write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	assert_int_equal(fclose(file), 0);
}

static inline X509 *pem_sign(EVP_PKEY *key, long from_days, long until_days)
{
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);

	assert_int_equal(X509_set_version(certificate, 2), 1);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), from_days * PEM_DAY);
	X509_gmtime_adj(X509_getm_notAfter(certificate), until_days * PEM_DAY);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost",
				   -1, -1, 0);
	X509_set_issuer_name(certificate, name);
	X509_set_pubkey(certificate, key);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	return certificate;
}

/* Writes folder/name.pem, a self-signed certificate valid from and until so many days from now,
 * and folder/name.key. bits: of an RSA key; 0: P-256. passphrase: NULL for a plain key. */
static inline void pem_make(const char *folder, const char *name, unsigned bits, long from_days,
			    long until_days, const char *passphrase)
{
	EVP_PKEY *key = bits ? EVP_RSA_gen(bits) : EVP_EC_gen("P-256");
	X509 *certificate;
	char file_name[64];
	FILE *file;

	assert_non_null(key);
	certificate = pem_sign(key, from_days, until_days);
	snprintf(file_name, sizeof(file_name), "%s.pem", name);
	file = fopen(pem_path(folder, file_name), "w");
	assert_non_null(file);
	assert_int_equal(PEM_write_X509(file, certificate), 1);
	assert_int_equal(fclose(file), 0);
	snprintf(file_name, sizeof(file_name), "%s.key", name);
	file = fopen(pem_path(folder, file_name), "w");
	assert_non_null(file);
	assert_int_equal(PEM_write_PKCS8PrivateKey(file, key,
						   passphrase ? EVP_aes_256_cbc() : NULL,
						   passphrase,
						   passphrase ? (int)strlen(passphrase) : 0, NULL,
						   NULL),
			 1);
	assert_int_equal(fclose(file), 0);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

/* A group set-up: *state becomes the path of a new folder. */
static inline int pem_setup(void **state)
{
	char template[] = "/tmp/sluice-config-XXXXXX";
	char *folder = mkdtemp(template);

	if (!folder)
		return -1;
	*state = strdup(folder);
	return *state ? chmod(folder, 0755) : -1; /* some tests look at it as another user */
}

static inline int pem_teardown(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", (char *)*state);
	free(*state);
	return system(command);
}

#endif
