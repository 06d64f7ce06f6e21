/* SPDX-License-Identifier: MIT */
/*
 * tls_peer.c - who a client is by its handshake: the name it asked for, and its certificate's
 * subject, fingerprint and names. Worked out when a route or a template first asks, so that other
 * connections hold nothing of it. A certificate that came was verified, or the handshake failed.
 */
#include "proxy/tls_internal.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

#define SANS_MAX 64
#define TEXT_MAX 1024

struct tls_peer_facts {
	struct tls_peer peer;
	struct arena arena;
	const char *sans[SANS_MAX];
	max_align_t bytes[32];
};

/* Printable ASCII only: what cannot be part of a header or a rule is no name. */
static bool is_plain(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] < 0x21 || text[i] > 0x7e)
			return false;
	return len > 0 && len <= TEXT_MAX;
}

static const char *keep(struct tls_peer_facts *facts, const char *text, size_t len, bool lower)
{
	char *copy = arena_alloc(&facts->arena, len + 1);

	if (!copy)
		return NULL;
	for (size_t i = 0; i < len; i++)
		copy[i] = lower ? (char)tolower((unsigned char)text[i]) : text[i];
	copy[len] = '\0';
	return copy;
}

static int keep_name(struct tls_peer_facts *facts, const GENERAL_NAME *name)
{
	const ASN1_STRING *text = NULL;
	char ip[INET6_ADDRSTRLEN];
	const char *from, *kept;
	size_t len;

	if (name->type == GEN_DNS || name->type == GEN_URI || name->type == GEN_EMAIL)
		text = name->d.ia5;
	if (text) {
		from = (const char *)ASN1_STRING_get0_data(text);
		len = (size_t)ASN1_STRING_length(text);
	} else if (name->type == GEN_IPADD) {
		int bytes = ASN1_STRING_length(name->d.ip);

		if ((bytes != 4 && bytes != 16) ||
		    !inet_ntop(bytes == 4 ? AF_INET : AF_INET6,
			       ASN1_STRING_get0_data(name->d.ip), ip, sizeof(ip)))
			return 0;
		from = ip;
		len = strlen(ip);
	} else {
		return 0;
	}
	if (!is_plain(from, len) || facts->peer.n_sans == SANS_MAX)
		return 0;
	kept = keep(facts, from, len, name->type == GEN_DNS);
	if (!kept)
		return -1;
	facts->sans[facts->peer.n_sans++] = kept;
	return 0;
}

static int read_names(struct tls_peer_facts *facts, X509 *certificate)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	int err = 0;

	for (int i = 0; !err && i < sk_GENERAL_NAME_num(names); i++)
		err = keep_name(facts, sk_GENERAL_NAME_value(names, i));
	GENERAL_NAMES_free(names);
	return err;
}

static int read_subject(struct tls_peer_facts *facts, X509 *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());
	const char *kept = NULL;
	char *text;
	long len;

	/* RFC 2253 escapes what is not printable ASCII. */
	if (bio && X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0,
				      XN_FLAG_RFC2253) >= 0) {
		len = BIO_get_mem_data(bio, &text);
		kept = keep(facts, text, len < 0 || len > TEXT_MAX ? 0 : (size_t)len, false);
	}
	BIO_free(bio);
	if (kept)
		facts->peer.subject = kept;
	return kept ? 0 : -1;
}

static int read_fingerprint(struct tls_peer_facts *facts, X509 *certificate)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	char hex[2 * EVP_MAX_MD_SIZE + 1];
	unsigned len;

	if (X509_digest(certificate, EVP_sha256(), digest, &len) != 1)
		return -1;
	for (unsigned i = 0; i < len; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	facts->peer.fingerprint = keep(facts, hex, 2 * (size_t)len, false);
	return facts->peer.fingerprint ? 0 : -1;
}

static int read_all(struct tls_peer_facts *facts, const SSL *ssl)
{
	X509 *certificate = SSL_get0_peer_certificate(ssl);
	const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	facts->peer.sni = facts->peer.subject = facts->peer.fingerprint = "";
	facts->peer.sans = facts->sans;
	if (sni && is_plain(sni, strlen(sni))) {
		facts->peer.sni = keep(facts, sni, strlen(sni), true);
		if (!facts->peer.sni)
			return -1;
	}
	if (!certificate || SSL_get_verify_result(ssl) != X509_V_OK)
		return 0;
	if (read_subject(facts, certificate) || read_fingerprint(facts, certificate))
		return -1;
	return read_names(facts, certificate);
}

const struct tls_peer *tls_peer(struct tls *tls)
{
	struct tls_peer_facts *facts = tls->peer;

	if (facts)
		return &facts->peer;
	if (!SSL_is_init_finished(tls->ssl))
		return NULL;
	facts = calloc(1, sizeof(*facts));
	if (!facts)
		return NULL;
	arena_init(&facts->arena, facts->bytes, sizeof(facts->bytes));
	if (read_all(facts, tls->ssl)) {
		tls_peer_free(facts);
		return NULL;
	}
	tls->peer = facts;
	return &facts->peer;
}

void tls_peer_free(struct tls_peer_facts *peer)
{
	if (!peer)
		return;
	arena_done(&peer->arena);
	free(peer);
}
