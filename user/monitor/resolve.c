/* SPDX-License-Identifier: MIT */
/*
 * resolve.c - DNS over c-ares, driven by the loop: its sockets by the socket state callback, its
 * time-outs by ares_timeout. Owned by monitor.c. The only file that includes c-ares.
 *
 * A look-up that lost a whole family (all A or all AAAA records gone) is asked again before it is
 * believed: c-ares calls an answer good when only one of its two questions was answered.
 */
#include "monitor/resolve.h"

#include <ares.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/log.h"
#include "base/textmap.h"

#define TTL_MIN_S	5
#define TTL_MAX_S	60
#define TTL_DEFAULT_S	10 /* /etc/hosts gives none */
#define RETRY_FIRST_MS	1000
#define RETRY_MAX_MS	5000
#define QUERY_TIMEOUT_MS 2000
#define QUERY_TRIES	3

struct name {
	struct list link; /* of resolver->names */
	struct textmap_link by_host;
	struct resolver *resolver;
	char *host;
	bool wanted;	/* in the set given last */
	bool asking;	/* c-ares holds a pointer to this */
	bool answered;	/* something was reported */
	bool doubted;	/* an answer that lost a family waits to be seen twice */
	bool overlong;	/* said already */
	int failure;	/* ARES_ status of the last look-up, for saying each once */
	uint32_t retry_ms;
	struct loop_timer timer;
	struct channel_resolved last; /* good answer */
};

struct name_socket {
	struct list link; /* of resolver->sockets; reused, freed with the resolver */
	struct resolver *resolver;
	struct loop_io io;
};

struct resolver {
	struct loop *loop;
	resolver_on_answer on_answer;
	void *ctx;
	ares_channel channel;
	bool library;	/* ares_library_init was done */
	bool closing;
	bool stale;	/* resolv.conf is read anew before the next look-up */
	unsigned asking;
	struct loop_timer timer;
	struct list names;
	struct textmap by_host;
	struct list sockets;
};

/* Runs c-ares's clock when it next wants it. */
static void resolver_arm(struct resolver *resolver)
{
	struct timeval room, *next = ares_timeout(resolver->channel, NULL, &room);

	if (!next) {
		loop_timer_cancel(resolver->loop, &resolver->timer);
		return;
	}
	loop_timer_set(resolver->loop, &resolver->timer,
		       (uint64_t)next->tv_sec * NS_PER_S + (uint64_t)next->tv_usec * 1000);
}

static void on_socket(struct loop_io *io, uint32_t events)
{
	struct name_socket *socket = container_of(io, struct name_socket, io);
	struct resolver *resolver = socket->resolver;
	int fd = io->fd;
	bool failed = events & (EPOLLERR | EPOLLHUP);

	ares_process_fd(resolver->channel,
			events & EPOLLIN || failed ? fd : ARES_SOCKET_BAD,
			events & EPOLLOUT || failed ? fd : ARES_SOCKET_BAD);
	resolver_arm(resolver);
}

static void on_resolver_timer(struct loop_timer *timer)
{
	struct resolver *resolver = container_of(timer, struct resolver, timer);

	ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	resolver_arm(resolver);
}

static struct name_socket *socket_get(struct resolver *resolver, int fd)
{
	struct name_socket *socket;

	list_for_each(socket, &resolver->sockets, link)
		if (socket->io.fd == fd)
			return socket;
	return NULL;
}

/* c-ares says what it waits for on a socket; nothing (before it closes it) ends our watch. */
static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
	struct resolver *resolver = data;
	uint32_t events = (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0);
	struct name_socket *socket = socket_get(resolver, fd);

	if (!events) {
		if (socket) {
			loop_io_del(resolver->loop, &socket->io);
			socket->io.fd = -1;
		}
		return;
	}
	if (socket) {
		loop_io_mod(resolver->loop, &socket->io, events);
		return;
	}
	socket = socket_get(resolver, -1);
	if (!socket) {
		socket = calloc(1, sizeof(*socket));
		if (!socket)
			return; /* the query times out and is asked again */
		socket->resolver = resolver;
		socket->io.on_event = on_socket;
		socket->io.fd = -1;
		list_add_tail(&resolver->sockets, &socket->link);
	}
	if (loop_io_add(resolver->loop, &socket->io, fd, events) < 0)
		socket->io.fd = -1;
}

static int channel_open(struct resolver *resolver)
{
	struct ares_options options = {
		.timeout = QUERY_TIMEOUT_MS,
		.tries = QUERY_TRIES,
		.lookups = (char[]){ "fb" }, /* /etc/hosts, then DNS */
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = resolver,
	};
	int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
	int status;

#ifdef ARES_OPT_QUERY_CACHE
	/* Newer versions answer from a cache unless told; when to ask is decided here. */
	mask |= ARES_OPT_QUERY_CACHE;
	options.qcache_max_ttl = 0;
#endif
	status = ares_init_options(&resolver->channel, &options, mask);
	if (status == ARES_SUCCESS)
		return 0;
	resolver->channel = NULL;
	return status == ARES_ENOMEM ? -ENOMEM : -EIO;
}

