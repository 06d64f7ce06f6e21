/* SPDX-License-Identifier: MIT */
/*
 * test_tls_client.c - TLS towards backends against TLS as listeners serve it, both of ours: whose
 * certificate is good for which name, who the client is after its handshake, what is resumed and
 * what never is.
 */
#include "cm.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fault.h"
#include "proxy/tls.h"
#include "proxy/tls_help.h"

struct authority {
	EVP_PKEY *key;
	X509 *x509;
	uint8_t *pem;
	size_t len;
};

static struct authority ca, other_ca;
static struct config_certificate backend, client, stranger, late;
static struct channel_tickets tickets = { .n = 1 };

/* days: until it ends. sans: as in openssl.cnf; NULL: none. */
static X509 *make(EVP_PKEY *key, const char *name, const char *sans, int days,
		  const struct authority *issuer)
{
	X509 *x509 = X509_new();
	X509_EXTENSION *extension;

	X509_set_version(x509, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
	X509_gmtime_adj(X509_getm_notBefore(x509), -10 * 86400);
	X509_gmtime_adj(X509_getm_notAfter(x509), days * 86400L);
	X509_set_pubkey(x509, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x509, X509_get_subject_name(issuer->x509 ? issuer->x509 : x509));
	extension = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints,
					issuer->x509 ? "critical,CA:FALSE" : "critical,CA:TRUE");
	X509_add_ext(x509, extension, -1);
	X509_EXTENSION_free(extension);
	if (sans) {
		extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, sans);
		X509_add_ext(x509, extension, -1);
		X509_EXTENSION_free(extension);
	}
	assert_true(X509_sign(x509, issuer->key, EVP_sha256()) > 0);
	return x509;
}

static void make_authority(struct authority *authority, const char *name)
{
	BIO *bio = BIO_new(BIO_s_mem());
	X509 *x509;

	authority->key = EVP_EC_gen("P-256");
	x509 = make(authority->key, name, NULL, 10, authority);
	authority->x509 = x509;
	PEM_write_bio_X509(bio, x509);
	authority->pem = pem_of(bio, &authority->len);
}

static void issue(struct config_certificate *certificate, const struct authority *issuer,
		  const char *name, const char *sans, int days)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x509 = make(key, name, sans, days, issuer);
	BIO *bio = BIO_new(BIO_s_mem());

	PEM_write_bio_X509(bio, x509);
	certificate->chain_pem = pem_of(bio, &certificate->chain_len);
	bio = BIO_new(BIO_s_mem());
	PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	certificate->key_pem = pem_of(bio, &certificate->key_len);
	X509_free(x509);
	EVP_PKEY_free(key);
}

static int setup_all(void **state)
{
	make_authority(&ca, "ca");
	make_authority(&other_ca, "other");
	issue(&backend, &ca, "backend", "DNS:backend.test,DNS:*.many.test,IP:192.0.2.1,IP:2001:db8::1",
	      10);
	issue(&client, &ca, "Alice, \xc3\xa9t\xc3\xa9",
	      "DNS:Alice.Client,URI:spiffe://sluice/alice,email:a@b.test,IP:192.0.2.9", 10);
	issue(&stranger, &other_ca, "mallory", "DNS:alice.client", 10);
	issue(&late, &ca, "late", "DNS:backend.test", -1);
	memset(&tickets.keys[0], 1, sizeof(tickets.keys[0]));
	return 0;
}

static void certificate_done(struct config_certificate *certificate)
{
	free(certificate->chain_pem);
	free(certificate->key_pem);
}

static int teardown_all(void **state)
{
	struct authority *authorities[] = { &ca, &other_ca };

	for (int i = 0; i < 2; i++) {
		EVP_PKEY_free(authorities[i]->key);
		X509_free(authorities[i]->x509);
		free(authorities[i]->pem);
	}
	certificate_done(&backend);
	certificate_done(&client);
	certificate_done(&stranger);
	certificate_done(&late);
	return 0;
}

static struct tls_context *server(struct config_certificate *certificate,
				  const struct authority *clients, bool required)
{
	const struct config_listener config = {
		.certificates = certificate, .n_certificates = 1,
		.client_ca_pem = clients ? clients->pem : NULL,
		.client_ca_len = clients ? clients->len : 0,
		.client_required = required,
	};
	char why[256] = "";
	struct tls_context *context = tls_server_context_new(&config, why, sizeof(why));

	if (!context)
		fail_msg("%s", why);
	return context;
}

