/* SPDX-License-Identifier: MIT */
/*
 * hold.c - opens TLS HTTP/2 connections and holds them idle, for bench.py's memory part.
 *
 * usage: hold ADDRESS PORT COUNT. Each connection is taken past both sides' SETTINGS and their
 * acknowledgements. Then "held COUNT" is printed; on a line (or the end) of stdin it counts the
 * connections that the peer has not closed, prints "alive COUNT" and exits.
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

enum { FRAME_HEADER = 9, FRAME_SETTINGS = 4, FRAME_GOAWAY = 7, FLAG_ACK = 1 };

/* RFC 9113 3.4: the preface, then an empty SETTINGS frame. */
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
			      "\0\0\0\4\0\0\0\0";
static const uint8_t settings_ack[FRAME_HEADER] = {0, 0, 0, FRAME_SETTINGS, FLAG_ACK};

static void tls_read(SSL *ssl, void *buf, int size)
{
	uint8_t *at = buf;

	while (size > 0) {
		int n = SSL_read(ssl, at, size);

		if (n <= 0)
			errx(1, "the proxy closed a connection before its SETTINGS were done");
		at += n;
		size -= n;
	}
}

static void tls_write(SSL *ssl, const void *buf, int size)
{
	if (SSL_write(ssl, buf, size) != size)
		errx(1, "write failed");
}

/* Both SETTINGS sent and acknowledged; leaves nothing unread behind the acknowledgement but what
 * the peer sends later. */
static void exchange_settings(SSL *ssl)
{
	bool got_settings = false, got_ack = false;

	tls_write(ssl, preface, sizeof(preface)); /* the literal's NUL is the frame's last byte */
	while (!got_settings || !got_ack) {
		uint8_t header[FRAME_HEADER], payload[16384];
		uint32_t len;

		tls_read(ssl, header, sizeof(header));
		len = (uint32_t)header[0] << 16 | (uint32_t)header[1] << 8 | header[2];
		if (len > sizeof(payload))
			errx(1, "a frame of %u bytes", len);
		tls_read(ssl, payload, (int)len);
		if (header[3] == FRAME_GOAWAY)
			errx(1, "the proxy sent GOAWAY");
		if (header[3] != FRAME_SETTINGS)
			continue;
		if (header[4] & FLAG_ACK) {
			got_ack = true;
		} else {
			got_settings = true;
			tls_write(ssl, settings_ack, sizeof(settings_ack));
		}
	}
}

static SSL *open_one(SSL_CTX *ctx, const struct sockaddr_in *to)
{
	static const unsigned char alpn[] = "\2h2";
	const unsigned char *chosen;
	unsigned chosen_len;
	SSL *ssl = SSL_new(ctx);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (!ssl || fd < 0)
		err(1, "socket");
	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)))
		err(1, "connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	SSL_set_fd(ssl, fd);
	SSL_set_alpn_protos(ssl, alpn, sizeof(alpn) - 1);
	SSL_set_tlsext_host_name(ssl, "bench.sluice");
	if (SSL_connect(ssl) != 1) {
		ERR_print_errors_fp(stderr);
		errx(1, "TLS handshake failed");
	}
	SSL_get0_alpn_selected(ssl, &chosen, &chosen_len);
	if (chosen_len != 2)
		errx(1, "the proxy did not choose h2");
	exchange_settings(ssl);
	return ssl;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	int count, alive = 0;
	SSL_CTX *ctx;
	SSL **held;

	if (argc != 4 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		errx(2, "usage: hold ADDRESS PORT COUNT");
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	count = atoi(argv[3]);
	ctx = SSL_CTX_new(TLS_client_method());
	held = calloc((size_t)count, sizeof(*held));
	if (!ctx || !held)
		errx(1, "out of memory");
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	for (int i = 0; i < count; i++)
		held[i] = open_one(ctx, &to);
	printf("held %d\n", count);
	fflush(stdout);
	getchar();
	for (int i = 0; i < count; i++) {
		char byte;
		ssize_t n = recv(SSL_get_fd(held[i]), &byte, 1, MSG_PEEK | MSG_DONTWAIT);

		alive += n != 0;
	}
	printf("alive %d\n", alive);
	return alive == count ? 0 : 1;
}
