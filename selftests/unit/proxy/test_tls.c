/* SPDX-License-Identifier: MIT */
/*
 * test_tls.c - TLS as the workers serve it, against a client of OpenSSL's own: certificates of
 * both kinds, ALPN, resumption by shared ticket keys, what a socket that takes nothing leaves
 * waiting, and an HTTP/2 connection on top.
 */
#include "proxy/h2_world.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "proxy/tls.h"
#include "proxy/tls_help.h"

static struct config_certificate ec, rsa;

static void make_certificate(struct config_certificate *certificate, EVP_PKEY *key)
{
	X509 *x509 = X509_new();
	BIO *bio;

	assert_non_null(key);
	X509_set_version(x509, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
	X509_gmtime_adj(X509_getm_notBefore(x509), -60);
	X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
	X509_set_pubkey(x509, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_ASC,
				   (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(x509, X509_get_subject_name(x509));
	assert_true(X509_sign(x509, key, EVP_sha256()) > 0);
	bio = BIO_new(BIO_s_mem());
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
	make_certificate(&ec, EVP_EC_gen("P-256"));
	make_certificate(&rsa, EVP_RSA_gen(2048));
	return 0;
}

static int teardown_all(void **state)
{
	free(ec.chain_pem);
	free(ec.key_pem);
	free(rsa.chain_pem);
	free(rsa.key_pem);
	return 0;
}

static struct tls_context *context_of(const struct config_certificate *certificates, size_t n)
{
	const struct config_listener config = {
		.certificates = (struct config_certificate *)certificates, .n_certificates = n,
	};
	char why[256] = "";
	struct tls_context *context = tls_server_context_new(&config, why, sizeof(why));

	if (!context)
		fail_msg("%s", why);
	return context;
}

/* A connection: ours and the client's, joined by a socket pair. */
struct pair {
	int fds[2];
	struct tls *tls;
	SSL_CTX *ctx;
	SSL *client;
};

static void pair_open(struct pair *pair, struct tls_context *context, const char *sigalgs,
		      const char *alpn, SSL_SESSION *session, int max_version)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
				    pair->fds), 0);
	pair->tls = tls_new(context, pair->fds[0]);
	assert_non_null(pair->tls);
	pair->ctx = SSL_CTX_new(TLS_client_method());
	if (sigalgs)
		assert_int_equal(SSL_CTX_set1_sigalgs_list(pair->ctx, sigalgs), 1);
	SSL_CTX_set_max_proto_version(pair->ctx, max_version);
	pair->client = SSL_new(pair->ctx);
	SSL_set_fd(pair->client, pair->fds[1]);
	SSL_set_connect_state(pair->client);
	if (alpn)
		SSL_set_alpn_protos(pair->client, (const unsigned char *)alpn,
				    (unsigned)strlen(alpn));
	if (session)
		SSL_set_session(pair->client, session);
}

/* Both sides' handshakes; what ours says in the end. */
static int pair_shake(struct pair *pair)
{
	int ours = -EAGAIN, client = 0;

	for (int i = 0; i < 50 && (ours == -EAGAIN || (client != 1 && ours == 1)); i++) {
		client = SSL_do_handshake(pair->client);
		if (ours == -EAGAIN)
			ours = tls_handshake(pair->tls);
	}
	ERR_clear_error();
	return ours;
}