static struct config_upstream_tls settings_of(const struct authority *authority,
					      struct config_certificate *certificate)
{
	return (struct config_upstream_tls){
		.enabled = true, .verify = authority != NULL,
		.ca_pem = authority ? authority->pem : NULL,
		.ca_len = authority ? authority->len : 0,
		.certificate = certificate,
	};
}

static struct tls_context *connecting(const struct authority *authority,
				      struct config_certificate *certificate)
{
	const struct config_upstream_tls config = settings_of(authority, certificate);
	char why[256] = "";
	struct tls_context *context = tls_client_context_new(&config, why, sizeof(why));

	if (!context)
		fail_msg("%s", why);
	return context;
}

struct pair {
	int fds[2];
	struct tls *server, *client;
	int server_says, client_says;
};

static void pair_open(struct pair *pair, struct tls_context *serving, struct tls_context *asking,
		      const char *name)
{
	struct addr to;
	char byte;

	memset(pair, 0, sizeof(*pair));
	addr_parse(&to, "192.0.2.1:443");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
				    pair->fds), 0);
	pair->server = tls_new(serving, pair->fds[0]);
	pair->client = tls_connect_new(asking, pair->fds[1], &to, name);
	assert_non_null(pair->server);
	assert_non_null(pair->client);
	pair->server_says = pair->client_says = -EAGAIN;
	for (int i = 0; i < 20; i++) {
		if (pair->client_says == -EAGAIN)
			pair->client_says = tls_handshake(pair->client);
		if (pair->server_says == -EAGAIN)
			pair->server_says = tls_handshake(pair->server);
	}
	/* With TLS 1.3 tickets and refusals come after the handshake. */
	if (pair->client_says == 1) {
		ssize_t n = tls_read(pair->client, &byte, 1);

		if (n == -EPROTO)
			pair->client_says = -EPROTO;
	}
}

static void pair_close(struct pair *pair)
{
	tls_free(pair->server);
	tls_free(pair->client);
	close(pair->fds[0]);
	close(pair->fds[1]);
}

static void shakes(struct tls_context *serving, struct tls_context *asking, const char *name,
		   const char *refusal)
{
	struct pair pair;

	pair_open(&pair, serving, asking, name);
	if (refusal) {
		assert_int_equal(pair.client_says, -EPROTO);
		/* The words before an alert's name differ between versions of OpenSSL. */
		if (!strstr(tls_error(pair.client), refusal))
			fail_msg("%s, not %s", tls_error(pair.client), refusal);
	} else {
		if (pair.client_says != 1)
			fail_msg("%s: %s", name, tls_error(pair.client));
		assert_int_equal(pair.server_says, 1);
	}
	pair_close(&pair);
}

static void a_backend_is_who_its_certificate_names(void **state)
{
	struct tls_context *serving = server(&backend, NULL, false);
	struct tls_context *asking = connecting(&ca, NULL);

	shakes(serving, asking, "backend.test", NULL);
	shakes(serving, asking, "BACKEND.test", NULL);
	shakes(serving, asking, "one.many.test", NULL);
	shakes(serving, asking, "192.0.2.1", NULL);
	shakes(serving, asking, "2001:db8::1", NULL);
	shakes(serving, asking, "other.test", "hostname mismatch");
	shakes(serving, asking, "a.b.many.test", "hostname mismatch");
	shakes(serving, asking, "192.0.2.2", "IP address mismatch");
	/* A subject is no name. */
	shakes(serving, asking, "backend", "hostname mismatch");
	tls_context_free(serving);
	tls_context_free(asking);
}

static void its_certificate_must_be_good(void **state)
{
	struct tls_context *asking = connecting(&ca, NULL);
	struct tls_context *expired = server(&late, NULL, false);
	struct tls_context *unknown = server(&stranger, NULL, false);
	struct authority itself = { .pem = stranger.chain_pem, .len = stranger.chain_len };
	struct tls_context *pinned = connecting(&itself, NULL), *any = connecting(NULL, NULL);

	shakes(expired, asking, "backend.test", "certificate has expired");
	shakes(unknown, asking, "alice.client", "unable to get local issuer certificate");
	/* The file may hold the certificate itself. */
	shakes(unknown, pinned, "alice.client", NULL);
	shakes(unknown, pinned, "other.test", "hostname mismatch");
	shakes(expired, any, "whoever.test", NULL);
	tls_context_free(asking);
	tls_context_free(expired);
	tls_context_free(unknown);
	tls_context_free(pinned);
	tls_context_free(any);
}