static int address_compare(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

static bool is_v4(const uint8_t address[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(address, mapped, sizeof(mapped)) == 0;
}

static void count_families(const struct channel_resolved *answer, unsigned count[2])
{
	count[0] = count[1] = 0;
	for (uint32_t i = 0; i < answer->n; i++)
		count[is_v4(answer->addresses[i])]++;
}

/* Had the last answer a family of which this one has nothing? */
static bool lost_family(const struct channel_resolved *last, const struct channel_resolved *answer)
{
	unsigned had[2], has[2];

	count_families(last, had);
	count_families(answer, has);
	return (had[0] && !has[0]) || (had[1] && !has[1]);
}

/* Sorted, without duplicates; how long it may be believed in *ttl_s. */
static void collect_answer(struct name *name, const struct ares_addrinfo *info,
			   struct channel_resolved *answer, int *ttl_s)
{
	uint32_t n = 0;

	*ttl_s = 0;
	memset(answer, 0, sizeof(*answer));
	for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next) {
		struct addr addr = { 0 };

		if (node->ai_addrlen > sizeof(addr.v6) ||
		    (node->ai_family != AF_INET && node->ai_family != AF_INET6))
			continue;
		if (answer->n == CHANNEL_ADDRESSES_MAX) {
			if (!name->overlong)
				log_warn("more addresses than can be used",
					 F_STR("host", name->host),
					 F_UINT("used", CHANNEL_ADDRESSES_MAX));
			name->overlong = true;
			break;
		}
		memcpy(&addr.v6, node->ai_addr, node->ai_addrlen);
		addr.len = node->ai_addrlen;
		addr_to_mapped(&addr, answer->addresses[answer->n++]);
		if (node->ai_ttl > 0 && (*ttl_s == 0 || node->ai_ttl < *ttl_s))
			*ttl_s = node->ai_ttl;
	}
	qsort(answer->addresses, answer->n, sizeof(answer->addresses[0]), address_compare);
	for (uint32_t i = 0; i < answer->n; i++)
		if (i == 0 || address_compare(answer->addresses[n - 1], answer->addresses[i]))
			memmove(answer->addresses[n++], answer->addresses[i], 16);
	memset(answer->addresses[n], 0, (answer->n - n) * sizeof(answer->addresses[0]));
	answer->n = n;
	strncpy(answer->host, name->host, sizeof(answer->host) - 1);
}

static void name_again(struct name *name, uint64_t delay_ns)
{
	loop_timer_set(name->resolver->loop, &name->timer, delay_ns);
}

static void name_report(struct name *name, const struct channel_resolved *answer)
{
	name->answered = true;
	name->last = *answer;
	name->resolver->on_answer(name->resolver->ctx, &name->last);
}

static void name_failed(struct name *name, int status)
{
	if (status != name->failure)
		log_warn("name does not resolve", F_STR("host", name->host),
			 F_STR("error", ares_strerror(status)),
			 F_STR("using", name->last.n ? "the last good answer" : "nothing"));
	name->failure = status;
	name->resolver->stale = true;
	name->retry_ms = name->retry_ms ? name->retry_ms * 2 : RETRY_FIRST_MS;
	if (name->retry_ms > RETRY_MAX_MS)
		name->retry_ms = RETRY_MAX_MS;
	name_again(name, name->retry_ms * NS_PER_MS);
	if (!name->answered) {
		struct channel_resolved empty = { 0 };

		strncpy(empty.host, name->host, sizeof(empty.host) - 1);
		name_report(name, &empty);
	}
}

static void name_succeeded(struct name *name, const struct channel_resolved *answer, int ttl_s)
{
	if (name->failure != ARES_SUCCESS)
		log_info("name resolves again", F_STR("host", name->host),
			 F_UINT("addresses", answer->n));
	name->failure = ARES_SUCCESS;
	name->retry_ms = 0;
	if (!name->doubted && lost_family(&name->last, answer)) {
		name->doubted = true;
		name_again(name, RETRY_FIRST_MS * NS_PER_MS);
		return;
	}
	name->doubted = false;
	if (ttl_s <= 0)
		ttl_s = TTL_DEFAULT_S;
	if (ttl_s < TTL_MIN_S)
		ttl_s = TTL_MIN_S;
	if (ttl_s > TTL_MAX_S)
		ttl_s = TTL_MAX_S;
	name_again(name, (uint64_t)ttl_s * NS_PER_S);
	if (!name->answered || memcmp(answer, &name->last, sizeof(*answer)) != 0)
		name_report(name, answer);
}

static void name_free(struct name *name)
{
	loop_timer_cancel(name->resolver->loop, &name->timer);
	textmap_del(&name->resolver->by_host, &name->by_host);
	list_del(&name->link);
	free(name->host);
	free(name);
}

static void on_addresses(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct name *name = arg;
	struct channel_resolved answer = { 0 };
	int ttl_s = 0;

	name->asking = false;
	name->resolver->asking--;
	if (name->resolver->closing || status == ARES_EDESTRUCTION || !name->wanted) {
		if (!name->wanted)
			name_free(name);
		goto out;
	}
	if (status == ARES_SUCCESS)
		collect_answer(name, info, &answer, &ttl_s);
	if (status == ARES_SUCCESS && answer.n)
		name_succeeded(name, &answer, ttl_s);
	else
		name_failed(name, status == ARES_SUCCESS ? ARES_ENODATA : status);
out:
	if (info)
		ares_freeaddrinfo(info);
}

static void on_name_timer(struct loop_timer *timer)
{
	const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC,
						   .ai_socktype = SOCK_STREAM,
						   .ai_flags = ARES_AI_NOSORT };
	struct name *name = container_of(timer, struct name, timer);
	struct resolver *resolver = name->resolver;

	/* After a failure, and with no question open, the system's settings are read anew. */
	if (resolver->stale && !resolver->asking) {
		ares_channel old = resolver->channel;

		if (channel_open(resolver) == 0)
			ares_destroy(old);
		else
			resolver->channel = old;
		resolver->stale = false;
	}
	name->asking = true;
	resolver->asking++;
	/* May answer from within (/etc/hosts); name may be gone afterwards. */
	ares_getaddrinfo(resolver->channel, name->host, NULL, &hints, on_addresses, name);
	resolver_arm(resolver);
}

