/* SPDX-License-Identifier: MIT */
/*
 * dial.c - gRPC calls at a steady rate, for bench/flood.py: `new` makes each on a connection of its own
 * (TCP, TLS, one call, closed by a reset), `old` makes them on connections that were opened before.
 *
 * usage: dial new|old ADDRESS PORT RATE SECONDS. Open loop: a call is begun when its time has come,
 * whatever became of those before it; each has two seconds. Prints "ready" when the connections of
 * `old` are open, and begins at a line of stdin. At the end: "begun N good N late N p50 MS p99 MS max
 * MS"; good: answered within a second; late: answered later; p50 and so on: of all that were answered.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

enum { FRAME_HEADER = 9, FRAME_HEADERS = 1, FRAME_SETTINGS = 4, FRAME_PING = 6, FRAME_GOAWAY = 7 };
enum { FLAG_END_STREAM = 1, FLAG_ACK = 1 };

#define THREADS_NEW 300
#define THREADS_OLD 16
#define CALLS_MAX   100000
#define CALL_SECONDS 2
#define GOOD_MS	    1000.0

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
			      "\0\0\0\4\0\0\0\0";
static const uint8_t settings_ack[FRAME_HEADER] = { 0, 0, 0, FRAME_SETTINGS, FLAG_ACK };
/* HPACK without the dynamic table: POST, https, path, authority, content-type, te. */
static const char headers[] = "\x83\x87\x04\x10/echo.Echo/Unary\x01\x05" "bench\x0f\x10\x10"
			      "application/grpc\x00\x02te\x08trailers";
static const char message[] = "\0\0\0\0\4\n\2hi"; /* gRPC's prefix, then a protobuf field */

static struct sockaddr_storage peer;
static socklen_t peer_len;
static SSL_CTX *tls;
static double rate, began_at;
static uint64_t n_calls;
static bool is_new;
static atomic_uint_fast64_t next_call;
static double took_ms[CALLS_MAX]; /* 0: not answered */
static pthread_barrier_t opened, begin;

struct connection {
	int fd;
	SSL *ssl;
	uint32_t stream; /* of the next call */
};

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static bool read_all(SSL *ssl, void *buf, int size)
{
	for (uint8_t *at = buf; size > 0;) {
		int n = SSL_read(ssl, at, size);

		if (n <= 0)
			return false;
		at += n;
		size -= n;
	}
	return true;
}

static void connection_close(struct connection *connection)
{
	const struct linger reset = { .l_onoff = 1 };

	if (connection->ssl)
		SSL_free(connection->ssl);
	if (connection->fd >= 0) {
		setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(connection->fd);
	}
}