static void a_client_is_let_in_by_the_listeners_cas(void **state)
{
	struct tls_context *required = server(&backend, &ca, true);
	struct tls_context *optional = server(&backend, &ca, false);
	struct tls_context *none = connecting(&ca, NULL), *good = connecting(&ca, &client);
	struct tls_context *bad = connecting(&ca, &stranger), *old = connecting(&ca, &late);

	shakes(required, good, "backend.test", NULL);
	shakes(optional, good, "backend.test", NULL);
	shakes(optional, none, "backend.test", NULL);
	shakes(required, none, "backend.test", "alert certificate required");
	shakes(required, bad, "backend.test", "alert unknown ca");
	shakes(optional, bad, "backend.test", "alert unknown ca");
	shakes(required, old, "backend.test", "alert certificate expired");
	tls_context_free(required);
	tls_context_free(optional);
	tls_context_free(none);
	tls_context_free(good);
	tls_context_free(bad);
	tls_context_free(old);
}

static void assert_alice(struct tls *tls)
{
	const struct tls_peer *peer = tls_peer(tls);

	assert_non_null(peer);
	assert_ptr_equal(peer, tls_peer(tls));
	assert_string_equal(peer->subject, "CN=Alice\\, \\C3\\A9t\\C3\\A9");
	assert_int_equal(strlen(peer->fingerprint), 64);
	assert_int_equal(peer->n_sans, 4);
	assert_string_equal(peer->sans[0], "alice.client");
	assert_string_equal(peer->sans[1], "spiffe://sluice/alice");
	assert_string_equal(peer->sans[2], "a@b.test");
	assert_string_equal(peer->sans[3], "192.0.2.9");
}

static void the_clients_identity_is_known_after_its_handshake(void **state)
{
	struct tls_context *serving = server(&backend, &ca, false);
	struct tls_context *good = connecting(&ca, &client), *none = connecting(&ca, NULL);
	struct tls *fresh = tls_new(serving, 0);
	struct pair pair;

	assert_null(tls_peer(fresh));
	tls_free(fresh);
	pair_open(&pair, serving, good, "BackEnd.test");
	assert_alice(pair.server);
	assert_string_equal(tls_peer(pair.server)->sni, "backend.test");
	pair_close(&pair);
	pair_open(&pair, serving, none, "192.0.2.1");
	assert_string_equal(tls_peer(pair.server)->subject, "");
	assert_string_equal(tls_peer(pair.server)->fingerprint, "");
	assert_string_equal(tls_peer(pair.server)->sni, ""); /* of addresses there is none */
	assert_int_equal(tls_peer(pair.server)->n_sans, 0);
	pair_close(&pair);
	tls_context_free(serving);
	tls_context_free(good);
	tls_context_free(none);
}

static void without_memory_nothing_is_known_and_later_all(void **state)
{
	struct tls_context *serving = server(&backend, &ca, false);
	struct tls_context *good = connecting(&ca, &client);
	struct pair pair;

	pair_open(&pair, serving, good, "backend.test");
	FAULT_EACH(n) {
		const struct tls_peer *peer = tls_peer(pair.server);

		fault_stop();
		assert_true(peer || fault_hit());
	}
	assert_alice(pair.server);
	pair_close(&pair);
	tls_context_free(serving);
	tls_context_free(good);
}

static void a_resumed_session_is_the_same_client_and_backend(void **state)
{
	struct tls_context *serving = server(&backend, &ca, true);
	struct tls_context *worker = server(&backend, &ca, true);
	struct tls_context *asking = connecting(&ca, &client);
	struct pair pair;

	tls_set_ticket_keys(&tickets);
	pair_open(&pair, serving, asking, "backend.test");
	assert_false(tls_resumed(pair.client));
	pair_close(&pair);
	pair_open(&pair, worker, asking, "backend.test");
	assert_true(tls_resumed(pair.client));
	assert_alice(pair.server);
	pair_close(&pair);
	/* By another name the backend has yet to prove itself. */
	pair_open(&pair, worker, asking, "other.test");
	assert_int_equal(pair.client_says, -EPROTO);
	assert_string_equal(tls_error(pair.client), "hostname mismatch");
	pair_close(&pair);
	tls_context_free(serving);
	tls_context_free(worker);
	tls_context_free(asking);
}