struct resolver *resolver_new(struct loop *loop, resolver_on_answer on_answer, void *ctx, int *err)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	if (!resolver) {
		*err = ENOMEM;
		return NULL;
	}
	resolver->loop = loop;
	resolver->on_answer = on_answer;
	resolver->ctx = ctx;
	resolver->timer.on_timer = on_resolver_timer;
	list_init(&resolver->names);
	list_init(&resolver->sockets);
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
		*err = ENOMEM;
		goto out;
	}
	resolver->library = true;
	*err = -channel_open(resolver);
	if (*err)
		goto out;
	return resolver;
out:
	resolver_free(resolver);
	return NULL;
}

void resolver_free(struct resolver *resolver)
{
	struct name_socket *socket, *next_socket;
	struct name *name, *next_name;

	if (!resolver)
		return;
	resolver->closing = true;
	if (resolver->channel)
		ares_destroy(resolver->channel);
	list_for_each_safe(name, next_name, &resolver->names, link)
		name_free(name);
	textmap_done(&resolver->by_host);
	list_for_each_safe(socket, next_socket, &resolver->sockets, link) {
		loop_io_del(resolver->loop, &socket->io);
		free(socket);
	}
	loop_timer_cancel(resolver->loop, &resolver->timer);
	if (resolver->library)
		ares_library_cleanup();
	free(resolver);
}

static struct name *name_find(struct resolver *resolver, const char *host)
{
	struct textmap_link *link = textmap_find(&resolver->by_host, host);

	return link ? container_of(link, struct name, by_host) : NULL;
}

static struct name *name_new(struct resolver *resolver, const char *host)
{
	struct name *name = calloc(1, sizeof(*name));

	if (!name)
		return NULL;
	name->resolver = resolver;
	name->timer.on_timer = on_name_timer;
	name->host = strdup(host);
	if (!name->host || loop_timer_set(resolver->loop, &name->timer, 0) < 0 ||
	    textmap_add(&resolver->by_host, &name->by_host, name->host)) {
		loop_timer_cancel(resolver->loop, &name->timer);
		free(name->host);
		free(name);
		return NULL;
	}
	list_add_tail(&resolver->names, &name->link);
	return name;
}

int resolver_set_names(struct resolver *resolver, const char *const *hosts, size_t n)
{
	struct name *name, *next;
	int err = 0;

	list_for_each(name, &resolver->names, link)
		name->wanted = false;
	for (size_t i = 0; i < n; i++) {
		name = name_find(resolver, hosts[i]);
		if (!name)
			name = name_new(resolver, hosts[i]);
		if (name)
			name->wanted = true;
		else
			err = -ENOMEM;
	}
	/* One that is being asked for goes when its answer comes. */
	list_for_each_safe(name, next, &resolver->names, link)
		if (!name->wanted && !name->asking)
			name_free(name);
	return err;
}