static void pair_close(struct pair *pair)
{
	tls_free(pair->tls);
	/* Or its session could not be used again. */
	SSL_set_shutdown(pair->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(pair->client);
	SSL_CTX_free(pair->ctx);
	close(pair->fds[0]);
	close(pair->fds[1]);
}

static int key_type_served(struct tls_context *context, const char *sigalgs)
{
	struct pair pair;
	X509 *peer;
	int type;

	pair_open(&pair, context, sigalgs, "\2h2", NULL, TLS1_3_VERSION);
	assert_int_equal(pair_shake(&pair), 1);
	peer = SSL_get1_peer_certificate(pair.client);
	type = EVP_PKEY_base_id(X509_get0_pubkey(peer));
	X509_free(peer);
	pair_close(&pair);
	return type;
}

static void each_kind_of_certificate_serves_and_both_at_once(void **state)
{
	const struct config_certificate both[] = { ec, rsa };
	struct tls_context *context = context_of(&ec, 1);

	assert_int_equal(key_type_served(context, NULL), EVP_PKEY_EC);
	tls_context_free(context);
	context = context_of(&rsa, 1);
	assert_int_equal(key_type_served(context, NULL), EVP_PKEY_RSA);
	tls_context_free(context);
	context = context_of(both, 2);
	assert_int_equal(key_type_served(context, "ECDSA+SHA256"), EVP_PKEY_EC);
	assert_int_equal(key_type_served(context, "RSA-PSS+SHA256"), EVP_PKEY_RSA);
	tls_context_free(context);
}

static void refused(struct config_certificate certificate)
{
	const struct config_listener config = { .certificates = &certificate, .n_certificates = 1 };
	char why[256] = "";

	assert_null(tls_server_context_new(&config, why, sizeof(why)));
	assert_true(strlen(why) > 4);
}

static void a_pair_that_does_not_belong_together_is_refused_with_a_reason(void **state)
{
	struct config_certificate other = { 0 }, mixed = ec;

	mixed.key_pem = rsa.key_pem;
	mixed.key_len = rsa.key_len;
	refused(mixed);
	make_certificate(&other, EVP_EC_gen("P-256"));
	mixed.key_pem = other.key_pem;
	mixed.key_len = other.key_len;
	refused(mixed);
	mixed = ec;
	mixed.key_len = 20;
	refused(mixed);
	mixed = ec;
	mixed.chain_pem = ec.key_pem;
	mixed.chain_len = ec.key_len;
	refused(mixed);
	free(other.chain_pem);
	free(other.key_pem);
}

static void an_encrypted_key_is_refused_and_nobody_is_asked(void **state)
{
	struct config_certificate encrypted = ec;
	BIO *bio = BIO_new_mem_buf(ec.key_pem, (int)ec.key_len);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);

	BIO_free(bio);
	bio = BIO_new(BIO_s_mem());
	PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_256_cbc(), "secret", 6, NULL, NULL);
	EVP_PKEY_free(key);
	encrypted.key_pem = pem_of(bio, &encrypted.key_len);
	refused(encrypted);
	free(encrypted.key_pem);
}

static void only_h2_is_spoken(void **state)
{
	static const char *const refusals[] = { NULL, "\10http/1.1", "\2h3" };
	struct tls_context *context = context_of(&ec, 1);
	const unsigned char *alpn;
	unsigned len;
	struct pair pair;

	for (int i = 0; i < 3; i++) {
		pair_open(&pair, context, NULL, refusals[i], NULL, TLS1_3_VERSION);
		assert_int_equal(pair_shake(&pair), -EPROTO);
		assert_true(tls_alpn_refused(pair.tls));
		assert_string_equal(tls_error(pair.tls), "client does not offer h2");
		pair_close(&pair);
	}
	pair_open(&pair, context, NULL, "\10http/1.1\2h2", NULL, TLS1_2_VERSION);
	assert_int_equal(pair_shake(&pair), 1);
	SSL_get0_alpn_selected(pair.client, &alpn, &len);
	assert_int_equal(len, 2);
	assert_memory_equal(alpn, "h2", 2);
	assert_false(tls_alpn_refused(pair.tls));
	pair_close(&pair);
	pair_open(&pair, context, NULL, "\2h2", NULL, TLS1_1_VERSION);
	assert_int_equal(pair_shake(&pair), -EPROTO);
	assert_false(tls_alpn_refused(pair.tls));
	pair_close(&pair);
	tls_context_free(context);
}