static bool connection_open(struct connection *connection)
{
	const struct timeval wait = { .tv_sec = CALL_SECONDS };
	const int on = 1;

	*connection = (struct connection){ .fd = socket(peer.ss_family, SOCK_STREAM, 0), .stream = 1 };
	if (connection->fd < 0)
		return false;
	setsockopt(connection->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	setsockopt(connection->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(connection->fd, (const struct sockaddr *)&peer, peer_len))
		return false;
	connection->ssl = SSL_new(tls);
	return connection->ssl && SSL_set_fd(connection->ssl, connection->fd) == 1 &&
	       SSL_connect(connection->ssl) == 1 &&
	       SSL_write(connection->ssl, preface, sizeof(preface)) > 0;
}

static size_t frame_put(uint8_t *at, size_t bytes, uint8_t type, uint8_t flags, uint32_t stream)
{
	const uint8_t header[FRAME_HEADER] = {
		(uint8_t)(bytes >> 16), (uint8_t)(bytes >> 8), (uint8_t)bytes, type, flags,
		(uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream,
	};

	memcpy(at, header, sizeof(header));
	return sizeof(header);
}

/* One call, to its trailers. A response that is trailers only is an error of sluice's. */
static bool call(struct connection *connection)
{
	uint8_t out[256], header[FRAME_HEADER], payload[16384];
	size_t n = frame_put(out, sizeof(headers) - 1, FRAME_HEADERS, 4, connection->stream);
	int response_frames = 0;

	memcpy(out + n, headers, sizeof(headers) - 1);
	n += sizeof(headers) - 1;
	n += frame_put(out + n, sizeof(message) - 1, 0, FLAG_END_STREAM, connection->stream);
	memcpy(out + n, message, sizeof(message) - 1);
	n += sizeof(message) - 1;
	connection->stream += 2;
	if (SSL_write(connection->ssl, out, (int)n) != (int)n)
		return false;
	for (;;) {
		if (!read_all(connection->ssl, header, sizeof(header)))
			return false;
		uint32_t len = (uint32_t)header[0] << 16 | (uint32_t)header[1] << 8 | header[2];

		if (len > sizeof(payload) || !read_all(connection->ssl, payload, (int)len))
			return false;
		if (header[3] == FRAME_GOAWAY)
			return false;
		if (header[3] == FRAME_SETTINGS && !(header[4] & FLAG_ACK))
			SSL_write(connection->ssl, settings_ack, sizeof(settings_ack));
		if (header[3] == FRAME_PING && !(header[4] & FLAG_ACK)) {
			header[4] = FLAG_ACK;
			SSL_write(connection->ssl, header, sizeof(header));
			SSL_write(connection->ssl, payload, (int)len);
		}
		if (header[3] > FRAME_HEADERS)
			continue;
		response_frames++;
		if (header[4] & FLAG_END_STREAM)
			return response_frames > 1;
	}
}

static void *run(void *unused)
{
	struct connection connection = { .fd = -1 };

	if (!is_new && !connection_open(&connection))
		errx(1, "cannot open a connection before the flood");
	pthread_barrier_wait(&opened);
	pthread_barrier_wait(&begin);
	for (;;) {
		uint64_t number = atomic_fetch_add(&next_call, 1);
		double due = began_at + (double)number * 1e3 / rate, now = now_ms();

		if (number >= n_calls)
			break;
		if (due > now)
			usleep((useconds_t)((due - now) * 1e3));
		bool good = is_new ? connection_open(&connection) && call(&connection) :
				     call(&connection);

		if (good)
			took_ms[number] = now_ms() - due;
		if (is_new) {
			connection_close(&connection);
		} else if (!good) {
			connection_close(&connection);
			connection_open(&connection);
		}
	}
	return unused;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void report(void)
{
	uint64_t good = 0, late = 0, answered = 0;

	for (uint64_t i = 0; i < n_calls; i++) {
		if (took_ms[i] <= 0)
			continue;
		good += took_ms[i] < GOOD_MS;
		late += took_ms[i] >= GOOD_MS;
		took_ms[answered++] = took_ms[i];
	}
	qsort(took_ms, answered, sizeof(took_ms[0]), compare_doubles);
	printf("begun %llu good %llu late %llu p50 %.2f p99 %.2f max %.2f\n",
	       (unsigned long long)n_calls, (unsigned long long)good, (unsigned long long)late,
	       answered ? took_ms[answered / 2] : 0, answered ? took_ms[answered * 99 / 100] : 0,
	       answered ? took_ms[answered - 1] : 0);
}

static void peer_set(const char *address, uint16_t port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&peer;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&peer;

	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		peer_len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		peer_len = sizeof(*v6);
	} else {
		errx(2, "%s is no address", address);
	}
}

int main(int argc, char **argv)
{
	unsigned n_threads;
	pthread_attr_t small;

	if (argc != 6 || (strcmp(argv[1], "new") && strcmp(argv[1], "old")))
		errx(2, "usage: dial new|old ADDRESS PORT RATE SECONDS");
	is_new = !strcmp(argv[1], "new");
	n_threads = is_new ? THREADS_NEW : THREADS_OLD;
	peer_set(argv[2], (uint16_t)atoi(argv[3]));
	rate = atof(argv[4]);
	n_calls = (uint64_t)(rate * atof(argv[5]));
	if (n_calls > CALLS_MAX || rate <= 0)
		errx(2, "at most %d calls", CALLS_MAX);
	signal(SIGPIPE, SIG_IGN);
	tls = SSL_CTX_new(TLS_client_method());
	if (!tls || SSL_CTX_set_alpn_protos(tls, (const uint8_t *)"\2h2", 3))
		errx(1, "TLS");
	pthread_barrier_init(&opened, NULL, n_threads + 1);
	pthread_barrier_init(&begin, NULL, n_threads + 1);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 128 << 10);
	pthread_t *threads = calloc(n_threads, sizeof(*threads));

	for (unsigned i = 0; i < n_threads; i++)
		if (!threads || pthread_create(&threads[i], &small, run, NULL))
			errx(1, "threads");
	pthread_barrier_wait(&opened);
	puts("ready");
	fflush(stdout);
	if (getchar() == EOF)
		return 1;
	began_at = now_ms();
	pthread_barrier_wait(&begin);
	for (unsigned i = 0; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	report();
	free(threads);
	return 0;
}
