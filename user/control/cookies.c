/* SPDX-License-Identifier: MIT */
/*
 * cookies.c - see cookies.h. Called by kernel.c and the answers of the control socket. The window
 * scaling is asked of the kernel by a connection to ourselves on loopback: what it depends on cannot all
 * be read in every network namespace. Must not block for long: it runs in the supervisor's loop.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "control/cookies.h"

#define WSCALE_AGAIN_NS (10ull * 1000 * 1000 * 1000)
#define WSCALE_WAIT_MS	100

static int sysctl_read(const char *name)
{
	char path[64], text[16];
	int value = COOKIES_UNKNOWN;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return value;
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	if (n > 0 && text[0] >= '0' && text[0] <= '9')
		value = text[0] - '0';
	return value;
}

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int socket_local(void)
{
	const struct timeval wait = { .tv_usec = WSCALE_WAIT_MS * 1000 };
	const struct linger reset = { .l_onoff = 1 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);

	if (fd < 0)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)); /* holds for connect too */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)); /* no TIME_WAIT stays */
	return fd;
}

/* Of the window that a listening socket with default buffers gives, or COOKIES_UNKNOWN. */
static int wscale_ask(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof(address);
	int listener = socket_local(), client = socket_local(), server = -1;
	int wscale = COOKIES_UNKNOWN;
	struct tcp_info info;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (listener < 0 || client < 0 ||
	    bind(listener, (const struct sockaddr *)&address, len) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&address, &len) ||
	    connect(client, (const struct sockaddr *)&address, len))
		goto out;
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	len = sizeof(info);
	if (server >= 0 && !getsockopt(server, IPPROTO_TCP, TCP_INFO, &info, &len) &&
	    (info.tcpi_options & TCPI_OPT_WSCALE))
		wscale = info.tcpi_rcv_wscale;
out:
	if (server >= 0)
		close(server);
	if (client >= 0)
		close(client);
	if (listener >= 0)
		close(listener);
	return wscale;
}

/* The kernel reads a cookie's options from the timestamp that comes back, and gives up a connection
 * whose options it does not allow. Timestamps have a random offset but where the sysctl is 2. */
static bool options_allowed(const struct cookies *cookies)
{
	return cookies->syncookies > 0 && cookies->timestamps == 2 && cookies->sack == 1 &&
	       cookies->scaling == 1;
}

bool cookies_read(struct cookies *cookies)
{
	uint64_t now_ns = monotonic_ns();
	struct cookies now = {
		.known = true,
		.syncookies = sysctl_read("tcp_syncookies"),
		.timestamps = sysctl_read("tcp_timestamps"),
		.sack = sysctl_read("tcp_sack"),
		.scaling = sysctl_read("tcp_window_scaling"),
		.wscale = COOKIES_UNKNOWN,
	};

	if (options_allowed(&now)) {
		bool fresh = options_allowed(cookies) &&
			     now_ns - cookies->wscale_ns < WSCALE_AGAIN_NS;

		now.wscale = fresh ? cookies->wscale : wscale_ask();
		now.wscale_ns = fresh ? cookies->wscale_ns : now_ns;
	}
	bool same = cookies->known && now.syncookies == cookies->syncookies &&
		    now.timestamps == cookies->timestamps && now.sack == cookies->sack &&
		    now.scaling == cookies->scaling && now.wscale == cookies->wscale;

	*cookies = now;
	return !same;
}

bool cookies_keep_options(const struct cookies *cookies)
{
	return options_allowed(cookies) && cookies->wscale != COOKIES_UNKNOWN;
}

const char *cookies_lack(const struct cookies *cookies, enum config_cookies wanted)
{
	if (wanted == COOKIES_OFF)
		return NULL;
	if (cookies->syncookies == COOKIES_UNKNOWN)
		return "net.ipv4.tcp_syncookies cannot be read: whether the kernel takes SYN cookies "
		       "is not known";
	if (!cookies->syncookies)
		return "net.ipv4.tcp_syncookies is 0, so the kernel takes no SYN cookies and none are "
		       "sent: sysctl -w net.ipv4.tcp_syncookies=1";
	if (wanted == COOKIES_ALWAYS && cookies->syncookies != 2)
		return "net.ipv4.tcp_syncookies is 1, so the kernel makes SYN cookies only while a "
		       "listener's queue is full, though syn_cookies is always: sysctl -w "
		       "net.ipv4.tcp_syncookies=2";
	return NULL;
}

const char *cookies_loss(const struct cookies *cookies)
{
	if (cookies->syncookies <= 0 || cookies_keep_options(cookies))
		return NULL;
	if (cookies->timestamps != 2)
		return "connections that a SYN cookie makes have no window scaling and no SACK: "
		       "sysctl -w net.ipv4.tcp_timestamps=2 keeps both (its timestamps tell the "
		       "machine's uptime)";
	if (cookies->sack != 1 || cookies->scaling != 1)
		return "connections that a SYN cookie makes have no window scaling and no SACK: "
		       "net.ipv4.tcp_sack and net.ipv4.tcp_window_scaling must be 1 for it";
	return "connections that a SYN cookie makes have no window scaling and no SACK: no connection "
	       "to 127.0.0.1 shows which scaling the kernel gives";
}

void cookies_fill(const struct cookies *cookies, const struct config_listener *listener,
		  struct sluice_listener *row)
{
	const struct config_rate *above = &listener->syn_cookies_above;

	if (!cookies->syncookies || listener->syn_cookies == COOKIES_OFF)
		return;
	row->flags |= listener->syn_cookies == COOKIES_ALWAYS ? SLUICE_LISTENER_COOKIES_ALWAYS :
								SLUICE_LISTENER_COOKIES_AUTO;
	/* With 2 the kernel always says yes: that would be a cookie now and then, whatever comes. */
	if (listener->syn_cookies == COOKIES_AUTO && cookies->syncookies == 1)
		row->flags |= SLUICE_LISTENER_COOKIES_PROBE;
	row->cookie_interval_ns = above->interval_ns;
	row->cookie_tolerance_ns = above->burst > 1 ? above->interval_ns * (above->burst - 1) : 0;
	if (cookies_keep_options(cookies)) {
		row->flags |= SLUICE_LISTENER_COOKIES_OPTIONS;
		row->cookie_wscale = (uint8_t)cookies->wscale;
	}
}

void cookies_log(const struct cookies *cookies, const struct config *config)
{
	const struct config_listener *lacking = NULL, *wanting = NULL;

	for (size_t i = 0; i < config->n_listeners; i++) {
		const struct config_listener *listener = &config->listeners[i];

		if (listener->syn_cookies == COOKIES_OFF)
			continue;
		wanting = listener;
		if (!lacking && cookies_lack(cookies, listener->syn_cookies))
			lacking = listener;
	}
	if (lacking)
		log_warn("SYN cookies are not made as configured",
			 F_STR("listener", lacking->name),
			 F_STR("reason", cookies_lack(cookies, lacking->syn_cookies)));
	if (wanting && cookies_loss(cookies))
		log_info("SYN cookies lose options", F_STR("note", cookies_loss(cookies)));
}