/* A ticket from one worker is good at another, and after the keys have moved on by one. */
static void tickets_resume_where_the_keys_are_the_same(void **state)
{
	struct channel_tickets keys = { .n = 2 };
	struct tls_context *one = context_of(&ec, 1), *two = context_of(&ec, 1);
	SSL_SESSION *session;
	struct pair pair;
	char byte;

	memset(&keys.keys[0], 1, sizeof(keys.keys[0]));
	memset(&keys.keys[1], 2, sizeof(keys.keys[1]));
	tls_set_ticket_keys(&keys);
	pair_open(&pair, one, NULL, "\2h2", NULL, TLS1_3_VERSION);
	assert_int_equal(pair_shake(&pair), 1);
	assert_false(tls_resumed(pair.tls));
	SSL_read(pair.client, &byte, 1); /* the ticket */
	session = SSL_get1_session(pair.client);
	assert_true(SSL_SESSION_is_resumable(session));
	pair_close(&pair);

	memset(&keys.keys[0], 3, sizeof(keys.keys[0]));
	memset(&keys.keys[1], 1, sizeof(keys.keys[1]));
	tls_set_ticket_keys(&keys);
	pair_open(&pair, two, NULL, "\2h2", session, TLS1_3_VERSION);
	assert_int_equal(pair_shake(&pair), 1);
	assert_true(tls_resumed(pair.tls));
	pair_close(&pair);

	memset(&keys.keys[1], 4, sizeof(keys.keys[1]));
	tls_set_ticket_keys(&keys);
	pair_open(&pair, two, NULL, "\2h2", session, TLS1_3_VERSION);
	assert_int_equal(pair_shake(&pair), 1);
	assert_false(tls_resumed(pair.tls));
	pair_close(&pair);
	SSL_SESSION_free(session);

	/* And without any key there are no tickets, and calls all the same. */
	keys.n = 0;
	tls_set_ticket_keys(&keys);
	pair_open(&pair, one, NULL, "\2h2", NULL, TLS1_3_VERSION);
	assert_int_equal(pair_shake(&pair), 1);
	pair_close(&pair);
	tls_context_free(one);
	tls_context_free(two);
}

/* What one socket does not take must never reach another. */
static void blocked_output_waits_with_its_own_connection(void **state)
{
	struct tls_context *context = context_of(&ec, 1);
	static uint8_t block[2][60000], in[60000];
	struct pair pairs[2];
	size_t taken[2] = { 0 }, got[2] = { 0 };

	for (int i = 0; i < 2; i++) {
		pair_open(&pairs[i], context, NULL, "\2h2", NULL, TLS1_3_VERSION);
		assert_int_equal(pair_shake(&pairs[i]), 1);
		memset(block[i], 'a' + i, sizeof(block[i]));
	}
	for (int round = 0; round < 40; round++)
		for (int i = 0; i < 2; i++) {
			size_t size = 1000 + (size_t)round * 1471;
			ssize_t n = tls_write(pairs[i].tls, block[i], size);

			if (n == -EAGAIN)
				assert_true(tls_has_output(pairs[i].tls));
			else
				assert_int_equal(n, size);
			taken[i] += n > 0 ? (size_t)n : 0;
		}
	assert_true(tls_has_output(pairs[0].tls) && tls_has_output(pairs[1].tls));
	for (int i = 0; i < 2; i++) {
		for (int idle = 0; idle < 3;) {
			int n = SSL_read(pairs[i].client, in, sizeof(in));

			tls_flush(pairs[i].tls);
			if (n <= 0) {
				idle++;
				continue;
			}
			for (int j = 0; j < n; j++)
				assert_int_equal(in[j], 'a' + i);
			got[i] += (size_t)n;
		}
		assert_int_equal(got[i], taken[i]);
		assert_false(tls_has_output(pairs[i].tls));
	}
	/* A dead socket is an error, and leaves nothing behind for the other. */
	close(pairs[0].fds[1]);
	assert_true(tls_write(pairs[0].tls, block[0], 5000) < 0);
	assert_int_equal(tls_write(pairs[1].tls, block[1], 5000), 5000);
	assert_int_equal(SSL_read(pairs[1].client, in, sizeof(in)), 5000);
	assert_memory_equal(in, block[1], 5000);
	pairs[0].fds[1] = dup(0);
	pair_close(&pairs[0]);
	pair_close(&pairs[1]);
	tls_context_free(context);
}