static void a_session_means_nothing_under_other_cas(void **state)
{
	struct tls_context *serving = server(&backend, &ca, true);
	struct tls_context *strict = server(&backend, &other_ca, true);
	struct tls_context *plain = server(&backend, NULL, false);
	struct tls_context *optional = server(&backend, &ca, false);
	struct tls_context *asking = connecting(&ca, &client), *none = connecting(&ca, NULL);
	struct pair pair;

	tls_set_ticket_keys(&tickets);
	pair_open(&pair, serving, asking, "backend.test");
	assert_int_equal(pair.client_says, 1);
	pair_close(&pair);
	shakes(strict, asking, "backend.test", "alert unknown ca");
	/* Nor does one of a listener that asks nobody, or lets all in, help where a certificate is
	 * required. */
	pair_open(&pair, plain, none, "backend.test");
	assert_int_equal(pair.client_says, 1);
	pair_close(&pair);
	shakes(serving, none, "backend.test", "alert certificate required");
	pair_open(&pair, optional, none, "backend.test");
	assert_int_equal(pair.client_says, 1);
	pair_close(&pair);
	shakes(serving, none, "backend.test", "alert certificate required");
	tls_context_free(serving);
	tls_context_free(strict);
	tls_context_free(plain);
	tls_context_free(optional);
	tls_context_free(asking);
	tls_context_free(none);
}

static void contexts_are_the_same_where_their_settings_are(void **state)
{
	struct config_upstream_tls named = settings_of(&ca, &client);
	char why[256];
	struct tls_context *contexts[5] = {
		connecting(&ca, &client), connecting(&ca, &client), connecting(&ca, NULL),
		connecting(NULL, &client), NULL,
	};

	named.server_name = (char *)"backend.test";
	contexts[4] = tls_client_context_new(&named, why, sizeof(why));
	assert_true(tls_context_is_same(contexts[0], contexts[1]));
	for (int i = 2; i < 5; i++)
		assert_false(tls_context_is_same(contexts[0], contexts[i]));
	assert_false(tls_context_is_same(contexts[0], NULL));
	assert_true(tls_context_is_same(NULL, NULL));
	for (int i = 0; i < 5; i++)
		tls_context_free(contexts[i]);
}

static void what_is_no_ca_or_certificate_is_refused_with_a_reason(void **state)
{
	struct authority broken[] = {
		{ .pem = (uint8_t *)"nothing", .len = 7 },
		{ .pem = client.key_pem, .len = client.key_len },
		{ .pem = ca.pem, .len = ca.len - 40 },
	};
	struct config_certificate mixed = client;
	struct config_upstream_tls config;
	char why[256];

	for (int i = 0; i < 3; i++) {
		config = settings_of(&broken[i], NULL);
		why[0] = '\0';
		assert_null(tls_client_context_new(&config, why, sizeof(why)));
		assert_non_null(strstr(why, "CA"));
	}
	mixed.key_pem = backend.key_pem;
	mixed.key_len = backend.key_len;
	config = settings_of(&ca, &mixed);
	assert_null(tls_client_context_new(&config, why, sizeof(why)));
	assert_true(strlen(why) > 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_backend_is_who_its_certificate_names),
		cmocka_unit_test(its_certificate_must_be_good),
		cmocka_unit_test(a_client_is_let_in_by_the_listeners_cas),
		cmocka_unit_test(the_clients_identity_is_known_after_its_handshake),
		cmocka_unit_test(without_memory_nothing_is_known_and_later_all),
		cmocka_unit_test(a_resumed_session_is_the_same_client_and_backend),
		cmocka_unit_test(a_session_means_nothing_under_other_cas),
		cmocka_unit_test(contexts_are_the_same_where_their_settings_are),
		cmocka_unit_test(what_is_no_ca_or_certificate_is_refused_with_a_reason),
	};

	return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