/* Each asks for an answer that the client never takes. */
static void a_flood_of_key_updates_does_not_fill_the_memory(void **state)
{
	struct tls_context *context = context_of(&ec, 1);
	struct pair pair;
	ssize_t n = -EAGAIN;
	int small = 4096;
	unsigned i;
	char byte;

	pair_open(&pair, context, NULL, "\2h2", NULL, TLS1_3_VERSION);
	assert_int_equal(pair_shake(&pair), 1);
	setsockopt(pair.fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (i = 0; i < 60000 && n == -EAGAIN; i++) {
		SSL_key_update(pair.client, SSL_KEY_UPDATE_REQUESTED);
		SSL_do_handshake(pair.client);
		n = tls_read(pair.tls, &byte, 1);
	}
	ERR_clear_error();
	assert_true(n < 0 && n != -EAGAIN);
	assert_true(tls_write(pair.tls, "x", 1) < 0);
	pair_close(&pair);
	tls_context_free(context);
}

static void the_peers_end_is_zero_with_and_without_close_notify(void **state)
{
	struct tls_context *context = context_of(&ec, 1);
	struct pair pair;
	char byte;

	for (int i = 0; i < 2; i++) {
		pair_open(&pair, context, NULL, "\2h2", NULL, TLS1_3_VERSION);
		assert_int_equal(pair_shake(&pair), 1);
		assert_int_equal(tls_read(pair.tls, &byte, 1), -EAGAIN);
		if (i)
			SSL_shutdown(pair.client);
		else
			shutdown(pair.fds[1], SHUT_WR);
		assert_int_equal(tls_read(pair.tls, &byte, 1), 0);
		pair_close(&pair);
	}
	tls_context_free(context);
}

/* A call in the very segment that ends the handshake: the socket has nothing more to tell of. */
static void a_call_that_comes_with_the_handshakes_end_is_served_at_once(void **state)
{
	static struct h2_world world;
	struct tls_context *context = context_of(&ec, 1);
	struct pair pair = { .tls = NULL };
	uint8_t bytes[256];
	size_t size = 24;
	int fd, err;

	world_init(&world);
	world.server.reply = true;
	pair_open(&pair, context, NULL, "\2h2", NULL, TLS1_3_VERSION);
	fd = dup(pair.fds[0]);
	world.server.h2 = h2_accept(&world.loop, fd, context, &world.options, &world_events,
				    &world.server, &err);
	assert_non_null(world.server.h2);
	assert_int_equal(SSL_do_handshake(pair.client), -1);
	assert_true(WORLD_UNTIL(&world, recv(pair.fds[1], bytes, 1, MSG_PEEK) == 1));
	WORLD_FOR_MS(&world, 5);
	/* The client's Finished and all of its first bytes, gathered into one write. */
	memcpy(bytes, RAW_PREFACE, 24);
	size += raw_frame_put(bytes + size, RAW_SETTINGS, 0, 0, NULL, 0);
	size += raw_frame_put(bytes + size, RAW_HEADERS, RAW_END_HEADERS | RAW_END_STREAM, 1,
			      raw_request, sizeof(raw_request));
	assert_int_equal(SSL_do_handshake(pair.client), 1);
	assert_int_equal(SSL_write(pair.client, bytes, (int)size), size);
	/* One turn for the handshake, in which the request is seen too. */
	for (int i = 0; i < 3 && !world.server.n_open; i++)
		assert_int_equal(loop_turn(&world.loop), 0);
	assert_int_equal(world.server.n_open, 1);
	assert_int_equal(world.server.n_requests, 1);
	world_done(&world);
	pair_close(&pair);
	tls_context_free(context);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_of_certificate_serves_and_both_at_once),
		cmocka_unit_test(a_pair_that_does_not_belong_together_is_refused_with_a_reason),
		cmocka_unit_test(an_encrypted_key_is_refused_and_nobody_is_asked),
		cmocka_unit_test(only_h2_is_spoken),
		cmocka_unit_test(tickets_resume_where_the_keys_are_the_same),
		cmocka_unit_test(blocked_output_waits_with_its_own_connection),
		cmocka_unit_test(a_flood_of_key_updates_does_not_fill_the_memory),
		cmocka_unit_test(the_peers_end_is_zero_with_and_without_close_notify),
		cmocka_unit_test(a_call_that_comes_with_the_handshakes_end_is_served_at_once),
	};

	return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
